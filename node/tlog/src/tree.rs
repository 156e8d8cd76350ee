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

    /// The full tiles that [`Tree::restore`] will ask for: at most 255 a level.
    pub fn tiles_for_restore(size: u64) -> Vec<TileId> {
        let mut ids = Vec::new();
        let mut full = size / TILE_WIDTH;
        let mut level = 0;
        while full > 0 {
            ids.extend((full - full % TILE_WIDTH..full).map(|index| TileId { level, index }));
            full /= TILE_WIDTH;
            level += 1;
        }
        ids
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{NoTiles, TileSource, leaf_hash, verify_consistency, verify_inclusion};

    fn numbered(i: u64) -> Hash {
        leaf_hash(&i.to_be_bytes())
    }

    /// A tree of `size` leaves and all full tiles that it gave out on the way, in batches of `batch`.
    fn grown(size: u64, batch: u64) -> (Tree, HashMap<TileId, Vec<u8>>) {
        let mut tree = Tree::new();
        let mut stored = HashMap::new();
        for i in 0..size {
            tree.append(numbered(i));
            if (i + 1) % batch == 0 || i + 1 == size {
                stored.extend(tree.take_full_tiles());
            }
        }
        (tree, stored)
    }

    fn loaded(
        stored: &HashMap<TileId, Vec<u8>>,
        wanted: Vec<TileId>,
    ) -> HashMap<TileId, Arc<HashTile>> {
        wanted
            .into_iter()
            .map(|id| {
                (
                    id,
                    Arc::new(HashTile::from_full_bytes(id, &stored[&id]).unwrap()),
                )
            })
            .collect()
    }

    #[test]
    fn a_restored_tree_goes_on_as_if_it_had_never_stopped() {
        for size in [
            0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_000, 131_500,
        ] {
            let (mut tree, stored) = grown(size, 500);
            let tail: Vec<Hash> = (size - size % 256..size).map(numbered).collect();
            let expected = Tree::tiles_for_restore(size);
            let mut again = Tree::restore::<ProofError>(size, &tail, &mut |id| {
                assert!(expected.contains(&id));
                stored.get(&id).cloned().ok_or(ProofError::MissingTile(id))
            })
            .unwrap();
            assert_eq!(
                (again.size(), again.root()),
                (tree.size(), tree.root()),
                "{size}"
            );
            for i in size..size + 700 {
                tree.append(numbered(i));
                again.append(numbered(i));
            }
            assert_eq!(again.root(), tree.root(), "{size}");
            assert_eq!(again.take_full_tiles(), tree.take_full_tiles(), "{size}");
        }
        assert_eq!(
            Tree::restore::<ProofError>(5, &[], &mut |id| Err(ProofError::MissingTile(id))).err(),
            Some(ProofError::BadTail)
        );
    }

    #[test]
    fn proofs_of_a_large_tree_need_the_tiles_that_are_named_and_no_others() {
        let (tree, stored) = grown(70_000, 512);
        let snapshot = tree.snapshot();
        for index in [0, 1, 255, 256, 40_000, 65_535, 65_536, 69_600, 69_999] {
            let tiles = loaded(&stored, snapshot.missing_for_inclusion(index));
            assert!(tiles.len() <= 3);
            let path = snapshot.inclusion(index, &tiles).unwrap();
            assert_eq!(
                verify_inclusion(index, 70_000, &numbered(index), &path, &tree.root()),
                Ok(())
            );
        }
        for old in [
            1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 69_632, 69_999, 70_000,
        ] {
            let mut wanted = snapshot.missing_for_consistency(old);
            wanted.extend(snapshot.missing_for_root_at(old));
            let tiles = loaded(&stored, wanted);
            let old_root = snapshot.root_at(old, &tiles).unwrap();
            assert_eq!(old_root, grown(old, 1000).0.root());
            let proof = snapshot.consistency(old, &tiles).unwrap();
            assert_eq!(
                verify_consistency(old, 70_000, &old_root, &tree.root(), &proof),
                Ok(())
            );
        }
        assert!(matches!(
            snapshot.inclusion(0, &NoTiles),
            Err(ProofError::MissingTile(_))
        ));
        assert_eq!(
            snapshot.inclusion(70_000, &NoTiles),
            Err(ProofError::IndexOutOfRange)
        );
        assert_eq!(
            snapshot.consistency(70_001, &NoTiles),
            Err(ProofError::SizesReversed)
        );
    }

    #[test]
    fn every_entry_of_the_newest_batch_is_proved_from_memory_alone() {
        let mut tree = Tree::new();
        let mut size = 0;
        for batch in [1, 254, 2, 300, 512, 512, 512, 7] {
            for i in size..size + batch {
                tree.append(numbered(i));
            }
            tree.take_full_tiles();
            let snapshot = tree.snapshot();
            for i in size..size + batch {
                assert!(snapshot.missing_for_inclusion(i).is_empty());
                let path = snapshot.inclusion(i, &NoTiles).unwrap();
                assert_eq!(
                    verify_inclusion(i, size + batch, &numbered(i), &path, &snapshot.root()),
                    Ok(())
                );
            }
            size += batch;
        }
    }

    #[test]
    fn a_clone_that_grew_leaves_the_tree_before_it_untouched() {
        let (tree, _) = grown(250, 250);
        let before = (tree.size(), tree.root());
        let mut speculative = tree.clone();
        (250..600).for_each(|i| speculative.append(numbered(i)));
        drop(speculative);
        assert_eq!((tree.size(), tree.root()), before);
        let mut again = tree;
        (250..600).for_each(|i| again.append(numbered(i)));
        assert_eq!(again.root(), grown(600, 600).0.root());
        assert_eq!(again.take_full_tiles().len(), 2);
    }

    #[test]
    fn a_snapshot_stays_what_it_was_while_the_tree_grows() {
        let (mut tree, _) = grown(300, 300);
        let snapshot = tree.snapshot();
        let (root, path) = (snapshot.root(), snapshot.inclusion(290, &NoTiles).unwrap());
        (300..900).for_each(|i| tree.append(numbered(i)));
        assert_eq!(snapshot.inclusion(290, &NoTiles).unwrap(), path);
        assert_eq!((snapshot.size(), snapshot.root()), (300, root));
        assert_eq!(snapshot.partial_tile(0).unwrap().width(), 44);
        assert_eq!(snapshot.partial_tile(1).unwrap().to_bytes().len(), 32);
        assert!(NoTiles.tile(TileId { level: 0, index: 0 }).is_none());
    }
}
