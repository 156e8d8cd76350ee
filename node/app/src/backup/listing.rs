//! Writing the list of what was destroyed, in each of its places.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use vrx_domain::Tenant;
use vrx_services::retention::{self, DestroyedList, NotListed};

use super::destroyed::{CutOff, Destroyed, read_text, whole};
use crate::failure::Failure;

/// One tenant's end of the list, for erasures to add to.
pub struct DestroyedFile {
    paths: Vec<PathBuf>,
    tenant: Tenant,
}

impl DestroyedFile {
    /// In this folder of keyrings, and in that of the backups where there is one.
    pub fn new(keyring_dir: &Path, backup_dir: Option<&Path>, tenant: Tenant) -> Self {
        Self {
            paths: Destroyed::paths(keyring_dir, backup_dir),
            tenant,
        }
    }
}

#[async_trait]
impl DestroyedList for DestroyedFile {
    async fn add(&self, destroyed: &[retention::Destroyed]) -> Result<(), NotListed> {
        let lines: String = destroyed
            .iter()
            .map(|what| match what {
                retention::Destroyed::Person(person) => format!("{} {person}\n", self.tenant.id),
                retention::Destroyed::Openings { epoch, from, below } => {
                    format!("{} openings {from} {below} {epoch}\n", self.tenant.id)
                }
            })
            .collect();
        for path in &self.paths {
            let (to, lines) = (path.clone(), lines.clone());
            tokio::task::spawn_blocking(move || append(&to, lines.as_bytes()))
                .await
                .map_err(|_| NotListed("a thread that waits for a disk panicked".to_owned()))?
                .map_err(|error| NotListed(format!("{}: {error}", path.display())))?;
        }
        Ok(())
    }

    async fn openings(&self, epoch: u32) -> Result<Vec<(u64, u64)>, NotListed> {
        Ok(self.read().await?.openings(epoch))
    }

    async fn persons(&self) -> Result<u64, NotListed> {
        Ok(self.read().await?.persons().len() as u64)
    }
}

impl DestroyedFile {
    async fn read(&self) -> Result<Destroyed, NotListed> {
        let (paths, tenant) = (self.paths.clone(), self.tenant);
        tokio::task::spawn_blocking(move || Destroyed::read_all(&paths, &tenant, CutOff::LeaveOut))
            .await
            .map_err(|_| NotListed("a thread that waits for a disk panicked".to_owned()))?
            .map_err(|failure| NotListed(failure.message))
    }
}

/// Adds to each list what stands on another one alone: a list was lost, or couldn't be written once. Gives which, and how many lines.
pub fn make_equal(paths: &[PathBuf], tenant: &Tenant) -> Result<Vec<(PathBuf, usize)>, Failure> {
    let texts: Vec<String> = paths
        .iter()
        .map(|path| read_text(path))
        .collect::<Result<_, _>>()?;
    let own = format!("{} ", tenant.id);
    let lines = |text| {
        let lines = whole(text).lines();
        lines
            .filter(|line| line.starts_with(&own))
            .collect::<Vec<&str>>()
    };
    let mut added = Vec::new();
    for (path, text) in paths.iter().zip(&texts) {
        let mut has: HashSet<&str> = lines(text).into_iter().collect();
        let others = texts.iter().flat_map(|other| lines(other));
        let missing: Vec<String> = others
            .filter(|line| has.insert(line))
            .map(|line| format!("{line}\n"))
            .collect();
        if !missing.is_empty() {
            append(path, missing.concat().as_bytes())
                .map_err(|error| Failure::io("write", path, &error))?;
            added.push((path.clone(), missing.len()));
        }
    }
    Ok(added)
}

/// Says on the lists that an epoch of the log goes on from the first entries of another.
pub fn list_epoch(
    paths: &[PathBuf],
    tenant: &Tenant,
    epoch: u32,
    (place, of): (u64, u32),
) -> Result<(), Failure> {
    let line = format!("{} epoch {epoch} {place} {of}\n", tenant.id);
    for path in paths {
        append(path, line.as_bytes()).map_err(|error| Failure::io("write", path, &error))?;
    }
    Ok(())
}

/// Adds whole lines, durably. Who adds holds the file's lock: other processes and tenants write to it too. The end of a line that
/// a crash cut off was never acted upon, and goes.
fn append(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.lock()?;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    while end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut last)?;
        if last == [b'\n'] {
            break;
        }
        end -= 1;
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    file.write_all(lines)?;
    file.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
