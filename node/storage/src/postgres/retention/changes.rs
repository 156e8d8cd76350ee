//! What an erasure changes together with an entry of the log: proposal, approval, end, holds.

use sqlx::Row as _;
use vrx_domain::{ErasureId, PersonId, Reference, UnixMillis};

use super::read::{person_holds, put_run, run, runs};
use crate::ChangeError;
use crate::change::Chunk;
use crate::hold::{HOLD, HoldRecord, seal_hold};
use crate::postgres::apply::{Applier, NotApplied, inserted};
use crate::postgres::failure::failure;
use crate::postgres::session::{Session, statement};
use crate::retention::{AT_OPENINGS, ErasureRun, ErasureStage, TAKEN, TOO_LATE, seal_run};

/// Nobody in a chunk may have been erased, or be about to be, since it was prepared. Steps of an erasure hold the log's head as a
/// batch does: neither sees the other half-way.
pub(in crate::postgres) async fn check_unclaimed(
    session: &mut Session,
    tenant: i32,
    chunk: &Chunk,
) -> Result<(), NotApplied> {
    let owners: Vec<[u8; 16]> = chunk.owners().iter().map(|id| *id.as_bytes()).collect();
    let count = i64::try_from(owners.len()).unwrap_or(i64::MAX);
    let stand = statement(
        "-- persons_stand
         SELECT count(p.person_id), count(e.step)
         FROM unnest($2::bytea[]) AS asked (person_id)
         LEFT JOIN LATERAL (
             SELECT person_id FROM person WHERE tenant = $1 AND person_id = asked.person_id LIMIT 1
         ) p ON true
         LEFT JOIN LATERAL (
             SELECT nullif(step, 0) AS step FROM erasure_person
             WHERE tenant = $1 AND person_id = asked.person_id LIMIT 1
         ) e ON true",
    )
    .bind(tenant)
    .bind(owners);
    let counted = session
        .row("person", stand, |row| {
            Ok((row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?))
        })
        .await?;
    if counted == Some((count, 0)) {
        Ok(())
    } else {
        Err(NotApplied::Refused(ChangeError::Conflict(TAKEN)))
    }
}

pub(in crate::postgres) async fn propose(
    applier: &Applier<'_>,
    session: &mut Session,
    run: &ErasureRun,
    persons: &[PersonId],
    replaces: Option<ErasureId>,
) -> Result<(), NotApplied> {
    let tenant = applier.tenant;
    let runs = runs(session, tenant, applier.keyring).await?;
    let gives_way = ErasureRun::gives_way(&runs, replaces).map_err(NotApplied::Refused)?;
    if let Some(withdrawn) = gives_way {
        let withdraw = statement(
            "-- withdraw_erasure
             DELETE FROM erasure_run WHERE tenant = $1 AND run_id = $2",
        )
        .bind(tenant)
        .bind(*withdrawn.as_bytes());
        session.run_one("erasure_run", withdraw).await?;
    }
    let clear = statement(
        "-- clear_erasure_list
         DELETE FROM erasure_person WHERE tenant = $1",
    )
    .bind(tenant);
    session.run(clear).await.map_err(|error| failure(&error))?;
    let body = seal_run(applier.keyring, applier.random, run)?;
    let add = statement(
        "-- propose_erasure
         INSERT INTO erasure_run (tenant, run_id, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(*run.id.as_bytes())
    .bind(body);
    inserted(session, "an erasure with this id", 1, add).await?;
    let ids: Vec<[u8; 16]> = persons.iter().map(|id| *id.as_bytes()).collect();
    let list = statement(
        "-- list_for_erasure
         INSERT INTO erasure_person (tenant, person_id, step)
         SELECT $1, person_id, 0 FROM unnest($2::bytea[]) AS p (person_id) ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(ids);
    inserted(session, "a person on the list", persons.len(), list).await
}

pub(in crate::postgres) async fn approve(
    applier: &Applier<'_>,
    session: &mut Session,
    id: ErasureId,
    by: &str,
    at: UnixMillis,
) -> Result<(), NotApplied> {
    let mut run = run(session, applier.tenant, applier.keyring, id)
        .await?
        .ok_or(NotApplied::Refused(ChangeError::NotFound("the erasure")))?;
    run.approve(by, at).map_err(NotApplied::Refused)?;
    put_run(session, applier, &run).await?;
    Ok(())
}

pub(in crate::postgres) async fn record(
    applier: &Applier<'_>,
    session: &mut Session,
    id: ErasureId,
    certificate: &str,
    entry: u64,
) -> Result<(), NotApplied> {
    let mut run = run(session, applier.tenant, applier.keyring, id)
        .await?
        .ok_or(NotApplied::Refused(ChangeError::NotFound("the erasure")))?;
    run.record(certificate, entry)
        .map_err(NotApplied::Refused)?;
    put_run(session, applier, &run).await?;
    Ok(())
}

pub(in crate::postgres) async fn settle(
    applier: &Applier<'_>,
    session: &mut Session,
    recorded: &ErasureRun,
) -> Result<(), NotApplied> {
    let tenant = applier.tenant;
    let mut run = run(session, tenant, applier.keyring, recorded.id)
        .await?
        .ok_or(NotApplied::Refused(ChangeError::NotFound("the erasure")))?;
    run.settle(recorded).map_err(NotApplied::Refused)?;
    put_run(session, applier, &run).await?;
    let runs = runs(session, tenant, applier.keyring).await?;
    if runs.iter().any(ErasureRun::is_open) {
        return Ok(());
    }
    let clear = statement(
        "-- clear_erasure_list
         DELETE FROM erasure_person WHERE tenant = $1",
    )
    .bind(tenant);
    let cleared = session.run(clear).await;
    cleared
        .map(drop)
        .map_err(|error| NotApplied::Failed(failure(&error)))
}

pub(in crate::postgres) async fn place_hold(
    applier: &Applier<'_>,
    session: &mut Session,
    record: &HoldRecord,
) -> Result<(), NotApplied> {
    let (tenant, person) = (applier.tenant, *record.person.as_bytes());
    let stands = statement(
        "-- person_to_hold
         SELECT (SELECT step FROM erasure_person WHERE tenant = $1 AND person_id = $2)
         FROM person WHERE tenant = $1 AND person_id = $2",
    )
    .bind(tenant)
    .bind(person);
    let stands = session
        .row("person", stands, |row| row.try_get::<Option<i16>, _>(0))
        .await?;
    let refused = match stands {
        None => Some(ChangeError::NotFound("the person")),
        Some(Some(1..)) => Some(ChangeError::State(TOO_LATE)),
        Some(_) => None,
    };
    if let Some(why) = refused {
        return Err(NotApplied::Refused(why));
    }
    let runs = runs(session, tenant, applier.keyring).await?;
    if runs.iter().any(|run| run.stage == ErasureStage::Openings) {
        return Err(NotApplied::Refused(ChangeError::State(AT_OPENINGS)));
    }
    let stands = person_holds(session, tenant, applier.keyring, record.person).await?;
    let joined = match stands {
        None => record.clone(),
        Some(mut stands) => {
            stands.join(record).map_err(NotApplied::Refused)?;
            stands
        }
    };
    put_holds(applier, session, &joined).await
}

/// The batch holds the log's head, so no other process puts a person's holds between reading and writing them.
async fn put_holds(
    applier: &Applier<'_>,
    session: &mut Session,
    record: &HoldRecord,
) -> Result<(), NotApplied> {
    let body = seal_hold(applier.keyring, applier.random, record)?;
    let put = statement(
        "-- put_holds
         INSERT INTO hold (tenant, person_id, body) VALUES ($1, $2, $3)
         ON CONFLICT (tenant, person_id) DO UPDATE SET body = excluded.body",
    )
    .bind(applier.tenant)
    .bind(*record.person.as_bytes())
    .bind(body);
    session.run_one("hold", put).await?;
    Ok(())
}

pub(in crate::postgres) async fn lift_hold(
    applier: &Applier<'_>,
    session: &mut Session,
    person: PersonId,
    reference: &Reference,
) -> Result<(), NotApplied> {
    let stands = person_holds(session, applier.tenant, applier.keyring, person).await?;
    let mut stands = stands.ok_or(NotApplied::Refused(ChangeError::NotFound(HOLD)))?;
    stands.lift(reference).map_err(NotApplied::Refused)?;
    if !stands.holds.is_empty() {
        return put_holds(applier, session, &stands).await;
    }
    let lift = statement(
        "-- lift_last_hold
         DELETE FROM hold WHERE tenant = $1 AND person_id = $2",
    )
    .bind(applier.tenant)
    .bind(*person.as_bytes());
    session.run_one("hold", lift).await?;
    Ok(())
}
