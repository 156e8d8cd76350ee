//! What fails, fails aloud: a failing disk, a lost database, sealed keys, bad configuration. Never as *nothing*.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use vrx_tests::demo::{Demo, FUJISAWA, YOKOHAMA, wait_until};
use vrx_tests::exchange::{Told, query, request, told};
use vrx_tests::log::ExportedLog;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_that_is_deleted_while_serving_stops_provision() {
    let demo = Demo::start(2_000).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let number = demo.numbers("provided")[0].clone();
    told(query(&channel, request(&number)).await.unwrap()).unwrap();
    std::fs::remove_file(state(&demo).join("vrx.db")).unwrap();
    let status = query(&channel, request(&number))
        .await
        .expect_err("the database is gone");
    unavailable_for_certain(&status);
    let again = query(&channel, request(&number))
        .await
        .expect_err("it is still gone");
    unavailable_for_certain(&again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_provision_goes_on_when_there_is_room() {
    let mut demo = Demo::start(2_000).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    // The kernel answers "no space left" to every 9th to 40th write into the database's files.
    let mut wrapped = demo
        .spawn(
            FUJISAWA,
            &[
                "strace",
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=pwrite64",
                "-e",
                "inject=pwrite64:error=ENOSPC:when=400..460",
            ],
        )
        .unwrap();
    demo.wait_ready(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let (mut receipts, mut refused) = (Vec::new(), 0);
    for number in demo.numbers("provided").iter().cycle().take(400) {
        match query(&channel, request(number)).await {
            Ok(response) => {
                let Told::Found(found) = told(response).unwrap() else {
                    panic!("a full disk read as nothing");
                };
                receipts.push(found.receipt.unwrap());
            }
            Err(status) => {
                unavailable_for_certain(&status);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the disk was never full");
    let last = query(&channel, request(&demo.numbers("provided")[0])).await;
    told(last.expect("room again, service again")).unwrap();
    stop_traced(&mut wrapped).await;
    demo.restart(FUJISAWA).await.unwrap();
    ExportedLog::of(&demo, FUJISAWA)
        .unwrap()
        .holds_all(&receipts, &demo.node(FUJISAWA).unwrap().log_vkey)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_poisons_the_log_until_recovery() {
    let mut demo = Demo::start(2_000).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    let mut wrapped = demo
        .spawn(
            FUJISAWA,
            &[
                "strace",
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=fsync,fdatasync",
                "-e",
                "inject=fsync,fdatasync:error=EIO:when=30",
            ],
        )
        .unwrap();
    demo.wait_ready(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let mut receipts = Vec::new();
    let mut failed = None;
    for number in demo.numbers("provided").iter().cycle().take(400) {
        match query(&channel, request(number)).await {
            Ok(response) => {
                assert!(failed.is_none(), "an answer left after a failed fsync");
                receipts.push(told(response).unwrap().receipt().unwrap());
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                failed = Some(status);
            }
        }
    }
    assert!(failed.is_some(), "the fsync never failed");
    stop_traced(&mut wrapped).await;
    demo.restart(FUJISAWA).await.unwrap();
    ExportedLog::of(&demo, FUJISAWA)
        .unwrap()
        .holds_all(&receipts, &demo.node(FUJISAWA).unwrap().log_vkey)
        .unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    told(
        query(&channel, request(&demo.numbers("provided")[0]))
            .await
            .unwrap(),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_pointed_at_another_person_is_an_internal_error_with_an_incident_and_no_detail() {
    let mut demo = Demo::start(2_000).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    {
        // Every number's tag is pointed at the next person: what someone with the database could do.
        let database = rusqlite::Connection::open(state(&demo).join("vrx.db")).unwrap();
        let tags: Vec<(Vec<u8>, Vec<u8>)> = database
            .prepare("SELECT tag, person_id FROM person_tag WHERE kind = 1")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(tags.len() > 1000);
        for (at, (tag, _)) in tags.iter().enumerate() {
            let (_, next) = &tags[(at + 1) % tags.len()];
            database
                .execute(
                    "UPDATE person_tag SET person_id = ?2 WHERE kind = 1 AND tag = ?1",
                    (tag, next),
                )
                .unwrap();
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_in_flight_than_allowed_are_told_when_to_come_back() {
    let mut demo = Demo::start(2_000).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_log_is_refused() {
    let demo = Demo::shared().unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_cannot_be_opened_stops_the_start_and_changes_nothing() {
    let mut demo = Demo::start(2_000).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_ends_with_64_and_names_file_key_and_remedy() {
    let demo = Demo::shared().unwrap();
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

/// Ends a node that runs under strace: the signal goes to the program, strace ends with it.
async fn stop_traced(strace: &mut std::process::Child) {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let node = std::fs::read_to_string(children).unwrap();
    for pid in node.split_whitespace() {
        let status = Command::new("kill").args(["-TERM", pid]).status().unwrap();
        assert!(status.success());
    }
    wait_until(Duration::from_mins(1), "strace ends with the node", || {
        Ok(strace.try_wait()?.is_some())
    })
    .await
    .unwrap();
}
