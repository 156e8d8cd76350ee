//! Bytes to records: the CSV of RFC 4180, read as it streams in, within fixed bounds.
//!
//! - A record ends with LF or CRLF, or with the file; empty lines (and the Ctrl-Z that old systems leave at the end) are passed over.
//! - A field that begins with `"` ends with `"`; within it `""` is one `"`, and `,` and line breaks are text. Elsewhere `"` is text.
//! - A record is at most [`MAX_RECORD_BYTES`] long and spans at most [`MAX_RECORD_LINES`] lines.
//!
//! A stray quotation mark must not swallow the rows behind it. So when a record breaks (a mark left open, text after a closing mark, a bound passed), its
//! *first line* alone is refused and reading starts again on the next line. The bound on lines keeps that cheap: a byte is read at most
//! [`MAX_RECORD_LINES`] + 1 times.

use zeroize::{Zeroize, Zeroizing};

use super::Bytes;
use super::refusal::Reason;

/// The longest record, in bytes before decoding.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// The most lines that one record may span.
pub const MAX_RECORD_LINES: usize = 16;
/// The most columns: more than any layout has.
const MAX_COLUMNS: usize = 1024;

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// A record or what is left of one.
pub(super) enum Found {
    Record(Record),
    Broken { line: u64, reason: Reason },
}

/// The undecoded fields of one record. Wiped on drop.
pub(super) struct Record {
    line: u64,
    bytes: Bytes,
    ends: Vec<usize>,
}

impl Record {
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn field(&self, at: usize) -> Option<&[u8]> {
        let start = match at.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(at)?)
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.field(at))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// At the start of a field.
    Start,
    /// In a field without marks.
    Plain,
    /// Between marks.
    Quoted,
    /// After a mark within marks: the end, or the first half of `""`.
    Mark,
    /// After a closing mark and a CR.
    MarkReturn,
    /// In a line that is too long: passing over what is left of it.
    Skipping,
}

/// Turns chunks into records.
pub(super) struct Records {
    /// The first bytes, until it is clear whether they are a byte order mark; `None` afterwards.
    opening: Option<Vec<u8>>,
    byte_order_mark: bool,
    /// The line on which the record under way begins.
    line: u64,
    /// Line breaks within the record under way.
    breaks: usize,
    mode: Mode,
    /// The record under way as it came, in case it must be read again. Never grows past its first allocation, nor does `unquoted`.
    raw: Bytes,
    unquoted: Bytes,
    ends: Vec<usize>,
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            opening: Some(Vec::with_capacity(3)),
            byte_order_mark: false,
            line: 1,
            breaks: 0,
            mode: Mode::Start,
            raw: Zeroizing::new(Vec::with_capacity(MAX_RECORD_BYTES)),
            unquoted: Zeroizing::new(Vec::with_capacity(MAX_RECORD_BYTES)),
            ends: Vec::new(),
        }
    }

    pub(super) fn had_byte_order_mark(&self) -> bool {
        self.byte_order_mark
    }

    /// Takes the next bytes and gives the records that end in them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let bytes = self.open(bytes, &mut found);
        self.read(bytes, &mut found);
        found
    }

    /// The file is over: gives what is left.
    pub(super) fn finish(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(opening) = self.opening.take() {
            self.read(&opening, &mut found);
        }
        // Each round ends the record or refuses its first line, so at most one round a line.
        while !self.raw.is_empty() {
            match self.mode {
                Mode::Quoted => self.broken(Reason::Quote, &mut found),
                Mode::Start | Mode::Plain | Mode::Mark | Mode::MarkReturn => {
                    self.end_record(&mut found);
                }
                Mode::Skipping => break,
            }
        }
        found
    }

    /// Passes over a byte order mark, in however many pieces it comes; gives the bytes after it.
    fn open<'a>(&mut self, bytes: &'a [u8], found: &mut Vec<Found>) -> &'a [u8] {
        let Some(mut opening) = self.opening.take() else {
            return bytes;
        };
        let (head, rest) = bytes.split_at(bytes.len().min(BYTE_ORDER_MARK.len() - opening.len()));
        opening.extend_from_slice(head);
        if opening == BYTE_ORDER_MARK {
            self.byte_order_mark = true;
        } else if BYTE_ORDER_MARK.starts_with(&opening) {
            self.opening = Some(opening);
        } else {
            self.read(&opening, found);
        }
        rest
    }

    fn read(&mut self, bytes: &[u8], found: &mut Vec<Found>) {
        for byte in bytes {
            self.byte(*byte, found);
        }
    }

    fn byte(&mut self, byte: u8, found: &mut Vec<Found>) {
        if self.mode == Mode::Skipping {
            if byte == b'\n' {
                self.begin(self.line + 1);
            }
            return;
        }
        if self.raw.len() == MAX_RECORD_BYTES {
            self.broken(Reason::TooLong, found);
            // The byte belongs to what is read next.
            return self.byte(byte, found);
        }
        self.raw.push(byte);
        match (self.mode, byte) {
            (Mode::Start, b'"') => self.mode = Mode::Quoted,
            (Mode::Start | Mode::Plain | Mode::Mark, b',') => {
                if self.ends.len() == MAX_COLUMNS {
                    return self.broken(Reason::ColumnCount, found);
                }
                self.ends.push(self.unquoted.len());
                self.mode = Mode::Start;
            }
            (Mode::Start | Mode::Plain | Mode::Mark | Mode::MarkReturn, b'\n') => {
                self.end_record(found);
            }
            (Mode::Start | Mode::Plain, _) => {
                self.unquoted.push(byte);
                self.mode = Mode::Plain;
            }
            (Mode::Quoted, b'"') => self.mode = Mode::Mark,
            (Mode::Quoted, _) => {
                self.breaks += usize::from(byte == b'\n');
                if self.breaks == MAX_RECORD_LINES {
                    return self.broken(Reason::Quote, found);
                }
                self.unquoted.push(byte);
            }
            (Mode::Mark, b'"') => {
                self.unquoted.push(byte);
                self.mode = Mode::Quoted;
            }
            (Mode::Mark, b'\r') => self.mode = Mode::MarkReturn,
            (Mode::Mark | Mode::MarkReturn, _) => self.broken(Reason::Quote, found),
            (Mode::Skipping, _) => {}
        }
    }

    /// The record is complete.
    fn end_record(&mut self, found: &mut Vec<Found>) {
        if self.mode == Mode::Plain && self.unquoted.last() == Some(&b'\r') {
            self.unquoted.pop();
        }
        self.ends.push(self.unquoted.len());
        let empty_line = self.ends.len() == 1
            && !self.raw.starts_with(b"\"")
            && matches!(self.unquoted.as_slice(), [] | [0x1a]);
        if !empty_line {
            found.push(Found::Record(Record {
                line: self.line,
                bytes: self.unquoted.clone(),
                ends: self.ends.clone(),
            }));
        }
        let next = self.line + 1 + self.breaks as u64;
        self.begin(next);
    }

    /// Refuses the first line of the record under way and reads the others again, as lines of their own.
    fn broken(&mut self, reason: Reason, found: &mut Vec<Found>) {
        found.push(Found::Broken {
            line: self.line,
            reason,
        });
        let first_line = self.raw.iter().position(|byte| *byte == b'\n');
        let again: Bytes = Zeroizing::new(
            first_line
                .and_then(|at| self.raw.get(at + 1..))
                .unwrap_or_default()
                .to_vec(),
        );
        let next = self.line;
        if first_line.is_some() {
            self.begin(next + 1);
            // No deeper than there are lines in `again`: each level drops one.
            self.read(&again, found);
        } else {
            self.begin(next);
            self.mode = Mode::Skipping;
        }
    }

    fn begin(&mut self, line: u64) {
        self.line = line;
        self.breaks = 0;
        self.mode = Mode::Start;
        // What was used is wiped; wiping all the room for each of a hundred thousand rows would cost more than reading them.
        for bytes in [&mut self.raw, &mut self.unquoted] {
            bytes.as_mut_slice().zeroize();
            bytes.clear();
        }
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outline(found: &[Found]) -> Vec<(u64, Result<Vec<String>, Reason>)> {
        found
            .iter()
            .map(|found| match found {
                Found::Record(record) => (
                    record.line(),
                    Ok(record
                        .fields()
                        .map(|field| String::from_utf8_lossy(field).into_owned())
                        .collect()),
                ),
                Found::Broken { line, reason } => (*line, Err(*reason)),
            })
            .collect()
    }

    fn read_in(bytes: &[u8], chunk: usize) -> Vec<(u64, Result<Vec<String>, Reason>)> {
        let mut records = Records::new();
        let mut found: Vec<Found> = bytes
            .chunks(chunk)
            .flat_map(|chunk| records.push(chunk))
            .collect();
        found.extend(records.finish());
        outline(&found)
    }

    fn read(text: &str) -> Vec<(u64, Result<Vec<String>, Reason>)> {
        let whole = read_in(text.as_bytes(), usize::MAX);
        for chunk in 1..5 {
            assert_eq!(read_in(text.as_bytes(), chunk), whole, "chunks of {chunk}");
        }
        whole
    }

    fn row(line: u64, fields: &[&str]) -> (u64, Result<Vec<String>, Reason>) {
        (line, Ok(fields.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn lines_end_with_lf_or_crlf_or_the_file() {
        assert_eq!(
            read("a,b\r\nc,d\ne,f"),
            [
                row(1, &["a", "b"]),
                row(2, &["c", "d"]),
                row(3, &["e", "f"])
            ]
        );
        assert_eq!(read("a\r\n"), [row(1, &["a"])]);
        assert_eq!(
            read("a,\r\n,b\r\n"),
            [row(1, &["a", ""]), row(2, &["", "b"])]
        );
        assert_eq!(read("a\r"), [row(1, &["a"])]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn empty_lines_and_the_old_end_mark_are_passed_over_and_counted() {
        assert_eq!(
            read("a\r\n\r\n\nb\r\n\x1a"),
            [row(1, &["a"]), row(4, &["b"])]
        );
        assert_eq!(read("\"\"\n"), [row(1, &[""])]);
    }

    #[test]
    fn quoted_fields_hold_commas_marks_and_line_breaks() {
        assert_eq!(
            read("\"a,\"\"b\"\"\",\"c\r\nd\"\r\ne,f\""),
            [row(1, &["a,\"b\"", "c\r\nd"]), row(3, &["e", "f\""])]
        );
        assert_eq!(read("\"a\"\r\n\"b\""), [row(1, &["a"]), row(2, &["b"])]);
        assert_eq!(read("a\"b,c\n"), [row(1, &["a\"b", "c"])]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_even_before_a_mark() {
        assert_eq!(read("\u{feff}\"a\",b\n"), [row(1, &["a", "b"])]);
        assert_eq!(read_in(b"\xef\xbb", 1), read_in(b"\xef\xbb", 2));
    }

    #[test]
    fn an_open_mark_costs_one_line_and_no_more() {
        assert_eq!(
            read("a,\"b\nc,d\ne,f\n"),
            [
                (1, Err(Reason::Quote)),
                row(2, &["c", "d"]),
                row(3, &["e", "f"])
            ]
        );
        assert_eq!(
            read("a,\"b\" x\nc,d\n"),
            [(1, Err(Reason::Quote)), row(2, &["c", "d"])]
        );
        assert_eq!(
            read("\"a\"\rb\nc\n"),
            [(1, Err(Reason::Quote)), row(2, &["c"])]
        );
        // Two of them: the second mark seems to close the first, then text follows.
        assert_eq!(
            read("\"a\n\"b\nc\n"),
            [
                (1, Err(Reason::Quote)),
                (2, Err(Reason::Quote)),
                row(3, &["c"])
            ]
        );
    }

    #[test]
    fn an_open_mark_in_a_long_file_is_noticed_after_sixteen_lines() {
        let mut text = "\"open\n".to_owned();
        text.extend((0..1000).map(|n| format!("{n},x\n")));
        let found = read(&text);
        assert_eq!(found.len(), 1001);
        assert_eq!(found[0], (1, Err(Reason::Quote)));
        assert_eq!(found[1000], row(1001, &["999", "x"]));
    }

    #[test]
    fn a_line_without_end_is_refused_and_the_next_is_read() {
        let text = format!("a\n{}\nb\n", "x".repeat(3 * MAX_RECORD_BYTES));
        assert_eq!(
            read_in(text.as_bytes(), 4096),
            [row(1, &["a"]), (2, Err(Reason::TooLong)), row(3, &["b"])]
        );
        let text = format!("a\n\"{}\nb\n", "x".repeat(3 * MAX_RECORD_BYTES));
        assert_eq!(
            read_in(text.as_bytes(), 4096),
            [row(1, &["a"]), (2, Err(Reason::TooLong)), row(3, &["b"])]
        );
        let text = format!("a\n{}\nb\n", ",".repeat(MAX_COLUMNS + 5));
        assert_eq!(
            read_in(text.as_bytes(), 4096),
            [
                row(1, &["a"]),
                (2, Err(Reason::ColumnCount)),
                row(3, &["b"])
            ]
        );
    }

    proptest! {
        #[test]
        fn what_the_csv_crate_writes_is_read_back(rows in proptest::collection::vec(proptest::collection::vec("[a-z\",\r\n ]{0,8}", 2..5), 1..8), chunk in 1_usize..9) {
            let mut writer = csv::WriterBuilder::new().flexible(true).terminator(csv::Terminator::CRLF).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let read: Vec<Vec<String>> = read_in(&bytes, chunk).into_iter().map(|(_, row)| row.unwrap()).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn chunks_make_no_difference(text in "[ab\",\r\n]{0,200}", chunk in 1_usize..9) {
            prop_assert_eq!(read_in(text.as_bytes(), chunk), read_in(text.as_bytes(), usize::MAX));
        }

        /// Whatever the rows before: a plain row after a line break is found, unless a quoted field holds it.
        #[test]
        fn every_line_is_accounted_for(text in "[ab\",\n]{0,120}") {
            let found = read_in(text.as_bytes(), usize::MAX);
            prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
