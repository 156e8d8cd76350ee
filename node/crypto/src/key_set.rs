//! All versions of one kind of key, in their states.

use crate::error::CryptoError;
use crate::keys::{KeyId, KeyKind, KeyState};
use crate::secret::SecretKey;

/// What a key is prepared into once, so that no use pays for its schedule.
pub(crate) trait Prepare: Sized {
    fn prepare(key: &SecretKey) -> Result<Self, CryptoError>;
}

/// A key whose bytes are there.
pub(crate) struct Version<P> {
    pub(crate) id: KeyId,
    pub(crate) secret: SecretKey,
    pub(crate) prepared: P,
}

impl<P: Prepare> Version<P> {
    fn new(id: KeyId, secret: SecretKey) -> Result<Self, CryptoError> {
        let prepared = P::prepare(&secret)?;
        Ok(Self {
            id,
            secret,
            prepared,
        })
    }
}

/// The versions of one kind: exactly one active, any number of others. There is no set without an active key.
pub(crate) struct KeySet<P> {
    kind: KeyKind,
    active: Version<P>,
    pending: Vec<Version<P>>,
    retired: Vec<Version<P>>,
    destroyed: Vec<KeyId>,
}

impl<P: Prepare> KeySet<P> {
    pub(crate) fn first(kind: KeyKind, secret: SecretKey) -> Result<Self, CryptoError> {
        let active = Version::new(KeyId(1), secret)?;
        Ok(Self {
            kind,
            active,
            pending: Vec::new(),
            retired: Vec::new(),
            destroyed: Vec::new(),
        })
    }

    /// Puts a set together from the records of a keyring file.
    pub(crate) fn restore(
        kind: KeyKind,
        records: Vec<(KeyId, KeyState, Option<SecretKey>)>,
    ) -> Result<Self, CryptoError> {
        let (mut active, mut pending, mut retired, mut destroyed) =
            (None, Vec::new(), Vec::new(), Vec::new());
        let mut seen = Vec::new();
        for (id, state, secret) in records {
            if id.0 == 0 || seen.contains(&id) {
                return Err(CryptoError::Malformed(
                    "a key id in the keyring is zero or there twice",
                ));
            }
            seen.push(id);
            match (state, secret) {
                (KeyState::Destroyed, None) => destroyed.push(id),
                (KeyState::Pending, Some(secret)) => pending.push(Version::new(id, secret)?),
                (KeyState::Retired, Some(secret)) => retired.push(Version::new(id, secret)?),
                (KeyState::Active, Some(secret)) if active.is_none() => {
                    active = Some(Version::new(id, secret)?);
                }
                (KeyState::Active, Some(_)) => {
                    return Err(CryptoError::Malformed("two active keys of one kind"));
                }
                _ => {
                    return Err(CryptoError::Malformed(
                        "a key in the keyring without its bytes, or bytes without a key",
                    ));
                }
            }
        }
        let active = active.ok_or(CryptoError::NoActiveKey(kind))?;
        retired.sort_by_key(|version| std::cmp::Reverse(version.id));
        Ok(Self {
            kind,
            active,
            pending,
            retired,
            destroyed,
        })
    }

    pub(crate) fn active(&self) -> &Version<P> {
        &self.active
    }

    /// Retired versions, the newest first.
    pub(crate) fn retired(&self) -> &[Version<P>] {
        &self.retired
    }

    /// A version that opens: any that isn't destroyed.
    pub(crate) fn opener(&self, id: KeyId) -> Option<&Version<P>> {
        std::iter::once(&self.active)
            .chain(&self.retired)
            .chain(&self.pending)
            .find(|version| version.id == id)
    }

    /// Every version with its state, by id.
    pub(crate) fn states(&self) -> Vec<(KeyKind, KeyId, KeyState)> {
        let mut states: Vec<_> = self
            .records()
            .into_iter()
            .map(|(id, state, _)| (self.kind, id, state))
            .collect();
        states.sort_by_key(|(_, id, _)| *id);
        states
    }

    /// What the keyring file holds of this kind.
    pub(crate) fn records(&self) -> Vec<(KeyId, KeyState, Option<&SecretKey>)> {
        let mut records = vec![(self.active.id, KeyState::Active, Some(&self.active.secret))];
        records.extend(
            self.pending
                .iter()
                .map(|v| (v.id, KeyState::Pending, Some(&v.secret))),
        );
        records.extend(
            self.retired
                .iter()
                .map(|v| (v.id, KeyState::Retired, Some(&v.secret))),
        );
        records.extend(
            self.destroyed
                .iter()
                .map(|id| (*id, KeyState::Destroyed, None)),
        );
        records
    }

    /// Adds a version that seals nothing yet.
    pub(crate) fn add_pending(&mut self, secret: SecretKey) -> Result<KeyId, CryptoError> {
        let newest = self
            .records()
            .iter()
            .map(|(id, _, _)| id.0)
            .max()
            .unwrap_or(0);
        let id = KeyId(
            newest
                .checked_add(1)
                .ok_or(CryptoError::Malformed("no key id is left"))?,
        );
        self.pending.push(Version::new(id, secret)?);
        Ok(id)
    }

    /// Pending becomes active, and what was active retires.
    pub(crate) fn activate(&mut self, id: KeyId) -> Result<(), CryptoError> {
        let Some(at) = self.pending.iter().position(|version| version.id == id) else {
            return Err(self.refusal(id, KeyState::Active));
        };
        let former = std::mem::replace(&mut self.active, self.pending.remove(at));
        self.retired.insert(0, former);
        Ok(())
    }

    /// Pending or retired becomes destroyed; the bytes are wiped.
    pub(crate) fn destroy(&mut self, id: KeyId) -> Result<(), CryptoError> {
        let before = self.pending.len() + self.retired.len();
        self.pending.retain(|version| version.id != id);
        self.retired.retain(|version| version.id != id);
        if self.pending.len() + self.retired.len() == before {
            return Err(self.refusal(id, KeyState::Destroyed));
        }
        self.destroyed.push(id);
        Ok(())
    }

    fn refusal(&self, id: KeyId, to: KeyState) -> CryptoError {
        match self.records().into_iter().find(|record| record.0 == id) {
            Some((_, from, _)) => CryptoError::InvalidTransition {
                kind: self.kind,
                id,
                from,
                to,
            },
            None => CryptoError::UnknownKey(self.kind, id),
        }
    }
}
