//! What fails, fails aloud: a failing disk, a lost database, sealed keys, bad configuration. Never as *nothing*.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod disk;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::exchange::{query, request, told};
use vrx_tests::on_both_databases;

on_both_databases! {
    a_tag_pointed_at_another_person_is_an_internal_error_with_an_incident_and_no_detail,
    more_calls_in_flight_than_allowed_are_told_when_to_come_back,
    a_second_process_on_the_same_log_is_refused,
    a_keyring_that_cannot_be_opened_stops_the_start_and_changes_nothing,
    a_bad_configuration_ends_with_64_and_names_file_key_and_remedy,
}

async fn a_tag_pointed_at_another_person_is_an_internal_error_with_an_incident_and_no_detail(
    on: On,
) {
    let mut demo = Demo::start_on(2_000, on).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    point_every_number_at_the_next_person(&demo, on);
    demo.restart(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let number = demo.numbers("provided")[0].clone();
    let status = query(&channel, request(&number))
        .await
        .expect_err("another person's row");
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(!format!("{status:?}").contains(&number));
    let log = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().log_file).unwrap();
    assert!(log.contains("ERROR"), "no alarm");
    assert!(!log.contains(&number));
}

async fn more_calls_in_flight_than_allowed_are_told_when_to_come_back(on: On) {
    let mut demo = Demo::start_on(2_000, on).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    let config = demo.node(FUJISAWA).unwrap().config.clone();
    let mut table: toml::Table = std::fs::read_to_string(&config).unwrap().parse().unwrap();
    let limits = table
        .entry("limits")
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    limits
        .as_table_mut()
        .unwrap()
        .insert("in_flight_per_caller".to_owned(), toml::Value::Integer(1));
    std::fs::write(&config, toml::to_string(&table).unwrap()).unwrap();
    demo.restart(FUJISAWA).await.unwrap();

    // Several connections of one caller: the limit is the caller's, not the connection's.
    let numbers = demo.numbers("provided");
    let mut channels = Vec::new();
    for number in numbers.iter().take(8) {
        let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
        told(query(&channel, request(number)).await.unwrap()).unwrap();
        channels.push(channel);
    }
    let mut calls = tokio::task::JoinSet::new();
    for (nth, number) in numbers.into_iter().take(200).enumerate() {
        let channel = channels[nth % channels.len()].clone();
        calls.spawn(async move { query(&channel, request(&number)).await });
    }
    let (mut served, mut refused) = (0, 0);
    while let Some(done) = calls.join_next().await {
        match done.unwrap() {
            Ok(response) => {
                told(response).unwrap();
                served += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                refused += 1;
            }
        }
    }
    assert!(
        served > 0 && refused > 0,
        "{served} served, {refused} refused"
    );
}

async fn a_second_process_on_the_same_log_is_refused(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let mut second = demo.spawn(FUJISAWA, &[]).unwrap();
    let status = tokio::task::spawn_blocking(move || second.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(!status.success());
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    told(
        query(&channel, request(&demo.numbers("provided")[0]))
            .await
            .unwrap(),
    )
    .unwrap();
}

async fn a_keyring_that_cannot_be_opened_stops_the_start_and_changes_nothing(on: On) {
    let mut demo = Demo::start_on(2_000, on).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    let home = demo
        .node(FUJISAWA)
        .unwrap()
        .config
        .parent()
        .unwrap()
        .to_owned();
    let table: toml::Table = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().config)
        .unwrap()
        .parse()
        .unwrap();
    let keyrings = home.join(table["keyring_dir"].as_str().unwrap());
    let keyring = std::fs::read_dir(&keyrings)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "keyring"))
        .unwrap();
    let good = std::fs::read(&keyring).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&keyring, &bad).unwrap();
    let (exit, errors) = start_and_fail(&demo).await;
    assert_ne!(exit, 0);
    assert!(errors.contains("keyring"), "{errors}");
    std::fs::write(&keyring, &good).unwrap();

    let root = home.join(table["root_key_file"].as_str().unwrap());
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (exit, errors) = start_and_fail(&demo).await;
    assert_ne!(exit, 0);
    assert!(
        errors.contains("0600") || errors.contains("mode"),
        "{errors}"
    );
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o600)).unwrap();
    demo.restart(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    told(
        query(&channel, request(&demo.numbers("provided")[0]))
            .await
            .unwrap(),
    )
    .unwrap();
}

async fn a_bad_configuration_ends_with_64_and_names_file_key_and_remedy(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let config = demo.node(FUJISAWA).unwrap().config.clone();
    let good = std::fs::read_to_string(&config).unwrap();
    let beside = config.with_file_name("bad.toml");
    for (key, text) in [
        ("listen", good.replacen("listen", "# listen", 1)),
        (
            "lissten",
            good.replacen("listen", "lissten = \"x\"\nlisten", 1),
        ),
        (
            "code",
            good.replacen("code = \"142051\"", "code = \"142052\"", 1),
        ),
        (
            "federation_ca",
            good.replacen("federation_ca = \"", "federation_ca = \"/nowhere", 1),
        ),
    ] {
        std::fs::write(&beside, text).unwrap();
        let output = Command::new(vrx_tests::demo::program("vrx-node").unwrap())
            .args(["serve", "--config"])
            .arg(&beside)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{key}: {errors}");
        assert!(errors.contains("bad.toml"), "{key}: {errors}");
        assert!(errors.contains(key), "{key}: {errors}");
    }
    std::fs::remove_file(beside).unwrap();
}

/// What someone with the database could do.
fn point_every_number_at_the_next_person(demo: &Demo, on: On) {
    let moved: usize = match on {
        On::Sqlite => {
            let database = rusqlite::Connection::open(state(demo).join("vrx.db")).unwrap();
            database
                .execute(
                    "UPDATE person_tag SET person_id = next FROM (
                         SELECT key_id AS next_key, tag AS next_tag, coalesce(
                             lead(person_id) OVER (ORDER BY key_id, tag),
                             first_value(person_id) OVER (ORDER BY key_id, tag)
                         ) AS next FROM person_tag WHERE kind = 1
                     ) WHERE kind = 1 AND key_id = next_key AND tag = next_tag",
                    (),
                )
                .unwrap()
        }
        On::Postgres => {
            let moved = demo.sql(
                FUJISAWA,
                "WITH moved AS (
                     UPDATE vrx.person_tag t SET person_id = n.next FROM (
                         SELECT key_id, tag, coalesce(
                             lead(person_id) OVER (ORDER BY key_id, tag),
                             first_value(person_id) OVER (ORDER BY key_id, tag)
                         ) AS next FROM vrx.person_tag WHERE kind = 1
                     ) n WHERE t.kind = 1 AND (t.key_id, t.tag) = (n.key_id, n.tag)
                     RETURNING 1
                 ) SELECT count(*) FROM moved",
            );
            moved.unwrap().parse().unwrap()
        }
    };
    assert!(moved > 1_000, "{moved} tags");
}

/// `UNAVAILABLE` with `RetryInfo`: nothing left, for certain.
fn unavailable_for_certain(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
}

fn state(demo: &Demo) -> PathBuf {
    demo.node(FUJISAWA).unwrap().state_dir.join(FUJISAWA)
}

async fn start_and_fail(demo: &Demo) -> (i32, String) {
    let mut child = demo.spawn(FUJISAWA, &[]).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait())
        .await
        .unwrap()
        .unwrap();
    let log = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().log_file).unwrap();
    let tail: Vec<&str> = log.lines().rev().take(8).collect();
    (status.code().unwrap_or(-1), tail.join("\n"))
}
