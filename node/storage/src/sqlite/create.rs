//! Making a tenant's database, and bringing one to this version's schema.

use std::path::Path;

use rusqlite::OpenFlags;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};
use vrx_domain::ImportId;

use super::SqliteOptions;
use super::sql::{Sql, failure};
use crate::StorageError;
use crate::change::Chunk;
use crate::decoys::{DECOY_IMPORT, DECOYS, decoys};
use crate::log::EMPTY_ROOT;

/// `migrations/sqlite`, compiled in. Append-only.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// Brings the database at `path` to this version's schema. A schema this version doesn't know is refused.
pub(super) async fn migrate(path: &Path) -> Result<(), StorageError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    let schema = |error: &dyn std::fmt::Display| StorageError::Schema(error.to_string());
    let mut connection = options.connect().await.map_err(|error| schema(&error))?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|error| schema(&error))?;
    connection.close().await.map_err(|error| schema(&error))
}

/// Whether the schema is this version's, without touching the file.
pub(super) fn check_schema(sql: &Sql) -> Result<(), StorageError> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    let found: Option<i64> = sql
        .row(
            "_sqlx_migrations",
            "-- schema
             SELECT max(version) FROM _sqlx_migrations WHERE success",
            [],
            |row| row.get(0),
        )?
        .flatten();
    if found == newest {
        Ok(())
    } else {
        Err(StorageError::Schema("it is of another version".to_owned()))
    }
}

/// Fills a new database: whose it is, its decoys, an empty log.
pub(super) fn fill(path: &Path, options: &SqliteOptions) -> Result<(), StorageError> {
    let decoys = decoys(&options.tenant, &options.keyring, &*options.random)?;
    let mut connection =
        rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(failure)?;
    let tenant = options.tenant.code.as_u32();
    let mut work = || {
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO tenant_meta (tenant, tenant_uuid, decoys, heads_flushed) VALUES (?1, ?2, ?3, 0)",
            (tenant, options.tenant.id.as_bytes(), DECOYS),
        )?;
        transaction.execute(
            "INSERT INTO log_head (tenant, size, root, epoch, last_time) VALUES (?1, 0, ?2, 1, 0)",
            (tenant, EMPTY_ROOT),
        )?;
        transaction.execute(
            "INSERT INTO canary (tenant, written) VALUES (?1, 0)",
            [tenant],
        )?;
        insert_decoys(&transaction, tenant, &decoys, DECOY_IMPORT)?;
        transaction.commit()?;
        connection.pragma_update(None, "wal_checkpoint", "TRUNCATE")
    };
    work().map_err(failure)?;
    connection.close().map_err(|(_, error)| failure(error))
}

fn insert_decoys(
    transaction: &rusqlite::Transaction<'_>,
    tenant: u32,
    decoys: &Chunk,
    import: ImportId,
) -> rusqlite::Result<()> {
    for row in &decoys.persons {
        transaction.execute(
            "INSERT INTO person (tenant, person_id, wrapped_key, number) VALUES (?1, ?2, ?3, ?4)",
            (tenant, row.id.as_bytes(), &row.wrapped_key, &row.number),
        )?;
    }
    for row in &decoys.person_revisions {
        transaction.execute(
            "INSERT INTO person_revision (tenant, person_id, revision, import_id, log_index, body)
             VALUES (?1, ?2, ?3, ?4, 0, ?5)",
            (
                tenant,
                row.person.as_bytes(),
                row.revision,
                import.as_bytes(),
                &row.body,
            ),
        )?;
    }
    for row in &decoys.dose_revisions {
        transaction.execute(
            "INSERT INTO dose_revision (tenant, person_id, dose_id, revision, import_id, log_index, body)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
            (
                tenant,
                row.person.as_bytes(),
                row.dose.as_bytes(),
                row.revision,
                import.as_bytes(),
                &row.body,
            ),
        )?;
    }
    Ok(())
}
