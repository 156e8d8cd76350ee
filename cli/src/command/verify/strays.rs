//! What else lies among an export's tiles. A folder that is called whole holds nothing that wasn't looked at.

use std::path::Path;

use vrx_tlog::{Resource, TileId, read_entry_bundle};

use super::{Stop, log::bytes};
use crate::failure::Failure;

/// No path of an export is deeper: `tile/entries/x001/…/000.p/17` with seven groups of digits.
const DEEPEST: usize = 12;

/// Looks at every file below `tile`. The tree's own tiles were compared by then; partial tiles that an earlier, smaller export left may lie
/// beside them where they say the same, and are counted. Anything else is a finding.
pub(super) fn look(folder: &Path, size: u64) -> Result<u64, Stop> {
    let mut earlier = 0;
    let mut left = vec!["tile".to_owned()];
    while let Some(path) = left.pop() {
        let full = folder.join(&path);
        let failed = |error: &std::io::Error| Stop::Failed(Failure::file("読み込み", &full, error));
        let kind = match std::fs::metadata(&full) {
            Ok(kind) => kind,
            // A log without entries has no tile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == "tile" => {
                continue;
            }
            Err(error) => return Err(failed(&error)),
        };
        if kind.is_dir() && path.split('/').count() < DEEPEST {
            for one in std::fs::read_dir(&full).map_err(|error| failed(&error))? {
                let name = one.map_err(|error| failed(&error))?.file_name();
                left.push(format!("{path}/{}", name.to_string_lossy()));
            }
            continue;
        }
        earlier += u64::from(is_earlier(folder, &path, size)?);
    }
    Ok(earlier)
}

/// Whether a file is a partial tile of an earlier size; false of the tree's own tiles.
fn is_earlier(folder: &Path, path: &str, size: u64) -> Result<bool, Stop> {
    let resource = Resource::parse(path)
        .filter(|resource| resource.is_within(size))
        .ok_or_else(|| stray(path))?;
    let (id, width, whole): (_, _, fn(TileId, u64) -> String) = match resource {
        Resource::Checkpoint => return Err(stray(path)),
        Resource::Tile { id, width } => (id, width, TileId::path),
        Resource::Entries { index, width } => {
            (TileId { level: 0, index }, width, TileId::entries_path)
        }
    };
    let widest = id.width_within(size);
    if width == widest {
        return Ok(false);
    }
    let (part, whole) = (
        bytes(&folder.join(path))?,
        bytes(&folder.join(whole(id, widest)))?,
    );
    let is_whole = match resource {
        Resource::Entries { .. } => {
            read_entry_bundle(&part).is_some_and(|leaves| leaves.len() as u64 == width)
        }
        _ => part.len() as u64 == width * 32,
    };
    if is_whole && whole.starts_with(&part) {
        Ok(true)
    } else {
        Err(Stop::NotProved(
            "以前の書き出しのタイルが記録と合いません",
            format!("{path} isn't the beginning of the tile of today"),
        ))
    }
}

fn stray(path: &str) -> Stop {
    Stop::NotProved(
        "フォルダーに、この木のものでないファイルがあります。取り除くか、新しいフォルダーに書き出してください",
        format!("{path} is no file of this tree: remove it, or export to a new folder"),
    )
}
