//! Reading the log's rows.

use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::session::{Session, prepared, statement};
use crate::{EntryRow, HeadRow, LeafRow, StorageError, SubjectHead, SubjectTag};

/// Most rows of one answer; callers page on.
const MOST: u32 = 65_536;

/// The head, and what state the tenant is in.
pub(super) const HEAD: &str = "-- log_head
    SELECT h.size, h.root, h.epoch, h.last_time, h.checkpoint, m.state
    FROM log_head h JOIN tenant_meta m ON m.tenant = h.tenant WHERE h.tenant = $1";

/// The same, held until the transaction ends (whoever appends waits here for whoever appends already), and where each
/// subject's list of entries ends, as of the statement's beginning: whoever was waited for may have added to it since. A row beyond the
/// head's size is no entry: no list ends there.
pub(super) const HEAD_AND_SUBJECTS: &str = "-- log_head_held
    WITH held AS MATERIALIZED (
        SELECT h.size, h.root, h.epoch, h.last_time, h.checkpoint, m.state
        FROM log_head h JOIN tenant_meta m ON m.tenant = h.tenant WHERE h.tenant = $1 FOR UPDATE OF h
    )
    SELECT size, root, epoch, last_time, checkpoint, state, 0::bigint AS place, NULL::bigint, NULL::bigint FROM held
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, asked.place, newest.subject_seq, newest.idx
    FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (subject, place)
    LEFT JOIN LATERAL (
        SELECT subject_seq, idx FROM {log_entry}
        WHERE tenant = $1 AND subject = asked.subject AND idx < (SELECT size FROM log_head WHERE tenant = $1)
        ORDER BY idx DESC LIMIT 1
    ) newest ON true";

pub(super) async fn head(session: &mut Session, tenant: i32) -> Result<HeadRow, StorageError> {
    let head = session
        .row("log_head", statement(HEAD).bind(tenant), read_head)
        .await?;
    head.ok_or(StorageError::OtherTenant)
}

pub(super) fn read_head(row: &PgRow) -> Result<HeadRow, sqlx::Error> {
    Ok(HeadRow {
        size: unsigned(row.try_get::<i64, _>(0)?, 0)?,
        root: row.try_get(1)?,
        epoch: unsigned(row.try_get::<i64, _>(2)?, 2)?,
        last_time: unsigned(row.try_get::<i64, _>(3)?, 3)?,
        checkpoint: row.try_get(4)?,
    })
}

pub(super) async fn leaves(
    session: &mut Session,
    tenant: i32,
    from: u64,
    count: u32,
) -> Result<Vec<LeafRow>, StorageError> {
    let leaves = statement(
        "-- log_leaves
         SELECT idx, leaf FROM log_entry WHERE tenant = $1 AND idx >= $2 ORDER BY idx LIMIT $3",
    )
    .bind(tenant)
    .bind(int(from))
    .bind(i64::from(count.min(MOST)));
    session
        .rows("log_entry", leaves, |row| {
            Ok(LeafRow {
                index: unsigned(row.try_get::<i64, _>(0)?, 0)?,
                leaf: row.try_get(1)?,
            })
        })
        .await
}

pub(super) async fn entries(
    session: &mut Session,
    tenant: i32,
    from: u64,
    count: u32,
) -> Result<Vec<EntryRow>, StorageError> {
    let entries = statement(
        "-- log_entries
         SELECT idx, entry_id, kind, leaf, opening_key, opening, subject, subject_seq
         FROM log_entry WHERE tenant = $1 AND idx >= $2 ORDER BY idx LIMIT $3",
    )
    .bind(tenant)
    .bind(int(from))
    .bind(i64::from(count.min(MOST)));
    session
        .rows("log_entry", entries, |row| {
            Ok(EntryRow {
                index: unsigned(row.try_get::<i64, _>(0)?, 0)?,
                entry_id: row.try_get(1)?,
                kind: unsigned(row.try_get::<i16, _>(2)?, 2)?,
                leaf: row.try_get(3)?,
                opening_key: row.try_get(4)?,
                opening: row.try_get(5)?,
                subject: SubjectTag(row.try_get(6)?),
                subject_seq: unsigned(row.try_get::<i64, _>(7)?, 7)?,
            })
        })
        .await
}

/// In the order asked.
pub(super) async fn tiles(
    session: &mut Session,
    tenant: i32,
    ids: &[(u8, u64)],
) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
    let (levels, places): (Vec<i16>, Vec<i64>) = ids
        .iter()
        .map(|(level, place)| (i16::from(*level), int(*place)))
        .unzip();
    let tiles = statement(
        "-- log_tiles
         SELECT t.hashes
         FROM unnest($2::smallint[], $3::bigint[]) WITH ORDINALITY AS asked (level, idx, place)
         LEFT JOIN LATERAL (
             SELECT hashes FROM log_tile WHERE tenant = $1 AND level = asked.level AND idx = asked.idx LIMIT 1
         ) t ON true
         ORDER BY asked.place",
    )
    .bind(tenant)
    .bind(levels)
    .bind(places);
    session.rows("log_tile", tiles, |row| row.try_get(0)).await
}

/// Where each subject's list of entries ends, in the order asked: the last one of the index that begins with the subject, below the
/// head's size.
pub(super) const SUBJECTS: &str = "-- subject_heads
    SELECT newest.subject_seq, newest.idx
    FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (subject, place)
    LEFT JOIN LATERAL (
        SELECT subject_seq, idx FROM {log_entry}
        WHERE tenant = $1 AND subject = asked.subject AND idx < (SELECT size FROM log_head WHERE tenant = $1)
        ORDER BY idx DESC LIMIT 1
    ) newest ON true
    ORDER BY asked.place";

/// The newest entry about each subject, in the order asked.
pub(super) async fn subject_heads(
    session: &mut Session,
    tenant: i32,
    text: &Arc<str>,
    subjects: impl Iterator<Item = SubjectTag>,
) -> Result<Vec<Option<SubjectHead>>, StorageError> {
    let subjects: Vec<[u8; 32]> = subjects.map(|subject| subject.0).collect();
    let heads = prepared("subject_heads", text).bind(tenant).bind(subjects);
    session
        .rows("log_entry", heads, |row| read_subject(row, 0))
        .await
}

/// The head, held, with the tenant's state; the subjects' newest entries as of just before.
pub(super) struct Held {
    pub(super) head: Option<(HeadRow, i16)>,
    pub(super) subjects: Vec<Option<SubjectHead>>,
}

/// Holds the head and reads the subjects' newest entries, in one round trip.
pub(super) async fn hold(
    session: &mut Session,
    tenant: i32,
    text: &Arc<str>,
    subjects: impl ExactSizeIterator<Item = SubjectTag>,
) -> Result<Held, StorageError> {
    let mut held = Held {
        head: None,
        subjects: vec![None; subjects.len()],
    };
    let subjects: Vec<[u8; 32]> = subjects.map(|subject| subject.0).collect();
    let query = prepared("log_head_held", text).bind(tenant).bind(subjects);
    let rows = session
        .rows("log_head", query, |row| {
            Ok(match unsigned(row.try_get::<i64, _>(6)?, 6)? {
                0 => HeldRow::Head(read_head(row)?, row.try_get(5)?),
                place => HeldRow::Subject(place, read_subject(row, 7)?),
            })
        })
        .await?;
    for row in rows {
        match row {
            HeldRow::Head(head, state) => held.head = Some((head, state)),
            HeldRow::Subject(place, newest) => {
                // Places count from one.
                if let Some(subject) = held.subjects.get_mut(place - 1) {
                    *subject = newest;
                }
            }
        }
    }
    Ok(held)
}

enum HeldRow {
    Head(HeadRow, i16),
    Subject(usize, Option<SubjectHead>),
}

/// Number and place of a subject's newest entry, from a column on.
fn read_subject(row: &PgRow, column: usize) -> Result<Option<SubjectHead>, sqlx::Error> {
    let seq: Option<i64> = row.try_get(column)?;
    let last: Option<i64> = row.try_get(column + 1)?;
    let read = |(seq, last)| {
        Ok(SubjectHead {
            seq: unsigned(seq, column)?,
            last_index: unsigned(last, column + 1)?,
        })
    };
    seq.zip(last).map(read).transpose()
}

/// Sizes, indexes and times as PostgreSQL keeps them: signed, and never above 2^63.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A size, index or time of a row.
pub(super) fn unsigned<S, T: TryFrom<S>>(value: S, column: usize) -> Result<T, sqlx::Error> {
    T::try_from(value).map_err(|_| sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: "out of range".into(),
    })
}
