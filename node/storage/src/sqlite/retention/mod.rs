//! Erasing in a tenant's file. Each step is a transaction beside the log; `secure_delete` overwrites what it frees, and at the end
//! the file is rewritten, because pages that were split long ago may hold copies in their gaps.

mod again;
mod changes;
mod read;
mod steps;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use vrx_crypto::Keyring;
use vrx_domain::{Date, ErasureId, PersonId, RetentionPolicy, Tenant, TenantId, UnixMillis};

use super::files::Folder;
use super::register::approved_imports;
use super::sql::{Access, Sql, failure, int};
use super::tenant::{SqliteTenant, blocking, take};
use super::writer::Writer;
use crate::StorageError;
use crate::decoys::DECOY_IMPORT;
use crate::hold::HoldRecord;
use crate::retention::{
    BlankOpenings, Claimed, ErasureRun, ErasureStage, OpeningsStep, PersonSpan, RetentionStore,
};
use crate::sealed::{inconsistent, open_span};

pub(super) use changes::{
    approve, check_unclaimed, lift_hold, place_hold, propose, record, settle,
};
use read::{blank_places, holds, key_rows, runs, sealed_span, standing, standing_openings};
use steps::Step;

/// Files up to this size are rewritten while the node serves: a second or two in which nothing is written. The copy is made in
/// memory.
const REWRITTEN_SERVING: u64 = 128 << 20;

impl Writer {
    /// A step of an erasure: no lookup answers from what was before it.
    fn erase<T>(
        &mut self,
        id: TenantId,
        work: impl FnOnce(&Step, &Sql) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let step = Step::of(self, id);
        let value = self.write_aside(|sql| work(&step, sql))?;
        self.register.changed();
        Ok(value)
    }

    fn rewrite(&mut self) -> Result<bool, StorageError> {
        self.fit()?;
        if file_size(&self.sql)? > REWRITTEN_SERVING {
            return Ok(false);
        }
        // Lookups go on meanwhile; only while the write-ahead log is emptied nobody reads.
        let rewritten = vacuum(&self.sql).and_then(|()| {
            let nobody_reads = self.register.nobody_reads();
            let emptied = empty_write_ahead_log(&self.sql);
            drop(nobody_reads);
            emptied
        });
        self.note_maintenance(rewritten.clone());
        rewritten.map(|()| true)
    }
}

fn file_size(sql: &Sql) -> Result<u64, StorageError> {
    let number = |pragma| -> Result<u64, StorageError> {
        let value: Option<i64> = sql.row("sqlite_schema", pragma, [], |row| row.get(0))?;
        Ok(value
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(0))
    };
    Ok(number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?))
}

/// The whole file anew: no page holds what was deleted.
fn vacuum(sql: &Sql) -> Result<(), StorageError> {
    sql.connection().flush_prepared_statement_cache();
    sql.connection().execute_batch("VACUUM").map_err(failure)
}

/// Nor does the write-ahead log. Busy while anybody still reads.
fn empty_write_ahead_log(sql: &Sql) -> Result<(), StorageError> {
    let busy: Option<i64> = sql.row(
        "wal_checkpoint",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        [],
        |row| row.get(0),
    )?;
    if busy == Some(0) {
        Ok(())
    } else {
        Err(StorageError::Busy)
    }
}

/// A tenant's file, rewritten while no node serves it: one that is too large for that.
pub struct SqliteRewriting;

impl SqliteRewriting {
    /// Rewrites the file if an erasure waits for it; says whether one did. A node that serves is [`StorageError::Locked`]. Takes as
    /// long as reading and writing the file, and needs as much room again beside it and in the folder for temporary files.
    pub async fn rewrite(
        state_dir: PathBuf,
        tenant: Tenant,
        keyring: Arc<Keyring>,
        now: UnixMillis,
    ) -> Result<bool, StorageError> {
        let folder = Folder::of(&state_dir, tenant.code);
        let locked = take(&folder).await?;
        blocking(move || {
            let _lock = locked;
            let sql = Sql::open(&folder.database(), Access::Write, Arc::default())?;
            let key = i64::from(tenant.code.as_u32());
            let runs = runs(&sql, key, &keyring)?;
            let Some(run) = runs
                .iter()
                .find(|run| run.stage == ErasureStage::Rewriting && run.rewritten_at.is_none())
            else {
                return Ok(false);
            };
            sql.connection()
                .pragma_update(None, "temp_store", "file")
                .map_err(failure)?;
            vacuum(&sql)?;
            empty_write_ahead_log(&sql)?;
            set_rewritten(&sql, key, run.id, now)?;
            Ok(true)
        })
        .await
    }
}

#[async_trait]
impl RetentionStore for SqliteTenant {
    async fn spans(
        &self,
        after: Option<PersonId>,
        count: u32,
    ) -> Result<Vec<PersonSpan>, StorageError> {
        let (key, keyring) = (self.key, Arc::clone(&self.options.keyring));
        let (sealed, mut approved) = self
            .read(move |sql| {
                let rows = key_rows(sql, key, after, count)?.into_iter();
                let sealed = rows.map(|row| sealed_span(sql, key, row));
                Ok((
                    sealed.collect::<Result<Vec<_>, _>>()?,
                    approved_imports(sql, key, &keyring)?,
                ))
            })
            .await?;
        approved.insert(DECOY_IMPORT);
        let (keyring, id) = (&self.options.keyring, &self.options.tenant.id);
        sealed
            .iter()
            .map(|sealed| open_span(keyring, id, sealed, &approved).map(|opened| opened.person))
            .collect()
    }

    async fn holds(&self) -> Result<Vec<HoldRecord>, StorageError> {
        let (key, keyring) = (self.key, Arc::clone(&self.options.keyring));
        self.read(move |sql| holds(sql, key, &keyring)).await
    }

    async fn erasures(&self) -> Result<Vec<ErasureRun>, StorageError> {
        let (key, keyring) = (self.key, Arc::clone(&self.options.keyring));
        self.read(move |sql| runs(sql, key, &keyring)).await
    }

    async fn claim(
        &self,
        run: ErasureId,
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<Claimed, StorageError> {
        let id = self.options.tenant.id;
        self.write(move |writer| writer.erase(id, |step, sql| step.claim(sql, run, policy, today)))
            .await
    }

    async fn destroy_keys(
        &self,
        run: ErasureId,
        persons: &[PersonId],
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<(), StorageError> {
        let (id, persons) = (self.options.tenant.id, persons.to_vec());
        self.write(move |writer| {
            writer.erase(id, |step, sql| {
                step.destroy_keys(sql, run, &persons, policy, today)
            })
        })
        .await
    }

    async fn delete_rows(&self, run: ErasureId) -> Result<bool, StorageError> {
        let id = self.options.tenant.id;
        self.write(move |writer| writer.erase(id, |step, sql| step.delete_rows(sql, run)))
            .await
    }

    async fn blank_openings(
        &self,
        run: ErasureId,
        openings: OpeningsStep,
    ) -> Result<(), StorageError> {
        let id = self.options.tenant.id;
        self.write(move |writer| {
            // What is in memory of subjects' heads stands in the table first: there they are taken out.
            writer.fit()?;
            let (tenant, size) = (writer.tenant, writer.size);
            writer.heads.flush(&writer.sql, tenant, size)?;
            writer.erase(id, |step, sql| step.blank_openings(sql, run, &openings))
        })
        .await
    }

    async fn blanks(&self) -> Result<BlankOpenings, StorageError> {
        let (key, keyring) = (self.key, Arc::clone(&self.options.keyring));
        self.read(move |sql| {
            Ok(BlankOpenings {
                places: blank_places(sql, key)?,
                runs: runs(sql, key, &keyring)?,
            })
        })
        .await
    }

    async fn standing(&self, persons: Vec<PersonId>) -> Result<Vec<PersonId>, StorageError> {
        let (key, keyring) = (self.key, Arc::clone(&self.options.keyring));
        self.read(move |sql| standing(sql, key, &keyring, persons))
            .await
    }

    async fn standing_openings(&self, ranges: Vec<(u64, u64)>) -> Result<Vec<u64>, StorageError> {
        let key = self.key;
        self.read(move |sql| standing_openings(sql, key, &ranges))
            .await
    }

    async fn rewrite(&self, run: ErasureId, now: UnixMillis) -> Result<bool, StorageError> {
        let id = self.options.tenant.id;
        self.write(move |writer| {
            if !writer.rewrite()? {
                return Ok(false);
            }
            writer.erase(id, |step, sql| {
                set_rewritten(sql, step.applier.tenant, run, now)
            })?;
            Ok(true)
        })
        .await
    }
}

fn set_rewritten(
    sql: &Sql,
    tenant: i64,
    run: ErasureId,
    now: UnixMillis,
) -> Result<(), StorageError> {
    let set = sql
        .run(
            "-- erasure_rewritten
             UPDATE erasure_run SET rewritten_at = ?3 WHERE tenant = ?1 AND run_id = ?2",
            (tenant, run.as_bytes(), int(now.0)),
        )
        .map_err(failure)?;
    if set == 1 {
        Ok(())
    } else {
        Err(inconsistent("erasure_run", "run_id", &run))
    }
}
