//! The envelope: `version u8 = 1 | key id u32 | nonce 12 | ciphertext | tag 16`, AES-256-GCM with random nonces.
//!
//! The plaintext inside opens with a format byte, so that a later format can be told from this one only by whoever can
//! open it. The header is associated data, with the place the ciphertext stands in.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use vrx_domain::Random;
use zeroize::Zeroizing;

use crate::context::Place;
use crate::error::CryptoError;
use crate::keys::KeyId;
use crate::secret::SecretKey;

const VERSION: u8 = 1;
const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4;
pub(crate) const NONCE: usize = 12;
const TAG: usize = 16;

/// A ciphertext in its envelope, as it stands in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// How many bytes an envelope adds to its plaintext.
    pub const OVERHEAD: usize = HEADER + NONCE + 1 + TAG;

    /// Bytes that came from a column. They are judged when they are opened.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes for a column.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes for a column.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Which key it says sealed it; `None` when it isn't an envelope.
    pub fn key_id(&self) -> Option<KeyId> {
        key_id(&self.0)
    }
}

/// Which key an envelope says sealed it; `None` when the bytes aren't an envelope of version 1.
pub(crate) fn key_id(bytes: &[u8]) -> Option<KeyId> {
    let (version, rest) = bytes.split_first()?;
    let (id, _) = rest.split_first_chunk::<4>()?;
    (*version == VERSION).then_some(KeyId(u32::from_be_bytes(*id)))
}

/// A prepared AES-256-GCM key: its schedule is made once.
pub(crate) struct Cipher(Box<Aes256Gcm>);

impl Cipher {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Self(Box::new(Aes256Gcm::new(key.expose().into())))
    }

    /// Seals under a random nonce.
    pub(crate) fn seal(
        &self,
        key: KeyId,
        random: &dyn Random,
        place: &Place<'_>,
        plaintext: &[u8],
    ) -> Result<Sealed, CryptoError> {
        let mut nonce = [0u8; NONCE];
        random.fill(&mut nonce);
        self.seal_with(key, nonce, place, plaintext)
    }

    /// Seals under a nonce that the caller drew at random.
    pub(crate) fn seal_with(
        &self,
        key: KeyId,
        nonce: [u8; NONCE],
        place: &Place<'_>,
        plaintext: &[u8],
    ) -> Result<Sealed, CryptoError> {
        // Exact capacity: the buffer holds plaintext until it is encrypted in place and must not be moved before.
        let mut bytes = Vec::with_capacity(Sealed::OVERHEAD + plaintext.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&key.0.to_be_bytes());
        let aad = place.associated_data(&bytes);
        bytes.extend_from_slice(&nonce);
        bytes.push(FORMAT);
        bytes.extend_from_slice(plaintext);
        let (_, body) = bytes.split_at_mut(HEADER + NONCE);
        let tag = self
            .0
            .encrypt_inout_detached(&nonce.into(), &aad, body.into())
            .map_err(|_| CryptoError::Malformed("too long to seal"))?;
        bytes.extend_from_slice(&tag);
        Ok(Sealed(bytes))
    }

    /// Opens what stands at this place, or fails without saying why.
    pub(crate) fn open(
        &self,
        place: &Place<'_>,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        key_id(bytes).ok_or(CryptoError::Open)?;
        let (header, rest) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(CryptoError::Open)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(CryptoError::Open)?;
        let (body, tag) = rest.split_last_chunk::<TAG>().ok_or(CryptoError::Open)?;
        let mut plaintext = Zeroizing::new(body.to_vec());
        let aad = place.associated_data(header);
        self.0
            .decrypt_inout_detached(
                &(*nonce).into(),
                &aad,
                plaintext.as_mut_slice().into(),
                &(*tag).into(),
            )
            .map_err(|_| CryptoError::Open)?;
        if plaintext.first() != Some(&FORMAT) {
            return Err(CryptoError::Open);
        }
        plaintext.remove(0);
        Ok(plaintext)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::context::Context;
    use crate::testing::{Seeded, tenant};

    fn cipher(byte: u8) -> Cipher {
        Cipher::new(&SecretKey::from_bytes(Zeroizing::new([byte; 32])))
    }

    fn place(context: Context, tenant: &vrx_domain::TenantId) -> Place<'_> {
        Place {
            tenant,
            context,
            row: &[1; 16],
            owner: &[2; 16],
        }
    }

    #[test]
    fn the_header_names_version_and_key() {
        let (random, tenant) = (Seeded::new(1), tenant(1));
        let sealed = cipher(7)
            .seal(
                KeyId(9),
                &random,
                &place(Context::DoseBody, &tenant),
                b"dose",
            )
            .unwrap();
        assert_eq!(&sealed.as_bytes()[..5], &[1, 0, 0, 0, 9]);
        assert_eq!(sealed.key_id(), Some(KeyId(9)));
        assert_eq!(sealed.as_bytes().len(), Sealed::OVERHEAD + 4);
    }

    #[test]
    fn a_ciphertext_opens_only_where_it_was_sealed() {
        let (random, here, elsewhere) = (Seeded::new(1), tenant(1), tenant(2));
        let cipher = cipher(7);
        let at = |tenant, context, row, owner| Place {
            tenant,
            context,
            row,
            owner,
        };
        let sealed = cipher
            .seal(
                KeyId(1),
                &random,
                &at(&here, Context::DoseBody, &[1; 16], &[2; 16]),
                b"dose",
            )
            .unwrap();
        let open = |place: Place<'_>| {
            cipher
                .open(&place, sealed.as_bytes())
                .map(|plain| plain.to_vec())
        };
        assert_eq!(
            open(at(&here, Context::DoseBody, &[1; 16], &[2; 16])),
            Ok(b"dose".to_vec())
        );
        assert_eq!(
            open(at(&here, Context::DoseBody, &[3; 16], &[2; 16])),
            Err(CryptoError::Open),
            "another row"
        );
        assert_eq!(
            open(at(&here, Context::DoseBody, &[1; 16], &[3; 16])),
            Err(CryptoError::Open),
            "another person"
        );
        assert_eq!(
            open(at(&elsewhere, Context::DoseBody, &[1; 16], &[2; 16])),
            Err(CryptoError::Open),
            "tenant"
        );
        for context in Context::ALL
            .into_iter()
            .filter(|context| *context != Context::DoseBody)
        {
            assert_eq!(
                open(at(&here, context, &[1; 16], &[2; 16])),
                Err(CryptoError::Open),
                "{context:?}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_fails() {
        let (random, tenant) = (Seeded::new(1), tenant(1));
        let cipher = cipher(7);
        let place = place(Context::PersonBody, &tenant);
        let sealed = cipher
            .seal(KeyId(1), &random, &place, b"body")
            .unwrap()
            .into_bytes();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(cipher.open(&place, &damaged), Err(CryptoError::Open)),
                "bit {bit}"
            );
        }
        for length in 0..sealed.len() {
            assert!(
                matches!(
                    cipher.open(&place, &sealed[..length]),
                    Err(CryptoError::Open)
                ),
                "length {length}"
            );
        }
    }

    #[test]
    fn another_key_fails() {
        let (random, tenant) = (Seeded::new(1), tenant(1));
        let place = place(Context::PersonBody, &tenant);
        let sealed = cipher(7).seal(KeyId(1), &random, &place, b"body").unwrap();
        assert!(matches!(
            cipher(8).open(&place, sealed.as_bytes()),
            Err(CryptoError::Open)
        ));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plaintext in proptest::collection::vec(any::<u8>(), 0..600), seed in any::<u64>()) {
            let (random, tenant) = (Seeded::new(seed), tenant(1));
            let cipher = cipher(7);
            let place = place(Context::PersonBody, &tenant);
            let sealed = cipher.seal(KeyId(1), &random, &place, &plaintext).unwrap();
            prop_assert_eq!(cipher.open(&place, sealed.as_bytes()).unwrap().to_vec(), plaintext);
        }

        #[test]
        fn foreign_bytes_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let tenant = tenant(1);
            let opened = cipher(7).open(&place(Context::PersonBody, &tenant), &bytes);
            prop_assert!(matches!(opened, Err(CryptoError::Open)));
        }
    }
}
