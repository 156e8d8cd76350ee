//! Full tiles, read from the store when a proof needs them, the last few kept with their inner nodes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use vrx_storage::LogStore;
use vrx_tlog::{HashTile, TileId};

use crate::deadline::Deadline;
use crate::error::ReadError;

/// Tiles kept in memory, 16 KiB each: requesters prove from the recent past, nearly always out of these.
const KEPT: usize = 128;
/// Tiles asked of the store at once.
const AT_ONCE: usize = 256;

pub(crate) struct Tiles {
    store: Arc<dyn LogStore>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tiles: HashMap<TileId, Arc<HashTile>>,
    order: VecDeque<TileId>,
}

impl Tiles {
    pub(crate) fn new(store: Arc<dyn LogStore>) -> Self {
        Self {
            store,
            kept: Mutex::default(),
        }
    }

    /// Tiles that just became full.
    pub(crate) fn remember(&self, tiles: impl Iterator<Item = (TileId, Arc<HashTile>)>) {
        let mut kept = self.kept.lock();
        for (id, tile) in tiles {
            if kept.tiles.insert(id, tile).is_none() {
                kept.order.push_back(id);
            }
            if kept.order.len() > KEPT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.tiles.remove(&oldest);
            }
        }
    }

    /// All of these tiles.
    pub(crate) async fn load(
        &self,
        ids: &[TileId],
        deadline: Deadline,
    ) -> Result<HashMap<TileId, Arc<HashTile>>, ReadError> {
        let mut found: HashMap<TileId, Arc<HashTile>> = {
            let kept = self.kept.lock();
            ids.iter()
                .filter_map(|id| Some((*id, Arc::clone(kept.tiles.get(id)?))))
                .collect()
        };
        let missing: Vec<TileId> = ids
            .iter()
            .copied()
            .filter(|id| !found.contains_key(id))
            .collect();
        for (id, bytes) in read(&*self.store, &missing, deadline).await? {
            found.insert(id, Arc::new(HashTile::from_full_bytes(id, &bytes)?));
        }
        self.remember(
            missing
                .iter()
                .filter_map(|id| Some((*id, Arc::clone(found.get(id)?)))),
        );
        Ok(found)
    }
}

/// The stored bytes of these tiles, each of which must be there.
pub(crate) async fn read(
    store: &dyn LogStore,
    ids: &[TileId],
    deadline: Deadline,
) -> Result<Vec<(TileId, Vec<u8>)>, ReadError> {
    let mut out = Vec::with_capacity(ids.len());
    for some in ids.chunks(AT_ONCE) {
        let keys: Vec<(u8, u64)> = some.iter().map(|id| (id.level, id.index)).collect();
        let stored = deadline.wait(store.tiles(&keys)).await??;
        let mut stored = stored.into_iter();
        for id in some {
            let bytes = stored.next().flatten().ok_or(ReadError::TileMissing(*id))?;
            out.push((*id, bytes));
        }
    }
    Ok(out)
}
