//! Durable first, then told: between the last write to the database's log and the answer on the socket stands a
//! successful fsync, seen in the system calls themselves: the node's own on SQLite, the server's on PostgreSQL. And the same calls
//! whoever is asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use vrx_testkit::postgres::{PostgresServer, ServerOptions, TestDatabase};
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::exchange::{query, request, told, unknown_numbers};
use vrx_tests::on_both_databases;
use vrx_tests::trace::{Call, Traced, TracedServer, now};

/// Calls that write to files and sockets, and those that wait for the disk.
const WRITES: &str = "pwrite64,pwritev,fdatasync,fsync,write,writev,sendto,sendmsg";

on_both_databases! {
    whoever_is_asked_for_no_file_is_opened_and_one_entry_is_made,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_only_after_its_entry_is_synced() {
    let demo = ended_demo(On::Sqlite).await;
    let traced = Traced::start(&demo, FUJISAWA, WRITES).await.unwrap();
    let windows = ask_one_by_one(&demo, &known_and_unknown(&demo)).await;
    let calls = traced.end().await.unwrap();
    for window in windows {
        let inside = window.of(&calls);
        let answer = answer(&demo, &inside);
        assert!(
            is_synced_before(&answer, inside.iter()),
            "no sync between write and answer: {inside:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_only_after_the_server_has_synced_its_entry() {
    let demo = ended_demo(On::Postgres).await;
    let server = Arc::clone(demo.server().unwrap());
    let traced_server = TracedServer::attach(&server, WRITES, &[]).await.unwrap();
    let traced = Traced::start(&demo, FUJISAWA, WRITES).await.unwrap();
    let windows = ask_one_by_one(&demo, &known_and_unknown(&demo)).await;
    let nodes = nodes_connections(&demo);
    let of_node = traced.end().await.unwrap();
    let of_server = traced_server.end().await.unwrap();
    for window in windows {
        let answer = answer(&demo, &window.of(&of_node));
        let inside = window.of(&of_server);
        // Of the server's own processes each writes and syncs as it likes: the entry's is one that serves the node.
        let is_synced = nodes.iter().any(|process| {
            let own = inside.iter().filter(|call| call.thread == *process);
            is_synced_before(&answer, own)
        });
        assert!(
            is_synced,
            "no sync between write and answer: {answer:#?} {inside:#?}"
        );
    }
}

/// The server's processes that serve Fujisawa's node.
fn nodes_connections(demo: &Demo) -> BTreeSet<u32> {
    let pids = demo.sql(
        FUJISAWA,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE '%\\_node'",
    );
    let pids: BTreeSet<u32> = pids
        .unwrap()
        .lines()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(!pids.is_empty(), "the node isn't connected");
    pids
}

/// The last write to the caller.
fn answer(demo: &Demo, calls: &[Call]) -> Call {
    let listens = format!("<TCP:[{}->", demo.node(FUJISAWA).unwrap().address);
    let to_caller = |call: &&Call| is_socket_write(call) && call.arguments.contains(&listens);
    latest(calls.iter().filter(to_caller))
        .expect("an answer on the socket")
        .clone()
}

/// Something was written to the database's log before the answer, and after the last of it and before the answer it was synced.
fn is_synced_before<'a>(answer: &Call, calls: impl Iterator<Item = &'a Call>) -> bool {
    let before: Vec<&Call> = calls.filter(|call| call.end <= answer.begin).collect();
    let written = latest(before.iter().copied().filter(|call| is_log_write(call)));
    written.is_some_and(|written| {
        let synced = |call: &&Call| is_log_sync(call) && call.begin >= written.end;
        before.iter().copied().any(|call| synced(&call))
    })
}

fn known_and_unknown(demo: &Demo) -> Vec<String> {
    let provided = demo.numbers("provided");
    let mut numbers: Vec<String> = provided.iter().take(20).cloned().collect();
    numbers.extend(unknown_numbers(20, &provided));
    numbers
}

async fn whoever_is_asked_for_no_file_is_opened_and_one_entry_is_made(on: On) {
    let demo = ended_demo(on).await;
    let traced = Traced::start(&demo, FUJISAWA, "openat,open,creat,openat2")
        .await
        .unwrap();
    let taken: Vec<String> = demo
        .description
        .persons
        .iter()
        .map(|person| person.individual_number.clone())
        .collect();
    let mut numbers = Vec::new();
    for nth in 0..8 {
        numbers.push(unknown_numbers(8, &taken)[nth].clone());
        for kind in ["doseless", "protected", "resident", "entered", "provided"] {
            numbers.push(demo.numbers(kind)[nth].clone());
        }
    }
    let windows = ask_one_by_one(&demo, &numbers).await;
    let calls = traced.end().await.unwrap();
    assert!(!calls.is_empty(), "no opens were seen at all");
    for (at, window) in windows.iter().enumerate() {
        // The kept checkpoint is written by the second, whatever is asked; the C library asks the kernel about memory.
        let opened: Vec<Call> = window
            .of(&calls)
            .into_iter()
            .filter(|call| {
                !call.arguments.contains("/kept") && !call.arguments.contains("\"/proc/sys/vm/")
            })
            .collect();
        assert!(opened.is_empty(), "query {at} opened {opened:#?}");
        if let Some(next) = windows.get(at + 1) {
            assert_eq!(next.log_index, window.log_index + 1, "query {at}");
        }
    }
}

struct Window {
    begin: f64,
    end: f64,
    log_index: u64,
}

impl Window {
    /// Calls that began in it. The tracer may hold a call's end back until after the answer was read.
    fn of(&self, calls: &[Call]) -> Vec<Call> {
        calls
            .iter()
            .filter(|call| call.begin >= self.begin && call.begin <= self.end)
            .cloned()
            .collect()
    }
}

/// A demo whose provider's node has ended, on PostgreSQL on a server of its own: strace is the only one to watch it.
async fn ended_demo(on: On) -> Demo {
    let start = move || match on {
        On::Sqlite => Demo::start(2_000),
        On::Postgres => {
            let server = Arc::new(PostgresServer::start(ServerOptions::default()));
            Demo::start_in(2_000, TestDatabase::on(&server))
        }
    };
    let demo = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    demo
}

async fn ask_one_by_one(demo: &Demo, numbers: &[String]) -> Vec<Window> {
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    told(query(&channel, request(&numbers[0])).await.unwrap()).unwrap();
    let mut windows = Vec::new();
    for number in numbers {
        let begin = now();
        let answer = told(query(&channel, request(number)).await.unwrap()).unwrap();
        windows.push(Window {
            begin,
            end: now(),
            log_index: answer.receipt().unwrap().log_index,
        });
    }
    windows
}

fn latest<'a>(calls: impl Iterator<Item = &'a Call>) -> Option<&'a Call> {
    calls.max_by(|a, b| a.end.total_cmp(&b.end))
}

fn is_log_write(call: &Call) -> bool {
    call.name.starts_with("pwrite") && is_log_file(call)
}

fn is_log_sync(call: &Call) -> bool {
    call.name.contains("sync") && is_log_file(call)
}

/// SQLite's write-ahead log, or PostgreSQL's.
fn is_log_file(call: &Call) -> bool {
    call.arguments.contains("-wal>") || call.arguments.contains("/pg_wal/")
}

fn is_socket_write(call: &Call) -> bool {
    let writes = ["write", "writev", "sendto", "sendmsg"];
    writes.contains(&call.name.as_str()) && call.arguments.contains("<TCP")
}
