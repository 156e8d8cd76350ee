//! Receipts, and how far a recovery is: rows in the open, read and written by key.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use vrx_domain::{MunicipalityCode, UnixMillis};

use super::apply::{NotApplied, inserted};
use super::log::{int, unsigned};
use super::session::{Session, statement};
use super::tenant::PostgresTenant;
use crate::StorageError;
use crate::receipts::{
    KeptReceipt, LostLog, RECEIPT_PLACE, ReceiptStore, RecoveredEntry, RecoveryAnswer, joined,
    party, split,
};

pub(super) async fn keep(
    session: &mut Session,
    tenant: i32,
    receipt: &KeptReceipt,
) -> Result<(), NotApplied> {
    let keep = statement(
        "-- keep_receipt
         INSERT INTO receipt (tenant, provider, origin, log_index, entered_at, request_id, leaf, note, proof)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(code(receipt.provider))
    .bind(receipt.origin.as_str())
    .bind(int(receipt.log_index))
    .bind(int(receipt.entered_at.0))
    .bind(*receipt.request_id.as_bytes())
    .bind(receipt.leaf)
    .bind(receipt.note.as_str())
    .bind(joined(&receipt.proof));
    inserted(session, RECEIPT_PLACE, 1, keep).await
}

/// `log_index` is the index of the entry that stands for the lost one.
pub(super) async fn recover(
    session: &mut Session,
    tenant: i32,
    entry: &RecoveredEntry,
    log_index: u64,
) -> Result<(), NotApplied> {
    let (size, root) = entry.tree;
    let recover = statement(
        "-- recover_entry
         INSERT INTO recovered_entry (tenant, origin, log_index, leaf, tree_size, tree_root, member, request_id, entered_index)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(entry.origin.as_str())
    .bind(int(entry.log_index))
    .bind(entry.leaf)
    .bind(int(size))
    .bind(root)
    .bind(code(entry.member))
    .bind(*entry.request_id.as_bytes())
    .bind(int(log_index));
    inserted(session, "a lost entry", 1, recover).await
}

/// `log_index` is the index of the entry about the answer.
pub(super) async fn answered(
    session: &mut Session,
    tenant: i32,
    answer: &RecoveryAnswer,
    log_index: u64,
) -> Result<(), NotApplied> {
    let answered = statement(
        "-- recovery_answered
         INSERT INTO recovery_answer (tenant, origin, member, answered_at, receipts, refused, entered_index)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(answer.origin.as_str())
    .bind(code(answer.member))
    .bind(int(answer.answered_at.0))
    .bind(int(answer.receipts))
    .bind(int(answer.refused))
    .bind(int(log_index));
    inserted(session, "a member's answer", 1, answered).await
}

#[async_trait]
impl ReceiptStore for PostgresTenant {
    async fn receipts(
        &self,
        provider: MunicipalityCode,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<KeptReceipt>, StorageError> {
        let receipts = statement(
            "-- receipts
             SELECT log_index, entered_at, provider, request_id, leaf, note, proof FROM receipt
             WHERE tenant = $1 AND provider = $2 AND origin = $3 AND log_index >= $4 ORDER BY log_index LIMIT $5",
        )
        .bind(self.key)
        .bind(code(provider))
        .bind(origin.to_owned())
        .bind(int(from))
        .bind(i64::from(count));
        let mut session = self.reading().await?;
        let receipts = session
            .rows("receipt", receipts, |row| receipt(row, origin))
            .await?;
        session.end().await?;
        Ok(receipts)
    }

    async fn lost_logs(&self) -> Result<Vec<LostLog>, StorageError> {
        let logs = statement(
            "-- lost_logs
             SELECT origin, from_index, signed_size, signed_root FROM lost_log WHERE tenant = $1 ORDER BY origin",
        )
        .bind(self.key);
        let mut session = self.reading().await?;
        let logs = session
            .rows("lost_log", logs, |row| {
                let (size, root) = (number(row, 2)?, row.try_get::<Option<[u8; 32]>, _>(3)?);
                Ok(LostLog {
                    origin: row.try_get(0)?,
                    from_index: number(row, 1)?,
                    signed: root.map(|root| (size, root)),
                })
            })
            .await?;
        session.end().await?;
        Ok(logs)
    }

    async fn recovered(
        &self,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<RecoveredEntry>, StorageError> {
        let entries = statement(
            "-- recovered
             SELECT log_index, leaf, tree_size, tree_root, member, request_id FROM recovered_entry
             WHERE tenant = $1 AND origin = $2 AND log_index >= $3 ORDER BY log_index LIMIT $4",
        )
        .bind(self.key)
        .bind(origin.to_owned())
        .bind(int(from))
        .bind(i64::from(count));
        let mut session = self.reading().await?;
        let entries = session
            .rows("recovered_entry", entries, |row| recovered(row, origin))
            .await?;
        session.end().await?;
        Ok(entries)
    }

    async fn recovered_under(
        &self,
        origin: &str,
        tree_size: u64,
    ) -> Result<Option<RecoveredEntry>, StorageError> {
        let entry = statement(
            "-- recovered_under
             SELECT log_index, leaf, tree_size, tree_root, member, request_id FROM recovered_entry
             WHERE tenant = $1 AND origin = $2 AND tree_size = $3 LIMIT 1",
        )
        .bind(self.key)
        .bind(origin.to_owned())
        .bind(int(tree_size));
        let mut session = self.reading().await?;
        let entry = session
            .row("recovered_entry", entry, |row| recovered(row, origin))
            .await?;
        session.end().await?;
        Ok(entry)
    }

    async fn recovery_answers(&self, origin: &str) -> Result<Vec<RecoveryAnswer>, StorageError> {
        let answers = statement(
            "-- recovery_answers
             SELECT member, answered_at, receipts, refused FROM recovery_answer
             WHERE tenant = $1 AND origin = $2 ORDER BY member",
        )
        .bind(self.key)
        .bind(origin.to_owned());
        let mut session = self.reading().await?;
        let answers = session
            .rows("recovery_answer", answers, |row| {
                let member = unsigned::<i32, u32>(row.try_get(0)?, 0)?;
                Ok(RecoveryAnswer {
                    origin: origin.to_owned(),
                    member: MunicipalityCode::try_from(member).map_err(|_| no_such(0))?,
                    answered_at: UnixMillis(number(row, 1)?),
                    receipts: number(row, 2)?,
                    refused: number(row, 3)?,
                })
            })
            .await?;
        session.end().await?;
        Ok(answers)
    }
}

fn receipt(row: &PgRow, origin: &str) -> Result<KeptReceipt, sqlx::Error> {
    let code = unsigned::<i32, u32>(row.try_get(2)?, 2)?;
    let (provider, request_id) = party(code, row.try_get(3)?).ok_or_else(|| no_such(2))?;
    let proof = split(row.try_get::<&[u8], _>(6)?).ok_or_else(|| no_such(6))?;
    Ok(KeptReceipt {
        provider,
        origin: origin.to_owned(),
        log_index: number(row, 0)?,
        entered_at: UnixMillis(number(row, 1)?),
        request_id,
        leaf: row.try_get(4)?,
        note: row.try_get(5)?,
        proof,
    })
}

fn recovered(row: &PgRow, origin: &str) -> Result<RecoveredEntry, sqlx::Error> {
    let code = unsigned::<i32, u32>(row.try_get(4)?, 4)?;
    let (member, request_id) = party(code, row.try_get(5)?).ok_or_else(|| no_such(4))?;
    Ok(RecoveredEntry {
        origin: origin.to_owned(),
        log_index: number(row, 0)?,
        leaf: row.try_get(1)?,
        tree: (number(row, 2)?, row.try_get(3)?),
        member,
        request_id,
    })
}

fn number(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    unsigned(row.try_get::<i64, _>(column)?, column)
}

fn code(of: MunicipalityCode) -> i32 {
    i32::try_from(of.as_u32()).unwrap_or(i32::MAX)
}

/// A column that holds what this node doesn't write.
fn no_such(column: usize) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: "not what this node writes".into(),
    }
}
