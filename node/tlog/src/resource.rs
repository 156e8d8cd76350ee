//! What C2SP tlog-tiles serves below a log's prefix: the checkpoint, hash tiles, entry bundles, by their paths.

use crate::text::parse_decimal;
use crate::tile::{TILE_WIDTH, TileId};

/// One thing that a log serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `checkpoint`
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`
    Tile {
        /// Which tile.
        id: TileId,
        /// How many of its hashes, 256 of a full one.
        width: u64,
    },
    /// `tile/entries/<N>[.p/<W>]`
    Entries {
        /// Place of the tile of level 0 beside which the bundle stands.
        index: u64,
        /// How many entries, 256 of a full bundle.
        width: u64,
    },
}

impl Resource {
    /// The resource with this path below the prefix. Each has one spelling; any other names nothing.
    pub fn parse(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
        let (place, width) = match place.split_once(".p/") {
            None => (place, TILE_WIDTH),
            Some((place, width)) => {
                let width = parse_decimal(width).filter(|width| (1..TILE_WIDTH).contains(width))?;
                (place, width)
            }
        };
        let index = parse_index(place)?;
        let (resource, spelt) = if level == "entries" {
            let beside = TileId { level: 0, index };
            (Self::Entries { index, width }, beside.entries_path(width))
        } else {
            let level = parse_decimal(level).filter(|level| *level < 64)?;
            let level = u8::try_from(level).ok()?;
            let id = TileId { level, index };
            (Self::Tile { id, width }, id.path(width))
        };
        (spelt == path).then_some(resource)
    }

    /// Whether a log of `size` entries has it, or had it when it was smaller (a partial tile).
    pub fn is_within(self, size: u64) -> bool {
        let (id, width) = match self {
            Self::Checkpoint => return true,
            Self::Tile { id, width } => (id, width),
            Self::Entries { index, width } => (TileId { level: 0, index }, width),
        };
        width <= id.width_within(size)
    }
}

/// `x001/x234/067` is 1234067. Whether the number could be spelt shorter isn't looked at here.
fn parse_index(text: &str) -> Option<u64> {
    text.split('/').try_fold(0_u64, |index, part| {
        let digits = part.strip_prefix('x').unwrap_or(part);
        let is_part = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let part: u64 = is_part.then(|| digits.parse().ok())??;
        index.checked_mul(1_000)?.checked_add(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::tiles_of;

    #[test]
    fn the_specifications_paths_are_read() {
        assert_eq!(Resource::parse("checkpoint"), Some(Resource::Checkpoint));
        assert_eq!(
            Resource::parse("tile/0/x001/x234/067"),
            Some(Resource::Tile {
                id: TileId {
                    level: 0,
                    index: 1_234_067
                },
                width: 256
            })
        );
        assert_eq!(
            Resource::parse("tile/63/000.p/17"),
            Some(Resource::Tile {
                id: TileId {
                    level: 63,
                    index: 0
                },
                width: 17
            })
        );
        assert_eq!(
            Resource::parse("tile/entries/x001/000.p/255"),
            Some(Resource::Entries {
                index: 1_000,
                width: 255
            })
        );
    }

    #[test]
    fn every_tile_of_a_log_is_read_back_from_its_path() {
        for size in [1, 255, 256, 257, 70_000, 1 << 30] {
            for (id, width) in tiles_of(size).step_by(1 + usize::try_from(size / 10_000).unwrap()) {
                let tile = Resource::Tile { id, width };
                assert_eq!(Resource::parse(&id.path(width)), Some(tile));
                let bundle = Resource::Entries {
                    index: id.index,
                    width,
                };
                assert_eq!(Resource::parse(&id.entries_path(width)), Some(bundle));
            }
        }
    }

    #[test]
    fn every_other_spelling_names_nothing() {
        for path in [
            "",
            "/checkpoint",
            "checkpoint/",
            "Checkpoint",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "tile/0/+01",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p/1/2",
            "tile/0/000.p",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/entries/0",
            "tile/Entries/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/0/../000",
            "tile/0/000?x",
        ] {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_log_has_the_tiles_of_its_size_and_had_the_narrower_ones() {
        let is_within = |path, size| Resource::parse(path).unwrap().is_within(size);
        for (path, size) in [
            ("checkpoint", 0),
            ("tile/0/000.p/1", 1),
            ("tile/0/000.p/1", 700),
            ("tile/0/000", 256),
            ("tile/0/002.p/188", 700),
            ("tile/entries/002.p/188", 700),
            ("tile/1/000.p/2", 700),
            ("tile/2/000.p/1", 65_536),
        ] {
            assert!(is_within(path, size), "{path} {size}");
        }
        for (path, size) in [
            ("tile/0/000.p/1", 0),
            ("tile/0/000", 255),
            ("tile/0/002.p/189", 700),
            ("tile/entries/003.p/1", 700),
            ("tile/1/000.p/3", 700),
            ("tile/2/000.p/1", 65_535),
            ("tile/63/000.p/1", u64::MAX),
        ] {
            assert!(!is_within(path, size), "{path} {size}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_spelt_so_and_no_path_makes_the_parser_panic(
            path in "(tile/[0-9e]{1,2}/)?[a-z0-9./x]{0,40}",
        ) {
            if let Some(Resource::Tile { id, width }) = Resource::parse(&path) {
                proptest::prop_assert_eq!(id.path(width), path);
            }
        }
    }
}
