//! The owner's part of an erasure: files without what was deleted. A deleted row stays in its page until the table is vacuumed, and
//! its bytes stay in the page's hole after that; only rewriting the tables takes them off the disk.

use sqlx::{AssertSqlSafe, Row as _};
use vrx_domain::{Random, Tenant, UnixMillis};

use crate::StorageError;
use crate::copy::TABLES;
use crate::postgres::failure::failure;
use crate::postgres::log::int;
use crate::postgres::owner::PostgresOwner;
use crate::postgres::partitions::partition;
use crate::postgres::tenant::key_of;
use crate::retention::{ErasedAgain, ErasedBefore};

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
        let checkpointed = self.rewrite_tables(code).await?;
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

    /// Deletes the rows of these persons and blanks the openings in these ranges, in one transaction; then the tenant's tables are
    /// rewritten. Says whether a checkpoint of the server followed.
    pub async fn erase_again(
        &mut self,
        tenant: Tenant,
        listed: &dyn ErasedBefore,
        random: &dyn Random,
    ) -> Result<(ErasedAgain, bool), StorageError> {
        let (key, code) = (key_of(&tenant)?, tenant.code.as_u32());
        let mut erased = ErasedAgain::default();
        self.begin(code).await?;
        // No batch runs beside it.
        let held = sqlx::query(
            "-- hold_head_to_erase
             SELECT epoch FROM log_head WHERE tenant = $1 FOR UPDATE",
        )
        .bind(key);
        let held = held
            .fetch_optional(&mut self.connection)
            .await
            .map_err(|error| failure(&error))?;
        let epoch: Option<i64> = held
            .map(|row| row.try_get(0))
            .transpose()
            .map_err(|error| failure(&error))?;
        let ids: Vec<[u8; 16]> = listed.persons().iter().map(|id| *id.as_bytes()).collect();
        for table in TABLES.iter().filter(|table| table.person.is_some()) {
            let text = format!(
                "-- erase_again
                 DELETE FROM {} WHERE tenant = $1 AND person_id = ANY ($2)",
                table.name
            );
            // The name is a constant.
            let delete = sqlx::query(AssertSqlSafe(text)).bind(key).bind(ids.clone());
            let deleted = delete.execute(&mut self.connection).await;
            erased.rows += deleted.map_err(|error| failure(&error))?.rows_affected();
        }
        let epoch = epoch.and_then(|epoch| u32::try_from(epoch).ok());
        for range in epoch.map_or_else(Vec::new, |epoch| listed.openings(epoch)) {
            let places = self.places_to_blank(key, range, listed).await?;
            erased.openings += self.blank_again(key, places, random).await?;
        }
        self.run("COMMIT").await?;
        let checkpointed = self.rewrite_tables(code).await?;
        Ok((erased, checkpointed))
    }

    async fn places_to_blank(
        &mut self,
        key: i32,
        (from, below): (u64, u64),
        listed: &dyn ErasedBefore,
    ) -> Result<Vec<i64>, StorageError> {
        let rows = sqlx::query(
            "-- standing_openings
             SELECT idx, leaf FROM log_entry WHERE tenant = $1 AND idx >= $2 AND idx < $3 AND opening_key <> ''",
        )
        .bind(key)
        .bind(int(from))
        .bind(int(below))
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| failure(&error))?;
        let mut places: Vec<i64> = Vec::with_capacity(rows.len());
        for row in &rows {
            let leaf: Vec<u8> = row.try_get(1).map_err(|error| failure(&error))?;
            if listed.could_be_erased(&leaf) {
                places.push(row.try_get(0).map_err(|error| failure(&error))?);
            }
        }
        Ok(places)
    }

    async fn blank_again(
        &mut self,
        key: i32,
        places: Vec<i64>,
        random: &dyn Random,
    ) -> Result<u64, StorageError> {
        let mut subjects = vec![[0; 32]; places.len()];
        for nobody in &mut subjects {
            random.fill(nobody);
        }
        let blanked = sqlx::query(
            "-- blank_again
             UPDATE log_entry l SET opening_key = '', opening = '', subject = asked.subject
             FROM unnest($2::bigint[], $3::bytea[]) AS asked (idx, subject)
             WHERE l.tenant = $1 AND l.idx = asked.idx AND l.opening_key <> ''",
        )
        .bind(key)
        .bind(places)
        .bind(subjects)
        .execute(&mut self.connection)
        .await;
        Ok(blanked.map_err(|error| failure(&error))?.rows_affected())
    }

    /// Writes the tenant's tables anew; says whether the server made a checkpoint after it.
    async fn rewrite_tables(&mut self, code: u32) -> Result<bool, StorageError> {
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
        Ok(self.run("CHECKPOINT").await.is_ok())
    }
}
