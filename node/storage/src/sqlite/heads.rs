//! Where each subject's list of entries ends: exact in memory beyond a watermark, in the database up to it.
//!
//! Writing one row a subject with each entry would put a random page of a large tree into every commit. So heads gather
//! here and go to `subject_head` in bulk, sorted, after callers have their answers; what a crash loses is read back from
//! the entries past the watermark.

use std::collections::HashMap;

use rusqlite::Row;

use super::sql::{Sql, failure, int, reading, unsigned};
use crate::{StorageError, SubjectHead, SubjectTag};

/// Heads gathered before they are written: the more, the more of them share a page of the table, and the less of the
/// write-ahead log is theirs. Bounds what `open` has to read back (twice this many entries at most, a fraction of a
/// second) and the memory they take (some 20 MB).
const GATHER: usize = if cfg!(test) { 8_192 } else { 131_072 };

/// Heads written in one go between two batches: short enough that no caller notices.
const SLICE: usize = 512;

/// The overlay. Owned by the writer's thread.
pub(super) struct Heads {
    gathering: HashMap<SubjectTag, SubjectHead>,
    /// Being written: sorted by subject; the first `written` of them stand in the database already.
    writing: Vec<(SubjectTag, SubjectHead)>,
    written: usize,
    /// Size of the log when `writing` was taken: the watermark once all of it stands.
    covers: u64,
}

impl Heads {
    /// Reads back what the last process hadn't written.
    pub(super) fn rebuild(sql: &Sql, tenant: i64) -> Result<Self, StorageError> {
        let watermark = watermark(sql, tenant)?;
        let rows = sql.rows(
            "log_entry",
            "-- heads_past_watermark
             SELECT subject, subject_seq, idx FROM log_entry
             WHERE tenant = ?1 AND idx >= ?2 AND idx < (SELECT size FROM log_head WHERE tenant = ?1) ORDER BY idx",
            (tenant, int(watermark)),
            |row| {
                let head = SubjectHead { seq: unsigned(row, 1)?, last_index: unsigned(row, 2)? };
                Ok((SubjectTag(row.get(0)?), head))
            },
        )?;
        Ok(Self {
            gathering: rows.into_iter().collect(),
            writing: Vec::new(),
            written: 0,
            covers: watermark,
        })
    }

    /// The newest entry about each subject. The statement runs whether or not memory knows better: the same work for a
    /// subject asked a minute ago and for random bytes.
    pub(super) fn get(
        &self,
        sql: &Sql,
        tenant: i64,
        subjects: impl Iterator<Item = SubjectTag>,
    ) -> Result<Vec<Option<SubjectHead>>, StorageError> {
        let failed = reading("subject_head");
        let mut statement = sql.prepare(STORED).map_err(&failed)?;
        subjects
            .map(|subject| {
                sql.count();
                let mut rows = statement.query((tenant, subject.0)).map_err(&failed)?;
                let row = rows.next().map_err(&failed)?;
                let stored = row.map(read_head).transpose().map_err(&failed)?;
                Ok(self.in_memory(&subject).or(stored))
            })
            .collect()
    }

    fn in_memory(&self, subject: &SubjectTag) -> Option<SubjectHead> {
        let being_written = || {
            let at = self
                .writing
                .binary_search_by(|(other, _)| other.cmp(subject))
                .ok()?;
            self.writing.get(at).map(|(_, head)| *head)
        };
        self.gathering.get(subject).copied().or_else(being_written)
    }

    /// Notes a committed entry.
    pub(super) fn note(&mut self, subject: SubjectTag, head: SubjectHead) {
        self.gathering.insert(subject, head);
    }

    /// Writes a slice, if there is one to write. `size` is the log's size now.
    pub(super) fn maintain(
        &mut self,
        sql: &Sql,
        tenant: i64,
        size: u64,
    ) -> Result<(), StorageError> {
        if self.writing.is_empty() && self.gathering.len() >= GATHER {
            self.take(size);
        }
        if self.writing.is_empty() {
            Ok(())
        } else {
            self.write(sql, tenant, SLICE)
        }
    }

    /// Writes everything.
    pub(super) fn flush(&mut self, sql: &Sql, tenant: i64, size: u64) -> Result<(), StorageError> {
        if !self.writing.is_empty() {
            self.write(sql, tenant, usize::MAX)?;
        }
        self.take(size);
        self.write(sql, tenant, usize::MAX)
    }

    fn take(&mut self, size: u64) {
        self.writing = self.gathering.drain().collect();
        self.writing.sort_unstable_by_key(|(subject, _)| *subject);
        self.written = 0;
        self.covers = size;
    }

    /// In a transaction of its own and without a sync: what power loss takes of it is read back from the entries.
    fn write(&mut self, sql: &Sql, tenant: i64, most: usize) -> Result<(), StorageError> {
        let slice = self.writing.iter().skip(self.written).take(most);
        let count = slice.len();
        let done = self.written + count == self.writing.len();
        sql.connection()
            .pragma_update(None, "synchronous", "NORMAL")
            .map_err(failure)?;
        let work = || {
            sql.run("BEGIN IMMEDIATE", []).map_err(failure)?;
            for (subject, head) in slice {
                sql.run_one(
                    "subject_head",
                    "-- put_subject_head
                     INSERT INTO subject_head (tenant, subject, seq, last_index) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (tenant, subject) DO UPDATE SET seq = excluded.seq, last_index = excluded.last_index",
                    (tenant, subject.0, int(head.seq), int(head.last_index)),
                )?;
            }
            if done {
                sql.run_one(
                    "tenant_meta",
                    "-- put_watermark
                     UPDATE tenant_meta SET heads_flushed = ?2 WHERE tenant = ?1",
                    (tenant, int(self.covers)),
                )?;
            }
            sql.run("COMMIT", []).map_err(failure)
        };
        let result = work();
        if !sql.connection().is_autocommit() {
            sql.run("ROLLBACK", []).map_err(failure)?;
        }
        sql.connection()
            .pragma_update(None, "synchronous", "FULL")
            .map_err(failure)?;
        result?;
        self.written += count;
        if done {
            self.writing = Vec::new();
            self.written = 0;
        }
        Ok(())
    }
}

/// The newest entry about a subject, for a connection that has no overlay: from the table, or from the entries past the
/// watermark.
pub(super) fn subject_head(
    sql: &Sql,
    tenant: i64,
    subject: &SubjectTag,
) -> Result<Option<SubjectHead>, StorageError> {
    let watermark = watermark(sql, tenant)?;
    let newer = sql.row(
        "log_entry",
        "-- subject_past_watermark
         SELECT subject_seq, idx FROM log_entry
         WHERE tenant = ?1 AND idx >= ?2 AND idx < (SELECT size FROM log_head WHERE tenant = ?1) AND subject = ?3
         ORDER BY idx DESC LIMIT 1",
        (tenant, int(watermark), subject.0),
        read_head,
    )?;
    if newer.is_some() {
        return Ok(newer);
    }
    sql.row("subject_head", STORED, (tenant, subject.0), read_head)
}

const STORED: &str = "-- subject_head
    SELECT seq, last_index FROM subject_head WHERE tenant = ?1 AND subject = ?2";

fn read_head(row: &Row<'_>) -> rusqlite::Result<SubjectHead> {
    Ok(SubjectHead {
        seq: unsigned(row, 0)?,
        last_index: unsigned(row, 1)?,
    })
}

fn watermark(sql: &Sql, tenant: i64) -> Result<u64, StorageError> {
    sql.row(
        "tenant_meta",
        "-- watermark
         SELECT heads_flushed FROM tenant_meta WHERE tenant = ?1",
        [tenant],
        |row| unsigned(row, 0),
    )?
    .ok_or(StorageError::OtherTenant)
}
