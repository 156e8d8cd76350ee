//! One database cluster as the nodes use it: a bounded pool, and which of its hosts is the primary.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Row};
use tokio::time::Instant;

use super::checks;
use super::failure::failure;
use super::passage::Passage;
use super::pools::Pools;
use super::statistics::{StatementStatistics, StatementTimes};
use super::url::PostgresUrl;
use crate::StorageError;

/// What a node takes of a cluster, and how long it waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresLimits {
    /// Connections of one node at most. Batches make few do: two or three for each core of the server.
    pub connections: u32,
    /// How long work waits for a connection before it is refused as busy.
    pub acquire: Duration,
    /// How long one statement may run, on the server and on the way to it. Also the patience with a COMMIT.
    pub statement: Duration,
    /// How long a statement waits for a row that another node holds.
    pub lock: Duration,
    /// A statement that takes longer is counted and logged by its name.
    pub slow: Duration,
}

impl Default for PostgresLimits {
    fn default() -> Self {
        Self {
            connections: 8,
            acquire: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            lock: Duration::from_secs(3),
            slow: Duration::from_millis(250),
        }
    }
}

/// Which of a node's connections work takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Any that is free.
    Any,
    /// The tenant's lane for lookups.
    Lookups,
    /// The tenant's lane for batches of the log.
    Batches,
}

/// How long one host may take to answer when the primary is looked for.
const PROBE: Duration = Duration::from_secs(2);

/// A cluster: the pool of this process, shared by all its tenants.
///
/// The pool leads to one host, the primary. When a connection breaks or a server takes no writes, all hosts of the address are
/// asked which of them is the primary now, and the pool leads there.
pub struct PostgresCluster {
    url: PostgresUrl,
    hosts: Vec<Host>,
    limits: PostgresLimits,
    pools: Pools,
    since: Arc<FailedSince>,
    /// One search at a time.
    searching: tokio::sync::Mutex<()>,
    statistics: StatementStatistics,
}

impl PostgresCluster {
    /// Connects to the primary and checks that schema, settings and role are what a node may serve with.
    pub async fn connect(
        url: &PostgresUrl,
        limits: PostgresLimits,
    ) -> Result<Arc<Self>, StorageError> {
        let hosts = url
            .connect_options()
            .map(|options| Host::new(session_settings(options, &limits)))
            .collect::<Result<Vec<_>, _>>()?;
        let primary = find_primary(&hosts).await?;
        let since = Arc::new(FailedSince::default());
        let judge = Arc::clone(&since);
        let pools = Pools::new(&limits, &primary, || {
            let judge = Arc::clone(&judge);
            PgPoolOptions::new()
                // A ping before each use costs as much as the statement; sessions close what they can't account for.
                .test_before_acquire(false)
                .before_acquire(move |_, meta| {
                    let trusted = judge.trusts(meta.age);
                    Box::pin(async move { Ok(trusted) })
                })
        });
        let cluster = Arc::new(Self {
            url: url.clone(),
            hosts,
            limits,
            pools,
            since,
            searching: tokio::sync::Mutex::default(),
            statistics: StatementStatistics::new(limits.slow),
        });
        let mut connection = cluster.acquire(Way::Any, 0).await?;
        checks::serving(&mut connection).await?;
        Ok(cluster)
    }

    /// Ends all connections; whoever holds one ends first.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    /// Statements run since the cluster was connected.
    pub fn statements(&self) -> u64 {
        let statements = self.statistics.snapshot();
        statements.iter().map(|(_, times)| times.count()).sum()
    }

    /// Their times, by their names.
    pub fn statement_times(&self) -> Vec<(&'static str, StatementTimes)> {
        self.statistics.snapshot()
    }

    /// What this process takes of the cluster.
    pub fn limits(&self) -> &PostgresLimits {
        &self.limits
    }

    /// Connections open now, and how many of them wait for work.
    pub fn connections(&self) -> (u32, usize) {
        self.pools.connections()
    }

    pub(super) fn url(&self) -> &PostgresUrl {
        &self.url
    }

    pub(super) fn statistics(&self) -> &StatementStatistics {
        &self.statistics
    }

    /// A connection to the primary. When none can be had, the primary is looked for before the caller is told.
    pub(super) async fn acquire(
        &self,
        way: Way,
        tenant: i32,
    ) -> Result<PoolConnection<Postgres>, StorageError> {
        let pool = self.pools.of(way, tenant);
        match pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                let error = failure(&error);
                if pool.num_idle() == 0 && pool.size() < pool.options().get_max_connections() {
                    self.look_for_primary().await;
                }
                Err(error)
            }
        }
    }

    /// A connection broke or leads to a server that takes no writes: none as old is used again, and the next one goes to
    /// whoever is the primary by then.
    pub(super) async fn lost(&self) {
        self.since.note();
        self.look_for_primary().await;
    }

    async fn look_for_primary(&self) {
        // Whoever comes second finds the answer of the first.
        let Ok(_alone) = self.searching.try_lock() else {
            return;
        };
        match find_primary(&self.hosts).await {
            Ok(primary) => self.pools.lead_to(&primary),
            Err(error) => tracing::warn!(cluster = %self.url, %error, "no primary answers"),
        }
    }
}

/// Connections that were opened before the last failure are not used again: a server that went away took them all along.
#[derive(Default)]
struct FailedSince(Mutex<Option<Instant>>);

impl FailedSince {
    fn note(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    fn trusts(&self, age: Duration) -> bool {
        self.0.lock().is_none_or(|failed| age <= failed.elapsed())
    }
}

/// A host that may be the primary, and the way to it.
struct Host {
    options: PgConnectOptions,
    passage: Option<Passage>,
}

impl Host {
    fn new(options: PgConnectOptions) -> Result<Self, StorageError> {
        let (options, passage) = Passage::through(options)?;
        Ok(Self { options, passage })
    }
}

/// The first host that takes writes, as options that connect to it.
async fn find_primary(hosts: &[Host]) -> Result<PgConnectOptions, StorageError> {
    let mut why = StorageError::Unreachable("no host answers".to_owned());
    for host in hosts {
        match tokio::time::timeout(PROBE, is_primary(host)).await {
            Ok(Ok(true)) => return Ok(host.options.clone()),
            Ok(Ok(false)) => {
                why = StorageError::Unreachable("every host that answers is a standby".to_owned());
            }
            Ok(Err(error)) => why = error,
            Err(_) => {}
        }
    }
    Err(why)
}

async fn is_primary(host: &Host) -> Result<bool, StorageError> {
    if let Some(passage) = &host.passage {
        passage.leads_somewhere().await?;
    }
    let mut connection: PgConnection = host
        .options
        .connect()
        .await
        .map_err(|error| failure(&error))?;
    let row = sqlx::query("-- is_primary\nSELECT pg_is_in_recovery()")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failure(&error))?;
    let standby: bool = row.try_get(0).map_err(|error| failure(&error))?;
    // Nothing depends on how a probe's connection ends.
    drop(connection.close().await);
    Ok(!standby)
}

/// What every connection of a node has set. Plans must not depend on statistics: every statement here finds its rows by
/// key, and a plan that turns into a scan of a table would tell known from unknown by its time.
fn session_settings(options: PgConnectOptions, limits: &PostgresLimits) -> PgConnectOptions {
    let milliseconds = |time: Duration| time.as_millis().to_string();
    options
        .options([
            ("search_path", "vrx"),
            // A generic plan locks every partition; a custom one only those of its tenant.
            ("plan_cache_mode", "force_custom_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_material", "off"),
            ("enable_bitmapscan", "off"),
            ("jit", "off"),
        ])
        .options([
            ("statement_timeout", milliseconds(limits.statement)),
            ("lock_timeout", milliseconds(limits.lock)),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(limits.statement * 3),
            ),
        ])
        .disable_statement_logging()
}
