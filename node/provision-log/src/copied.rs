//! Checking a log while its rows are copied: that every leaf stands in its place, every tile holds its leaves' hashes, and
//! all of it has the root that the head names.

use std::collections::HashMap;

use vrx_storage::copy::{LOG_ENTRY, LOG_TILE, Row, Table, TenantSource};
use vrx_storage::{HeadRow, StorageError};
use vrx_tlog::{Checkpoint, Fsck, FsckError, Hash, SignedNote, Tree, leaf_hash};

/// What is wrong with a copied log first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopiedFault {
    /// A leaf, its place, or its time.
    #[error(transparent)]
    Leaf(#[from] FsckError),
    /// A row says something else than its leaf.
    #[error("the row of entry {0} isn't that of its leaf")]
    Entry(u64),
    /// A tile isn't that of its leaves, is missing, or is one too many.
    #[error("tile {0}/{1} isn't that of its leaves")]
    Tile(u64, u64),
    /// The entries aren't as many, or not as late, as the head says.
    #[error("the head names {expected} entries, {found} stand there")]
    Size {
        /// In the head.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// The entries don't hash to the head's root.
    #[error("the entries don't hash to the root in the head")]
    Root,
    /// The rows couldn't be read.
    #[error("the copy can't be read: {0}")]
    Storage(#[from] StorageError),
}

/// A log's rows as they go by, from the first entry on.
pub struct CopiedLog {
    head: HeadRow,
    fsck: Fsck,
    last_time: u64,
    /// Hashes of the tiles that the entries filled and that haven't come by yet.
    tiles: HashMap<(u64, u64), Hash>,
    /// Roots that will be asked for, by size.
    roots: HashMap<u64, Option<Hash>>,
}

impl CopiedLog {
    /// Begins a log with this head. The roots of the size of the head's own checkpoint and of `also` can be asked for at the end.
    pub fn begin(head: HeadRow, also: Option<u64>) -> Self {
        let own = head.checkpoint.as_deref().and_then(|note| {
            let note = SignedNote::parse(note).ok()?;
            Some(Checkpoint::parse(note.text()).ok()?.size)
        });
        Self {
            head,
            fsck: Fsck::new(),
            last_time: 0,
            tiles: HashMap::new(),
            roots: own
                .into_iter()
                .chain(also)
                .map(|size| (size, None))
                .collect(),
        }
    }

    /// Takes all rows of the log that stand somewhere.
    pub async fn read<S: TenantSource + ?Sized>(
        &mut self,
        source: &mut S,
    ) -> Result<(), CopiedFault> {
        for table in [LOG_ENTRY, LOG_TILE] {
            let mut after = None;
            loop {
                let rows = source.rows(table, after.as_ref()).await?;
                let Some(last) = rows.last() else { break };
                after = Some(last.key(table));
                self.rows(table, &rows)?;
            }
        }
        Ok(())
    }

    /// Takes rows of any table; those that aren't the log's go by.
    pub fn rows(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), CopiedFault> {
        for row in rows {
            if table == LOG_ENTRY {
                self.entry(row)?;
            } else if table == LOG_TILE {
                self.tile(row)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, row: &Row) -> Result<(), CopiedFault> {
        self.note_root();
        let index = self.fsck.entries();
        let leaf = self.fsck.leaf(row.bytes(5).unwrap_or_default())?;
        let same = row.unsigned(0) == Some(leaf.index)
            && row.bytes(1) == Some(leaf.entry_id.as_slice())
            && row.unsigned(2) == Some(leaf.kind.into());
        if !same {
            return Err(CopiedFault::Entry(index));
        }
        self.last_time = leaf.time;
        for (id, hashes) in self.fsck.take_full_tiles() {
            self.tiles
                .insert((id.level.into(), id.index), leaf_hash(&hashes));
        }
        Ok(())
    }

    fn tile(&mut self, row: &Row) -> Result<(), CopiedFault> {
        let id = (
            row.unsigned(0).unwrap_or(u64::MAX),
            row.unsigned(1).unwrap_or(u64::MAX),
        );
        let found = leaf_hash(row.bytes(2).unwrap_or_default());
        if self.tiles.remove(&id) == Some(found) {
            Ok(())
        } else {
            Err(CopiedFault::Tile(id.0, id.1))
        }
    }

    fn note_root(&mut self) {
        if let Some(root) = self.roots.get_mut(&self.fsck.entries()) {
            *root = Some(self.fsck.root());
        }
    }

    /// Holds all of it against the head.
    pub fn finish(mut self) -> Result<CheckedLog, CopiedFault> {
        self.note_root();
        let found = self.fsck.entries();
        if found != self.head.size || self.last_time != self.head.last_time {
            return Err(CopiedFault::Size {
                expected: self.head.size,
                found,
            });
        }
        if self.fsck.root() != self.head.root {
            return Err(CopiedFault::Root);
        }
        if let Some((level, index)) = self.tiles.keys().next() {
            return Err(CopiedFault::Tile(*level, *index));
        }
        Ok(CheckedLog {
            head: self.head,
            tree: self.fsck.into_tree(),
            roots: self.roots,
        })
    }
}

/// A copied log that is what its head says.
pub struct CheckedLog {
    pub(crate) head: HeadRow,
    pub(crate) tree: Tree,
    roots: HashMap<u64, Option<Hash>>,
}

impl CheckedLog {
    /// Its head.
    pub fn head(&self) -> &HeadRow {
        &self.head
    }

    /// Root over its first `size` entries; `None` for a size that wasn't to be remembered, or that it
    /// doesn't reach.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        self.roots.get(&size).copied().flatten()
    }
}
