//! Two municipalities' logs, held against each other: what agrees, what only one side has, and a provider that rewrote its log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;

use serde_json::Value;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::desk::{self, Ended, INQUIRE};
use vrx_tests::exchange::{query, request};
use vrx_tests::on_both_databases;

on_both_databases! {
    what_agrees_goes_on_from_there_and_what_only_the_provider_has_reaches_both_officers,
}

const REQUESTERS_OFFICER: &str = "141003-officer-mori";
const PROVIDERS_OFFICER: &str = "142051-officer-mori";

async fn what_agrees_goes_on_from_there_and_what_only_the_provider_has_reaches_both_officers(
    on: On,
) {
    let demo = Demo::start_on(500, on).unwrap();
    let numbers = [demo.numbers("provided"), demo.numbers("doseless")].concat();
    // What the demo's own story left.
    let start = reconcile(&demo).done().unwrap();
    assert_eq!(start["provisions"], start["receipts"]);
    for number in &numbers[..4] {
        inquire(&demo, number);
    }
    let first = reconcile(&demo).done().unwrap();
    assert_eq!(first["from_index"], start["until_index"]);
    assert_eq!(first["provisions"], 4, "{first}");
    assert_eq!(
        (&first["receipts"], &first["differences"]),
        (&Value::from(4), &Value::from(0))
    );
    let again = reconcile(&demo).done().unwrap();
    assert_eq!(again["from_index"], first["until_index"]);
    assert_eq!(again["provisions"], 0);

    // Somebody who holds the requester's key asks past its node.
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let past = request(&numbers[0]);
    let id = past.request_id.clone();
    query(&channel, past).await.unwrap();
    let ended = reconcile(&demo);
    assert_eq!(ended.code, 1, "{}", ended.errors);
    let found = ended.json().unwrap();
    assert_eq!(
        (&found["differences"], &found["provider_told"]),
        (&Value::from(1), &Value::from(true))
    );
    assert_eq!(found["named"][0]["kind"], "entry-without-inquiry");
    assert_eq!(found["named"][0]["request_id"], id);
    assert_eq!(
        alarm(&demo, REQUESTERS_OFFICER, "alarm"),
        "entry-without-inquiry"
    );
    assert_eq!(
        alarm(&demo, PROVIDERS_OFFICER, "alarm"),
        "member-reports-difference"
    );
    assert_eq!(alarm(&demo, PROVIDERS_OFFICER, "request_id"), id);
    assert_eq!(reconcile(&demo).code, 0, "each difference once");

    let staff = desk::vrx(
        &demo,
        "141003-staff-tanaka",
        &["log", "reconcile", FUJISAWA],
        "",
    );
    assert_eq!(staff.unwrap().code, 77);
    let itself = desk::vrx(
        &demo,
        REQUESTERS_OFFICER,
        &["log", "reconcile", YOKOHAMA],
        "",
    );
    assert_eq!(itself.unwrap().code, 2);
}

#[tokio::test]
async fn a_provider_whose_whole_host_went_back_passes_its_own_checks_and_not_the_requesters() {
    let mut demo = Demo::start(500).unwrap();
    let numbers = demo.numbers("provided");
    inquire(&demo, &numbers[0]);
    let home = demo
        .node(FUJISAWA)
        .unwrap()
        .config
        .parent()
        .unwrap()
        .to_owned();
    let before = demo.folder().join("before");
    end(&demo, FUJISAWA).await;
    copy(&home, &before);
    demo.restart(FUJISAWA).await.unwrap();
    for number in &numbers[1..4] {
        inquire(&demo, number);
    }

    // Database, keys and kept checkpoint all go back to what they were; the log's own key signs what comes next.
    end(&demo, FUJISAWA).await;
    std::fs::remove_dir_all(&home).unwrap();
    copy(&before, &home);
    demo.restart(FUJISAWA).await.unwrap();
    let (exit, _, errors) = demo.vrx_node(FUJISAWA, &["log", "verify"]).unwrap();
    assert_eq!(exit, 0, "its own checks find nothing: {errors}");
    let behind = reconcile(&demo);
    assert_eq!(behind.code, 1);
    assert!(
        behind.output.contains("older than a receipt"),
        "{}",
        behind.output
    );
    for _ in 0..8 {
        let look = desk::vrx(&demo, PROVIDERS_OFFICER, &["log", "list"], "");
        look.unwrap().done().unwrap();
    }
    let forked = reconcile(&demo);
    assert_eq!(forked.code, 1);
    assert!(
        forked.output.contains("provider-log-forked"),
        "{}",
        forked.output
    );
    assert_eq!(
        alarm(&demo, REQUESTERS_OFFICER, "alarm"),
        "provider-log-forked"
    );
}

fn reconcile(demo: &Demo) -> Ended {
    desk::vrx(
        demo,
        REQUESTERS_OFFICER,
        &["log", "reconcile", FUJISAWA],
        "",
    )
    .unwrap()
}

fn inquire(demo: &Demo, number: &str) {
    let answer = desk::vrx(demo, "141003-staff-tanaka", &INQUIRE, number);
    let answer = answer.unwrap().done().unwrap();
    assert!(answer["provider_log_index"].is_u64(), "{answer}");
}

/// What the one alarm in a log says.
fn alarm(demo: &Demo, officer: &str, name: &str) -> String {
    let alarms = desk::control_entries(demo, officer, "alarm").unwrap();
    assert_eq!(alarms.len(), 1);
    let content = desk::content(demo, officer, alarms[0]).unwrap();
    let value = content.into_iter().find(|pair| pair.0 == name);
    value.unwrap().1
}

async fn end(demo: &Demo, code: &str) {
    demo.signal(code, "TERM").unwrap();
    demo.wait_ended(code).await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(status.unwrap().success());
}
