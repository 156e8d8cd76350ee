//! Where each tenant's rows are opened: a SQLite file of its own, or a cluster that it shares with others.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vrx_crypto::Keyring;
use vrx_domain::Tenant;
use vrx_storage::postgres::{PostgresCluster, PostgresTenant, PostgresUrl, TenantOptions};
use vrx_storage::{SqliteOptions, SqliteTenant, StorageError, TenantStore};

use crate::compose::World;
use crate::config::{Config, Database, TenantConfig};
use crate::failure::Failure;

/// How long a cluster's connections may take to end.
const DISCONNECT: Duration = Duration::from_secs(10);

/// Whether a tenant's rows may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// This process adds to them.
    Serve,
    /// They are only looked at, whoever serves meanwhile.
    Look,
}

/// The connected clusters of a configuration: one pool an address, however many tenants and names lead to it.
#[derive(Default)]
pub struct Clusters {
    by_url: HashMap<PostgresUrl, Arc<PostgresCluster>>,
}

impl Clusters {
    /// Connects to the clusters of these tenants. Each is asked whether its schema and this node's role are what may be
    /// served with.
    pub async fn connect(
        config: &Config,
        tenants: impl IntoIterator<Item = &TenantConfig>,
    ) -> Result<Self, Failure> {
        let mut connected = Self::default();
        for tenant in tenants {
            let Some((name, url)) = cluster_of(config, tenant)? else {
                continue;
            };
            if connected.by_url.contains_key(url) {
                continue;
            }
            match PostgresCluster::connect(url, config.postgres).await {
                Ok(cluster) => {
                    connected.by_url.insert(url.clone(), cluster);
                }
                Err(error) => {
                    connected.close().await;
                    return Err(storage_failure(error).about(&format!("cluster {name} ({url})")));
                }
            }
        }
        Ok(connected)
    }

    /// Opens one tenant's rows.
    pub async fn open(
        &self,
        config: &Config,
        tenant: Tenant,
        keyring: &Arc<Keyring>,
        world: &World,
        access: Access,
    ) -> Result<Arc<dyn TenantStore>, Failure> {
        let settings = config.tenants.iter().find(|each| each.code == tenant.code);
        let url = match settings {
            Some(settings) => cluster_of(config, settings)?,
            None => None,
        };
        let Some((name, url)) = url else {
            let options = sqlite_options(config, tenant, keyring, world);
            let opened = match access {
                Access::Serve => SqliteTenant::open(options).await,
                Access::Look => SqliteTenant::open_read_only(options).await,
            };
            return Ok(Arc::new(opened.map_err(storage_failure)?));
        };
        let cluster = self
            .by_url
            .get(url)
            .ok_or_else(|| Failure::internal(format!("cluster {name} was never connected")))?;
        let opened =
            PostgresTenant::open(Arc::clone(cluster), tenant_options(tenant, keyring, world)).await;
        Ok(Arc::new(opened.map_err(storage_failure)?))
    }

    /// The connected clusters, each under the first name that leads to it.
    pub fn named<'a>(
        &'a self,
        config: &'a Config,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<PostgresCluster>)> {
        self.by_url.iter().filter_map(|(url, cluster)| {
            let mut names = config
                .clusters
                .iter()
                .filter(move |(_, named)| *named == url);
            Some((names.next()?.0.as_str(), cluster))
        })
    }

    /// Ends all connections. What doesn't end in time ends with the process.
    pub async fn close(&self) {
        for (url, cluster) in &self.by_url {
            if tokio::time::timeout(DISCONNECT, cluster.close())
                .await
                .is_err()
            {
                tracing::warn!(%url, "connections to the database that don't end are left behind");
            }
        }
    }
}

/// The cluster that has a tenant's rows: its name and where it is; none on SQLite.
pub fn cluster_of<'a>(
    config: &'a Config,
    tenant: &'a TenantConfig,
) -> Result<Option<(&'a str, &'a PostgresUrl)>, Failure> {
    match &tenant.database {
        Database::Sqlite => Ok(None),
        Database::Cluster(name) => {
            let found = config.cluster(Path::new("the configuration"), Some(name));
            Ok(Some(found?))
        }
    }
}

/// What a tenant's database in SQLite needs.
pub fn sqlite_options(
    config: &Config,
    tenant: Tenant,
    keyring: &Arc<Keyring>,
    world: &World,
) -> SqliteOptions {
    SqliteOptions {
        state_dir: config.state_dir.clone(),
        tenant,
        keyring: Arc::clone(keyring),
        random: Arc::clone(&world.random),
    }
}

/// What a tenant's rows in a cluster need.
pub fn tenant_options(tenant: Tenant, keyring: &Arc<Keyring>, world: &World) -> TenantOptions {
    TenantOptions {
        tenant,
        keyring: Arc::clone(keyring),
        random: Arc::clone(&world.random),
    }
}

/// A database that doesn't open: busy things may be tried again, damaged ones may not.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub fn storage_failure(error: StorageError) -> Failure {
    match error {
        StorageError::Locked { .. }
        | StorageError::Busy
        | StorageError::Full
        | StorageError::Unreachable(_)
        | StorageError::Closed => Failure::unavailable(error.to_string()),
        StorageError::Place { .. }
        | StorageError::Broken(_)
        | StorageError::Inconsistent { .. }
        | StorageError::Schema(_)
        | StorageError::OtherTenant => {
            Failure::storage(format!("the database is refused: {error}"))
        }
        StorageError::Keyring(_) | StorageError::Invalid(_) | StorageError::ReadOnly => {
            Failure::internal(error.to_string())
        }
    }
}
