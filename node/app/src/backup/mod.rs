//! Backups of a tenant's data, and bringing one back.
//!
//! A backup is one consistent state of one tenant's rows, taken while the node serves, encrypted with age for recipients whose
//! identities aren't on this machine, with a manifest beside it. Its log is checked leaf by leaf while it is written: a
//! backup of a damaged log is never made. The keyring is in none of it: it has a recovery copy of its own.
//!
//! Start reading at [`back_up`]; the way back is in `restore.rs`, the rows' format in [`vrx_storage::copy`].

mod destroyed;
pub(crate) mod durable;
mod file;
mod generations;
mod listing;
mod manifest;
mod restore;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use age::x25519::Recipient;
use tokio::sync::mpsc;
use vrx_domain::UnixMillis;
use vrx_provision_log::{CopiedFault, CopiedLog};
use vrx_storage::copy::{TABLES, TenantSource};

use crate::failure::Failure;
use crate::progress;
use crate::stores::storage_failure;

pub use destroyed::{CutOff, Destroyed, could_be_erased};
use file::Chunk;
use generations::Generations;
pub use listing::{DestroyedFile, list_epoch, make_equal};
pub use manifest::{Manifest, ManifestLog};
pub use restore::{Epoch, Restored, Restoring, identity, restore};
pub use run::{Done, Wanted, backup, restore_backup};
pub(crate) use run::{connect, is_moving, source};

/// Chunks read ahead of the file.
const AHEAD: usize = 4;

/// Where backups go, for whom, and how many stay.
pub struct BackupPlan {
    /// The folder.
    pub folder: PathBuf,
    /// Who can open them; at least one.
    pub recipients: Vec<Recipient>,
    /// Generations that stay; at least one.
    pub keep: usize,
}

/// A backup that stands.
pub struct BackedUp {
    /// The encrypted file.
    pub file: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    removed: usize,
}

impl fmt::Display for BackedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: u64 = self.manifest.rows.values().sum();
        writeln!(
            f,
            "{}: {rows} rows, {} entries in the log, {} bytes, encrypted for its recipients.",
            self.file.display(),
            self.manifest.log.size,
            self.manifest.bytes
        )?;
        if self.removed > 0 {
            writeln!(f, "{} older backups were removed.", self.removed)?;
        }
        Ok(())
    }
}

/// Backs one tenant up. Old backups go only when the new one stands.
pub async fn back_up(
    source: &mut dyn TenantSource,
    plan: &BackupPlan,
    now: UnixMillis,
) -> Result<BackedUp, Failure> {
    let tenant = source.tenant();
    let held = {
        let folder = plan.folder.clone();
        blocking(move || Generations::hold(&folder, tenant.code)).await?
    };
    let path = held.path(now);
    let head = vrx_storage::copy::head(source).await;
    let log = CopiedLog::begin(head.map_err(storage_failure)?, None);

    let (rows, taken) = mpsc::channel(AHEAD);
    let writer = {
        let (path, recipients) = (path.clone(), plan.recipients.clone());
        tokio::task::spawn_blocking(move || file::write(&path, &tenant, &recipients, taken))
    };
    let given = give_rows(source, log, &rows).await;
    drop(rows);
    let written = writer
        .await
        .map_err(|_| Failure::internal("the thread that writes the backup panicked"))?;
    // A writer that failed says why; without one that did, the reading does.
    let written = written?;
    let head = given?;
    let written = written.ok_or_else(|| Failure::internal("the backup was not written whole"))?;
    let manifest = Manifest::new(
        &tenant,
        now.to_rfc3339_jst(),
        ManifestLog {
            size: head.size,
            root: hex::encode(head.root),
            epoch: head.epoch,
        },
        &written.counts,
        (written.sha256, written.bytes),
    );
    let keep = plan.keep;
    blocking(move || {
        manifest.write(&path)?;
        let removed = held.prune(keep, now)?;
        Ok(BackedUp {
            file: path,
            manifest,
            removed,
        })
    })
    .await
}

/// Reads everything and hands it to the writer; the end only after the log was found whole.
async fn give_rows(
    source: &mut dyn TenantSource,
    mut log: CopiedLog,
    to: &mpsc::Sender<Chunk>,
) -> Result<vrx_storage::HeadRow, Failure> {
    let gone = || Failure::internal("the backup isn't being written any more");
    let mut total = 0;
    for table in TABLES {
        total += source.count(table).await.map_err(storage_failure)?;
    }
    let bar = progress::rows(total, "backing up");
    for table in TABLES {
        let mut after = None;
        loop {
            let rows = source
                .rows(table, after.as_ref())
                .await
                .map_err(storage_failure)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key(table));
            bar.inc(rows.len() as u64);
            log.rows(table, &rows).map_err(damaged)?;
            to.send(Chunk::Rows(table, rows))
                .await
                .map_err(|_| gone())?;
        }
    }
    let checked = log.finish().map_err(damaged)?;
    to.send(Chunk::End).await.map_err(|_| gone())?;
    bar.finish_and_clear();
    Ok(checked.head().clone())
}

fn damaged(fault: CopiedFault) -> Failure {
    match fault {
        CopiedFault::Storage(error) => storage_failure(error),
        fault => Failure::storage(format!(
            "the log in the database is damaged: {fault}; no backup was made, the older ones stay: run `vrx-node log verify`"
        )),
    }
}

/// A step that waits for a disk, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::internal("a thread that waits for a disk panicked"))?
}
