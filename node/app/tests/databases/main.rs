//! Copies between the two databases, row by row, and the operator's verbs that are made of them, over real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

/// Each test over SQLite and over PostgreSQL.
macro_rules! over_both {
    ($($what:ident,)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $what() {
                super::$what($crate::tampered::Scene::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $what() {
                super::$what($crate::tampered::Scene::postgres().await).await;
            })+
        }
    };
}

mod copies;
mod nowhere;
mod steered;
mod tampered;
mod verbs;

use std::sync::Arc;

use async_trait::async_trait;
use vrx_domain::Tenant;
use vrx_storage::StorageError;
use vrx_storage::copy::{Key, Row, Table, TenantSink, TenantSource};
use vrx_storage::postgres::{
    Arrival, PostgresArrival, PostgresCluster, PostgresLimits, PostgresOwner, PostgresUrl,
};
use vrx_testkit::postgres::{NODE, TestDatabase};

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is a watch, and watches may refuse"
)]
fn quiet(_: &'static Table, _: &[Row]) -> Result<(), StorageError> {
    Ok(())
}

fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).unwrap()
}

async fn owner(database: &TestDatabase) -> PostgresOwner {
    let mut owner = PostgresOwner::connect(&url(&database.owner_url()))
        .await
        .unwrap();
    owner.migrate().await.unwrap();
    owner.grant(NODE).await.unwrap();
    owner
}

async fn cluster(database: &TestDatabase) -> Arc<PostgresCluster> {
    let limits = PostgresLimits {
        connections: 3,
        ..PostgresLimits::default()
    };
    PostgresCluster::connect(&url(&database.node_url()), limits)
        .await
        .unwrap()
}

async fn arrival(database: &TestDatabase, tenant: Tenant) -> PostgresArrival {
    match PostgresArrival::begin(owner(database).await, tenant)
        .await
        .unwrap()
    {
        Arrival::Open(arrival) => arrival,
        Arrival::Served => panic!("the tenant is served there"),
    }
}

/// A sink that ends after so many rows of one table.
struct Ending<'a> {
    sink: &'a mut PostgresArrival,
    table: &'static Table,
    after: usize,
}

#[async_trait]
impl TenantSource for Ending<'_> {
    fn tenant(&self) -> Tenant {
        self.sink.tenant()
    }
    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        self.sink.count(table).await
    }
    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        self.sink.rows(table, after).await
    }
}

#[async_trait]
impl TenantSink for Ending<'_> {
    async fn last(&mut self, table: &'static Table) -> Result<Option<Key>, StorageError> {
        self.sink.last(table).await
    }
    async fn put(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), StorageError> {
        if table != self.table {
            return self.sink.put(table, rows).await;
        }
        let rows = &rows[..rows.len().min(self.after)];
        self.sink.put(table, rows).await?;
        Err(StorageError::Closed)
    }
}
