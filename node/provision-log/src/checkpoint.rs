//! The state of the log that this node stands for with its signature.

use vrx_crypto::Keyring;
use vrx_tlog::{Checkpoint, Snapshot, VerifierKey, sign_note};

/// A signed checkpoint and the tree that it speaks of.
#[derive(Debug, Clone)]
pub struct SignedCheckpoint {
    note: String,
    snapshot: Snapshot,
    last_time: u64,
}

impl SignedCheckpoint {
    /// Signs a tree that is durable. Never called for one that isn't: a signature can't be taken back. `last_time` is its last entry's.
    pub(crate) fn sign(
        snapshot: Snapshot,
        last_time: u64,
        key: &VerifierKey,
        keyring: &Keyring,
    ) -> Self {
        let body = Checkpoint {
            origin: key.name().to_owned(),
            size: snapshot.size(),
            root: snapshot.root(),
        }
        .body();
        Self {
            note: sign_note(&body, key, |message| keyring.sign_log(message)),
            snapshot,
            last_time,
        }
    }

    /// Time of the last entry under it, milliseconds since 1970 (UTC); 0 of an empty log.
    pub fn last_time(&self) -> u64 {
        self.last_time
    }

    /// The signed note (C2SP tlog-checkpoint).
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.snapshot.size()
    }

    /// Root over them.
    pub fn root(&self) -> vrx_tlog::Hash {
        self.snapshot.root()
    }

    /// The tree, to make proofs from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}
