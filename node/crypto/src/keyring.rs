//! The keyring of one tenant: all its keys, prepared, behind one handle.

use hkdf::Hkdf;
use sha2::Sha256;
use vrx_domain::{EntryId, IndividualNumber, InquiryId, PersonId, Random, Tenant, TenantId};
use zeroize::Zeroizing;

use crate::context::{Context, NO_OWNER, Place};
use crate::envelope::{Cipher, NONCE, Sealed, key_id};
use crate::error::CryptoError;
use crate::key_set::{KeySet, Prepare, Version};
use crate::keys::{KeyId, KeyKind, KeyState};
use crate::person_key::{ONLY_VERSION, PersonKey};
use crate::seals::SealCounter;
use crate::secret::SecretKey;
use crate::signer::Signer;
use crate::tag::{TagKind, TagMac, Tags};

/// The keys of one tenant. Made once, shared by `Arc`; every key's schedule and HMAC state is prepared when it is
/// loaded.
///
/// ```compile_fail
/// fn print(keyring: &vrx_crypto::Keyring) { println!("{keyring:?}"); }
/// ```
/// ```compile_fail
/// fn copy(keyring: &vrx_crypto::Keyring) -> vrx_crypto::Keyring { keyring.clone() }
/// ```
pub struct Keyring {
    pub(crate) tenant: TenantId,
    pub(crate) tag: KeySet<TagMac>,
    pub(crate) number: KeySet<()>,
    pub(crate) record: KeySet<Cipher>,
    pub(crate) log: KeySet<Cipher>,
    pub(crate) log_signing: KeySet<Signer>,
    pub(crate) witness: KeySet<Signer>,
    pub(crate) seals: SealCounter,
}

/// A value sealed under a key of its own, beside that key, wrapped: destroy the wrapped key, and the body is gone.
pub struct SealedOpening {
    /// The value's key, wrapped by the log key (openings) or the record key (inquiries).
    pub wrapped_key: Sealed,
    /// The value.
    pub body: Sealed,
}

/// A new keyring whose recovery copy isn't proved yet: it can be copied, and nothing else.
pub struct PendingKeyring(Keyring);

impl PendingKeyring {
    /// What the recovery copy holds; see [`Keyring::recovery_plaintext`].
    pub fn recovery_plaintext(&self) -> Zeroizing<Vec<u8>> {
        self.0.recovery_plaintext()
    }

    /// The recovery copy was written, reopened and found equal: from here on the keys may seal.
    pub fn activate(self) -> Keyring {
        self.0
    }
}

impl Prepare for () {
    fn prepare(_: &SecretKey) -> Result<Self, CryptoError> {
        Ok(())
    }
}

impl Prepare for Cipher {
    fn prepare(key: &SecretKey) -> Result<Self, CryptoError> {
        Ok(Self::new(key))
    }
}

/// # Life
impl Keyring {
    /// New keys for a tenant, usable at once. For a node that keeps its keys: [`Keyring::prepare`].
    pub fn create(tenant: &Tenant, random: &dyn Random) -> Result<Self, CryptoError> {
        Self::prepare(tenant, random).map(PendingKeyring::activate)
    }

    /// New keys for a tenant, to be activated once their recovery copy is proved.
    pub fn prepare(tenant: &Tenant, random: &dyn Random) -> Result<PendingKeyring, CryptoError> {
        let new = || SecretKey::generate(random);
        let sealing = [(KeyKind::Record, KeyId(1)), (KeyKind::Log, KeyId(1))];
        Ok(PendingKeyring(Self {
            tenant: tenant.id,
            tag: KeySet::first(KeyKind::Tag, new())?,
            number: KeySet::first(KeyKind::Number, new())?,
            record: KeySet::first(KeyKind::Record, new())?,
            log: KeySet::first(KeyKind::Log, new())?,
            log_signing: KeySet::first(KeyKind::LogSigning, new())?,
            witness: KeySet::first(KeyKind::Witness, new())?,
            seals: SealCounter::in_memory(sealing, 0),
        }))
    }

    /// Whose keys these are.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Every key there is or was, with its state.
    pub fn key_states(&self) -> Vec<(KeyKind, KeyId, KeyState)> {
        let sets = [
            self.tag.states(),
            self.number.states(),
            self.record.states(),
            self.log.states(),
            self.log_signing.states(),
            self.witness.states(),
        ];
        sets.into_iter().flatten().collect()
    }

    /// Adds a key that seals nothing until [`Keyring::activate`]; save and copy the keyring in between.
    pub fn add_pending(
        &mut self,
        kind: KeyKind,
        random: &dyn Random,
    ) -> Result<KeyId, CryptoError> {
        let secret = SecretKey::generate(random);
        let id = match kind {
            KeyKind::Tag => self.tag.add_pending(secret),
            KeyKind::Number => self.number.add_pending(secret),
            KeyKind::Record => self.record.add_pending(secret),
            KeyKind::Log => self.log.add_pending(secret),
            KeyKind::LogSigning => self.log_signing.add_pending(secret),
            KeyKind::Witness => self.witness.add_pending(secret),
        }?;
        if matches!(kind, KeyKind::Record | KeyKind::Log) {
            self.seals.add(kind, id);
        }
        Ok(id)
    }

    /// A pending key becomes the active one, the active one retires.
    pub fn activate(&mut self, kind: KeyKind, id: KeyId) -> Result<(), CryptoError> {
        match kind {
            KeyKind::Tag => self.tag.activate(id),
            KeyKind::Number => self.number.activate(id),
            KeyKind::Record => self.record.activate(id),
            KeyKind::Log => self.log.activate(id),
            KeyKind::LogSigning => self.log_signing.activate(id),
            KeyKind::Witness => self.witness.activate(id),
        }
    }

    /// A pending or retired key is wiped for good. Save the keyring after it.
    pub fn destroy(&mut self, kind: KeyKind, id: KeyId) -> Result<(), CryptoError> {
        match kind {
            KeyKind::Tag => self.tag.destroy(id),
            KeyKind::Number => self.number.destroy(id),
            KeyKind::Record => self.record.destroy(id),
            KeyKind::Log => self.log.destroy(id),
            KeyKind::LogSigning => self.log_signing.destroy(id),
            KeyKind::Witness => self.witness.destroy(id),
        }
    }

    /// How often the keys have sealed.
    pub fn seals(&self) -> &SealCounter {
        &self.seals
    }

    /// The last thing a stopping node does with its keys: gives back the seals it had reserved and didn't use.
    pub fn close(&self) -> Result<(), CryptoError> {
        self.seals.close()
    }
}

/// # Tags and signatures
impl Keyring {
    /// The tags of a value under every live tag key.
    pub fn tags(&self, kind: TagKind, value: &[u8]) -> Tags {
        let tag = |version: &Version<TagMac>| {
            (version.id, version.prepared.tag(&self.tenant, kind, value))
        };
        Tags::new(
            tag(self.tag.active()),
            self.tag.retired().iter().map(tag).collect(),
        )
    }

    /// Signs a checkpoint of this tenant's log (Ed25519).
    pub fn sign_log(&self, message: &[u8]) -> [u8; 64] {
        self.log_signing.active().prepared.sign(message)
    }

    /// The key others check this log's checkpoints with.
    pub fn log_public_key(&self) -> [u8; 32] {
        self.log_signing.active().prepared.public_key()
    }

    /// The version of the log signing key: the key epoch of a leaf.
    pub fn log_key_id(&self) -> KeyId {
        self.log_signing.active().id
    }

    /// Signs as a witness (Ed25519), under a key apart from the log's.
    pub fn sign_witness(&self, message: &[u8]) -> [u8; 64] {
        self.witness.active().prepared.sign(message)
    }

    /// The key others check this witness's cosignatures with.
    pub fn witness_public_key(&self) -> [u8; 32] {
        self.witness.active().prepared.public_key()
    }
}

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

/// # Rows that belong to no person
impl Keyring {
    /// Seals a log entry's opening under a key of its own, wrapped by the log key.
    pub fn seal_opening(
        &self,
        random: &dyn Random,
        entry: EntryId,
        plaintext: &[u8],
    ) -> Result<SealedOpening, CryptoError> {
        let wrapping = self.log.active();
        self.seals.take(KeyKind::Log, wrapping.id)?;
        let contexts = (Context::OpeningKey, Context::Opening);
        self.seal_under_own_key(random, wrapping, contexts, entry.as_bytes(), plaintext)
    }

    /// Opens a log entry's opening.
    pub fn open_opening(
        &self,
        entry: EntryId,
        wrapped_key: &[u8],
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let version = key_id(wrapped_key)
            .and_then(|id| self.log.opener(id))
            .ok_or(CryptoError::Open)?;
        let contexts = (Context::OpeningKey, Context::Opening);
        self.open_under_own_key(version, contexts, entry.as_bytes(), wrapped_key, body)
    }

    /// Seals an inquiry (照会) under a key of its own, wrapped by the record key.
    pub fn seal_inquiry(
        &self,
        random: &dyn Random,
        inquiry: InquiryId,
        plaintext: &[u8],
    ) -> Result<SealedOpening, CryptoError> {
        let wrapping = self.record.active();
        self.seals.take(KeyKind::Record, wrapping.id)?;
        let contexts = (Context::InquiryKey, Context::InquiryBody);
        self.seal_under_own_key(random, wrapping, contexts, inquiry.as_bytes(), plaintext)
    }

    /// Opens an inquiry.
    pub fn open_inquiry(
        &self,
        inquiry: InquiryId,
        wrapped_key: &[u8],
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let version = key_id(wrapped_key)
            .and_then(|id| self.record.opener(id))
            .ok_or(CryptoError::Open)?;
        let contexts = (Context::InquiryKey, Context::InquiryBody);
        self.open_under_own_key(version, contexts, inquiry.as_bytes(), wrapped_key, body)
    }

    /// Seals a small row of the tenant under the record key.
    pub fn seal_record(
        &self,
        random: &dyn Random,
        context: Context,
        row: [u8; 16],
        plaintext: &[u8],
    ) -> Result<Sealed, CryptoError> {
        self.seal_record_of(random, context, &row, &NO_OWNER, plaintext)
    }

    /// Opens a small row of the tenant.
    pub fn open_record(
        &self,
        context: Context,
        row: [u8; 16],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.open_record_of(context, &row, &NO_OWNER, sealed)
    }

    fn seal_record_of(
        &self,
        random: &dyn Random,
        context: Context,
        row: &[u8; 16],
        owner: &[u8; 16],
        plaintext: &[u8],
    ) -> Result<Sealed, CryptoError> {
        let active = self.record.active();
        self.seals.take(KeyKind::Record, active.id)?;
        let place = Place {
            tenant: &self.tenant,
            context,
            row,
            owner,
        };
        active.prepared.seal(active.id, random, &place, plaintext)
    }

    fn open_record_of(
        &self,
        context: Context,
        row: &[u8; 16],
        owner: &[u8; 16],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let version = key_id(sealed)
            .and_then(|id| self.record.opener(id))
            .ok_or(CryptoError::Open)?;
        version.prepared.open(
            &Place {
                tenant: &self.tenant,
                context,
                row,
                owner,
            },
            sealed,
        )
    }

    fn seal_under_own_key(
        &self,
        random: &dyn Random,
        wrapping: &Version<Cipher>,
        (key_context, body_context): (Context, Context),
        row: &[u8; 16],
        plaintext: &[u8],
    ) -> Result<SealedOpening, CryptoError> {
        // One draw for the key and both nonces: this runs for every log entry.
        let mut drawn = Zeroizing::new([0u8; 32 + 2 * NONCE]);
        random.fill(drawn.as_mut_slice());
        let too_short = CryptoError::Malformed("a draw of randomness");
        let (secret, nonces) = drawn
            .split_first_chunk::<32>()
            .ok_or_else(|| too_short.clone())?;
        let (key_nonce, rest) = nonces
            .split_first_chunk::<NONCE>()
            .ok_or_else(|| too_short.clone())?;
        let body_nonce = rest.first_chunk::<NONCE>().ok_or(too_short)?;
        let own = Cipher::new(&SecretKey::from_bytes(Zeroizing::new(*secret)));
        let place = |context| Place {
            tenant: &self.tenant,
            context,
            row,
            owner: &NO_OWNER,
        };
        Ok(SealedOpening {
            wrapped_key: wrapping.prepared.seal_with(
                wrapping.id,
                *key_nonce,
                &place(key_context),
                secret,
            )?,
            body: own.seal_with(ONLY_VERSION, *body_nonce, &place(body_context), plaintext)?,
        })
    }

    fn open_under_own_key(
        &self,
        wrapping: &Version<Cipher>,
        (key_context, body_context): (Context, Context),
        row: &[u8; 16],
        wrapped_key: &[u8],
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let place = |context| Place {
            tenant: &self.tenant,
            context,
            row,
            owner: &NO_OWNER,
        };
        let secret = secret_of(&wrapping.prepared.open(&place(key_context), wrapped_key)?)?;
        if key_id(body) != Some(ONLY_VERSION) {
            return Err(CryptoError::Open);
        }
        Cipher::new(&secret).open(&place(body_context), body)
    }
}

fn secret_of(bytes: &[u8]) -> Result<SecretKey, CryptoError> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| CryptoError::Open)?;
    Ok(SecretKey::from_bytes(Zeroizing::new(bytes)))
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

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
