//! What a tenant cosigned of others' logs as their witness, and what witnesses cosigned of its own log.
//!
//! Both are public, signed texts. A witness is worth as much as its memory: its record of a log moves only from what was
//! there to what was checked against it, durably, before the cosignature leaves.

use async_trait::async_trait;

use crate::StorageError;

/// The newest checkpoint of a log that this tenant cosigned as a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessedLog {
    /// Name of the log, with its epoch.
    pub origin: String,
    /// Entries in the checkpoint.
    pub size: u64,
    /// Its root.
    pub root: [u8; 32],
    /// The checkpoint as a signed note, with the log's signature and this witness's cosignature.
    pub note: String,
}

/// The newest checkpoint of an own log that enough witnesses cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignedCheckpoint {
    /// Name of the own log, with its epoch.
    pub origin: String,
    /// Entries in the checkpoint.
    pub size: u64,
    /// The checkpoint as a signed note, with its cosignatures.
    pub note: String,
}

/// Both sides of witnessing.
#[async_trait]
pub trait WitnessStore: Send + Sync {
    /// What this tenant cosigned last of a log.
    async fn witnessed(&self, origin: &str) -> Result<Option<WitnessedLog>, StorageError>;

    /// Puts `new` in the place of the record of its log with the size and root `expected`, `None` for no record yet, in one durable
    /// step. `false`: another one is there, and nothing was changed. Of two at once that expect the same at most one is told `true`.
    /// After an error the record may be either; whoever reads it again knows.
    async fn swap_witnessed(
        &self,
        expected: Option<(u64, [u8; 32])>,
        new: WitnessedLog,
    ) -> Result<bool, StorageError>;

    /// The newest checkpoint of an own log that enough witnesses cosigned.
    async fn cosigned(&self, origin: &str) -> Result<Option<CosignedCheckpoint>, StorageError>;

    /// Keeps a checkpoint that enough witnesses cosigned, durably. Left out when one with more entries is kept already.
    async fn keep_cosigned(&self, checkpoint: CosignedCheckpoint) -> Result<(), StorageError>;
}
