//! A tenant's copy out of SQLite, and into it: see [`crate::copy`].
//!
//! Reading works beside a process that serves the database: one read transaction sees one state to its end. While it is
//! open the write-ahead log can't start over, so it grows by what is written meanwhile.

use std::fs::File;
use std::path::PathBuf;

use async_trait::async_trait;
use rusqlite::params_from_iter;
use rusqlite::types::ValueRef;
use vrx_domain::Tenant;

use super::create;
use super::files::Folder;
use super::sql::{Access, Sql, failure, reading};
use super::tenant::blocking;
use crate::StorageError;
use crate::copy::{CHUNK, Key, Row, TENANT_META, Table, TenantSink, TenantSource, Value};

/// Reads one tenant's database in the state in which it was opened.
pub struct SqliteSource(Connection);

impl SqliteSource {
    /// Opens the database for reading, whether a process serves it or not.
    pub async fn open(state_dir: PathBuf, tenant: Tenant) -> Result<Self, StorageError> {
        let folder = Folder::of(&state_dir, tenant.code);
        blocking(move || {
            folder.check_database()?;
            let sql = Sql::open(&folder.database(), Access::Read, std::sync::Arc::default())?;
            create::check_schema(&sql)?;
            sql.begin_reading()?;
            check_owner(&sql, &tenant)?;
            Ok(Self(Connection::new(sql, tenant)))
        })
        .await
    }
}

/// A new database that takes the place of the one that stands, or of none, once it is whole. Nobody else opens either
/// meanwhile; dropped before [`SqliteReplacement::put_in_place`], it changes nothing.
pub struct SqliteReplacement {
    connection: Connection,
    folder: Folder,
    lock: File,
}

impl SqliteReplacement {
    /// Takes the tenant's lock and makes an empty database beside the one that stands.
    pub async fn begin(state_dir: PathBuf, tenant: Tenant) -> Result<Self, StorageError> {
        let folder = Folder::of(&state_dir, tenant.code);
        let lock = blocking({
            let folder = folder.clone();
            move || {
                folder.make()?;
                let lock = folder.lock()?;
                folder.clear_for_replacement()?;
                Ok(lock)
            }
        })
        .await?;
        create::migrate(&folder.replacement()).await?;
        blocking(move || {
            let sql = Sql::open(
                &folder.replacement(),
                Access::Write,
                std::sync::Arc::default(),
            )?;
            let set_up = || {
                // Until it is in its place, losing it costs nothing but time.
                sql.connection()
                    .pragma_update(None, "synchronous", "NORMAL")?;
                sql.connection()
                    .pragma_update(None, "wal_autocheckpoint", 4_096)
            };
            set_up().map_err(failure)?;
            Ok(Self {
                connection: Connection::new(sql, tenant),
                folder,
                lock,
            })
        })
        .await
    }

    /// Derives what isn't copied, syncs the database, and puts it in its place. A database that stood there is moved
    /// aside; gives its new path.
    pub async fn put_in_place(mut self) -> Result<Option<PathBuf>, StorageError> {
        self.connection.run(derive).await?;
        let Self {
            connection,
            folder,
            lock,
        } = self;
        blocking(move || {
            drop(connection);
            let aside = folder.replace();
            drop(lock);
            aside
        })
        .await
    }
}

/// Subject heads, the canary's row, and an empty write-ahead log.
fn derive(sql: &Sql, tenant: i64) -> Result<(), StorageError> {
    let work = || {
        sql.run("BEGIN IMMEDIATE", [])?;
        sql.run(
            "-- derive_subject_heads
             INSERT INTO subject_head (tenant, subject, seq, last_index)
             SELECT tenant, subject, subject_seq, max(idx) FROM log_entry WHERE tenant = ?1 GROUP BY subject",
            [tenant],
        )?;
        sql.run(
            "-- derive_watermark
             UPDATE tenant_meta SET heads_flushed = (SELECT size FROM log_head WHERE tenant = ?1) WHERE tenant = ?1",
            [tenant],
        )?;
        sql.run(
            "-- derive_canary
             INSERT INTO canary (tenant, written) VALUES (?1, 0)",
            [tenant],
        )?;
        sql.run("COMMIT", [])?;
        sql.connection().pragma_update(None, "synchronous", "FULL")
    };
    work().map_err(failure)?;
    sql.row(
        "wal_checkpoint",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        [],
        |_| Ok(()),
    )
    .map(drop)
}

/// A connection that goes to a thread for each reading and comes back.
struct Connection {
    /// `None` while a thread has it, and for good after one died with it.
    sql: Option<Sql>,
    tenant: Tenant,
}

impl Connection {
    fn new(sql: Sql, tenant: Tenant) -> Self {
        Self {
            sql: Some(sql),
            tenant,
        }
    }

    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Sql, i64) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let sql = self.sql.take().ok_or(StorageError::Closed)?;
        let key = i64::from(self.tenant.code.as_u32());
        let (sql, result) = blocking(move || {
            let result = work(&sql, key);
            Ok((sql, result))
        })
        .await?;
        self.sql = Some(sql);
        result
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        self.run(move |sql, tenant| {
            let statement = format!(
                "-- copy_count
                 SELECT count(*) FROM {} WHERE tenant = ?1",
                table.name
            );
            let count: Option<i64> = sql.row(table.name, &statement, [tenant], |row| row.get(0))?;
            Ok(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
        })
        .await
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        if table.key == 0 && after.is_some() {
            return Ok(Vec::new());
        }
        let after = after.cloned().filter(|_| table.key > 0);
        self.run(move |sql, tenant| select(sql, tenant, table, after.as_ref()))
            .await
    }
}

fn select(
    sql: &Sql,
    tenant: i64,
    table: &'static Table,
    after: Option<&Key>,
) -> Result<Vec<Row>, StorageError> {
    let beyond = if after.is_some() {
        let marks: Vec<String> = (2..table.key + 2).map(|at| format!("?{at}")).collect();
        format!("AND ({}) > ({})", table.key_names(), marks.join(", "))
    } else {
        String::new()
    };
    let order = if table.key == 0 {
        "tenant".to_owned()
    } else {
        table.key_names()
    };
    let statement = format!(
        "-- copy_rows
         SELECT {} FROM {} WHERE tenant = ?1 {beyond} ORDER BY {order} LIMIT {CHUNK}",
        table.names(),
        table.name,
    );
    let key = after.map(|key| key.0.iter().map(bound)).into_iter();
    let params = std::iter::once(rusqlite::types::Value::Integer(tenant)).chain(key.flatten());
    let rows = sql.rows(table.name, &statement, params_from_iter(params), |row| {
        let value = |column| row.get_ref(column).map(value);
        (0..table.columns.len())
            .map(value)
            .collect::<rusqlite::Result<Vec<_>>>()
            .map(Row)
    })?;
    if rows.iter().all(|row| row.fits(table)) {
        Ok(rows)
    } else {
        Err(StorageError::Inconsistent {
            table: table.name,
            column: "type",
            row: "a value doesn't fit its column".to_owned(),
        })
    }
}

/// The row of a table's greatest key.
fn last(sql: &Sql, tenant: i64, table: &'static Table) -> Result<Option<Key>, StorageError> {
    let (names, order) = if table.key == 0 {
        ("tenant".to_owned(), "tenant".to_owned())
    } else {
        let backwards: Vec<String> = table
            .key_columns()
            .iter()
            .map(|column| format!("{} DESC", column.name))
            .collect();
        (table.key_names(), backwards.join(", "))
    };
    let statement = format!(
        "-- copy_last
         SELECT {names} FROM {} WHERE tenant = ?1 ORDER BY {order} LIMIT 1",
        table.name
    );
    sql.row(table.name, &statement, [tenant], |row| {
        let value = |column| row.get_ref(column).map(value);
        (0..table.key)
            .map(value)
            .collect::<rusqlite::Result<Vec<_>>>()
            .map(Row)
    })
}

fn insert(sql: &Sql, tenant: i64, table: &'static Table, rows: &[Row]) -> Result<(), StorageError> {
    // What SQLite alone keeps, until it is derived.
    let (more, zero) = if table == TENANT_META {
        (", heads_flushed", ", 0")
    } else {
        ("", "")
    };
    let marks: Vec<String> = (2..table.columns.len() + 2)
        .map(|at| format!("?{at}"))
        .collect();
    let statement = format!(
        "-- copy_put
         INSERT INTO {} (tenant, {}{more}) VALUES (?1, {}{zero})",
        table.name,
        table.names(),
        marks.join(", ")
    );
    sql.run("BEGIN IMMEDIATE", []).map_err(failure)?;
    let params = rows.iter().map(|row| {
        let tenant = std::iter::once(rusqlite::types::Value::Integer(tenant));
        params_from_iter(tenant.chain(row.0.iter().map(bound)))
    });
    let written = sql
        .run_each(&statement, params)
        .and_then(|()| sql.run("COMMIT", []).map(drop));
    if written.is_err() && !sql.connection().is_autocommit() {
        sql.run("ROLLBACK", []).map_err(failure)?;
    }
    written.map_err(reading(table.name))
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        // STRICT tables have no column of reals.
        ValueRef::Null | ValueRef::Real(_) => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            // Fits no column of text.
            Err(_) => Value::Bytes(text.to_vec()),
        },
    }
}

fn bound(value: &Value) -> rusqlite::types::Value {
    match value {
        Value::Null => rusqlite::types::Value::Null,
        Value::Integer(value) => rusqlite::types::Value::Integer(*value),
        Value::Bytes(bytes) => rusqlite::types::Value::Blob(bytes.clone()),
        Value::Text(text) => rusqlite::types::Value::Text(text.clone()),
    }
}

fn check_owner(sql: &Sql, tenant: &Tenant) -> Result<(), StorageError> {
    let meta = select(sql, i64::from(tenant.code.as_u32()), TENANT_META, None)?;
    match meta.first().and_then(|row| row.bytes(0)) {
        Some(id) if id == tenant.id.as_bytes() => Ok(()),
        _ => Err(StorageError::OtherTenant),
    }
}

#[async_trait]
impl TenantSource for SqliteSource {
    fn tenant(&self) -> Tenant {
        self.0.tenant
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        self.0.count(table).await
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        self.0.rows(table, after).await
    }
}

#[async_trait]
impl TenantSource for SqliteReplacement {
    fn tenant(&self) -> Tenant {
        self.connection.tenant
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        self.connection.count(table).await
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        self.connection.rows(table, after).await
    }
}

#[async_trait]
impl TenantSink for SqliteReplacement {
    async fn last(&mut self, table: &'static Table) -> Result<Option<Key>, StorageError> {
        self.connection
            .run(move |sql, tenant| last(sql, tenant, table))
            .await
    }

    async fn put(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), StorageError> {
        let rows = rows.to_vec();
        let id = self.connection.tenant.id;
        if table == TENANT_META
            && rows
                .iter()
                .any(|row| row.bytes(0) != Some(id.as_bytes().as_slice()))
        {
            return Err(StorageError::OtherTenant);
        }
        self.connection
            .run(move |sql, tenant| insert(sql, tenant, table, &rows))
            .await
    }
}
