//! What can go wrong between this room and a database.
//!
//! Three classes decide what the provision log does next (its writer is the only one that may append):
//! *certainly not committed* (roll back, read the head again, try again), *unknown* (ask the primary whether our root
//! is there) and *broken* (never write to this database again). No error carries a value of a row: only table, column
//! and row id, so that an error text can be logged.

use thiserror::Error;

/// Failure of a read, of preparing a change, or of opening a database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StorageError {
    /// Another connection held the database longer than the bounded wait, or the queue is full. Trying again is safe.
    #[error("the database is busy; try again")]
    Busy,
    /// No room on the disk or in the database's page quota. Nothing was written.
    #[error("no room left for the database; make room and try again")]
    Full,
    /// The disk or the file can't be trusted any more: I/O error, bad page, file swapped underneath.
    #[error("the database is broken and must be recovered into a new file: {0}")]
    Broken(String),
    /// A row that can't be what this node wrote: a ciphertext that doesn't open in its place, a body that doesn't parse.
    #[error("inconsistent row: table {table}, column {column}, row {row}")]
    Inconsistent {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Row id, in hex or decimal; never a value.
        row: String,
    },
    /// The server doesn't answer, or the way to it broke. Trying again is safe; nothing is known to be lost.
    #[error("the database can't be reached: {0}")]
    Unreachable(String),
    /// The handle was closed, or its thread has ended.
    #[error("the database is closed")]
    Closed,
    /// Another process has this tenant's database open.
    #[error("{path} is held by another process; one process a database")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// There is no database where one was expected, or one where none was expected.
    #[error("{path}: {why}")]
    Place {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The schema isn't the one this version was built for.
    #[error("the database's schema doesn't fit this version: {0}")]
    Schema(String),
    /// The database belongs to another tenant or to another keyring.
    #[error("the database belongs to another tenant")]
    OtherTenant,
    /// The keyring couldn't seal or hash.
    #[error("the keyring can't seal: {0}")]
    Keyring(String),
    /// The caller asked for something that no database could do (a chunk of too many rows, an empty import).
    #[error("not possible: {0}")]
    Invalid(&'static str),
    /// Opened for reading only.
    #[error("the database was opened for reading only")]
    ReadOnly,
}

/// Why a batch is certainly not in the log. Everything was rolled back; the same items may be given again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotCommitted {
    /// The head isn't one that continues the expected one closely: it is earlier, has another root at the same size, or is
    /// more than [`crate::MOST_BEHIND`] entries further on. Read it and look.
    #[error("the head of the log is another one than expected")]
    SwapLost,
    /// The log is in a later epoch than the batch was sealed for: it was opened anew, and this writer's time is over.
    #[error("a later epoch of the log was opened")]
    Fenced,
    /// The tenant is being moved to another database and takes nothing until that is done.
    #[error("the tenant is being moved to another database")]
    ReadOnly,
    /// A lock was not to be had within the bounded wait, or a serialisation failure or deadlock.
    #[error("the database is busy")]
    Busy,
    /// No room: refuse, stay up, resume when there is room.
    #[error("no room left for the database")]
    Full,
    /// The caller's `seal` refused.
    #[error("the batch couldn't be sealed: {0}")]
    Seal(String),
    /// What `seal` returned doesn't fit the batch (a bug of the caller; nothing was written).
    #[error("the sealed batch doesn't fit: {0}")]
    Mismatch(&'static str),
    /// A change met a row that can't be what this node wrote.
    #[error(transparent)]
    Inconsistent(StorageError),
    /// The handle was closed before the batch began.
    #[error("the database is closed")]
    Closed,
}

/// Failure of [`crate::LogStore::append`], by what it means for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// Certainly not committed.
    #[error("not committed: {0}")]
    NotCommitted(#[from] NotCommitted),
    /// The connection was lost while committing: it may stand or not. Read [`crate::LogStore::head`] and look.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(String),
    /// The storage is broken: append nothing more, whatever stands there.
    #[error("the storage is broken: {0}")]
    Broken(String),
}

/// Why a [`crate::Change`] was refused inside the batch's transaction. The other items of the batch are not touched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// What the change was prepared against has changed since: prepare it again.
    #[error("{0} has changed meanwhile")]
    Conflict(&'static str),
    /// The thing to change isn't there.
    #[error("{0} isn't there")]
    NotFound(&'static str),
    /// The staff member who entered something can't approve it.
    #[error("whoever entered an import can't approve it")]
    SamePerson,
    /// The thing is in a state in which this can't be done to it.
    #[error("{0}")]
    State(&'static str),
}
