//! Reading the log's rows.

use super::sql::{Sql, int, unsigned};
use crate::{EntryRow, HeadRow, LeafRow, StorageError, SubjectTag};

/// Most rows of one answer; callers page on.
const MOST: u32 = 65_536;

pub(super) fn head(sql: &Sql, tenant: i64) -> Result<HeadRow, StorageError> {
    sql.row(
        "log_head",
        "-- log_head
         SELECT size, root, epoch, last_time, checkpoint FROM log_head WHERE tenant = ?1",
        [tenant],
        |row| {
            Ok(HeadRow {
                size: unsigned(row, 0)?,
                root: row.get(1)?,
                epoch: unsigned(row, 2)?,
                last_time: unsigned(row, 3)?,
                checkpoint: row.get(4)?,
            })
        },
    )?
    .ok_or(StorageError::OtherTenant)
}

pub(super) fn leaves(
    sql: &Sql,
    tenant: i64,
    from: u64,
    count: u32,
) -> Result<Vec<LeafRow>, StorageError> {
    sql.rows(
        "log_entry",
        "-- log_leaves
         SELECT idx, leaf FROM log_entry WHERE tenant = ?1 AND idx >= ?2 ORDER BY idx LIMIT ?3",
        (tenant, int(from), count.min(MOST)),
        |row| {
            Ok(LeafRow {
                index: unsigned(row, 0)?,
                leaf: row.get(1)?,
            })
        },
    )
}

pub(super) fn entries(
    sql: &Sql,
    tenant: i64,
    from: u64,
    count: u32,
) -> Result<Vec<EntryRow>, StorageError> {
    sql.rows(
        "log_entry",
        "-- log_entries
         SELECT idx, entry_id, kind, leaf, opening_key, opening, subject, subject_seq
         FROM log_entry WHERE tenant = ?1 AND idx >= ?2 ORDER BY idx LIMIT ?3",
        (tenant, int(from), count.min(MOST)),
        |row| {
            Ok(EntryRow {
                index: unsigned(row, 0)?,
                entry_id: row.get(1)?,
                kind: unsigned(row, 2)?,
                leaf: row.get(3)?,
                opening_key: row.get(4)?,
                opening: row.get(5)?,
                subject: SubjectTag(row.get(6)?),
                subject_seq: unsigned(row, 7)?,
            })
        },
    )
}

pub(super) fn tile(
    sql: &Sql,
    tenant: i64,
    (level, index): (u8, u64),
) -> Result<Option<Vec<u8>>, StorageError> {
    sql.row(
        "log_tile",
        "-- log_tile
         SELECT hashes FROM log_tile WHERE tenant = ?1 AND level = ?2 AND idx = ?3",
        (tenant, level, int(index)),
        |row| row.get(0),
    )
}
