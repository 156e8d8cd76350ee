//! A log as files of C2SP tlog-tiles: `checkpoint`, `tile/<L>/<N>[.p/<W>]`, and `tile/entries/…` for the tenant's own officer.

mod folder;

use std::path::Path;

use vrx_tlog::{TILE_WIDTH, TileId, tiles_of};

use self::folder::Folder;
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
    /// `progress` is told (tiles written, of). A folder that holds anything but an earlier export of the same log and kind is refused, and
    /// nothing is changed in it; the partial tiles of an earlier one are gone when this one stands.
    pub async fn export(
        &self,
        folder: &Path,
        bundles: Bundles,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Exported, ExportError> {
        let checkpoint = self.checkpoint();
        let (path, size, key) = (
            folder.to_owned(),
            checkpoint.size(),
            self.verifier_key().clone(),
        );
        let folder = on_disk(move || Folder::check(&path, bundles, size, &key)).await?;
        let all: Vec<(TileId, u64)> = tiles_of(checkpoint.size()).collect();
        let mut written = 0;
        for some in all.chunks(64) {
            let deadline = Deadline::after(self.patience());
            let full: Vec<TileId> = some
                .iter()
                .filter(|(_, width)| *width == TILE_WIDTH)
                .map(|(id, _)| *id)
                .collect();
            let mut files: Vec<(String, Vec<u8>)> = tiles::read(&**self.store(), &full, deadline)
                .await?
                .into_iter()
                .map(|(id, bytes)| (id.path(TILE_WIDTH), bytes))
                .collect();
            for (id, width) in some.iter().filter(|(_, width)| *width < TILE_WIDTH) {
                let partial = checkpoint
                    .snapshot()
                    .partial_tile(id.level)
                    .map(vrx_tlog::HashTile::to_bytes);
                let partial = partial.ok_or(ReadError::TileMissing(*id))?;
                files.push((id.path(*width), partial));
            }
            if bundles == Bundles::Write {
                for (id, width) in some.iter().filter(|(id, _)| id.level == 0) {
                    let bundle = self.entry_bundle(id.index, *width, &checkpoint, deadline);
                    files.push((
                        id.entries_path(*width),
                        bundle.await?.ok_or(ReadError::OutOfRange)?,
                    ));
                }
            }
            let to = folder.clone();
            on_disk(move || to.write(files)).await?;
            written += some.len() as u64;
            progress(written, all.len() as u64);
        }
        let note = checkpoint.note().as_bytes().to_vec();
        on_disk(move || {
            folder.write(vec![("checkpoint".to_owned(), note)])?;
            folder.clear()
        })
        .await?;
        Ok(Exported {
            entries: checkpoint.size(),
            tiles: written,
            checkpoint: checkpoint.note().to_owned(),
        })
    }
}

/// What touches the folder, where it keeps nobody else waiting.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    let stopped = |_| ExportError::Read(ReadError::DeadlineExceeded);
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}
