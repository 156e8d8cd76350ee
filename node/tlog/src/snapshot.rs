//! A tree at one size, from which anybody makes proofs without asking the writer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::ProofError;
use crate::hash::{EMPTY_ROOT, Hash, node_hash};
use crate::ranges::{self, Range};
use crate::tile::{HashTile, TileId};

/// Where full tiles come from that are no longer in the writer's memory.
pub trait TileSource {
    /// The full tile, if this source has it.
    fn tile(&self, id: TileId) -> Option<Arc<HashTile>>;
}

/// The source without tiles: enough for entries of the newest batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTiles;

impl TileSource for NoTiles {
    fn tile(&self, _: TileId) -> Option<Arc<HashTile>> {
        None
    }
}

impl<S: std::hash::BuildHasher> TileSource for HashMap<TileId, Arc<HashTile>, S> {
    fn tile(&self, id: TileId) -> Option<Arc<HashTile>> {
        self.get(&id).cloned()
    }
}

/// The tree at one size: its right edge and the tiles of the newest batch, shared with the writer.
#[derive(Debug, Clone)]
pub struct Snapshot {
    size: u64,
    root: Hash,
    edge: Arc<[Arc<HashTile>]>,
    recent: Arc<[(TileId, Arc<HashTile>)]>,
}

impl Snapshot {
    pub(crate) fn new(
        size: u64,
        root: Hash,
        edge: Vec<Arc<HashTile>>,
        recent: Vec<(TileId, Arc<HashTile>)>,
    ) -> Self {
        Self {
            size,
            root,
            edge: edge.into(),
            recent: recent.into(),
        }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root hash.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The partial tile of a level, when it holds hashes: an export writes it beside the stored full ones.
    pub fn partial_tile(&self, level: u8) -> Option<&HashTile> {
        self.edge
            .get(usize::from(level))
            .map(Arc::as_ref)
            .filter(|tile| tile.width() > 0)
    }

    /// The full tiles of the newest batch, for a cache.
    pub fn recent_tiles(&self) -> impl Iterator<Item = (TileId, Arc<HashTile>)> + '_ {
        self.recent.iter().cloned()
    }

    /// Audit path of the leaf at `index`.
    pub fn inclusion(&self, index: u64, tiles: &dyn TileSource) -> Result<Vec<Hash>, ProofError> {
        self.inclusion_within(index, self.size, tiles)
    }

    /// Consistency proof from the tree of `old` leaves to this one; empty for 0 and for this size.
    pub fn consistency(&self, old: u64, tiles: &dyn TileSource) -> Result<Vec<Hash>, ProofError> {
        self.consistency_within(old, self.size, tiles)
    }

    /// Audit path of the leaf at `index` in the tree of the first `size` leaves.
    pub fn inclusion_within(
        &self,
        index: u64,
        size: u64,
        tiles: &dyn TileSource,
    ) -> Result<Vec<Hash>, ProofError> {
        self.hashes(&self.ranges_within(index, size)?, tiles)
    }

    /// Consistency proof from the tree of `old` leaves to that of the first `new` ones; empty for 0 and where both are one.
    pub fn consistency_within(
        &self,
        old: u64,
        new: u64,
        tiles: &dyn TileSource,
    ) -> Result<Vec<Hash>, ProofError> {
        self.hashes(&self.consistency_ranges(old, new)?, tiles)
    }

    /// The root of the first `old` leaves.
    pub fn root_at(&self, old: u64, tiles: &dyn TileSource) -> Result<Hash, ProofError> {
        if old > self.size {
            return Err(ProofError::SizesReversed);
        }
        if old == 0 {
            Ok(EMPTY_ROOT)
        } else {
            self.hash((0, old), tiles)
        }
    }

    /// Tiles that [`Snapshot::inclusion`] will ask its source for.
    pub fn missing_for_inclusion(&self, index: u64) -> Vec<TileId> {
        self.missing_for_inclusion_within(index, self.size)
    }

    /// Tiles that [`Snapshot::inclusion_within`] will ask its source for.
    pub fn missing_for_inclusion_within(&self, index: u64, size: u64) -> Vec<TileId> {
        self.ranges_within(index, size)
            .map(|ranges| self.missing(ranges))
            .unwrap_or_default()
    }

    /// Tiles that [`Snapshot::consistency`] will ask its source for.
    pub fn missing_for_consistency(&self, old: u64) -> Vec<TileId> {
        self.missing_for_consistency_within(old, self.size)
    }

    /// Tiles that [`Snapshot::consistency_within`] will ask its source for.
    pub fn missing_for_consistency_within(&self, old: u64, new: u64) -> Vec<TileId> {
        self.consistency_ranges(old, new)
            .map(|ranges| self.missing(ranges))
            .unwrap_or_default()
    }

    /// Tiles that [`Snapshot::root_at`] will ask its source for.
    pub fn missing_for_root_at(&self, old: u64) -> Vec<TileId> {
        if old > self.size {
            Vec::new()
        } else {
            self.missing(vec![(0, old)])
        }
    }

    /// Whether an audit path to `index` in a tree of `size` leaves goes past the same nodes as this tree has over its first `shared`
    /// leaves. Nodes that reach beyond those say nothing, so a path far beyond them may prove little.
    pub fn shares_path(
        &self,
        shared: u64,
        (index, size): (u64, u64),
        path: &[Hash],
        tiles: &dyn TileSource,
    ) -> Result<bool, ProofError> {
        for (nth, range) in self.shared_ranges(shared, index, size)? {
            if path.get(nth) != Some(&self.hash(range, tiles)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tiles that [`Snapshot::shares_path`] will ask its source for.
    pub fn missing_for_shared_path(&self, shared: u64, index: u64, size: u64) -> Vec<TileId> {
        self.shared_ranges(shared, index, size)
            .map(|ranges| self.missing(ranges.into_iter().map(|(_, range)| range).collect()))
            .unwrap_or_default()
    }

    /// The nodes of an audit path that lie within the first `shared` leaves, with their places in it.
    fn shared_ranges(
        &self,
        shared: u64,
        index: u64,
        size: u64,
    ) -> Result<Vec<(usize, Range)>, ProofError> {
        if index >= size || shared > self.size {
            return Err(ProofError::IndexOutOfRange);
        }
        let ranges = ranges::of_inclusion(index, size).into_iter().enumerate();
        Ok(ranges.filter(|(_, (_, to))| *to <= shared).collect())
    }

    fn ranges_within(&self, index: u64, size: u64) -> Result<Vec<Range>, ProofError> {
        if index >= size || size > self.size {
            Err(ProofError::IndexOutOfRange)
        } else {
            Ok(ranges::of_inclusion(index, size))
        }
    }

    fn consistency_ranges(&self, old: u64, new: u64) -> Result<Vec<Range>, ProofError> {
        if old > new || new > self.size {
            Err(ProofError::SizesReversed)
        } else if old == 0 {
            Ok(Vec::new())
        } else {
            Ok(ranges::of_consistency(old, new))
        }
    }

    fn hashes(&self, ranges: &[Range], tiles: &dyn TileSource) -> Result<Vec<Hash>, ProofError> {
        ranges
            .iter()
            .map(|range| self.hash(*range, tiles))
            .collect()
    }

    fn hash(&self, range: Range, tiles: &dyn TileSource) -> Result<Hash, ProofError> {
        let mut peaks = Vec::with_capacity(8);
        for (height, place) in ranges::peaks(range) {
            let (id, height, place) = TileId::of_node(height, place);
            let node = match self.in_memory(id) {
                Some(tile) => tile.node(height, place),
                None => tiles
                    .tile(id)
                    .ok_or(ProofError::MissingTile(id))?
                    .node(height, place),
            };
            peaks.push(node.ok_or(ProofError::BadTile(id))?);
        }
        Ok(peaks
            .into_iter()
            .rev()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or(EMPTY_ROOT))
    }

    fn missing(&self, ranges: Vec<Range>) -> Vec<TileId> {
        let needed: BTreeSet<TileId> = ranges
            .into_iter()
            .flat_map(ranges::peaks)
            .map(|(height, place)| TileId::of_node(height, place).0)
            .collect();
        needed
            .into_iter()
            .filter(|id| self.in_memory(*id).is_none())
            .collect()
    }

    fn in_memory(&self, id: TileId) -> Option<&HashTile> {
        let full_tiles = self.size >> (8 * (u32::from(id.level) + 1)).min(63);
        if id.index == full_tiles {
            return self.edge.get(usize::from(id.level)).map(Arc::as_ref);
        }
        self.recent
            .iter()
            .find(|(recent, _)| *recent == id)
            .map(|(_, tile)| tile.as_ref())
    }
}
