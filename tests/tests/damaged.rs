//! An opening that somebody changed in the database: every way to look says so, names the entry, and shows all the rest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use serde_json::Value;
use vrx_tests::demo::{Demo, FUJISAWA, On};
use vrx_tests::desk::{self, Ended, INQUIRE};
use vrx_tests::on_both_databases;

on_both_databases! {
    blocking:
    one_damaged_entry_stops_neither_a_day_nor_a_month_nor_a_verification,
}

const OFFICER: &str = "142051-officer-mori";

fn vrx(demo: &Demo, arguments: &[&str]) -> Ended {
    desk::vrx(demo, OFFICER, arguments, "").unwrap()
}

fn ask(demo: &Demo, number: &str) -> u64 {
    let answer = desk::vrx(demo, "141003-staff-tanaka", &INQUIRE, number).unwrap();
    answer.done().unwrap()["provider_log_index"]
        .as_u64()
        .unwrap()
}

/// Puts the opening of the entry before it in an entry's place.
fn damage(demo: &Demo, index: u64) {
    let change = |table: &str| {
        let older = index - 1;
        let of =
            format!("(SELECT opening FROM {table} WHERE tenant = {FUJISAWA} AND idx = {older})");
        format!("UPDATE {table} SET opening = {of} WHERE tenant = {FUJISAWA} AND idx = {index}")
    };
    if demo.database_of(FUJISAWA).is_some() {
        demo.sql(FUJISAWA, &change("vrx.log_entry")).unwrap();
        return;
    }
    let state = &demo.node(FUJISAWA).unwrap().state_dir;
    let file = state.join(FUJISAWA).join("vrx.db");
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(connection.execute(&change("log_entry"), []).unwrap(), 1);
}

fn one_damaged_entry_stops_neither_a_day_nor_a_month_nor_a_verification(on: On) {
    let demo = Demo::start_on(50, on).unwrap();
    let number = &demo.numbers("provided")[3];
    let (first, damaged) = (ask(&demo, number), ask(&demo, number));
    let before = vrx(&demo, &["officer", "day"]).done().unwrap();
    assert_eq!(before["damaged"], 0);
    damage(&demo, damaged);

    let verified = vrx(&demo, &["log", "verify", "--proofs", "500"]);
    assert_eq!(verified.code, 1, "{}", verified.errors);
    let told = verified.json().unwrap();
    let finding = told["findings"].to_string();
    assert!(finding.contains(&format!("entry {damaged} ")), "{told}");
    assert!(told["proofs_checked"].as_u64().unwrap() > damaged, "{told}");

    let day = vrx(&demo, &["officer", "day"]);
    let month = day.json().unwrap()["reviews"][0]["day"].as_str().unwrap()[..7].to_owned();
    let report = vrx(&demo, &["officer", "report", "--month", &month]);
    for summary in [day, report] {
        assert_eq!(summary.code, 1, "{}", summary.errors);
        assert!(summary.errors.contains("log verify"), "{}", summary.errors);
        let told = summary.json().unwrap();
        assert_eq!(told["damaged"], 1, "{told}");
        let alert = alert(&told);
        assert_eq!(alert["log_indexes"][0], damaged, "{told}");
        let counted = |what: &Value| what["causes"]["provided"].as_u64().unwrap();
        assert_eq!(counted(&told) + 1, counted(&before), "{told}");
    }

    let place = damaged.to_string();
    for look in [["log", "show"], ["officer", "entry"]] {
        let looked = vrx(&demo, &[&look[..], &[&place]].concat());
        assert_eq!(looked.code, 1, "{}", looked.errors);
        let named = format!("the opening of entry {damaged} isn't the one its leaf commits to");
        assert!(looked.errors.contains(&named), "{}", looked.errors);
        assert!(looked.errors.contains("log verify"), "{}", looked.errors);
    }
    let story = vrx(&demo, &["officer", "entry", &first.to_string()]);
    assert_eq!(story.code, 1, "{}", story.errors);
    assert_eq!(story.json().unwrap()["missing"], 1);

    let listed = vrx(&demo, &["log", "list", "--limit", "1000"]);
    assert_eq!(listed.code, 1, "{}", listed.errors);
    let entries = listed.json().unwrap()["entries"].take();
    let entries = entries.as_array().unwrap().iter();
    let bad = entries.filter(|entry| entry["damaged"] == true);
    assert_eq!(
        bad.map(|entry| entry["log_index"].as_u64())
            .collect::<Vec<_>>(),
        [Some(damaged)]
    );
}

fn alert(summary: &Value) -> &Value {
    let mut alerts = summary["alerts"].as_array().unwrap().iter();
    alerts.find(|alert| alert["kind"] == "damaged").unwrap()
}
