//! Receipts of answers (提供記録の受領証), and what a provider enters again from them after a lost disk.
//!
//! Whoever asked another municipality keeps the receipt of each answer. After a restore into a new epoch of its log the provider
//! asks the members for those of entries that it lost, and enters them again. Nothing here is personal: a leaf is three
//! commitments, and the keys that open them are never stored with a receipt.

use async_trait::async_trait;
use vrx_domain::{MunicipalityCode, RequestId, UnixMillis};

use crate::StorageError;

/// What [`crate::ChangeError::Conflict`] names when a receipt of that place in a provider's log is held already: two answers claim one
/// entry.
pub const RECEIPT_PLACE: &str = "a receipt of that place";

/// The receipt of one answer, as the requester keeps it. Public to the two who exchanged, so it isn't sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReceipt {
    /// Who answered (提供者).
    pub provider: MunicipalityCode,
    /// Name of the provider's log, with its epoch.
    pub origin: String,
    /// Place of the answer's entry in that log, from 0.
    pub log_index: u64,
    /// When it was kept.
    pub entered_at: UnixMillis,
    /// The request that was answered.
    pub request_id: RequestId,
    /// The entry's leaf.
    pub leaf: [u8; 134],
    /// The provider's signed checkpoint that the proof leads to.
    pub note: String,
    /// Audit path from the leaf to that checkpoint's root.
    pub proof: Vec<[u8; 32]>,
}

/// A log of this tenant's own that lost its end to a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLog {
    /// Its name, with its epoch.
    pub origin: String,
    /// The first entry that wasn't restored; 0 where nothing of this epoch was.
    pub from_index: u64,
    /// Size and root of the newest checkpoint of it that was kept at the second path.
    pub signed: Option<(u64, [u8; 32])>,
}

/// A lost entry that was entered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredEntry {
    /// The lost log's name.
    pub origin: String,
    /// The entry's place in it.
    pub log_index: u64,
    /// Its leaf.
    pub leaf: [u8; 134],
    /// Size and root of the checkpoint in the receipt.
    pub tree: (u64, [u8; 32]),
    /// The member that gave the receipt back.
    pub member: MunicipalityCode,
    /// The request, as the member says.
    pub request_id: RequestId,
}

/// What a member said when it was asked for its receipts of a lost log: it isn't asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryAnswer {
    /// The lost log's name.
    pub origin: String,
    /// Who was asked.
    pub member: MunicipalityCode,
    /// When its last receipt came.
    pub answered_at: UnixMillis,
    /// How many receipts it gave.
    pub receipts: u64,
    /// How many of them failed a check.
    pub refused: u64,
}

/// Reading receipts, and how far a recovery is. Writing them is a [`crate::Change`].
#[async_trait]
pub trait ReceiptStore: Send + Sync {
    /// Up to `count` receipts that are held of a provider's log, from an index on, ascending.
    async fn receipts(
        &self,
        provider: MunicipalityCode,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<KeptReceipt>, StorageError>;

    /// The own logs that lost their end.
    async fn lost_logs(&self) -> Result<Vec<LostLog>, StorageError>;

    /// Up to `count` entries of a lost log that were entered again, from an index on, ascending.
    async fn recovered(
        &self,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<RecoveredEntry>, StorageError>;

    /// An entry of a lost log whose receipt led to a checkpoint of this size, if one was entered again.
    async fn recovered_under(
        &self,
        origin: &str,
        tree_size: u64,
    ) -> Result<Option<RecoveredEntry>, StorageError>;

    /// The members that gave back all they hold of a lost log.
    async fn recovery_answers(&self, origin: &str) -> Result<Vec<RecoveryAnswer>, StorageError>;
}

/// Hashes one after the other, as a column holds them.
pub(crate) fn joined(proof: &[[u8; 32]]) -> Vec<u8> {
    proof.concat()
}

/// The hashes in a column; `None` when it isn't a number of whole ones.
pub(crate) fn split(bytes: &[u8]) -> Option<Vec<[u8; 32]>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.to_vec())
}

/// Whether the municipality code and the request id of a row are ones, and which.
pub(crate) fn party(code: u32, request: [u8; 16]) -> Option<(MunicipalityCode, RequestId)> {
    Some((
        MunicipalityCode::try_from(code).ok()?,
        RequestId::from_bytes(request).ok()?,
    ))
}
