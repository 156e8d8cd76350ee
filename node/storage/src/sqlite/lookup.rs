//! The exchange's lookups: three statements each, whoever is asked for.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use tokio::sync::oneshot;
use vrx_crypto::Tags;
use vrx_domain::{DoseId, ImportId, PersonId};

use super::queue::Queue;
use super::sql::{Sql, reading, unsigned};
use crate::StorageError;
use crate::sealed::{DoseRevisionRow, PersonKeyRow, PersonRevisionRow, SealedLookup};

/// Lookups answered in one read transaction.
const BATCH: usize = 64;

/// Imports that are approved. One process owns the database, so memory knows: read at open (from sealed rows, so that
/// nobody approves by editing a column), added to when an approval has been committed.
pub(super) struct ApprovedImports(RwLock<Arc<HashSet<ImportId>>>);

/// The import that decoys came with: nobody's, and always approved, so that a decoy is opened like a person.
pub(super) const DECOY_IMPORT: ImportId = ImportId::from_bytes([0; 16]);

impl ApprovedImports {
    pub(super) fn new(mut approved: HashSet<ImportId>) -> Self {
        approved.insert(DECOY_IMPORT);
        Self(RwLock::new(Arc::new(approved)))
    }

    pub(super) fn snapshot(&self) -> Arc<HashSet<ImportId>> {
        self.0.read().clone()
    }

    pub(super) fn add(&self, imports: &[ImportId]) {
        if !imports.is_empty() {
            Arc::make_mut(&mut *self.0.write()).extend(imports);
        }
    }
}

/// One lookup on its way to a reader.
pub(super) struct LookupRequest {
    pub(super) tags: Tags,
    /// A random place in the table of persons: whoever stands there is the decoy.
    pub(super) decoy: [u8; 16],
    pub(super) reply: oneshot::Sender<Result<SealedLookup, StorageError>>,
}

/// A reader thread's life: all lookups that have arrived, in one short transaction; then the next.
pub(super) fn serve_lookups(
    sql: &Sql,
    tenant: i64,
    approved: &ApprovedImports,
    queue: &Queue<LookupRequest>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.take(BATCH, &mut batch).is_some() {
        let mut answered = Vec::with_capacity(batch.len());
        // Taken before the transaction begins: an import that is approved in it was whole when the transaction began.
        let known = approved.snapshot();
        let ended = sql.snapshot(|sql| {
            answered.extend(
                batch
                    .iter()
                    .map(|request| find(sql, tenant, &known, request)),
            );
            Ok(())
        });
        for (at, request) in batch.drain(..).enumerate() {
            let answer = match &ended {
                Ok(()) => answered
                    .get_mut(at)
                    .map(|answer| std::mem::replace(answer, Err(StorageError::Closed))),
                Err(error) => Some(Err(error.clone())),
            };
            // Whoever asked may have gone meanwhile; then the answer is dropped.
            drop(
                request
                    .reply
                    .send(answer.unwrap_or(Err(StorageError::Closed))),
            );
        }
    }
}

fn find(
    sql: &Sql,
    tenant: i64,
    approved: &HashSet<ImportId>,
    request: &LookupRequest,
) -> Result<SealedLookup, StorageError> {
    let (tagged, person) = person_by_tag(sql, tenant, request)?;
    let (current, entered) = revisions(sql, tenant, &person.id, approved)?;
    let doses = approved_doses(sql, tenant, &person.id, approved)?;
    Ok(SealedLookup {
        tagged,
        person,
        approved: current,
        entered,
        doses,
    })
}

/// The person a tag leads to, or the next one after a random place: found in one statement, so that the database does the
/// same for both. There is always a next one: the decoy at ff..ff.
fn person_by_tag(
    sql: &Sql,
    tenant: i64,
    request: &LookupRequest,
) -> Result<(Option<PersonId>, PersonKeyRow), StorageError> {
    const ONE_KEY: &str = "-- person_by_tag
        WITH tagged (person_id) AS MATERIALIZED (
            SELECT (SELECT person_id FROM person_tag
                    WHERE tenant = ?1 AND kind = 1 AND key_id = ?2 AND tag = ?3))
        SELECT tagged.person_id, person.person_id, wrapped_key, number
        FROM tagged CROSS JOIN person
        WHERE tenant = ?1 AND person.person_id >= coalesce(tagged.person_id, ?4)
        ORDER BY person.person_id LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        let tagged: Option<[u8; 16]> = row.get(0)?;
        let person = PersonKeyRow {
            id: PersonId::from_bytes(row.get(1)?),
            wrapped_key: row.get(2)?,
            number: row.get(3)?,
        };
        Ok((tagged.map(PersonId::from_bytes), person))
    };
    let mut live = request.tags.live();
    let found = if let (Some((key, tag)), None) = (live.next(), live.next()) {
        sql.row(
            "person",
            ONE_KEY,
            (tenant, key.0, tag.0, request.decoy),
            read,
        )
    } else {
        // While tags are rewritten under a new key, all live versions go into one statement.
        let mut params: Vec<Value> = vec![tenant.into(), request.decoy.to_vec().into()];
        let mut versions = Vec::new();
        for (key, tag) in request.tags.live() {
            versions.push(format!("(?{}, ?{})", params.len() + 1, params.len() + 2));
            params.extend([Value::from(key.0), Value::from(tag.0.to_vec())]);
        }
        sql.row(
            "person",
            &any_key(&versions.join(", ")),
            params_from_iter(params),
            read,
        )
    }?;
    found.ok_or(StorageError::Inconsistent {
        table: "person",
        column: "person_id",
        row: "no decoy".to_owned(),
    })
}

fn any_key(versions: &str) -> String {
    format!(
        "-- person_by_tags
        WITH tagged (person_id) AS MATERIALIZED (
            SELECT (SELECT person_id FROM person_tag
                    WHERE tenant = ?1 AND kind = 1 AND (key_id, tag) IN (VALUES {versions}) LIMIT 1))
        SELECT tagged.person_id, person.person_id, wrapped_key, number
        FROM tagged CROSS JOIN person
        WHERE tenant = ?1 AND person.person_id >= coalesce(tagged.person_id, ?2)
        ORDER BY person.person_id LIMIT 1"
    )
}

type Revisions = (Option<PersonRevisionRow>, Option<PersonRevisionRow>);

/// The newest approved revision, and the newest one above it that isn't approved.
fn revisions(
    sql: &Sql,
    tenant: i64,
    person: &PersonId,
    approved: &HashSet<ImportId>,
) -> Result<Revisions, StorageError> {
    let failed = reading("person_revision");
    let mut statement = sql
        .statement(
            "-- revisions_of_person
             SELECT revision, import_id, body FROM person_revision
             WHERE tenant = ?1 AND person_id = ?2 ORDER BY revision DESC",
        )
        .map_err(&failed)?;
    let mut rows = statement
        .query((tenant, person.as_bytes()))
        .map_err(&failed)?;
    let mut entered = None;
    while let Some(row) = rows.next().map_err(&failed)? {
        let import = ImportId::from_bytes(row.get(1).map_err(&failed)?);
        let is_approved = approved.contains(&import);
        if is_approved || entered.is_none() {
            let read = || -> rusqlite::Result<_> {
                Ok(PersonRevisionRow {
                    revision: unsigned(row, 0)?,
                    import,
                    body: row.get(2)?,
                })
            };
            let revision = Some(read().map_err(&failed)?);
            if is_approved {
                return Ok((revision, entered));
            }
            entered = revision;
        }
    }
    Ok((None, entered))
}

/// The newest approved revision of each dose.
fn approved_doses(
    sql: &Sql,
    tenant: i64,
    person: &PersonId,
    approved: &HashSet<ImportId>,
) -> Result<Vec<DoseRevisionRow>, StorageError> {
    let failed = reading("dose_revision");
    let mut statement = sql
        .statement(
            "-- doses_of_person
             SELECT dose_id, revision, import_id, body FROM dose_revision
             WHERE tenant = ?1 AND person_id = ?2 ORDER BY dose_id, revision DESC",
        )
        .map_err(&failed)?;
    let mut rows = statement
        .query((tenant, person.as_bytes()))
        .map_err(&failed)?;
    let mut doses: Vec<DoseRevisionRow> = Vec::with_capacity(4);
    while let Some(row) = rows.next().map_err(&failed)? {
        let dose = DoseId::from_bytes(row.get(0).map_err(&failed)?);
        let import = ImportId::from_bytes(row.get(2).map_err(&failed)?);
        let have = doses.last().is_some_and(|last| last.dose == dose);
        if !have && approved.contains(&import) {
            let read = || -> rusqlite::Result<_> {
                Ok(DoseRevisionRow {
                    dose,
                    revision: unsigned(row, 1)?,
                    import,
                    body: row.get(3)?,
                })
            };
            doses.push(read().map_err(&failed)?);
        }
    }
    Ok(doses)
}
