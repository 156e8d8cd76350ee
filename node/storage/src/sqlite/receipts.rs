//! Receipts, and how far a recovery is: rows in the open, read and written by key.

use async_trait::async_trait;
use rusqlite::Row;
use vrx_domain::{MunicipalityCode, UnixMillis};

use super::apply::{NotApplied, inserted};
use super::sql::{Sql, int, unsigned};
use super::tenant::SqliteTenant;
use crate::StorageError;
use crate::receipts::{
    KeptReceipt, LostLog, RECEIPT_PLACE, ReceiptStore, RecoveredEntry, RecoveryAnswer, joined,
    party, split,
};

pub(super) fn keep(sql: &Sql, tenant: i64, receipt: &KeptReceipt) -> Result<(), NotApplied> {
    let kept = sql.run(
        "-- keep_receipt
         INSERT INTO receipt (tenant, provider, origin, log_index, entered_at, request_id, leaf, note, proof)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            tenant,
            receipt.provider.as_u32(),
            &receipt.origin,
            int(receipt.log_index),
            int(receipt.entered_at.0),
            receipt.request_id.as_bytes(),
            receipt.leaf,
            &receipt.note,
            joined(&receipt.proof),
        ),
    );
    inserted(RECEIPT_PLACE, kept)
}

/// `log_index` is the index of the entry that stands for the lost one.
pub(super) fn recover(
    sql: &Sql,
    tenant: i64,
    entry: &RecoveredEntry,
    log_index: u64,
) -> Result<(), NotApplied> {
    let (size, root) = entry.tree;
    let recovered = sql.run(
        "-- recover_entry
         INSERT INTO recovered_entry (tenant, origin, log_index, leaf, tree_size, tree_root, member, request_id, entered_index)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            tenant,
            &entry.origin,
            int(entry.log_index),
            entry.leaf,
            int(size),
            root,
            entry.member.as_u32(),
            entry.request_id.as_bytes(),
            int(log_index),
        ),
    );
    inserted("a lost entry", recovered)
}

/// `log_index` is the index of the entry about the answer.
pub(super) fn answered(
    sql: &Sql,
    tenant: i64,
    answer: &RecoveryAnswer,
    log_index: u64,
) -> Result<(), NotApplied> {
    let answered = sql.run(
        "-- recovery_answered
         INSERT INTO recovery_answer (tenant, origin, member, answered_at, receipts, refused, entered_index)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            tenant,
            &answer.origin,
            answer.member.as_u32(),
            int(answer.answered_at.0),
            int(answer.receipts),
            int(answer.refused),
            int(log_index),
        ),
    );
    inserted("a member's answer", answered)
}

#[async_trait]
impl ReceiptStore for SqliteTenant {
    async fn receipts(
        &self,
        provider: MunicipalityCode,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<KeptReceipt>, StorageError> {
        let (key, origin) = (self.key, origin.to_owned());
        self.read(move |sql| {
            let code = provider.as_u32();
            sql.rows(
                "receipt",
                "-- receipts
                 SELECT log_index, entered_at, provider, request_id, leaf, note, proof FROM receipt
                 WHERE tenant = ?1 AND provider = ?2 AND origin = ?3 AND log_index >= ?4 ORDER BY log_index LIMIT ?5",
                (key, code, &origin, int(from), count),
                |row| receipt(row, &origin),
            )
        })
        .await
    }

    async fn lost_logs(&self) -> Result<Vec<LostLog>, StorageError> {
        let key = self.key;
        self.read(move |sql| {
            sql.rows(
                "lost_log",
                "-- lost_logs
                 SELECT origin, from_index, signed_size, signed_root FROM lost_log WHERE tenant = ?1 ORDER BY origin",
                [key],
                |row| {
                    let (size, root) = (unsigned(row, 2)?, row.get::<_, Option<[u8; 32]>>(3)?);
                    Ok(LostLog {
                        origin: row.get(0)?,
                        from_index: unsigned(row, 1)?,
                        signed: root.map(|root| (size, root)),
                    })
                },
            )
        })
        .await
    }

    async fn recovered(
        &self,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<RecoveredEntry>, StorageError> {
        let (key, origin) = (self.key, origin.to_owned());
        self.read(move |sql| {
            sql.rows(
                "recovered_entry",
                "-- recovered
                 SELECT log_index, leaf, tree_size, tree_root, member, request_id FROM recovered_entry
                 WHERE tenant = ?1 AND origin = ?2 AND log_index >= ?3 ORDER BY log_index LIMIT ?4",
                (key, &origin, int(from), count),
                |row| recovered(row, &origin),
            )
        })
        .await
    }

    async fn recovered_under(
        &self,
        origin: &str,
        tree_size: u64,
    ) -> Result<Option<RecoveredEntry>, StorageError> {
        let (key, origin) = (self.key, origin.to_owned());
        self.read(move |sql| {
            sql.row(
                "recovered_entry",
                "-- recovered_under
                 SELECT log_index, leaf, tree_size, tree_root, member, request_id FROM recovered_entry
                 WHERE tenant = ?1 AND origin = ?2 AND tree_size = ?3 LIMIT 1",
                (key, &origin, int(tree_size)),
                |row| recovered(row, &origin),
            )
        })
        .await
    }

    async fn recovery_answers(&self, origin: &str) -> Result<Vec<RecoveryAnswer>, StorageError> {
        let (key, origin) = (self.key, origin.to_owned());
        self.read(move |sql| {
            sql.rows(
                "recovery_answer",
                "-- recovery_answers
                 SELECT member, answered_at, receipts, refused FROM recovery_answer
                 WHERE tenant = ?1 AND origin = ?2 ORDER BY member",
                (key, &origin),
                |row| {
                    Ok(RecoveryAnswer {
                        origin: origin.clone(),
                        member: MunicipalityCode::try_from(row.get::<_, u32>(0)?)
                            .map_err(|_| out_of_range(0))?,
                        answered_at: UnixMillis(unsigned(row, 1)?),
                        receipts: unsigned(row, 2)?,
                        refused: unsigned(row, 3)?,
                    })
                },
            )
        })
        .await
    }
}

fn receipt(row: &Row<'_>, origin: &str) -> rusqlite::Result<KeptReceipt> {
    let (provider, request_id) = party(row.get(2)?, row.get(3)?).ok_or_else(|| out_of_range(2))?;
    let proof = split(&row.get::<_, Vec<u8>>(6)?).ok_or_else(|| out_of_range(6))?;
    Ok(KeptReceipt {
        provider,
        origin: origin.to_owned(),
        log_index: unsigned(row, 0)?,
        entered_at: UnixMillis(unsigned(row, 1)?),
        request_id,
        leaf: row.get(4)?,
        note: row.get(5)?,
        proof,
    })
}

fn recovered(row: &Row<'_>, origin: &str) -> rusqlite::Result<RecoveredEntry> {
    let (member, request_id) = party(row.get(4)?, row.get(5)?).ok_or_else(|| out_of_range(4))?;
    Ok(RecoveredEntry {
        origin: origin.to_owned(),
        log_index: unsigned(row, 0)?,
        leaf: row.get(1)?,
        tree: (unsigned(row, 2)?, row.get(3)?),
        member,
        request_id,
    })
}

/// A column that holds what this node doesn't write; the value stays where it is.
fn out_of_range(column: usize) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, 0)
}
