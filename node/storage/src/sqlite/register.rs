//! Reading the register's rows: what a chunk is prepared against, imports, inquiries.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use vrx_crypto::{Keyring, Tag};
use vrx_domain::{DoseId, ImportId, InquiryId, MunicipalityCode, PersonId, UnixMillis};

use super::sql::{Sql, int, reading, unsigned};
use crate::StorageError;
use crate::prepare::{Against, Existing, ExistingPerson, Probe};
use crate::registry::{Counts, EnteredWith, ImportRecord, PeerCheckpoint};
use crate::sealed::{
    DoseRevisionRow, InquiryRow, PersonKeyRow, PersonRevisionRow, approved, inconsistent,
    open_import, open_imports,
};

/// Reads whom the probes lead to, and the newest revisions of what stands there.
pub(super) fn existing(
    sql: &Sql,
    tenant: i64,
    probes: &[Probe],
    against: Against,
) -> Result<Existing, StorageError> {
    let found = persons_of(sql, tenant, probes)?;
    let mut persons = HashMap::new();
    for id in found.iter().flatten() {
        if !persons.contains_key(id) {
            persons.insert(*id, existing_person(sql, tenant, *id, against)?);
        }
    }
    Ok(Existing { found, persons })
}

/// Whom each probe leads to. The doses of one person stand together in a ledger, with the same tags: each is read once.
fn persons_of(
    sql: &Sql,
    tenant: i64,
    probes: &[Probe],
) -> Result<Vec<Option<PersonId>>, StorageError> {
    let failed = reading("person_tag");
    let mut statement = sql
        .prepare(
            "-- person_of_tag
             SELECT person_id FROM person_tag WHERE tenant = ?1 AND kind = ?2 AND key_id = ?3 AND tag = ?4",
        )
        .map_err(&failed)?;
    let mut known: HashMap<Tag, Option<PersonId>> = HashMap::with_capacity(probes.len());
    let mut person_of = |probe: &Probe| -> rusqlite::Result<Option<PersonId>> {
        for (key, tag) in probe.tags.live() {
            sql.count();
            let mut rows = statement.query((tenant, probe.kind as u8, key.0, tag.0))?;
            if let Some(row) = rows.next()? {
                return row.get(0).map(PersonId::from_bytes).map(Some);
            }
        }
        Ok(None)
    };
    probes
        .iter()
        .map(|probe| match known.entry(probe.tags.active().1) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => Ok(*entry.insert(person_of(probe).map_err(&failed)?)),
        })
        .collect()
}

fn existing_person(
    sql: &Sql,
    tenant: i64,
    id: PersonId,
    against: Against,
) -> Result<ExistingPerson, StorageError> {
    let row = sql
        .row(
            "person",
            "-- person
             SELECT wrapped_key, number FROM person WHERE tenant = ?1 AND person_id = ?2",
            (tenant, id.as_bytes()),
            |row| {
                Ok(PersonKeyRow {
                    id,
                    wrapped_key: row.get(0)?,
                    number: row.get(1)?,
                })
            },
        )?
        .ok_or_else(|| inconsistent("person_tag", "person_id", &id))?;
    let (mut newest, mut doses) = (None, Vec::new());
    match against {
        Against::Person => {
            newest = sql.row(
                "person_revision",
                "-- newest_revision
                 SELECT revision, import_id, body FROM person_revision
                 WHERE tenant = ?1 AND person_id = ?2 ORDER BY revision DESC LIMIT 1",
                (tenant, id.as_bytes()),
                |row| {
                    Ok(PersonRevisionRow {
                        revision: unsigned(row, 0)?,
                        import: ImportId::from_bytes(row.get(1)?),
                        body: row.get(2)?,
                    })
                },
            )?;
        }
        Against::Doses => {
            doses = sql.rows(
                "dose_revision",
                "-- dose_revisions
                 SELECT dose_id, revision, import_id, body FROM dose_revision
                 WHERE tenant = ?1 AND person_id = ?2 ORDER BY dose_id, revision DESC",
                (tenant, id.as_bytes()),
                |row| {
                    Ok(DoseRevisionRow {
                        dose: DoseId::from_bytes(row.get(0)?),
                        revision: unsigned(row, 1)?,
                        import: ImportId::from_bytes(row.get(2)?),
                        body: row.get(3)?,
                    })
                },
            )?;
            // The newest revision of each comes first.
            doses.dedup_by_key(|row| row.dose);
        }
    }
    Ok(ExistingPerson { row, newest, doses })
}

/// One import, opened.
pub(super) fn import(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
    id: ImportId,
) -> Result<Option<ImportRecord>, StorageError> {
    let body: Option<Vec<u8>> = sql.row(
        "import",
        "-- import
         SELECT body FROM import WHERE tenant = ?1 AND import_id = ?2",
        (tenant, id.as_bytes()),
        |row| row.get(0),
    )?;
    body.map(|body| open_import(keyring, id, &body)).transpose()
}

/// All imports, the newest entered first.
pub(super) fn imports(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
) -> Result<Vec<ImportRecord>, StorageError> {
    let rows: Vec<(ImportId, Vec<u8>)> = sql.rows(
        "import",
        "-- imports
         SELECT import_id, body FROM import WHERE tenant = ?1",
        [tenant],
        |row| Ok((ImportId::from_bytes(row.get(0)?), row.get(1)?)),
    )?;
    open_imports(keyring, &rows)
}

/// The imports whose sealed state says approved.
pub(super) fn approved_imports(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
) -> Result<HashSet<ImportId>, StorageError> {
    Ok(approved(&imports(sql, tenant, keyring)?))
}

pub(super) fn entered_with(
    sql: &Sql,
    tenant: i64,
    person: PersonId,
) -> Result<Vec<EnteredWith>, StorageError> {
    sql.rows(
        "person_revision",
        "-- entered_with
         SELECT log_index, import_id, sum(is_person), sum(1 - is_person) FROM (
             SELECT log_index, import_id, 1 AS is_person FROM person_revision WHERE tenant = ?1 AND person_id = ?2
             UNION ALL
             SELECT log_index, import_id, 0 FROM dose_revision WHERE tenant = ?1 AND person_id = ?2
         )
         GROUP BY log_index, import_id ORDER BY log_index, import_id",
        (tenant, person.as_bytes()),
        |row| {
            Ok(EnteredWith {
                log_index: unsigned(row, 0)?,
                import: ImportId::from_bytes(row.get(1)?),
                revisions: unsigned(row, 2)?,
                doses: unsigned(row, 3)?,
            })
        },
    )
}

pub(super) fn inquiry(
    sql: &Sql,
    tenant: i64,
    id: InquiryId,
    now: UnixMillis,
) -> Result<Option<InquiryRow>, StorageError> {
    sql.row(
        "inquiry",
        "-- inquiry
         SELECT version, expires_at, wrapped_key, body FROM inquiry
         WHERE tenant = ?1 AND inquiry_id = ?2 AND expires_at > ?3",
        (tenant, id.as_bytes(), int(now.0)),
        |row| {
            Ok(InquiryRow {
                version: unsigned(row, 0)?,
                expires_at: UnixMillis(unsigned(row, 1)?),
                wrapped_key: row.get(2)?,
                body: row.get(3)?,
            })
        },
    )
}

pub(super) fn peer_checkpoint(
    sql: &Sql,
    tenant: i64,
    peer: MunicipalityCode,
) -> Result<Option<PeerCheckpoint>, StorageError> {
    sql.row(
        "peer_checkpoint",
        "-- peer_checkpoint
         SELECT size, note FROM peer_checkpoint WHERE tenant = ?1 AND peer = ?2",
        (tenant, peer.as_u32()),
        |row| {
            Ok(PeerCheckpoint {
                peer,
                size: unsigned(row, 0)?,
                note: row.get(1)?,
            })
        },
    )
}

/// Decoys are counted out: each is one person with [`crate::decoys::DOSES`] doses.
pub(super) fn counts(sql: &Sql, tenant: i64) -> Result<Counts, StorageError> {
    let counts = sql.row(
        "tenant_meta",
        "-- counts
         SELECT (SELECT count(*) FROM person WHERE tenant = ?1) - decoys,
                (SELECT count(*) FROM dose_revision WHERE tenant = ?1) - decoys * ?2,
                (SELECT count(*) FROM import WHERE tenant = ?1),
                (SELECT count(*) FROM inquiry WHERE tenant = ?1)
         FROM tenant_meta WHERE tenant = ?1",
        (tenant, crate::decoys::DOSES),
        |row| {
            Ok(Counts {
                persons: unsigned(row, 0)?,
                dose_revisions: unsigned(row, 1)?,
                imports: unsigned(row, 2)?,
                inquiries: unsigned(row, 3)?,
            })
        },
    )?;
    counts.ok_or(StorageError::OtherTenant)
}
