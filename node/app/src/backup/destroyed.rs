//! The list of what was destroyed: what must not come back with a backup.
//!
//! `<keyring_dir>/destroyed.list`, outside every database and every backup, and the same list in the folder of the backups, so that a
//! machine that is lost with its keyrings doesn't take it along. A line is a person whose key was destroyed, `<tenant
//! uuid> <person id>`, or openings of the log that were erased, `<tenant uuid> openings <from> <below> <epoch>`: of the entries from
//! one place to before another, as that epoch of the log has them (lists of before there were epochs in them end after the
//! second place). `<tenant uuid> epoch <epoch> <place> <of>` says that an epoch goes on from the first entries of another: from that
//! place on, what is listed of one isn't the other's. Erasure appends to it before it destroys; a restore leaves those persons' rows
//! out and blanks those openings, so that their keys never touch the disk again.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use vrx_domain::{Date, PersonId, Random, RetentionPolicy, Tenant, TenantId, UnixMillis};
use vrx_provision_log::is_erasable;
use vrx_storage::copy::{LOG_ENTRY, Row, Table, Value};
use vrx_tlog::Leaf;

use crate::failure::Failure;

/// Column of a log entry's leaf in a copied row.
const LEAF: usize = 5;

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
    openings: Vec<Openings>,
    /// Where an epoch begins, and which one it goes on from.
    epochs: BTreeMap<u32, (u64, u32)>,
}

/// Erased openings of an epoch; of none in a list of before they were told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Openings {
    epoch: Option<u32>,
    from: u64,
    below: u64,
}

/// What a line says.
enum Line {
    Person(PersonId),
    Openings(Openings),
    Epoch { epoch: u32, place: u64, of: u32 },
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
            for (epoch, (place, of)) in one.epochs {
                all.begins(epoch, place, of);
            }
        }
        Ok(all)
    }

    /// Reads one tenant's part of the list; no list is an empty one. A line that isn't one is refused: a person could be behind it.
    pub fn read(path: &Path, tenant: &Tenant, cut_off: CutOff) -> Result<Self, Failure> {
        let text = read_text(path)?;
        let whole = match cut_off {
            CutOff::LeaveOut => whole(&text),
            CutOff::Refuse => &text,
        };
        Self::of(whole, tenant).map_err(|line| {
            Failure::storage(format!(
                "{}: line {line}: neither a person nor openings of a tenant; put the list back as erasure wrote it",
                path.display()
            ))
        })
    }

    /// One tenant's part of a list's text; the number of the line that isn't one.
    fn of(text: &str, tenant: &Tenant) -> Result<Self, usize> {
        let mut destroyed = Self::default();
        for (nth, line) in text.lines().enumerate() {
            let (id, what) = parse(line).ok_or(nth + 1)?;
            if id == tenant.id {
                match what {
                    Line::Person(person) => drop(destroyed.persons.insert(*person.as_bytes())),
                    Line::Openings(openings) => destroyed.openings.push(openings),
                    Line::Epoch { epoch, place, of } => destroyed.begins(epoch, place, of),
                }
            }
        }
        Ok(destroyed)
    }

    /// Of an epoch that is told twice, because a restore was begun again, the earlier place counts.
    fn begins(&mut self, epoch: u32, place: u64, of: u32) {
        let begins = self.epochs.entry(epoch).or_insert((place, of));
        if place < begins.0 {
            *begins = (place, of);
        }
    }

    /// How many first entries two epochs of the log share, as far as the list knows.
    fn shared(&self, one: u32, other: u32) -> u64 {
        let (mut late, mut early) = (one.max(other), one.min(other));
        let mut shared = u64::MAX;
        while late != early {
            late = match self.epochs.get(&late) {
                Some((place, of)) if *of < late => {
                    shared = shared.min(*place);
                    *of
                }
                _ => {
                    let before = self.epochs.range(..late).next_back();
                    before.map_or(early, |(epoch, _)| early.max(*epoch))
                }
            };
            (late, early) = (late.max(early), late.min(early));
        }
        shared
    }

    /// The erased openings, as far as they are of this epoch of the log too: from one place to before another, ascending, no place
    /// twice.
    pub fn openings(&self, epoch: u32) -> Vec<(u64, u64)> {
        // Lines that name no epoch are older than any that opens one.
        let first = self.epochs.values().next().map_or(epoch, |(_, of)| *of);
        let of_epoch = |openings: &Openings| {
            let shared = self.shared(openings.epoch.unwrap_or(first), epoch);
            (openings.from, openings.below.min(shared))
        };
        merged(self.openings.iter().map(of_epoch).collect())
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

    /// Blanks erased openings of a log's epoch, with the tags of their subjects; gives how many.
    pub(super) fn blank(
        &self,
        (table, epoch): (&Table, u32),
        rows: &mut [Row],
        (random, today): (&dyn Random, Date),
    ) -> u64 {
        if table != LOG_ENTRY || self.openings.is_empty() {
            return 0;
        }
        let openings = self.openings(epoch);
        let mut blanked = 0;
        for row in rows {
            let place = row.unsigned(0).unwrap_or(u64::MAX);
            let next = openings.partition_point(|(from, _)| *from <= place);
            let range = next.checked_sub(1).and_then(|at| openings.get(at));
            if range.is_none_or(|(_, below)| place >= *below)
                || !row
                    .bytes(LEAF)
                    .is_some_and(|leaf| could_be_erased(leaf, today))
            {
                continue;
            }
            if let [_, _, _, subject, _, _, key, opening] = row.0.as_mut_slice() {
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

/// Whether an erasure can have taken the opening of this leaf. Of genesis, of what the node says about itself, and of what is younger
/// than any policy ends, none has: a place on a list that says so is another log's.
pub fn could_be_erased(leaf: &[u8], today: Date) -> bool {
    Leaf::decode(leaf).is_ok_and(|leaf| {
        is_erasable(leaf.kind) && RetentionPolicy::could_end_opening(UnixMillis(leaf.time), today)
    })
}

/// No list is an empty one.
pub(super) fn read_text(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::io("read", path, &error)),
    }
}

/// Without a last line that a crash cut off.
pub(super) fn whole(text: &str) -> &str {
    let end = text.rfind('\n').map_or(0, |end| end + 1);
    text.get(..end).unwrap_or_default()
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

fn parse(line: &str) -> Option<(TenantId, Line)> {
    let words: Vec<&str> = line.split(' ').collect();
    let (tenant, rest) = words.split_first()?;
    let what = match *rest {
        ["openings", from, below] => Line::Openings(Openings {
            epoch: None,
            from: from.parse().ok()?,
            below: below.parse().ok()?,
        }),
        ["openings", from, below, epoch] => Line::Openings(Openings {
            epoch: Some(epoch.parse().ok()?),
            from: from.parse().ok()?,
            below: below.parse().ok()?,
        }),
        ["epoch", epoch, place, of] => Line::Epoch {
            epoch: epoch.parse().ok()?,
            place: place.parse().ok()?,
            of: of.parse().ok()?,
        },
        [person] => Line::Person(person.parse().ok()?),
        _ => return None,
    };
    Some((tenant.parse().ok()?, what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vrx_services::retention::{self, DestroyedList};

    use super::*;
    use crate::backup::listing::DestroyedFile;

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

    fn line() -> impl Strategy<Value = String> {
        let id = tenant(1).id;
        let number = || prop_oneof![0..30_u64, Just(u64::MAX)];
        let epoch = || prop_oneof![0..6_u32, Just(u32::MAX)];
        prop_oneof![
            any::<[u8; 16]>()
                .prop_map(move |bytes| format!("{id} {}", PersonId::from_bytes(bytes))),
            (number(), number())
                .prop_map(move |(from, below)| format!("{id} openings {from} {below}")),
            (number(), number(), epoch()).prop_map(move |(from, below, epoch)| format!(
                "{id} openings {from} {below} {epoch}"
            )),
            (epoch(), number(), epoch())
                .prop_map(move |(epoch, place, of)| format!("{id} epoch {epoch} {place} {of}")),
        ]
    }

    proptest! {
        #[test]
        fn whatever_epochs_a_list_names_its_places_ascend_and_were_listed(
            lines in prop::collection::vec(line(), 0..12), epoch in 0..7_u32,
        ) {
            let list = Destroyed::of(&lines.join("\n"), &tenant(1)).unwrap();
            let places = list.openings(epoch);
            prop_assert!(places.iter().all(|(from, below)| from < below));
            prop_assert!(places.array_windows().all(|[one, next]| one.1 < next.0));
            let all = merged(list.openings.iter().map(|one| (one.from, one.below)).collect());
            for (from, below) in places {
                prop_assert!(all.iter().any(|one| one.0 <= from && below <= one.1));
            }
        }

        #[test]
        fn a_line_that_says_nothing_is_refused_by_its_number(
            before in prop::collection::vec(line(), 0..4), text in "[ -~]{0,60}",
        ) {
            prop_assume!(parse(&text).is_none());
            let lines = [before.as_slice(), &[text, String::new()]].concat();
            prop_assert_eq!(Destroyed::of(&lines.join("\n"), &tenant(1)).err(), Some(before.len() + 1));
        }
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
        let openings = retention::Destroyed::Openings {
            epoch: 1,
            from: 3,
            below: 9,
        };
        list(1).add(&[openings, person(7)]).await.unwrap();
        let read = Destroyed::read(&path, &tenant(1), CutOff::Refuse).unwrap();
        assert_eq!(read.persons, HashSet::from([[5; 16], [7; 16]]));
        assert_eq!(read.openings(1), [(3, 9)]);

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

    #[test]
    fn a_place_counts_as_far_as_two_epochs_share_their_beginning() {
        let mut list = Destroyed::default();
        for (epoch, from, below) in [(None, 1, 3), (Some(1), 90, 160), (Some(3), 205, 210)] {
            list.openings.push(Openings { epoch, from, below });
        }
        assert_eq!(list.openings(1), [(1, 3), (90, 160), (205, 210)]);
        list.begins(2, 100, 1);
        list.begins(3, 200, 2);
        assert_eq!(list.openings(1), [(1, 3), (90, 160)]);
        assert_eq!(list.openings(2), [(1, 3), (90, 100)]);
        assert_eq!(list.openings(3), [(1, 3), (90, 100), (205, 210)]);
        // The next restore goes back to before the second epoch was opened.
        list.begins(4, 150, 1);
        assert_eq!(list.openings(4), [(1, 3), (90, 150)]);
    }
}
