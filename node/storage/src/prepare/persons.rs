//! Residents of an import chunk.

use std::collections::HashSet;

use vrx_crypto::{Context, PersonKey, TagKind, Tags};
use vrx_domain::{Dose, DoseId, DoseStatus, ImportId, IndividualNumber, Person, PersonId};

use super::{Existing, Probe, Sealing, active, keyring_error, sort_tags, tag_rows};
use crate::StorageError;
use crate::body::{PersonBody, encode_dose, encode_person};
use crate::change::{
    Change, Chunk, Op, SealedDoseRevision, SealedPerson, SealedPersonRevision, TagRow,
};
use crate::registry::{ImportCounts, PersonRow, PreparedChunk, RowOutcome, RowRefusal};
use crate::sealed::{Owner, inconsistent, open_keys};

/// Two probes a row: by individual number, by addressee number.
pub(crate) fn probe_persons(sealing: &Sealing<'_>, rows: &[PersonRow]) -> Vec<Probe> {
    rows.iter()
        .flat_map(|row| {
            let addressee = row.person.addressee_number.as_str().as_bytes();
            [
                Probe {
                    kind: TagKind::Number,
                    tags: sealing.keyring.tags(TagKind::Number, row.number.digits()),
                },
                Probe {
                    kind: TagKind::Addressee,
                    tags: sealing.keyring.tags(TagKind::Addressee, addressee),
                },
            ]
        })
        .collect()
}

/// Compares each row with the newest revision of the person it is about, and seals what is new.
pub(crate) fn prepare_persons(
    sealing: &Sealing<'_>,
    import: ImportId,
    rows: &[PersonRow],
    probes: &[Probe],
    existing: &Existing,
) -> Result<PreparedChunk, StorageError> {
    let mut sealer = Sealer::new(sealing, import);
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut seen = HashSet::new();
    let pairs = probes.chunks_exact(2).zip(existing.found.chunks_exact(2));
    for (row, (probes, found)) in rows.iter().zip(pairs) {
        let ([by_number, by_addressee], [person, addressee]) = (probes, found) else {
            return Err(StorageError::Invalid("two probes a row"));
        };
        let (number_tags, addressee_tags) = (&by_number.tags, &by_addressee.tags);
        let standing = person
            .map(|id| Standing::open(sealing, existing, id, &row.number))
            .transpose()?;
        let repeated = !seen.insert(active(number_tags)) || !seen.insert(active(addressee_tags));
        let outcome = match standing {
            _ if repeated => RowOutcome::Refused(RowRefusal::Repeated),
            _ if addressee.is_some() && addressee != person => {
                RowOutcome::Refused(RowRefusal::AddresseeTaken)
            }
            None => {
                let id = sealer.add(&row.number, &row.person)?;
                sealer.tag(TagKind::Number, number_tags, id);
                sealer.tag(TagKind::Addressee, addressee_tags, id);
                RowOutcome::Added
            }
            Some(standing) if standing.says(&row.person) => RowOutcome::Unchanged,
            Some(Standing { id, key, newest }) => {
                let revision = newest.map_or(1, |body| body.revision.saturating_add(1));
                sealer.revise(&key, id, revision, &row.person)?;
                if addressee.is_none() {
                    sealer.tag(TagKind::Addressee, addressee_tags, id);
                }
                RowOutcome::Changed
            }
        };
        outcomes.push(outcome);
    }
    Ok(sealer.finish(outcomes))
}

/// A person who stands already, opened.
struct Standing {
    id: PersonId,
    key: PersonKey,
    newest: Option<PersonBody>,
}

impl Standing {
    /// Opens the row a number's tag led to. The tag only proposes: the sealed number must be the one of the file.
    fn open(
        sealing: &Sealing<'_>,
        existing: &Existing,
        id: PersonId,
        number: &IndividualNumber,
    ) -> Result<Self, StorageError> {
        let astray = || inconsistent("person_tag", "person_id", &id);
        let standing = existing.persons.get(&id).ok_or_else(astray)?;
        let (key, sealed_number) = open_keys(sealing.keyring, &standing.row)?;
        if !sealed_number.ct_eq(number) {
            return Err(astray());
        }
        let owner = Owner {
            tenant: sealing.tenant,
            key: &key,
            id,
        };
        let newest = standing
            .newest
            .as_ref()
            .map(|row| owner.person(row))
            .transpose()?;
        Ok(Self { id, key, newest })
    }

    fn says(&self, person: &Person) -> bool {
        self.newest
            .as_ref()
            .is_some_and(|body| same(&body.person, person))
    }
}

/// Gathers sealed rows of a chunk.
pub(crate) struct Sealer<'a> {
    sealing: &'a Sealing<'a>,
    chunk: Chunk,
}

impl<'a> Sealer<'a> {
    pub(crate) fn new(sealing: &'a Sealing<'a>, import: ImportId) -> Self {
        let chunk = Chunk {
            import,
            counts: ImportCounts::default(),
            persons: Vec::new(),
            person_revisions: Vec::new(),
            dose_revisions: Vec::new(),
            tags: Vec::new(),
        };
        Self { sealing, chunk }
    }

    /// A new person: row, first revision. The tags are the caller's to add.
    pub(crate) fn add(
        &mut self,
        number: &IndividualNumber,
        person: &Person,
    ) -> Result<PersonId, StorageError> {
        let id = PersonId::random(self.sealing.random);
        self.add_as(id, number, person).map(|_| id)
    }

    /// The same under a given id; returns the person's new key.
    pub(crate) fn add_as(
        &mut self,
        id: PersonId,
        number: &IndividualNumber,
        person: &Person,
    ) -> Result<PersonKey, StorageError> {
        let Sealing {
            keyring, random, ..
        } = self.sealing;
        let key = keyring.new_person_key(*random);
        let wrapped_key = keyring
            .wrap_person_key(*random, id, &key)
            .map_err(|e| keyring_error(&e))?;
        let number = keyring
            .seal_number(*random, id, &key, number)
            .map_err(|e| keyring_error(&e))?;
        self.chunk.persons.push(SealedPerson {
            id,
            wrapped_key: wrapped_key.into_bytes(),
            number: number.into_bytes(),
        });
        self.revise(&key, id, 1, person)?;
        Ok(key)
    }

    fn revise(
        &mut self,
        key: &PersonKey,
        id: PersonId,
        revision: u32,
        person: &Person,
    ) -> Result<(), StorageError> {
        let Sealing { tenant, random, .. } = self.sealing;
        let body = encode_person(revision, self.chunk.import, person)
            .map_err(|_| StorageError::Invalid("a person's field is longer than 65,535 bytes"))?;
        let body = key
            .seal(
                *random,
                tenant,
                Context::PersonBody,
                *id.as_bytes(),
                id,
                &body,
            )
            .map_err(|e| keyring_error(&e))?
            .into_bytes();
        self.chunk.person_revisions.push(SealedPersonRevision {
            person: id,
            revision,
            body,
        });
        Ok(())
    }

    /// One revision of a dose, under its person's key.
    pub(crate) fn dose(
        &mut self,
        key: &PersonKey,
        person: PersonId,
        id: DoseId,
        revision: u32,
        dose: &Dose,
    ) -> Result<(), StorageError> {
        let Sealing { tenant, random, .. } = self.sealing;
        let body = encode_dose(revision, self.chunk.import, DoseStatus::Approved, dose)
            .map_err(|_| StorageError::Invalid("a dose's field is longer than 65,535 bytes"))?;
        let body = key
            .seal(
                *random,
                tenant,
                Context::DoseBody,
                *id.as_bytes(),
                person,
                &body,
            )
            .map_err(|e| keyring_error(&e))?
            .into_bytes();
        self.chunk.dose_revisions.push(SealedDoseRevision {
            person,
            dose: id,
            revision,
            body,
        });
        Ok(())
    }

    pub(crate) fn tag(&mut self, kind: TagKind, tags: &Tags, person: PersonId) {
        tag_rows(&mut self.chunk.tags, kind, tags, person);
    }

    /// Sorts and counts. No change when nothing is new.
    pub(crate) fn finish(mut self, outcomes: Vec<RowOutcome>) -> PreparedChunk {
        let count = |wanted| {
            outcomes
                .iter()
                .filter(|outcome| **outcome == wanted)
                .count() as u64
        };
        self.chunk.counts = ImportCounts {
            added: count(RowOutcome::Added),
            changed: count(RowOutcome::Changed),
            unchanged: count(RowOutcome::Unchanged),
        };
        let counts = self.chunk.counts;
        let change = (counts.added + counts.changed > 0).then(|| self.into_change());
        PreparedChunk { change, outcomes }
    }

    pub(crate) fn into_change(self) -> Change {
        Change(Op::Chunk(Box::new(self.into_chunk())))
    }

    pub(crate) fn into_chunk(mut self) -> Chunk {
        self.chunk.persons.sort_by_key(|row| row.id);
        self.chunk
            .person_revisions
            .sort_by_key(|row| (row.person, row.revision));
        self.chunk
            .dose_revisions
            .sort_by_key(|row| (row.person, row.dose, row.revision));
        let tags: &mut [TagRow] = &mut self.chunk.tags;
        sort_tags(tags);
        self.chunk
    }
}

fn same(a: &Person, b: &Person) -> bool {
    a.addressee_number == b.addressee_number
        && a.name_kanji == b.name_kanji
        && a.name_kana == b.name_kana
        && a.birth_date == b.birth_date
        && a.sex == b.sex
        && a.address == b.address
        && a.became_resident == b.became_resident
        && a.ceased_resident == b.ceased_resident
        && a.protection == b.protection
}
