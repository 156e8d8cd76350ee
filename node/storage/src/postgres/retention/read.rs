//! Reading what an erasure works with.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use vrx_crypto::Keyring;
use vrx_domain::{DoseId, ErasureId, ImportId, PersonId, UnixMillis};

use crate::StorageError;
use crate::hold::HoldRecord;
use crate::postgres::apply::Applier;
use crate::postgres::log::{int, unsigned};
use crate::postgres::session::{Session, Statement, statement};
use crate::retention::{ERASURE_STEP, ErasureRun, ErasureStage, newest_first, seal_run};
use crate::sealed::{
    DoseRevisionRow, PersonKeyRow, PersonRevisionRow, SealedSpan, open_erasure, open_hold,
};

/// Entries looked at in one statement.
const ENTRIES: i64 = 65_536;
/// Ranges of entries looked at in one statement.
const RANGES: usize = 256;
/// Persons asked for in one statement.
const PERSONS: usize = 10_000;

pub(super) async fn runs(
    session: &mut Session,
    tenant: i32,
    keyring: &Keyring,
) -> Result<Vec<ErasureRun>, StorageError> {
    let rows = session
        .rows(
            "erasure_run",
            statement(
                "-- erasures
                 SELECT run_id, rewritten_at, body FROM erasure_run WHERE tenant = $1",
            )
            .bind(tenant),
            |row| {
                let rewritten: Option<i64> = row.try_get(1)?;
                let rewritten = rewritten.and_then(|at| u64::try_from(at).ok());
                let body: Vec<u8> = row.try_get(2)?;
                Ok((
                    ErasureId::from_bytes(row.try_get(0)?),
                    rewritten.map(UnixMillis),
                    body,
                ))
            },
        )
        .await?;
    let opened = rows
        .iter()
        .map(|(id, rewritten, body)| open_erasure(keyring, *id, *rewritten, body));
    Ok(newest_first(opened.collect::<Result<_, _>>()?))
}

pub(super) async fn run(
    session: &mut Session,
    tenant: i32,
    keyring: &Keyring,
    id: ErasureId,
) -> Result<Option<ErasureRun>, StorageError> {
    let runs = runs(session, tenant, keyring).await?;
    Ok(runs.into_iter().find(|run| run.id == id))
}

pub(super) async fn put_run(
    session: &mut Session,
    applier: &Applier<'_>,
    run: &ErasureRun,
) -> Result<(), StorageError> {
    let body = seal_run(applier.keyring, applier.random, run)?;
    let put = statement(
        "-- put_erasure
         UPDATE erasure_run SET body = $3 WHERE tenant = $1 AND run_id = $2",
    )
    .bind(applier.tenant)
    .bind(*run.id.as_bytes())
    .bind(body);
    session.run_one("erasure_run", put).await
}

pub(super) async fn holds(
    session: &mut Session,
    tenant: i32,
    keyring: &Keyring,
) -> Result<Vec<HoldRecord>, StorageError> {
    let holds = statement(
        "-- holds
         SELECT person_id, body FROM hold WHERE tenant = $1 ORDER BY person_id",
    )
    .bind(tenant);
    let rows: Vec<(PersonId, Vec<u8>)> = session
        .rows("hold", holds, |row| {
            Ok((PersonId::from_bytes(row.try_get(0)?), row.try_get(1)?))
        })
        .await?;
    rows.iter()
        .map(|(person, body)| open_hold(keyring, *person, body))
        .collect()
}

/// One person's holds.
pub(super) async fn person_holds(
    session: &mut Session,
    tenant: i32,
    keyring: &Keyring,
    person: PersonId,
) -> Result<Option<HoldRecord>, StorageError> {
    let holds = statement(
        "-- holds_of_person
         SELECT body FROM hold WHERE tenant = $1 AND person_id = $2",
    )
    .bind(tenant)
    .bind(*person.as_bytes());
    let body: Option<Vec<u8>> = session.row("hold", holds, |row| row.try_get(0)).await?;
    body.map(|body| open_hold(keyring, person, &body))
        .transpose()
}

/// The places of all blank openings, ascending: read by ranges, so that no statement reads the whole log.
pub(super) async fn blank_places(
    session: &mut Session,
    tenant: i32,
) -> Result<Vec<u64>, StorageError> {
    let size = statement("-- log_size\nSELECT size FROM log_head WHERE tenant = $1").bind(tenant);
    let size: Option<i64> = session.row("log_head", size, |row| row.try_get(0)).await?;
    let (size, mut from, mut places) = (size.unwrap_or(0), 0, Vec::new());
    while from < size {
        let blank = statement(
            "-- blank_openings
             SELECT idx FROM log_entry WHERE tenant = $1 AND idx >= $2 AND idx < $3 AND opening_key = '' ORDER BY idx",
        )
        .bind(tenant)
        .bind(from)
        .bind(from + ENTRIES);
        let blank: Vec<u64> = session
            .rows("log_entry", blank, |row| {
                unsigned(row.try_get::<i64, _>(0)?, 0)
            })
            .await?;
        places.extend(blank);
        from += ENTRIES;
    }
    Ok(places)
}

/// Those of these persons who have a key here and whom no open run has claimed: whoever is claimed has no tag.
pub(super) async fn standing(
    session: &mut Session,
    tenant: i32,
    keyring: &Keyring,
    persons: &[PersonId],
) -> Result<Vec<PersonId>, StorageError> {
    let mut found = Vec::new();
    for some in persons.chunks(PERSONS) {
        let standing = statement(
            "-- persons_with_keys
             SELECT person_id FROM person WHERE tenant = $1 AND person_id = ANY ($2)",
        )
        .bind(tenant)
        .bind(bytes(some));
        found.extend(
            session
                .rows("person", standing, |row| {
                    row.try_get(0).map(PersonId::from_bytes)
                })
                .await?,
        );
    }
    let runs = runs(session, tenant, keyring).await?;
    if found.is_empty() || !runs.iter().any(|run| run.stage == ErasureStage::Keys) {
        return Ok(found);
    }
    let claimed = statement(
        "-- claimed_persons
         SELECT person_id FROM erasure_person e WHERE tenant = $1 AND step = 1
            AND NOT EXISTS (SELECT FROM person_tag t WHERE t.tenant = $1 AND t.person_id = e.person_id)",
    )
    .bind(tenant);
    let claimed: HashSet<PersonId> = session
        .rows("erasure_person", claimed, |row| {
            row.try_get(0).map(PersonId::from_bytes)
        })
        .await?
        .into_iter()
        .collect();
    found.retain(|person| !claimed.contains(person));
    Ok(found)
}

/// The places of openings in these ranges that aren't blank.
pub(super) async fn standing_openings(
    session: &mut Session,
    tenant: i32,
    ranges: &[(u64, u64)],
) -> Result<Vec<u64>, StorageError> {
    let mut found = Vec::new();
    for some in ranges.chunks(RANGES) {
        let (from, below): (Vec<i64>, Vec<i64>) = some
            .iter()
            .map(|(from, below)| (int(*from), int(*below)))
            .unzip();
        let standing = statement(
            "-- standing_openings
             SELECT l.idx FROM unnest($2::bigint[], $3::bigint[]) AS r (first, below)
             CROSS JOIN LATERAL (
                 SELECT idx FROM log_entry
                 WHERE tenant = $1 AND idx >= r.first AND idx < r.below AND opening_key <> ''
             ) l",
        )
        .bind(tenant)
        .bind(from)
        .bind(below);
        let places: Vec<u64> = session
            .rows("log_entry", standing, |row| {
                unsigned(row.try_get::<i64, _>(0)?, 0)
            })
            .await?;
        found.extend(places);
    }
    Ok(found)
}

pub(super) async fn persons_after(
    session: &mut Session,
    tenant: i32,
    after: Option<PersonId>,
    count: u32,
) -> Result<Vec<SealedSpan>, StorageError> {
    // Every id is longer than the empty one, and so comes after it.
    let after = after.map_or(Vec::new(), |id| id.as_bytes().to_vec());
    let persons = statement(
        "-- persons_after
         SELECT person_id, wrapped_key, number FROM person
         WHERE tenant = $1 AND person_id > $2 ORDER BY person_id LIMIT $3",
    )
    .bind(tenant)
    .bind(after)
    .bind(i64::from(count));
    spans(session, tenant, persons).await
}

pub(super) async fn persons(
    session: &mut Session,
    tenant: i32,
    ids: &[PersonId],
) -> Result<Vec<SealedSpan>, StorageError> {
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
    .bind(bytes(ids));
    spans(session, tenant, persons).await
}

/// The persons that a statement finds, with all their revisions, the newest of each first.
async fn spans(
    session: &mut Session,
    tenant: i32,
    persons: Statement,
) -> Result<Vec<SealedSpan>, StorageError> {
    let mut spans: Vec<SealedSpan> = session
        .rows("person", persons, |row| {
            Ok(SealedSpan {
                person: PersonKeyRow {
                    id: PersonId::from_bytes(row.try_get(0)?),
                    wrapped_key: row.try_get(1)?,
                    number: row.try_get(2)?,
                },
                revisions: Vec::new(),
                doses: Vec::new(),
            })
        })
        .await?;
    let ids: Vec<PersonId> = spans.iter().map(|span| span.person.id).collect();
    let revisions = statement(
        "-- revisions_of_persons
         SELECT r.person_id, r.revision, r.import_id, r.body
         FROM unnest($2::bytea[]) AS asked (person_id)
         CROSS JOIN LATERAL (
             SELECT person_id, revision, import_id, body FROM person_revision
             WHERE tenant = $1 AND person_id = asked.person_id ORDER BY revision DESC
         ) r",
    )
    .bind(tenant)
    .bind(bytes(&ids));
    let revisions = session
        .rows("person_revision", revisions, |row: &PgRow| {
            let revision = PersonRevisionRow {
                revision: unsigned(row.try_get::<i32, _>(1)?, 1)?,
                import: ImportId::from_bytes(row.try_get(2)?),
                body: row.try_get(3)?,
            };
            Ok((PersonId::from_bytes(row.try_get(0)?), revision))
        })
        .await?;
    let doses = statement(
        "-- doses_of_persons
         SELECT r.person_id, r.dose_id, r.revision, r.import_id, r.body
         FROM unnest($2::bytea[]) AS asked (person_id)
         CROSS JOIN LATERAL (
             SELECT person_id, dose_id, revision, import_id, body FROM dose_revision
             WHERE tenant = $1 AND person_id = asked.person_id ORDER BY dose_id, revision DESC
         ) r",
    )
    .bind(tenant)
    .bind(bytes(&ids));
    let doses = session
        .rows("dose_revision", doses, |row: &PgRow| {
            let dose = DoseRevisionRow {
                dose: DoseId::from_bytes(row.try_get(1)?),
                revision: unsigned(row.try_get::<i32, _>(2)?, 2)?,
                import: ImportId::from_bytes(row.try_get(3)?),
                body: row.try_get(4)?,
            };
            Ok((PersonId::from_bytes(row.try_get(0)?), dose))
        })
        .await?;
    let mut at: HashMap<PersonId, &mut SealedSpan> = spans
        .iter_mut()
        .map(|span| (span.person.id, span))
        .collect();
    for (person, revision) in revisions {
        if let Some(span) = at.get_mut(&person) {
            span.revisions.push(revision);
        }
    }
    for (person, dose) in doses {
        if let Some(span) = at.get_mut(&person) {
            span.doses.push(dose);
        }
    }
    Ok(spans)
}

pub(super) async fn listed(
    session: &mut Session,
    tenant: i32,
    step: i16,
) -> Result<Vec<PersonId>, StorageError> {
    let listed = statement(
        "-- erasure_list
         SELECT person_id FROM erasure_person WHERE tenant = $1 AND step = $2 ORDER BY person_id LIMIT $3",
    )
    .bind(tenant)
    .bind(step)
    .bind(i64::from(ERASURE_STEP));
    session
        .rows("erasure_person", listed, |row| {
            row.try_get(0).map(PersonId::from_bytes)
        })
        .await
}

pub(super) fn bytes(ids: &[PersonId]) -> Vec<[u8; 16]> {
    ids.iter().map(|id| *id.as_bytes()).collect()
}
