//! The list of destroyed keys: whose records must not come back with a backup.
//!
//! `<keyring_dir>/destroyed.list`, outside every database and every backup: one line a person, `<tenant uuid> <person id>`. Erasure
//! appends to it; a restore leaves those persons' rows out, so their keys never touch the disk again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use vrx_domain::{PersonId, Tenant, TenantId};
use vrx_storage::copy::{Row, Table};

use crate::failure::Failure;

/// Persons of one tenant whose keys were destroyed.
#[derive(Default)]
pub struct Destroyed(HashSet<[u8; 16]>);

impl Destroyed {
    /// Where the list stands.
    pub fn path(keyring_dir: &Path) -> PathBuf {
        keyring_dir.join("destroyed.list")
    }

    /// Reads one tenant's part of the list; no list is an empty one. A line that isn't one is refused: a person could be behind it.
    pub fn read(path: &Path, tenant: &Tenant) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::io("read", path, &error)),
        };
        let mut persons = HashSet::new();
        for (nth, line) in text.lines().enumerate() {
            let parsed = line.split_once(' ').and_then(|(tenant, person)| {
                Some((
                    tenant.parse::<TenantId>().ok()?,
                    person.parse::<PersonId>().ok()?,
                ))
            });
            let Some((id, person)) = parsed else {
                return Err(Failure::storage(format!(
                    "{}: line {}: not a tenant's and a person's id; put the list back as erasure wrote it",
                    path.display(),
                    nth + 1
                )));
            };
            if id == tenant.id {
                persons.insert(*person.as_bytes());
            }
        }
        Ok(Self(persons))
    }

    /// Takes the rows of destroyed persons out; gives how many went.
    pub(super) fn leave_out(&self, table: &Table, rows: &mut Vec<Row>) -> u64 {
        let Some(column) = table.person.filter(|_| !self.0.is_empty()) else {
            return 0;
        };
        let before = rows.len();
        rows.retain(|row| {
            let person: Option<[u8; 16]> = row.bytes(column).and_then(|id| id.try_into().ok());
            person.is_none_or(|id| !self.0.contains(&id))
        });
        (before - rows.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_for_its_tenant_and_a_torn_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = Destroyed::path(folder.path());
        let tenant = Tenant {
            id: TenantId::from_bytes([1; 16]),
            code: "142051".parse().unwrap(),
        };
        assert!(Destroyed::read(&path, &tenant).unwrap().0.is_empty());
        let (own, other) = (PersonId::from_bytes([5; 16]), PersonId::from_bytes([6; 16]));
        let lines = format!(
            "{} {own}\n{} {other}\n{} {own}\n",
            tenant.id,
            TenantId::from_bytes([2; 16]),
            tenant.id
        );
        std::fs::write(&path, &lines).unwrap();
        assert_eq!(
            Destroyed::read(&path, &tenant).unwrap().0,
            HashSet::from([[5; 16]])
        );
        std::fs::write(&path, &lines[..lines.len() - 9]).unwrap();
        let refused = Destroyed::read(&path, &tenant).err().unwrap();
        assert!(refused.message.contains("line 3"), "{refused}");
    }
}
