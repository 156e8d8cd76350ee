//! What a person's row holds: the person's own key, wrapped, and the sealed individual number.

use hkdf::Hkdf;
use sha2::Sha256;
use vrx_domain::{IndividualNumber, PersonId, Random};
use zeroize::Zeroizing;

use super::Keyring;
use super::rows::secret_of;
use crate::context::{Context, Place};
use crate::envelope::{Cipher, Sealed, key_id};
use crate::error::CryptoError;
use crate::person_key::PersonKey;
use crate::secret::SecretKey;

/// # Persons
impl Keyring {
    /// A key for a new person.
    pub fn new_person_key(&self, random: &dyn Random) -> PersonKey {
        PersonKey::new(SecretKey::generate(random))
    }

    /// Wraps a person's key for its row.
    pub fn wrap_person_key(
        &self,
        random: &dyn Random,
        person: PersonId,
        key: &PersonKey,
    ) -> Result<Sealed, CryptoError> {
        self.seal_record_of(
            random,
            Context::PersonKey,
            person.as_bytes(),
            person.as_bytes(),
            key.secret().expose(),
        )
    }

    /// Unwraps the key in a person's row.
    pub fn unwrap_person_key(
        &self,
        person: PersonId,
        wrapped: &[u8],
    ) -> Result<PersonKey, CryptoError> {
        let bytes = self.open_record_of(
            Context::PersonKey,
            person.as_bytes(),
            person.as_bytes(),
            wrapped,
        )?;
        secret_of(&bytes).map(PersonKey::new)
    }

    /// Seals an individual number under HKDF-SHA256(number key ‖ person key, info = the context's label). The envelope
    /// names the number key.
    pub fn seal_number(
        &self,
        random: &dyn Random,
        person: PersonId,
        key: &PersonKey,
        number: &IndividualNumber,
    ) -> Result<Sealed, CryptoError> {
        let active = self.number.active();
        let cipher = number_cipher(&active.secret, key)?;
        cipher.seal(
            active.id,
            random,
            &self.number_place(&person),
            number.digits(),
        )
    }

    /// Opens the individual number in a person's row.
    pub fn open_number(
        &self,
        person: PersonId,
        key: &PersonKey,
        sealed: &[u8],
    ) -> Result<IndividualNumber, CryptoError> {
        let version = key_id(sealed)
            .and_then(|id| self.number.opener(id))
            .ok_or(CryptoError::Open)?;
        let digits =
            number_cipher(&version.secret, key)?.open(&self.number_place(&person), sealed)?;
        IndividualNumber::from_digits(&digits).map_err(|_| CryptoError::Open)
    }

    fn number_place<'a>(&'a self, person: &'a PersonId) -> Place<'a> {
        Place {
            tenant: &self.tenant,
            context: Context::PersonNumber,
            row: person.as_bytes(),
            owner: person.as_bytes(),
        }
    }
}

/// Number key and person key make the key of the number: destroying either ends it.
fn number_cipher(number_key: &SecretKey, person_key: &PersonKey) -> Result<Cipher, CryptoError> {
    let mut both = Zeroizing::new([0u8; 64]);
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(number_key.expose());
    second.copy_from_slice(person_key.secret().expose());
    let mut derived = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(None, both.as_slice())
        .expand(
            Context::PersonNumber.label().as_bytes(),
            derived.as_mut_slice(),
        )
        .map_err(|_| CryptoError::Malformed("a derived key's length"))?;
    Ok(Cipher::new(&SecretKey::from_bytes(derived)))
}
