//! Files of the municipality's own systems, turned into domain types as their bytes stream in.
//!
//! **What this folder is for.** A CSV of residents ([`persons`]) or of doses ([`ledger`]) comes in chunks of any size; out come rows that the
//! registry can take, and refusals that say line, column and reason. Pure: no store, no clock, no channel.
//!
//! **Rules.** A bad row never stops the rows around it; a bad header is one [`FileError`] for the whole file. A refusal never repeats what stood in
//! the file: [`Reason`] has no room for a value, and a column is named only by the layout's own word. Memory is bounded by one record
//! ([`MAX_RECORD_BYTES`]), and what held a record is wiped.
//!
//! **Where to start reading.** [`CsvImport`] for the way through, [`records`] for what counts as a record, [`encoding`] for CP932 and its traps.
//!
//! **How to add a layout.** A file beside `ledger.rs` that implements [`Layout`] and documents its columns.

pub mod encoding;
mod field;
pub mod ledger;
pub mod persons;
pub mod records;
mod refusal;

use vrx_domain::Date;
use zeroize::Zeroizing;

pub use self::encoding::Encoding;
pub use self::ledger::{LedgerDose, LedgerLayout, LedgerRow};
pub use self::persons::{PersonEntry, PersonsLayout};
pub use self::records::MAX_RECORD_BYTES;
pub use self::refusal::{FileError, Reason, RefusedRow};

use self::field::Fields;
use self::records::{Found, Records};

/// A row that could be read.
pub struct ParsedRow<T> {
    /// The line on which it begins, from 1; the header is line 1.
    pub line: u64,
    /// What it says.
    pub row: T,
}

/// What came of one row of the file.
pub enum Row<T> {
    /// It could be read.
    Parsed(ParsedRow<T>),
    /// It couldn't.
    Refused(RefusedRow),
}

/// What the columns of a file mean.
pub trait Layout {
    /// What one row says.
    type Row;
    /// Which column stands where, learnt from the header.
    type Columns;

    /// Understands the header; `names` are decoded, trimmed and width-normalised (NFKC).
    fn columns(&self, names: &[String]) -> Result<Self::Columns, FileError>;

    /// Reads one row.
    fn row(&self, columns: &Self::Columns, fields: &Fields<'_>) -> Result<Self::Row, Refusal>;
}

/// Why a row is refused, before its line is known: the column by the layout's word (empty for the whole row) and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    column: String,
    reason: Reason,
}

/// Reads one file. Push the chunks as they come, then finish.
pub struct CsvImport<L: Layout> {
    layout: L,
    records: Records,
    /// Given by the caller, or recognised by the header: Japanese names are legible in one encoding only.
    encoding: Option<Encoding>,
    columns: Option<L::Columns>,
    width: usize,
    failed: Option<FileError>,
    rows: u64,
}

impl CsvImport<PersonsLayout> {
    /// Residents, by the layout documented in [`persons`]. Without an encoding it is recognised by the header.
    pub fn persons(encoding: Option<Encoding>, today: Date) -> Self {
        Self::new(PersonsLayout::new(today), encoding)
    }
}

impl CsvImport<LedgerLayout> {
    /// Doses, by the official ledger layout documented in [`ledger`]. Without an encoding it is recognised by the header.
    pub fn ledger(encoding: Option<Encoding>) -> Self {
        Self::new(LedgerLayout, encoding)
    }
}

impl<L: Layout> CsvImport<L> {
    /// A file of this layout.
    pub fn new(layout: L, encoding: Option<Encoding>) -> Self {
        Self {
            layout,
            records: Records::new(),
            encoding,
            columns: None,
            width: 0,
            failed: None,
            rows: 0,
        }
    }

    /// Takes the next bytes and gives the rows that are complete with them. After a [`FileError`] every call repeats it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Row<L::Row>>, FileError> {
        let found = self.records.push(bytes);
        self.read(found)
    }

    /// The file is over: gives the rows that only its end completes. A file without a header is an error, one without rows isn't.
    pub fn finish(&mut self) -> Result<Vec<Row<L::Row>>, FileError> {
        let found = self.records.finish();
        let rows = self.read(found)?;
        if self.columns.is_none() {
            Err(self.fail(FileError::Empty))
        } else {
            Ok(rows)
        }
    }

    /// The encoding, once it is known.
    pub fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Rows so far, refused ones included, the header not.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn read(&mut self, found: Vec<Found>) -> Result<Vec<Row<L::Row>>, FileError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut rows = Vec::with_capacity(found.len());
        for record in found {
            if self.columns.is_none() {
                self.header(record)?;
            } else {
                self.rows += 1;
                rows.push(self.row(record));
            }
        }
        Ok(rows)
    }

    fn header(&mut self, found: Found) -> Result<(), FileError> {
        let Found::Record(record) = found else {
            return Err(self.fail(FileError::Header));
        };
        let candidates: &[Encoding] = match (self.encoding, self.records.had_byte_order_mark()) {
            (Some(Encoding::Cp932), true) => return Err(self.fail(FileError::Encoding)),
            (Some(Encoding::Cp932), false) => &[Encoding::Cp932],
            (Some(Encoding::Utf8), _) | (None, true) => &[Encoding::Utf8],
            (None, false) => &[Encoding::Utf8, Encoding::Cp932],
        };
        // The first encoding in which the whole header is legible decides; what is wrong with the names then is the error.
        for encoding in candidates {
            let names: Result<Vec<String>, Reason> = record
                .fields()
                .map(|bytes| field::header_name(*encoding, bytes))
                .collect();
            if let Ok(names) = names {
                let columns = match self.layout.columns(&names) {
                    Ok(columns) => columns,
                    Err(error) => return Err(self.fail(error)),
                };
                self.encoding = Some(*encoding);
                self.width = names.len();
                self.columns = Some(columns);
                return Ok(());
            }
        }
        Err(self.fail(FileError::Encoding))
    }

    fn row(&self, found: Found) -> Row<L::Row> {
        let (line, refusal) = match found {
            Found::Broken { line, reason } => (
                line,
                Refusal {
                    column: String::new(),
                    reason,
                },
            ),
            Found::Record(record) => match self.parse(&record) {
                Ok(row) => {
                    return Row::Parsed(ParsedRow {
                        line: record.line(),
                        row,
                    });
                }
                Err(refusal) => (record.line(), refusal),
            },
        };
        Row::Refused(RefusedRow {
            line,
            column: refusal.column,
            reason: refusal.reason,
        })
    }

    fn parse(&self, record: &records::Record) -> Result<L::Row, Refusal> {
        let (Some(columns), Some(encoding)) = (&self.columns, self.encoding) else {
            return Err(Refusal {
                column: String::new(),
                reason: Reason::ColumnCount,
            });
        };
        if record.len() != self.width {
            return Err(Refusal {
                column: String::new(),
                reason: Reason::ColumnCount,
            });
        }
        self.layout.row(columns, &Fields::new(record, encoding))
    }

    fn fail(&mut self, error: FileError) -> FileError {
        self.failed = Some(error.clone());
        error
    }
}

/// What came of each row, without what stood in it: for fuzzing and for tests that compare two ways of reading one file.
pub type Outline = Result<Vec<(u64, Option<(String, Reason)>)>, FileError>;

/// Reads a whole file in chunks of `chunk` bytes and outlines the result. Must never panic, whatever the bytes, and never depend on `chunk`.
pub fn outline<L: Layout>(mut import: CsvImport<L>, bytes: &[u8], chunk: usize) -> Outline {
    let mut outline = Vec::new();
    let mut take = |rows: Vec<Row<L::Row>>| {
        outline.extend(rows.into_iter().map(|row| match row {
            Row::Parsed(row) => (row.line, None),
            Row::Refused(refused) => (refused.line, Some((refused.column, refused.reason))),
        }));
    };
    for chunk in bytes.chunks(chunk.max(1)) {
        take(import.push(chunk)?);
    }
    take(import.finish()?);
    Ok(outline)
}

/// The entry point of the fuzz target: both layouts, each encoding, and any chunking, which must make no difference.
///
/// # Panics
///
/// When it finds a bug: chunks changed the result.
pub fn fuzz(data: &[u8]) {
    let [choice, chunk, bytes @ ..] = data else {
        return;
    };
    let encoding = [None, Some(Encoding::Utf8), Some(Encoding::Cp932)]
        .into_iter()
        .nth(usize::from(choice % 3))
        .flatten();
    let chunk = usize::from(*chunk).max(1);
    if *choice < 128 {
        let Ok(today) = Date::from_ymd(2026, 1, 1) else {
            return;
        };
        let import = || CsvImport::persons(encoding, today);
        assert_eq!(
            outline(import(), bytes, chunk),
            outline(import(), bytes, usize::MAX),
            "chunks changed the result"
        );
    } else {
        let import = || CsvImport::ledger(encoding);
        assert_eq!(
            outline(import(), bytes, chunk),
            outline(import(), bytes, usize::MAX),
            "chunks changed the result"
        );
    }
}

/// Bytes of a record, wiped when they go.
type Bytes = Zeroizing<Vec<u8>>;

#[cfg(test)]
mod tests;
