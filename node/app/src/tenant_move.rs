//! Moving a tenant: from SQLite or from one cluster to another, whole or not at all.
//!
//! The source is read-only from the first step on, so what is copied and what it is compared with are the same rows, however
//! often the move is interrupted and run again. Only when every row on both sides is the same, and the log's leaves hash to the root
//! in its head, does the target serve; the source never does again, unless the move is abandoned before that.

use std::fmt;
use std::sync::Arc;

use vrx_domain::Tenant;
use vrx_provision_log::CopiedLog;
use vrx_storage::copy::{Row, RowCounts, TABLES, Table, TenantSource, compare, copy};
use vrx_storage::postgres::{
    Arrival, PostgresArrival, PostgresCluster, PostgresMoving, PostgresOwner, PostgresSource,
    PostgresUrl,
};
use vrx_storage::{SqliteMoving, StorageError};

use crate::backup::{connect, is_moving, source};
use crate::compose::named;
use crate::config::{Config, TenantConfig};
use crate::failure::Failure;
use crate::progress;
use crate::stores::{cluster_of, storage_failure};
use crate::tenant_id;

/// Where to move a tenant, as the operator said it.
pub struct Target {
    /// The nodes' address of the database.
    pub url: PostgresUrl,
    /// The owner's.
    pub owner: PostgresUrl,
    /// What to write into the configuration afterwards.
    pub line: String,
}

impl Target {
    /// `to` is the name of a cluster in the configuration or an address.
    pub fn new(config: &Config, to: &str, owner: PostgresUrl) -> Result<Self, Failure> {
        let (url, line) = match config.clusters.get(to) {
            Some(url) => (
                url.clone(),
                format!("cluster = \"{to}\" in its table [[tenant]]"),
            ),
            None if to.contains("://") => {
                let url = PostgresUrl::parse(to)
                    .map_err(|error| Failure::configuration(format!("--to: {error}")))?;
                let line = format!(
                    "a name for \"{url}\" in [clusters], and cluster = that name in its table [[tenant]]"
                );
                (url, line)
            }
            None => {
                return Err(Failure::configuration(format!(
                    "--to: there is no cluster {to}; name one that stands in [clusters], or give the address of its database"
                )));
            }
        };
        if owner.user() == url.user() || owner.database() != url.database() {
            return Err(Failure::configuration(
                "--owner: it must lead to the database of --to, as the role that owns it, not as that of the nodes",
            ));
        }
        Ok(Self { url, owner, line })
    }
}

/// A tenant that arrived.
pub struct Moved {
    tenant: Tenant,
    rows: Option<RowCounts>,
    line: String,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rows {
            Some(rows) => writeln!(
                f,
                "{} is moved: {} rows, the same on both sides, and the log's root over them.",
                named(self.tenant.code),
                rows.total()
            )?,
            None => writeln!(f, "{} is moved already.", named(self.tenant.code))?,
        }
        writeln!(
            f,
            "Now write {} and start the nodes. The old rows are read-only and can be removed.",
            self.line
        )
    }
}

/// The source, held read-only.
enum Held {
    Sqlite(SqliteMoving),
    Cluster(PostgresMoving),
}

impl Held {
    async fn hold(
        config: &Config,
        settings: &TenantConfig,
        tenant: Tenant,
        to: &PostgresUrl,
    ) -> Result<Self, Failure> {
        let held = match cluster_of(config, settings)? {
            None => SqliteMoving::begin(config.state_dir.clone(), tenant, to.to_string())
                .await
                .map(Self::Sqlite),
            Some((name, url)) if url == to => {
                return Err(Failure::configuration(format!(
                    "--to: the tenant is in the cluster {name} already"
                )));
            }
            Some((_, url)) => {
                let cluster = connect(config, url).await?;
                PostgresMoving::begin(cluster, tenant)
                    .await
                    .map(Self::Cluster)
            }
        };
        held.map_err(|error| match error {
            StorageError::Locked { .. } => Failure::unavailable(format!(
                "{error}: a node serves it; stop the node, then move the tenant"
            )),
            error => storage_failure(error),
        })
    }

    async fn give_back(self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(held) => held.abandon().await,
            Self::Cluster(held) => held.abandon().await,
        }
        .map_err(storage_failure)
    }
}

/// Moves a tenant, or goes on with a move that was interrupted.
pub async fn move_tenant(
    config: &Config,
    settings: &TenantConfig,
    target: Target,
) -> Result<Moved, Failure> {
    let tenant = tenant_id::read(config, settings.code)?;
    let refused = |error| storage_failure(error).about(&target.owner.to_string());
    // Everything that can be wrong with the target is found before the source stops serving.
    let mut owner = PostgresOwner::connect(&target.owner)
        .await
        .map_err(refused)?;
    owner.migrate().await.map_err(refused)?;
    owner.grant(target.url.user()).await.map_err(refused)?;
    let cluster = connect(config, &target.url).await?;

    let arrival = PostgresArrival::begin(owner, tenant)
        .await
        .map_err(refused)?;
    if matches!(arrival, Arrival::Served) && !is_moving(config, settings, tenant).await? {
        return Err(Failure::configuration(format!(
            "--to: {} serves the tenant, and so does the database of the configuration: they are the same one, or one of the \
             two is not the truth; nothing was changed",
            target.url
        )));
    }
    let held = Held::hold(config, settings, tenant, &target.url).await?;
    let rows = match arrival {
        Arrival::Served => None,
        Arrival::Open(mut arrival) => {
            let mut source = source(config, settings, tenant).await?;
            fill(&mut *source, &mut arrival).await?;
            let rows = check(&mut *source, &cluster, tenant).await?;
            arrival.serve().await.map_err(refused)?;
            Some(rows)
        }
    };
    drop(held);
    Ok(Moved {
        tenant,
        rows,
        line: target.line,
    })
}

async fn fill(source: &mut dyn TenantSource, arrival: &mut PostgresArrival) -> Result<(), Failure> {
    let bar = progress::rows(rows_of(source).await?, "copying");
    bar.inc(rows_of(arrival).await?);
    let mut watch = |_: &Table, rows: &[Row]| {
        bar.inc(rows.len() as u64);
        Ok(())
    };
    let copied = copy(source, arrival, &mut watch);
    copied.await.map_err(|error| {
        storage_failure(error)
            .about("the move was interrupted; the source is read-only; run it again to go on")
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Reads both sides again: the target as the nodes will, through their own role and address.
async fn check(
    source: &mut dyn TenantSource,
    target: &Arc<PostgresCluster>,
    tenant: Tenant,
) -> Result<RowCounts, Failure> {
    let differs = |why: &dyn fmt::Display| {
        Failure::storage(format!(
            "the copy isn't the same as its source: {why}; the target doesn't serve. Give the source back with --abandon, \
             which empties the target, and move again"
        ))
    };
    let head = vrx_storage::copy::head(source)
        .await
        .map_err(storage_failure)?;
    let mut log = CopiedLog::begin(head, None);
    let mut fault = None;
    let bar = progress::rows(rows_of(source).await?, "comparing");
    let mut arrived = PostgresSource::open(target, tenant)
        .await
        .map_err(storage_failure)?;
    let mut watch = |table: &'static Table, rows: &[Row]| {
        bar.inc(rows.len() as u64);
        if fault.is_none() {
            fault = log.rows(table, rows).err();
        }
        Ok(())
    };
    let rows = compare(source, &mut arrived, &mut watch);
    let rows = rows.await.map_err(|error| match error {
        StorageError::Inconsistent { .. } => differs(&error),
        error => storage_failure(error),
    })?;
    bar.finish_and_clear();
    match fault {
        Some(fault) => Err(differs(&fault)),
        None => log.finish().map(|_| rows).map_err(|fault| differs(&fault)),
    }
}

async fn rows_of<S: TenantSource + ?Sized>(source: &mut S) -> Result<u64, Failure> {
    let mut total = 0;
    for table in TABLES {
        total += source.count(table).await.map_err(storage_failure)?;
    }
    Ok(total)
}

/// Gives the source back and empties the target. Refused once the target serves: two logs would grow from one.
pub async fn abandon(
    config: &Config,
    settings: &TenantConfig,
    target: Target,
) -> Result<String, Failure> {
    let tenant = tenant_id::read(config, settings.code)?;
    let refused = |error| storage_failure(error).about(&target.owner.to_string());
    let mut owner = PostgresOwner::connect(&target.owner)
        .await
        .map_err(refused)?;
    owner.migrate().await.map_err(refused)?;
    match PostgresArrival::begin(owner, tenant)
        .await
        .map_err(refused)?
    {
        Arrival::Served => Err(Failure::storage(format!(
            "{} is served from {} already: its source can't be given back; write {}",
            named(settings.code),
            target.url,
            target.line
        ))),
        Arrival::Open(mut arrival) => {
            let held = Held::hold(config, settings, tenant, &target.url).await?;
            arrival.clear().await.map_err(refused)?;
            held.give_back().await?;
            Ok(format!(
                "{} is served from where it was; the target is empty.\n",
                named(settings.code)
            ))
        }
    }
}
