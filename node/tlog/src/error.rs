//! What can be wrong with a log's bytes and texts. No variant carries a value out of a committed field.

use crate::tile::TileId;

/// A value that can't be committed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlogError {
    /// A committed field is longer than its 16-bit length prefix can say.
    #[error("a committed field is longer than 65535 bytes")]
    FieldTooLong,
}

/// Bytes that are no leaf of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// A leaf is always 134 bytes.
    #[error("a leaf is 134 bytes long, this one is {0}")]
    Length(usize),
    /// The first byte names a version that this build doesn't know.
    #[error("unknown leaf version {0}")]
    Version(u8),
}

/// A proof that can't be made or doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index isn't below the tree's size.
    #[error("the index lies outside the tree")]
    IndexOutOfRange,
    /// The older size is larger than the newer one.
    #[error("the older tree is larger than the newer one")]
    SizesReversed,
    /// The proof has too many or too few hashes for these sizes.
    #[error("the proof has the wrong length for these sizes")]
    WrongLength,
    /// The hashes don't lead to the root.
    #[error("the proof doesn't lead to the root")]
    Mismatch,
    /// The newer tree begins with another one than the older tree: where both roots were signed, two logs were.
    #[error("the two trees contradict each other")]
    Contradiction,
    /// A tile that the proof needs wasn't given.
    #[error("tile {0:?} is needed and wasn't given")]
    MissingTile(TileId),
    /// A stored tile isn't 256 hashes.
    #[error("tile {0:?} isn't a full tile of 8192 bytes")]
    BadTile(TileId),
    /// The tail of leaf hashes handed to `Tree::restore` doesn't fit the size.
    #[error("the leaf hashes of the last tile don't fit the tree's size")]
    BadTail,
}

/// A text that is no signed note, or isn't signed by the key it should be signed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text isn't a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The text isn't a verifier key.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// No signature of the key stands below the text.
    #[error("no signature by this key")]
    NotSigned,
    /// A signature of the key stands there and is wrong.
    #[error("the key's signature doesn't verify")]
    BadSignature,
    /// A cosignature is made at a time that none may have.
    #[error("no cosignature has this time")]
    Time,
}

/// A rule about witnesses that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// More are needed than there are.
    #[error("{needed} witnesses are needed and {witnesses} are known")]
    TooMany {
        /// Needed according to the rule.
        needed: usize,
        /// Known to it.
        witnesses: usize,
    },
    /// One public key would count twice.
    #[error("two witnesses have the same public key")]
    SameKey,
}

/// Why a witness doesn't cosign; each has its HTTP status ([`WitnessRefusal::status`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// The request isn't one.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No key is trusted for this origin.
    #[error("unknown log")]
    UnknownLog,
    /// No trusted key signed, or a trusted key's signature is wrong.
    #[error("not signed by a key that is known for this log")]
    NotSigned,
    /// The witness cosigned another size last.
    #[error("the last cosigned size is {size}")]
    Conflict {
        /// That size.
        size: u64,
    },
    /// The checkpoint doesn't continue what was cosigned last.
    #[error("the consistency proof doesn't hold: {0}")]
    Inconsistent(ProofError),
}

impl WitnessRefusal {
    /// The HTTP status that the specification demands.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::NotSigned => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }
}

/// A note that is no checkpoint of the expected log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The signature layer refused it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text isn't the three lines of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// It is another log's checkpoint.
    #[error("the checkpoint is of another log")]
    Origin,
}

/// A receipt that proves nothing, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The leaf's bytes are no leaf.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The checkpoint isn't the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The leaf names another place in the log than the receipt.
    #[error("the leaf stands at another index than the receipt says")]
    Index,
    /// The leaf isn't in the tree of the checkpoint.
    #[error("inclusion: {0}")]
    Inclusion(ProofError),
    /// The tree of the checkpoint doesn't continue the one known before.
    #[error("consistency with the checkpoint known before: {0}")]
    Consistency(ProofError),
}

/// What a whole log's verification stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FsckError {
    /// The entry's bytes are no leaf.
    #[error("entry {index}: {error}")]
    Leaf {
        /// Place in the log.
        index: u64,
        /// What is wrong with it.
        error: LeafError,
    },
    /// The leaf names another index than the place it stands at.
    #[error("entry {index} says that it is entry {says}")]
    Index {
        /// Place in the log.
        index: u64,
        /// The index in the leaf.
        says: u64,
    },
    /// The time in the leaf is before that of the entry in front of it.
    #[error("entry {index} is older than the one before it")]
    Time {
        /// Place in the log.
        index: u64,
    },
    /// There are more or fewer entries than the checkpoint says.
    #[error("the checkpoint speaks of {expected} entries, there are {found}")]
    Size {
        /// Entries according to the checkpoint.
        expected: u64,
        /// Entries that were there.
        found: u64,
    },
    /// The entries don't hash to the root.
    #[error("the entries don't hash to the root of the checkpoint")]
    Root,
}
