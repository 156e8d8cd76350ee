//! What an operator does: moving a tenant, backing it up, bringing it back. One place serves afterwards, never two.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use vrx_domain::MunicipalityCode;
use vrx_node::backup::{self, Epoch, Wanted};
use vrx_node::compose::{self, World};
use vrx_node::{Config, ExitCode, Failure, init, local_log, returned, stores, tenant_move};
use vrx_provision_log::{Deadline, LogOptions, MissingKept, ProvisionLog};
use vrx_storage::copy::{LOG_ENTRY, copy};
use vrx_storage::{LogStore, SqliteMoving, SqliteSource, SqliteTenant, StorageError};
use vrx_testkit::postgres::TestDatabase;

use crate::{Ending, arrival, quiet, url};

const PATIENCE: Duration = Duration::from_secs(30);

/// A node's configuration, set up on SQLite, with entries in its log.
struct Operator {
    folder: tempfile::TempDir,
    identity: Identity,
    config: Config,
}

impl Operator {
    async fn new(clusters: &[(&str, &TestDatabase)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate();
        let recipient = [identity.to_public().to_string()];
        let file =
            init::sample_config(folder.path(), "142051".parse().unwrap(), &recipient).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let named: Vec<String> = clusters
            .iter()
            .map(|(name, database)| format!("{name} = \"{}\"\n", database.node_url()))
            .collect();
        let named = named.concat();
        let text = text
            .replace(
                "# backup_dir = \"/mnt/backup/vrx\"",
                "backup_dir = \"backups\"",
            )
            .replace(
                "# backup_recipients = [\"age1backup…\"]",
                &format!("backup_recipients = {recipient:?}"),
            )
            .replace("# [clusters]\n", &format!("[clusters]\n{named}"));
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        init::init(&config, None).await.unwrap();
        let operator = Self {
            folder,
            identity,
            config,
        };
        operator.record(300).await;
        operator
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("node.toml")
    }

    fn code(&self) -> MunicipalityCode {
        self.config.tenants[0].code
    }

    /// The configuration with the tenant in another place.
    fn on(&mut self, cluster: Option<&str>) {
        let text = std::fs::read_to_string(self.file()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("cluster = "));
        let text: String = lines
            .flat_map(|line| match (line.starts_with("code = "), cluster) {
                (true, Some(name)) => vec![line.to_owned(), format!("cluster = \"{name}\"")],
                _ => vec![line.to_owned()],
            })
            .map(|line| line + "\n")
            .collect();
        std::fs::write(self.file(), text).unwrap();
        self.config = Config::load(&self.file()).unwrap();
    }

    /// Adds entries as a serving node does.
    async fn record(&self, entries: usize) {
        let (config, world) = (&self.config, World::real());
        let (tenant, keyring) = compose::open_keys(config, self.code()).unwrap();
        let clusters = stores::Clusters::connect(config, &config.tenants)
            .await
            .unwrap();
        let store = clusters
            .open(config, tenant, &keyring, &world, stores::Access::Serve)
            .await
            .unwrap();
        let mut options: LogOptions = compose::log_options(config, tenant, &world);
        options.missing_kept = MissingKept::Refuse;
        options.epoch = compose::epoch_of(&*store).await.unwrap();
        let log_store: Arc<dyn LogStore> = store.clone();
        let log = ProvisionLog::start(log_store, keyring.clone(), options)
            .await
            .unwrap();
        let one = |nth: usize| {
            let caller = vrx_domain::Caller {
                id: vrx_domain::SpiffeId::new(
                    "vrx.example",
                    tenant.code,
                    vrx_domain::Role::Exchange,
                    None,
                )
                .unwrap(),
                fingerprint: [0; 32],
                spki: [0; 32],
            };
            let entry = vrx_provision_log::Entry {
                kind: vrx_domain::EntryKind::Desk,
                actor: vrx_domain::audit::desk_actor(&caller, "test"),
                subject: vrx_provision_log::Subject::Unknown,
                content: vrx_domain::audit::desk_content(&[("nth", &nth.to_string())]),
            };
            log.record(entry, None, (), Deadline::after(PATIENCE))
        };
        for recorded in futures_util::future::join_all((0..entries).map(one)).await {
            recorded.unwrap();
        }
        assert!(log.shutdown(Deadline::after(PATIENCE)).await);
        store.close().await.unwrap();
        clusters.close().await;
        keyring.close().unwrap();
    }

    /// Entries of the epoch before, on the list by lines with and without it: other ones stand in their places now.
    async fn assert_next_epoch_isnt_erased(&self, cluster: Option<&TestDatabase>) {
        let before = self.verify().await.unwrap();
        let lists = [
            &self.config.keyring_dir,
            self.config.backup.dir.as_ref().unwrap(),
        ];
        for folder in lists {
            let list = folder.join("destroyed.list");
            let mut text = std::fs::read_to_string(&list).unwrap();
            assert!(text.ends_with(" epoch 2 301 1\n"), "{text}");
            let tenant = text.split(' ').next().unwrap().to_owned();
            text = format!("{tenant} openings 301 303\n{text}{tenant} openings 300 304 1\n");
            std::fs::write(&list, text).unwrap();
        }
        let owner = cluster.map(|database| url(&database.owner_url()));
        let settings = &self.config.tenants[0];
        let again = returned::erase_again(&self.config, settings, owner.as_ref()).await;
        let said = again.unwrap().to_string();
        assert!(said.starts_with("Nothing on the list"), "{said}");
        assert_eq!(self.verify().await.unwrap(), before);
        self.record(1).await;
    }

    async fn move_to(&self, cluster: &str, database: &TestDatabase) -> Result<String, Failure> {
        let target = tenant_move::Target::new(&self.config, cluster, url(&database.owner_url()))?;
        let moved = tenant_move::move_tenant(&self.config, &self.config.tenants[0], target).await?;
        Ok(moved.to_string())
    }

    async fn abandon(&self, cluster: &str, database: &TestDatabase) -> Result<String, Failure> {
        let target = tenant_move::Target::new(&self.config, cluster, url(&database.owner_url()))?;
        tenant_move::abandon(&self.config, &self.config.tenants[0], target).await
    }

    async fn back_up(&self) -> PathBuf {
        let (mut made, failed) = backup::backup(&self.config, &self.file(), None, None)
            .await
            .unwrap();
        assert_eq!(failed, None);
        made.remove(0).file
    }

    async fn restore(
        &self,
        backup: &Path,
        epoch: Epoch,
        owner: Option<&TestDatabase>,
    ) -> Result<String, Failure> {
        let wanted = Wanted {
            settings: &self.config.tenants[0],
            backup: backup.to_owned(),
            epoch,
            owner: owner.map(|database| url(&database.owner_url())),
        };
        let secret = self.identity.to_string().expose_secret().to_owned();
        let mut input: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(secret));
        let done = backup::restore_backup(&self.config, wanted, &mut *input).await?;
        Ok(done.to_string())
    }

    /// What the log says of itself: how many entries it has, and that it is whole.
    async fn verify(&self) -> Result<String, Failure> {
        let whole = local_log::verify(&self.config, &self.config.tenants[0]).await?;
        Ok(whole.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_moved_from_sqlite_to_a_cluster_and_from_there_to_another() {
    let (east, west) = (TestDatabase::fresh(), TestDatabase::fresh());
    let mut operator = Operator::new(&[("east", &east), ("west", &west)]).await;
    let before = operator.verify().await.unwrap();
    assert!(before.contains(" 301 entries"), "{before}");
    let moved = operator.move_to("east", &east).await.unwrap();
    assert!(moved.contains("cluster = \"east\""), "{moved}");
    // Run again, it says the same; the source can't be served any more, nor given back.
    assert!(
        operator
            .move_to("east", &east)
            .await
            .unwrap()
            .contains("moved already")
    );
    let refused = operator.abandon("east", &east).await.err().unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
    let (tenant, keyring) = compose::open_keys(&operator.config, operator.code()).unwrap();
    let options = stores::sqlite_options(&operator.config, tenant, &keyring, &World::real());
    assert!(matches!(
        SqliteTenant::open(options).await.err(),
        Some(StorageError::Place { .. })
    ));

    let (made, failed) = backup::backup(&operator.config, &operator.file(), None, None)
        .await
        .unwrap();
    assert!(made.is_empty() && failed.unwrap().message.contains("being moved"));

    operator.on(Some("east"));
    assert_eq!(operator.verify().await.unwrap(), before);
    operator.record(20).await;
    operator.move_to("west", &west).await.unwrap();
    operator.on(Some("west"));
    assert!(operator.verify().await.unwrap().contains(" 321 entries"));
    operator.record(5).await;
    // Back to where its old rows still are: refused, nothing changes.
    let refused = operator.move_to("east", &east).await.err().unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
    operator.record(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_interrupted_goes_on_or_is_given_up() {
    let (east, west) = (TestDatabase::fresh(), TestDatabase::fresh());
    let operator = Operator::new(&[("east", &east), ("west", &west)]).await;
    let (tenant, _) = compose::open_keys(&operator.config, operator.code()).unwrap();
    for (name, database) in [("east", &east), ("west", &west)] {
        // As the process left it that was killed in the middle of the log.
        let held = SqliteMoving::begin(operator.config.state_dir.clone(), tenant, name.to_owned())
            .await
            .unwrap();
        let mut to = arrival(database, tenant).await;
        let mut from = SqliteSource::open(operator.config.state_dir.clone(), tenant)
            .await
            .unwrap();
        let mut ending = Ending {
            sink: &mut to,
            table: LOG_ENTRY,
            after: 100,
        };
        assert!(copy(&mut from, &mut ending, &mut quiet).await.is_err());
        drop((held, to, from));
        if name == "east" {
            let said = operator.abandon(name, database).await.unwrap();
            assert!(said.contains("served from where it was"), "{said}");
            operator.record(3).await;
        } else {
            operator.move_to(name, database).await.unwrap();
        }
    }
    let refused = operator.abandon("west", &west).await.err().unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_differs_in_the_target_stops_the_move_and_the_source_comes_back() {
    let east = TestDatabase::fresh();
    let operator = Operator::new(&[("east", &east)]).await;
    let (tenant, _) = compose::open_keys(&operator.config, operator.code()).unwrap();
    let mut to = arrival(&east, tenant).await;
    let mut from = SqliteSource::open(operator.config.state_dir.clone(), tenant)
        .await
        .unwrap();
    copy(&mut from, &mut to, &mut quiet).await.unwrap();
    drop((to, from));
    east.sql("UPDATE vrx.log_entry SET subject_seq = 2 WHERE idx = 40");
    let refused = operator.move_to("east", &east).await.err().unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
    assert!(
        refused.message.contains("isn't the same as its source"),
        "{refused}"
    );
    operator.abandon("east", &east).await.unwrap();
    operator.record(1).await;
    operator.move_to("east", &east).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_the_database_where_the_tenant_is_changes_nothing() {
    let east = TestDatabase::fresh();
    let mut operator = Operator::new(&[("east", &east), ("same", &east)]).await;
    operator.move_to("east", &east).await.unwrap();
    operator.on(Some("east"));
    for cluster in ["east", "same"] {
        let refused = operator.move_to(cluster, &east).await.err().unwrap();
        assert_eq!(refused.code, ExitCode::Configuration, "{refused}");
    }
    operator.record(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_either_database_comes_back_in_either() {
    let (east, west) = (TestDatabase::fresh(), TestDatabase::fresh());
    let mut operator = Operator::new(&[("east", &east), ("west", &west)]).await;
    let of_sqlite = operator.back_up().await;
    operator.on(Some("east"));
    let refused = operator
        .restore(&of_sqlite, Epoch::Same, None)
        .await
        .err()
        .unwrap();
    assert!(refused.message.contains("--owner"), "{refused}");
    operator
        .restore(&of_sqlite, Epoch::Same, Some(&east))
        .await
        .unwrap();
    assert!(operator.verify().await.unwrap().contains(" 301 entries"));
    operator.record(7).await;
    let refused = operator
        .restore(&of_sqlite, Epoch::Same, Some(&east))
        .await
        .err()
        .unwrap();
    assert!(refused.message.contains("is served from"), "{refused}");

    let of_cluster = operator.back_up().await;
    operator.on(Some("west"));
    // An older log than was signed, then an interrupted one: neither leaves anything in the way.
    let refused = operator
        .restore(&of_sqlite, Epoch::Same, Some(&west))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
    assert!(operator.verify().await.is_err(), "it isn't served");
    operator
        .restore(&of_cluster, Epoch::Same, Some(&west))
        .await
        .unwrap();
    assert!(operator.verify().await.unwrap().contains(" 308 entries"));
    operator.record(1).await;
    let newest = operator.back_up().await;
    operator.on(None);
    operator.restore(&newest, Epoch::Same, None).await.unwrap();
    assert!(operator.verify().await.unwrap().contains(" 309 entries"));
    operator.record(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_log_goes_on_in_postgresql_in_a_new_epoch() {
    let (east, west) = (TestDatabase::fresh(), TestDatabase::fresh());
    let mut operator = Operator::new(&[("east", &east), ("west", &west)]).await;
    operator.move_to("east", &east).await.unwrap();
    operator.on(Some("east"));
    let backup = operator.back_up().await;
    operator.record(10).await;
    operator.on(Some("west"));
    let said = operator
        .restore(&backup, Epoch::New, Some(&west))
        .await
        .unwrap();
    assert!(said.contains("epoch 2"), "{said}");
    assert!(operator.verify().await.unwrap().contains(" 302 entries"));
    operator.record(3).await;
    let key = local_log::key(&operator.config, &operator.config.tenants[0]).unwrap();
    assert!(key.name().ends_with("/log/2"), "{}", key.name());
    assert!(operator.verify().await.unwrap().contains(" 305 entries"));
    operator.assert_next_epoch_isnt_erased(Some(&west)).await;
    // The database of the epoch before is older than what is kept: refused.
    operator.on(Some("east"));
    assert_eq!(
        operator.verify().await.err().unwrap().code,
        ExitCode::StorageRefused
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_epoch_erased_is_nothing_of_the_next_one() {
    let operator = Operator::new(&[]).await;
    let backup = operator.back_up().await;
    operator.record(10).await;
    operator.restore(&backup, Epoch::New, None).await.unwrap();
    operator.record(3).await;
    operator.assert_next_epoch_isnt_erased(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_lost_comes_back_from_backup_and_recovery_copy() {
    let operator = Operator::new(&[]).await;
    let before = operator.verify().await.unwrap();
    let backup = operator.back_up().await;
    let config = &operator.config;
    let copy = std::fs::read_dir(&config.recovery_dir)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let copy = age::decrypt(&operator.identity, &std::fs::read(copy.path()).unwrap()).unwrap();
    std::fs::remove_dir_all(&config.state_dir).unwrap();
    std::fs::remove_dir_all(&config.keyring_dir).unwrap();
    std::fs::remove_file(&config.root_key_file).unwrap();
    assert!(
        operator.restore(&backup, Epoch::Same, None).await.is_err(),
        "without keys"
    );
    vrx_node::restore::restore(config, operator.code(), &mut copy.as_slice()).unwrap();
    operator.restore(&backup, Epoch::Same, None).await.unwrap();
    assert_eq!(operator.verify().await.unwrap(), before);
    operator.record(1).await;
}
