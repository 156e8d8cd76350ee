//! One run of the server program, from "ready" to the end of its last child.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a server may take to get ready or to end, on a machine that builds and tests beside it.
const PATIENCE: Duration = Duration::from_mins(2);
/// What it says when it answers.
const READY: &str = "database system is ready to accept";
/// How much of its log a failure shows.
const SHOWN_LINES: usize = 20;

/// What the server has said, over all its runs.
pub(super) type ServerLog = Arc<Mutex<String>>;

enum Event {
    Ready,
    /// The first process has ended.
    Ended(ExitStatus),
    /// Nobody holds its standard error any more: every process of the server has ended.
    Silent,
}

/// A running server.
pub(super) struct Postmaster {
    pid: Pid,
    /// Names the process even when its id is given to another.
    handle: OwnedFd,
    events: Receiver<Event>,
}

impl Postmaster {
    /// Starts the server and waits until it answers; what it said instead, if it ends.
    pub(super) fn start(mut command: Command, log: &ServerLog) -> Result<Self, String> {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program postgres");
        let pid = Pid::from_child(&child);
        let handle = pidfd_open(pid, PidfdFlags::empty()).expect("a handle of the process");
        let errors = child.stderr.take().expect("its standard error");
        let (said, events) = channel();
        let ended = said.clone();
        let log_of_reader = Arc::clone(log);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line);
                let ready = line.contains(READY);
                {
                    let mut log = log_of_reader.lock();
                    log.push_str(&line);
                    log.push('\n');
                }
                // Nobody listens any more once the server was dropped; its last lines are read all the same.
                if ready {
                    said.send(Event::Ready).ok();
                }
            }
            said.send(Event::Silent).ok();
        });
        std::thread::spawn(move || {
            let status = child.wait().expect("the end of a child");
            ended.send(Event::Ended(status)).ok();
        });
        let running = Self {
            pid,
            handle,
            events,
        };
        loop {
            match running.events.recv_timeout(PATIENCE) {
                Ok(Event::Ready) => return Ok(running),
                Ok(Event::Ended(status)) => {
                    return Err(format!("it ended with {status}:\n{}", tail(log)));
                }
                Ok(Event::Silent) => {}
                Err(_) => {
                    running.kill(log);
                    return Err(format!("not ready in {PATIENCE:?}:\n{}", tail(log)));
                }
            }
        }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal and waits until every process of the server has ended.
    pub(super) fn end(self, signal: Signal, log: &ServerLog) {
        // A server that has ended by itself (a full disk does that) is where it should be.
        pidfd_send_signal(&self.handle, signal).ok();
        self.wait_gone(log);
    }

    /// Kills all its processes in the middle of whatever they do, as a power cut would.
    pub(super) fn kill(self, log: &ServerLog) {
        // Stopped first, so that it makes no new process while the list is read. If it has ended, there's nothing to kill.
        if pidfd_send_signal(&self.handle, Signal::STOP).is_ok() {
            let pid = self.pid();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
                .unwrap_or_default();
            pidfd_send_signal(&self.handle, Signal::KILL).ok();
            for child in children.split_whitespace() {
                if let Some(child) = child.parse().ok().and_then(Pid::from_raw) {
                    rustix::process::kill_process(child, Signal::KILL).ok();
                }
            }
        }
        self.wait_gone(log);
    }

    /// Waits until every process of the server has ended.
    pub(super) fn wait_gone(self, log: &ServerLog) {
        let (mut ended, mut silent) = (false, false);
        while !(ended && silent) {
            match self.events.recv_timeout(PATIENCE) {
                Ok(Event::Ended(_)) => ended = true,
                Ok(Event::Silent) => silent = true,
                Ok(Event::Ready) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it didn't end in {PATIENCE:?}:\n{}", tail(log))
                }
            }
        }
    }
}

/// The last lines of a server's log.
fn tail(log: &ServerLog) -> String {
    let log = log.lock();
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(SHOWN_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
