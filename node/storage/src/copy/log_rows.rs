//! The log's rows as a copy holds them, and back.

use super::row::{Row, Value};
use super::tables::LOG_HEAD;
use super::{LOG_ENTRY, LOG_TILE, LOST_LOG, TenantSource};
use crate::{EntryRow, HeadRow, LostLog, StorageError, TileRow};

/// Where a copied log stands.
pub async fn head(source: &mut dyn TenantSource) -> Result<HeadRow, StorageError> {
    let rows = source.rows(LOG_HEAD, None).await?;
    rows.first()
        .and_then(head_of)
        .ok_or_else(|| StorageError::Inconsistent {
            table: LOG_HEAD.name,
            column: "*",
            row: "there is none, or not a head".to_owned(),
        })
}

/// The head in a row of [`LOG_HEAD`]; `None` when it can't be one.
pub fn head_of(row: &Row) -> Option<HeadRow> {
    Some(HeadRow {
        size: row.unsigned(0)?,
        root: row.bytes(1)?.try_into().ok()?,
        epoch: u32::try_from(row.unsigned(2)?).ok()?,
        last_time: row.unsigned(3)?,
        checkpoint: match row.0.get(4)? {
            Value::Text(note) => Some(note.clone()),
            _ => None,
        },
    })
}

/// A head as a row of [`LOG_HEAD`].
pub fn head_row(head: &HeadRow) -> Row {
    Row(vec![
        integer(head.size),
        Value::Bytes(head.root.to_vec()),
        integer(head.epoch.into()),
        integer(head.last_time),
        head.checkpoint.clone().map_or(Value::Null, Value::Text),
    ])
}

/// An entry as a row of [`LOG_ENTRY`].
pub fn entry_row(entry: &EntryRow) -> Row {
    debug_assert_eq!(LOG_ENTRY.columns.len(), 8);
    Row(vec![
        integer(entry.index),
        Value::Bytes(entry.entry_id.to_vec()),
        integer(entry.kind.into()),
        Value::Bytes(entry.subject.0.to_vec()),
        integer(entry.subject_seq),
        Value::Bytes(entry.leaf.to_vec()),
        Value::Bytes(entry.opening_key.clone()),
        Value::Bytes(entry.opening.clone()),
    ])
}

/// A tile as a row of [`LOG_TILE`].
pub fn tile_row(tile: &TileRow) -> Row {
    debug_assert_eq!(LOG_TILE.columns.len(), 3);
    Row(vec![
        integer(tile.level.into()),
        integer(tile.index),
        Value::Bytes(tile.hashes.clone()),
    ])
}

/// A log that lost its end as a row of [`LOST_LOG`].
pub fn lost_row(lost: &LostLog) -> Row {
    debug_assert_eq!(LOST_LOG.columns.len(), 4);
    let (size, root) = match lost.signed {
        Some((size, root)) => (size, Value::Bytes(root.to_vec())),
        None => (0, Value::Null),
    };
    Row(vec![
        Value::Text(lost.origin.clone()),
        integer(lost.from_index),
        integer(size),
        root,
    ])
}

fn integer(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
