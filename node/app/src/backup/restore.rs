//! Bringing a backup back: into a new place, checked there, and only then in the place of what stands.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::x25519::Identity;
use tokio::sync::mpsc;
use vrx_crypto::Keyring;
use vrx_domain::Tenant;
use vrx_provision_log::{CopiedFault, CopiedLog, LogOptions, NewEpoch, Standing, kept_before};
use vrx_storage::copy::{
    LOG_ENTRY, LOG_HEAD, LOG_TILE, LOST_LOG, Next, RowCounts, TABLES, TenantSink, entry_row,
    head_row, lost_row, tile_row,
};
use vrx_storage::{HeadRow, StorageError};
use zeroize::Zeroizing;

use super::destroyed::Destroyed;
use super::manifest::Manifest;
use super::{blocking, file};
use crate::compose::start_failure;
use crate::failure::Failure;
use crate::progress;
use crate::stores::storage_failure;

/// Frames decrypted ahead of the database.
const AHEAD: usize = 2;
/// An identity is a line; more is something else.
const MOST: usize = 64 * 1024;

/// What to do with a log that is older than what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// Refuse it.
    Same,
    /// Go on with it in a new epoch.
    New,
}

/// What a restore needs beside the place to restore into.
pub struct Restoring<'a> {
    /// The encrypted file; its manifest stands beside it.
    pub backup: PathBuf,
    /// The manifest, as it was read.
    pub manifest: Manifest,
    /// Who can open it.
    pub identity: Identity,
    /// The tenant's log: name, kept checkpoint, time.
    pub log: &'a LogOptions,
    /// The tenant's keys: they tell whether the log is the one that was signed.
    pub keyring: &'a Arc<Keyring>,
    /// Whose records must not come back.
    pub destroyed: &'a Destroyed,
    /// What to do with an older log.
    pub epoch: Epoch,
}

/// A backup that was brought back and checked; it serves once it is put in its place.
pub struct Restored {
    rows: u64,
    left_out: u64,
    blanked: u64,
    head: HeadRow,
    made_at: String,
    standing: Standing,
    new_epoch: Option<NewEpoch>,
}

impl Restored {
    /// The new epoch, if one was opened, with its first place and the epoch that it goes on from.
    pub fn new_epoch(&self) -> Option<(u32, (u64, u32))> {
        let opened = self.new_epoch.as_ref()?;
        Some((opened.head().epoch, (self.head.size, self.head.epoch)))
    }

    /// Keeps the new epoch's first checkpoint, if one was opened. Only once the rows are durable.
    pub fn keep(&self, options: &LogOptions, keyring: &Keyring) -> Result<(), Failure> {
        self.new_epoch.as_ref().map_or(Ok(()), |epoch| {
            epoch.keep(options, keyring).map_err(start_failure)
        })
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Restored: the state of {}, {} rows, {} entries in the log. What was entered after that is not in it.",
            self.made_at, self.rows, self.head.size
        )?;
        if self.left_out > 0 {
            writeln!(
                f,
                "{} rows of persons on the list of destroyed keys were left out.",
                self.left_out
            )?;
        }
        if self.blanked > 0 {
            writeln!(
                f,
                "{} openings of the log that were erased were left out; their leaves stand.",
                self.blanked
            )?;
        }
        if let Some(epoch) = &self.new_epoch {
            writeln!(
                f,
                "The log goes on in epoch {}, which names the state it continues. Its key has another name now: send the line that \
                 `vrx-node log key` prints to the other municipalities, for their members files. The node that serves asks them for \
                 the receipts of the lost answers and enters these again; `vrx-node log recovered` shows how far it is. Holds and marks of entries that officers set after the \
                 backup are gone: have them set again before anything is erased or disclosed.",
                epoch.head().epoch
            )?;
        } else if self.standing == Standing::NothingKept {
            writeln!(
                f,
                "No checkpoint is kept for this log: start with `vrx-node serve --accept-missing-checkpoint` if it is the newest, \
                 or restore again with --new-epoch if entries are missing."
            )?;
        }
        Ok(())
    }
}

/// Reads the age identity that opens a backup: what `age-keygen` wrote, comments and all.
pub fn identity(input: &mut dyn Read) -> Result<Identity, Failure> {
    let unreadable = |error| Failure::unavailable(format!("standard input can't be read: {error}"));
    // Of full size from the start: growing would leave pieces of the key in freed memory.
    let mut bytes = Zeroizing::new(vec![0; MOST]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match input.read(rest).map_err(unreadable)? {
            0 => break,
            read => length += read,
        }
    }
    let text = bytes
        .get(..length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or_default();
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .and_then(|line| line.parse().ok())
        .ok_or_else(|| {
            Failure::configuration(
                "standard input: no age identity; give the line AGE-SECRET-KEY-1… of a recipient in backup_recipients",
            )
        })
}

/// Brings a backup back into an empty sink, and checks what stands there. Nothing serves from it yet.
pub async fn restore(
    restoring: Restoring<'_>,
    sink: &mut dyn TenantSink,
) -> Result<Restored, Failure> {
    let Restoring {
        backup,
        manifest,
        identity,
        log,
        keyring,
        destroyed,
        epoch,
    } = restoring;
    check_file(&backup, &manifest).await?;
    let tenant = sink.tenant();
    let (frames, mut arriving) = mpsc::channel(AHEAD);
    let reader = {
        let backup = backup.clone();
        tokio::task::spawn_blocking(move || file::read(&backup, &identity, &tenant, &frames))
    };
    let loaded = load(&mut arriving, sink, destroyed, &manifest, log).await;
    drop(arriving);
    reader
        .await
        .map_err(|_| Failure::internal("the thread that reads the backup panicked"))??;
    let loaded = loaded?;

    let kept = kept_before(log, keyring).map_err(start_failure)?;
    let kept_size = kept.as_ref().map(|kept| kept.checkpoint.size);
    let mut checking = CopiedLog::begin(loaded.head.clone(), kept_size);
    checking
        .read(sink)
        .await
        .and_then(|()| manifest_log(&manifest, &loaded.head))
        .map_err(|fault| refused(&backup, &fault))?;
    let checked = checking
        .finish()
        .map_err(|fault| refused(&backup, &fault))?;
    let standing = checked
        .standing(log, keyring, kept.as_ref())
        .map_err(start_failure)?;
    let path = log.kept_checkpoint.display();
    let new_epoch = match (standing, epoch) {
        (Standing::Newest | Standing::NothingKept, Epoch::Same) => None,
        (Standing::Older { kept }, Epoch::Same) => {
            return Err(Failure::storage(format!(
                "the backup's log is older than what was signed: {} entries, the checkpoint kept at {path} has {kept}; nothing \
                 was replaced. Restore a newer backup; if there is none, --new-epoch goes on with this one in a new epoch of \
                 the log, which names the old one",
                loaded.head.size
            )));
        }
        (Standing::Newest, Epoch::New) => {
            return Err(Failure::configuration(format!(
                "the backup's log is as new as the checkpoint kept at {path}: it needs no new epoch; leave --new-epoch out. \
                 Nothing was replaced"
            )));
        }
        (Standing::Older { .. } | Standing::NothingKept, Epoch::New) => Some(
            checked
                .open_epoch(log, keyring, kept.as_ref())
                .map_err(start_failure)?,
        ),
    };
    put_head(sink, &loaded.head, new_epoch.as_ref())
        .await
        .map_err(storage_failure)?;
    Ok(Restored {
        rows: loaded.rows,
        left_out: loaded.left_out,
        blanked: loaded.blanked,
        head: loaded.head,
        made_at: manifest.made_at,
        standing,
        new_epoch,
    })
}

/// The file must be the one of the manifest, byte for byte, before anything is read out of it.
async fn check_file(backup: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let path = backup.to_owned();
    let (sha256, bytes) = blocking(move || file::hash(&path)).await?;
    if hex::encode(sha256) == manifest.sha256 && bytes == manifest.bytes {
        return Ok(());
    }
    Err(Failure::storage(format!(
        "{}: not the file of its manifest ({bytes} bytes, {} there): damaged or cut short; nothing was replaced, take another \
         backup",
        backup.display(),
        manifest.bytes
    )))
}

struct Loaded {
    rows: u64,
    left_out: u64,
    blanked: u64,
    head: HeadRow,
}

/// Fills the sink with all but the log's head, which only comes when everything was checked.
async fn load(
    arriving: &mut mpsc::Receiver<Next>,
    sink: &mut dyn TenantSink,
    destroyed: &Destroyed,
    manifest: &Manifest,
    log: &LogOptions,
) -> Result<Loaded, Failure> {
    let bar = progress::rows(manifest.rows.values().sum(), "restoring");
    let mut left_out = RowCounts::default();
    let mut blanked = 0;
    let mut head = None;
    // The reader says why it stopped.
    let stopped = || Failure::storage("the backup ends early; nothing was replaced");
    let counts = loop {
        match arriving.recv().await.ok_or_else(stopped)? {
            Next::Rows(table, mut rows) => {
                bar.inc(rows.len() as u64);
                left_out.add(table, destroyed.leave_out(table, &mut rows));
                let of = (table, manifest.log.epoch);
                let by = (&*log.random, log.clock.today());
                blanked += destroyed.blank(of, &mut rows, by);
                if table == LOG_HEAD {
                    head = rows.first().and_then(vrx_storage::copy::head_of);
                } else if !rows.is_empty() {
                    sink.put(table, &rows).await.map_err(storage_failure)?;
                }
            }
            Next::End(counts) => break counts,
        }
    };
    bar.finish_and_clear();
    if !manifest.has_rows(&counts) {
        return Err(Failure::storage(
            "the backup has other rows than its manifest says; nothing was replaced: take another backup",
        ));
    }
    for table in TABLES {
        let expected = counts.of(table) - left_out.of(table);
        let found = sink.count(table).await.map_err(storage_failure)?;
        if found != expected && table != LOG_HEAD {
            return Err(Failure::storage(format!(
                "{found} rows of {} arrived, {expected} were sent; nothing was replaced: check the disk and restore again",
                table.name
            )));
        }
    }
    Ok(Loaded {
        rows: counts.total() - left_out.total(),
        left_out: left_out.total(),
        blanked,
        head: head.ok_or_else(|| Failure::storage("the backup has no head of its log"))?,
    })
}

fn manifest_log(manifest: &Manifest, head: &HeadRow) -> Result<(), CopiedFault> {
    let same = manifest.log.size == head.size
        && manifest.log.root == hex::encode(head.root)
        && manifest.log.epoch == head.epoch;
    if same { Ok(()) } else { Err(CopiedFault::Root) }
}

fn refused(backup: &Path, fault: &CopiedFault) -> Failure {
    match fault {
        CopiedFault::Storage(error) => storage_failure(error.clone()),
        fault => Failure::storage(format!(
            "{}: its log is damaged: {fault}; nothing was replaced: take another backup",
            backup.display()
        )),
    }
}

async fn put_head(
    sink: &mut dyn TenantSink,
    head: &HeadRow,
    new_epoch: Option<&NewEpoch>,
) -> Result<(), StorageError> {
    let Some(epoch) = new_epoch else {
        return sink.put(LOG_HEAD, &[head_row(head)]).await;
    };
    let lost: Vec<_> = epoch.lost.iter().map(lost_row).collect();
    sink.put(LOST_LOG, &lost).await?;
    let entries: Vec<_> = epoch.rows.entries.iter().map(entry_row).collect();
    sink.put(LOG_ENTRY, &entries).await?;
    let tiles: Vec<_> = epoch.rows.tiles.iter().map(tile_row).collect();
    if !tiles.is_empty() {
        sink.put(LOG_TILE, &tiles).await?;
    }
    sink.put(LOG_HEAD, &[head_row(epoch.head())]).await
}

/// Whether a backup is this tenant's.
pub(super) fn check_tenant(
    backup: &Path,
    manifest: &Manifest,
    tenant: &Tenant,
) -> Result<(), Failure> {
    if manifest.municipality_code == tenant.code.to_string()
        && manifest.tenant == tenant.id.to_string()
    {
        return Ok(());
    }
    Err(Failure::configuration(format!(
        "{}: the backup of {} ({}), not of {} ({}); give the right one",
        backup.display(),
        manifest.municipality_code,
        manifest.tenant,
        tenant.code,
        tenant.id
    )))
}
