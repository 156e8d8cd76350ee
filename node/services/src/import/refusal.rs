//! Why a row or a file is refused. Nothing here can hold a value of the file: a reason is a word, a column the layout's own name.

use vrx_domain::{CodeError, DateError, DoseError, NumberError, PersonError, VoucherError};

/// A row that wasn't taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The line on which it begins, from 1; the header is line 1.
    pub line: u64,
    /// The column by the layout's name; empty when the row as a whole is at fault.
    pub column: String,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a row. Copied freely: it holds no text of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A needed field is empty.
    #[error("the field is empty and must not be")]
    Missing,
    /// Bytes that the file's encoding doesn't have, or the mark that an earlier conversion left for them (U+FFFD).
    #[error("a character can't be read in the encoding of the file")]
    Undecodable,
    /// 外字: a character of the private use area, whose shape only one system knows.
    #[error("a user-defined character (外字): replace it by a standard one")]
    PrivateUse,
    /// A control character, or one that reverses the direction of text.
    #[error("a control character")]
    Control,
    /// More characters than the column holds, or more bytes than a record may have.
    #[error("the text is too long")]
    TooLong,
    /// More or fewer columns than the header.
    #[error("the row has not as many columns as the header")]
    ColumnCount,
    /// A quotation mark that isn't closed, or text after a closed one.
    #[error("a quotation mark is not closed, or text follows a closed one")]
    Quote,
    /// Not an individual number (個人番号).
    #[error("{0}")]
    Number(#[from] NumberError),
    /// Not a day.
    #[error("{0}")]
    Date(#[from] DateError),
    /// A day after today where the past is meant.
    #[error("the day is in the future")]
    Future,
    /// Two days of the row contradict each other.
    #[error("the day is before another day of the row that must come first")]
    Order,
    /// Not 1, 2 or 9.
    #[error("the sex is 1 (男), 2 (女) or 9 (不明)")]
    Sex,
    /// Not an addressee number (宛名番号), or a measure that ends before it begins.
    #[error("{0}")]
    Person(#[from] PersonError),
    /// Not a code of a municipality or a ward.
    #[error("{0}")]
    Code(#[from] CodeError),
    /// Not a voucher number (接種券番号).
    #[error("{0}")]
    Voucher(#[from] VoucherError),
    /// Not a registration time, or a dose number out of range.
    #[error("{0}")]
    Dose(#[from] DoseError),
}

/// Why a whole file can't be read. Positions count from 1; names are the layout's, never the file's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not even a header.
    #[error("the file is empty: a header row is needed")]
    Empty,
    /// The first row is too long or badly quoted.
    #[error("the header row can't be read: too long or badly quoted")]
    Header,
    /// The header is legible neither in the encoding given nor, when none was given, in UTF-8 or CP932.
    #[error(
        "the header row is not legible in UTF-8 or CP932, or not in the encoding that was given"
    )]
    Encoding,
    /// A name that isn't the layout's, or not at this place.
    #[error("column {position} of the header is not the one that the layout has there")]
    UnknownColumn {
        /// Which column, from 1.
        position: usize,
    },
    /// A needed column isn't there.
    #[error("the header has no column {0}")]
    MissingColumn(&'static str),
    /// A column stands twice.
    #[error("the header has the column {0} twice")]
    RepeatedColumn(&'static str),
    /// A group of dose columns is cut short, or there is none, or more than 99.
    #[error("the header has 1 column for the person and 8 for each of 1 to 99 doses")]
    DoseGroups,
}
