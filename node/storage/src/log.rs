//! The provision log's rows, and the one way to add to them.
//!
//! This room knows neither tree nor opening: it takes 134 leaf bytes, sealed openings and full tiles as they come, and
//! gives the promise the log is built on: *a batch's changes, entries, tiles and head stand together or not at all*.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{AppendError, Change, ChangeError, StorageError};

/// RFC 6962 root of no entries: SHA-256 of the empty string.
pub(crate) const EMPTY_ROOT: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// How many entries others may have added since the caller looked, at most, for its batch to go onto theirs: 8.8 MB of leaves. Who is
/// further behind reads the log first.
pub const MOST_BEHIND: u64 = 65_536;

/// Keyed tag of the person an entry is about (`vrx_crypto::TagKind::Subject` over the individual number), or 32 random
/// bytes when it is about nobody this tenant knows. Every entry has one, so that neither the column nor the work tells
/// known from unknown. It is never a tag that `person_tag` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectTag(pub [u8; 32]);

/// Where the log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRow {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them; SHA-256 of the empty string when `size` is 0.
    pub root: [u8; 32],
    /// Epoch of the log (rises when a log is opened anew after a restore).
    pub epoch: u32,
    /// Time of the last entry, milliseconds since 1970 (UTC); 0 in an empty log.
    pub last_time: u64,
    /// The last signed checkpoint known when this head was written: a signed note of an earlier or equal size.
    pub checkpoint: Option<String>,
}

/// The newest entry about one subject: what the next one links back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectHead {
    /// How many entries this subject has; the newest one's `subject_seq`, counted from 1.
    pub seq: u64,
    /// Index of the newest one.
    pub last_index: u64,
}

/// One entry to be: whom it is about, and what has to change with it.
pub struct BatchItem {
    /// Runs in a savepoint of the batch's transaction. If it is refused, the item gets no entry.
    pub change: Option<Change>,
    /// Subject of the entry.
    pub subject: SubjectTag,
}

/// What the store found out before the entries can be sealed. Results and subject heads are in the order of the items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The head that the batch goes onto: the expected one, or a later one where others appended meanwhile. Nobody else
    /// moves it before this batch stands or is rolled back.
    pub head: HeadRow,
    /// The leaves that came between the expected head and that one, ascending and without a gap. Whether they lead from
    /// one root to the other is for `seal` to find out.
    pub since: Vec<LeafRow>,
    /// Whether each item's change was taken. Entries are due for exactly the items that are `Ok`, in their order: the
    /// n-th of them, counted from 0, has index `head.size + n` (changes record that index in their rows).
    pub results: Vec<Result<(), ChangeError>>,
    /// The subject's newest entry *before this batch*. Two items of one batch with the same subject get the same head:
    /// chaining them is `seal`'s business.
    pub heads: Vec<Option<SubjectHead>>,
}

/// One entry as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Place in the log, from 0.
    pub index: u64,
    /// Random id of the entry: the row id its opening is sealed to.
    pub entry_id: [u8; 16],
    /// Kind of entry (`vrx_domain::EntryKind`).
    pub kind: u8,
    /// The leaf's bytes.
    pub leaf: [u8; 134],
    /// The opening's own key, wrapped by the log key.
    pub opening_key: Vec<u8>,
    /// The opening, sealed under that key.
    pub opening: Vec<u8>,
    /// Subject tag, or random bytes.
    pub subject: SubjectTag,
    /// This entry's number among the subject's entries, from 1.
    pub subject_seq: u64,
}

/// A leaf without its opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRow {
    /// Place in the log, from 0.
    pub index: u64,
    /// The leaf's bytes.
    pub leaf: [u8; 134],
}

/// A full hash tile (C2SP tlog-tiles, height 8). Partial tiles are never stored: the leaves make them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileRow {
    /// Level, from 0.
    pub level: u8,
    /// Number within the level, from 0.
    pub index: u64,
    /// 256 hashes of 32 bytes.
    pub hashes: Vec<u8>,
}

/// What a sealed batch writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRows {
    /// One for each item that is `Ok`, in order, indexes without a gap from the size of [`Prepared::head`].
    pub entries: Vec<EntryRow>,
    /// Tiles that these entries filled; not those that the entries since the expected head did, which stand already.
    pub tiles: Vec<TileRow>,
    /// The head after them.
    pub head: HeadRow,
}

/// Makes the rows of a batch once the store knows results and subject heads. Runs inside the transaction, on the
/// store's writer: it may compute, and must not wait.
pub type SealBatch = Box<dyn FnOnce(&Prepared) -> Result<BatchRows, String> + Send>;

/// The rows of one tenant's provision log.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// The head as the primary has it now.
    async fn head(&self) -> Result<HeadRow, StorageError>;

    /// Adds one batch in ONE transaction: locks the head and compares it with `expected` (size and root), runs each
    /// change in a savepoint, reads the subject heads, calls `seal`, writes entries, tiles and head, commits durably.
    /// `Ok` means that the disk has it. When every item is refused, nothing is written and `seal` isn't called.
    ///
    /// A head that is *later* than expected, by [`MOST_BEHIND`] entries at most, isn't refused: other processes appended, and
    /// the batch goes onto theirs (see [`Prepared::head`]). So each process's batch lands when it has the lock, and none is
    /// overtaken for ever. An earlier head, another root at the same size, or one further on is [`crate::NotCommitted::SwapLost`].
    ///
    /// The items are shared, so that a caller can give the same ones again after [`AppendError::NotCommitted`].
    async fn append(
        &self,
        expected: (u64, [u8; 32]),
        items: Arc<[BatchItem]>,
        seal: SealBatch,
    ) -> Result<Prepared, AppendError>;

    /// Whether [`LogStore::head`] tells for certain, sooner or later, what became of a batch whose answer was lost or not
    /// waited for: true of a database server, which decides each batch before it lets the next one have the head. An append
    /// whose future was dropped may still come to its end, and call its `seal`, after others. Where it is false, a commit that
    /// isn't answered in time leaves nothing to trust.
    fn outcome_is_knowable(&self) -> bool {
        false
    }

    /// Up to `count` leaves from index `from`, ascending.
    async fn leaves(&self, from: u64, count: u32) -> Result<Vec<LeafRow>, StorageError>;

    /// Full tiles by (level, index), in the order asked; `None` for one that isn't stored.
    async fn tiles(&self, ids: &[(u8, u64)]) -> Result<Vec<Option<Vec<u8>>>, StorageError>;

    /// Up to `count` entries from index `from`, ascending, with their sealed openings.
    async fn entries(&self, from: u64, count: u32) -> Result<Vec<EntryRow>, StorageError>;

    /// The newest entry about a subject.
    async fn subject_head(&self, subject: SubjectTag) -> Result<Option<SubjectHead>, StorageError>;

    /// Writes and syncs one row beside the log: shows that the store can take a write, without an entry.
    async fn canary(&self) -> Result<(), StorageError>;
}
