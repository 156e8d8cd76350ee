//! Tags: how a row is found by a value that the database must not hold.
//!
//! `tag = HMAC-SHA256(tag key, u16 length | tenant uuid | u16 length | kind | u16 length | value)`, lengths big-endian,
//! the kind as its word. A tag only proposes: whoever finds a row by one opens the sealed value and compares.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vrx_domain::TenantId;

use crate::error::CryptoError;
use crate::key_set::Prepare;
use crate::keys::KeyId;
use crate::secret::SecretKey;

/// What a tag is a tag of. The words are hashed, the numbers stand in a column: neither ever changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// The individual number (個人番号), 12 ASCII digits.
    Number = 1,
    /// The addressee number (宛名番号).
    Addressee = 2,
    /// The voucher number (接種券番号), 10 ASCII digits.
    Voucher = 3,
    /// The subject of a log entry, by individual number; apart from `Number`, so that the log's index and the register's
    /// can't be joined.
    Subject = 4,
}

impl TagKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Addressee => "addressee",
            Self::Voucher => "voucher",
            Self::Subject => "subject",
        }
    }
}

/// A tag. Not a secret from the database, but never printed: it stands for a person.
/// ```compile_fail
/// fn print(tag: &vrx_crypto::Tag) { println!("{tag:?}"); }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 32]);

/// The tags of one value under all live versions of the tag key, the active one first. Every insert and every lookup
/// uses all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Tags {
    active: (KeyId, Tag),
    retired: Vec<(KeyId, Tag)>,
}

impl Tags {
    pub(crate) fn new(active: (KeyId, Tag), retired: Vec<(KeyId, Tag)>) -> Self {
        Self { active, retired }
    }

    /// The tag under the active key.
    pub fn active(&self) -> (KeyId, Tag) {
        self.active
    }

    /// All of them, the active one first.
    pub fn live(&self) -> impl Iterator<Item = (KeyId, Tag)> + '_ {
        std::iter::once(self.active).chain(self.retired.iter().copied())
    }
}

/// A prepared tag key: the HMAC's inner and outer states are made once.
pub(crate) struct TagMac(Box<Hmac<Sha256>>);

impl TagMac {
    pub(crate) fn tag(&self, tenant: &TenantId, kind: TagKind, value: &[u8]) -> Tag {
        let mut mac = (*self.0).clone();
        for field in [tenant.as_bytes(), kind.word().as_bytes(), value] {
            // Only the value, which comes last, could be longer than its prefix can say, and there no ambiguity follows.
            mac.update(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
            mac.update(field);
        }
        Tag(mac.finalize().into_bytes().into())
    }
}

impl Prepare for TagMac {
    fn prepare(key: &SecretKey) -> Result<Self, CryptoError> {
        <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose())
            .map(|mac| Self(Box::new(mac)))
            .map_err(|_| CryptoError::Malformed("not a tag key"))
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::testing::tenant;

    fn mac(byte: u8) -> TagMac {
        TagMac::prepare(&SecretKey::from_bytes(Zeroizing::new([byte; 32])))
            .ok()
            .unwrap()
    }

    #[test]
    fn a_tag_depends_on_key_tenant_kind_and_value() {
        let base = mac(1).tag(&tenant(1), TagKind::Number, b"123456789018");
        assert!(base == mac(1).tag(&tenant(1), TagKind::Number, b"123456789018"));
        assert!(base != mac(2).tag(&tenant(1), TagKind::Number, b"123456789018"));
        assert!(base != mac(1).tag(&tenant(2), TagKind::Number, b"123456789018"));
        assert!(base != mac(1).tag(&tenant(1), TagKind::Subject, b"123456789018"));
        assert!(base != mac(1).tag(&tenant(1), TagKind::Number, b"123456789019"));
    }

    #[test]
    fn a_tag_is_what_its_definition_says() {
        let mut definition = <Hmac<Sha256> as KeyInit>::new_from_slice(&[1; 32]).unwrap();
        definition.update(
            &[
                &[0, 16][..],
                &[1; 16],
                &[0, 7],
                b"voucher",
                &[0, 10],
                b"1234567890",
            ]
            .concat(),
        );
        let expected: [u8; 32] = definition.finalize().into_bytes().into();
        assert_eq!(
            mac(1).tag(&tenant(1), TagKind::Voucher, b"1234567890").0,
            expected
        );
    }
}
