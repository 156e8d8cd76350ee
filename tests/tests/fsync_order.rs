//! Durable first, then told: between the last write to the database's log and the answer on the socket stands a
//! successful fsync, seen in the system calls themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vrx_tests::demo::{Demo, FUJISAWA, YOKOHAMA, wait_until};
use vrx_tests::exchange::{query, request, told, unknown_numbers};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    WalWrite,
    WalSync,
    SocketWrite,
}

/// One system call that succeeded: when it began and ended, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Call {
    kind: Kind,
    begin: f64,
    end: f64,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_only_after_its_entry_is_synced() {
    let demo = Demo::start(2_000).unwrap();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    let traces = tempfile::tempdir().unwrap();
    let prefix = traces.path().join("trace");
    let mut strace = demo
        .spawn(
            FUJISAWA,
            &[
                "strace",
                "-ff",
                "-qq",
                "-ttt",
                "-T",
                "-y",
                "-s",
                "0",
                "-o",
                prefix.to_str().unwrap(),
                "-e",
                "trace=pwrite64,pwritev,fdatasync,fsync,write,writev,sendto,sendmsg",
            ],
        )
        .unwrap();
    demo.wait_ready(FUJISAWA).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    told(
        query(&channel, request(&demo.numbers("provided")[0]))
            .await
            .unwrap(),
    )
    .unwrap();

    let taken = demo.numbers("provided");
    let mut numbers: Vec<String> = taken.iter().take(20).cloned().collect();
    numbers.extend(unknown_numbers(20, &taken));
    let mut windows = Vec::new();
    for number in &numbers {
        let begin = now();
        told(query(&channel, request(number)).await.unwrap()).unwrap();
        windows.push((begin, now()));
    }
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", strace.id())).unwrap();
    for pid in children.split_whitespace() {
        std::process::Command::new("kill")
            .args(["-TERM", pid])
            .status()
            .unwrap();
    }
    wait_until(Duration::from_mins(1), "strace ends", || {
        Ok(strace.try_wait()?.is_some())
    })
    .await
    .unwrap();

    let calls = read_calls(traces.path());
    assert!(
        calls.iter().any(|call| call.kind == Kind::SocketWrite),
        "no socket writes were seen"
    );
    for (begin, end) in windows {
        let inside: Vec<Call> = calls
            .iter()
            .copied()
            // The tracer may hold a call's end back until after the answer was read.
            .filter(|call| call.begin >= begin && call.begin <= end)
            .collect();
        let last = |kind| {
            inside
                .iter()
                .filter(|call| call.kind == kind)
                .max_by(|a, b| a.end.total_cmp(&b.end))
        };
        let answer = last(Kind::SocketWrite).expect("an answer on the socket");
        let written = inside
            .iter()
            .filter(|call| call.kind == Kind::WalWrite && call.end <= answer.begin)
            .max_by(|a, b| a.end.total_cmp(&b.end))
            .expect("an entry written to the write-ahead log before the answer");
        let synced = inside.iter().any(|call| {
            call.kind == Kind::WalSync && call.begin >= written.end && call.end <= answer.begin
        });
        assert!(synced, "no fsync between write and answer: {inside:#?}");
    }
}

fn now() -> f64 {
    #[allow(clippy::disallowed_methods)]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Reads `strace -ff -ttt -T -y`: one file a thread, so that no call is cut in two by another's line.
fn read_calls(folder: &Path) -> Vec<Call> {
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        calls.extend(text.lines().filter_map(parse));
    }
    calls
}

fn parse(line: &str) -> Option<Call> {
    let (time, rest) = line.split_once(' ')?;
    let begin: f64 = time.parse().ok()?;
    let (_, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let took: f64 = result
        .rsplit_once('<')?
        .1
        .trim_end_matches('>')
        .parse()
        .ok()?;
    let name = rest.split('(').next()?;
    let file = rest.split('<').nth(1)?.split('>').next()?;
    let kind = match name {
        "pwrite64" | "pwritev" if file.ends_with("-wal") => Kind::WalWrite,
        "fdatasync" | "fsync" if file.ends_with("-wal") => Kind::WalSync,
        "write" | "writev" | "sendto" | "sendmsg"
            if file.starts_with("TCP:") || file.starts_with("socket:") =>
        {
            Kind::SocketWrite
        }
        _ => return None,
    };
    Some(Call {
        kind,
        begin,
        end: begin + took,
    })
}
