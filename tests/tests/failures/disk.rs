//! The database is lost or its disk fails: refused aloud, and no answer without its entry.

use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use vrx_proto::v1::Receipt;
use vrx_testkit::SmallDisk;
use vrx_testkit::postgres::{PostgresServer, ServerOptions, TestDatabase};
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA, wait_until};
use vrx_tests::exchange::{Told, query, request, told};
use vrx_tests::log::ExportedLog;
use vrx_tests::on_both_databases;
use vrx_tests::trace::TracedServer;

use crate::{state, unavailable_for_certain};

/// Questions until a fault that comes after a few dozen has long come.
const QUESTIONS: usize = 400;
/// How long a node may take to serve again.
const HEALS_WITHIN: Duration = Duration::from_mins(1);

on_both_databases! {
    a_database_that_is_deleted_while_serving_stops_provision,
}

async fn a_database_that_is_deleted_while_serving_stops_provision(on: On) {
    let demo = Demo::start_on(2_000, on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let number = demo.numbers("provided")[0].clone();
    told(query(&channel, request(&number)).await.unwrap()).unwrap();
    match on {
        On::Sqlite => std::fs::remove_file(state(&demo).join("vrx.db")).unwrap(),
        On::Postgres => {
            let name = demo.database_of(FUJISAWA).unwrap();
            let drop = format!("DROP DATABASE {name} WITH (FORCE)");
            demo.server().unwrap().sql("postgres", &drop);
        }
    }
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
    let mut demo = ended(Demo::start(2_000).unwrap()).await;
    // The kernel answers "no space left" to some writes into the database's files.
    let fault = "inject=pwrite64:error=ENOSPC:when=400..460";
    let mut wrapped = demo
        .spawn(FUJISAWA, &strace("trace=pwrite64", fault))
        .unwrap();
    demo.wait_ready(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let (mut receipts, mut refused) = (Vec::new(), 0);
    for number in demo.numbers("provided").iter().cycle().take(QUESTIONS) {
        match query(&channel, request(number)).await {
            Ok(response) => receipts.push(found(told(response).unwrap())),
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
    assert_holds_all(&demo, &receipts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_server_s_tables_refuses_and_provision_goes_on_when_there_is_room() {
    let disk = SmallDisk::mount("96m");
    let mut demo = ended(demo_on_a_server_of_its_own().await).await;
    let server = Arc::clone(demo.server().unwrap());
    disk.give_to_the_owner_of(&server);
    let place = disk.path().display();
    server.sql(
        "postgres",
        &format!("CREATE TABLESPACE small LOCATION '{place}'"),
    );
    let name = demo.database_of(FUJISAWA).unwrap();
    server.sql(
        "postgres",
        &format!("ALTER DATABASE {name} SET TABLESPACE small"),
    );
    demo.restart(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let numbers = demo.numbers("provided");
    let mut receipts = vec![found(
        told(query(&channel, request(&numbers[0])).await.unwrap()).unwrap(),
    )];
    let ballast = disk.fill(128 << 10);
    let mut refused = 0;
    for number in numbers.iter().cycle().take(8 * QUESTIONS) {
        match query(&channel, request(number)).await {
            Ok(response) => receipts.push(found(told(response).unwrap())),
            Err(status) => {
                unavailable_for_certain(&status);
                refused += 1;
            }
        }
        if refused == 10 {
            break;
        }
    }
    assert_eq!(refused, 10, "the disk was never full");
    std::fs::remove_file(ballast).unwrap();
    let until = tokio::time::Instant::now() + HEALS_WITHIN;
    loop {
        match query(&channel, request(&numbers[0])).await {
            Ok(response) => break receipts.push(found(told(response).unwrap())),
            Err(status) => unavailable_for_certain(&status),
        }
        assert!(
            tokio::time::Instant::now() < until,
            "room again, service again"
        );
    }
    assert_holds_all(&demo, &receipts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_poisons_the_log_until_recovery() {
    let mut demo = ended(Demo::start(2_000).unwrap()).await;
    let fault = "inject=fsync,fdatasync:error=EIO:when=30";
    let mut wrapped = demo
        .spawn(FUJISAWA, &strace("trace=fsync,fdatasync", fault))
        .unwrap();
    demo.wait_ready(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let mut receipts = Vec::new();
    let mut failed = None;
    for number in demo.numbers("provided").iter().cycle().take(QUESTIONS) {
        match query(&channel, request(number)).await {
            Ok(response) => {
                assert!(failed.is_none(), "an answer left after a failed fsync");
                receipts.push(found(told(response).unwrap()));
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
    assert_holds_all(&demo, &receipts);
    assert_serves(&demo).await;
}

/// PostgreSQL never goes on after a failed fsync of its own log: all its processes end, and it recovers from what the disk has.
/// The node waits for that, asks whether its commit stands, and answers or says that it failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_under_the_server_costs_no_answered_entry() {
    let mut demo = ended(demo_on_a_server_of_its_own().await).await;
    let server = Arc::clone(demo.server().unwrap());
    let fault = "inject=fdatasync:error=EIO:when=30";
    let traced = TracedServer::attach(&server, "fdatasync", &[fault])
        .await
        .unwrap();
    demo.restart(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let mut receipts = Vec::new();
    let numbers = demo.numbers("provided");
    let mut numbers = numbers.iter().cycle().take(QUESTIONS);
    let mut ask = async |receipts: &mut Vec<Receipt>| {
        let number = numbers.next().expect("the fsync never failed");
        match query(&channel, request(number)).await {
            Ok(response) => receipts.push(found(told(response).unwrap())),
            Err(status) => assert!(
                matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded),
                "{status:?}"
            ),
        }
    };
    while !server.log().contains("PANIC:  could not fdatasync file") {
        ask(&mut receipts).await;
    }
    let before = receipts.len();
    assert!(before > 0, "nothing was answered before");
    traced.end().await.unwrap();
    let until = tokio::time::Instant::now() + HEALS_WITHIN;
    while receipts.len() < before + 20 {
        assert!(tokio::time::Instant::now() < until, "it serves again");
        ask(&mut receipts).await;
    }
    assert_holds_all(&demo, &receipts);
}

/// Its server is no other test's.
async fn demo_on_a_server_of_its_own() -> Demo {
    tokio::task::spawn_blocking(|| {
        let server = Arc::new(PostgresServer::start(ServerOptions::default()));
        Demo::start_in(2_000, TestDatabase::on(&server)).unwrap()
    })
    .await
    .unwrap()
}

/// The demo, its provider's node ended.
async fn ended(demo: Demo) -> Demo {
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    demo
}

/// A failing disk is never read as nothing.
fn found(told: Told) -> Receipt {
    let Told::Found(found) = told else {
        panic!("a failing disk read as nothing");
    };
    found.receipt.unwrap()
}

fn assert_holds_all(demo: &Demo, receipts: &[Receipt]) {
    ExportedLog::of(demo, FUJISAWA)
        .unwrap()
        .holds_all(receipts, &demo.node(FUJISAWA).unwrap().log_vkey)
        .unwrap();
}

async fn assert_serves(demo: &Demo) {
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let asked = request(&demo.numbers("provided")[0]);
    told(query(&channel, asked).await.unwrap()).unwrap();
}

/// A wrapper that makes system calls of a node fail.
fn strace<'a>(calls: &'a str, fault: &'a str) -> [&'a str; 9] {
    [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        calls,
        "-e",
        fault,
    ]
}

/// Ends a node that runs under strace: the signal goes to the program, strace ends with it.
async fn stop_traced(strace: &mut Child) {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let node = std::fs::read_to_string(children).unwrap();
    for pid in node.split_whitespace() {
        let status = std::process::Command::new("kill")
            .args(["-TERM", pid])
            .status()
            .unwrap();
        assert!(status.success());
    }
    wait_until(Duration::from_mins(1), "strace ends with the node", || {
        Ok(strace.try_wait()?.is_some())
    })
    .await
    .unwrap();
}
