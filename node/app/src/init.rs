//! Setting a node up, once.

use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vrx_crypto::{Keyring, RootKey};
use vrx_domain::{MunicipalityCode, Tenant, TenantId};
use vrx_provision_log::{Deadline, ProvisionLog};
use vrx_storage::{LogStore, SqliteTenant};

use crate::compose::{World, log_options, sqlite_options, start_failure, storage_failure};
use crate::config::{Config, SAMPLE};
use crate::failure::Failure;
use crate::{recovery, tenant_id};

/// How long the first entry may take to be written out.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `init` made, for the operator to read.
pub struct Done {
    tenant: Tenant,
    root_key_file: PathBuf,
    root_key_made: bool,
    keyring: PathBuf,
    recovery: PathBuf,
    database: PathBuf,
    log_key: String,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = if self.root_key_made { "made" } else { "found" };
        writeln!(
            f,
            "{} {} is set up.",
            self.tenant.code,
            self.tenant.code.name()
        )?;
        writeln!(
            f,
            "  root key       {} ({made}): keep a copy where this machine isn't",
            self.root_key_file.display()
        )?;
        writeln!(f, "  keyring        {}", self.keyring.display())?;
        writeln!(
            f,
            "  recovery copy  {} (opened again and compared)",
            self.recovery.display()
        )?;
        writeln!(f, "  database       {}", self.database.display())?;
        writeln!(f, "  log key        {}", self.log_key)?;
        writeln!(
            f,
            "Next: put the certificates where [tls] and tenant.ca of the configuration say, write the members file (`vrx-node \
             config --members` prints a sample), give the log key and the certificate's pin to the other municipalities, \
             then `vrx-node serve --config FILE`."
        )
    }
}

/// Makes everything a node needs to serve. The tenant's id is written last: where it stands, the rest does.
pub async fn init(config: &Config) -> Result<Done, Failure> {
    refuse_a_second_time(config)?;
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
    let tenant = Tenant {
        id: TenantId::random(&*world.random),
        code: config.tenant.code,
    };
    let pending = Keyring::prepare(&tenant, &*world.random)?;
    let (keyring, recovery) = recovery::copy_then_activate(
        pending,
        &tenant,
        &config.recovery_dir,
        &config.recovery_recipients,
    )?;
    let path = Keyring::path(&config.keyring_dir, &tenant.id);
    keyring.save(&path, &root)?;

    let keyring = Arc::new(keyring);
    let log_key = first_entry(config, tenant, &keyring, &world).await?;
    keyring.close()?;
    tenant_id::write(config, tenant.id)?;
    Ok(Done {
        tenant,
        root_key_file: config.root_key_file.clone(),
        root_key_made,
        keyring: path,
        recovery,
        database: config.tenant_dir().join("vrx.db"),
        log_key,
    })
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

/// Makes the database and the log with its first entry; gives the log's verifier key.
async fn first_entry(
    config: &Config,
    tenant: Tenant,
    keyring: &Arc<Keyring>,
    world: &World,
) -> Result<String, Failure> {
    let store = SqliteTenant::create(sqlite_options(config, tenant, keyring, world)).await;
    let store = Arc::new(store.map_err(storage_failure)?);
    let log_store: Arc<dyn LogStore> = store.clone();
    let log = ProvisionLog::start(
        log_store,
        Arc::clone(keyring),
        log_options(config, tenant, world),
    )
    .await
    .map_err(start_failure)?;
    let log_key = log.reader().verifier_key().to_string();
    if !log.shutdown(Deadline::after(PATIENCE)).await {
        return Err(Failure::unavailable(
            "the log's first entry was not written in time; check the disk",
        ));
    }
    store.close().await.map_err(storage_failure)?;
    Ok(log_key)
}

fn refuse_a_second_time(config: &Config) -> Result<(), Failure> {
    let id = tenant_id::file(config);
    if id.exists() {
        return Err(Failure::configuration(format!(
            "{} is there: this node is set up already; start it with `vrx-node serve`",
            id.display()
        )));
    }
    let database = config.tenant_dir().join("vrx.db");
    if database.exists() {
        return Err(Failure::configuration(format!(
            "{} is there, but {} isn't: an earlier init did not finish, or the id was lost; \
             after an unfinished init remove {} and {} and run init again, otherwise restore the id from a backup",
            database.display(),
            id.display(),
            config.tenant_dir().display(),
            config.kept_checkpoint().display()
        )));
    }
    if config.kept_checkpoint().exists() {
        return Err(Failure::configuration(format!(
            "{} is there: a checkpoint of a log that this node no longer has; restore that log's database, \
             or move the file away if the log is really given up",
            config.kept_checkpoint().display()
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

fn make_private(folder: &Path) -> Result<(), Failure> {
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
        let done = init(&config).await.unwrap();
        assert_eq!(local_log::key(&config).unwrap().to_string(), done.log_key);
        assert!(
            local_log::verify(&config)
                .await
                .unwrap()
                .to_string()
                .contains(" 1 entries")
        );
        let export = folder.path().join("export");
        local_log::export(&config, &export).await.unwrap();
        let checkpoint = std::fs::read_to_string(export.join("checkpoint")).unwrap();
        assert_eq!(checkpoint, local_log::checkpoint(&config).await.unwrap());
        assert_eq!(
            checkpoint,
            std::fs::read_to_string(config.kept_checkpoint()).unwrap()
        );
        assert!(export.join("tile/0/000.p/1").exists());
        assert!(!export.join("tile/entries").exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_owner_may_read_what_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let done = init(&config).await.unwrap();
        for file in [
            &done.root_key_file,
            &done.keyring,
            &done.recovery,
            &done.database,
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
        init(&config).await.unwrap();
        assert_eq!(
            init(&config).await.err().unwrap().code,
            ExitCode::Configuration
        );
        std::fs::remove_file(tenant_id::file(&config)).unwrap();
        assert_eq!(
            init(&config).await.err().unwrap().code,
            ExitCode::Configuration
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_root_key_that_others_may_read_and_a_wrong_one_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        init(&config).await.unwrap();
        std::fs::set_permissions(
            &config.root_key_file,
            std::fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        let failure = local_log::key(&config).err().unwrap();
        assert_eq!(failure.code, ExitCode::Configuration);
        assert!(failure.message.contains("chmod 600"), "{failure}");

        std::fs::remove_file(&config.root_key_file).unwrap();
        RootKey::create_file(&config.root_key_file, &*World::real().random).unwrap();
        let failure = local_log::key(&config).err().unwrap();
        assert_eq!(failure.code, ExitCode::StorageRefused);
        assert!(failure.message.contains("did not open"), "{failure}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_is_gone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let done = init(&config).await.unwrap();
        std::fs::remove_file(&done.database).unwrap();
        let failure = local_log::verify(&config).await.err().unwrap();
        assert_eq!(failure.code, ExitCode::StorageRefused);
    }
}
