//! What both imports share: bytes in, chunks of rows through the log, refused rows out, nothing held beyond one chunk.

use vrx_domain::ImportId;

/// How an import is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportRequest {
    /// Read, parse and compare, but write nothing: no row, no entry.
    pub check_only: bool,
}

/// What an import says while it runs. Sent through a bounded channel: a caller that doesn't read stops the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportEvent {
    /// How far it is.
    Progress {
        /// Bytes of the file taken in so far.
        bytes: u64,
        /// Rows read so far, refused ones included.
        rows: u64,
    },
    /// A row that wasn't taken.
    Refused(RefusedRow),
}

/// Why a row wasn't taken. Never repeats what stood in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Line of the file, from 1; the header is line 1.
    pub line: u64,
    /// Name of the column, as the layout names it; empty when the row as a whole is at fault.
    pub column: String,
    /// What is wrong.
    pub reason: String,
}

/// How an import ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSummary {
    /// The import to be approved; none if nothing new was entered.
    pub import: Option<ImportId>,
    /// Rows read, without the header.
    pub rows: u64,
    /// Persons or doses entered anew or as a new revision.
    pub entered: u64,
    /// Persons or doses that were there already, unchanged.
    pub unchanged: u64,
    /// Rows refused (for doses: a row is refused when one of its doses is).
    pub refused: u64,
    /// Log entries that this import made: one a chunk.
    pub entries: u64,
}
