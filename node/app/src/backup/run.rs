//! The verbs `backup` and `restore`: from the configuration to sources, places and keys.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vrx_crypto::Keyring;
use vrx_domain::{MunicipalityCode, Tenant, TenantId};
use vrx_storage::copy::TenantSource;
use vrx_storage::postgres::{
    Arrival, PostgresArrival, PostgresCluster, PostgresLimits, PostgresMoving, PostgresOwner,
    PostgresSource, PostgresUrl,
};
use vrx_storage::{SqliteMoving, SqliteReplacement, SqliteSource};

use super::restore::{Epoch, Restored, Restoring, check_tenant, identity, restore};
use super::{BackedUp, BackupPlan, CutOff, Destroyed, Manifest, back_up, list_epoch};
use crate::compose::{World, log_options, named, open_keyring};
use crate::config::{Config, TenantConfig};
use crate::failure::Failure;
use crate::stores::{cluster_of, storage_failure};
use crate::tenant_id;

/// How long one statement of a copy may take: counting a large table takes longer than any statement of a serving node.
const STATEMENT: Duration = Duration::from_mins(10);

/// Connects to a cluster to copy a tenant out of it.
pub(crate) async fn connect(
    config: &Config,
    url: &PostgresUrl,
) -> Result<Arc<PostgresCluster>, Failure> {
    let limits = PostgresLimits {
        connections: 2,
        statement: STATEMENT,
        slow: STATEMENT,
        ..config.postgres
    };
    PostgresCluster::connect(url, limits)
        .await
        .map_err(|error| storage_failure(error).about(&url.to_string()))
}

/// Opens a tenant's rows to be copied, where the configuration says that they are. Neither keyring nor root key is needed.
pub(crate) async fn source(
    config: &Config,
    settings: &TenantConfig,
    tenant: Tenant,
) -> Result<Box<dyn TenantSource>, Failure> {
    let Some((_, url)) = cluster_of(config, settings)? else {
        let source = SqliteSource::open(config.state_dir.clone(), tenant).await;
        return Ok(Box::new(source.map_err(storage_failure)?));
    };
    let cluster = connect(config, url).await?;
    let source = PostgresSource::open(&cluster, tenant).await;
    Ok(Box::new(source.map_err(storage_failure)?))
}

/// Whether a move has made the tenant read-only where the configuration says that it is.
pub(crate) async fn is_moving(
    config: &Config,
    settings: &TenantConfig,
    tenant: Tenant,
) -> Result<bool, Failure> {
    let marked = match cluster_of(config, settings)? {
        None => SqliteMoving::is_marked(config.state_dir.clone(), tenant).await,
        Some((_, url)) => PostgresMoving::is_marked(&connect(config, url).await?, tenant).await,
    };
    marked.map_err(storage_failure)
}

/// Backs up one tenant of a configuration, or all of them. Each is tried; gives what was made, and what the first that
/// failed said.
pub async fn backup(
    config: &Config,
    file: &Path,
    code: Option<MunicipalityCode>,
    dir: Option<PathBuf>,
) -> Result<(Vec<BackedUp>, Option<Failure>), Failure> {
    let plan = plan(config, file, dir)?;
    let tenants: Vec<&TenantConfig> = match code {
        Some(_) => vec![config.tenant(file, code)?],
        None => config.tenants.iter().collect(),
    };
    let (mut made, mut failed) = (Vec::new(), None);
    for settings in tenants {
        match one(config, settings, &plan).await {
            Ok(done) => made.push(done),
            Err(failure) => {
                failed.get_or_insert(failure.about(&named(settings.code)));
            }
        }
    }
    Ok((made, failed))
}

fn plan(config: &Config, file: &Path, dir: Option<PathBuf>) -> Result<BackupPlan, Failure> {
    let missing = |key: &str, remedy: &str| {
        Failure::configuration(format!("{}: {key}: is missing; {remedy}", file.display()))
    };
    if config.backup.recipients.is_empty() {
        return Err(missing(
            "backup_recipients",
            "a backup is encrypted for somebody: write at least one age recipient (age1…), made by `age-keygen` on another \
             machine",
        ));
    }
    let folder = dir
        .or_else(|| config.backup.dir.clone())
        .ok_or_else(|| missing("backup_dir", "write a folder there, or give one with --dir"))?;
    if folder.starts_with(&config.state_dir) || folder.starts_with(&config.keyring_dir) {
        return Err(Failure::configuration(format!(
            "{} lies inside state_dir or keyring_dir; choose a folder outside of them, best on another machine",
            folder.display()
        )));
    }
    Ok(BackupPlan {
        folder,
        recipients: config.backup.recipients.clone(),
        keep: config.backup.keep,
    })
}

async fn one(
    config: &Config,
    settings: &TenantConfig,
    plan: &BackupPlan,
) -> Result<BackedUp, Failure> {
    let tenant = tenant_id::read(config, settings.code)?;
    if is_moving(config, settings, tenant).await? {
        return Err(Failure::configuration(
            "it is being moved, or was: what stands here is not the truth any more; finish the move, write where it went into \
             the configuration, and back it up from there",
        ));
    }
    let mut source = source(config, settings, tenant).await?;
    back_up(&mut *source, plan, World::real().clock.now()).await
}

/// What a restore is told beside the configuration.
pub struct Wanted<'a> {
    /// The tenant to restore.
    pub settings: &'a TenantConfig,
    /// The encrypted file.
    pub backup: PathBuf,
    /// Whether an older log goes on in a new epoch.
    pub epoch: Epoch,
    /// The owner of the database, on PostgreSQL.
    pub owner: Option<PostgresUrl>,
}

/// What a restore did, for the operator to read.
pub struct Done {
    restored: Restored,
    aside: Option<PathBuf>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.restored.fmt(f)?;
        if let Some(aside) = &self.aside {
            writeln!(
                f,
                "The database that stood there is now {}; remove it when it isn't needed any more.",
                aside.display()
            )?;
        }
        Ok(())
    }
}

/// Restores one tenant. The age identity comes from `input`.
pub async fn restore_backup(
    config: &Config,
    wanted: Wanted<'_>,
    input: &mut (dyn std::io::Read + Send),
) -> Result<Done, Failure> {
    let manifest = Manifest::read(&wanted.backup)?;
    let code = wanted.settings.code;
    let is_lost = !tenant_id::file(config, code).exists();
    let tenant = if is_lost {
        of_manifest(&wanted.backup, &manifest, code)?
    } else {
        tenant_id::read(config, code)?
    };
    check_tenant(&wanted.backup, &manifest, &tenant)?;
    let keyring = open_keyring(config, &tenant)?;
    let mut lists = Destroyed::paths(&config.keyring_dir, config.backup.dir.as_deref());
    // The backup may come from elsewhere, and the list with it.
    lists.extend(wanted.backup.parent().map(Destroyed::path));
    let destroyed = Destroyed::read_all(&lists, &tenant, CutOff::Refuse)?;
    let log = log_options(config, tenant, &World::real());
    let restoring = Restoring {
        manifest,
        identity: identity(input)?,
        log: &log,
        keyring: &keyring,
        destroyed: &destroyed,
        epoch: wanted.epoch,
        backup: wanted.backup,
    };
    let done = match cluster_of(config, wanted.settings)? {
        None => into_sqlite(config, tenant, restoring).await?,
        Some((name, url)) => {
            let owner = wanted.owner.ok_or_else(|| {
                Failure::configuration(format!(
                    "--owner: the tenant is in the cluster {name}; give the address of the role that owns its database"
                ))
            })?;
            into_cluster(config, url, &owner, tenant, restoring).await?
        }
    };
    close(&keyring)?;
    if is_lost {
        tenant_id::write(config, &tenant)?;
    }
    Ok(done)
}

fn of_manifest(
    backup: &Path,
    manifest: &Manifest,
    code: MunicipalityCode,
) -> Result<Tenant, Failure> {
    let id: TenantId = manifest.tenant.parse().map_err(|error| {
        Failure::storage(format!(
            "{}: tenant: {error}; take another backup",
            Manifest::path(backup).display()
        ))
    })?;
    Ok(Tenant { id, code })
}

async fn into_sqlite(
    config: &Config,
    tenant: Tenant,
    restoring: Restoring<'_>,
) -> Result<Done, Failure> {
    let mut place = SqliteReplacement::begin(config.state_dir.clone(), tenant)
        .await
        .map_err(storage_failure)?;
    let (log, keyring) = (restoring.log, restoring.keyring);
    let restored = restore(restoring, &mut place).await?;
    let aside = place.put_in_place().await.map_err(storage_failure)?;
    restored.keep(log, keyring)?;
    list(config, &tenant, &restored)?;
    Ok(Done { restored, aside })
}

/// What was listed of the epoch before isn't the new one's from its first entry on.
fn list(config: &Config, tenant: &Tenant, restored: &Restored) -> Result<(), Failure> {
    let Some((epoch, begins)) = restored.new_epoch() else {
        return Ok(());
    };
    let lists = Destroyed::paths(&config.keyring_dir, config.backup.dir.as_deref());
    list_epoch(&lists, tenant, epoch, begins)
}

async fn into_cluster(
    config: &Config,
    url: &PostgresUrl,
    owner: &PostgresUrl,
    tenant: Tenant,
    restoring: Restoring<'_>,
) -> Result<Done, Failure> {
    let refused = |error| storage_failure(error).about(&owner.to_string());
    let mut connection = PostgresOwner::connect(owner).await.map_err(refused)?;
    connection.migrate().await.map_err(refused)?;
    connection.grant(url.user()).await.map_err(refused)?;
    let arrival = PostgresArrival::begin(connection, tenant)
        .await
        .map_err(refused)?;
    let Arrival::Open(mut arrival) = arrival else {
        return Err(Failure::configuration(format!(
            "{} is served from {url}: a restore goes into a database that doesn't hold the tenant; make a new one, write its \
             address into the configuration, and restore again",
            named(tenant.code)
        )));
    };
    arrival.clear().await.map_err(refused)?;
    let (log, keyring) = (restoring.log, restoring.keyring);
    let restored = restore(restoring, &mut arrival).await?;
    // Before anybody serves it: a tenant that is served can't be restored again.
    restored.keep(log, keyring)?;
    list(config, &tenant, &restored)?;
    arrival.serve().await.map_err(refused)?;
    Ok(Done {
        restored,
        aside: None,
    })
}

/// A new epoch's first entry was sealed: what was reserved for that is given back.
fn close(keyring: &Keyring) -> Result<(), Failure> {
    keyring.close().map_err(Failure::from)
}
