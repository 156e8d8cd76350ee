//! Files that stand whole or not at all: written under another name, synced, renamed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// How the name of a file ends that doesn't stand yet.
pub(super) const UNFINISHED: &str = ".part";

/// The name under which a file is written before it stands.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// Makes the unfinished file, readable by its owner alone.
pub(super) fn begin(path: &Path) -> Result<File, Failure> {
    let part = unfinished(path);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .map_err(|error| Failure::io("write", &part, &error))
}

/// Syncs the unfinished file, gives it its name, syncs the folder.
pub(super) fn finish(file: &File, path: &Path) -> Result<(), Failure> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    file.sync_all()
        .and_then(|()| std::fs::rename(unfinished(path), path))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| Failure::io("write", path, &error))
}

/// Writes a small file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = begin(path)?;
    file.write_all(bytes)
        .map_err(|error| Failure::io("write", path, &error))?;
    finish(&file, path)
}
