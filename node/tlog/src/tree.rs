//! The growing tree of a log's one writer: only its right edge is in memory.

use std::sync::Arc;

use crate::error::ProofError;
use crate::hash::{EMPTY_ROOT, Hash, node_hash};
use crate::ranges;
use crate::snapshot::Snapshot;
use crate::tile::{HashTile, TILE_HEIGHT, TILE_WIDTH, TileId};

/// The right edge of the tree: the last, partial tile of each level, with its inner nodes.
///
/// Cloning shares the tiles (copy on write): the writer clones before a batch, and going back is dropping the clone that grew.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    size: u64,
    /// The partial tile of each level, empty when the level's hashes fill their tiles exactly.
    edge: Vec<Arc<HashTile>>,
    /// Full tiles that `take_full_tiles` hasn't given out yet.
    filled: Vec<(TileId, Arc<HashTile>)>,
    /// The tiles given out last: entries of the same batch are proved from them.
    recent: Vec<(TileId, Arc<HashTile>)>,
}

impl Tree {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds the right edge of a stored tree: `tail` are the leaf hashes behind the last full tile of level 0 (`size % 256` of them),
    /// `full_tile` gives stored full tiles. At most 255 tiles a level are read. The caller compares the root with what it knows.
    pub fn restore<E: From<ProofError>>(
        size: u64,
        tail: &[Hash],
        full_tile: &mut dyn FnMut(TileId) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        if tail.len() as u64 != size % TILE_WIDTH {
            return Err(ProofError::BadTail.into());
        }
        let mut bottom = HashTile::empty();
        for hash in tail {
            bottom.push(*hash);
        }
        let mut edge = vec![Arc::new(bottom)];
        let mut below = 0_u8;
        let mut full_below = size / TILE_WIDTH;
        while full_below > 0 {
            let mut tile = HashTile::empty();
            for index in (full_below - full_below % TILE_WIDTH)..full_below {
                let id = TileId {
                    level: below,
                    index,
                };
                let stored = HashTile::from_full_bytes(id, &full_tile(id)?)?;
                tile.push(stored.node(TILE_HEIGHT, 0).ok_or(ProofError::BadTile(id))?);
            }
            edge.push(Arc::new(tile));
            full_below /= TILE_WIDTH;
            below += 1;
        }
        Ok(Self {
            size,
            edge,
            filled: Vec::new(),
            recent: Vec::new(),
        })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root hash; [`EMPTY_ROOT`] without leaves.
    pub fn root(&self) -> Hash {
        root_of_edge(self.size, &self.edge)
    }

    /// Appends a leaf by its hash.
    pub fn append(&mut self, leaf_hash: Hash) {
        let mut hash = leaf_hash;
        let mut place = self.size;
        self.size += 1;
        let mut level = 0_u8;
        loop {
            if self.edge.len() == usize::from(level) {
                self.edge.push(Arc::new(HashTile::empty()));
            }
            let Some(tile) = self.edge.get_mut(usize::from(level)) else {
                return;
            };
            let Some(root) = Arc::make_mut(tile).push(hash) else {
                return;
            };
            let full = std::mem::replace(tile, Arc::new(HashTile::empty()));
            self.filled.push((
                TileId {
                    level,
                    index: place / TILE_WIDTH,
                },
                full,
            ));
            hash = root;
            place /= TILE_WIDTH;
            level += 1;
        }
    }

    /// The tiles that became full since the last call, to be stored (8,192 bytes each).
    pub fn take_full_tiles(&mut self) -> Vec<(TileId, Vec<u8>)> {
        self.recent = std::mem::take(&mut self.filled);
        self.recent
            .iter()
            .map(|(id, tile)| (*id, tile.to_bytes()))
            .collect()
    }

    /// The tree as it is now, for those who make proofs elsewhere. Costs a few reference counts.
    pub fn snapshot(&self) -> Snapshot {
        let recent = self.recent.iter().chain(&self.filled).cloned().collect();
        Snapshot::new(self.size, self.root(), self.edge.clone(), recent)
    }
}

/// Folds the full subtrees of the right edge into the root.
fn root_of_edge(size: u64, edge: &[Arc<HashTile>]) -> Hash {
    let mut peaks: Vec<(u32, u64)> = ranges::peaks((0, size)).collect();
    peaks.reverse();
    peaks
        .into_iter()
        .filter_map(|(height, place)| {
            // Every full subtree of the whole tree's decomposition lies in a partial tile, for a full tile's root stands one level up.
            let (id, height, place) = TileId::of_node(height, place);
            edge.get(usize::from(id.level))?.node(height, place)
        })
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or(EMPTY_ROOT)
}
