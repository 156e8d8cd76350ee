//! Where the tenants' rows are: SQLite files, or PostgreSQL clusters by name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use vrx_storage::postgres::{PostgresLimits, PostgresUrl};

use super::error::{Blame, ConfigError};

/// The name of the cluster that the key `database` means.
pub const DEFAULT_CLUSTER: &str = "default";

/// Where one tenant's rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In a file below `state_dir`.
    Sqlite,
    /// In the cluster of this name.
    Cluster(String),
}

/// The clusters, by name: those of `[clusters]`, and `database` as [`DEFAULT_CLUSTER`].
pub(super) fn clusters(
    blame: &Blame<'_>,
    database: Option<&String>,
    named: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, PostgresUrl>, ConfigError> {
    const REMEDY: &str =
        "write postgres://USER@HOST:PORT/DATABASE?sslrootcert=FILE, see `vrx-node config`";
    let parse = |key: String, url: &str| {
        PostgresUrl::parse(url).map_err(|error| blame.value(key, &error, REMEDY))
    };
    if database.is_some() && named.contains_key(DEFAULT_CLUSTER) {
        return Err(blame.value(
            format!("clusters.{DEFAULT_CLUSTER}"),
            "is the name of the cluster that the key `database` means",
            "choose another name or leave `database` out",
        ));
    }
    let mut clusters = BTreeMap::new();
    for (name, url) in named {
        clusters.insert(name.clone(), parse(format!("clusters.{name}"), url)?);
    }
    if let Some(url) = database {
        clusters.insert(
            DEFAULT_CLUSTER.to_owned(),
            parse("database".to_owned(), url)?,
        );
    }
    Ok(clusters)
}

/// Where a tenant's rows are, by its key `cluster`.
pub(super) fn of_tenant(
    blame: &Blame<'_>,
    key: &str,
    cluster: Option<String>,
    clusters: &BTreeMap<String, PostgresUrl>,
) -> Result<Database, ConfigError> {
    match cluster {
        Some(name) if clusters.contains_key(&name) => Ok(Database::Cluster(name)),
        Some(name) => Err(blame.value(
            format!("{key}.cluster"),
            &format!("there is no cluster {name}"),
            "name one that stands in [clusters], or add it there",
        )),
        None if clusters.contains_key(DEFAULT_CLUSTER) => {
            Ok(Database::Cluster(DEFAULT_CLUSTER.to_owned()))
        }
        None => Ok(Database::Sqlite),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPostgres {
    connections: u32,
    acquire_ms: u64,
    statement_ms: u64,
    lock_ms: u64,
    slow_ms: u64,
}

impl Default for RawPostgres {
    fn default() -> Self {
        let limits = PostgresLimits::default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            connections: limits.connections,
            acquire_ms: millis(limits.acquire),
            statement_ms: millis(limits.statement),
            lock_ms: millis(limits.lock),
            slow_ms: millis(limits.slow),
        }
    }
}

impl RawPostgres {
    pub(super) fn check(&self, blame: &Blame<'_>) -> Result<PostgresLimits, ConfigError> {
        let within = |key: &str, value: u64, least: u64, most: u64| {
            blame.within(format!("postgres.{key}"), value, least..=most)
        };
        let millis = |key: &str, value: u64, least: u64, most: u64| {
            within(key, value, least, most).map(Duration::from_millis)
        };
        // Two: a search for the primary and a batch of the log must not wait for each other.
        within("connections", self.connections.into(), 2, 1_000)?;
        Ok(PostgresLimits {
            connections: self.connections,
            acquire: millis("acquire_ms", self.acquire_ms, 10, 60_000)?,
            statement: millis("statement_ms", self.statement_ms, 100, 300_000)?,
            lock: millis("lock_ms", self.lock_ms, 10, 60_000)?,
            slow: millis("slow_ms", self.slow_ms, 1, 60_000)?,
        })
    }
}
