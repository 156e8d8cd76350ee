//! What was cosigned: two tables of public texts, one row a log, changed beside the log's batches.

use async_trait::async_trait;
use sqlx::Row as _;

use super::failure::failure;
use super::log::{int, unsigned};
use super::session::{Session, statement};
use super::tenant::{PostgresTenant, TenantState};
use crate::StorageError;
use crate::witness::{CosignedCheckpoint, WitnessStore, WitnessedLog};

impl PostgresTenant {
    /// A transaction during which the tenant isn't moved away: what was cosigned must not stay behind in rows that nobody reads again.
    async fn writing_while_served(&self) -> Result<Session, StorageError> {
        let held = statement(
            "-- tenant_served
             SELECT state FROM tenant_meta WHERE tenant = $1 FOR SHARE",
        )
        .bind(self.key);
        let mut session = self.writing().await?;
        let state = session
            .row("tenant_meta", held, |row| row.try_get::<i16, _>(0))
            .await?;
        if state.and_then(TenantState::of) == Some(TenantState::Serving) {
            Ok(session)
        } else {
            session.roll_back().await;
            Err(StorageError::ReadOnly)
        }
    }
}

#[async_trait]
impl WitnessStore for PostgresTenant {
    async fn witnessed(&self, origin: &str) -> Result<Option<WitnessedLog>, StorageError> {
        let read = statement(
            "-- witnessed
             SELECT size, root, note FROM witnessed_log WHERE tenant = $1 AND origin = $2",
        )
        .bind(self.key)
        .bind(origin.to_owned());
        let mut session = self.reading().await?;
        let log = session
            .row("witnessed_log", read, |row| {
                Ok(WitnessedLog {
                    origin: origin.to_owned(),
                    size: unsigned(row.try_get::<i64, _>(0)?, 0)?,
                    root: row.try_get(1)?,
                    note: row.try_get(2)?,
                })
            })
            .await?;
        session.end().await?;
        Ok(log)
    }

    async fn swap_witnessed(
        &self,
        expected: Option<(u64, [u8; 32])>,
        new: WitnessedLog,
    ) -> Result<bool, StorageError> {
        let text = match expected {
            None => {
                "-- first_witnessed
                 INSERT INTO witnessed_log (tenant, origin, size, root, note) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING"
            }
            Some(_) => {
                "-- swap_witnessed
                 UPDATE witnessed_log SET size = $3, root = $4, note = $5
                 WHERE tenant = $1 AND origin = $2 AND size = $6 AND root = $7"
            }
        };
        let swap = statement(text)
            .bind(self.key)
            .bind(new.origin)
            .bind(int(new.size))
            .bind(new.root)
            .bind(new.note);
        let swap = match expected {
            None => swap,
            Some((size, root)) => swap.bind(int(size)).bind(root),
        };
        let mut session = self.writing_while_served().await?;
        let changed = session.run(swap).await.map_err(|error| failure(&error))?;
        session.commit().await.map_err(|error| failure(&error))?;
        Ok(changed == 1)
    }

    async fn cosigned(&self, origin: &str) -> Result<Option<CosignedCheckpoint>, StorageError> {
        let read = statement(
            "-- cosigned
             SELECT size, note FROM cosigned_checkpoint WHERE tenant = $1 AND origin = $2",
        )
        .bind(self.key)
        .bind(origin.to_owned());
        let mut session = self.reading().await?;
        let checkpoint = session
            .row("cosigned_checkpoint", read, |row| {
                Ok(CosignedCheckpoint {
                    origin: origin.to_owned(),
                    size: unsigned(row.try_get::<i64, _>(0)?, 0)?,
                    note: row.try_get(1)?,
                })
            })
            .await?;
        session.end().await?;
        Ok(checkpoint)
    }

    async fn keep_cosigned(&self, checkpoint: CosignedCheckpoint) -> Result<(), StorageError> {
        let keep = statement(
            "-- keep_cosigned
             INSERT INTO cosigned_checkpoint (tenant, origin, size, note) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant, origin) DO UPDATE SET size = excluded.size, note = excluded.note
             WHERE excluded.size >= cosigned_checkpoint.size",
        )
        .bind(self.key)
        .bind(checkpoint.origin)
        .bind(int(checkpoint.size))
        .bind(checkpoint.note);
        let mut session = self.writing_while_served().await?;
        session.run(keep).await.map_err(|error| failure(&error))?;
        session.commit().await.map_err(|error| failure(&error))
    }
}
