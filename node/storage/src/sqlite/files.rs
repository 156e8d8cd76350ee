//! The tenant's folder: lock file, database file, and whether they are still the ones that were opened.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use vrx_domain::MunicipalityCode;

use crate::StorageError;

/// Paths in a tenant's folder.
#[derive(Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// `<state_dir>/<code>`.
    pub(super) fn of(state_dir: &Path, code: MunicipalityCode) -> Self {
        Self(state_dir.join(code.to_string()))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.join("vrx.db")
    }

    /// Where a database is made before it is put in its place as a whole.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.0.join("vrx.db.new")
    }

    /// Where a database is made that is to replace the one that stands.
    pub(super) fn replacement(&self) -> PathBuf {
        self.0.join("vrx.db.restored")
    }

    /// Says that the tenant is being moved to another database, or was.
    pub(super) fn moving(&self) -> PathBuf {
        self.0.join("vrx.moving")
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("vrx.lock")
    }

    /// Makes the folder, readable by its owner alone.
    pub(super) fn make(&self) -> Result<(), StorageError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| io(&self.0, &error))
    }

    /// Takes the lock that makes this the one process with this database. Held until the file is dropped.
    pub(super) fn lock(&self) -> Result<File, StorageError> {
        let path = self.lock_file();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| io(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StorageError::Locked {
                path: path.display().to_string(),
            }),
            Err(TryLockError::Error(error)) => Err(io(&path, &error)),
        }
    }

    /// Removes what an interrupted creation left, and refuses where a database stands already.
    pub(super) fn clear_for_creation(&self) -> Result<(), StorageError> {
        self.check_not_moving()?;
        let path = self.database();
        if path.exists() {
            return Err(place(&path, "there is a database already"));
        }
        clear(&self.unfinished())
    }

    /// Leaves an empty file where a replacement is to be made.
    pub(super) fn clear_for_replacement(&self) -> Result<(), StorageError> {
        self.check_not_moving()?;
        clear(&self.replacement())
    }

    /// Puts a finished database in its place, durably.
    pub(super) fn finish_creation(&self) -> Result<(), StorageError> {
        let rename = || {
            File::open(self.unfinished())?.sync_all()?;
            std::fs::rename(self.unfinished(), self.database())?;
            File::open(&self.0)?.sync_all()
        };
        rename().map_err(|error| io(&self.0, &error))
    }

    /// Puts a finished replacement in the database's place, durably; gives the path to which what stood there was moved.
    /// The write-ahead log goes with its database, and after it: at no moment does one stand with another's.
    pub(super) fn replace(&self) -> Result<Option<PathBuf>, StorageError> {
        let stands = self.database();
        let replace = || {
            File::open(self.replacement())?.sync_all()?;
            let aside = (0..u32::MAX)
                .map(|nth| self.0.join(format!("vrx.db.replaced-{nth}")))
                .find(|path| {
                    ["", "-wal", "-shm"]
                        .iter()
                        .all(|suffix| !with_suffix(path, suffix).exists())
                })
                .unwrap_or_else(|| self.0.join("vrx.db.replaced"));
            let mut moved = None;
            for suffix in ["", "-wal", "-shm"] {
                match std::fs::rename(with_suffix(&stands, suffix), with_suffix(&aside, suffix)) {
                    Ok(()) => moved = Some(aside.clone()),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            File::open(&self.0)?.sync_all()?;
            std::fs::rename(self.replacement(), &stands)?;
            File::open(&self.0)?.sync_all()?;
            Ok(moved)
        };
        replace().map_err(|error| io(&self.0, &error))
    }

    /// Writes durably that the tenant is being moved, and where to.
    pub(super) fn mark_moving(&self, to: &str) -> Result<(), StorageError> {
        use std::io::Write;
        let path = self.moving();
        let mark = || {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            writeln!(file, "{to}")?;
            file.sync_all()?;
            File::open(&self.0)?.sync_all()
        };
        mark().map_err(|error| io(&path, &error))
    }

    /// Where the tenant is being moved to, if it is.
    pub(super) fn moving_to(&self) -> Result<Option<String>, StorageError> {
        let path = self.moving();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, &error)),
        }
    }

    /// Takes the mark away.
    pub(super) fn unmark_moving(&self) -> Result<(), StorageError> {
        let path = self.moving();
        let unmark = || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.0)?.sync_all(),
        };
        unmark().map_err(|error| io(&path, &error))
    }

    /// Refuses a tenant that is being moved: from the mark on, its rows may stand elsewhere too.
    pub(super) fn check_not_moving(&self) -> Result<(), StorageError> {
        match self.moving_to()? {
            None => Ok(()),
            Some(_) => Err(place(
                &self.moving(),
                "the tenant is being moved to another database, or was: finish with `vrx-node tenant move`, or give it back with --abandon",
            )),
        }
    }

    /// Refuses a missing database, and one that others may read.
    pub(super) fn check_database(&self) -> Result<(), StorageError> {
        let path = self.database();
        let metadata =
            std::fs::metadata(&path).map_err(|_| place(&path, "there is no database here"))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(place(&path, "others may read it: chmod 600"));
        }
        Ok(())
    }
}

/// Which files were opened: device and inode of the database and of its write-ahead log.
pub(super) struct Identity {
    files: [(PathBuf, (u64, u64)); 2],
}

impl Identity {
    /// Notes what stands at the paths now. The write-ahead log exists from the first transaction to the last close.
    pub(super) fn of(folder: &Folder) -> Result<Self, StorageError> {
        let note = |path: PathBuf| inode(&path).map(|inode| (path, inode));
        let database = folder.database();
        let log = with_suffix(&database, "-wal");
        Ok(Self {
            files: [note(database)?, note(log)?],
        })
    }

    /// Both must still be the ones that were opened: a file moved away or put back underneath would take every write that
    /// follows into nowhere.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        for (path, opened) in &self.files {
            if inode(path)? != *opened {
                return Err(StorageError::Broken(format!(
                    "{} isn't the file that was opened",
                    path.display()
                )));
            }
        }
        Ok(())
    }
}

/// Leaves an empty file at `path` for a database to be made in.
fn clear(path: &Path) -> Result<(), StorageError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match std::fs::remove_file(with_suffix(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io(path, &error));
            }
            _ => {}
        }
    }
    // Made here with its mode, before SQLite would make it with the umask's.
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| io(path, &error))
}

fn inode(path: &Path) -> Result<(u64, u64), StorageError> {
    std::fs::metadata(path)
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .map_err(|error| io(path, &error))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn io(path: &Path, error: &std::io::Error) -> StorageError {
    StorageError::Broken(format!("{}: {error}", path.display()))
}

fn place(path: &Path, why: &'static str) -> StorageError {
    StorageError::Place {
        path: path.display().to_string(),
        why,
    }
}
