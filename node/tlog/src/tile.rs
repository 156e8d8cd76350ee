//! Tiles of C2SP tlog-tiles: 256 hashes of one level in one file, the rightmost ones partial.

use crate::error::ProofError;
use crate::hash::{Hash, node_hash};

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree between two tile levels.
pub(crate) const TILE_HEIGHT: u32 = 8;
/// All nodes of a full tile, its root among them.
const FULL_NODES: usize = 511;

/// A tile's place: level 0 holds leaf hashes, each further level the roots of full tiles below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Level of tiles, 0 to 7.
    pub level: u8,
    /// Place at that level, from 0.
    pub index: u64,
}

impl TileId {
    /// `tile/<L>/<N>`, and `.p/<W>` for a partial tile: `width` is its number of hashes, 256 for a full one.
    pub fn path(self, width: u64) -> String {
        format!(
            "tile/{}/{}{}",
            self.level,
            index_path(self.index),
            partial_suffix(width)
        )
    }

    /// `tile/entries/<N>`, with the suffix of [`TileId::path`]: the entry bundle beside this tile of level 0.
    pub fn entries_path(self, width: u64) -> String {
        format!(
            "tile/entries/{}{}",
            index_path(self.index),
            partial_suffix(width)
        )
    }

    /// How many of its hashes a log of `size` entries has, at most 256.
    pub fn width_within(self, size: u64) -> u64 {
        let hashes = size
            .checked_shr(u32::from(self.level) * TILE_HEIGHT)
            .unwrap_or(0);
        let before = self.index.saturating_mul(TILE_WIDTH);
        hashes.saturating_sub(before).min(TILE_WIDTH)
    }

    /// The tile that holds the node of `height` at `place`, and the node's height and place inside it.
    pub(crate) fn of_node(height: u32, place: u64) -> (Self, u32, u64) {
        let inside = height % TILE_HEIGHT;
        let per_tile = TILE_HEIGHT - inside;
        // A height is below 64, so that the level is below 8.
        let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
        (
            Self {
                level,
                index: place >> per_tile,
            },
            inside,
            place & ((1 << per_tile) - 1),
        )
    }
}

/// Every tile of a log of `size` entries with its width, level by level: what an export writes.
pub fn tiles_of(size: u64) -> impl Iterator<Item = (TileId, u64)> {
    (0_u8..8)
        .map(move |level| (level, size >> (u32::from(level) * TILE_HEIGHT)))
        .take_while(|(_, hashes)| *hashes > 0)
        .flat_map(|(level, hashes)| {
            (0..hashes.div_ceil(TILE_WIDTH)).map(move |index| {
                (
                    TileId { level, index },
                    TILE_WIDTH.min(hashes - index * TILE_WIDTH),
                )
            })
        })
}

/// An entry bundle: each entry behind its 16-bit big-endian length. `None` when an entry is longer than that can say.
pub fn entry_bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for entry in entries {
        out.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Some(out)
}

/// The entries of a bundle; `None` when the bytes end inside one.
pub fn read_entry_bundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut out = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        out.push(entry);
        bytes = rest;
    }
    bytes.is_empty().then_some(out)
}

/// A tile in memory with all its inner nodes, in the order in which they become known: each leaf, then the nodes it completes.
/// So growing is pushing, and a copy costs what is filled (16 KiB when full).
#[derive(Debug)]
pub struct HashTile {
    nodes: Vec<Hash>,
    width: u64,
}

impl Clone for HashTile {
    fn clone(&self) -> Self {
        // With room for the pushes that follow a copy-on-write.
        let mut nodes = Vec::with_capacity(FULL_NODES);
        nodes.extend_from_slice(&self.nodes);
        Self {
            nodes,
            width: self.width,
        }
    }
}

impl HashTile {
    /// A tile without hashes.
    pub(crate) fn empty() -> Self {
        Self {
            nodes: Vec::with_capacity(FULL_NODES),
            width: 0,
        }
    }

    /// Reads a stored full tile (8,192 bytes) and hashes its inner nodes once.
    pub fn from_full_bytes(id: TileId, bytes: &[u8]) -> Result<Self, ProofError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() as u64 != TILE_WIDTH || !rest.is_empty() {
            return Err(ProofError::BadTile(id));
        }
        let mut tile = Self::empty();
        for hash in hashes {
            tile.push(*hash);
        }
        Ok(tile)
    }

    /// Number of hashes, 256 when full.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// The tile's bytes as stored and exported: its hashes, one behind the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        (0..self.width)
            .filter_map(|place| self.node(0, place))
            .flatten()
            .collect()
    }

    /// Appends a hash. Returns the tile's root when it is full now.
    pub(crate) fn push(&mut self, hash: Hash) -> Option<Hash> {
        let mut place = self.width;
        self.width += 1;
        self.nodes.push(hash);
        let mut hash = hash;
        let mut height = 0;
        while place & 1 == 1 {
            let left = self.node(height, place - 1)?;
            hash = node_hash(&left, &hash);
            self.nodes.push(hash);
            place >>= 1;
            height += 1;
        }
        (self.width == TILE_WIDTH).then_some(hash)
    }

    /// The node of `height` (0 to 8) at `place`, when its whole subtree is filled.
    pub(crate) fn node(&self, height: u32, place: u64) -> Option<Hash> {
        // The node is pushed right behind the last leaf of its subtree and the lower nodes that this leaf completes.
        let mut last_leaf = ((place + 1) << height) - 1;
        let mut at = u64::from(height);
        while last_leaf > 0 {
            at += last_leaf;
            last_leaf >>= 1;
        }
        self.nodes.get(usize::try_from(at).ok()?).copied()
    }
}

fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

fn partial_suffix(width: u64) -> String {
    if width < TILE_WIDTH {
        format!(".p/{width}")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(
            TileId {
                level: 0,
                index: 1_234_067
            }
            .path(256),
            "tile/0/x001/x234/067"
        );
        assert_eq!(TileId { level: 0, index: 0 }.path(256), "tile/0/000");
        assert_eq!(TileId { level: 1, index: 5 }.path(17), "tile/1/005.p/17");
        assert_eq!(
            TileId {
                level: 0,
                index: 1000
            }
            .entries_path(1),
            "tile/entries/x001/000.p/1"
        );
    }

    #[test]
    fn a_log_of_70000_entries_has_the_tiles_of_the_specification() {
        let tiles: Vec<_> = tiles_of(70_000).collect();
        let count = |level, full: bool| {
            tiles
                .iter()
                .filter(|(id, w)| id.level == level && (*w == 256) == full)
                .count()
        };
        assert_eq!((count(0, true), count(0, false)), (273, 1));
        assert_eq!((count(1, true), count(1, false)), (1, 1));
        assert_eq!((count(2, true), count(2, false)), (0, 1));
        assert!(tiles.contains(&(
            TileId {
                level: 0,
                index: 273
            },
            112
        )));
        assert!(tiles.contains(&(TileId { level: 1, index: 1 }, 17)));
        assert!(tiles.contains(&(TileId { level: 2, index: 0 }, 1)));
        assert_eq!(tiles.len(), 277);
        assert_eq!(
            tiles_of(256).collect::<Vec<_>>(),
            [
                (TileId { level: 0, index: 0 }, 256),
                (TileId { level: 1, index: 0 }, 1)
            ]
        );
        assert_eq!(tiles_of(0).count(), 0);
    }

    #[test]
    fn every_node_of_a_growing_tile_is_found_as_soon_as_its_subtree_is_filled_and_not_before() {
        let mut tile = HashTile::empty();
        let leaves: Vec<Hash> = (0..256_u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        for (n, leaf) in leaves.iter().enumerate() {
            let root = tile.push(*leaf);
            assert_eq!(root.is_some(), n == 255);
            for height in 0..=8 {
                for place in 0..(256_u64 >> height) {
                    let filled = ((place + 1) << height) <= n as u64 + 1;
                    assert_eq!(
                        tile.node(height, place).is_some(),
                        filled,
                        "{n} {height} {place}"
                    );
                }
            }
        }
        for height in 1..=8 {
            for place in 0..(256_u64 >> height) {
                let l = tile.node(height - 1, 2 * place).unwrap();
                let r = tile.node(height - 1, 2 * place + 1).unwrap();
                assert_eq!(tile.node(height, place), Some(node_hash(&l, &r)));
            }
        }
        let id = TileId { level: 0, index: 0 };
        let again = HashTile::from_full_bytes(id, &tile.to_bytes()).unwrap();
        assert_eq!(again.node(8, 0), tile.node(8, 0));
        assert_eq!(
            HashTile::from_full_bytes(id, &[0; 8191]).err(),
            Some(ProofError::BadTile(id))
        );
    }

    #[test]
    fn an_entry_bundle_is_read_back_and_a_cut_one_refused() {
        let bundle = entry_bundle([b"one".as_slice(), b"", b"three"]).unwrap();
        assert_eq!(bundle, b"\x00\x03one\x00\x00\x00\x05three");
        assert_eq!(
            read_entry_bundle(&bundle).unwrap(),
            [b"one".as_slice(), b"", b"three"]
        );
        assert_eq!(read_entry_bundle(&bundle[..bundle.len() - 1]), None);
        assert_eq!(read_entry_bundle(&bundle[..6]), None);
        assert_eq!(entry_bundle([vec![0; 65536].as_slice()]), None);
    }
}
