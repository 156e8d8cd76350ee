//! What entries are before they are opened. An erasure decides by it, and what it decides can't be taken back: so place, time and
//! kind are those of leaves that were proved to the signed root, never what a column says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use vrx_domain::UnixMillis;
use vrx_storage::{EntryRow, SubjectTag};
use vrx_tlog::{HashTile, Leaf, TileId};

use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::error::ReadError;
use crate::reader::LogReader;

/// What an entry is before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Place in the log, from 0.
    pub index: u64,
    /// When it was made.
    pub time: UnixMillis,
    /// Kind of entry.
    pub kind: u8,
    /// The tag of its subject, or random bytes: as the row has it, no leaf says it.
    pub subject: SubjectTag,
    /// Whether its opening stands.
    pub has_opening: bool,
}

impl LogReader {
    /// Up to `count` entries from index `from`, ascending, none beyond the newest checkpoint, none of them opened. Each leaf leads to
    /// that checkpoint's root; one that doesn't, one that is missing, and a row that says another kind than its leaf are
    /// [`ReadError::Astray`].
    pub async fn outlines(
        &self,
        from: u64,
        count: u32,
        deadline: Deadline,
    ) -> Result<Vec<Outline>, ReadError> {
        let checkpoint = self.checkpoint();
        let left = checkpoint.size().saturating_sub(from);
        let count = count.min(u32::try_from(left).unwrap_or(u32::MAX));
        if count == 0 {
            return Ok(Vec::new());
        }
        let rows = deadline.wait(self.store().entries(from, count)).await??;
        let places = from..from + u64::from(count);
        if !rows.iter().map(|row| row.index).eq(places.clone()) {
            return Err(ReadError::Astray);
        }
        let snapshot = checkpoint.snapshot();
        let missing: HashSet<TileId> = places
            .flat_map(|place| snapshot.missing_for_inclusion(place))
            .collect();
        let missing: Vec<TileId> = missing.into_iter().collect();
        let tiles = self.tiles().load(&missing, deadline).await?;
        // Thousands of hashes: not on a thread that others wait for.
        let proving = tokio::task::spawn_blocking(move || {
            let proved = rows.iter().map(|row| prove(row, &checkpoint, &tiles));
            proved.collect()
        });
        proving.await.map_err(|_| ReadError::Astray)?
    }
}

fn prove(
    row: &EntryRow,
    checkpoint: &SignedCheckpoint,
    tiles: &HashMap<TileId, Arc<HashTile>>,
) -> Result<Outline, ReadError> {
    let path = checkpoint.snapshot().inclusion(row.index, tiles)?;
    let hash = vrx_tlog::leaf_hash(&row.leaf);
    vrx_tlog::verify_inclusion(
        row.index,
        checkpoint.size(),
        &hash,
        &path,
        &checkpoint.root(),
    )
    .map_err(|_| ReadError::Astray)?;
    let leaf = Leaf::decode(&row.leaf)?;
    if leaf.index != row.index || leaf.kind != row.kind {
        return Err(ReadError::Astray);
    }
    Ok(Outline {
        index: leaf.index,
        time: UnixMillis(leaf.time),
        kind: leaf.kind,
        subject: row.subject,
        has_opening: !row.opening_key.is_empty(),
    })
}
