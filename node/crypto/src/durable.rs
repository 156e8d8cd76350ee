//! Replacing a small file so that after a crash either the old or the new one is there, whole.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::CryptoError;

/// Write beside it, fsync, rename over it, fsync the folder. The file is readable by its owner alone.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CryptoError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(beside)
        .map_err(CryptoError::io("create", beside))?;
    file.write_all(bytes)
        .map_err(CryptoError::io("write", beside))?;
    file.sync_all().map_err(CryptoError::io("sync", beside))?;
    drop(file);
    std::fs::rename(beside, path).map_err(CryptoError::io("rename to", path))?;
    sync_folder_of(path)
}

/// Makes a name durable: the folder that holds it is synced.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), CryptoError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(CryptoError::io("sync the folder", folder))
}
