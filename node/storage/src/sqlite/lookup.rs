//! The exchange's lookups: four statements each, whoever is asked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Row, params_from_iter};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vrx_crypto::Tags;
use vrx_domain::{DoseId, ImportId, PersonId};

use super::queue::Queue;
use super::register_version::{Reading, RegisterVersion};
use super::sql::{Sql, failure, reading, unsigned};
use crate::StorageError;
use crate::decoys::DECOY_IMPORT;
use crate::sealed::{DoseRevisionRow, PersonKeyRow, PersonRevisionRow, SealedLookup};

/// Lookups taken from the queue at once.
const BATCH: usize = 64;

/// A transaction is kept no longer than this when nobody asks.
const IDLE: Duration = Duration::from_millis(2);

/// Imports that are approved. One process owns the database, so memory knows: read at open (from sealed rows, so that
/// nobody approves by editing a column), added to when an approval has been committed.
pub(super) struct ApprovedImports(RwLock<Arc<HashSet<ImportId>>>);

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

/// A read transaction that is kept over the log's commits, with what was approved when it began.
struct Kept<'a> {
    reading: Reading<'a>,
    approved: Arc<HashSet<ImportId>>,
}

/// A reader thread's life: all lookups that have arrived, then the next. Its transaction lasts until the register changes
/// or nobody asks for a moment.
pub(super) fn serve_lookups(
    sql: &Sql,
    tenant: i64,
    approved: &ApprovedImports,
    register: &RegisterVersion,
    runtime: &Handle,
    queue: &Queue<LookupRequest>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut kept: Option<Kept<'_>> = None;
    loop {
        let taken = match kept {
            Some(_) => queue.take_within(IDLE, BATCH, &mut batch),
            None => queue.take(BATCH, &mut batch),
        };
        let over = taken.is_none() || batch.is_empty();
        if let Some(old) = kept.take_if(|kept| over || !register.is_current(&kept.reading)) {
            end(sql, tenant, old);
        }
        if taken.is_none() {
            return;
        }
        if !batch.is_empty() {
            if kept.is_none() {
                kept = match begin(sql, approved, register) {
                    Ok(begun) => Some(begun),
                    Err(error) => {
                        refuse(&mut batch, &error);
                        continue;
                    }
                };
            }
            // After an error SQLite may have ended the transaction itself: what isn't whole is not kept.
            if let Some(old) =
                kept.take_if(|kept| !answer(sql, tenant, &kept.approved, runtime, &mut batch))
            {
                end(sql, tenant, old);
            }
        }
    }
}

fn begin<'a>(
    sql: &Sql,
    approved: &ApprovedImports,
    register: &'a RegisterVersion,
) -> Result<Kept<'a>, StorageError> {
    let reading = register.read();
    // Taken before the transaction begins: an import that is approved in it was whole when the transaction began.
    let approved = approved.snapshot();
    sql.begin_reading()?;
    Ok(Kept { reading, approved })
}

fn end(sql: &Sql, tenant: i64, kept: Kept<'_>) {
    if let Err(error) = sql.end_reading() {
        tracing::warn!(tenant, %error, "a read transaction couldn't be ended");
    }
    // Only now may the write-ahead log be emptied under it.
    drop(kept);
}

/// Answers a batch; says whether every lookup of it could be read.
fn answer(
    sql: &Sql,
    tenant: i64,
    approved: &HashSet<ImportId>,
    runtime: &Handle,
    batch: &mut Vec<LookupRequest>,
) -> bool {
    let mut finder = match Finder::new(sql, tenant, approved) {
        Ok(finder) => finder,
        Err(error) => {
            refuse(batch, &error);
            return false;
        }
    };
    let found: Vec<_> = batch
        .drain(..)
        .map(|request| (finder.find(&request.tags, &request.decoy), request.reply))
        .collect();
    let whole = found.iter().all(|(answer, _)| answer.is_ok());
    reply(runtime, found);
    whole
}

type Reply = oneshot::Sender<Result<SealedLookup, StorageError>>;

/// Hands a batch over at once: waking tasks one by one from outside the runtime costs a system call each.
fn reply(runtime: &Handle, found: Vec<(Result<SealedLookup, StorageError>, Reply)>) {
    let send = |found: Vec<(_, Reply)>| {
        for (answer, reply) in found {
            // Whoever asked may have gone meanwhile; then the answer is dropped.
            drop(reply.send(answer));
        }
    };
    if found.len() == 1 {
        send(found);
    } else {
        drop(runtime.spawn(async move { send(found) }));
    }
}

fn refuse(batch: &mut Vec<LookupRequest>, error: &StorageError) {
    for request in batch.drain(..) {
        drop(request.reply.send(Err(error.clone())));
    }
}

/// The four statements of a lookup, prepared once a batch.
pub(super) struct Finder<'a> {
    sql: &'a Sql,
    tenant: i64,
    approved: &'a HashSet<ImportId>,
    by_tag: CachedStatement<'a>,
    person: CachedStatement<'a>,
    revisions: CachedStatement<'a>,
    doses: CachedStatement<'a>,
}

type Revisions = (Option<PersonRevisionRow>, Vec<PersonRevisionRow>);

impl<'a> Finder<'a> {
    pub(super) fn new(
        sql: &'a Sql,
        tenant: i64,
        approved: &'a HashSet<ImportId>,
    ) -> Result<Self, StorageError> {
        let prepare = |text| sql.prepare(text).map_err(failure);
        Ok(Self {
            sql,
            tenant,
            approved,
            by_tag: prepare(
                "-- person_by_tag
                 SELECT person_id FROM person_tag
                 WHERE tenant = ?1 AND kind = 1 AND key_id = ?2 AND tag = ?3",
            )?,
            person: prepare(
                "-- person_from
                 SELECT person_id, wrapped_key, number FROM person
                 WHERE tenant = ?1 AND person_id >= ?2 ORDER BY person_id LIMIT 1",
            )?,
            revisions: prepare(
                "-- revisions_of_person
                 SELECT revision, import_id, body FROM person_revision
                 WHERE tenant = ?1 AND person_id = ?2 ORDER BY revision DESC",
            )?,
            doses: prepare(
                "-- doses_of_person
                 SELECT dose_id, revision, import_id, body FROM dose_revision
                 WHERE tenant = ?1 AND person_id = ?2 ORDER BY dose_id, revision DESC",
            )?,
        })
    }

    /// Reads the person a tag leads to; when it leads nowhere, the next one after a random place, in the same way.
    pub(super) fn find(
        &mut self,
        tags: &Tags,
        decoy: &[u8; 16],
    ) -> Result<SealedLookup, StorageError> {
        let tagged = self.person_of(tags)?;
        let person = self.person_from(tagged.as_ref().map_or(decoy, PersonId::as_bytes))?;
        let (approved, entered) = self.revisions_of(&person.id)?;
        let doses = self.doses_of(&person.id)?;
        Ok(SealedLookup {
            tagged,
            person,
            approved,
            entered,
            doses,
        })
    }

    fn person_of(&mut self, tags: &Tags) -> Result<Option<PersonId>, StorageError> {
        let mut live = tags.live();
        let (Some((key, tag)), None) = (live.next(), live.next()) else {
            return self.person_of_any(tags);
        };
        let failed = reading("person_tag");
        self.sql.count();
        let mut rows = self
            .by_tag
            .query((self.tenant, key.0, tag.0))
            .map_err(&failed)?;
        let read = |row: &Row<'_>| row.get(0).map(PersonId::from_bytes);
        rows.next()
            .and_then(|row| row.map(read).transpose())
            .map_err(&failed)
    }

    /// While tags are rewritten under a new key, all live versions go into one statement.
    fn person_of_any(&self, tags: &Tags) -> Result<Option<PersonId>, StorageError> {
        let mut params: Vec<Value> = vec![self.tenant.into()];
        let mut versions = Vec::new();
        for (key, tag) in tags.live() {
            versions.push(format!("(?{}, ?{})", params.len() + 1, params.len() + 2));
            params.extend([Value::from(key.0), Value::from(tag.0.to_vec())]);
        }
        let text = format!(
            "-- person_by_tags
             SELECT person_id FROM person_tag
             WHERE tenant = ?1 AND kind = 1 AND (key_id, tag) IN (VALUES {}) LIMIT 1",
            versions.join(", ")
        );
        self.sql
            .row("person_tag", &text, params_from_iter(params), |row| {
                row.get(0).map(PersonId::from_bytes)
            })
    }

    /// The person at a place, or the next one: there is always one, the decoy at ff..ff.
    fn person_from(&mut self, place: &[u8; 16]) -> Result<PersonKeyRow, StorageError> {
        let failed = reading("person");
        self.sql.count();
        let mut rows = self.person.query((self.tenant, place)).map_err(&failed)?;
        let row = rows
            .next()
            .map_err(&failed)?
            .ok_or(StorageError::Inconsistent {
                table: "person",
                column: "person_id",
                row: "no decoy".to_owned(),
            })?;
        let read = || -> rusqlite::Result<_> {
            let id = PersonId::from_bytes(row.get(0)?);
            Ok(PersonKeyRow {
                id,
                wrapped_key: row.get(1)?,
                number: row.get(2)?,
            })
        };
        read().map_err(&failed)
    }

    /// The newest approved revision, and those above it that aren't approved.
    fn revisions_of(&mut self, person: &PersonId) -> Result<Revisions, StorageError> {
        let failed = reading("person_revision");
        self.sql.count();
        let mut rows = self
            .revisions
            .query((self.tenant, person.as_bytes()))
            .map_err(&failed)?;
        let mut entered = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let read = || -> rusqlite::Result<_> {
                let import = ImportId::from_bytes(row.get(1)?);
                Ok(PersonRevisionRow {
                    revision: unsigned(row, 0)?,
                    import,
                    body: row.get(2)?,
                })
            };
            let revision = read().map_err(&failed)?;
            if self.approved.contains(&revision.import) {
                return Ok((Some(revision), entered));
            }
            entered.push(revision);
        }
        Ok((None, entered))
    }

    /// The newest approved revision of each dose.
    fn doses_of(&mut self, person: &PersonId) -> Result<Vec<DoseRevisionRow>, StorageError> {
        let failed = reading("dose_revision");
        self.sql.count();
        let mut rows = self
            .doses
            .query((self.tenant, person.as_bytes()))
            .map_err(&failed)?;
        let mut doses: Vec<DoseRevisionRow> = Vec::with_capacity(4);
        while let Some(row) = rows.next().map_err(&failed)? {
            let dose = DoseId::from_bytes(row.get(0).map_err(&failed)?);
            let import = ImportId::from_bytes(row.get(2).map_err(&failed)?);
            let have = doses.last().is_some_and(|last| last.dose == dose);
            if !have && self.approved.contains(&import) {
                let read = || -> rusqlite::Result<_> {
                    let revision = unsigned(row, 1)?;
                    Ok(DoseRevisionRow {
                        dose,
                        revision,
                        import,
                        body: row.get(3)?,
                    })
                };
                doses.push(read().map_err(&failed)?);
            }
        }
        Ok(doses)
    }
}
