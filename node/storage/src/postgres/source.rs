//! A tenant's copy out of PostgreSQL, by the nodes' own role, and a tenant that is being moved elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use vrx_domain::Tenant;

use super::cluster::PostgresCluster;
use super::copy_sql;
use super::failure::failure;
use super::session::{Mode, Session, dynamic, statement};
use super::tenant::{TenantState, key_of, owner_and_state};
use crate::StorageError;
use crate::copy::{Key, Row, Table, TenantSource};

/// Reads one tenant's rows in the state in which it was opened: one transaction to its end. Works beside the nodes that serve it.
pub struct PostgresSource {
    session: Session,
    tenant: Tenant,
    key: i32,
}

impl PostgresSource {
    /// Opens the tenant's rows, whatever its state. The cluster's limit for a statement must be long enough to count a table.
    pub async fn open(
        cluster: &Arc<PostgresCluster>,
        tenant: Tenant,
    ) -> Result<Self, StorageError> {
        let key = key_of(&tenant)?;
        let mut session = Session::begin(cluster, key, Mode::Read).await?;
        match owner_and_state(&mut session, key).await? {
            Some((uuid, _)) if uuid == *tenant.id.as_bytes() => Ok(Self {
                session,
                tenant,
                key,
            }),
            _ => Err(StorageError::OtherTenant),
        }
    }
}

#[async_trait]
impl TenantSource for PostgresSource {
    fn tenant(&self) -> Tenant {
        self.tenant
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        use sqlx::Row;
        let query = dynamic("copy_count", copy_sql::count(table, self.key));
        let count = self
            .session
            .row(table.name, query, |row| row.try_get::<i64, _>(0))
            .await?;
        Ok(count
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or(0))
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        if table.key == 0 && after.is_some() {
            return Ok(Vec::new());
        }
        let query = dynamic("copy_rows", copy_sql::rows(table, self.key, after));
        let read = |row: &_| copy_sql::read(table, table.columns.len(), row);
        self.session.rows(table.name, query, read).await
    }
}

/// A tenant whose rows are being moved to another database: read-only until it is given back, for every node.
pub struct PostgresMoving {
    cluster: Arc<PostgresCluster>,
    key: i32,
}

impl PostgresMoving {
    /// Makes the tenant read-only. Under the head's row lock: no batch is under way when this returns, and none begins.
    pub async fn begin(
        cluster: Arc<PostgresCluster>,
        tenant: Tenant,
    ) -> Result<Self, StorageError> {
        let moving = Self {
            key: key_of(&tenant)?,
            cluster,
        };
        moving
            .set(Some(*tenant.id.as_bytes()), TenantState::ReadOnly)
            .await?;
        Ok(moving)
    }

    /// Whether the tenant is read-only, by whomever.
    pub async fn is_marked(
        cluster: &Arc<PostgresCluster>,
        tenant: Tenant,
    ) -> Result<bool, StorageError> {
        let key = key_of(&tenant)?;
        let mut session = Session::begin(cluster, key, Mode::Read).await?;
        let found = owner_and_state(&mut session, key).await?;
        session.end().await?;
        Ok(found.is_some_and(|(_, state)| state == Some(TenantState::ReadOnly)))
    }

    /// Gives the tenant back to be served from here.
    pub async fn abandon(self) -> Result<(), StorageError> {
        self.set(None, TenantState::Serving).await
    }

    async fn set(&self, owner: Option<[u8; 16]>, to: TenantState) -> Result<(), StorageError> {
        let mut session = Session::begin(&self.cluster, self.key, Mode::Write).await?;
        let held =
            statement("-- hold_head_to_move\nSELECT 1 FROM log_head WHERE tenant = $1 FOR UPDATE")
                .bind(self.key);
        session.rows("log_head", held, |_| Ok(())).await?;
        let found = owner_and_state(&mut session, self.key).await?;
        let fits = found.is_some_and(|(uuid, state)| {
            owner.is_none_or(|owner| owner == uuid) && state != Some(TenantState::Arriving)
        });
        if !fits {
            return Err(StorageError::OtherTenant);
        }
        let change =
            statement("-- set_tenant_state\nUPDATE tenant_meta SET state = $2 WHERE tenant = $1")
                .bind(self.key)
                .bind(to as i16);
        session.run_one("tenant_meta", change).await?;
        session.commit().await.map_err(|error| failure(&error))
    }
}
