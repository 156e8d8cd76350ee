//! What can go wrong with a log, by who has to do something about it.

use vrx_storage::{ChangeError, StorageError};
use vrx_tlog::{FsckError, LeafError, ProofError, TileId};

/// Why an entry wasn't recorded. Nothing left the node; only after [`RecordError::DeadlineExceeded`] the entry may still come to stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The change that belongs to the entry was refused; neither stands.
    #[error("the change was refused: {0}")]
    Refused(ChangeError),
    /// The log can't take an entry now. Trying again later is right.
    #[error("the log can't take entries now: {0}")]
    Unavailable(Unavailable),
    /// The caller's deadline passed before the entry was durable.
    #[error("the deadline passed before the entry was durable")]
    DeadlineExceeded,
    /// The clock stands more than five seconds behind the last entry.
    #[error("the clock is behind the log's last entry; set it right")]
    ClockBehind,
    /// The storage can't be trusted any more; the log takes nothing until it was recovered.
    #[error("the log is poisoned and must be recovered")]
    Poisoned,
    /// A field is longer than an entry can hold: a bug of the caller.
    #[error("a field of the entry is longer than 65535 bytes")]
    TooLong,
}

/// Why the log can't take an entry now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// More callers wait than the queue holds.
    #[error("too many callers wait")]
    QueueFull,
    /// The disk or the database has no room. It resumes by itself when there is.
    #[error("no room left for the log")]
    StorageFull,
    /// The database stayed busy, or another process kept winning.
    #[error("the database is busy")]
    Busy,
    /// The database went away in the middle of a commit, and whether the last entries stand isn't known yet. It resumes by itself
    /// when the database is back.
    #[error("the database is away, and whether the last entries stand isn't known yet")]
    Unsettled,
    /// The tenant is being moved to another database.
    #[error("the tenant is being moved to another database")]
    Moving,
    /// The batch met a row that isn't what this node wrote, or couldn't be sealed.
    #[error("the batch couldn't be made; the node's log says why")]
    Batch,
    /// The node shuts down.
    #[error("the node shuts down")]
    ShuttingDown,
}

/// Why a log doesn't start. None of these goes away by starting again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The database couldn't be read.
    #[error("the log's store can't be read: {0}")]
    Storage(#[from] StorageError),
    /// The stored entries aren't what the head says.
    #[error(
        "the stored log contradicts itself: {0}; recover it into a new database and verify it, never append to this one"
    )]
    Corrupt(&'static str),
    /// The tiles or leaves don't make a tree.
    #[error("the stored log can't be rebuilt: {0}")]
    Tree(#[from] ProofError),
    /// The database holds an older log than this node has signed.
    #[error(
        "the log was rolled back: a checkpoint of {kept} entries was kept at {path}, the database holds {found}. \
         An older database was put back. Put the newest one in its place, or open a new epoch of the log as the manual says"
    )]
    RolledBack {
        /// Entries in the checkpoint that was kept.
        kept: u64,
        /// Entries in the database.
        found: u64,
        /// Where the checkpoint was kept.
        path: String,
    },
    /// The database holds another log than this node has signed.
    #[error(
        "the log was rewritten: its first {size} entries aren't those of the checkpoint at {path}. \
         Keep both files, tell the privacy officer, and start from a database that continues that checkpoint"
    )]
    Rewritten {
        /// Entries of the checkpoint that the log contradicts.
        size: u64,
        /// Where the checkpoint was found.
        path: String,
    },
    /// The log has entries and no checkpoint was kept for it.
    #[error(
        "the log has {size} entries, but no checkpoint is kept at {path}: whether it is the newest can't be said. \
         Put the kept checkpoint back, or accept this log explicitly"
    )]
    NothingKept {
        /// Entries in the database.
        size: u64,
        /// Where the checkpoint should be.
        path: String,
    },
    /// The kept checkpoint can't be read or isn't this log's.
    #[error("the kept checkpoint at {path} can't be used: {why}")]
    Kept {
        /// Where it stands.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another process keeps its checkpoints at the same path.
    #[error(
        "another process keeps its checkpoints at {path}: each process has its own place for them; give this one another \
         kept_checkpoint_dir, or end the other"
    )]
    KeptByAnother {
        /// Where.
        path: String,
    },
    /// The database's epoch is another one than the configuration's.
    #[error("the database holds epoch {found} of the log, the configuration says {expected}")]
    Epoch {
        /// In the configuration.
        expected: u32,
        /// In the database.
        found: u32,
    },
    /// The log's name can't be a key name.
    #[error("the log's origin can't name a key: trust domain or municipality code is malformed")]
    Origin,
    /// The first entry couldn't be written.
    #[error("the log's first entry couldn't be written: {0}")]
    Genesis(RecordError),
    /// The store didn't answer in time.
    #[error("the log's store didn't answer in time")]
    Deadline,
}

/// Why something couldn't be read from a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log has no such entry, or no such size.
    #[error("the log isn't that long")]
    OutOfRange,
    /// The store couldn't be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A tile that must be there isn't.
    #[error("tile {0:?} is missing")]
    TileMissing(TileId),
    /// What is stored isn't a tree.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// What is stored isn't a leaf.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// An opening doesn't open, doesn't parse, or isn't what the leaf committed to.
    #[error("the opening of entry {0} isn't the one its leaf commits to")]
    Opening(u64),
    /// The stored leaves don't lead to the signed root.
    #[error("the stored leaves don't lead to the root that was signed")]
    Astray,
    /// The deadline passed.
    #[error("the deadline passed")]
    DeadlineExceeded,
}

impl From<crate::deadline::Passed> for ReadError {
    fn from(_: crate::deadline::Passed) -> Self {
        Self::DeadlineExceeded
    }
}

/// What the verification of a whole log found wrong first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A leaf, its place, its time, or the root over all of them.
    #[error(transparent)]
    Leaf(#[from] FsckError),
    /// A stored tile holds other hashes than its leaves.
    #[error("tile {0:?} isn't that of its leaves")]
    Tile(TileId),
    /// A stored opening isn't what its leaf commits to.
    #[error("the opening of entry {0} isn't the one its leaf commits to")]
    Opening(u64),
    /// The entries of one subject aren't a gapless chain.
    #[error("entry {0} doesn't link to the entry before it of the same subject")]
    Chain(u64),
    /// A row says another kind, id or subject than the entry in it: who reads by the row is led astray.
    #[error("the row of entry {0} says something else than the entry itself")]
    Row(u64),
    /// A subject's list of entries doesn't begin at its newest entry.
    #[error(
        "the list of entries about whom entry {0} is about doesn't begin at the newest of them"
    )]
    Head(u64),
    /// An opening of a kind that no erasure takes is blank.
    #[error("the opening of entry {0} is blank, and no erasure blanks one of its kind")]
    Blank(u64),
    /// The openings that are blank aren't those that erasures blanked.
    #[error(
        "{blank} openings are blank, the erasures explain {explained}; they aren't the same ones: somebody blanked an opening, or put one back"
    )]
    Blanks {
        /// How many are blank.
        blank: u64,
        /// How many are to be.
        explained: u64,
    },
    /// An erasure found other openings blank than those before it had left.
    #[error(
        "the erasure recorded at entry {0} found other openings blank than the erasures before it had blanked: somebody blanked an opening, or put one back"
    )]
    ErasureEntry(u64),
    /// An erasure that is recorded stands in the database as one that isn't.
    #[error(
        "the erasure recorded at entry {0} stands in the database as one that isn't at its end: somebody put it back"
    )]
    Replayed(u64),
}

/// Why an export didn't come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log couldn't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The folder holds something else than an earlier export of the same log and kind.
    #[error(
        "{path} holds {what}; choose a new folder, or the one of an earlier export of this log"
    )]
    Held {
        /// The folder.
        path: String,
        /// What was found in it.
        what: String,
    },
    /// The folder couldn't be read or written.
    #[error("{path}: {source}")]
    Write {
        /// File or folder.
        path: String,
        /// The system's answer.
        source: std::io::Error,
    },
}
