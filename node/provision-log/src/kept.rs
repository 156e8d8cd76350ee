//! The copy of the newest checkpoint at a second path: what a rolled-back database is recognised by.
//!
//! Beside it, `<path>.lock` is locked by the one process that keeps checkpoints there, and at `<path>.gap` a log that had to stop leaves when and why, so that the entry about the gap can be written after recovery.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vrx_tlog::{Checkpoint, VerifierKey};

use crate::checkpoint::SignedCheckpoint;
use crate::error::StartError;
use crate::shared::Shared;

/// A disk that takes longer for one small file is reported, not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kept checkpoint, if there is one.
pub(crate) fn read(path: &Path, key: &VerifierKey) -> Result<Option<Checkpoint>, StartError> {
    let refused = |why: String| StartError::Kept {
        path: path.display().to_string(),
        why,
    };
    match fs::read_to_string(path) {
        Ok(note) => Checkpoint::open(&note, key, key.name())
            .map(Some)
            .map_err(|error| refused(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Writes beside, syncs, renames, syncs the folder: there is always one whole checkpoint at the path.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = with_suffix(path, ".tmp");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The same, off the runtime's threads.
pub(crate) async fn write_in_background(path: PathBuf, text: String) -> Result<(), String> {
    let task = tokio::task::spawn_blocking(move || write(&path, &text));
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(written)) => written.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the disk didn't answer in time".to_owned()),
    }
}

/// Keeps the newest checkpoint once a period until cancelled, and a last time then.
pub(crate) async fn keep(
    mut newest: watch::Receiver<Arc<SignedCheckpoint>>,
    path: PathBuf,
    period: Duration,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    loop {
        let stopping = tokio::select! {
            changed = newest.changed() => changed.is_err(),
            () = stop.cancelled() => true,
        };
        let checkpoint = newest.borrow_and_update().clone();
        if checkpoint.size() > shared.kept_size() {
            match write_in_background(path.clone(), checkpoint.note().to_owned()).await {
                Ok(()) => shared.kept(checkpoint.size()),
                Err(why) => {
                    tracing::warn!(path = %path.display(), why, "the newest checkpoint couldn't be kept at the second path");
                    shared.not_kept(why);
                }
            }
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            // What a poisoned log has signed must be known to whoever starts it next, however soon.
            () = shared.poisoned() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The right to keep checkpoints at a path, for as long as it lives: whoever shared it would take the other's newer copy for its own.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: Option<File>,
}

/// Takes the lock of a file beside the kept checkpoint, at `<path>.lock`. A folder that isn't there is left to whoever writes into it.
pub(crate) fn hold(path: &Path) -> Result<Held, StartError> {
    let beside = with_suffix(path, ".lock");
    let refused = |error: &io::Error| StartError::Kept {
        path: beside.display().to_string(),
        why: error.to_string(),
    };
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&beside);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held { _lock: None }),
        Err(error) => return Err(refused(&error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Held { _lock: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(StartError::KeptByAnother {
            path: path.display().to_string(),
        }),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!(
                path = %path.display(),
                "this file system has no locks: see to it that no other process keeps its checkpoints here"
            );
            Ok(Held { _lock: None })
        }
        Err(TryLockError::Error(error)) => Err(refused(&error)),
    }
}

/// Where a stopped log says so.
pub(crate) fn gap_path(kept: &Path) -> PathBuf {
    with_suffix(kept, ".gap")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
