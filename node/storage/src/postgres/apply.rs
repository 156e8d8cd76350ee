//! Changes, inside the batch's transaction: each checks that what it was prepared against still stands.

use vrx_crypto::{Context, Keyring};
use vrx_domain::{ImportId, Random, UnixMillis};

use super::failure::failure;
use super::log::int;
use super::receipts;
use super::register::import;
use super::retention;
use super::session::{Session, Statement, statement};
use crate::body::encode_import;
use crate::change::{Chunk, Op, SealedDoseRevision, SealedInquiry, SealedPersonRevision};
use crate::registry::{ImportHeader, ImportRecord, PeerCheckpoint};
use crate::{ChangeError, StorageError};

/// Why a change wasn't applied: refused (the batch goes on without it), or the database failed (the batch is over).
pub(super) enum NotApplied {
    Refused(ChangeError),
    Failed(StorageError),
}

impl From<StorageError> for NotApplied {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

/// Applies changes of one batch.
pub(super) struct Applier<'a> {
    pub(super) tenant: i32,
    pub(super) keyring: &'a Keyring,
    pub(super) random: &'a dyn Random,
}

impl Applier<'_> {
    /// Applies one change; `log_index` is the index that its entry is going to have.
    pub(super) async fn apply(
        &self,
        session: &mut Session,
        op: &Op,
        log_index: u64,
    ) -> Result<(), NotApplied> {
        match op {
            Op::All(ops) => {
                for op in ops {
                    Box::pin(self.apply(session, op, log_index)).await?;
                }
                Ok(())
            }
            Op::CreateImport(header) => self.create_import(session, header).await,
            Op::Chunk(chunk) => self.chunk(session, chunk, log_index).await,
            Op::ApproveImport { import, by, at } => self.approve(session, *import, by, *at).await,
            Op::PutInquiry(inquiry) => self.put_inquiry(session, inquiry).await,
            Op::KeepPeerCheckpoint(checkpoint) => self.keep_checkpoint(session, checkpoint).await,
            Op::KeepReceipt(receipt) => receipts::keep(session, self.tenant, receipt).await,
            Op::RecoverEntry(entry) => {
                receipts::recover(session, self.tenant, entry, log_index).await
            }
            Op::RecoveryAnswered(answer) => {
                receipts::answered(session, self.tenant, answer, log_index).await
            }
            Op::ProposeErasure {
                run,
                persons,
                replaces,
            } => retention::propose(self, session, run, persons, *replaces).await,
            Op::ApproveErasure { run, by, at } => {
                retention::approve(self, session, *run, by, *at).await
            }
            Op::RecordErasure { run, certificate } => {
                retention::record(self, session, *run, certificate, log_index).await
            }
            Op::SettleErasure(recorded) => retention::settle(self, session, recorded).await,
            Op::PlaceHold(record) => retention::place_hold(self, session, record).await,
            Op::LiftHold(person, reference) => {
                retention::lift_hold(self, session, *person, reference).await
            }
        }
    }

    async fn create_import(
        &self,
        session: &mut Session,
        header: &ImportHeader,
    ) -> Result<(), NotApplied> {
        let record = ImportRecord::entered(header);
        let body = self.seal_import(&record)?;
        let create = statement(
            "-- create_import
             INSERT INTO import (tenant, import_id, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(self.tenant)
        .bind(*header.id.as_bytes())
        .bind(body);
        inserted(session, "an import with this id", 1, create).await
    }

    async fn approve(
        &self,
        session: &mut Session,
        id: ImportId,
        by: &str,
        at: UnixMillis,
    ) -> Result<(), NotApplied> {
        let mut record = self.import(session, id).await?;
        record.approve(by, at).map_err(NotApplied::Refused)?;
        self.put_import(session, &record).await?;
        // Every node's next lookup sees that there is one approval more, and reads them again.
        let count = statement(
            "-- count_approval
             UPDATE tenant_meta SET approvals = approvals + 1 WHERE tenant = $1",
        )
        .bind(self.tenant);
        session.run_one("tenant_meta", count).await?;
        Ok(())
    }

    async fn chunk(
        &self,
        session: &mut Session,
        chunk: &Chunk,
        log_index: u64,
    ) -> Result<(), NotApplied> {
        let mut record = self.import(session, chunk.import).await?;
        record
            .add_chunk(&chunk.counts, log_index)
            .map_err(NotApplied::Refused)?;
        self.insert_rows(session, chunk, log_index).await?;
        self.put_import(session, &record).await
    }

    /// A row that stands already means that somebody else was faster: the primary keys are the comparison with what the
    /// chunk was prepared against (each revision is the number after the one that was seen). The keys themselves refuse it:
    /// `ON CONFLICT DO NOTHING` would cost each row a look ahead and a third record in the write-ahead log.
    ///
    /// COPY would be no faster for five hundred rows, and PostgreSQL refuses it where row-level security is forced.
    async fn insert_rows(
        &self,
        session: &mut Session,
        chunk: &Chunk,
        log_index: u64,
    ) -> Result<(), NotApplied> {
        let index = int(log_index);
        let import = *chunk.import.as_bytes();
        let persons = statement(
            "-- add_persons
             INSERT INTO person (tenant, person_id, wrapped_key, number)
             SELECT $1, p.* FROM unnest($2::bytea[], $3::bytea[], $4::bytea[]) AS p",
        )
        .bind(self.tenant)
        .bind(column(&chunk.persons, |row| *row.id.as_bytes()))
        .bind(column(&chunk.persons, |row| row.wrapped_key.as_slice()))
        .bind(column(&chunk.persons, |row| row.number.as_slice()));
        added(session, "a person", chunk.persons.len(), persons).await?;
        retention::check_unclaimed(session, self.tenant, chunk).await?;
        let tags = statement(
            "-- add_tags
             INSERT INTO person_tag (tenant, kind, key_id, tag, person_id)
             SELECT $1, t.* FROM unnest($2::smallint[], $3::bigint[], $4::bytea[], $5::bytea[]) AS t",
        )
        .bind(self.tenant)
        .bind(column(&chunk.tags, |row| row.kind as i16))
        .bind(column(&chunk.tags, |row| i64::from(row.key.0)))
        .bind(column(&chunk.tags, |row| row.tag.0))
        .bind(column(&chunk.tags, |row| *row.person.as_bytes()));
        added(session, "a person's number", chunk.tags.len(), tags).await?;
        let revisions = &chunk.person_revisions;
        let add = add_person_revisions(self.tenant, import, index, revisions)?;
        added(session, "a person", revisions.len(), add).await?;
        let revisions = &chunk.dose_revisions;
        let add = add_dose_revisions(self.tenant, import, index, revisions)?;
        added(session, "a dose", revisions.len(), add).await
    }

    async fn put_inquiry(
        &self,
        session: &mut Session,
        inquiry: &SealedInquiry,
    ) -> Result<(), NotApplied> {
        let put = if inquiry.version <= 1 {
            statement(
                "-- add_inquiry
                 INSERT INTO inquiry (tenant, inquiry_id, version, expires_at, wrapped_key, body)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
        } else {
            statement(
                "-- replace_inquiry
                 UPDATE inquiry SET version = $3, expires_at = $4, wrapped_key = $5, body = $6
                 WHERE tenant = $1 AND inquiry_id = $2 AND version = $3 - 1",
            )
        };
        let put = put
            .bind(self.tenant)
            .bind(*inquiry.id.as_bytes())
            .bind(revision(inquiry.version)?)
            .bind(int(inquiry.expires_at.0))
            .bind(inquiry.wrapped_key.as_slice())
            .bind(inquiry.body.as_slice());
        let what = if inquiry.version <= 1 {
            "an inquiry with this id"
        } else {
            "the inquiry"
        };
        inserted(session, what, 1, put).await
    }

    async fn keep_checkpoint(
        &self,
        session: &mut Session,
        checkpoint: &PeerCheckpoint,
    ) -> Result<(), NotApplied> {
        let peer = i32::try_from(checkpoint.peer.as_u32())
            .map_err(|_| StorageError::Invalid("a municipality code has six digits"))?;
        let keep = statement(
            "-- keep_peer_checkpoint
             INSERT INTO peer_checkpoint AS kept (tenant, peer, size, note) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant, peer) DO UPDATE SET size = excluded.size, note = excluded.note
             WHERE excluded.size >= kept.size
                OR split_part(excluded.note, E'\\n', 1) <> split_part(kept.note, E'\\n', 1)",
        )
        .bind(self.tenant)
        .bind(peer)
        .bind(int(checkpoint.size))
        .bind(checkpoint.note.as_str());
        session.run(keep).await.map_err(|error| failure(&error))?;
        Ok(())
    }

    async fn import(
        &self,
        session: &mut Session,
        id: ImportId,
    ) -> Result<ImportRecord, NotApplied> {
        import(session, self.tenant, self.keyring, id)
            .await?
            .ok_or(NotApplied::Refused(ChangeError::NotFound("the import")))
    }

    async fn put_import(
        &self,
        session: &mut Session,
        record: &ImportRecord,
    ) -> Result<(), NotApplied> {
        let body = self.seal_import(record)?;
        let put = statement(
            "-- put_import
             UPDATE import SET body = $3 WHERE tenant = $1 AND import_id = $2",
        )
        .bind(self.tenant)
        .bind(*record.header.id.as_bytes())
        .bind(body);
        session.run_one("import", put).await?;
        Ok(())
    }

    fn seal_import(&self, record: &ImportRecord) -> Result<Vec<u8>, StorageError> {
        let plain = encode_import(record)
            .map_err(|_| StorageError::Invalid("a field of the import is too long"))?;
        self.keyring
            .seal_record(
                self.random,
                Context::ImportBody,
                *record.header.id.as_bytes(),
                &plain,
            )
            .map(vrx_crypto::Sealed::into_bytes)
            .map_err(|error| StorageError::Keyring(error.to_string()))
    }
}

fn add_person_revisions(
    tenant: i32,
    import: [u8; 16],
    index: i64,
    rows: &[SealedPersonRevision],
) -> Result<Statement, StorageError> {
    let numbers: Result<Vec<i32>, _> = rows.iter().map(|row| revision(row.revision)).collect();
    Ok(statement(
        "-- add_person_revisions
         INSERT INTO person_revision (tenant, person_id, revision, import_id, log_index, body)
         SELECT $1, r.person_id, r.revision, $2, $3, r.body
         FROM unnest($4::bytea[], $5::integer[], $6::bytea[]) AS r (person_id, revision, body)",
    )
    .bind(tenant)
    .bind(import)
    .bind(index)
    .bind(column(rows, |row| *row.person.as_bytes()))
    .bind(numbers?)
    .bind(column(rows, |row| row.body.as_slice())))
}

fn add_dose_revisions(
    tenant: i32,
    import: [u8; 16],
    index: i64,
    rows: &[SealedDoseRevision],
) -> Result<Statement, StorageError> {
    let numbers: Result<Vec<i32>, _> = rows.iter().map(|row| revision(row.revision)).collect();
    Ok(statement(
        "-- add_dose_revisions
         INSERT INTO dose_revision (tenant, person_id, dose_id, revision, import_id, log_index, body)
         SELECT $1, r.person_id, r.dose_id, r.revision, $2, $3, r.body
         FROM unnest($4::bytea[], $5::bytea[], $6::integer[], $7::bytea[]) AS r (person_id, dose_id, revision, body)",
    )
    .bind(tenant)
    .bind(import)
    .bind(index)
    .bind(column(rows, |row| *row.person.as_bytes()))
    .bind(column(rows, |row| *row.dose.as_bytes()))
    .bind(numbers?)
    .bind(column(rows, |row| row.body.as_slice())))
}

/// Runs a statement that must add or change so many rows; fewer is a conflict over `what`.
pub(super) async fn inserted(
    session: &mut Session,
    what: &'static str,
    rows: usize,
    statement: Statement,
) -> Result<(), NotApplied> {
    if rows == 0 {
        return Ok(());
    }
    let done = session
        .run(statement)
        .await
        .map_err(|error| failure(&error))?;
    if usize::try_from(done) == Ok(rows) {
        Ok(())
    } else {
        Err(NotApplied::Refused(ChangeError::Conflict(what)))
    }
}

/// The same of a statement that runs into the row that stands already: its error is the conflict, and the change's savepoint what
/// undoes it. The server's log then names the index and, under row-level security, no value.
async fn added(
    session: &mut Session,
    what: &'static str,
    rows: usize,
    statement: Statement,
) -> Result<(), NotApplied> {
    if rows == 0 {
        return Ok(());
    }
    match session.run(statement).await {
        Ok(done) if usize::try_from(done) == Ok(rows) => Ok(()),
        Ok(_) => Err(NotApplied::Refused(ChangeError::Conflict(what))),
        Err(error) if is_unique_violation(&error) => {
            Err(NotApplied::Refused(ChangeError::Conflict(what)))
        }
        Err(error) => Err(NotApplied::Failed(failure(&error))),
    }
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// One column of rows, as a statement takes it.
pub(super) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn revision(number: u32) -> Result<i32, StorageError> {
    i32::try_from(number).map_err(|_| StorageError::Invalid("too many revisions"))
}
