//! Reading the register's rows: what a chunk is prepared against, imports, inquiries.

use std::collections::HashMap;

use sqlx::Row;
use vrx_crypto::{Keyring, Tag};
use vrx_domain::{DoseId, ImportId, InquiryId, MunicipalityCode, PersonId, UnixMillis};

use super::log::{int, unsigned};
use super::session::{Session, statement};
use crate::StorageError;
use crate::decoys::DOSES;
use crate::prepare::{Against, Existing, ExistingPerson, Probe};
use crate::registry::{Counts, EnteredWith, ImportRecord, PeerCheckpoint};
use crate::sealed::{
    DoseRevisionRow, InquiryRow, PersonKeyRow, PersonRevisionRow, inconsistent, open_import,
    open_imports,
};

/// Reads whom the probes lead to, and the newest revisions of what stands there.
pub(super) async fn existing(
    session: &mut Session,
    tenant: i32,
    probes: &[Probe],
    against: Against,
) -> Result<Existing, StorageError> {
    let found = persons_of(session, tenant, probes).await?;
    let mut ids: Vec<[u8; 16]> = found.iter().flatten().map(|id| *id.as_bytes()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut persons = person_keys(session, tenant, &ids).await?;
    match against {
        Against::Person => newest_revisions(session, tenant, ids, &mut persons).await?,
        Against::Doses => newest_doses(session, tenant, ids, &mut persons).await?,
    }
    match found.iter().flatten().find(|id| !persons.contains_key(id)) {
        Some(astray) => Err(inconsistent("person_tag", "person_id", astray)),
        None => Ok(Existing { found, persons }),
    }
}

/// Whom each probe leads to. The doses of one person stand together in a ledger, with the same tags: each is asked once.
async fn persons_of(
    session: &mut Session,
    tenant: i32,
    probes: &[Probe],
) -> Result<Vec<Option<PersonId>>, StorageError> {
    let mut known: HashMap<Tag, Option<PersonId>> = HashMap::with_capacity(probes.len());
    let (mut kinds, mut keys, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    let mut asked = Vec::new();
    for probe in probes {
        let active = probe.tags.active().1;
        if known.insert(active, None).is_none() {
            for (key, tag) in probe.tags.live() {
                kinds.push(probe.kind as i16);
                keys.push(i64::from(key.0));
                tags.push(tag.0);
                asked.push(active);
            }
        }
    }
    let persons = statement(
        "-- persons_of_tags
         SELECT t.person_id
         FROM unnest($2::smallint[], $3::bigint[], $4::bytea[]) WITH ORDINALITY AS asked (kind, key_id, tag, place)
         LEFT JOIN LATERAL (
             SELECT person_id FROM person_tag
             WHERE tenant = $1 AND kind = asked.kind AND key_id = asked.key_id AND tag = asked.tag LIMIT 1
         ) t ON true
         ORDER BY asked.place",
    )
    .bind(tenant)
    .bind(kinds)
    .bind(keys)
    .bind(tags);
    let rows: Vec<Option<[u8; 16]>> = session
        .rows("person_tag", persons, |row| row.try_get(0))
        .await?;
    for (active, person) in asked.into_iter().zip(rows) {
        if let Some(person) = person {
            known.insert(active, Some(PersonId::from_bytes(person)));
        }
    }
    Ok(probes
        .iter()
        .map(|probe| known.get(&probe.tags.active().1).copied().flatten())
        .collect())
}

async fn person_keys(
    session: &mut Session,
    tenant: i32,
    ids: &[[u8; 16]],
) -> Result<HashMap<PersonId, ExistingPerson>, StorageError> {
    let persons = statement(
        "-- persons
         SELECT found.person_id, found.wrapped_key, found.number
         FROM unnest($2::bytea[]) AS asked (person_id)
         CROSS JOIN LATERAL (
             SELECT person_id, wrapped_key, number FROM person
             WHERE tenant = $1 AND person_id = asked.person_id LIMIT 1
         ) found",
    )
    .bind(tenant)
    .bind(ids.to_vec());
    let rows = session
        .rows("person", persons, |row| {
            Ok(PersonKeyRow {
                id: PersonId::from_bytes(row.try_get(0)?),
                wrapped_key: row.try_get(1)?,
                number: row.try_get(2)?,
            })
        })
        .await?;
    let person = |row: PersonKeyRow| {
        (
            row.id,
            ExistingPerson {
                row,
                newest: None,
                doses: Vec::new(),
            },
        )
    };
    Ok(rows.into_iter().map(person).collect())
}

async fn newest_revisions(
    session: &mut Session,
    tenant: i32,
    ids: Vec<[u8; 16]>,
    persons: &mut HashMap<PersonId, ExistingPerson>,
) -> Result<(), StorageError> {
    let revisions = statement(
        "-- newest_revisions
         SELECT newest.person_id, newest.revision, newest.import_id, newest.body
         FROM unnest($2::bytea[]) AS asked (person_id)
         CROSS JOIN LATERAL (
             SELECT person_id, revision, import_id, body FROM person_revision
             WHERE tenant = $1 AND person_id = asked.person_id ORDER BY revision DESC LIMIT 1
         ) newest",
    )
    .bind(tenant)
    .bind(ids);
    let rows = session
        .rows("person_revision", revisions, |row| {
            let revision = PersonRevisionRow {
                revision: unsigned(row.try_get::<i32, _>(1)?, 1)?,
                import: ImportId::from_bytes(row.try_get(2)?),
                body: row.try_get(3)?,
            };
            Ok((PersonId::from_bytes(row.try_get(0)?), revision))
        })
        .await?;
    for (id, revision) in rows {
        if let Some(person) = persons.get_mut(&id) {
            person.newest = Some(revision);
        }
    }
    Ok(())
}

async fn newest_doses(
    session: &mut Session,
    tenant: i32,
    ids: Vec<[u8; 16]>,
    persons: &mut HashMap<PersonId, ExistingPerson>,
) -> Result<(), StorageError> {
    let doses = statement(
        "-- newest_doses
         SELECT newest.person_id, newest.dose_id, newest.revision, newest.import_id, newest.body
         FROM unnest($2::bytea[]) AS asked (person_id)
         CROSS JOIN LATERAL (
             SELECT DISTINCT ON (dose_id) person_id, dose_id, revision, import_id, body FROM dose_revision
             WHERE tenant = $1 AND person_id = asked.person_id ORDER BY dose_id, revision DESC
         ) newest",
    )
    .bind(tenant)
    .bind(ids);
    let rows = session
        .rows("dose_revision", doses, |row| {
            let dose = DoseRevisionRow {
                dose: DoseId::from_bytes(row.try_get(1)?),
                revision: unsigned(row.try_get::<i32, _>(2)?, 2)?,
                import: ImportId::from_bytes(row.try_get(3)?),
                body: row.try_get(4)?,
            };
            Ok((PersonId::from_bytes(row.try_get(0)?), dose))
        })
        .await?;
    for (id, dose) in rows {
        if let Some(person) = persons.get_mut(&id) {
            person.doses.push(dose);
        }
    }
    Ok(())
}

/// One import, opened.
pub(super) async fn import(
    session: &mut Session,
    tenant: i32,
    keyring: &Keyring,
    id: ImportId,
) -> Result<Option<ImportRecord>, StorageError> {
    let import = statement(
        "-- import
         SELECT body FROM import WHERE tenant = $1 AND import_id = $2",
    )
    .bind(tenant)
    .bind(*id.as_bytes());
    let body: Option<Vec<u8>> = session.row("import", import, |row| row.try_get(0)).await?;
    body.map(|body| open_import(keyring, id, &body)).transpose()
}

/// All imports, the newest entered first.
pub(super) async fn imports(
    session: &mut Session,
    tenant: i32,
    keyring: &Keyring,
) -> Result<Vec<ImportRecord>, StorageError> {
    let imports = statement(
        "-- imports
         SELECT import_id, body FROM import WHERE tenant = $1",
    )
    .bind(tenant);
    let rows = session
        .rows("import", imports, |row| {
            Ok((ImportId::from_bytes(row.try_get(0)?), row.try_get(1)?))
        })
        .await?;
    open_imports(keyring, &rows)
}

pub(super) async fn entered_with(
    session: &mut Session,
    tenant: i32,
    person: PersonId,
) -> Result<Vec<EnteredWith>, StorageError> {
    let entries = statement(
        "-- entered_with
         SELECT log_index, import_id, count(*) FILTER (WHERE is_person), count(*) FILTER (WHERE NOT is_person) FROM (
             SELECT log_index, import_id, true AS is_person FROM person_revision WHERE tenant = $1 AND person_id = $2
             UNION ALL
             SELECT log_index, import_id, false FROM dose_revision WHERE tenant = $1 AND person_id = $2
         ) entered
         GROUP BY log_index, import_id ORDER BY log_index, import_id",
    )
    .bind(tenant)
    .bind(*person.as_bytes());
    session
        .rows("person_revision", entries, |row| {
            Ok(EnteredWith {
                log_index: unsigned(row.try_get::<i64, _>(0)?, 0)?,
                import: ImportId::from_bytes(row.try_get(1)?),
                revisions: unsigned(row.try_get::<i64, _>(2)?, 2)?,
                doses: unsigned(row.try_get::<i64, _>(3)?, 3)?,
            })
        })
        .await
}

pub(super) async fn inquiry(
    session: &mut Session,
    tenant: i32,
    id: InquiryId,
    now: UnixMillis,
) -> Result<Option<InquiryRow>, StorageError> {
    let inquiry = statement(
        "-- inquiry
         SELECT version, expires_at, wrapped_key, body FROM inquiry
         WHERE tenant = $1 AND inquiry_id = $2 AND expires_at > $3",
    )
    .bind(tenant)
    .bind(*id.as_bytes())
    .bind(int(now.0));
    session
        .row("inquiry", inquiry, |row| {
            Ok(InquiryRow {
                version: unsigned(row.try_get::<i32, _>(0)?, 0)?,
                expires_at: UnixMillis(unsigned(row.try_get::<i64, _>(1)?, 1)?),
                wrapped_key: row.try_get(2)?,
                body: row.try_get(3)?,
            })
        })
        .await
}

pub(super) async fn peer_checkpoint(
    session: &mut Session,
    tenant: i32,
    peer: MunicipalityCode,
) -> Result<Option<PeerCheckpoint>, StorageError> {
    let code = i32::try_from(peer.as_u32()).unwrap_or(i32::MAX);
    let checkpoint = statement(
        "-- peer_checkpoint
         SELECT size, note FROM peer_checkpoint WHERE tenant = $1 AND peer = $2",
    )
    .bind(tenant)
    .bind(code);
    session
        .row("peer_checkpoint", checkpoint, |row| {
            Ok(PeerCheckpoint {
                peer,
                size: unsigned(row.try_get::<i64, _>(0)?, 0)?,
                note: row.try_get(1)?,
            })
        })
        .await
}

/// Decoys are counted out: each is one person with [`DOSES`] doses.
pub(super) async fn counts(session: &mut Session, tenant: i32) -> Result<Counts, StorageError> {
    let counts = statement(
        "-- counts
         SELECT (SELECT count(*) FROM person WHERE tenant = $1) - decoys,
                (SELECT count(*) FROM dose_revision WHERE tenant = $1) - decoys * $2,
                (SELECT count(*) FROM import WHERE tenant = $1),
                (SELECT count(*) FROM inquiry WHERE tenant = $1)
         FROM tenant_meta WHERE tenant = $1",
    )
    .bind(tenant)
    .bind(i64::from(DOSES));
    let counts = session
        .row("tenant_meta", counts, |row| {
            let count = |column: usize| unsigned(row.try_get::<i64, _>(column)?, column);
            Ok(Counts {
                persons: count(0)?,
                dose_revisions: count(1)?,
                imports: count(2)?,
                inquiries: count(3)?,
            })
        })
        .await?;
    counts.ok_or(StorageError::OtherTenant)
}
