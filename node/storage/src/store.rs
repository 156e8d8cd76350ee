//! All of a tenant's store as one thing: what composing a node needs, whatever database is behind it.

use async_trait::async_trait;

use crate::{
    LogStore, PersonStore, ReceiptStore, RegistryStore, RetentionStore, StorageError, WitnessStore,
};

/// How full the queue of a tenant's lookups is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupQueue {
    /// How many wait, without those that are being answered.
    pub waiting: usize,
    /// How many may.
    pub limit: usize,
}

/// One tenant's database.
#[async_trait]
pub trait TenantStore:
    LogStore + PersonStore + RegistryStore + ReceiptStore + WitnessStore + RetentionStore
{
    /// Writes what is still in memory and lets the database go. Every later call is [`StorageError::Closed`].
    async fn close(&self) -> Result<(), StorageError>;

    /// Statements run since the database was opened: by this tenant's connections in SQLite, by all tenants of the cluster in
    /// this process on PostgreSQL. What a test counts to see that whoever is asked for costs the same.
    fn statements(&self) -> u64;

    /// Lookups that wait for the next batch of them. Who isn't taken in any more is told [`StorageError::Busy`].
    fn lookup_queue(&self) -> LookupQueue;
}
