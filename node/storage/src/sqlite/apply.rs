//! Changes, inside the batch's transaction: each checks that what it was prepared against still stands.

use std::sync::Arc;

use vrx_crypto::{Context, Keyring};
use vrx_domain::{ImportId, Random, UnixMillis};

use super::receipts;
use super::register::import;
use super::retention;
use super::sql::{Sql, failure, int, is_conflict};
use crate::body::encode_import;
use crate::change::{Chunk, Op, SealedInquiry};
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

/// Applies changes with what the writer has at hand.
pub(super) struct Applier {
    pub(super) tenant: i64,
    pub(super) keyring: Arc<Keyring>,
    pub(super) random: Arc<dyn Random>,
}

impl Applier {
    /// Applies one change; `log_index` is the index that its entry is going to have. Imports it approves are added to
    /// `approved`, to be known to readers once the batch has been committed.
    pub(super) fn apply(
        &self,
        sql: &Sql,
        op: &Op,
        log_index: u64,
        approved: &mut Vec<ImportId>,
    ) -> Result<(), NotApplied> {
        match op {
            Op::CreateImport(header) => self.create_import(sql, header),
            Op::Chunk(chunk) => self.chunk(sql, chunk, log_index),
            Op::ApproveImport { import, by, at } => {
                self.approve(sql, *import, by, *at)?;
                approved.push(*import);
                Ok(())
            }
            Op::PutInquiry(inquiry) => self.put_inquiry(sql, inquiry),
            Op::KeepPeerCheckpoint(checkpoint) => self.keep_checkpoint(sql, checkpoint),
            Op::KeepReceipt(receipt) => receipts::keep(sql, self.tenant, receipt),
            Op::RecoverEntry(entry) => receipts::recover(sql, self.tenant, entry, log_index),
            Op::RecoveryAnswered(answer) => receipts::answered(sql, self.tenant, answer, log_index),
            Op::ProposeErasure {
                run,
                persons,
                replaces,
            } => retention::propose(self, sql, run, persons, *replaces),
            Op::ApproveErasure { run, by, at } => retention::approve(self, sql, *run, by, *at),
            Op::RecordErasure { run, certificate } => {
                retention::record(self, sql, *run, certificate, log_index)
            }
            Op::SettleErasure(recorded) => retention::settle(self, sql, recorded),
            Op::PlaceHold(record) => retention::place_hold(self, sql, record),
            Op::LiftHold(person, reference) => retention::lift_hold(self, sql, *person, reference),
            Op::All(ops) => ops
                .iter()
                .try_for_each(|op| self.apply(sql, op, log_index, approved)),
        }
    }

    fn create_import(&self, sql: &Sql, header: &ImportHeader) -> Result<(), NotApplied> {
        let record = ImportRecord::entered(header);
        let body = self.seal_import(&record)?;
        inserted(
            "an import with this id",
            sql.run(
                "-- create_import
                 INSERT INTO import (tenant, import_id, body) VALUES (?1, ?2, ?3)",
                (self.tenant, header.id.as_bytes(), body),
            ),
        )
    }

    fn approve(&self, sql: &Sql, id: ImportId, by: &str, at: UnixMillis) -> Result<(), NotApplied> {
        let mut record = self.import(sql, id)?;
        record.approve(by, at).map_err(NotApplied::Refused)?;
        self.put_import(sql, &record)
    }

    fn chunk(&self, sql: &Sql, chunk: &Chunk, log_index: u64) -> Result<(), NotApplied> {
        let mut record = self.import(sql, chunk.import)?;
        record
            .add_chunk(&chunk.counts, log_index)
            .map_err(NotApplied::Refused)?;
        self.insert_rows(sql, chunk, log_index)?;
        self.put_import(sql, &record)
    }

    /// A row that stands already means that somebody else was faster: the primary keys are the comparison with what the
    /// chunk was prepared against (each revision is the number after the one that was seen).
    fn insert_rows(&self, sql: &Sql, chunk: &Chunk, log_index: u64) -> Result<(), NotApplied> {
        let (tenant, import, index) = (self.tenant, chunk.import.as_bytes(), int(log_index));
        let persons = sql.run_each(
            "-- add_person
             INSERT INTO person (tenant, person_id, wrapped_key, number) VALUES (?1, ?2, ?3, ?4)",
            chunk
                .persons
                .iter()
                .map(|row| (tenant, row.id.as_bytes(), &row.wrapped_key, &row.number)),
        );
        inserted("a person", persons)?;
        retention::check_unclaimed(sql, self.tenant, chunk)?;
        let tags = sql.run_each(
            "-- add_tag
             INSERT INTO person_tag (tenant, kind, key_id, tag, person_id) VALUES (?1, ?2, ?3, ?4, ?5)",
            chunk
                .tags
                .iter()
                .map(|row| (tenant, row.kind as u8, row.key.0, row.tag.0, row.person.as_bytes())),
        );
        inserted("a person's number", tags)?;
        let revisions = sql.run_each(
            "-- add_person_revision
             INSERT INTO person_revision (tenant, person_id, revision, import_id, log_index, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            chunk.person_revisions.iter().map(|row| {
                (
                    tenant,
                    row.person.as_bytes(),
                    row.revision,
                    import,
                    index,
                    &row.body,
                )
            }),
        );
        inserted("a person", revisions)?;
        let doses = sql.run_each(
            "-- add_dose_revision
             INSERT INTO dose_revision (tenant, person_id, dose_id, revision, import_id, log_index, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            chunk.dose_revisions.iter().map(|row| {
                let (person, dose) = (row.person.as_bytes(), row.dose.as_bytes());
                (tenant, person, dose, row.revision, import, index, &row.body)
            }),
        );
        inserted("a dose", doses)
    }

    fn put_inquiry(&self, sql: &Sql, inquiry: &SealedInquiry) -> Result<(), NotApplied> {
        let id = inquiry.id.as_bytes();
        let expires_at = int(inquiry.expires_at.0);
        if inquiry.version <= 1 {
            let added = sql.run(
                "-- add_inquiry
                 INSERT INTO inquiry (tenant, inquiry_id, version, expires_at, wrapped_key, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (
                    self.tenant,
                    id,
                    inquiry.version,
                    expires_at,
                    &inquiry.wrapped_key,
                    &inquiry.body,
                ),
            );
            return inserted("an inquiry with this id", added);
        }
        let updated = sql
            .run(
                "-- replace_inquiry
                 UPDATE inquiry SET version = ?3, expires_at = ?4, wrapped_key = ?5, body = ?6
                 WHERE tenant = ?1 AND inquiry_id = ?2 AND version = ?3 - 1",
                (
                    self.tenant,
                    id,
                    inquiry.version,
                    expires_at,
                    &inquiry.wrapped_key,
                    &inquiry.body,
                ),
            )
            .map_err(failure)?;
        if updated == 1 {
            Ok(())
        } else {
            Err(NotApplied::Refused(ChangeError::Conflict("the inquiry")))
        }
    }

    fn keep_checkpoint(&self, sql: &Sql, checkpoint: &PeerCheckpoint) -> Result<(), NotApplied> {
        sql.run(
            "-- keep_peer_checkpoint
             INSERT INTO peer_checkpoint (tenant, peer, size, note) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tenant, peer) DO UPDATE SET size = excluded.size, note = excluded.note
             WHERE excluded.size >= size
                OR substr(excluded.note, 1, instr(excluded.note, char(10))) <> substr(note, 1, instr(note, char(10)))",
            (
                self.tenant,
                checkpoint.peer.as_u32(),
                int(checkpoint.size),
                &checkpoint.note,
            ),
        )
        .map(drop)
        .map_err(|error| NotApplied::Failed(failure(error)))
    }

    fn import(&self, sql: &Sql, id: ImportId) -> Result<ImportRecord, NotApplied> {
        import(sql, self.tenant, &self.keyring, id)?
            .ok_or(NotApplied::Refused(ChangeError::NotFound("the import")))
    }

    fn put_import(&self, sql: &Sql, record: &ImportRecord) -> Result<(), NotApplied> {
        let body = self.seal_import(record)?;
        sql.run_one(
            "import",
            "-- put_import
             UPDATE import SET body = ?3 WHERE tenant = ?1 AND import_id = ?2",
            (self.tenant, record.header.id.as_bytes(), body),
        )?;
        Ok(())
    }

    fn seal_import(&self, record: &ImportRecord) -> Result<Vec<u8>, StorageError> {
        let plain = encode_import(record)
            .map_err(|_| StorageError::Invalid("a field of the import is too long"))?;
        self.keyring
            .seal_record(
                &*self.random,
                Context::ImportBody,
                *record.header.id.as_bytes(),
                &plain,
            )
            .map(vrx_crypto::Sealed::into_bytes)
            .map_err(|error| StorageError::Keyring(error.to_string()))
    }
}

/// What an insert came to: done, or a conflict over `what`.
pub(super) fn inserted<T>(
    what: &'static str,
    result: rusqlite::Result<T>,
) -> Result<(), NotApplied> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if is_conflict(&error) => Err(NotApplied::Refused(ChangeError::Conflict(what))),
        Err(error) => Err(NotApplied::Failed(failure(error))),
    }
}
