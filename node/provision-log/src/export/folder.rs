//! The folder of an export: what may stand in it before, how its files are written, what is left over afterwards.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use vrx_tlog::{Checkpoint, Resource, VerifierKey};

use super::Bundles;
use crate::error::ExportError;

/// No checkpoint comes near this many bytes.
const LONGEST: u64 = 64 << 10;

/// Where an export goes: a folder that is new or empty, or that holds an earlier export of the same log and kind, and nothing else. Among
/// another log's files or under another kind's bundles an honest log would no longer verify.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    bundles: Bundles,
    size: u64,
}

impl Folder {
    /// Looks at the folder and changes nothing. `size` is how many entries are to be exported.
    pub(super) fn check(
        path: &Path,
        bundles: Bundles,
        size: u64,
        key: &VerifierKey,
    ) -> Result<Self, ExportError> {
        let folder = Self {
            path: path.to_owned(),
            bundles,
            size,
        };
        let found = folder.files()?;
        if found.is_empty() {
            return Ok(folder);
        }
        let held = |what: String| ExportError::Held {
            path: path.display().to_string(),
            what,
        };
        for file in &found {
            let resource = Resource::parse(file).ok_or_else(|| held(file.clone()))?;
            if bundles == Bundles::Leave && matches!(resource, Resource::Entries { .. }) {
                return Err(held("the entries of an export with --entries".to_owned()));
            }
        }
        let checkpoint = path.join("checkpoint");
        let known = match std::fs::metadata(&checkpoint) {
            Ok(file) if file.len() < LONGEST => {
                std::fs::read_to_string(&checkpoint).map_err(|error| failed(&checkpoint, error))?
            }
            _ => return Err(held("tiles without a checkpoint".to_owned())),
        };
        let known = Checkpoint::open(&known, key, key.name())
            .map_err(|_| held("an export of another log or epoch".to_owned()))?;
        if known.size > size {
            return Err(held(format!("an export of {} entries", known.size)));
        }
        let is_bundle = |file: &String| file.starts_with("tile/entries/");
        if bundles == Bundles::Write && known.size > 0 && !found.iter().any(is_bundle) {
            return Err(held("an export without --entries".to_owned()));
        }
        if let Some(file) = found.iter().find(|file| !folder.is_or_was(file)) {
            return Err(held(file.clone()));
        }
        Ok(folder)
    }

    /// Writes files by their paths below the folder. Entries are for the officer alone: then nobody but the own account reads any of it.
    pub(super) fn write(&self, files: Vec<(String, Vec<u8>)>) -> Result<(), ExportError> {
        let (file_mode, folder_mode) = match self.bundles {
            Bundles::Leave => (0o644, 0o755),
            Bundles::Write => (0o600, 0o700),
        };
        files.into_iter().try_for_each(|(name, bytes)| {
            let path = self.path.join(name);
            let write = || {
                if let Some(parent) = path.parent() {
                    DirBuilder::new()
                        .recursive(true)
                        .mode(folder_mode)
                        .create(parent)?;
                }
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(file_mode)
                    .open(&path)?;
                if self.bundles == Bundles::Write {
                    // One that an earlier version wrote may be open to others.
                    file.set_permissions(Permissions::from_mode(file_mode))?;
                }
                file.write_all(&bytes)
            };
            write().map_err(|error| failed(&path, error))
        })
    }

    /// Removes the partial tiles that an earlier export left; called once the new checkpoint stands.
    pub(super) fn clear(&self) -> Result<(), ExportError> {
        for file in self.files()? {
            if self.is_or_was(&file) && !self.is(&file) {
                let path = self.path.join(file);
                std::fs::remove_file(&path).map_err(|error| failed(&path, error))?;
                // The last of `<N>.p/` takes its folder along; one that isn't empty stays.
                if let Some(parent) = path.parent()
                    && let Err(error) = std::fs::remove_dir(parent)
                    && error.kind() != io::ErrorKind::DirectoryNotEmpty
                {
                    return Err(failed(parent, error));
                }
            }
        }
        Ok(())
    }

    /// Whether this log's export has or had this file.
    fn is_or_was(&self, file: &str) -> bool {
        Resource::parse(file).is_some_and(|resource| resource.is_within(self.size))
    }

    /// Whether the export of this size has it.
    fn is(&self, file: &str) -> bool {
        match Resource::parse(file) {
            None => false,
            Some(Resource::Checkpoint) => true,
            Some(Resource::Tile { id, width }) => width == id.width_within(self.size),
            Some(Resource::Entries { index, width }) => {
                width == vrx_tlog::TileId { level: 0, index }.width_within(self.size)
            }
        }
    }

    /// All files below the folder, by their paths in it. What is neither a file nor a folder counts as a file: it is nothing of an export.
    fn files(&self) -> Result<Vec<String>, ExportError> {
        let mut found = Vec::new();
        let mut left = vec![String::new()];
        while let Some(inside) = left.pop() {
            let path = self.path.join(&inside);
            let entries = match std::fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && inside.is_empty() => {
                    return Ok(found);
                }
                entries => entries.map_err(|error| failed(&path, error))?,
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed(&path, error))?;
                let kind = entry.file_type().map_err(|error| failed(&path, error))?;
                let name = entry.file_name();
                let name = match (inside.as_str(), name.to_string_lossy()) {
                    ("", name) => name.into_owned(),
                    (inside, name) => format!("{inside}/{name}"),
                };
                if kind.is_dir() {
                    left.push(name);
                } else if kind.is_file() {
                    found.push(name);
                } else {
                    found.push(format!("{name} (no regular file)"));
                }
            }
        }
        Ok(found)
    }
}

fn failed(path: &Path, source: io::Error) -> ExportError {
    ExportError::Write {
        path: path.display().to_string(),
        source,
    }
}
