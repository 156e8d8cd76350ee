//! System calls of a node, as strace saw them (`-ff -ttt -T -y`: one file a thread, so that no call is cut in two).

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;

use crate::demo::{Demo, wait_until};

/// One system call: when it began and ended, in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name, e.g. `fdatasync`.
    pub name: String,
    /// Its arguments as strace prints them.
    pub arguments: String,
    /// When it began.
    pub begin: f64,
    /// When the tracer saw its end.
    pub end: f64,
}

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
        let strace = demo.spawn(
            code,
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
                &prefix.to_string_lossy(),
                "-e",
                &format!("trace={trace}"),
            ],
        )?;
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
        let text = std::fs::read_to_string(entry?.path())?;
        calls.extend(text.lines().filter_map(parse));
    }
    Ok(calls)
}

fn parse(line: &str) -> Option<Call> {
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
        let call = parse(line).unwrap();
        assert_eq!(call.name, "fdatasync");
        assert!(call.arguments.contains("vrx.db-wal"));
        assert!((call.end - call.begin - 0.00025).abs() < 1e-6);
    }

    #[test]
    fn a_call_that_failed_is_left_out() {
        assert!(parse("1.0 fsync(3</x>) = -1 EIO (Input/output error) <0.1>").is_none());
    }
}
