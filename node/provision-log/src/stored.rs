//! What a reading gives of an entry: the leaf, and the opening where it stands and is the one that the leaf commits to.

use vrx_crypto::Keyring;
use vrx_domain::{EntryId, UnixMillis};
use vrx_storage::{EntryRow, SubjectTag};
use vrx_tlog::{Leaf, Receipt};

use crate::error::ReadError;
use crate::opening::Opening;

/// One entry, read and held against its leaf.
pub struct StoredEntry {
    /// The leaf.
    pub leaf: Leaf,
    /// The opening; `None` when it was erased.
    pub opening: Option<Opening>,
}

/// One entry of a reading that goes on where an opening can't be believed.
#[expect(
    clippy::large_enum_variant,
    reason = "hardly any is the small one, and they are read by the hundred"
)]
pub enum ReadEntry {
    /// Opened, erased, or not to be opened.
    Whole(StoredEntry),
    /// The stored opening doesn't open, doesn't parse, or isn't what this leaf commits to.
    Damaged(Leaf),
}

impl ReadEntry {
    /// The leaf as it is stored.
    pub fn leaf(&self) -> &Leaf {
        match self {
            Self::Whole(entry) => &entry.leaf,
            Self::Damaged(leaf) => leaf,
        }
    }
}

/// One entry with the proof that it stands in the log.
pub struct ProvedEntry {
    /// The entry.
    pub entry: StoredEntry,
    /// Leaf, newest checkpoint and audit path, as a requester would get them.
    pub receipt: Receipt,
}

/// What an entry is before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Place in the log, from 0.
    pub index: u64,
    /// When it was made.
    pub time: UnixMillis,
    /// Kind of entry.
    pub kind: u8,
    /// The tag of its subject, or random bytes.
    pub subject: SubjectTag,
    /// Whether its opening stands.
    pub has_opening: bool,
}

/// Opens an entry's opening and holds it against the leaf; `None` when it was erased (its row is empty).
pub(crate) fn open(
    row: &EntryRow,
    leaf: &Leaf,
    keyring: &Keyring,
) -> Result<Option<Opening>, ReadError> {
    if row.opening_key.is_empty() {
        return Ok(None);
    }
    let refused = ReadError::Opening(row.index);
    let plaintext = keyring.open_opening(
        EntryId::from_bytes(leaf.entry_id),
        &row.opening_key,
        &row.opening,
    );
    let plaintext = plaintext.map_err(|_| refused.clone())?;
    Opening::read(&plaintext, leaf).map(Some).ok_or(refused)
}
