//! A copy as one stream of bytes: what a backup encrypts.
//!
//! ```text
//! "vrx-copy" | format u8 = 3 | municipality code u32 | tenant uuid 16
//! frames: 1 | table u8 | rows u32 | length u32 | the rows' bytes
//! end:    2 | for each table in their order: rows u64
//! ```
//! Nothing follows the end, and a stream without it isn't a copy. Integers are big-endian. A stream of an earlier format is read
//! too: it has fewer tables.

use std::io::{self, Read, Write};

use vrx_domain::{MunicipalityCode, Tenant, TenantId};

use super::row::{Malformed, Row, take};
use super::tables::{LAST_OF_FORMAT, TABLES, Table};

const MAGIC: &[u8; 8] = b"vrx-copy";
const FORMAT: u8 = 3;
const ROWS: u8 = 1;
const END: u8 = 2;
/// Most bytes of one frame: what a reader has to hold of a stream that anybody may have written.
const FRAME: usize = 64 << 20;
/// Bytes gathered before a frame is written, if its rows aren't larger.
const GATHER: usize = 1 << 20;

/// How many rows of each table, in the order of [`TABLES`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts([u64; TABLES.len()]);

impl RowCounts {
    /// The rows of one table.
    pub fn of(&self, table: &Table) -> u64 {
        let counts = TABLES.iter().zip(self.0);
        counts
            .filter(|(other, _)| other.number == table.number)
            .map(|(_, count)| count)
            .sum()
    }

    /// Counts more rows of one table.
    pub fn add(&mut self, table: &Table, rows: u64) {
        for (other, count) in TABLES.iter().zip(&mut self.0) {
            if other.number == table.number {
                *count += rows;
            }
        }
    }

    /// All rows.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each table with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Table, u64)> {
        TABLES.into_iter().zip(self.0)
    }
}

/// Why a stream can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// What it is read from or written to failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It isn't a copy, or not all of one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Writes a copy.
pub struct StreamWriter<W> {
    to: W,
    counts: RowCounts,
}

impl<W: Write> StreamWriter<W> {
    /// Begins the copy of a tenant.
    pub fn begin(mut to: W, tenant: &Tenant) -> Result<Self, StreamError> {
        to.write_all(MAGIC)?;
        to.write_all(&[FORMAT])?;
        to.write_all(&tenant.code.as_u32().to_be_bytes())?;
        to.write_all(tenant.id.as_bytes())?;
        Ok(Self {
            to,
            counts: RowCounts::default(),
        })
    }

    /// Writes rows of one table. Tables come in their order, rows in their key's.
    pub fn rows(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), StreamError> {
        let mut bytes = Vec::new();
        let mut count = 0_u32;
        for row in rows {
            row.encode(&mut bytes)?;
            count += 1;
            if bytes.len() >= GATHER {
                self.frame(table, count, &bytes)?;
                bytes.clear();
                count = 0;
            }
        }
        if count > 0 {
            self.frame(table, count, &bytes)?;
        }
        Ok(())
    }

    fn frame(&mut self, table: &'static Table, rows: u32, bytes: &[u8]) -> Result<(), StreamError> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if bytes.len() > FRAME {
            return Err(Malformed("a row is larger than a frame").into());
        }
        self.to.write_all(&[ROWS, table.number])?;
        self.to.write_all(&rows.to_be_bytes())?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(bytes)?;
        self.counts.add(table, rows.into());
        Ok(())
    }

    /// Ends the copy; gives back what it was written to, and what was written.
    pub fn end(mut self) -> Result<(W, RowCounts), StreamError> {
        self.to.write_all(&[END])?;
        for count in self.counts.0 {
            self.to.write_all(&count.to_be_bytes())?;
        }
        Ok((self.to, self.counts))
    }
}

/// Reads a copy.
pub struct StreamReader<R> {
    from: R,
    tenant: Tenant,
    /// The greatest number of a table in this format.
    last_table: u8,
    counts: RowCounts,
    /// The place in [`TABLES`] of the table being read: none before it comes again.
    table: usize,
}

/// What comes next in a copy.
pub enum Next {
    /// Rows of one table.
    Rows(&'static Table, Vec<Row>),
    /// The end, with as many rows as were written. Nothing follows.
    End(RowCounts),
}

impl<R: Read> StreamReader<R> {
    /// Reads whose copy it is.
    pub fn begin(mut from: R) -> Result<Self, StreamError> {
        let head: [u8; 29] = exactly(&mut from)?;
        let mut rest = head.as_slice();
        if &take::<8>(&mut rest)? != MAGIC {
            return Err(Malformed("it doesn't begin as a copy").into());
        }
        let [format] = take(&mut rest)?;
        let last_table = usize::from(format)
            .checked_sub(1)
            .and_then(|nth| LAST_OF_FORMAT.get(nth))
            .ok_or(Malformed(
                "it is of another format; use the version that wrote it",
            ))?;
        let code = MunicipalityCode::try_from(u32::from_be_bytes(take(&mut rest)?))
            .map_err(|_| Malformed("it is of no municipality"))?;
        let tenant = Tenant {
            id: TenantId::from_bytes(take(&mut rest)?),
            code,
        };
        Ok(Self {
            from,
            tenant,
            last_table: *last_table,
            counts: RowCounts::default(),
            table: 0,
        })
    }

    /// Whose copy it is.
    pub fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// Reads on.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would end at the first error as at the end"
    )]
    pub fn next(&mut self) -> Result<Next, StreamError> {
        let [kind] = exactly(&mut self.from)?;
        match kind {
            ROWS => self.rows(),
            END => self.end(),
            _ => Err(Malformed("a frame is of an unknown kind").into()),
        }
    }

    fn rows(&mut self) -> Result<Next, StreamError> {
        let [number] = exactly(&mut self.from)?;
        let count = u32::from_be_bytes(exactly(&mut self.from)?);
        let length = u32::from_be_bytes(exactly(&mut self.from)?);
        let later = TABLES.iter().enumerate().skip(self.table);
        let (at, table) = later
            .map(|(at, table)| (at, *table))
            .find(|(_, table)| table.number == number && number <= self.last_table)
            .ok_or(Malformed("a table is unknown or out of order"))?;
        let bytes = bounded(&mut self.from, length)?;
        let mut rest = bytes.as_slice();
        let mut rows = Vec::new();
        for _ in 0..count {
            rows.push(Row::decode(table, &mut rest)?);
        }
        if !rest.is_empty() || rows.is_empty() {
            return Err(Malformed("a frame is longer than its rows").into());
        }
        self.table = at;
        self.counts.add(table, count.into());
        Ok(Next::Rows(table, rows))
    }

    fn end(&mut self) -> Result<Next, StreamError> {
        let last = self.last_table;
        let of_format = self.counts.iter().filter(|(table, _)| table.number <= last);
        for (_, read) in of_format {
            if u64::from_be_bytes(exactly(&mut self.from)?) != read {
                return Err(Malformed("rows are missing").into());
            }
        }
        match self.from.read(&mut [0])? {
            0 => Ok(Next::End(self.counts)),
            _ => Err(Malformed("something follows the end").into()),
        }
    }
}

/// Reads a frame without believing its length: memory grows with what comes, not with what is claimed.
fn bounded(from: &mut impl Read, length: u32) -> Result<Vec<u8>, StreamError> {
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if wanted > FRAME {
        return Err(Malformed("a frame is too long").into());
    }
    let mut bytes = Vec::with_capacity(wanted.min(GATHER));
    from.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() == wanted {
        Ok(bytes)
    } else {
        Err(ends_early())
    }
}

fn exactly<const N: usize>(from: &mut impl Read) -> Result<[u8; N], StreamError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ends_early(),
            _ => error.into(),
        })?;
    Ok(bytes)
}

fn ends_early() -> StreamError {
    Malformed("it ends early").into()
}

#[cfg(test)]
mod tests {
    use super::super::row::Value;
    use super::super::tables::{LOG_TILE, TENANT_META};
    use super::*;

    fn tenant() -> Tenant {
        Tenant {
            id: TenantId::from_bytes([1; 16]),
            code: "142051".parse().unwrap(),
        }
    }

    fn tile(nth: i64) -> Row {
        Row(vec![
            Value::Integer(0),
            Value::Integer(nth),
            Value::Bytes(vec![7; 8192]),
        ])
    }

    fn stream() -> Vec<u8> {
        let mut writer = StreamWriter::begin(Vec::new(), &tenant()).unwrap();
        let meta = Row(vec![Value::Bytes(vec![1; 16]), Value::Integer(16)]);
        writer.rows(TENANT_META, &[meta]).unwrap();
        let tiles: Vec<Row> = (0..300).map(tile).collect();
        writer.rows(LOG_TILE, &tiles).unwrap();
        writer.end().unwrap().0
    }

    fn read(bytes: &[u8]) -> Result<RowCounts, StreamError> {
        let mut reader = StreamReader::begin(bytes)?;
        loop {
            if let Next::End(counts) = reader.next()? {
                return Ok(counts);
            }
        }
    }

    #[test]
    fn a_stream_is_read_back_with_its_tenant_and_its_counts() {
        let bytes = stream();
        assert_eq!(
            StreamReader::begin(bytes.as_slice()).unwrap().tenant(),
            tenant()
        );
        let counts = read(&bytes).unwrap();
        assert_eq!(
            (counts.of(TENANT_META), counts.of(LOG_TILE), counts.total()),
            (1, 300, 301)
        );
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_refused() {
        let bytes = stream();
        let ends = (0..200).chain((bytes.len() - 200)..bytes.len());
        for cut in ends.chain((200..bytes.len()).step_by(9_973)) {
            assert!(read(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_follows_the_end_and_what_is_out_of_order_are_refused() {
        let mut longer = stream();
        longer.push(0);
        assert!(read(&longer).is_err());
        let mut writer = StreamWriter::begin(Vec::new(), &tenant()).unwrap();
        writer.rows(LOG_TILE, &[tile(0)]).unwrap();
        let meta = Row(vec![Value::Bytes(vec![1; 16]), Value::Integer(16)]);
        writer.rows(TENANT_META, &[meta]).unwrap();
        assert!(read(&writer.end().unwrap().0).is_err());
    }

    #[test]
    fn a_copy_of_the_format_before_is_read_and_one_to_come_is_not() {
        let mut bytes = stream();
        let counts_at = bytes.len() - 8 * TABLES.len();
        let counts: Vec<u8> = TABLES
            .iter()
            .zip(bytes[counts_at..].chunks(8))
            .filter(|(table, _)| table.number <= LAST_OF_FORMAT[0])
            .flat_map(|(_, count)| count.to_vec())
            .collect();
        assert!(counts.len() < 8 * TABLES.len());
        bytes.truncate(counts_at);
        bytes.extend(counts);
        assert!(read(&bytes).is_err(), "the counts are of another format");
        bytes[8] = 1;
        assert_eq!(read(&bytes).unwrap().of(LOG_TILE), 300);
        for unknown in [0, FORMAT + 1] {
            bytes[8] = unknown;
            assert!(StreamReader::begin(bytes.as_slice()).is_err());
        }
    }

    #[test]
    fn a_frame_that_claims_more_than_it_may_is_refused_before_it_is_read() {
        let mut bytes = stream()[..29].to_vec();
        bytes.extend([ROWS, LOG_TILE.number, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(read(&bytes), Err(StreamError::Malformed(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let mut whole = stream()[..29].to_vec();
            whole.extend(bytes);
            drop(read(&whole));
        }
    }
}
