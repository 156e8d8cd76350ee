//! Two processes' writers on one log in a real PostgreSQL, over links that stall and break: one log, nothing lost, nothing twice.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vrx_crypto::Keyring;
use vrx_domain::audit::{Fields, exchange_content};
use vrx_domain::{EntryKind, Outcome, Random, Tenant, TenantId};
use vrx_provision_log::{
    Deadline, Depth, Entry, LogOptions, LogState, ProvisionLog, RecordError, Recorded, Subject,
};
use vrx_storage::{
    LogStore, PostgresCluster, PostgresLimits, PostgresOwner, PostgresTenant, PostgresUrl,
    TenantOptions,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_way_to_the_server_does_two_processes_write_one_log() {
    let database = TestDatabase::fresh();
    let folder = tempfile::tempdir().unwrap();
    let url = |text: &str| PostgresUrl::parse(text).unwrap();
    let tenant = Tenant {
        id: TenantId::from_bytes([1; 16]),
        code: "142051".parse().unwrap(),
    };
    let options = |seed| {
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
        // The same keys in both processes.
        let keyring = Keyring::create(&tenant, &SeededRandom::new(1))
            .ok()
            .unwrap();
        TenantOptions {
            tenant,
            keyring: Arc::new(keyring),
            random,
        }
    };
    let mut owner = PostgresOwner::connect(&url(&database.owner_url()))
        .await
        .unwrap();
    owner.migrate().await.unwrap();
    owner.grant(NODE).await.unwrap();
    owner.add_tenant(&options(2)).await.unwrap();
    owner.close().await.unwrap();

    let start = async |seed: u64| {
        let link = Link::to(database.server().port()).await;
        let node = database
            .server()
            .url_by_ports(&[link.port()], NODE, database.name());
        let limits = PostgresLimits {
            connections: 4,
            acquire: Duration::from_millis(500),
            statement: Duration::from_millis(300),
            lock: Duration::from_millis(300),
            ..PostgresLimits::default()
        };
        let cluster = PostgresCluster::connect(&url(&node), limits).await.unwrap();
        let own = options(seed);
        let (keyring, random) = (Arc::clone(&own.keyring), Arc::clone(&own.random));
        let store = Arc::new(PostgresTenant::open(cluster, own).await.unwrap());
        let kept = folder.path().join(format!("kept.{seed}"));
        let clock = Arc::new(FakeClock::new());
        let mut settings = LogOptions::new(tenant, TRUST_DOMAIN, kept, clock, random);
        settings.store_timeout = Duration::from_secs(1);
        let log = ProvisionLog::start(store.clone(), keyring, settings)
            .await
            .unwrap();
        Process { link, store, log }
    };
    let (one, two) = tokio::join!(start(3), start(4));

    let random = SeededRandom::new(5);
    let stop = AtomicBool::new(false);
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
        // Both write again before the callers leave.
        for process in [&one, &two] {
            let deadline = Deadline::after(Duration::from_secs(30));
            let size = process.log.checkpoint().size();
            while process.log.checkpoint().size() == size
                || process.log.health().state != LogState::Serving
            {
                assert!(!deadline.has_passed(), "{:?}", process.log.health());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        stop.store(true, Ordering::SeqCst);
    };
    let callers = async |process: &Process| {
        let mut calls = Vec::new();
        for _ in 0..6 {
            calls.push(call(&process.log, &stop));
        }
        futures_util::future::join_all(calls).await
    };
    let ((), ours, theirs) = tokio::join!(disturb, callers(&one), callers(&two));
    let told: Vec<Told> = ours.into_iter().chain(theirs).collect();

    let mut rows = Vec::new();
    loop {
        let from = rows.len() as u64;
        let more = one.store.entries(from, 1_000).await.unwrap();
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    assert!(rows.iter().map(|row| row.index).eq(0..rows.len() as u64));
    let ids: HashSet<_> = rows.iter().map(|row| row.entry_id).collect();
    assert_eq!(ids.len(), rows.len(), "an entry stands twice");
    let first = |row: &&vrx_storage::EntryRow| row.kind == EntryKind::Genesis.code();
    assert_eq!(rows.iter().filter(first).count(), 1);
    let exchanged = rows
        .iter()
        .filter(|row| row.kind == EntryKind::Exchange.code())
        .count();
    let unclear: usize = told.iter().map(|told| told.unclear).sum();
    let held: Vec<Recorded<()>> = told.into_iter().flat_map(|told| told.held).collect();
    assert!(held.len() > 100, "there was load: {}", held.len());
    assert!(unclear > 0, "the links broke something");
    let possible = held.len()..=held.len() + unclear;
    assert!(possible.contains(&exchanged), "{possible:?} {exchanged}");

    let origin = vrx_tlog::origin(TRUST_DOMAIN, "142051", 1);
    let public = options(0).keyring.log_public_key();
    let key = VerifierKey::from_public_key(&origin, &public).unwrap();
    let by_index = |index: u64| usize::try_from(index).ok().and_then(|at| rows.get(at));
    for recorded in held {
        let (_, receipt, _) = recorded.into_parts();
        verify_receipt(&receipt, &key, None).unwrap();
        assert_eq!(by_index(receipt.log_index).unwrap().leaf, receipt.leaf);
    }
    for process in [&one, &two] {
        let last = Deadline::after(Duration::from_secs(10));
        process.log.record(entry(), None, (), last).await.unwrap();
        let report = process
            .log
            .reader()
            .verify_all(Depth::Openings, &mut |_, _| ())
            .await
            .unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert!(
            process
                .log
                .shutdown(Deadline::after(Duration::from_secs(10)))
                .await
        );
        process.store.close().await.unwrap();
    }
}
