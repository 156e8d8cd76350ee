//! A tenant's copy into PostgreSQL, by the owner of the tables: the nodes' role may not write a log's head anew.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use vrx_domain::Tenant;

use super::copy_sql::{self, Rows};
use super::failure::{failure, reading};
use super::owner::PostgresOwner;
use super::partitions::{TABLES, partition};
use super::tenant::{TenantState, key_of};
use crate::StorageError;
use crate::copy::{Key, LOG_HEAD, Row, TENANT_META, Table, TenantSink, TenantSource};

/// A tenant that is being moved or restored into this database: no node opens it before [`PostgresArrival::serve`].
pub struct PostgresArrival {
    owner: PostgresOwner,
    tenant: Tenant,
    key: i32,
}

/// What stands in the place of an arrival.
pub enum Arrival {
    /// Nothing, or what an interrupted arrival left: rows can be put.
    Open(PostgresArrival),
    /// The tenant arrived and is served from here.
    Served,
}

impl PostgresArrival {
    /// Makes the tenant's partitions, or goes on with what an interrupted arrival left. Refused where the code belongs to another
    /// tenant, and where the tenant was moved away from.
    pub async fn begin(mut owner: PostgresOwner, tenant: Tenant) -> Result<Arrival, StorageError> {
        let key = key_of(&tenant)?;
        // Rows that a crash takes are copied again: only the log's head, which comes last, waits for the disk.
        owner.run("SET synchronous_commit TO off").await?;
        owner.make_partitions(tenant.code.as_u32()).await?;
        let mut arrival = Self { owner, tenant, key };
        match arrival.state().await? {
            None => Ok(Arrival::Open(arrival)),
            Some(TenantState::Arriving) => {
                // What changes by itself while a move is interrupted: expired inquiries go.
                arrival.empty(&["inquiry"]).await?;
                Ok(Arrival::Open(arrival))
            }
            Some(TenantState::Serving) => Ok(Arrival::Served),
            Some(TenantState::ReadOnly) => Err(StorageError::Place {
                path: format!("{} in this database", tenant.code),
                why: "the tenant is being moved away from here, or was; choose another database",
            }),
        }
    }

    /// Removes what an earlier arrival left.
    pub async fn clear(&mut self) -> Result<(), StorageError> {
        if !matches!(self.state().await?, None | Some(TenantState::Arriving)) {
            return Err(StorageError::Invalid("the tenant is no arrival any more"));
        }
        let partitioned: Vec<&str> = TABLES
            .iter()
            .filter(|table| table.partitioned)
            .map(|table| table.name)
            .collect();
        self.empty(&partitioned).await?;
        let rows: Vec<String> = TABLES
            .iter()
            .filter(|table| !table.partitioned)
            .map(|table| format!("DELETE FROM {} WHERE tenant = {}", table.name, self.key))
            .collect();
        self.owner.begin(self.tenant.code.as_u32()).await?;
        self.owner
            .run(&format!("{}; COMMIT", rows.join("; ")))
            .await
    }

    /// Lets nodes serve the tenant from here.
    pub async fn serve(mut self) -> Result<(), StorageError> {
        let key = self.key;
        self.owner.run("SET synchronous_commit TO on").await?;
        self.owner.begin(self.tenant.code.as_u32()).await?;
        let canary = sqlx::query("-- arrive_canary\nINSERT INTO canary (tenant, written) VALUES ($1, 0) ON CONFLICT DO NOTHING").bind(key);
        canary
            .execute(&mut self.owner.connection)
            .await
            .map_err(|error| failure(&error))?;
        let change = sqlx::query(
            "-- arrive
             UPDATE tenant_meta SET state = 1 WHERE tenant = $1 AND state = 3
             AND EXISTS (SELECT FROM log_head WHERE tenant = $1)",
        )
        .bind(key);
        let changed = change
            .execute(&mut self.owner.connection)
            .await
            .map_err(|error| failure(&error))?;
        if changed.rows_affected() != 1 {
            return Err(StorageError::Inconsistent {
                table: "tenant_meta",
                column: "state",
                row: "the arrival isn't whole".to_owned(),
            });
        }
        self.owner.run("COMMIT").await?;
        self.owner.close().await
    }

    /// The state of the tenant here, if it is here.
    async fn state(&mut self) -> Result<Option<TenantState>, StorageError> {
        let query = sqlx::query(
            "-- arrival_there\nSELECT tenant_uuid, state FROM tenant_meta WHERE tenant = $1",
        )
        .bind(self.key);
        let rows = self.read(query).await.map_err(|error| failure(&error))?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let uuid: Vec<u8> = row.try_get(0).map_err(|error| failure(&error))?;
        let state: i16 = row.try_get(1).map_err(|error| failure(&error))?;
        if uuid != self.tenant.id.as_bytes() {
            return Err(StorageError::OtherTenant);
        }
        let unknown = || StorageError::Inconsistent {
            table: "tenant_meta",
            column: "state",
            row: self.key.to_string(),
        };
        TenantState::of(state).map(Some).ok_or_else(unknown)
    }

    async fn empty(&mut self, tables: &[&str]) -> Result<(), StorageError> {
        let code = self.tenant.code.as_u32();
        let names: Vec<String> = tables.iter().map(|table| partition(table, code)).collect();
        self.owner
            .run(&format!("TRUNCATE {}", names.join(", ")))
            .await
    }

    /// One reading in a transaction that has the tenant set.
    async fn read(&mut self, query: Rows) -> Result<Vec<PgRow>, sqlx::Error> {
        let begun = self.owner.begin(self.tenant.code.as_u32()).await;
        begun.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
        let rows = query.fetch_all(&mut self.owner.connection).await?;
        let ended = self.owner.run("COMMIT").await;
        ended.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
        Ok(rows)
    }
}

#[async_trait]
impl TenantSource for PostgresArrival {
    fn tenant(&self) -> Tenant {
        self.tenant
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        let failed = reading(table.name);
        let rows = self
            .read(copy_sql::count(table, self.key))
            .await
            .map_err(&failed)?;
        let count: i64 = match rows.first() {
            Some(row) => row.try_get(0).map_err(&failed)?,
            None => 0,
        };
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        if table.key == 0 && after.is_some() {
            return Ok(Vec::new());
        }
        let failed = reading(table.name);
        let rows = self
            .read(copy_sql::rows(table, self.key, after))
            .await
            .map_err(&failed)?;
        let read = |row| copy_sql::read(table, table.columns.len(), row);
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(&failed)
    }
}

#[async_trait]
impl TenantSink for PostgresArrival {
    async fn last(&mut self, table: &'static Table) -> Result<Option<Key>, StorageError> {
        let failed = reading(table.name);
        let rows = self
            .read(copy_sql::last(table, self.key))
            .await
            .map_err(&failed)?;
        rows.first()
            .map(|row| copy_sql::read(table, table.key, row))
            .transpose()
            .map_err(&failed)
    }

    async fn put(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), StorageError> {
        let foreign = |row: &Row| row.bytes(0) != Some(self.tenant.id.as_bytes().as_slice());
        if table == TENANT_META && rows.iter().any(foreign) {
            return Err(StorageError::OtherTenant);
        }
        if table == LOG_HEAD {
            self.owner.run("SET synchronous_commit TO on").await?;
        }
        self.owner.begin(self.tenant.code.as_u32()).await?;
        let query = copy_sql::insert(table, self.key, rows);
        let done = query
            .execute(&mut self.owner.connection)
            .await
            .map_err(|error| failure(&error))?;
        if done.rows_affected() != rows.len() as u64 {
            return Err(StorageError::Inconsistent {
                table: table.name,
                column: "*",
                row: "fewer rows were added than given".to_owned(),
            });
        }
        self.owner.run("COMMIT").await
    }
}
