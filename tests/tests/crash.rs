//! Kill -9 under load, a clean end under load, an older database put back: no answer without its entry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;
use vrx_proto::v1::Receipt;
use vrx_tests::demo::{Demo, FUJISAWA, YOKOHAMA};
use vrx_tests::exchange::{query, request, told, unknown_numbers};
use vrx_tests::log::ExportedLog;

const ROUNDS: usize = 20;
const WORKERS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn every_receipt_that_a_caller_holds_survives_kill_9_at_any_moment() {
    let mut demo = Demo::start(2_000).unwrap();
    let vkey = demo.node(FUJISAWA).unwrap().log_vkey.clone();
    let mut receipts = Vec::new();
    for round in 0..ROUNDS {
        let before = receipts.len();
        let load = Load::start(&demo);
        // Between the first few answers and a few hundred, another moment each round.
        let enough = 1 + (round * 37) % 211;
        load.wait_for(enough).await;
        demo.signal(FUJISAWA, "KILL").unwrap();
        receipts.extend(load.stop().await.receipts);
        demo.wait_ended(FUJISAWA).await.unwrap();
        assert!(receipts.len() > before, "round {round} got no answer");
        demo.restart(FUJISAWA).await.unwrap();
        ExportedLog::of(&demo, FUJISAWA)
            .unwrap()
            .holds_all(&receipts, &vkey)
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    let (exit, _, errors) = demo.vrx_node(FUJISAWA, &["log", "verify"]).unwrap();
    assert_eq!(exit, 0, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_under_load_loses_nothing_and_says_so() {
    let demo = Demo::start(2_000).unwrap();
    let load = Load::start(&demo);
    load.wait_for(100).await;
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    let told = load.stop().await;
    ExportedLog::of(&demo, FUJISAWA)
        .unwrap()
        .holds_all(&told.receipts, &demo.node(FUJISAWA).unwrap().log_vkey)
        .unwrap();
    assert!(!told.failures.is_empty(), "the load outlived the node");
    for (code, has_retry) in told.failures {
        // UNAVAILABLE with RetryInfo is the node's own word; without, it is the broken connection's.
        assert!(
            matches!(
                code,
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
            ) || has_retry,
            "{code:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_put_back_is_refused() {
    let mut demo = Demo::start(2_000).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    let state = demo.node(FUJISAWA).unwrap().state_dir.join(FUJISAWA);
    let aside = tempfile::tempdir().unwrap();
    copy_databases(&state, aside.path());

    demo.restart(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    for number in demo.numbers("provided").iter().take(30) {
        told(query(&channel, request(number)).await.unwrap()).unwrap();
    }
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();

    for entry in std::fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        if is_database(&path) {
            std::fs::remove_file(path).unwrap();
        }
    }
    copy_databases(aside.path(), &state);
    let mut refused = demo.spawn(FUJISAWA, &[]).unwrap();
    let status = tokio::task::spawn_blocking(move || refused.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(!status.success(), "an older log serves");
    let log = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().log_file).unwrap();
    let last: String = log.lines().rev().take(6).collect();
    assert!(
        last.contains("checkpoint"),
        "the refusal doesn't say why: {last}"
    );
}

fn is_database(path: &std::path::Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().contains(".db"))
}

fn copy_databases(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if is_database(&path) {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Workers that ask for found and unknown numbers in turn and keep every receipt they were given.
struct Load {
    stop: Arc<AtomicBool>,
    answered: tokio::sync::watch::Receiver<usize>,
    workers: JoinSet<Got>,
}

#[derive(Default)]
struct Got {
    receipts: Vec<Receipt>,
    failures: Vec<(Code, bool)>,
}

impl Load {
    fn start(demo: &Demo) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, answered) = tokio::sync::watch::channel(0);
        let found = demo.numbers("provided");
        let taken: Vec<String> = demo
            .description
            .persons
            .iter()
            .map(|person| person.individual_number.clone())
            .collect();
        let unknown = unknown_numbers(200, &taken);
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
            let list = if worker % 2 == 0 {
                found.clone()
            } else {
                unknown.clone()
            };
            let (stop, counter) = (Arc::clone(&stop), counter.clone());
            workers.spawn(async move { work(channel, list, worker, &stop, &counter).await });
        }
        Self {
            stop,
            answered,
            workers,
        }
    }

    async fn wait_for(&self, answers: usize) {
        let mut answered = self.answered.clone();
        tokio::time::timeout(
            Duration::from_mins(1),
            answered.wait_for(|count| *count >= answers),
        )
        .await
        .expect("answers within a minute")
        .unwrap();
    }

    async fn stop(mut self) -> Got {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Got::default();
        while let Some(done) = self.workers.join_next().await {
            let got = done.unwrap();
            all.receipts.extend(got.receipts);
            all.failures.extend(got.failures);
        }
        all
    }
}

async fn work(
    channel: Channel,
    list: Vec<String>,
    worker: usize,
    stop: &AtomicBool,
    counter: &tokio::sync::watch::Sender<usize>,
) -> Got {
    let mut got = Got::default();
    for number in list.iter().cycle().skip(worker * 13) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match query(&channel, request(number)).await {
            Ok(response) => {
                // An answer is complete or it is failed; half a nothing must not be counted.
                if let Ok(complete) = told(response) {
                    got.receipts.push(complete.receipt().unwrap());
                    counter.send_modify(|count| *count += 1);
                }
            }
            Err(status) => {
                let retry = status.get_details_retry_info().is_some();
                got.failures.push((status.code(), retry));
                break;
            }
        }
    }
    got
}
