//! The keyring of one tenant: all its keys, prepared, behind one handle.

mod file;
mod persons;
mod rows;

use vrx_domain::{Random, Tenant, TenantId};
use zeroize::Zeroizing;

use crate::envelope::{Cipher, Sealed};
use crate::error::CryptoError;
use crate::key_set::{KeySet, Prepare, Version};
use crate::keys::{KeyId, KeyKind, KeyState};
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

    /// Every key with which checkpoints of this tenant's log may have been signed: the active one, then retired ones.
    pub fn log_public_keys(&self) -> Vec<[u8; 32]> {
        std::iter::once(self.log_signing.active())
            .chain(self.log_signing.retired())
            .map(|version| version.prepared.public_key())
            .collect()
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

    /// Every key with which this witness may have cosigned: the active one, then retired ones.
    pub fn witness_public_keys(&self) -> Vec<[u8; 32]> {
        std::iter::once(self.witness.active())
            .chain(self.witness.retired())
            .map(|version| version.prepared.public_key())
            .collect()
    }
}

#[cfg(test)]
mod tests;
