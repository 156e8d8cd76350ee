//! Two processes' writers on one log in a real PostgreSQL, over links that stall and break: one log, nothing lost, nothing twice.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use vrx_crypto::Keyring;
use vrx_domain::audit::{Fields, exchange_content};
use vrx_domain::{EntryKind, Outcome, Random as _, Tenant, TenantId};
use vrx_provision_log::{
    Deadline, Depth, Entry, LogOptions, LogState, ProvisionLog, RecordError, Recorded, Subject,
};
use vrx_storage::{
    EntryRow, LogStore, PostgresCluster, PostgresLimits, PostgresOwner, PostgresTenant,
    PostgresUrl, TenantOptions,
};
use vrx_testkit::postgres::{NODE, TestDatabase};
use vrx_testkit::{FakeClock, Link, LinkState, SeededRandom};
use vrx_tlog::{VerifierKey, verify_receipt};

const TRUST_DOMAIN: &str = "vrx.test";

/// One process: its way to the server, its writer.
struct Process {
    link: Link,
    store: Arc<PostgresTenant>,
    log: ProvisionLog,
}

/// What callers were told.
#[derive(Default)]
struct Told {
    held: Vec<Recorded<()>>,
    /// Whether their entries stand wasn't known.
    unclear: usize,
}

fn entry() -> Entry {
    Entry {
        kind: EntryKind::Exchange,
        actor: Fields::default(),
        subject: Subject::Unknown,
        content: exchange_content(Outcome::Nothing, &[2; 32], 0, &[]),
    }
}

/// Records until told to stop; only refusals that pass are allowed.
async fn call(log: &ProvisionLog, stop: &AtomicBool) -> Told {
    let mut told = Told::default();
    while !stop.load(Ordering::SeqCst) {
        let deadline = Deadline::after(Duration::from_secs(2));
        match log.record(entry(), None, (), deadline).await {
            Ok(recorded) => told.held.push(recorded),
            Err(RecordError::DeadlineExceeded) => told.unclear += 1,
            Err(RecordError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}: {:?}", log.health()),
        }
    }
    told
}

/// Looks at the head until told to stop, as a canary does: whatever the way to the server does, what is there is this log.
async fn look(log: &ProvisionLog, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let looked = log.look(Deadline::after(Duration::from_secs(2))).await;
        assert_ne!(looked, Err(RecordError::Poisoned), "{:?}", log.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn trouble(random: &SeededRandom) -> LinkState {
    let mut byte = [0];
    random.fill(&mut byte);
    match byte[0] % 8 {
        0 => LinkState::Slow(Duration::from_millis(10)),
        1 => LinkState::Stalled,
        2 | 3 => LinkState::AnswersStalled,
        4 => LinkState::Cut,
        _ => LinkState::Open,
    }
}

fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).unwrap()
}

fn options(seed: u64) -> TenantOptions {
    let tenant = Tenant {
        id: TenantId::from_bytes([1; 16]),
        code: "142051".parse().unwrap(),
    };
    // The same keys in both processes.
    let keyring = Keyring::create(&tenant, &SeededRandom::new(1))
        .ok()
        .unwrap();
    TenantOptions {
        tenant,
        keyring: Arc::new(keyring),
        random: Arc::new(SeededRandom::new(seed)),
    }
}

async fn database() -> TestDatabase {
    let database = TestDatabase::fresh();
    let mut owner = PostgresOwner::connect(&url(&database.owner_url()))
        .await
        .unwrap();
    owner.migrate().await.unwrap();
    owner.grant(NODE).await.unwrap();
    owner.add_tenant(&options(2)).await.unwrap();
    owner.close().await.unwrap();
    database
}

impl Process {
    async fn start(database: &TestDatabase, folder: &Path, seed: u64) -> Self {
        let server = database.server();
        let link = Link::to(server.port()).await;
        let node = url(&server.url_by_ports(&[link.port()], NODE, database.name()));
        let limits = PostgresLimits {
            connections: 4,
            acquire: Duration::from_millis(500),
            statement: Duration::from_millis(300),
            lock: Duration::from_millis(300),
            ..PostgresLimits::default()
        };
        let cluster = PostgresCluster::connect(&node, limits).await.unwrap();
        let own = options(seed);
        let keyring = Arc::clone(&own.keyring);
        let mut settings = LogOptions::new(
            own.tenant,
            TRUST_DOMAIN,
            folder.join(format!("kept.{seed}")),
            Arc::new(FakeClock::new()),
            Arc::clone(&own.random),
        );
        settings.store_timeout = Duration::from_secs(1);
        let store = Arc::new(PostgresTenant::open(cluster, own).await.unwrap());
        let log = ProvisionLog::start(store.clone(), keyring, settings)
            .await
            .unwrap();
        Self { link, store, log }
    }

    async fn calls(&self, stop: &AtomicBool) -> Vec<Told> {
        let calls = join_all((0..6).map(|_| call(&self.log, stop)));
        tokio::join!(calls, look(&self.log, stop)).0
    }

    /// It has written again, and knows of no trouble.
    async fn recovers(&self) {
        let deadline = Deadline::after(Duration::from_secs(30));
        let size = self.log.checkpoint().size();
        while self.log.checkpoint().size() == size || self.log.health().state != LogState::Serving {
            assert!(!deadline.has_passed(), "{:?}", self.log.health());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn rows(&self) -> Vec<EntryRow> {
        let mut rows = Vec::new();
        loop {
            let from = rows.len() as u64;
            let more = self.store.entries(from, 1_000).await.unwrap();
            if more.is_empty() {
                return rows;
            }
            rows.extend(more);
        }
    }

    /// The log is whole from where it stands, and lets go of its store.
    async fn ends(self) {
        let soon = || Deadline::after(Duration::from_secs(10));
        self.log.record(entry(), None, (), soon()).await.unwrap();
        let mut silent = |_, _| ();
        let report = self.log.reader().verify_all(Depth::Openings, &mut silent);
        let report = report.await.unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert!(self.log.shutdown(soon()).await);
        self.store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_process_shows_the_others_entries_and_a_head_that_went_back_ends_it() {
    let (database, folder) = (database().await, tempfile::tempdir().unwrap());
    let (one, idle) = tokio::join!(
        Process::start(&database, folder.path(), 3),
        Process::start(&database, folder.path(), 4)
    );
    let soon = || Deadline::after(Duration::from_secs(10));
    // Past the first full tile.
    for _ in 0..300 {
        one.log.record(entry(), None, (), soon()).await.unwrap();
    }
    idle.log.canary(soon()).await.unwrap();
    assert_eq!(idle.log.checkpoint().note(), one.log.checkpoint().note());
    assert_eq!(
        idle.log.measures().entries + one.log.measures().entries,
        301
    );
    let newest = idle.log.reader().entry(300, soon()).await.unwrap();
    assert_eq!(newest.receipt.log_index, 300);

    database.sql("UPDATE vrx.log_head SET size = size - 1");
    for process in [&idle, &one] {
        assert_eq!(process.log.canary(soon()).await, Err(RecordError::Poisoned));
    }
    assert_eq!(one.rows().await.len(), 301);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_way_to_the_server_does_two_processes_write_one_log() {
    let (database, folder) = (database().await, tempfile::tempdir().unwrap());
    let (one, two) = tokio::join!(
        Process::start(&database, folder.path(), 3),
        Process::start(&database, folder.path(), 4)
    );
    let (random, stop) = (SeededRandom::new(5), AtomicBool::new(false));
    let disturb = async {
        for _ in 0..24 {
            for process in [&one, &two] {
                process.link.set(trouble(&random));
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        for process in [&one, &two] {
            process.link.set(LinkState::Open);
        }
        tokio::join!(one.recovers(), two.recovers());
        stop.store(true, Ordering::SeqCst);
    };
    let ((), ours, theirs) = tokio::join!(disturb, one.calls(&stop), two.calls(&stop));
    let told: Vec<Told> = ours.into_iter().chain(theirs).collect();
    let unclear: usize = told.iter().map(|told| told.unclear).sum();
    let held: Vec<Recorded<()>> = told.into_iter().flat_map(|told| told.held).collect();
    assert!(held.len() > 100, "there was load: {}", held.len());
    assert!(unclear > 0, "the links broke something");

    let rows = one.rows().await;
    assert!(rows.iter().map(|row| row.index).eq(0..rows.len() as u64));
    let ids: HashSet<_> = rows.iter().map(|row| row.entry_id).collect();
    assert_eq!(ids.len(), rows.len(), "an entry stands twice");
    let of_kind = |kind: EntryKind| rows.iter().filter(|row| row.kind == kind.code()).count();
    assert_eq!(of_kind(EntryKind::Genesis), 1);
    let possible = held.len()..=held.len() + unclear;
    let exchanged = of_kind(EntryKind::Exchange);
    assert!(possible.contains(&exchanged), "{possible:?} {exchanged}");
    every_receipt_stands(held, &rows);
    one.ends().await;
    two.ends().await;
}

fn every_receipt_stands(held: Vec<Recorded<()>>, rows: &[EntryRow]) {
    let origin = vrx_tlog::origin(TRUST_DOMAIN, "142051", 1);
    let public = options(0).keyring.log_public_key();
    let key = VerifierKey::from_public_key(&origin, &public).unwrap();
    for recorded in held {
        let ((), receipt, _) = recorded.into_parts();
        verify_receipt(&receipt, &key, None).unwrap();
        let place = usize::try_from(receipt.log_index).unwrap();
        assert_eq!(rows.get(place).unwrap().leaf, receipt.leaf);
    }
}
