//! `vrx verify log`: an exported log, every tile of it computed again from its leaves, up to the signed root.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::Value;
use vrx_tlog::{Fsck, FsckError, Hash, TILE_WIDTH, TileId, read_entry_bundle};

use super::{Stop, Verdict, read, strays, trust::Trust};
use crate::{failure::Failure, output::Output};

/// An exported log.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    trust: Trust,
    /// vrx-node log export が書いたフォルダー / the folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Checks a folder: the checkpoint's signatures, every leaf (when the entries are there), every tile, the root, and that no other file
/// lies among the tiles.
pub(super) fn log(args: &Args, output: &Output) -> Result<Verdict, Stop> {
    let path = args.folder.join("checkpoint");
    let signed = args.trust.open(&read(&path)?, &path)?;
    let size = signed.checkpoint.size;
    let mut walk = Walk {
        folder: &args.folder,
        entries: args.folder.join("tile/entries").is_dir(),
        fsck: Fsck::new(),
        tiles: 0,
    };
    let bar = output.progress(size, "検証中 {bar:40} {pos}/{len} 件 残り {eta}");
    let walked = walk.all(size, &bar);
    bar.finish_and_clear();
    walked?;
    let Walk {
        fsck,
        tiles,
        entries,
        ..
    } = walk;
    fsck.finish(&signed.checkpoint).map_err(wrong)?;
    let earlier = strays::look(&args.folder, size)?;
    let (japanese, english) = signed.sentence();
    let mut details = signed.json();
    if let Value::Object(details) = &mut details {
        details.insert("tiles".to_owned(), tiles.into());
        details.insert("earlier_tiles".to_owned(), earlier.into());
        details.insert(
            "entries_checked".to_owned(),
            if entries { size } else { 0 }.into(),
        );
    }
    let (leaves_japanese, leaves_english) = if entries {
        ("記録", "entries")
    } else {
        ("記録のハッシュ", "entries' hashes")
    };
    Ok(Verdict {
        proved: (
            format!(
                "{japanese}。フォルダーの tile の下の {size} 件の{leaves_japanese}とタイル {tiles} 枚は、すべてその木のもので、ほかのファイルはありません"
            ),
            format!(
                "{english}; all {size} {leaves_english} and {tiles} tiles below the folder's tile are that tree's, and no other file is there"
            ),
        ),
        open: signed.open(),
        details,
        fields: Vec::new(),
    })
}

struct Walk<'a> {
    folder: &'a Path,
    /// Whether the entries themselves are in the folder.
    entries: bool,
    fsck: Fsck,
    /// Tiles that were compared.
    tiles: u64,
}

impl Walk<'_> {
    fn all(&mut self, size: u64, bar: &ProgressBar) -> Result<(), Stop> {
        while self.fsck.entries() < size {
            let index = self.fsck.entries() / TILE_WIDTH;
            let width = TILE_WIDTH.min(size - self.fsck.entries());
            self.take(TileId { level: 0, index }, width)?;
            for (id, bytes) in self.fsck.take_full_tiles() {
                self.compare(id, TILE_WIDTH, &bytes)?;
            }
            bar.set_position(self.fsck.entries());
        }
        for level in 0..8 {
            if let Some((width, bytes)) = self.fsck.partial_tile(level) {
                let index = size >> (8 * (u32::from(level) + 1)).min(63);
                self.compare(TileId { level, index }, width, &bytes)?;
            }
        }
        Ok(())
    }

    /// Takes the leaves below a tile of level 0: from the entries if they are there, from the tile otherwise.
    fn take(&mut self, id: TileId, width: u64) -> Result<(), Stop> {
        if !self.entries {
            let (hashes, rest) = self.file(&id.path(width))?;
            if hashes.len() as u64 != width || !rest {
                return Err(other_tile(id, width));
            }
            for hash in hashes {
                self.fsck.hash(hash);
            }
            return Ok(());
        }
        let path = self.folder.join(id.entries_path(width));
        let bytes = bytes(&path)?;
        let leaves = read_entry_bundle(&bytes)
            .filter(|leaves| leaves.len() as u64 == width)
            .ok_or_else(|| {
                Stop::NotProved(
                    "記録の束が壊れているか、件数が違います",
                    format!(
                        "{} isn't a bundle of {width} entries",
                        id.entries_path(width)
                    ),
                )
            })?;
        for leaf in leaves {
            self.fsck.leaf(leaf).map_err(wrong)?;
        }
        Ok(())
    }

    fn compare(&mut self, id: TileId, width: u64, made: &[u8]) -> Result<(), Stop> {
        if bytes(&self.folder.join(id.path(width)))? != made {
            return Err(other_tile(id, width));
        }
        self.tiles += 1;
        Ok(())
    }

    /// The hashes of a tile's file, and whether nothing is left over.
    fn file(&self, path: &str) -> Result<(Vec<Hash>, bool), Stop> {
        let bytes = bytes(&self.folder.join(path))?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        Ok((hashes.to_vec(), rest.is_empty()))
    }
}

/// No file of an export comes near this many bytes: 256 entries of 64 KiB each.
const LONGEST: u64 = 32 << 20;

/// A regular file, read to a bound: a device or a pipe in the folder would never end.
fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(LONGEST)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file of the folder. One that is missing makes the log unproved; one that can't be read is the caller's to mend.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Stop> {
    bounded(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Stop::NotProved(
                "フォルダーに足りないファイルがあります",
                format!("{} is missing", path.display()),
            )
        } else {
            Stop::Failed(Failure::file("読み込み", path, &error))
        }
    })
}

fn other_tile(id: TileId, width: u64) -> Stop {
    Stop::NotProved(
        "タイルが記録と合いません",
        format!("{} isn't what the entries hash to", id.path(width)),
    )
}

fn wrong(error: FsckError) -> Stop {
    Stop::NotProved(
        "フォルダーの記録は、署名された木のものではありません",
        error.to_string(),
    )
}
