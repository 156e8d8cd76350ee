//! A whole machine in one hand, its keys among what it holds: the end of the log is cut off, the log signed anew, the kept checkpoint
//! deleted. Everything on that machine agrees; the witness doesn't.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use vrx_crypto::{Keyring, RootKey, SystemRandom};
use vrx_domain::audit::{desk_actor, desk_content};
use vrx_domain::{Caller, Clock, EntryKind, Random, Role, SpiffeId, Tenant, UnixMillis};
use vrx_provision_log::{Deadline, Entry, LogOptions, MissingKept, ProvisionLog, Subject};
use vrx_storage::{LogStore, SqliteOptions, SqliteTenant};
use vrx_tests::demo::{FUJISAWA, On, YOKOHAMA};
use vrx_tests::exchange::{query, request, told};
use vrx_tests::metrics::Scrape;
use vrx_tlog::{Leaf, Tree, leaf_hash};

use crate::house::{House, until};

/// The time of whoever rewrites the log.
struct Then(u64);

impl Clock for Then {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.0 * 1_000_000
    }
}

/// Where the node's things lie, from its configuration.
struct Machine {
    config: toml::Table,
    folder: PathBuf,
}

impl Machine {
    fn of(house: &House) -> Self {
        let file = &house.demo.node(FUJISAWA).unwrap().config;
        Self {
            config: std::fs::read_to_string(file).unwrap().parse().unwrap(),
            folder: file.parent().unwrap().to_owned(),
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(self.config[key].as_str().unwrap())
    }

    fn kept(&self) -> PathBuf {
        let kept = self.path("kept_checkpoint_dir");
        kept.join(format!("{FUJISAWA}.checkpoint"))
    }

    /// Cuts the last entries off; gives the time of the last one that stays.
    fn cut(&self, entries: u64) -> u64 {
        let state = self.path("state_dir").join(FUJISAWA).join("vrx.db");
        let database = Connection::open(state).unwrap();
        let size: i64 = database
            .query_row("SELECT size FROM log_head", [], |row| row.get(0))
            .unwrap();
        let left = size - i64::try_from(entries).unwrap();
        database
            .execute("DELETE FROM log_entry WHERE idx >= ?1", [left])
            .unwrap();
        database
            .execute("DELETE FROM subject_head WHERE last_index >= ?1", [left])
            .unwrap();
        database
            .execute(
                "UPDATE tenant_meta SET heads_flushed = min(heads_flushed, ?1)",
                [left],
            )
            .unwrap();
        let mut tree = Tree::new();
        let mut statement = database
            .prepare("SELECT leaf FROM log_entry ORDER BY idx")
            .unwrap();
        let leaves: Vec<[u8; 134]> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for leaf in &leaves {
            tree.append(leaf_hash(leaf));
        }
        assert_eq!(tree.size(), left.unsigned_abs());
        let time = Leaf::decode(leaves.last().unwrap()).unwrap().time;
        let changed = database.execute(
            "UPDATE log_head SET size = ?1, root = ?2, last_time = ?3, checkpoint = NULL",
            (left, tree.root(), i64::try_from(time).unwrap()),
        );
        assert_eq!(changed.unwrap(), 1);
        for table in ["receipt", "recovered_entry", "cosigned_checkpoint"] {
            database
                .execute(&format!("DELETE FROM {table}"), [])
                .unwrap();
        }
        std::fs::remove_file(self.kept()).unwrap();
        time
    }

    /// Signs what is left with the real key, and writes as many other entries as asked.
    async fn sign_anew(&self, after: u64, entries: u64) {
        let code = FUJISAWA.parse().unwrap();
        let state_dir = self.path("state_dir");
        let id = std::fs::read_to_string(state_dir.join(FUJISAWA).join("tenant-id")).unwrap();
        let tenant = Tenant {
            id: id.trim_end().parse().unwrap(),
            code,
        };
        let root = RootKey::from_file(&self.path("root_key_file"))
            .ok()
            .unwrap();
        let file = Keyring::path(&self.path("keyring_dir"), &tenant.id);
        let keyring = Arc::new(Keyring::load(&file, &root, &tenant.id).ok().unwrap());
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let store = SqliteTenant::open(SqliteOptions {
            state_dir,
            tenant,
            keyring: Arc::clone(&keyring),
            random: Arc::clone(&random),
        });
        let store = Arc::new(store.await.unwrap());
        let trust_domain = self.config["trust_domain"].as_str().unwrap();
        let clock = Arc::new(Then(after + 1));
        let mut options = LogOptions::new(tenant, trust_domain, self.kept(), clock, random);
        options.missing_kept = MissingKept::Accept;
        let log_store: Arc<dyn LogStore> = store.clone();
        let log = ProvisionLog::start(log_store, Arc::clone(&keyring), options)
            .await
            .unwrap();
        let own = Caller {
            id: SpiffeId::new(trust_domain, code, Role::Exchange, None).unwrap(),
            fingerprint: [0; 32],
            spki: [0; 32],
        };
        let patience = || Deadline::after(Duration::from_secs(30));
        for nth in 0..entries {
            let entry = Entry {
                kind: EntryKind::Desk,
                actor: desk_actor(&own, "log-list"),
                subject: Subject::Unknown,
                content: desk_content(&[("from", &nth.to_string())]),
            };
            log.record(entry, None, (), patience()).await.unwrap();
        }
        assert!(log.shutdown(patience()).await);
        store.close().await.unwrap();
        keyring.close().unwrap();
        assert!(Path::new(&self.kept()).exists());
    }
}

/// Cuts off two entries and writes `others` in their place; gives how the node was refused.
async fn refused(others: u64) -> String {
    let mut house = House::build(On::Sqlite, 14_400).await;
    let channel = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    for number in house.demo.numbers("provided").iter().take(4) {
        told(query(&channel, request(number)).await.unwrap()).unwrap();
    }
    let size = house.size(FUJISAWA).await;
    until("all of it is witnessed", async || {
        let scrape = Scrape::of(house.metrics(FUJISAWA)).await.unwrap();
        let series = format!("vrx_witness_quorum_size{{municipality=\"{FUJISAWA}\"}}");
        (scrape.value(&series)?.to_string() == size.to_string()).then_some(())
    })
    .await;
    house.kill(FUJISAWA);

    let machine = Machine::of(&house);
    let last = machine.cut(2);
    machine.sign_anew(last, others).await;
    // Nothing on this machine shows it.
    let (exit, whole, errors) = house.demo.vrx_node(FUJISAWA, &["log", "verify"]).unwrap();
    assert_eq!(exit, 0, "{errors}");
    let entries = size - 2 + others;
    assert!(
        whole.contains(&format!("The log is whole: {entries} entries")),
        "{whole}"
    );

    assert_eq!(house.start_and_end(FUJISAWA).await, Some(74));
    let said = house.said(FUJISAWA);
    // Without its witness the same machine would serve.
    house.without_witnesses(FUJISAWA);
    house.start(FUJISAWA).await;
    assert_eq!(house.size(FUJISAWA).await, entries);
    let unwatched = house.said(FUJISAWA);
    assert!(
        unwatched.contains("no witnesses are configured"),
        "{unwatched}"
    );
    format!("{size}\n{said}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_and_signed_anew_is_refused_by_its_witness_alone() {
    let said = refused(0).await;
    let (size, said) = said.split_once('\n').unwrap();
    let longer = format!("says that it has cosigned {size} entries of this log");
    assert!(said.contains(&longer), "{said}");
    assert!(said.contains("tell the privacy officer"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grew_other_entries_in_place_of_those_cut_off_is_refused_by_its_witness_alone() {
    let said = refused(5).await;
    let (size, said) = said.split_once('\n').unwrap();
    let differs = format!(
        "the first {size} entries that it has cosigned aren't the first {size} of this log"
    );
    assert!(said.contains(&differs), "{said}");
}
