//! The state of the log that this node stands for with its signature.

use vrx_crypto::Keyring;
use vrx_tlog::{Checkpoint, Snapshot, VerifierKey, sign_note};

/// A signed checkpoint and the tree that it speaks of.
#[derive(Debug, Clone)]
pub struct SignedCheckpoint {
    note: String,
    snapshot: Snapshot,
}

impl SignedCheckpoint {
    /// Signs a tree that is durable. Never called for one that isn't: a signature can't be taken back.
    pub(crate) fn sign(snapshot: Snapshot, key: &VerifierKey, keyring: &Keyring) -> Self {
        let body = Checkpoint {
            origin: key.name().to_owned(),
            size: snapshot.size(),
            root: snapshot.root(),
        }
        .body();
        Self {
            note: sign_note(&body, key, |message| keyring.sign_log(message)),
            snapshot,
        }
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
