//! Durable first, then told: between the last write to the database's log and the answer on the socket stands a
//! successful fsync, seen in the system calls themselves. And the same calls whoever is asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use vrx_tests::demo::{Demo, FUJISAWA, YOKOHAMA};
use vrx_tests::exchange::{query, request, told, unknown_numbers};
use vrx_tests::trace::{Call, Traced, now};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_only_after_its_entry_is_synced() {
    let demo = ended_demo().await;
    let trace = "pwrite64,pwritev,fdatasync,fsync,write,writev,sendto,sendmsg";
    let traced = Traced::start(&demo, FUJISAWA, trace).await.unwrap();
    let provided = demo.numbers("provided");
    let mut numbers: Vec<String> = provided.iter().take(20).cloned().collect();
    numbers.extend(unknown_numbers(20, &provided));
    let windows = ask_one_by_one(&demo, &numbers).await;

    let calls = traced.end().await.unwrap();
    assert!(
        calls.iter().any(is_socket_write),
        "no socket writes were seen"
    );
    for window in windows {
        let inside = window.of(&calls);
        let answer = latest(inside.iter().filter(|call| is_socket_write(call)))
            .expect("an answer on the socket");
        let before = |call: &&Call| call.end <= answer.begin;
        let written = latest(
            inside
                .iter()
                .filter(|call| is_log_write(call))
                .filter(before),
        )
        .expect("an entry written to the write-ahead log before the answer");
        let synced = inside
            .iter()
            .any(|call| is_log_sync(call) && call.begin >= written.end && call.end <= answer.begin);
        assert!(synced, "no sync between write and answer: {inside:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_asked_for_no_file_is_opened_and_one_entry_is_made() {
    let demo = ended_demo().await;
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

async fn ended_demo() -> Demo {
    let demo = Demo::start(2_000).unwrap();
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
    call.name.starts_with("pwrite") && call.arguments.contains("-wal>")
}

fn is_log_sync(call: &Call) -> bool {
    call.name.contains("sync") && call.arguments.contains("-wal>")
}

fn is_socket_write(call: &Call) -> bool {
    let writes = ["write", "writev", "sendto", "sendmsg"];
    writes.contains(&call.name.as_str())
        && (call.arguments.contains("<socket:") || call.arguments.contains("<TCP"))
}
