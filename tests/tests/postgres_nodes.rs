//! Several `vrx-node` processes on one PostgreSQL: killed at any moment, their server lost and its standby promoted, and no
//! answer without its entry. What would make two logs out of one is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use vrx_proto::v1::Receipt;
use vrx_testkit::postgres::{DEMO, PostgresServer, ServerOptions, TestDatabase};
use vrx_tests::demo::{Demo, FUJISAWA, YOKOHAMA, wait_until};
use vrx_tests::exchange::{query, request};
use vrx_tests::load::{Load, WhenRefused};
use vrx_tests::log::ExportedLog;
use vrx_tests::process::Process;

/// How often processes are killed.
const ROUNDS: usize = 9;

/// A demo on one server of this test or on several, of which one takes writes.
fn demo_on(database: &TestDatabase, servers: &[&PostgresServer]) -> Demo {
    let hosts: Vec<String> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port()))
        .collect();
    let url = format!(
        "postgres://{DEMO}@{}/{}?sslmode=disable&target_session_attrs=read-write",
        hosts.join(","),
        database.name()
    );
    Demo::start_at(500, &url).unwrap()
}

/// Entries of Fujisawa's log, as the server has it.
fn entries(server: &PostgresServer, database: &TestDatabase) -> u64 {
    let count = "SELECT size FROM vrx.log_head WHERE size = (SELECT count(*) FROM vrx.log_entry)";
    let name = format!("{}_{FUJISAWA}", database.name());
    server
        .sql(&name, count)
        .parse()
        .expect("a log without gaps")
}

/// Every receipt's leaf stands at its index, and every checkpoint that was signed is a prefix of the log.
fn assert_holds_all(demo: &Demo, receipts: &[Receipt]) {
    let log = ExportedLog::of(demo, FUJISAWA).unwrap();
    log.holds_all(receipts, &demo.node(FUJISAWA).unwrap().log_vkey)
        .unwrap();
    let (exit, _, errors) = demo.vrx_node(FUJISAWA, &["log", "verify"]).unwrap();
    assert_eq!(exit, 0, "{errors}");
}

/// The demo's own process and new ones beside it, all started.
async fn processes(demo: &Demo, count: usize) -> Vec<Process> {
    let mut processes = vec![Process::take_over(demo, FUJISAWA).await.unwrap()];
    for nth in 1..count {
        let name = format!("beside-{nth}");
        processes.push(Process::beside(demo, FUJISAWA, &name).unwrap());
    }
    for process in &mut processes {
        process.start(demo).await.unwrap();
    }
    processes
}

fn load(demo: &Demo, processes: &[Process]) -> Load {
    let addresses: Vec<&str> = processes.iter().map(Process::address).collect();
    Load::start(demo, &addresses, WhenRefused::AskAgain).unwrap()
}

async fn killed_at_any_moment(count: usize) {
    let database = TestDatabase::fresh();
    let demo = demo_on(&database, &[database.server()]);
    let mut processes = processes(&demo, count).await;
    let load = load(&demo, &processes);
    for round in 0..ROUNDS {
        // Between a few answers after the last restart and a few hundred, another moment each round.
        load.wait_for(load.answers() + 1 + (round * 37) % 211)
            .await
            .unwrap();
        // Now and then all of them at once.
        let victims = if round % 4 == 3 { count } else { 1 };
        for nth in 0..victims {
            processes[(round * 5 + 3 + nth) % count].kill().unwrap();
        }
        if victims < count {
            // The others go on meanwhile.
            load.wait_for(load.answers() + 20).await.unwrap();
        }
        for nth in 0..victims {
            let killed = &mut processes[(round * 5 + 3 + nth) % count];
            killed.start(&demo).await.unwrap();
        }
    }
    load.wait_for(load.answers() + 200).await.unwrap();
    let got = load.stop().await.unwrap();
    for process in &processes {
        assert!(got.answers[process.address()] > 0, "one has never answered");
    }
    assert_holds_all(&demo, &got.receipts);
    let mut indexes: Vec<u64> = got
        .receipts
        .iter()
        .map(|receipt| receipt.log_index)
        .collect();
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!(
        indexes.len(),
        got.receipts.len(),
        "two answers of one entry"
    );
    assert!(entries(database.server(), &database) >= got.receipts.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_one_log_whichever_is_killed_at_any_moment() {
    killed_at_any_moment(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_write_one_log_whichever_is_killed_at_any_moment() {
    killed_at_any_moment(3).await;
}

/// Whoever got no answer was told that it failed. There may be none: a commit whose outcome was unknown is looked up on the server
/// that is there by then, and answered.
fn assert_failed_and_said_so(failures: &[(Code, bool)]) {
    let said = |code: &Code| matches!(code, Code::Unavailable | Code::DeadlineExceeded);
    assert!(failures.iter().all(|(code, _)| said(code)), "{failures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_costs_no_answered_entry() {
    let server = Arc::new(PostgresServer::start(ServerOptions::default()));
    let database = TestDatabase::on(&server);
    let demo = demo_on(&database, &[&server]);
    let processes = processes(&demo, 2).await;
    let load = load(&demo, &processes);
    for end in [PostgresServer::kill, PostgresServer::stop_at_once] {
        load.wait_for(load.answers() + 150).await.unwrap();
        end(&server);
        server.start_again();
    }
    load.wait_for(load.answers() + 150).await.unwrap();
    let got = load.stop().await.unwrap();
    assert_failed_and_said_so(&got.failures);
    assert_holds_all(&demo, &got.receipts);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_to_the_synchronous_standby_not_one_answered_entry_is_missing() {
    let primary = Arc::new(PostgresServer::start(ServerOptions::default()));
    let standby = primary.standby("second");
    primary.wait_for_standby_at_commit("second");
    let database = TestDatabase::on(&primary);
    let demo = demo_on(&database, &[&primary, &standby]);
    let processes = processes(&demo, 2).await;
    let load = load(&demo, &processes);
    load.wait_for(400).await.unwrap();
    primary.kill();
    let before = load.answers();
    standby.promote();
    let promoted = entries(&standby, &database);
    load.wait_for(before + 400).await.unwrap();
    let got = load.stop().await.unwrap();
    assert_failed_and_said_so(&got.failures);
    assert!(entries(&standby, &database) > promoted, "nobody went over");
    for process in &processes {
        assert!(got.answers[process.address()] > 0, "one has never answered");
    }
    assert_holds_all(&demo, &got.receipts);
    assert!(entries(&standby, &database) >= got.receipts.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lacks_answered_entries_is_served_from_by_nobody_who_has_seen_them() {
    let primary = Arc::new(PostgresServer::start(ServerOptions::default()));
    let standby = primary.standby("late");
    let database = TestDatabase::on(&primary);
    let demo = demo_on(&database, &[&primary, &standby]);
    let mut process = Process::take_over(&demo, FUJISAWA).await.unwrap();
    process.start(&demo).await.unwrap();
    let answers = async |count| {
        let load = Load::start(&demo, &[process.address()], WhenRefused::AskAgain).unwrap();
        load.wait_for(count).await.unwrap();
        load.stop().await.unwrap().receipts
    };
    let mut receipts = answers(100).await;
    standby.stop();
    receipts.extend(answers(100).await);
    primary.kill();
    standby.start_again();
    standby.promote();
    let found = entries(&standby, &database);
    let newest = receipts.iter().map(|receipt| receipt.log_index).max();
    assert!(found <= newest.unwrap(), "the standby isn't behind");

    let says = "doesn't continue the one this node has written";
    assert_refuses_to_append(&demo, &process, says).await;
    assert_eq!(
        entries(&standby, &database),
        found,
        "something was appended"
    );
    // The copy at the second path is written once a second: only what it covers can be missed by a later start.
    wait_until(
        Duration::from_mins(1),
        "a kept checkpoint of what was lost",
        || Ok(kept_size(&demo, "kept").is_some_and(|size| size > found)),
    )
    .await
    .unwrap();
    process.kill().unwrap();
    let ended = process.start_and_end(&demo).await.unwrap();
    assert_eq!(ended.code(), Some(74), "{}", process.said().unwrap());
    let said = process.said().unwrap();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("the log was rolled back"), "{last}");
    assert_eq!(entries(&standby, &database), found);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_an_earlier_epoch_appends_nothing_more() {
    let database = TestDatabase::fresh();
    let demo = demo_on(&database, &[database.server()]);
    let mut processes = processes(&demo, 2).await;
    let load = load(&demo, &processes);
    load.wait_for(50).await.unwrap();
    let got = load.stop().await.unwrap();
    let server = database.server();
    let name = format!("{}_{FUJISAWA}", database.name());
    server.sql(&name, "UPDATE vrx.log_head SET epoch = 2");
    let found = entries(server, &database);
    for process in &processes {
        assert_refuses_to_append(&demo, process, "epoch").await;
    }
    for process in &mut processes {
        process.kill().unwrap();
        let ended = process.start_and_end(&demo).await.unwrap();
        assert_eq!(ended.code(), Some(74), "{}", process.said().unwrap());
    }
    assert_eq!(entries(server, &database), found, "something was appended");
    server.sql(&name, "UPDATE vrx.log_head SET epoch = 1");
    assert_holds_all(&demo, &got.receipts);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_keeps_what_the_other_wrote_and_is_unready_on_a_log_that_went_back() {
    let database = TestDatabase::fresh();
    let demo = demo_on(&database, &[database.server()]);
    let processes = processes(&demo, 2).await;
    let (server, name) = (database.server(), format!("{}_{FUJISAWA}", database.name()));
    let older = "SELECT size, encode(root, 'hex'), last_time FROM vrx.log_head";
    let older = server.sql(&name, older);
    let older: Vec<&str> = older.trim().split('|').collect();
    let load = load(&demo, &processes[..1]);
    load.wait_for(100).await.unwrap();
    load.stop().await.unwrap();
    let size = entries(server, &database);
    let both_keep = || {
        let kept = [kept_size(&demo, "kept"), kept_size(&demo, "kept-beside-1")];
        Ok(kept == [Some(size); 2])
    };
    wait_until(Duration::from_mins(1), "both keep the newest", both_keep)
        .await
        .unwrap();
    assert_eq!(entries(server, &database), size, "the idle one wrote");

    let [kept, root, time] = older[..] else {
        panic!("{older:?}");
    };
    server.sql(
        &name,
        &format!(
            "BEGIN; DELETE FROM vrx.log_entry WHERE idx >= {kept}; \
             UPDATE vrx.log_head SET size = {kept}, root = decode('{root}', 'hex'), last_time = {time}, checkpoint = NULL; COMMIT"
        ),
    );
    for process in &processes {
        demo.wait_unready_at(FUJISAWA, process.address())
            .await
            .unwrap();
        let said = process.said().unwrap();
        assert!(
            said.contains("Stop this process, keep everything"),
            "{said}"
        );
    }
    let says = "doesn't continue the one this node has written";
    assert_refuses_to_append(&demo, &processes[1], says).await;
    let found = entries(server, &database);
    assert_eq!(found.to_string(), kept, "something was appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_would_keep_its_checkpoints_where_another_does_is_refused() {
    let database = TestDatabase::fresh();
    let demo = demo_on(&database, &[database.server()]);
    let mut beside = Process::beside(&demo, FUJISAWA, "beside").unwrap();
    beside
        .configure(|config| {
            config.insert("kept_checkpoint_dir".to_owned(), "kept".into());
        })
        .unwrap();
    let ended = beside.start_and_end(&demo).await.unwrap();
    let said = beside.said().unwrap();
    assert_eq!(ended.code(), Some(69), "{said}");
    assert!(said.contains("kept_checkpoint_dir"), "{said}");
}

/// Entries under the checkpoint that a process of Fujisawa keeps in this folder.
fn kept_size(demo: &Demo, folder: &str) -> Option<u64> {
    let home = demo.node(FUJISAWA).ok()?.config.parent()?;
    let path = home.join(folder).join(format!("{FUJISAWA}.checkpoint"));
    let note = std::fs::read_to_string(path).ok()?;
    note.lines().nth(1)?.parse().ok()
}

/// No question is answered, and after a while the process says why.
async fn assert_refuses_to_append(demo: &Demo, process: &Process, why: &str) {
    let channel = demo
        .channel_at(process.address(), FUJISAWA, YOKOHAMA, "exchange")
        .unwrap();
    let number = demo.numbers("provided")[0].clone();
    let said = wait_until(Duration::from_mins(1), why, || {
        Ok(process.said()?.contains(why))
    });
    tokio::pin!(said);
    loop {
        let refused = query(&channel, request(&number)).await;
        assert!(refused.is_err(), "it answered");
        let moment = tokio::time::timeout(Duration::from_millis(50), &mut said).await;
        if let Ok(said) = moment {
            said.unwrap();
            break;
        }
    }
    for _ in 0..20 {
        query(&channel, request(&number)).await.unwrap_err();
    }
}
