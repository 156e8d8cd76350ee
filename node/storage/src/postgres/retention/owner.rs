//! The owner's part of an erasure: files without what was deleted. A deleted row stays in its page until the table is vacuumed, and
//! its bytes stay in the page's hole after that; only rewriting the tables takes them off the disk.

use sqlx::Row as _;
use vrx_domain::{Tenant, UnixMillis};

use crate::StorageError;
use crate::postgres::failure::failure;
use crate::postgres::log::int;
use crate::postgres::owner::PostgresOwner;
use crate::postgres::partitions::partition;
use crate::postgres::tenant::key_of;

/// What was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// The tenant's tables, and whether a checkpoint of the server followed: its role may not be allowed to.
    Tables {
        /// The write-ahead log of before the erasure can be recycled from now on.
        checkpointed: bool,
    },
    /// No erasure of the tenant waits for it.
    Nothing,
}

impl PostgresOwner {
    /// Whether an erasure of the tenant has deleted rows that the files may still hold. `waits` decides by the sealed body.
    pub async fn rewrite_erased(
        &mut self,
        tenant: Tenant,
        waits: &(dyn Fn(&[u8; 16], &[u8]) -> bool + Sync),
        now: UnixMillis,
    ) -> Result<Rewritten, StorageError> {
        let key = key_of(&tenant)?;
        let code = tenant.code.as_u32();
        self.begin(code).await?;
        let rows = sqlx::query(
            "-- erasures_to_rewrite
             SELECT run_id, body FROM erasure_run WHERE tenant = $1 AND rewritten_at IS NULL",
        )
        .bind(key)
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| failure(&error))?;
        self.run("COMMIT").await?;
        let mut waiting = Vec::new();
        for row in &rows {
            let id: [u8; 16] = row.try_get(0).map_err(|error| failure(&error))?;
            let body: Vec<u8> = row.try_get(1).map_err(|error| failure(&error))?;
            if waits(&id, &body) {
                waiting.push(id);
            }
        }
        if waiting.is_empty() {
            return Ok(Rewritten::Nothing);
        }
        for table in [
            "person",
            "person_tag",
            "person_revision",
            "dose_revision",
            "log_entry",
        ] {
            self.run(&format!(
                "VACUUM (FULL, ANALYZE) {}",
                partition(table, code)
            ))
            .await?;
        }
        // Tables of all tenants: small ones.
        for table in ["hold", "erasure_person", "erasure_run"] {
            self.run(&format!("VACUUM (FULL) {table}")).await?;
        }
        let checkpointed = self.run("CHECKPOINT").await.is_ok();
        self.begin(code).await?;
        let set = sqlx::query(
            "-- erasure_rewritten
             UPDATE erasure_run SET rewritten_at = $3 WHERE tenant = $1 AND run_id = ANY ($2)",
        )
        .bind(key)
        .bind(waiting)
        .bind(int(now.0));
        set.execute(&mut self.connection)
            .await
            .map_err(|error| failure(&error))?;
        self.run("COMMIT").await?;
        Ok(Rewritten::Tables { checkpointed })
    }
}
