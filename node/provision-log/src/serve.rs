//! A log as C2SP tlog-tiles serves it to members, witnesses and the tenant's own officer, one resource at a time.

use vrx_tlog::{HashTile, TILE_WIDTH, TileId, entry_bundle};

use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::error::ReadError;
use crate::reader::LogReader;
use crate::tiles;

/// Bytes of one hash.
const HASH: usize = 32;

impl LogReader {
    /// The first `width` hashes of a tile under a checkpoint of this log, one behind the other; all 256 of a full one. `None` where
    /// the checkpoint has fewer.
    pub async fn tile(
        &self,
        id: TileId,
        width: u64,
        checkpoint: &SignedCheckpoint,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let there = hashes_of(id, checkpoint.size());
        if width == 0 || there < width {
            return Ok(None);
        }
        let mut bytes = if there == TILE_WIDTH {
            // Not through the kept tiles: who reads a whole log would push out those that requesters prove from.
            let read = tiles::read(&**self.store(), &[id], deadline).await?;
            let (_, bytes) = read.into_iter().next().ok_or(ReadError::TileMissing(id))?;
            bytes
        } else {
            checkpoint
                .snapshot()
                .partial_tile(id.level)
                .map(HashTile::to_bytes)
                .ok_or(ReadError::TileMissing(id))?
        };
        bytes.truncate(
            usize::try_from(width)
                .unwrap_or(usize::MAX)
                .saturating_mul(HASH),
        );
        Ok(Some(bytes))
    }

    /// The first `width` leaves beside a tile of level 0, as an entry bundle without openings. `None` where the checkpoint has fewer.
    pub async fn entry_bundle(
        &self,
        index: u64,
        width: u64,
        checkpoint: &SignedCheckpoint,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let id = TileId { level: 0, index };
        if width == 0 || hashes_of(id, checkpoint.size()) < width {
            return Ok(None);
        }
        let count = u32::try_from(width).unwrap_or(u32::MAX);
        let rows = deadline
            .wait(self.store().leaves(index * TILE_WIDTH, count))
            .await??;
        if rows.len() as u64 != width {
            return Err(ReadError::OutOfRange);
        }
        entry_bundle(rows.iter().map(|row| row.leaf.as_slice()))
            .map(Some)
            .ok_or(ReadError::OutOfRange)
    }

    /// Entries of the log as its database has it now, whoever wrote them: never fewer than any checkpoint that was signed of it.
    pub async fn stored_size(&self, deadline: Deadline) -> Result<u64, ReadError> {
        Ok(deadline.wait(self.store().head()).await??.size)
    }

    /// Whether the first `size` entries of this log have this root, as far as its newest checkpoint reaches.
    pub async fn begins_with(
        &self,
        size: u64,
        root: &vrx_tlog::Hash,
        deadline: Deadline,
    ) -> Result<bool, ReadError> {
        let checkpoint = self.checkpoint();
        if size > checkpoint.size() {
            return Ok(false);
        }
        let snapshot = checkpoint.snapshot();
        let missing = snapshot.missing_for_root_at(size);
        let tiles = self.tiles().load(&missing, deadline).await?;
        Ok(snapshot.root_at(size, &tiles)? == *root)
    }
}

/// How many hashes a tile of a log of `size` entries has.
fn hashes_of(id: TileId, size: u64) -> u64 {
    let level = size.checked_shr(u32::from(id.level) * 8).unwrap_or(0);
    let before = id.index.checked_mul(TILE_WIDTH);
    before.map_or(0, |before| level.saturating_sub(before).min(TILE_WIDTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_as_many_hashes_as_the_specification_says() {
        // The specification's example.
        for (level, index, hashes) in [
            (0, 0, 256),
            (0, 272, 256),
            (0, 273, 112),
            (0, 274, 0),
            (1, 0, 256),
            (1, 1, 17),
            (1, 2, 0),
            (2, 0, 1),
            (2, 1, 0),
            (3, 0, 0),
            (63, 0, 0),
            (0, u64::MAX, 0),
        ] {
            assert_eq!(
                hashes_of(TileId { level, index }, 70_000),
                hashes,
                "{level} {index}"
            );
        }
        assert_eq!(hashes_of(TileId { level: 7, index: 0 }, u64::MAX), 255);
        assert_eq!(hashes_of(TileId { level: 0, index: 0 }, 0), 0);
    }
}
