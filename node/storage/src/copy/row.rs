//! A row as a copy holds it, and its bytes.
//!
//! ```text
//! row: for each column of the table  kind u8  value
//! kind 0: nothing     kind 1: integer, i64     kind 2: bytes, u32 length, bytes     kind 3: text, u32 length, UTF-8
//! ```
//! Integers are big-endian. There is one way to write a row, so what parses prints the same bytes.

use super::tables::{Kind, Table};

/// A row's bytes, or a stream of them, that aren't what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the copy is malformed: {0}")]
pub struct Malformed(pub &'static str);

/// One value of a row. It may be a ciphertext, never a plaintext.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// An integer of any width.
    Integer(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
}

/// What sort of value it is and how long, never the value.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Integer(_) => f.write_str("an integer"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Text(text) => write!(f, "a text of {} bytes", text.len()),
        }
    }
}

/// A row: one value for each column of its table, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

/// A row's key: what comes after it is copied next.
pub type Key = Row;

impl Row {
    /// The values of the table's key.
    #[must_use]
    pub fn key(&self, table: &Table) -> Key {
        Self(self.0.iter().take(table.key).cloned().collect())
    }

    /// The bytes in a column, if bytes stand there.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        match self.0.get(column) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The integer in a column, if it is one that isn't negative.
    pub fn unsigned(&self, column: usize) -> Option<u64> {
        match self.0.get(column) {
            Some(Value::Integer(value)) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Whether every value fits its column.
    pub fn fits(&self, table: &Table) -> bool {
        self.0.len() == table.columns.len()
            && self
                .0
                .iter()
                .zip(table.columns)
                .all(|(value, column)| match value {
                    Value::Null => column.nullable,
                    Value::Integer(value) => match column.kind {
                        Kind::Small => i16::try_from(*value).is_ok(),
                        Kind::Integer => i32::try_from(*value).is_ok(),
                        Kind::Big => true,
                        Kind::Bytes | Kind::Text => false,
                    },
                    Value::Bytes(_) => column.kind == Kind::Bytes,
                    // PostgreSQL has no text with this character, so a copy has none.
                    Value::Text(text) => column.kind == Kind::Text && !text.contains('\0'),
                })
    }

    /// Appends the row's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        for value in &self.0 {
            match value {
                Value::Null => out.push(0),
                Value::Integer(value) => {
                    out.push(1);
                    out.extend_from_slice(&value.to_be_bytes());
                }
                Value::Bytes(bytes) => with_length(out, 2, bytes)?,
                Value::Text(text) => with_length(out, 3, text.as_bytes())?,
            }
        }
        Ok(())
    }

    /// Takes one row of the table off the front of `bytes`.
    pub fn decode(table: &Table, bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let values = table.columns.iter().map(|_| value(bytes));
        let row = Self(values.collect::<Result<_, _>>()?);
        if row.fits(table) {
            Ok(row)
        } else {
            Err(Malformed("a value doesn't fit its column"))
        }
    }
}

fn with_length(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> Result<(), Malformed> {
    let length = u32::try_from(bytes.len()).map_err(|_| Malformed("a value is too long"))?;
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn value(bytes: &mut &[u8]) -> Result<Value, Malformed> {
    let [kind] = take(bytes)?;
    match kind {
        0 => Ok(Value::Null),
        1 => Ok(Value::Integer(i64::from_be_bytes(take(bytes)?))),
        2 => Ok(Value::Bytes(counted(bytes)?.to_vec())),
        3 => std::str::from_utf8(counted(bytes)?)
            .map(|text| Value::Text(text.to_owned()))
            .map_err(|_| Malformed("a text isn't UTF-8")),
        _ => Err(Malformed("a value is of an unknown kind")),
    }
}

fn counted<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = u32::from_be_bytes(take(bytes)?);
    let length = usize::try_from(length).map_err(|_| ENDS_EARLY)?;
    let (counted, rest) = bytes.split_at_checked(length).ok_or(ENDS_EARLY)?;
    *bytes = rest;
    Ok(counted)
}

pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(ENDS_EARLY)?;
    *bytes = rest;
    Ok(*head)
}

const ENDS_EARLY: Malformed = Malformed("a row ends early");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tables::{Column, TABLES};
    use super::*;

    fn value_of(column: &'static Column) -> BoxedStrategy<Value> {
        let integer = |least: i64, most: i64| (least..=most).prop_map(Value::Integer).boxed();
        let value = match column.kind {
            Kind::Small => integer(i16::MIN.into(), i16::MAX.into()),
            Kind::Integer => integer(i32::MIN.into(), i32::MAX.into()),
            Kind::Big => integer(i64::MIN, i64::MAX),
            Kind::Bytes => prop::collection::vec(any::<u8>(), 0..300)
                .prop_map(Value::Bytes)
                .boxed(),
            Kind::Text => "[^\0]{0,80}".prop_map(Value::Text).boxed(),
        };
        if column.nullable {
            prop_oneof![Just(Value::Null), value].boxed()
        } else {
            value
        }
    }

    fn any_row() -> impl Strategy<Value = (&'static Table, Row)> {
        prop::sample::select(TABLES.to_vec()).prop_flat_map(|table| {
            let values: Vec<_> = table.columns.iter().map(value_of).collect();
            values.prop_map(move |values| (table, Row(values)))
        })
    }

    proptest! {
        #[test]
        fn a_row_is_read_back_as_it_was_written((table, row) in any_row()) {
            let mut bytes = Vec::new();
            row.encode(&mut bytes).unwrap();
            let mut rest = bytes.as_slice();
            prop_assert!(Row::decode(table, &mut rest).unwrap() == row);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_row_that_ends_early_is_refused((table, row) in any_row(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            row.encode(&mut bytes).unwrap();
            let mut rest = &bytes[..cut.index(bytes.len())];
            prop_assert!(Row::decode(table, &mut rest).is_err());
        }

        #[test]
        fn what_parses_prints_the_same(nth in 0..TABLES.len(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            if let Ok(row) = Row::decode(TABLES[nth], &mut rest) {
                let mut again = Vec::new();
                row.encode(&mut again).unwrap();
                prop_assert_eq!(&bytes[..bytes.len() - rest.len()], again);
            }
        }
    }

    #[test]
    fn a_value_that_does_not_fit_its_column_is_refused() {
        let head = |size, checkpoint| {
            Row(vec![
                size,
                Value::Bytes(vec![0; 32]),
                Value::Integer(1),
                Value::Integer(0),
                checkpoint,
            ])
        };
        let table = super::super::tables::LOG_HEAD;
        assert!(head(Value::Integer(0), Value::Null).fits(table));
        assert!(!head(Value::Null, Value::Null).fits(table));
        assert!(!head(Value::Integer(0), Value::Bytes(Vec::new())).fits(table));
        assert!(!head(Value::Integer(0), Value::Text("a\0".to_owned())).fits(table));
        assert!(!Row(vec![Value::Integer(0)]).fits(table));
    }
}
