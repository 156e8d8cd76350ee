//! System calls of a node or of its database server, as strace saw them (`-ff -ttt -T -yy`: one file a thread, so that no call is
//! cut in two).

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use vrx_testkit::postgres::PostgresServer;

use crate::demo::{Demo, wait_until};

/// One system call: when it began and ended, in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Call {
    /// The thread that made it.
    pub thread: u32,
    /// Its name, e.g. `fdatasync`.
    pub name: String,
    /// Its arguments as strace prints them.
    pub arguments: String,
    /// When it began.
    pub begin: f64,
    /// When the tracer saw its end.
    pub end: f64,
}

/// One file a thread, no words of its own, stamps, durations, what descriptors stand for, no contents.
const OPTIONS: [&str; 7] = ["-ff", "-qq", "-ttt", "-T", "-yy", "-s", "0"];

/// A node that runs under strace.
pub struct Traced {
    strace: Child,
    folder: tempfile::TempDir,
}

impl Traced {
    /// Starts an ended node under strace, recording the calls in `trace` (`fsync,write,…`), and waits until it is ready.
    ///
    /// # Errors
    /// If strace is missing or the node doesn't get ready.
    pub async fn start(demo: &Demo, code: &str, trace: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let prefix: PathBuf = folder.path().join("trace");
        let trace = format!("trace={trace}");
        let output = prefix.to_string_lossy();
        let mut wrapper = vec!["strace", "-e", &trace, "-o", &output];
        wrapper.extend(OPTIONS);
        let strace = demo.spawn(code, &wrapper)?;
        let traced = Self { strace, folder };
        demo.wait_ready(code).await?;
        Ok(traced)
    }

    /// Ends the node and gives its successful calls.
    ///
    /// # Errors
    /// If it doesn't end.
    pub async fn end(mut self) -> anyhow::Result<Vec<Call>> {
        let children = format!("/proc/{0}/task/{0}/children", self.strace.id());
        for pid in std::fs::read_to_string(children)?.split_whitespace() {
            let status = Command::new("kill").args(["-TERM", pid]).status()?;
            ensure!(status.success(), "the traced node is gone");
        }
        wait_until(Duration::from_mins(1), "strace ends with the node", || {
            Ok(self.strace.try_wait()?.is_some())
        })
        .await?;
        read(self.folder.path())
    }
}

/// A database server whose processes strace watches, those to come among them.
pub struct TracedServer {
    strace: Child,
    folder: tempfile::TempDir,
}

impl TracedServer {
    /// Records the calls in `trace` (`fsync,write,…`) from now on; `more` is given to strace as it is (`inject=…`).
    ///
    /// # Errors
    /// If strace is missing or can't watch it.
    pub async fn attach(
        server: &PostgresServer,
        trace: &str,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let first = server.pid().context("the server runs")?.to_string();
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
        let mut pids = vec![first.as_str()];
        pids.extend(children.split_whitespace());
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("strace");
        command.args(OPTIONS).arg("-o");
        command.arg(folder.path().join("trace"));
        command.args(["-e", &format!("trace={trace}")]);
        for expression in more {
            command.args(["-e", expression]);
        }
        for pid in &pids {
            command.args(["-p", pid]);
        }
        let mut traced = Self {
            strace: command.spawn()?,
            folder,
        };
        let tracer = format!("TracerPid:\t{}\n", traced.strace.id());
        wait_until(Duration::from_mins(1), "strace watches the server", || {
            ensure!(traced.strace.try_wait()?.is_none(), "strace ended");
            Ok(pids.iter().all(|pid| {
                // A process that ended meanwhile needn't be watched.
                std::fs::read_to_string(format!("/proc/{pid}/status"))
                    .map_or(true, |status| status.contains(&tracer))
            }))
        })
        .await?;
        Ok(traced)
    }

    /// Lets the server go and gives its successful calls.
    ///
    /// # Errors
    /// If strace doesn't end.
    pub async fn end(mut self) -> anyhow::Result<Vec<Call>> {
        let pid = self.strace.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(status.success(), "strace is gone");
        wait_until(Duration::from_mins(1), "strace lets go", || {
            Ok(self.strace.try_wait()?.is_some())
        })
        .await?;
        read(self.folder.path())
    }
}

impl Drop for TracedServer {
    fn drop(&mut self) {
        // What it holds would stand still for ever without it; ended, it has let go.
        if let Ok(None) = self.strace.try_wait() {
            let _ = self.strace.kill();
            let _ = self.strace.wait();
        }
    }
}

/// The time by which calls are stamped.
///
/// # Panics
/// If the clock stands before 1970.
#[expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "compared with the kernel's own stamps"
)]
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64()
}

fn read(folder: &Path) -> anyhow::Result<Vec<Call>> {
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let thread = path.extension().and_then(|ending| ending.to_str());
        let thread = thread.context("one file a thread")?.parse()?;
        let text = std::fs::read_to_string(path)?;
        calls.extend(text.lines().filter_map(|line| parse(thread, line)));
    }
    Ok(calls)
}

fn parse(thread: u32, line: &str) -> Option<Call> {
    let (time, rest) = line.split_once(' ')?;
    let begin: f64 = time.parse().ok()?;
    let (call, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let took: f64 = result
        .rsplit_once('<')?
        .1
        .trim_end_matches('>')
        .parse()
        .ok()?;
    let (name, arguments) = call.split_once('(')?;
    Some(Call {
        thread,
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        begin,
        end: begin + took,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_strace_is_read_with_its_file_and_times() {
        let line = "1700000000.500000 fdatasync(12</state/vrx.db-wal>) = 0 <0.000250>";
        let call = parse(7, line).unwrap();
        assert_eq!((call.thread, call.name.as_str()), (7, "fdatasync"));
        assert!(call.arguments.contains("vrx.db-wal"));
        assert!((call.end - call.begin - 0.00025).abs() < 1e-6);
    }

    #[test]
    fn a_call_that_failed_is_left_out() {
        assert!(parse(7, "1.0 fsync(3</x>) = -1 EIO (Input/output error) <0.1>").is_none());
    }
}
