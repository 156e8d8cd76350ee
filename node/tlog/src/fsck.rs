//! Checking a whole log: every entry in its place, none older than the one before it, all of them hashing to the signed root.

use crate::checkpoint::Checkpoint;
use crate::error::FsckError;
use crate::hash::{Hash, leaf_hash};
use crate::leaf::Leaf;
use crate::tile::TileId;
use crate::tree::Tree;

/// A log that is being read from its first entry to its last.
#[derive(Debug, Default)]
pub struct Fsck {
    tree: Tree,
    last_time: u64,
}

/// What a log turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsckReport {
    /// Entries read.
    pub entries: u64,
    /// Root over them.
    pub root: Hash,
}

impl Fsck {
    /// Begins at the first entry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry's leaf.
    pub fn leaf(&mut self, bytes: &[u8]) -> Result<Leaf, FsckError> {
        let index = self.tree.size();
        let leaf = Leaf::decode(bytes).map_err(|error| FsckError::Leaf { index, error })?;
        if leaf.index != index {
            return Err(FsckError::Index {
                index,
                says: leaf.index,
            });
        }
        if leaf.time < self.last_time {
            return Err(FsckError::Time { index });
        }
        self.last_time = leaf.time;
        self.tree.append(leaf_hash(bytes));
        Ok(leaf)
    }

    /// Takes the next entry's hash where its leaf isn't at hand: the hashes of a tile of level 0 in their order. What only a leaf says,
    /// its index and time, isn't checked then.
    pub fn hash(&mut self, leaf_hash: Hash) {
        self.tree.append(leaf_hash);
    }

    /// Number of entries taken so far.
    pub fn entries(&self) -> u64 {
        self.tree.size()
    }

    /// Root over the entries taken so far.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The tiles that the entries filled since the last call, to be compared with the stored ones.
    pub fn take_full_tiles(&mut self) -> Vec<(TileId, Vec<u8>)> {
        self.tree.take_full_tiles()
    }

    /// The partial tile of a level that the entries taken so far leave, with its width; to be compared at the end.
    pub fn partial_tile(&self, level: u8) -> Option<(u64, Vec<u8>)> {
        let snapshot = self.tree.snapshot();
        let tile = snapshot.partial_tile(level)?;
        Some((tile.width(), tile.to_bytes()))
    }

    /// The tree over the entries taken, to go on with.
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// Compares with a checkpoint that the log's owner signed.
    pub fn finish(self, expected: &Checkpoint) -> Result<FsckReport, FsckError> {
        if self.tree.size() != expected.size {
            return Err(FsckError::Size {
                expected: expected.size,
                found: self.tree.size(),
            });
        }
        let root = self.tree.root();
        if root == expected.root {
            Ok(FsckReport {
                entries: expected.size,
                root,
            })
        } else {
            Err(FsckError::Root)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(index: u64) -> Leaf {
        Leaf {
            kind: 1,
            index,
            time: 1000 + index,
            entry_id: [0; 16],
            key_epoch: 1,
            c_subject: [1; 32],
            c_actor: [2; 32],
            c_content: [3; 32],
        }
    }

    fn checkpoint(size: u64) -> Checkpoint {
        let mut tree = Tree::new();
        (0..size).for_each(|i| tree.append(leaf(i).hash()));
        Checkpoint {
            origin: "o".into(),
            size,
            root: tree.root(),
        }
    }

    fn read(leaves: &[Leaf], expected: &Checkpoint) -> Result<FsckReport, FsckError> {
        let mut fsck = Fsck::new();
        for leaf in leaves {
            fsck.leaf(&leaf.encode())?;
        }
        fsck.finish(expected)
    }

    #[test]
    fn a_whole_log_is_confirmed() {
        let leaves: Vec<_> = (0..700).map(leaf).collect();
        assert_eq!(read(&leaves, &checkpoint(700)).unwrap().entries, 700);
    }

    #[test]
    fn hashes_alone_lead_to_the_same_root_and_tiles() {
        let (mut by_leaf, mut by_hash) = (Fsck::new(), Fsck::new());
        for index in 0..700 {
            by_leaf.leaf(&leaf(index).encode()).unwrap();
            by_hash.hash(leaf(index).hash());
        }
        assert_eq!(by_leaf.take_full_tiles(), by_hash.take_full_tiles());
        assert_eq!(by_hash.partial_tile(0).unwrap().0, 700 - 512);
        assert_eq!(by_hash.partial_tile(1).unwrap().1.len(), 2 * 32);
        assert_eq!(by_hash.partial_tile(2), None);
        assert_eq!(by_leaf.partial_tile(0), by_hash.partial_tile(0));
        assert_eq!(by_hash.finish(&checkpoint(700)).unwrap().entries, 700);
    }

    #[test]
    fn what_is_missing_moved_older_or_changed_is_named() {
        let leaves: Vec<_> = (0..20).map(leaf).collect();
        assert_eq!(
            read(&leaves[..19], &checkpoint(20)),
            Err(FsckError::Size {
                expected: 20,
                found: 19
            })
        );
        let mut moved = leaves.clone();
        moved.swap(3, 4);
        assert_eq!(
            read(&moved, &checkpoint(20)),
            Err(FsckError::Index { index: 3, says: 4 })
        );
        let mut older = leaves.clone();
        older[7].time = 1;
        assert_eq!(
            read(&older, &checkpoint(20)),
            Err(FsckError::Time { index: 7 })
        );
        let mut changed = leaves;
        changed[7].c_actor[0] ^= 1;
        assert_eq!(read(&changed, &checkpoint(20)), Err(FsckError::Root));
        assert!(Fsck::new().leaf(&[1; 4]).is_err());
    }
}
