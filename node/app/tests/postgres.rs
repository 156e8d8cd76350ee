//! The operator's verbs over a real PostgreSQL: tenants set up, migrated, opened, spread over clusters; trials made and dropped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vrx_node::config::Config;
use vrx_node::failure::{ExitCode, Failure};
use vrx_node::init::{self, Owner};
use vrx_node::{compose, local_log, migrate, stores, trial};
use vrx_storage::postgres::PostgresUrl;
use vrx_testkit::postgres::{DEMO, TestDatabase};

const FUJISAWA: &str = "142051";
const YOKOHAMA: &str = "141003";

/// A folder with a configuration.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("node.toml")
    }

    /// Writes the configuration of these tenants, each with the name of its cluster, and reads it.
    fn configure(&self, clusters: &[(&str, String)], tenants: &[(&str, &str)]) -> Config {
        let recipient = age::x25519::Identity::generate().to_public();
        let mut text = format!(
            "trust_domain = \"vrx.test\"\nlisten = \"127.0.0.1:0\"\nstate_dir = \"state\"\nkeyring_dir = \"keyrings\"\n\
             root_key_file = \"root.key\"\nkept_checkpoint_dir = \"kept\"\nrecovery_dir = \"recovery\"\n\
             recovery_recipients = [\"{recipient}\"]\nmembers_file = \"members.toml\"\n\
             [tls]\nfederation_ca = \"ca.pem\"\n[clusters]\n"
        );
        for (name, url) in clusters {
            writeln!(text, "{name} = \"{url}\"").unwrap();
        }
        for (code, cluster) in tenants {
            writeln!(
                text,
                "[[tenant]]\ncode = \"{code}\"\nca = \"a\"\ncertificate = \"b\"\nprivate_key = \"c\"\ncluster = \"{cluster}\""
            )
            .unwrap();
        }
        std::fs::write(self.file(), text).unwrap();
        Config::load(&self.file()).unwrap()
    }

    async fn migrate(&self, config: &Config, database: &TestDatabase) -> Result<String, Failure> {
        let owner = url(&database.owner_url());
        migrate::migrate(config, &self.file(), &owner, None)
            .await
            .map(|done| done.to_string())
    }
}

fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).unwrap()
}

/// How many rows of a table there are of a tenant, as the superuser sees them.
fn rows(database: &TestDatabase, table: &str, tenant: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM vrx.{table} WHERE tenant = {tenant}");
    database.sql(&sql).trim().parse().unwrap()
}

async fn open_as_node(config: &Config) -> Result<(), Failure> {
    let clusters = stores::Clusters::connect(config, &config.tenants).await?;
    let world = compose::World::real();
    for tenant in &config.tenants {
        let (id, keyring) = compose::open_keys(config, tenant.code)?;
        let store = clusters
            .open(config, id, &keyring, &world, stores::Access::Serve)
            .await?;
        store.close().await.unwrap();
    }
    clusters.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_owner_init_makes_schema_partitions_and_first_entries() {
    let (place, database) = (Place::new(), TestDatabase::fresh());
    let tenants = [(FUJISAWA, "one"), (YOKOHAMA, "one")];
    let config = place.configure(&[("one", database.node_url())], &tenants);
    let owner = url(&database.owner_url());
    let done = init::init(
        &config,
        Some(Owner {
            url: &owner,
            config_file: &place.file(),
        }),
    )
    .await
    .unwrap()
    .to_string();
    assert!(
        done.contains("made, version") && !done.contains("Next: as the owner"),
        "{done}"
    );
    for tenant in &config.tenants {
        let whole = local_log::verify(&config, tenant)
            .await
            .unwrap()
            .to_string();
        assert!(whole.contains(" 1 entries"), "{whole}");
        let code = tenant.code.to_string();
        assert_eq!(rows(&database, "log_entry", &code), 1);
        let note = local_log::checkpoint(&config, tenant).await.unwrap();
        assert!(
            note.starts_with(&format!("vrx.test/municipality/{code}/log/1\n")),
            "{note}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_repeated_without_harm_and_makes_room_for_a_tenant_added_later() {
    let (place, database) = (Place::new(), TestDatabase::fresh());
    let clusters = [("one", database.node_url())];
    let config = place.configure(&clusters, &[(FUJISAWA, "one")]);
    let refused = place.migrate(&config, &database).await.unwrap_err();
    assert_eq!(refused.code, ExitCode::Configuration);
    assert!(refused.message.contains("vrx-node init"), "{refused}");

    init::init(&config, None).await.unwrap();
    let unmigrated = open_as_node(&config).await.unwrap_err();
    assert_eq!(unmigrated.code, ExitCode::StorageRefused);
    assert!(
        unmigrated.message.contains("vrx-node migrate"),
        "{unmigrated}"
    );
    let first = place.migrate(&config, &database).await.unwrap();
    assert!(first.contains("first rows made"), "{first}");
    let again = place.migrate(&config, &database).await.unwrap();
    assert!(
        again.contains("there already") && again.contains("as it should be"),
        "{again}"
    );

    let config = place.configure(&clusters, &[(FUJISAWA, "one"), (YOKOHAMA, "one")]);
    init::init(&config, None).await.unwrap();
    let absent = open_as_node(&config).await.unwrap_err();
    assert_eq!(absent.code, ExitCode::StorageRefused);
    place.migrate(&config, &database).await.unwrap();
    open_as_node(&config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenants_rows_are_in_the_cluster_that_the_map_names() {
    let place = Place::new();
    let (east, west) = (TestDatabase::fresh(), TestDatabase::fresh());
    let config = place.configure(
        &[("east", east.node_url()), ("west", west.node_url())],
        &[(FUJISAWA, "east"), (YOKOHAMA, "west")],
    );
    init::init(&config, None).await.unwrap();
    for (name, database) in [("east", &east), ("west", &west)] {
        let owner = url(&database.owner_url());
        migrate::migrate(&config, &place.file(), &owner, Some(name))
            .await
            .unwrap();
    }
    open_as_node(&config).await.unwrap();
    let there = |database| [FUJISAWA, YOKOHAMA].map(|code| rows(database, "tenant_meta", code));
    assert_eq!(there(&east), [1, 0]);
    assert_eq!(there(&west), [0, 1]);
    let owner = url(&east.owner_url());
    let refused = migrate::migrate(&config, &place.file(), &owner, Some("west")).await;
    assert!(
        refused.err().unwrap().message.contains("--owner"),
        "another database"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_role_owns_the_tables_is_refused() {
    let (place, database) = (Place::new(), TestDatabase::fresh());
    let config = place.configure(&[("one", database.node_url())], &[(FUJISAWA, "one")]);
    init::init(&config, None).await.unwrap();
    place.migrate(&config, &database).await.unwrap();
    let config = place.configure(&[("one", database.owner_url())], &[(FUJISAWA, "one")]);
    let refused = open_as_node(&config).await.unwrap_err();
    assert_eq!(refused.code, ExitCode::StorageRefused);
    assert!(refused.message.contains("owns"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_made_anew_and_what_others_made_is_left_alone() {
    let database = TestDatabase::fresh();
    let admin = url(&database.server().url(DEMO, database.name()));
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("pgpass");
    let name = format!("{}_trial", database.name());
    let exists = |name: &str| {
        let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        database.sql(&sql).trim() == "1"
    };
    for _ in 0..2 {
        trial::make(&admin, &name, &passwords).await.unwrap();
        assert!(exists(&name));
    }
    assert_eq!(password_of(&passwords, &format!("{name}_node")).len(), 48);
    trial::remove(&admin, &name).await.unwrap();
    assert!(!exists(&name));
    trial::remove(&admin, &name).await.unwrap();

    let theirs = format!("{}_theirs", database.name());
    database.sql(&format!("CREATE DATABASE {theirs}"));
    for refused in [
        trial::make(&admin, &theirs, &passwords).await,
        trial::remove(&admin, &theirs).await,
    ] {
        assert!(refused.unwrap_err().message.contains("no trial made"));
    }
    assert!(exists(&theirs));
    database.sql(&format!("DROP DATABASE {theirs}"));
}

fn password_of(file: &Path, role: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text
        .lines()
        .rfind(|line| line.contains(&format!(":{role}:")));
    line.unwrap().rsplit(':').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_from_an_earlier_version_gives_tenants_that_are_there_the_new_tables_partitions()
{
    let (place, database) = (Place::new(), TestDatabase::fresh());
    let tenants = [(FUJISAWA, "one"), (YOKOHAMA, "one")];
    let config = place.configure(&[("one", database.node_url())], &tenants);
    let owner = url(&database.owner_url());
    let owner = Some(Owner {
        url: &owner,
        config_file: &place.file(),
    });
    init::init(&config, owner).await.unwrap();
    // What the first version had made.
    database.sql(
        "DROP TABLE vrx.receipt, vrx.lost_log, vrx.recovered_entry, vrx.recovery_answer, vrx.witnessed_log, vrx.cosigned_checkpoint, \
                    vrx.hold, vrx.erasure_run, vrx.erasure_person; \
         DROP FUNCTION vrx.own_partition, vrx.erase_tags, vrx.destroy_person_keys, vrx.delete_person_rows, vrx.sweep_erased, vrx.blank_openings; \
         DELETE FROM vrx.schema_step WHERE version > 1; DELETE FROM vrx._sqlx_migrations WHERE version > 1",
    );
    let refused = open_as_node(&config).await.err().unwrap();
    assert!(
        refused.message.contains("needs 4 or later"),
        "{}",
        refused.message
    );
    let done = place.migrate(&config, &database).await.unwrap();
    assert!(done.contains("from version 1 to 4"), "{done}");
    assert!(done.contains("there already"), "{done}");
    for code in [FUJISAWA, YOKOHAMA] {
        for table in ["receipt", "recovered_entry"] {
            let partition = database.sql(&format!(
                "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = '{table}_{code}' AND relispartition"
            ));
            assert_eq!(partition.trim(), "t", "{table} {code}");
        }
    }
    open_as_node(&config).await.unwrap();
}
