//! All of a tenant's store as one thing: what composing a node needs, whatever database is behind it.

use async_trait::async_trait;

use crate::{LogStore, PersonStore, RegistryStore, StorageError};

/// One tenant's database.
#[async_trait]
pub trait TenantStore: LogStore + PersonStore + RegistryStore {
    /// Writes what is still in memory and lets the database go. Every later call is [`StorageError::Closed`].
    async fn close(&self) -> Result<(), StorageError>;
}
