//! Kill -9 under load, a clean end under load, an older database put back: no answer without its entry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use tonic::Code;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::exchange::{query, request, told};
use vrx_tests::load::{Load, WhenRefused};
use vrx_tests::log::ExportedLog;
use vrx_tests::on_both_databases;

const ROUNDS: usize = 20;

on_both_databases! {
    every_receipt_that_a_caller_holds_survives_kill_9_at_any_moment,
    a_node_that_is_told_to_end_under_load_loses_nothing_and_says_so,
}

/// Load on Fujisawa's node, whose callers leave when it fails them.
fn load(demo: &Demo) -> Load {
    let address = demo.node(FUJISAWA).unwrap().address.as_str();
    Load::start(demo, &[address], WhenRefused::Leave).unwrap()
}

async fn every_receipt_that_a_caller_holds_survives_kill_9_at_any_moment(on: On) {
    let mut demo = Demo::start_on(2_000, on).unwrap();
    let vkey = demo.node(FUJISAWA).unwrap().log_vkey.clone();
    let mut receipts = Vec::new();
    for round in 0..ROUNDS {
        let before = receipts.len();
        let load = load(&demo);
        // Between the first few answers and a few hundred, another moment each round.
        let enough = 1 + (round * 37) % 211;
        load.wait_for(enough).await.unwrap();
        demo.signal(FUJISAWA, "KILL").unwrap();
        receipts.extend(load.stop().await.unwrap().receipts);
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

async fn a_node_that_is_told_to_end_under_load_loses_nothing_and_says_so(on: On) {
    let demo = Demo::start_on(2_000, on).unwrap();
    let load = load(&demo);
    load.wait_for(100).await.unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    let told = load.stop().await.unwrap();
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
