//! Reading what an erasure works with.

use std::collections::HashSet;

use vrx_crypto::Keyring;
use vrx_domain::{ErasureId, ImportId, PersonId, UnixMillis};

use crate::StorageError;
use crate::hold::HoldRecord;
use crate::retention::{ERASURE_STEP, ErasureRun, ErasureStage, newest_first, seal_run};
use crate::sealed::{
    DoseRevisionRow, PersonKeyRow, PersonRevisionRow, SealedSpan, open_erasure, open_hold,
};
use crate::sqlite::apply::Applier;
use crate::sqlite::sql::{Sql, failure, int, reading, unsigned};

pub(super) fn runs(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
) -> Result<Vec<ErasureRun>, StorageError> {
    let rows = sql.rows(
        "erasure_run",
        "-- erasures
         SELECT run_id, rewritten_at, body FROM erasure_run WHERE tenant = ?1",
        [tenant],
        |row| {
            let rewritten: Option<i64> = row.get(1)?;
            let rewritten = rewritten.and_then(|at| u64::try_from(at).ok());
            let body: Vec<u8> = row.get(2)?;
            Ok((
                ErasureId::from_bytes(row.get(0)?),
                rewritten.map(UnixMillis),
                body,
            ))
        },
    )?;
    let opened = rows
        .iter()
        .map(|(id, rewritten, body)| open_erasure(keyring, *id, *rewritten, body));
    Ok(newest_first(opened.collect::<Result<_, _>>()?))
}

pub(super) fn run(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
    id: ErasureId,
) -> Result<Option<ErasureRun>, StorageError> {
    let runs = runs(sql, tenant, keyring)?;
    Ok(runs.into_iter().find(|run| run.id == id))
}

pub(super) fn put_run(applier: &Applier, sql: &Sql, run: &ErasureRun) -> Result<(), StorageError> {
    let body = seal_run(&applier.keyring, &*applier.random, run)?;
    sql.run_one(
        "erasure_run",
        "-- put_erasure
         UPDATE erasure_run SET body = ?3 WHERE tenant = ?1 AND run_id = ?2",
        (applier.tenant, run.id.as_bytes(), body),
    )
}

pub(super) fn holds(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
) -> Result<Vec<HoldRecord>, StorageError> {
    let rows: Vec<(PersonId, Vec<u8>)> = sql.rows(
        "hold",
        "-- holds
         SELECT person_id, body FROM hold WHERE tenant = ?1 ORDER BY person_id",
        [tenant],
        |row| Ok((PersonId::from_bytes(row.get(0)?), row.get(1)?)),
    )?;
    rows.iter()
        .map(|(person, body)| open_hold(keyring, *person, body))
        .collect()
}

/// One person's holds.
pub(super) fn person_holds(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
    person: PersonId,
) -> Result<Option<HoldRecord>, StorageError> {
    let body: Option<Vec<u8>> = sql.row(
        "hold",
        "-- holds_of_person
         SELECT body FROM hold WHERE tenant = ?1 AND person_id = ?2",
        (tenant, person.as_bytes()),
        |row| row.get(0),
    )?;
    body.map(|body| open_hold(keyring, person, &body))
        .transpose()
}

/// The places of all blank openings, ascending.
pub(super) fn blank_places(sql: &Sql, tenant: i64) -> Result<Vec<u64>, StorageError> {
    sql.rows(
        "log_entry",
        "-- blank_openings
         SELECT idx FROM log_entry WHERE tenant = ?1 AND opening_key = x'' ORDER BY idx",
        [tenant],
        |row| unsigned(row, 0),
    )
}

/// Those of these persons who have a key here and whom no open run has claimed: whoever is claimed has no tag.
pub(super) fn standing(
    sql: &Sql,
    tenant: i64,
    keyring: &Keyring,
    persons: Vec<PersonId>,
) -> Result<Vec<PersonId>, StorageError> {
    let mut found = Vec::new();
    let failed = reading("person");
    let mut statement = sql
        .prepare(
            "-- person_has_key
             SELECT 1 FROM person WHERE tenant = ?1 AND person_id = ?2",
        )
        .map_err(&failed)?;
    for person in persons {
        sql.count();
        if statement
            .exists((tenant, person.as_bytes()))
            .map_err(&failed)?
        {
            found.push(person);
        }
    }
    let runs = runs(sql, tenant, keyring)?;
    if found.is_empty() || !runs.iter().any(|run| run.stage == ErasureStage::Keys) {
        return Ok(found);
    }
    let claimed: HashSet<PersonId> = sql
        .rows(
            "erasure_person",
            "-- claimed_persons
             SELECT person_id FROM erasure_person WHERE tenant = ?1 AND step = 1
                AND person_id NOT IN (SELECT person_id FROM person_tag WHERE tenant = ?1)",
            [tenant],
            |row| row.get(0).map(PersonId::from_bytes),
        )?
        .into_iter()
        .collect();
    found.retain(|person| !claimed.contains(person));
    Ok(found)
}

/// The places of openings in these ranges that aren't blank.
pub(super) fn standing_openings(
    sql: &Sql,
    tenant: i64,
    ranges: &[(u64, u64)],
) -> Result<Vec<u64>, StorageError> {
    let mut found = Vec::new();
    for (from, below) in ranges {
        let standing: Vec<u64> = sql.rows(
            "log_entry",
            "-- standing_openings
             SELECT idx FROM log_entry WHERE tenant = ?1 AND idx >= ?2 AND idx < ?3 AND opening_key <> x''",
            (tenant, int(*from), int(*below)),
            |row| unsigned(row, 0),
        )?;
        found.extend(standing);
    }
    Ok(found)
}

pub(super) fn key_rows(
    sql: &Sql,
    tenant: i64,
    after: Option<PersonId>,
    count: u32,
) -> Result<Vec<PersonKeyRow>, StorageError> {
    // Every id is longer than the empty one, and so comes after it.
    let after = after.map_or(Vec::new(), |id| id.as_bytes().to_vec());
    sql.rows(
        "person",
        "-- persons_after
         SELECT person_id, wrapped_key, number FROM person
         WHERE tenant = ?1 AND person_id > ?2 ORDER BY person_id LIMIT ?3",
        (tenant, after, count),
        |row| {
            Ok(PersonKeyRow {
                id: PersonId::from_bytes(row.get(0)?),
                wrapped_key: row.get(1)?,
                number: row.get(2)?,
            })
        },
    )
}

pub(super) fn key_row(
    sql: &Sql,
    tenant: i64,
    person: PersonId,
) -> Result<Option<PersonKeyRow>, StorageError> {
    sql.row(
        "person",
        "-- person
         SELECT wrapped_key, number FROM person WHERE tenant = ?1 AND person_id = ?2",
        (tenant, person.as_bytes()),
        |row| {
            Ok(PersonKeyRow {
                id: person,
                wrapped_key: row.get(0)?,
                number: row.get(1)?,
            })
        },
    )
}

pub(super) fn sealed_span(
    sql: &Sql,
    tenant: i64,
    person: PersonKeyRow,
) -> Result<SealedSpan, StorageError> {
    let id = person.id;
    let revisions = sql.rows(
        "person_revision",
        "-- revisions_of_person
         SELECT revision, import_id, body FROM person_revision
         WHERE tenant = ?1 AND person_id = ?2 ORDER BY revision DESC",
        (tenant, id.as_bytes()),
        |row| {
            Ok(PersonRevisionRow {
                revision: unsigned(row, 0)?,
                import: ImportId::from_bytes(row.get(1)?),
                body: row.get(2)?,
            })
        },
    )?;
    let doses = sql.rows(
        "dose_revision",
        "-- doses_of_person
         SELECT dose_id, revision, import_id, body FROM dose_revision
         WHERE tenant = ?1 AND person_id = ?2 ORDER BY dose_id, revision DESC",
        (tenant, id.as_bytes()),
        |row| {
            Ok(DoseRevisionRow {
                dose: vrx_domain::DoseId::from_bytes(row.get(0)?),
                revision: unsigned(row, 1)?,
                import: ImportId::from_bytes(row.get(2)?),
                body: row.get(3)?,
            })
        },
    )?;
    Ok(SealedSpan {
        person,
        revisions,
        doses,
    })
}

pub(super) fn listed(sql: &Sql, tenant: i64, step: u8) -> Result<Vec<PersonId>, StorageError> {
    sql.rows(
        "erasure_person",
        "-- erasure_list
         SELECT person_id FROM erasure_person WHERE tenant = ?1 AND step = ?2 ORDER BY person_id LIMIT ?3",
        (tenant, step, ERASURE_STEP),
        |row| row.get(0).map(PersonId::from_bytes),
    )
}

pub(super) fn set_step(
    sql: &Sql,
    tenant: i64,
    persons: &[PersonId],
    step: u8,
) -> Result<(), StorageError> {
    let rows = persons
        .iter()
        .map(|person| (tenant, person.as_bytes(), step));
    sql.run_each(
        "-- set_erasure_step
         UPDATE erasure_person SET step = ?3 WHERE tenant = ?1 AND person_id = ?2",
        rows,
    )
    .map_err(failure)
}

/// Runs one statement for each person.
pub(super) fn each(
    sql: &Sql,
    tenant: i64,
    text: &str,
    persons: &[PersonId],
) -> Result<(), StorageError> {
    let rows = persons.iter().map(|person| (tenant, person.as_bytes()));
    sql.run_each(text, rows).map_err(failure)
}
