//! What was cosigned: two tables of public texts, one row a log, changed beside the log's batches.

use async_trait::async_trait;

use super::sql::{Sql, failure, int, unsigned};
use super::tenant::SqliteTenant;
use crate::StorageError;
use crate::witness::{CosignedCheckpoint, WitnessStore, WitnessedLog};

#[async_trait]
impl WitnessStore for SqliteTenant {
    async fn witnessed(&self, origin: &str) -> Result<Option<WitnessedLog>, StorageError> {
        let (key, origin) = (self.key, origin.to_owned());
        self.read(move |sql| {
            sql.row(
                "witnessed_log",
                "-- witnessed
                 SELECT size, root, note FROM witnessed_log WHERE tenant = ?1 AND origin = ?2",
                (key, &origin),
                |row| {
                    Ok(WitnessedLog {
                        origin: origin.clone(),
                        size: unsigned(row, 0)?,
                        root: row.get(1)?,
                        note: row.get(2)?,
                    })
                },
            )
        })
        .await
    }

    async fn swap_witnessed(
        &self,
        expected: Option<(u64, [u8; 32])>,
        new: WitnessedLog,
    ) -> Result<bool, StorageError> {
        let key = self.key;
        let swap = move |sql: &Sql| {
            let row = (key, &new.origin, int(new.size), new.root, &new.note);
            let changed = match expected {
                None => sql.run(
                    "-- first_witnessed
                     INSERT INTO witnessed_log (tenant, origin, size, root, note) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO NOTHING",
                    row,
                ),
                Some((size, root)) => sql.run(
                    "-- swap_witnessed
                     UPDATE witnessed_log SET size = ?3, root = ?4, note = ?5
                     WHERE tenant = ?1 AND origin = ?2 AND size = ?6 AND root = ?7",
                    (row.0, row.1, row.2, row.3, row.4, int(size), root),
                ),
            };
            changed.map(|rows| rows == 1).map_err(failure)
        };
        self.write(move |writer| writer.write_aside(swap)).await
    }

    async fn cosigned(&self, origin: &str) -> Result<Option<CosignedCheckpoint>, StorageError> {
        let (key, origin) = (self.key, origin.to_owned());
        self.read(move |sql| {
            sql.row(
                "cosigned_checkpoint",
                "-- cosigned
                 SELECT size, note FROM cosigned_checkpoint WHERE tenant = ?1 AND origin = ?2",
                (key, &origin),
                |row| {
                    Ok(CosignedCheckpoint {
                        origin: origin.clone(),
                        size: unsigned(row, 0)?,
                        note: row.get(1)?,
                    })
                },
            )
        })
        .await
    }

    async fn keep_cosigned(&self, checkpoint: CosignedCheckpoint) -> Result<(), StorageError> {
        let key = self.key;
        let keep = move |sql: &Sql| {
            let CosignedCheckpoint { origin, size, note } = &checkpoint;
            let kept = sql.run(
                "-- keep_cosigned
                 INSERT INTO cosigned_checkpoint (tenant, origin, size, note) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (tenant, origin) DO UPDATE SET size = excluded.size, note = excluded.note
                 WHERE excluded.size >= cosigned_checkpoint.size",
                (key, origin, int(*size), note),
            );
            kept.map(drop).map_err(failure)
        };
        self.write(move |writer| writer.write_aside(keep)).await
    }
}
