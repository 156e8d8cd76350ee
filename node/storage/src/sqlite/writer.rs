//! The one thread that writes: batches of the log, and what little is written beside it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use vrx_domain::ImportId;

use super::apply::{Applier, NotApplied};
use super::files::Identity;
use super::heads::Heads;
use super::log::{head, leaves};
use super::lookup::ApprovedImports;
use super::queue::Queue;
use super::register_version::RegisterVersion;
use super::sql::{Sql, failure, int};
use crate::fit::{behind, check_fit, is_gapless};
use crate::{
    AppendError, BatchItem, BatchRows, HeadRow, NotCommitted, Prepared, SealBatch, StorageError,
};

/// Pages in the write-ahead log before they are moved into the database: 16 MB.
const CHECKPOINT_PAGES: i32 = 4_096;

thread_local! {
    /// Pages in the write-ahead log after the last commit of this thread's connection.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// Work for the writer's thread.
pub(super) type WriterJob = Box<dyn FnOnce(&mut Writer) + Send>;

/// The writer's connection and what only it knows.
pub(super) struct Writer {
    pub(super) sql: Sql,
    pub(super) tenant: i64,
    identity: Identity,
    pub(super) applier: Applier,
    pub(super) heads: Heads,
    pub(super) approved: Arc<ApprovedImports>,
    pub(super) register: Arc<RegisterVersion>,
    pub(super) size: u64,
    broken: Option<String>,
}

impl Writer {
    /// Takes the connection over, inside its thread.
    pub(super) fn new(
        sql: Sql,
        identity: Identity,
        applier: Applier,
        heads: Heads,
        approved: Arc<ApprovedImports>,
        register: Arc<RegisterVersion>,
        size: u64,
    ) -> Self {
        let tenant = applier.tenant;
        Self {
            sql,
            tenant,
            identity,
            applier,
            heads,
            approved,
            register,
            size,
            broken: None,
        }
    }

    /// The thread's life. What nobody waits for comes after each job.
    pub(super) fn serve(mut self, queue: &Queue<WriterJob>) {
        self.sql.connection().wal_hook(Some(|_, pages| {
            WAL_PAGES.set(pages);
            Ok(())
        }));
        let mut jobs = Vec::new();
        while queue.take(1, &mut jobs).is_some() {
            for job in jobs.drain(..) {
                job(&mut self);
                self.maintain();
            }
        }
    }

    /// Adds one batch to the log; see [`crate::LogStore::append`].
    pub(super) fn append(
        &mut self,
        expected: (u64, [u8; 32]),
        items: &[BatchItem],
        seal: SealBatch,
    ) -> Result<Prepared, AppendError> {
        self.fit().map_err(before_commit)?;
        let mut approved = Vec::new();
        let mut onto = expected;
        let result = self.transaction(&mut onto, items, seal, &mut approved);
        let ended = self.end_transaction();
        match (result, ended) {
            (Ok((prepared, rows)), Ok(())) => {
                // Only now, when the disk has it, does anybody else learn of it.
                self.approved.add(&approved);
                if items.iter().any(|item| item.change.is_some()) {
                    self.register.changed();
                }
                if let Some(rows) = rows {
                    self.size = rows.head.size;
                    for entry in rows.entries {
                        let head = crate::SubjectHead {
                            seq: entry.subject_seq,
                            last_index: entry.index,
                        };
                        self.heads.note(entry.subject, head);
                    }
                }
                Ok(prepared)
            }
            (Err(error), Ok(())) => Err(self.judge(error, onto)),
            (_, Err(error)) => Err(self.poison(&error)),
        }
    }

    /// Begin, change, seal, write, commit. Leaves the transaction open where it fails. `onto` comes as the expected head and
    /// becomes the one that was found.
    fn transaction(
        &self,
        onto: &mut (u64, [u8; 32]),
        items: &[BatchItem],
        seal: SealBatch,
        approved: &mut Vec<ImportId>,
    ) -> Result<(Prepared, Option<BatchRows>), Failed> {
        let sql = &self.sql;
        sql.run("BEGIN IMMEDIATE", []).map_err(failure)?;
        let found = head(sql, self.tenant)?;
        let count = behind(*onto, &found).map_err(Failed::Not)?;
        let since = match u32::try_from(count).unwrap_or(u32::MAX) {
            0 => Vec::new(),
            count => leaves(sql, self.tenant, onto.0, count)?,
        };
        if !is_gapless(onto.0, &found, &since) {
            let gap = StorageError::Broken("entries are missing before the head".to_owned());
            return Err(Failed::Storage(gap));
        }
        *onto = (found.size, found.root);
        let mut results = Vec::with_capacity(items.len());
        let mut next = found.size;
        for item in items {
            let result = match &item.change {
                None => Ok(()),
                Some(change) => self.in_savepoint(&change.0, next, approved)?,
            };
            next += u64::from(result.is_ok());
            results.push(result);
        }
        let heads = self
            .heads
            .get(sql, self.tenant, items.iter().map(|item| item.subject))?;
        let prepared = Prepared {
            head: found,
            since,
            results,
            heads,
        };
        if next == onto.0 {
            return Ok((prepared, None));
        }
        let rows = catch_unwind(AssertUnwindSafe(|| seal(&prepared)))
            .unwrap_or_else(|_| Err("sealing panicked".to_owned()))
            .map_err(|why| Failed::Not(NotCommitted::Seal(why)))?;
        check_fit(items, &prepared, &rows).map_err(Failed::Not)?;
        self.write(*onto, &rows)?;
        // THE COMMIT POINT: when this returns, the write-ahead log has been synced and the batch stands, whatever happens
        // to this process. Nothing that depends on the batch may be told to anybody before.
        sql.run("COMMIT", [])
            .map_err(|error| Failed::Commit(failure(error)))?;
        Ok((prepared, Some(rows)))
    }

    fn in_savepoint(
        &self,
        op: &crate::change::Op,
        log_index: u64,
        approved: &mut Vec<ImportId>,
    ) -> Result<Result<(), crate::ChangeError>, StorageError> {
        let before = approved.len();
        self.sql.run("SAVEPOINT change", []).map_err(failure)?;
        let result = match self.applier.apply(&self.sql, op, log_index, approved) {
            Ok(()) => Ok(()),
            Err(NotApplied::Failed(error)) => return Err(error),
            Err(NotApplied::Refused(why)) => {
                approved.truncate(before);
                self.sql.run("ROLLBACK TO change", []).map_err(failure)?;
                Err(why)
            }
        };
        self.sql.run("RELEASE change", []).map_err(failure)?;
        Ok(result)
    }

    fn write(&self, onto: (u64, [u8; 32]), rows: &BatchRows) -> Result<(), StorageError> {
        let entries = rows.entries.iter().map(|entry| {
            (
                self.tenant,
                int(entry.index),
                entry.entry_id,
                entry.kind,
                entry.subject.0,
                int(entry.subject_seq),
                entry.leaf,
                &entry.opening_key,
                &entry.opening,
            )
        });
        self.sql
            .run_each(
                "-- add_entry
                 INSERT INTO log_entry (tenant, idx, entry_id, kind, subject, subject_seq, leaf, opening_key, opening)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                entries,
            )
            .map_err(failure)?;
        for tile in &rows.tiles {
            self.sql.run_one(
                "log_tile",
                "-- add_tile
                 INSERT INTO log_tile (tenant, level, idx, hashes) VALUES (?1, ?2, ?3, ?4)",
                (self.tenant, tile.level, int(tile.index), &tile.hashes),
            )?;
        }
        let HeadRow {
            size,
            root,
            epoch,
            last_time,
            checkpoint,
        } = &rows.head;
        self.sql.run_one(
            "log_head",
            "-- swap_head
             UPDATE log_head SET size = ?2, root = ?3, epoch = ?4, last_time = ?5, checkpoint = ?6
             WHERE tenant = ?1 AND size = ?7 AND root = ?8",
            (
                self.tenant,
                int(*size),
                root,
                epoch,
                int(*last_time),
                checkpoint,
                int(onto.0),
                onto.1,
            ),
        )
    }

    /// A failed batch, by what it means.
    fn judge(&mut self, failed: Failed, onto: (u64, [u8; 32])) -> AppendError {
        match failed {
            Failed::Not(why) => why.into(),
            Failed::Storage(error) => match before_commit(error) {
                AppendError::Broken(why) => self.poison(&StorageError::Broken(why)),
                other => other,
            },
            // Refused while committing and rolled back. Believed only if the head is the old one.
            Failed::Commit(error @ (StorageError::Busy | StorageError::Full)) => {
                match head(&self.sql, self.tenant) {
                    Ok(head) if (head.size, head.root) == onto => before_commit(error),
                    Ok(_) => self.poison(&StorageError::Broken(
                        "the head moved in a commit that failed".to_owned(),
                    )),
                    Err(error) => self.poison(&error),
                }
            }
            Failed::Commit(error) => self.poison(&error),
        }
    }

    /// Whatever the batch came to, no transaction is left open.
    fn end_transaction(&self) -> Result<(), StorageError> {
        if self.sql.connection().is_autocommit() {
            return Ok(());
        }
        self.sql.run("ROLLBACK", []).map(drop).map_err(failure)?;
        if self.sql.connection().is_autocommit() {
            Ok(())
        } else {
            Err(StorageError::Broken(
                "a transaction couldn't be rolled back".to_owned(),
            ))
        }
    }

    /// Whether this database may still be written to.
    pub(super) fn fit(&mut self) -> Result<(), StorageError> {
        if let Some(why) = &self.broken {
            return Err(StorageError::Broken(why.clone()));
        }
        let checked = self.identity.check();
        if let Err(error) = &checked {
            self.poison(error);
        }
        checked
    }

    /// From here on nothing is written any more: after a failed sync not even the page cache can be trusted.
    fn poison(&mut self, error: &StorageError) -> AppendError {
        let why = match error {
            StorageError::Broken(why) => why.clone(),
            other => other.to_string(),
        };
        tracing::error!(tenant = self.tenant, %why, "the database is broken; nothing more is written to it");
        self.broken = Some(why.clone());
        AppendError::Broken(why)
    }

    /// One write beside the log, in a transaction of its own, committed durably.
    pub(super) fn write_aside<T>(
        &mut self,
        work: impl FnOnce(&Sql) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.fit()?;
        let attempt = || {
            self.sql.run("BEGIN IMMEDIATE", []).map_err(failure)?;
            let value = work(&self.sql)?;
            self.sql.run("COMMIT", []).map_err(failure)?;
            Ok(value)
        };
        let result = attempt();
        let ended = self.end_transaction();
        let error = match (result, ended) {
            (Ok(value), Ok(())) => return Ok(value),
            (_, Err(error)) | (Err(error), Ok(())) => error,
        };
        if matches!(error, StorageError::Broken(_)) {
            self.poison(&error);
        }
        Err(error)
    }

    /// Between two jobs: subject heads into their table, the write-ahead log into the database.
    fn maintain(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let heads = self.heads.maintain(&self.sql, self.tenant, self.size);
        let checkpointed = self.empty_write_ahead_log();
        self.note_maintenance(heads.and(checkpointed));
    }

    /// Moves the write-ahead log's pages into the database when there are many, in two steps: first all but the newest
    /// while lookups go on, then, in a moment without readers, the few that came since, so that the log starts over.
    fn empty_write_ahead_log(&self) -> Result<(), StorageError> {
        let pages = WAL_PAGES.get();
        if pages < CHECKPOINT_PAGES {
            return Ok(());
        }
        checkpoint(&self.sql, "PRAGMA wal_checkpoint(PASSIVE)")?;
        let Some(nobody_reads) = self.register.nobody_reads() else {
            return Ok(());
        };
        // Not RESTART: it would wait for the reader of everything else. Where all pages have been moved, the next write starts
        // the log over by itself.
        let emptied = checkpoint(&self.sql, "PRAGMA wal_checkpoint(PASSIVE)");
        drop(nobody_reads);
        WAL_PAGES.set(0);
        emptied
    }

    /// Before a clean end: everything in its table, the write-ahead log empty.
    pub(super) fn finish(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let flushed = self.heads.flush(&self.sql, self.tenant, self.size);
        let nobody_reads = self.register.nobody_reads();
        let checkpointed = checkpoint(&self.sql, "PRAGMA wal_checkpoint(TRUNCATE)");
        drop(nobody_reads);
        self.note_maintenance(flushed.and(checkpointed));
    }

    pub(super) fn note_maintenance(&mut self, result: Result<(), StorageError>) {
        match result {
            Ok(()) => {}
            Err(error @ StorageError::Broken(_)) => {
                self.poison(&error);
            }
            // Busy or full: nothing is lost, the next turn tries again.
            Err(error) => {
                tracing::warn!(tenant = self.tenant, %error, "upkeep of the database waits");
            }
        }
    }
}

/// Moves pages of the write-ahead log into the database, as far as no reader stands in the way.
fn checkpoint(sql: &Sql, pragma: &'static str) -> Result<(), StorageError> {
    sql.row("wal_checkpoint", pragma, [], |_| Ok(())).map(drop)
}

/// Why a batch's transaction didn't reach its end.
enum Failed {
    Not(NotCommitted),
    Storage(StorageError),
    Commit(StorageError),
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// An error before COMMIT: with the rollback that follows, nothing of the batch stands.
fn before_commit(error: StorageError) -> AppendError {
    match error {
        StorageError::Busy => NotCommitted::Busy.into(),
        StorageError::Full => NotCommitted::Full.into(),
        StorageError::Closed => NotCommitted::Closed.into(),
        error @ StorageError::Inconsistent { .. } => NotCommitted::Inconsistent(error).into(),
        StorageError::Keyring(why) => NotCommitted::Seal(why).into(),
        StorageError::Invalid(why) => NotCommitted::Mismatch(why).into(),
        StorageError::Broken(why) => AppendError::Broken(why),
        other => AppendError::Broken(other.to_string()),
    }
}
