//! Which backups of a tenant stand in a folder, and which are too many.
//!
//! `<folder>/<code>-<time in Japan>.vrx.age` with its manifest `….vrx.json` beside it: names sort by time. A backup counts once its
//! manifest stands.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vrx_domain::{FINAL_DAYS, MunicipalityCode, UnixMillis};

use super::durable;
use crate::failure::Failure;

const BACKUP: &str = ".vrx.age";
const MANIFEST: &str = ".vrx.json";
/// How old a backup may grow, milliseconds: a day less than an erasure's final date, for the day until the next one is made.
const MOST_AGE: u64 = (FINAL_DAYS as u64 - 1) * 24 * 3_600_000;

/// A tenant's backups in one folder, held by one process.
pub(super) struct Generations {
    folder: PathBuf,
    code: MunicipalityCode,
    _lock: File,
}

impl Generations {
    /// Makes the folder where it is missing, takes the tenant's lock in it, and removes what an interrupted backup left.
    pub(super) fn hold(folder: &Path, code: MunicipalityCode) -> Result<Self, Failure> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| Failure::io("make the folder", folder, &error))?;
        let path = folder.join(format!("{code}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Failure::io("open", &path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::unavailable(format!(
                    "{}: another backup of {code} is running; wait for it to end",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Failure::io("lock", &path, &error)),
        }
        let held = Self {
            folder: folder.to_owned(),
            code,
            _lock: lock,
        };
        for name in held.names()? {
            if name.ends_with(durable::UNFINISHED) {
                held.remove(&name)?;
            }
        }
        Ok(held)
    }

    /// Where the backup of this instant is to stand.
    pub(super) fn path(&self, at: UnixMillis) -> PathBuf {
        self.folder.join(format!("{}{BACKUP}", self.stem(at)))
    }

    /// The name of this instant's backup, without its ending.
    fn stem(&self, at: UnixMillis) -> String {
        let time: String = at
            .to_rfc3339_jst()
            .chars()
            .take_while(|c| *c != '+')
            .filter(char::is_ascii_alphanumeric)
            .collect();
        format!("{}-{time}", self.code)
    }

    /// Removes all but the newest `keep` backups, and those that are older than an erasure's final date allows; gives how many were
    /// removed.
    pub(super) fn prune(&self, keep: usize, now: UnixMillis) -> Result<usize, Failure> {
        let mut names = self.names()?;
        names.sort_unstable();
        let stands: Vec<&str> = names
            .iter()
            .filter_map(|name| name.strip_suffix(MANIFEST))
            .collect();
        let by_count = stands.len().checked_sub(keep).and_then(|at| stands.get(at));
        let by_age = self.stem(UnixMillis(now.0.saturating_sub(MOST_AGE)));
        let oldest = by_count.map_or(by_age.as_str(), |stem| by_age.as_str().max(stem));
        let old = |suffix: &str| {
            let stems = names.iter().filter_map(|name| name.strip_suffix(suffix));
            stems
                .filter(|stem| *stem < oldest)
                .map(|stem| format!("{stem}{suffix}"))
                .collect::<Vec<_>>()
        };
        // The manifest first: what has none doesn't count.
        let manifests = old(MANIFEST);
        for name in manifests.iter().chain(&old(BACKUP)) {
            self.remove(name)?;
        }
        Ok(manifests.len())
    }

    /// Names of this tenant's files.
    fn names(&self) -> Result<Vec<String>, Failure> {
        let failed = |error: std::io::Error| Failure::io("read the folder", &self.folder, &error);
        let prefix = format!("{}-", self.code);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(name) = name.to_str().filter(|name| name.starts_with(&prefix)) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        std::fs::remove_file(&path).map_err(|error| Failure::io("remove", &path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64) -> UnixMillis {
        UnixMillis(1_700_000_000_000 + minute * 60_000)
    }

    fn code() -> MunicipalityCode {
        "142051".parse().unwrap()
    }

    fn stand(path: &Path) {
        std::fs::write(path, "x").unwrap();
        std::fs::write(path.with_extension("json"), "x").unwrap();
    }

    #[test]
    fn the_newest_stay_whatever_else_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let held = Generations::hold(folder.path(), code()).unwrap();
        let paths: Vec<PathBuf> = (0..14).map(|minute| held.path(at(minute))).collect();
        paths[..13].iter().for_each(|path| stand(path));
        std::fs::remove_file(paths[0].with_extension("json")).unwrap(); // its removal was interrupted
        std::fs::write(&paths[13], "x").unwrap(); // no manifest yet
        let others = folder.path().join("141003-20200101T000000000.vrx.age");
        stand(&others);
        assert_eq!(held.prune(10, at(13)).unwrap(), 2);
        let stays: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(stays, [vec![false; 3], vec![true; 11]].concat());
        assert!(others.exists());
        assert_eq!(held.prune(10, at(13)).unwrap(), 0);
        // However few there are: none older than an erasure may last in a backup.
        let days = |days: u64| at(5 + days * 24 * 60);
        assert_eq!(held.prune(10, days(34)).unwrap(), 2);
        assert!(paths[5].exists() && !paths[4].exists());
    }

    #[test]
    fn a_second_backup_waits_and_clears_what_an_interrupted_one_left() {
        let folder = tempfile::tempdir().unwrap();
        let held = Generations::hold(folder.path(), code()).unwrap();
        let part = durable::unfinished(&held.path(at(0)));
        std::fs::write(&part, "x").unwrap();
        let second = Generations::hold(folder.path(), code()).err().unwrap();
        assert!(second.message.contains("another backup"), "{second}");
        drop(held);
        Generations::hold(folder.path(), code()).unwrap();
        assert!(!part.exists());
    }
}
