//! What an erasure changes together with an entry of the log: proposal, approval, end, holds.

use vrx_domain::{ErasureId, PersonId, Reference, UnixMillis};

use super::read::{person_holds, put_run, run, runs};
use crate::ChangeError;
use crate::change::Chunk;
use crate::hold::{HOLD, HoldRecord, seal_hold};
use crate::retention::{AT_OPENINGS, ErasureRun, ErasureStage, TAKEN, TOO_LATE, seal_run};
use crate::sqlite::apply::{Applier, NotApplied, inserted};
use crate::sqlite::sql::{Sql, failure, reading};

/// Nobody in a chunk may have been erased, or be about to be, since it was prepared. Where nothing was ever erased nobody was.
pub(in crate::sqlite) fn check_unclaimed(
    sql: &Sql,
    tenant: i64,
    chunk: &Chunk,
) -> Result<(), NotApplied> {
    let ever = sql.row(
        "erasure_run",
        "-- erasures_ever
         SELECT 1 FROM erasure_run WHERE tenant = ?1 LIMIT 1",
        [tenant],
        |_| Ok(()),
    )?;
    if ever.is_none() {
        return Ok(());
    }
    let failed = reading("person");
    let mut statement = sql
        .prepare(
            "-- person_stands
             SELECT 1 FROM person p WHERE p.tenant = ?1 AND p.person_id = ?2 AND NOT EXISTS (
                 SELECT 1 FROM erasure_person e WHERE e.tenant = ?1 AND e.person_id = ?2 AND e.step > 0)",
        )
        .map_err(&failed)?;
    for owner in chunk.owners() {
        sql.count();
        if !statement
            .exists((tenant, owner.as_bytes()))
            .map_err(&failed)?
        {
            return Err(NotApplied::Refused(ChangeError::Conflict(TAKEN)));
        }
    }
    Ok(())
}

pub(in crate::sqlite) fn propose(
    applier: &Applier,
    sql: &Sql,
    run: &ErasureRun,
    persons: &[PersonId],
    replaces: Option<ErasureId>,
) -> Result<(), NotApplied> {
    let tenant = applier.tenant;
    let runs = runs(sql, tenant, &applier.keyring)?;
    let gives_way = ErasureRun::gives_way(&runs, replaces).map_err(NotApplied::Refused)?;
    if let Some(withdrawn) = gives_way {
        sql.run_one(
            "erasure_run",
            "-- withdraw_erasure
             DELETE FROM erasure_run WHERE tenant = ?1 AND run_id = ?2",
            (tenant, withdrawn.as_bytes()),
        )?;
    }
    sql.run(
        "-- clear_erasure_list
         DELETE FROM erasure_person WHERE tenant = ?1",
        [tenant],
    )
    .map_err(failure)?;
    let body = seal_run(&applier.keyring, &*applier.random, run)?;
    let added = sql.run(
        "-- propose_erasure
         INSERT INTO erasure_run (tenant, run_id, body) VALUES (?1, ?2, ?3)",
        (tenant, run.id.as_bytes(), body),
    );
    inserted("an erasure with this id", added)?;
    let listed = sql.run_each(
        "-- list_for_erasure
         INSERT INTO erasure_person (tenant, person_id, step) VALUES (?1, ?2, 0)",
        persons.iter().map(|person| (tenant, person.as_bytes())),
    );
    inserted("a person on the list", listed)
}

pub(in crate::sqlite) fn approve(
    applier: &Applier,
    sql: &Sql,
    id: ErasureId,
    by: &str,
    at: UnixMillis,
) -> Result<(), NotApplied> {
    let mut run = run(sql, applier.tenant, &applier.keyring, id)?
        .ok_or(NotApplied::Refused(ChangeError::NotFound("the erasure")))?;
    run.approve(by, at).map_err(NotApplied::Refused)?;
    put_run(applier, sql, &run)?;
    Ok(())
}

pub(in crate::sqlite) fn record(
    applier: &Applier,
    sql: &Sql,
    id: ErasureId,
    certificate: &str,
    entry: u64,
) -> Result<(), NotApplied> {
    let mut run = run(sql, applier.tenant, &applier.keyring, id)?
        .ok_or(NotApplied::Refused(ChangeError::NotFound("the erasure")))?;
    run.record(certificate, entry)
        .map_err(NotApplied::Refused)?;
    put_run(applier, sql, &run)?;
    Ok(())
}

pub(in crate::sqlite) fn settle(
    applier: &Applier,
    sql: &Sql,
    recorded: &ErasureRun,
) -> Result<(), NotApplied> {
    let tenant = applier.tenant;
    let mut run = run(sql, tenant, &applier.keyring, recorded.id)?
        .ok_or(NotApplied::Refused(ChangeError::NotFound("the erasure")))?;
    run.settle(recorded).map_err(NotApplied::Refused)?;
    put_run(applier, sql, &run)?;
    if runs(sql, tenant, &applier.keyring)?
        .iter()
        .any(ErasureRun::is_open)
    {
        return Ok(());
    }
    sql.run(
        "-- clear_erasure_list
         DELETE FROM erasure_person WHERE tenant = ?1",
        [tenant],
    )
    .map(drop)
    .map_err(|error| NotApplied::Failed(failure(error)))
}

pub(in crate::sqlite) fn place_hold(
    applier: &Applier,
    sql: &Sql,
    record: &HoldRecord,
) -> Result<(), NotApplied> {
    let (tenant, person) = (applier.tenant, record.person.as_bytes());
    let stands = sql.row(
        "person",
        "-- person_to_hold
         SELECT (SELECT step FROM erasure_person WHERE tenant = ?1 AND person_id = ?2)
         FROM person WHERE tenant = ?1 AND person_id = ?2",
        (tenant, person),
        |row| row.get::<_, Option<i64>>(0),
    )?;
    let refused = match stands {
        None => Some(ChangeError::NotFound("the person")),
        Some(Some(1..)) => Some(ChangeError::State(TOO_LATE)),
        Some(_) => None,
    };
    if let Some(why) = refused {
        return Err(NotApplied::Refused(why));
    }
    let runs = runs(sql, tenant, &applier.keyring)?;
    if runs.iter().any(|run| run.stage == ErasureStage::Openings) {
        return Err(NotApplied::Refused(ChangeError::State(AT_OPENINGS)));
    }
    let stands = person_holds(sql, tenant, &applier.keyring, record.person)?;
    let joined = match stands {
        None => record.clone(),
        Some(mut stands) => {
            stands.join(record).map_err(NotApplied::Refused)?;
            stands
        }
    };
    put_holds(applier, sql, &joined)
}

fn put_holds(applier: &Applier, sql: &Sql, record: &HoldRecord) -> Result<(), NotApplied> {
    let body = seal_hold(&applier.keyring, &*applier.random, record)?;
    sql.run(
        "-- put_holds
         INSERT INTO hold (tenant, person_id, body) VALUES (?1, ?2, ?3)
         ON CONFLICT (tenant, person_id) DO UPDATE SET body = excluded.body",
        (applier.tenant, record.person.as_bytes(), body),
    )
    .map(drop)
    .map_err(|error| NotApplied::Failed(failure(error)))
}

pub(in crate::sqlite) fn lift_hold(
    applier: &Applier,
    sql: &Sql,
    person: PersonId,
    reference: &Reference,
) -> Result<(), NotApplied> {
    let stands = person_holds(sql, applier.tenant, &applier.keyring, person)?;
    let mut stands = stands.ok_or(NotApplied::Refused(ChangeError::NotFound(HOLD)))?;
    stands.lift(reference).map_err(NotApplied::Refused)?;
    if !stands.holds.is_empty() {
        return put_holds(applier, sql, &stands);
    }
    sql.run(
        "-- lift_last_hold
         DELETE FROM hold WHERE tenant = ?1 AND person_id = ?2",
        (applier.tenant, person.as_bytes()),
    )
    .map(drop)
    .map_err(|error| NotApplied::Failed(failure(error)))
}
