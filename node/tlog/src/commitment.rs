//! Commitments: what stands in a leaf instead of the words themselves.
//!
//! `C_f = HMAC-SHA256(k_f, "vrx/1/" ‖ f ‖ 0x00 ‖ for each field: u16 big-endian length ‖ bytes)`, where `f` is `subject`, `actor` or
//! `content`, the fields come in the order of their table (`vrx_domain::audit`), and `k_f` is 32 random bytes of this entry alone. Without
//! `k_f` the value says nothing, not even whether a guess is right; destroying `k_f` erases what it committed to and leaves the tree whole.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::error::TlogError;

/// Which of a leaf's three commitments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitTo {
    /// The person (本人) and the true cause of the outcome.
    Subject,
    /// The caller and its evidence.
    Actor,
    /// What the caller was told.
    Content,
}

impl CommitTo {
    /// The name inside the hashed bytes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Actor => "actor",
            Self::Content => "content",
        }
    }
}

/// Commits to `fields` under `key`.
pub fn commit<'a>(
    key: &[u8; 32],
    to: CommitTo,
    fields: impl IntoIterator<Item = &'a [u8]>,
) -> Result<[u8; 32], TlogError> {
    // HMAC takes keys of every length: 32 bytes can't fail, and if they did nothing would be committed to.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| TlogError::FieldTooLong)?;
    mac.update(b"vrx/1/");
    mac.update(to.name().as_bytes());
    mac.update(&[0]);
    for field in fields {
        let len = u16::try_from(field.len()).map_err(|_| TlogError::FieldTooLong)?;
        mac.update(&len.to_be_bytes());
        mac.update(field);
    }
    Ok(mac.finalize().into_bytes().into())
}

/// Whether `key` and `fields` open `commitment`, in constant time.
pub fn opens<'a>(
    commitment: &[u8; 32],
    key: &[u8; 32],
    to: CommitTo,
    fields: impl IntoIterator<Item = &'a [u8]>,
) -> bool {
    commit(key, to, fields).is_ok_and(|made| bool::from(made.ct_eq(commitment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn the_committed_bytes_are_those_of_the_specification() {
        let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
        mac.update(b"vrx/1/actor\x00\x00\x02ab\x00\x00\x00\x01c");
        let by_hand: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(
            commit(&KEY, CommitTo::Actor, [b"ab".as_slice(), b"", b"c"]),
            Ok(by_hand)
        );
        assert!(opens(
            &by_hand,
            &KEY,
            CommitTo::Actor,
            [b"ab".as_slice(), b"", b"c"]
        ));
    }

    #[test]
    fn another_name_key_or_division_of_the_fields_gives_another_commitment() {
        let made = commit(&KEY, CommitTo::Subject, [b"ab".as_slice(), b"c"]).unwrap();
        assert!(!opens(
            &made,
            &KEY,
            CommitTo::Content,
            [b"ab".as_slice(), b"c"]
        ));
        assert!(!opens(
            &made,
            &KEY,
            CommitTo::Subject,
            [b"a".as_slice(), b"bc"]
        ));
        assert!(!opens(
            &made,
            &[8; 32],
            CommitTo::Subject,
            [b"ab".as_slice(), b"c"]
        ));
    }

    #[test]
    fn a_field_longer_than_its_prefix_is_refused() {
        assert!(commit(&KEY, CommitTo::Actor, [vec![0; 65535].as_slice()]).is_ok());
        assert_eq!(
            commit(&KEY, CommitTo::Actor, [vec![0; 65536].as_slice()]),
            Err(TlogError::FieldTooLong)
        );
    }
}
