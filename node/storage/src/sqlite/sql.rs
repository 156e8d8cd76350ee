//! One connection: how it is set up, how its statements are counted, and what its errors mean.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, Params, Row};

use crate::StorageError;

/// How long a connection waits for a lock. One process and one writer: only a backup or a checkpoint can stand in the way.
const BUSY: Duration = Duration::from_secs(2);

/// Bytes of the file that are mapped; more is read by system calls.
const MMAP: i64 = 64 << 30;

/// Memory for the pages that a transaction has changed, KiB when negative. The rows of an import lie all over their tables: with less
/// than this a batch of its chunks goes to the disk twice.
const WRITER_CACHE: i32 = -16_384;

/// A connection that counts its statements.
pub(super) struct Sql {
    connection: Connection,
    statements: Arc<AtomicU64>,
}

/// Whether a connection may write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

impl Sql {
    /// Opens an existing database file.
    pub(super) fn open(
        path: &Path,
        access: Access,
        statements: Arc<AtomicU64>,
    ) -> Result<Self, StorageError> {
        let mode = match access {
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        // No mutex: each connection belongs to one thread.
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
        let set_up = || {
            connection.busy_timeout(BUSY)?;
            // Without this the bundled build (STAT4) prepares a statement again at each bind once ANALYZE has run.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            connection.pragma_update(None, "mmap_size", MMAP)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "temp_store", "memory")?;
            if access == Access::Write {
                connection.pragma_update(None, "secure_delete", true)?;
                connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                // Checkpoints run when nobody waits: see `Writer::maintain`.
                connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            } else {
                connection.pragma_update(None, "query_only", true)?;
            }
            connection.set_prepared_statement_cache_capacity(64);
            Ok(())
        };
        set_up().map_err(failure)?;
        Ok(Self {
            connection,
            statements,
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A cached statement, to be run more than once: each run is counted by [`Sql::count`].
    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    /// Counts one run of a prepared statement.
    pub(super) fn count(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    /// A cached statement, to be run once.
    fn statement(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.count();
        self.prepare(sql)
    }

    /// Runs a statement without rows; returns how many rows it changed.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.statement(sql)?.execute(params)
    }

    /// Runs one statement for many rows: looked up in the cache once.
    pub(super) fn run_each<P: Params>(
        &self,
        sql: &str,
        rows: impl IntoIterator<Item = P>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.prepare(sql)?;
        for row in rows {
            self.count();
            statement.execute(row)?;
        }
        Ok(())
    }

    /// Runs a statement that must change exactly one row of a table.
    pub(super) fn run_one(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<(), StorageError> {
        match self.run(sql, params).map_err(failure)? {
            1 => Ok(()),
            _ => Err(StorageError::Inconsistent {
                table,
                column: "*",
                row: "changed".to_owned(),
            }),
        }
    }

    /// Reads one row or none.
    pub(super) fn row<T>(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StorageError> {
        let failed = reading(table);
        let mut statement = self.statement(sql).map_err(&failed)?;
        let mut rows = statement.query(params).map_err(&failed)?;
        rows.next()
            .and_then(|row| row.map(read).transpose())
            .map_err(&failed)
    }

    /// Reads all rows.
    pub(super) fn rows<T>(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StorageError> {
        let failed = reading(table);
        let mut statement = self.statement(sql).map_err(&failed)?;
        let mut rows = statement.query(params).map_err(&failed)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            out.push(read(row).map_err(&failed)?);
        }
        Ok(out)
    }

    /// Begins a read transaction. It sees one state of the database from its first statement on.
    pub(super) fn begin_reading(&self) -> Result<(), StorageError> {
        self.prepare("BEGIN")
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(failure)
    }

    /// Ends it.
    pub(super) fn end_reading(&self) -> Result<(), StorageError> {
        let ended = self
            .prepare("COMMIT")
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(failure);
        if ended.is_err() && !self.connection.is_autocommit() {
            self.run("ROLLBACK", []).map_err(failure)?;
        }
        ended
    }

    /// One read transaction around `work`: every statement in it sees the same state, and it ends with it.
    pub(super) fn snapshot<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.begin_reading()?;
        let result = work(self);
        let ended = self.end_reading();
        result.and_then(|value| ended.map(|()| value))
    }
}

/// What an error of SQLite means. The text is SQLite's own for the code: its messages could quote a value.
pub(super) fn failure(error: rusqlite::Error) -> StorageError {
    match error {
        rusqlite::Error::SqliteFailure(e, _) => match e.code {
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted => StorageError::Busy,
            ErrorCode::DiskFull => StorageError::Full,
            _ => StorageError::Broken(format!("{} (SQLite code {})", e, e.extended_code)),
        },
        other => StorageError::Broken(format!("statement refused: {}", kind(&other))),
    }
}

/// The same while rows of a table are read: a value of the wrong type or range is that row's inconsistency.
pub(super) fn reading(table: &'static str) -> impl Fn(rusqlite::Error) -> StorageError {
    move |error| match error {
        rusqlite::Error::FromSqlConversionFailure(column, ..)
        | rusqlite::Error::IntegralValueOutOfRange(column, _)
        | rusqlite::Error::InvalidColumnType(column, ..) => StorageError::Inconsistent {
            table,
            column: "type",
            row: format!("column {column}"),
        },
        other => failure(other),
    }
}

/// Whether an insert met a row that stands already.
pub(super) fn is_conflict(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(e, _) if e.code == ErrorCode::ConstraintViolation)
}

fn kind(error: &rusqlite::Error) -> &'static str {
    match error {
        rusqlite::Error::InvalidParameterCount(..) => "number of parameters",
        rusqlite::Error::QueryReturnedNoRows => "no row",
        rusqlite::Error::InvalidColumnIndex(_) => "column index",
        _ => "binding or statement",
    }
}

/// Sizes, indexes and times as SQLite keeps them: signed, and never above 2^63.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A size, index or time of a row.
pub(super) fn unsigned<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let value: i64 = row.get(column)?;
    T::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
