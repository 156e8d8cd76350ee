//! A log as files of C2SP tlog-tiles: `checkpoint`, `tile/<L>/<N>[.p/<W>]`, and `tile/entries/…` for the tenant's own officer.

use std::path::{Path, PathBuf};

use vrx_tlog::{TILE_WIDTH, TileId, tiles_of};

use crate::deadline::Deadline;
use crate::error::{ExportError, ReadError};
use crate::reader::LogReader;
use crate::tiles;

/// Whether leaves are written too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bundles {
    /// Checkpoint and hash tiles: what members and witnesses may have.
    Leave,
    /// The entry bundles (leaves, no openings): for the tenant's officer alone.
    Write,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Entries in the checkpoint.
    pub entries: u64,
    /// Hash tiles, partial ones among them.
    pub tiles: u64,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl LogReader {
    /// Writes the log up to its newest signed checkpoint below `folder`, the checkpoint last: what it speaks of is there when it is.
    /// `progress` is told (tiles written, of).
    pub async fn export(
        &self,
        folder: &Path,
        bundles: Bundles,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Exported, ExportError> {
        let checkpoint = self.checkpoint();
        let all: Vec<(TileId, u64)> = tiles_of(checkpoint.size()).collect();
        let mut written = 0;
        for some in all.chunks(64) {
            let deadline = Deadline::after(self.patience());
            let full: Vec<TileId> = some
                .iter()
                .filter(|(_, width)| *width == TILE_WIDTH)
                .map(|(id, _)| *id)
                .collect();
            let mut files: Vec<(PathBuf, Vec<u8>)> = tiles::read(&**self.store(), &full, deadline)
                .await?
                .into_iter()
                .map(|(id, bytes)| (folder.join(id.path(TILE_WIDTH)), bytes))
                .collect();
            for (id, width) in some.iter().filter(|(_, width)| *width < TILE_WIDTH) {
                let partial = checkpoint
                    .snapshot()
                    .partial_tile(id.level)
                    .map(vrx_tlog::HashTile::to_bytes);
                let partial = partial.ok_or(ReadError::TileMissing(*id))?;
                files.push((folder.join(id.path(*width)), partial));
            }
            if bundles == Bundles::Write {
                for (id, width) in some.iter().filter(|(id, _)| id.level == 0) {
                    let bundle = self.entry_bundle(id.index, *width, &checkpoint, deadline);
                    files.push((
                        folder.join(id.entries_path(*width)),
                        bundle.await?.ok_or(ReadError::OutOfRange)?,
                    ));
                }
            }
            write(files).await?;
            written += some.len() as u64;
            progress(written, all.len() as u64);
        }
        write(vec![(
            folder.join("checkpoint"),
            checkpoint.note().as_bytes().to_vec(),
        )])
        .await?;
        Ok(Exported {
            entries: checkpoint.size(),
            tiles: written,
            checkpoint: checkpoint.note().to_owned(),
        })
    }
}

async fn write(files: Vec<(PathBuf, Vec<u8>)>) -> Result<(), ExportError> {
    let task = tokio::task::spawn_blocking(move || {
        files.into_iter().try_for_each(|(path, bytes)| {
            let done = path
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&path, bytes));
            done.map_err(|source| ExportError::Write {
                path: path.display().to_string(),
                source,
            })
        })
    });
    let stopped = |_| ExportError::Read(ReadError::DeadlineExceeded);
    task.await.map_err(stopped)?
}
