//! The list of what was destroyed: what must not come back with a backup.
//!
//! `<keyring_dir>/destroyed.list`, outside every database and every backup, and the same list in the folder of the backups, so that a
//! machine that is lost with its keyrings doesn't take it along. A line is a person whose key was destroyed, `<tenant
//! uuid> <person id>`, or openings of the log that were erased, `<tenant uuid> openings <from> <below>`: of the entries from one
//! place to before another. Erasure appends to it before it destroys; a restore leaves those persons' rows out and blanks those
//! openings, so that their keys never touch the disk again.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use vrx_domain::{PersonId, Random, Tenant, TenantId};
use vrx_services::retention::{self, DestroyedList, NotListed};
use vrx_storage::copy::{LOG_ENTRY, Row, Table, Value};

use crate::failure::Failure;

/// What becomes of a last line without its end. Whoever appends writes whole lines and acts on them only then: a crash or a full disk
/// leaves such a line, and so does a copy that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOff {
    /// It was never acted upon: for the list as the node itself wrote it.
    LeaveOut,
    /// A person could be behind it: for a list that may have been copied.
    Refuse,
}

/// What was destroyed of one tenant.
#[derive(Debug, Default)]
pub struct Destroyed {
    persons: HashSet<[u8; 16]>,
    /// Places in the log, from one to before another.
    openings: Vec<(u64, u64)>,
}

impl Destroyed {
    /// Where the lists stand.
    pub fn paths(keyring_dir: &Path, backup_dir: Option<&Path>) -> Vec<PathBuf> {
        let folders = [Some(keyring_dir), backup_dir];
        folders.into_iter().flatten().map(Self::path).collect()
    }

    /// Where the list stands in a folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("destroyed.list")
    }

    /// Reads one tenant's part of both lists: what stands on either was destroyed.
    pub fn read_all(paths: &[PathBuf], tenant: &Tenant, cut_off: CutOff) -> Result<Self, Failure> {
        let mut all = Self::default();
        for path in paths {
            let one = Self::read(path, tenant, cut_off)?;
            all.persons.extend(one.persons);
            all.openings.extend(one.openings);
        }
        all.openings = merged(all.openings);
        Ok(all)
    }

    /// Reads one tenant's part of the list; no list is an empty one. A line that isn't one is refused: a person could be behind it.
    pub fn read(path: &Path, tenant: &Tenant, cut_off: CutOff) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::io("read", path, &error)),
        };
        let whole = match cut_off {
            CutOff::LeaveOut => text.rfind('\n').map_or(0, |end| end + 1),
            CutOff::Refuse => text.len(),
        };
        let text = text.get(..whole).unwrap_or_default();
        let mut destroyed = Self::default();
        for (nth, line) in text.lines().enumerate() {
            let Some((id, what)) = parse(line) else {
                return Err(Failure::storage(format!(
                    "{}: line {}: neither a person nor openings of a tenant; put the list back as erasure wrote it",
                    path.display(),
                    nth + 1
                )));
            };
            if id == tenant.id {
                match what {
                    retention::Destroyed::Person(person) => {
                        destroyed.persons.insert(*person.as_bytes());
                    }
                    retention::Destroyed::Openings { from, below } => {
                        destroyed.openings.push((from, below));
                    }
                }
            }
        }
        destroyed.openings = merged(destroyed.openings);
        Ok(destroyed)
    }

    /// The erased openings: from one place in the log to before another, ascending, no place twice.
    pub fn openings(&self) -> &[(u64, u64)] {
        &self.openings
    }

    /// The persons whose keys were destroyed.
    pub fn persons(&self) -> Vec<PersonId> {
        let ids = self.persons.iter().copied();
        ids.map(PersonId::from_bytes).collect()
    }

    /// Whether nothing was ever destroyed.
    pub fn is_empty(&self) -> bool {
        self.persons.is_empty() && self.openings.is_empty()
    }

    /// Takes the rows of destroyed persons out; gives how many went.
    pub(super) fn leave_out(&self, table: &Table, rows: &mut Vec<Row>) -> u64 {
        let Some(column) = table.person.filter(|_| !self.persons.is_empty()) else {
            return 0;
        };
        let before = rows.len();
        rows.retain(|row| {
            let person: Option<[u8; 16]> = row.bytes(column).and_then(|id| id.try_into().ok());
            person.is_none_or(|id| !self.persons.contains(&id))
        });
        (before - rows.len()) as u64
    }

    /// Blanks erased openings, with the tags of their subjects; gives how many.
    pub(super) fn blank(&self, table: &Table, rows: &mut [Row], random: &dyn Random) -> u64 {
        if table != LOG_ENTRY || self.openings.is_empty() {
            return 0;
        }
        let mut blanked = 0;
        for row in rows {
            let place = row.unsigned(0).unwrap_or(u64::MAX);
            let erased = |(from, below): &(u64, u64)| (*from..*below).contains(&place);
            if let [_, _, _, subject, _, _, key, opening] = row.0.as_mut_slice()
                && self.openings.iter().any(erased)
            {
                let mut nobody = vec![0; 32];
                random.fill(&mut nobody);
                *subject = Value::Bytes(nobody);
                *key = Value::Bytes(Vec::new());
                *opening = Value::Bytes(Vec::new());
                blanked += 1;
            }
        }
        blanked
    }
}

/// The same places, each once, in ascending ranges.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, below) in ranges.into_iter().filter(|(from, below)| from < below) {
        match merged.last_mut() {
            Some((_, end)) if from <= *end => *end = below.max(*end),
            _ => merged.push((from, below)),
        }
    }
    merged
}

fn parse(line: &str) -> Option<(TenantId, retention::Destroyed)> {
    let mut words = line.split(' ');
    let tenant = words.next()?.parse().ok()?;
    let what = match words.next()? {
        "openings" => retention::Destroyed::Openings {
            from: words.next()?.parse().ok()?,
            below: words.next()?.parse().ok()?,
        },
        person => retention::Destroyed::Person(person.parse::<PersonId>().ok()?),
    };
    words.next().is_none().then_some((tenant, what))
}

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
                retention::Destroyed::Openings { from, below } => {
                    format!("{} openings {from} {below}\n", self.tenant.id)
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

    async fn openings(&self) -> Result<Vec<(u64, u64)>, NotListed> {
        let (paths, tenant) = (self.paths.clone(), self.tenant);
        tokio::task::spawn_blocking(move || Destroyed::read_all(&paths, &tenant, CutOff::LeaveOut))
            .await
            .map_err(|_| NotListed("a thread that waits for a disk panicked".to_owned()))?
            .map(|destroyed| destroyed.openings)
            .map_err(|failure| NotListed(failure.message))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(byte: u8) -> Tenant {
        Tenant {
            id: TenantId::from_bytes([byte; 16]),
            code: "142051".parse().unwrap(),
        }
    }

    #[test]
    fn a_place_is_told_once_however_often_it_is_listed() {
        let ranges = vec![(4, 6), (9, 12), (1, 4), (3, 5), (9, 12), (7, 7)];
        assert_eq!(merged(ranges), [(1, 6), (9, 12)]);
    }

    #[tokio::test]
    async fn a_list_is_read_for_its_tenant_and_a_torn_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = Destroyed::path(folder.path());
        let person = |byte| retention::Destroyed::Person(PersonId::from_bytes([byte; 16]));
        assert!(
            Destroyed::read(&path, &tenant(1), CutOff::Refuse)
                .unwrap()
                .persons
                .is_empty()
        );
        let backups = folder.path().join("backups");
        let list = |byte| DestroyedFile::new(folder.path(), Some(&backups), tenant(byte));
        list(1).add(&[person(5)]).await.unwrap();
        list(2).add(&[person(6)]).await.unwrap();
        let openings = retention::Destroyed::Openings { from: 3, below: 9 };
        list(1).add(&[openings, person(7)]).await.unwrap();
        let read = Destroyed::read(&path, &tenant(1), CutOff::Refuse).unwrap();
        assert_eq!(read.persons, HashSet::from([[5; 16], [7; 16]]));
        assert_eq!(read.openings, [(3, 9)]);

        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let refused = Destroyed::read(&path, &tenant(1), CutOff::Refuse);
        let refused = refused.err().unwrap();
        assert!(refused.message.contains("line 4"), "{refused}");
        let own = Destroyed::read(&path, &tenant(1), CutOff::LeaveOut).unwrap();
        assert_eq!(own.persons, HashSet::from([[5; 16]]));
        // Erasure goes on where its last whole line ended.
        list(1).add(&[person(7)]).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);

        // The machine is lost, its keyrings with it.
        std::fs::remove_file(&path).unwrap();
        let paths = Destroyed::paths(folder.path(), Some(&backups));
        let read = Destroyed::read_all(&paths, &tenant(1), CutOff::Refuse).unwrap();
        assert_eq!(read.persons, HashSet::from([[5; 16], [7; 16]]));
    }
}
