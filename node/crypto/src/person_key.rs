//! A person's own key: what the person's rows are sealed under.

use vrx_domain::{PersonId, Random, TenantId};
use zeroize::Zeroizing;

use crate::context::{Context, Place};
use crate::envelope::{Cipher, Sealed, key_id};
use crate::error::CryptoError;
use crate::keys::KeyId;
use crate::secret::SecretKey;

/// The version of a person's key that envelopes under it name. Rotation rewraps the key and never changes it.
pub(crate) const ONLY_VERSION: KeyId = KeyId(1);

/// 32 random bytes of one person, wrapped by the record key in the person's row. Destroy it, and the person's rows are
/// gone wherever copies of them lie.
///
/// ```compile_fail
/// fn print(key: &vrx_crypto::PersonKey) { println!("{key:?}"); }
/// ```
/// ```compile_fail
/// fn copy(key: &vrx_crypto::PersonKey) -> vrx_crypto::PersonKey { key.clone() }
/// ```
pub struct PersonKey {
    secret: SecretKey,
    cipher: Cipher,
}

impl PersonKey {
    pub(crate) fn new(secret: SecretKey) -> Self {
        let cipher = Cipher::new(&secret);
        Self { secret, cipher }
    }

    /// Seals one row of the person.
    pub fn seal(
        &self,
        random: &dyn Random,
        tenant: &TenantId,
        context: Context,
        row: [u8; 16],
        person: PersonId,
        plaintext: &[u8],
    ) -> Result<Sealed, CryptoError> {
        let place = Place {
            tenant,
            context,
            row: &row,
            owner: person.as_bytes(),
        };
        self.cipher.seal(ONLY_VERSION, random, &place, plaintext)
    }

    /// Opens one row of the person.
    pub fn open(
        &self,
        tenant: &TenantId,
        context: Context,
        row: [u8; 16],
        person: PersonId,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        if key_id(sealed) != Some(ONLY_VERSION) {
            return Err(CryptoError::Open);
        }
        self.cipher.open(
            &Place {
                tenant,
                context,
                row: &row,
                owner: person.as_bytes(),
            },
            sealed,
        )
    }

    pub(crate) fn secret(&self) -> &SecretKey {
        &self.secret
    }
}
