//! Setting tenants up, each once.

use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vrx_crypto::{Keyring, RootKey};
use vrx_domain::{MunicipalityCode, Tenant, TenantId};
use vrx_provision_log::{Deadline, ProvisionLog};
use vrx_storage::postgres::PostgresUrl;
use vrx_storage::{LogStore, SqliteTenant, TenantStore};

use crate::compose::{World, log_options, named, open_keys, start_failure};
use crate::config::{Config, Database, SAMPLE, TenantConfig};
use crate::failure::Failure;
use crate::stores::{Access, Clusters, sqlite_options, storage_failure};
use crate::{local_log, migrate, recovery, tenant_id};

/// How long the first entry may take to be written out.
const PATIENCE: Duration = Duration::from_secs(30);

/// The owner of a cluster, when `init` shall migrate it too.
pub struct Owner<'a> {
    /// Who and where.
    pub url: &'a PostgresUrl,
    /// The configuration's own file.
    pub config_file: &'a Path,
}

/// What `init` made, for the operator to read.
pub struct Done {
    root_key_file: PathBuf,
    root_key_made: bool,
    tenants: Vec<TenantDone>,
    /// Tenants that were set up before.
    already: Vec<MunicipalityCode>,
    migrated: Option<migrate::Done>,
}

/// What `init` made of one tenant.
struct TenantDone {
    tenant: Tenant,
    keyring: PathBuf,
    recovery: PathBuf,
    database: String,
    log_key: String,
    awaits_migration: bool,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = if self.root_key_made { "made" } else { "found" };
        for done in &self.tenants {
            writeln!(f, "{} is set up.", named(done.tenant.code))?;
            writeln!(f, "  keyring        {}", done.keyring.display())?;
            writeln!(
                f,
                "  recovery copy  {} (opened again and compared)",
                done.recovery.display()
            )?;
            writeln!(f, "  database       {}", done.database)?;
            writeln!(f, "  log key        {}", done.log_key)?;
        }
        writeln!(
            f,
            "The root key {} ({made}) opens every keyring: keep a copy where this machine isn't.",
            self.root_key_file.display()
        )?;
        for code in &self.already {
            writeln!(
                f,
                "{} was set up before and is left as it is.",
                named(*code)
            )?;
        }
        if let Some(migrated) = &self.migrated {
            write!(f, "{migrated}")?;
        }
        if self.tenants.iter().any(|done| done.awaits_migration) {
            writeln!(
                f,
                "Next: as the owner of the database, `vrx-node migrate --config FILE --owner postgres://OWNER@HOST/DATABASE` makes \
                 schema and partitions; the first start writes the log's first entry."
            )?;
        }
        writeln!(
            f,
            "Next: put the certificates where [tls] and [[tenant]] of the configuration say, write the members file (`vrx-node \
             config --members` prints a sample), give the log key and the certificate's pin to the other municipalities, \
             then `vrx-node serve --config FILE`."
        )
    }
}

/// Makes everything that the tenants of the configuration need to be served, for each that isn't set up yet; with the owner
/// of a cluster, its schema and partitions too. A tenant's id is written last: where it stands, the rest does (but for the
/// cluster's part, which `migrate` can always do).
pub async fn init(config: &Config, owner: Option<Owner<'_>>) -> Result<Done, Failure> {
    let (already, new): (Vec<_>, Vec<_>) = config
        .tenants
        .iter()
        .partition(|tenant| tenant_id::file(config, tenant.code).exists());
    if new.is_empty() {
        return Err(set_up_already(config));
    }
    for tenant in &new {
        refuse_half_a_tenant(config, tenant)?;
    }
    let world = World::real();
    for folder in [
        &config.state_dir,
        &config.keyring_dir,
        &config.recovery_dir,
        &config.kept_checkpoint_dir,
    ] {
        make_private(folder)?;
    }
    let (root, root_key_made) = root_key(config, &world)?;
    let mut tenants = Vec::with_capacity(new.len());
    for tenant in &new {
        let done = set_up(config, tenant, &root, &world).await;
        tenants.push(done.map_err(|failure| failure.about(&named(tenant.code)))?);
    }
    let mut migrated = None;
    if let Some(owner) = owner {
        let done = migrate::migrate(config, owner.config_file, owner.url, None).await?;
        first_entries(config, &new, &world).await?;
        for tenant in &mut tenants {
            tenant.awaits_migration = false;
        }
        migrated = Some(done);
    }
    Ok(Done {
        root_key_file: config.root_key_file.clone(),
        root_key_made,
        tenants,
        already: already.iter().map(|tenant| tenant.code).collect(),
        migrated,
    })
}

/// Keys, recovery copy, id, and on SQLite the database with the log's first entry.
async fn set_up(
    config: &Config,
    settings: &TenantConfig,
    root: &RootKey,
    world: &World,
) -> Result<TenantDone, Failure> {
    let tenant = Tenant {
        id: TenantId::random(&*world.random),
        code: settings.code,
    };
    let pending = Keyring::prepare(&tenant, &*world.random)?;
    let (keyring, recovery) = recovery::copy_then_activate(
        pending,
        &tenant,
        &config.recovery_dir,
        &config.recovery_recipients,
    )?;
    let path = Keyring::path(&config.keyring_dir, &tenant.id);
    keyring.save(&path, root)?;

    let keyring = Arc::new(keyring);
    let (database, awaits_migration) = match &settings.database {
        Database::Sqlite => {
            let options = sqlite_options(config, tenant, &keyring, world);
            let store = SqliteTenant::create(options).await;
            let store = Arc::new(store.map_err(storage_failure)?);
            first_entry(config, tenant, &keyring, store, world).await?;
            let file = config.tenant_dir(tenant.code).join("vrx.db");
            (file.display().to_string(), false)
        }
        Database::Cluster(name) => {
            make_private(&config.tenant_dir(tenant.code))?;
            (format!("cluster {name}"), true)
        }
    };
    keyring.close()?;
    tenant_id::write(config, &tenant)?;
    Ok(TenantDone {
        tenant,
        keyring: path,
        recovery,
        database,
        log_key: local_log::key(config, settings)?.to_string(),
        awaits_migration,
    })
}

/// Writes the first entries of these tenants into their clusters, as the node will serve them.
async fn first_entries(
    config: &Config,
    tenants: &[&TenantConfig],
    world: &World,
) -> Result<(), Failure> {
    let in_clusters = tenants
        .iter()
        .filter(|tenant| tenant.database != Database::Sqlite);
    let in_clusters: Vec<&TenantConfig> = in_clusters.copied().collect();
    let clusters = Clusters::connect(config, in_clusters.iter().copied()).await?;
    for settings in in_clusters {
        let (tenant, keyring) = open_keys(config, settings.code)?;
        let store = clusters
            .open(config, tenant, &keyring, world, Access::Serve)
            .await?;
        first_entry(config, tenant, &keyring, store, world).await?;
        keyring.close()?;
    }
    clusters.close().await;
    Ok(())
}

/// Writes DIR/node.toml from the sample, unless it is there; gives its path.
pub fn sample_config(
    dir: &Path,
    code: MunicipalityCode,
    recipients: &[String],
) -> Result<PathBuf, Failure> {
    let file = dir.join("node.toml");
    if file.exists() {
        return match recipients {
            [] => Ok(file),
            _ => Err(Failure::configuration(format!(
                "{} is there already; write the recovery recipients into it instead of giving them as arguments",
                file.display()
            ))),
        };
    }
    if recipients.is_empty() {
        // Before anything is written, so that the same command with a recipient still finds an empty place.
        return Err(Failure::configuration(
            "a new node needs somebody who can restore its keys: run `age-keygen` (Debian package age) on another machine, \
             keep its secret key there, and give the age1… it prints with --recovery-recipient age1…; nothing was written",
        ));
    }
    make_private(dir)?;
    let text = SAMPLE
        .replace("142051", &code.to_string())
        .replace("[\"age1…\"]", &format!("{recipients:?}"));
    std::fs::write(&file, text).map_err(|error| Failure::io("write", &file, &error))?;
    Ok(file)
}

/// Starts the log, which writes its first entry, ends it again and closes the store.
async fn first_entry(
    config: &Config,
    tenant: Tenant,
    keyring: &Arc<Keyring>,
    store: Arc<dyn TenantStore>,
    world: &World,
) -> Result<(), Failure> {
    let log_store: Arc<dyn LogStore> = store.clone();
    let log = ProvisionLog::start(
        log_store,
        Arc::clone(keyring),
        log_options(config, tenant, world),
    )
    .await
    .map_err(start_failure)?;
    if !log.shutdown(Deadline::after(PATIENCE)).await {
        return Err(Failure::unavailable(
            "the log's first entry was not written in time; check the disk",
        ));
    }
    store.close().await.map_err(storage_failure)
}

fn set_up_already(config: &Config) -> Failure {
    let ids: Vec<String> = config
        .tenants
        .iter()
        .map(|tenant| tenant_id::file(config, tenant.code).display().to_string())
        .collect();
    Failure::configuration(format!(
        "{} is there: this node is set up already; start it with `vrx-node serve`",
        ids.join(", ")
    ))
}

/// What an interrupted `init`, or a lost id, left behind is never built upon.
fn refuse_half_a_tenant(config: &Config, tenant: &TenantConfig) -> Result<(), Failure> {
    let id = tenant_id::file(config, tenant.code);
    let database = config.tenant_dir(tenant.code).join("vrx.db");
    let kept = config.kept_checkpoint(tenant.code);
    if database.exists() {
        return Err(Failure::configuration(format!(
            "{} is there, but {} isn't: an earlier init did not finish, or the id was lost; \
             after an unfinished init remove {} and {} and run init again, otherwise restore the id from a backup",
            database.display(),
            id.display(),
            config.tenant_dir(tenant.code).display(),
            kept.display()
        )));
    }
    if kept.exists() {
        return Err(Failure::configuration(format!(
            "{} is there: a checkpoint of a log that this node no longer has; restore that log's database, \
             or move the file away if the log is really given up",
            kept.display()
        )));
    }
    Ok(())
}

fn root_key(config: &Config, world: &World) -> Result<(RootKey, bool), Failure> {
    if config.root_key_file.exists() {
        return Ok((RootKey::from_file(&config.root_key_file)?, false));
    }
    Ok((
        RootKey::create_file(&config.root_key_file, &*world.random)?,
        true,
    ))
}

/// Makes a folder that only the node's user may look into, and those above it; it may be there.
pub(crate) fn make_private(folder: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failure::io("make the folder", folder, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::failure::ExitCode;
    use crate::local_log;

    fn config(folder: &Path) -> Config {
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        let file = sample_config(folder, "142051".parse().unwrap(), &[recipient]).unwrap();
        Config::load(&file).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_was_set_up_verifies_and_exports_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let done = init(&config, None).await.unwrap();
        assert_eq!(
            local_log::key(&config, &config.tenants[0])
                .unwrap()
                .to_string(),
            done.tenants[0].log_key
        );
        assert!(
            local_log::verify(&config, &config.tenants[0])
                .await
                .unwrap()
                .to_string()
                .contains(" 1 entries")
        );
        let export = folder.path().join("export");
        local_log::export(
            &config,
            &config.tenants[0],
            &export,
            vrx_provision_log::Bundles::Leave,
        )
        .await
        .unwrap();
        let checkpoint = std::fs::read_to_string(export.join("checkpoint")).unwrap();
        assert_eq!(
            checkpoint,
            local_log::checkpoint(&config, &config.tenants[0])
                .await
                .unwrap()
        );
        assert_eq!(
            checkpoint,
            std::fs::read_to_string(config.kept_checkpoint(config.tenants[0].code)).unwrap()
        );
        assert!(export.join("tile/0/000.p/1").exists());
        assert!(!export.join("tile/entries").exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_owner_may_read_what_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let done = init(&config, None).await.unwrap();
        for file in [
            done.root_key_file.as_path(),
            &done.tenants[0].keyring,
            &done.tenants[0].recovery,
            Path::new(&done.tenants[0].database),
        ] {
            assert_eq!(
                std::fs::metadata(file).unwrap().mode() & 0o077,
                0,
                "{}",
                file.display()
            );
        }
    }

    #[test]
    fn without_a_recipient_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("vrx");
        let code = "142051".parse().unwrap();
        let failure = sample_config(&dir, code, &[]).unwrap_err();
        assert_eq!(failure.code, ExitCode::Configuration);
        assert!(failure.message.contains("--recovery-recipient"));
        assert!(!dir.exists());
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        assert!(sample_config(&dir, code, &[recipient]).is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_is_set_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        init(&config, None).await.unwrap();
        assert_eq!(
            init(&config, None).await.err().unwrap().code,
            ExitCode::Configuration
        );
        std::fs::remove_file(tenant_id::file(&config, config.tenants[0].code)).unwrap();
        assert_eq!(
            init(&config, None).await.err().unwrap().code,
            ExitCode::Configuration
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_root_key_that_others_may_read_and_a_wrong_one_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        init(&config, None).await.unwrap();
        std::fs::set_permissions(
            &config.root_key_file,
            std::fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        let failure = local_log::key(&config, &config.tenants[0]).err().unwrap();
        assert_eq!(failure.code, ExitCode::Configuration);
        assert!(failure.message.contains("chmod 600"), "{failure}");

        std::fs::remove_file(&config.root_key_file).unwrap();
        RootKey::create_file(&config.root_key_file, &*World::real().random).unwrap();
        let failure = local_log::key(&config, &config.tenants[0]).err().unwrap();
        assert_eq!(failure.code, ExitCode::StorageRefused);
        assert!(failure.message.contains("did not open"), "{failure}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_is_gone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let done = init(&config, None).await.unwrap();
        std::fs::remove_file(Path::new(&done.tenants[0].database)).unwrap();
        let failure = local_log::verify(&config, &config.tenants[0])
            .await
            .err()
            .unwrap();
        assert_eq!(failure.code, ExitCode::StorageRefused);
    }

    /// The configuration of one municipality, with a second one added.
    fn add_a_second(folder: &Path) -> Config {
        let file = folder.join("node.toml");
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replace("certificate = \"exchange.pem\"\n", "")
            .replace("private_key = \"exchange.key\"\n", "")
            .replace("# certificate = ", "certificate = ")
            .replace("# private_key = ", "private_key = ");
        let second =
            "[[tenant]]\ncode = \"141003\"\nca = \"c\"\ncertificate = \"x\"\nprivate_key = \"y\"\n";
        std::fs::write(&file, format!("{text}\n{second}")).unwrap();
        Config::load(&file).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_tenant_added_later_gets_keys_and_a_log_of_its_own_and_the_first_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let first = init(&config, None).await.unwrap();
        let config = add_a_second(folder.path());
        let second = init(&config, None).await.unwrap();
        assert_eq!(second.tenants.len(), 1);
        assert_eq!(second.already, [config.tenants[0].code]);
        let text = second.to_string();
        assert!(
            text.contains("141003") && text.contains("left as it is"),
            "{text}"
        );
        for (tenant, done) in config.tenants.iter().zip([&first, &second]) {
            let key = local_log::key(&config, tenant).unwrap().to_string();
            assert_eq!(key, done.tenants[0].log_key);
            local_log::verify(&config, tenant).await.unwrap();
        }
        assert_ne!(first.tenants[0].log_key, second.tenants[0].log_key);
        let failure = init(&config, None).await.err().unwrap();
        assert_eq!(failure.code, ExitCode::Configuration);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_tenant_in_a_cluster_gets_its_keys_and_the_operator_hears_what_is_left_to_do() {
        let folder = tempfile::tempdir().unwrap();
        config(folder.path());
        let file = folder.path().join("node.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("# database = ", "database = ");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let done = init(&config, None).await.unwrap();
        assert!(done.to_string().contains("vrx-node migrate"), "{done}");
        assert!(local_log::key(&config, &config.tenants[0]).is_ok());
        assert!(
            !config
                .tenant_dir(config.tenants[0].code)
                .join("vrx.db")
                .exists()
        );
    }
}
