//! The list that a run works through. Whoever writes the database can write it too: it says whose turn it is, and decides nothing.

use sqlx::Row as _;
use vrx_domain::PersonId;

use super::read::bytes;
use crate::StorageError;
use crate::postgres::failure::failure;
use crate::postgres::session::{Session, statement};
use crate::retention::ERASURE_STEP;
use crate::sealed::inconsistent;

/// Whoever the list says is destroyed and has a key is listed from the beginning; says whether anybody is. A step that there isn't
/// is nothing that this node wrote.
pub(super) async fn set_back(session: &mut Session, tenant: i32) -> Result<bool, StorageError> {
    let unknown = statement(
        "-- unknown_step
         SELECT person_id FROM erasure_person WHERE tenant = $1 AND step NOT BETWEEN 0 AND 3 LIMIT 1",
    )
    .bind(tenant);
    let unknown = session.row("erasure_person", unknown, |row| {
        row.try_get(0).map(PersonId::from_bytes)
    });
    if let Some(person) = unknown.await? {
        return Err(inconsistent("erasure_person", "step", &person));
    }
    let set = statement(
        "-- set_erasure_back
         UPDATE erasure_person e SET step = 0 WHERE e.tenant = $1 AND e.step > 1 AND EXISTS (
             SELECT FROM person p WHERE p.tenant = $1 AND p.person_id = e.person_id)",
    )
    .bind(tenant);
    let set = session.run(set).await;
    set.map(|rows| rows > 0).map_err(|error| failure(&error))
}

/// Whoever the list says has no rows left, and has some, is one whose key is destroyed; says whether anybody is.
pub(super) async fn set_back_to_rows(
    session: &mut Session,
    tenant: i32,
) -> Result<bool, StorageError> {
    let set = statement(
        "-- set_erasure_back_to_rows
         UPDATE erasure_person e SET step = 2 WHERE e.tenant = $1 AND e.step = 3 AND (
             EXISTS (SELECT FROM person_revision r WHERE r.tenant = $1 AND r.person_id = e.person_id)
             OR EXISTS (SELECT FROM dose_revision r WHERE r.tenant = $1 AND r.person_id = e.person_id))",
    )
    .bind(tenant);
    let set = session.run(set).await;
    set.map(|rows| rows > 0).map_err(|error| failure(&error))
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

pub(super) async fn set_step(
    session: &mut Session,
    tenant: i32,
    persons: &[PersonId],
    step: i16,
) -> Result<(), StorageError> {
    let set = statement(
        "-- set_erasure_step
         UPDATE erasure_person SET step = $3 WHERE tenant = $1 AND person_id = ANY ($2)",
    )
    .bind(tenant)
    .bind(bytes(persons))
    .bind(step);
    let set = session.run(set).await;
    set.map(drop).map_err(|error| failure(&error))
}
