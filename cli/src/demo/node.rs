//! The program `vrx-node` as the demo uses it: set up, started, watched until it is ready, ended.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Output as Finished, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, time::Instant};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::town::Town;
use crate::{connect::connect, failure::Failure, profile::Profile};

/// A node that isn't ready after this long never will be.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// A node that is told to end has this long before it is killed.
const END_WITHIN: Duration = Duration::from_secs(30);

/// The program `vrx-node`.
pub(crate) struct Program {
    path: PathBuf,
    /// The password file of the nodes' databases.
    password_file: Option<PathBuf>,
}

impl Program {
    /// Where `VRX_NODE_BIN` says, otherwise beside this program.
    pub(crate) fn find() -> Result<Self, Failure> {
        let path = match std::env::var_os("VRX_NODE_BIN") {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe()
                .ok()
                .and_then(|own| own.parent().map(|folder| folder.join("vrx-node")))
                .unwrap_or_else(|| PathBuf::from("vrx-node")),
        };
        if path.is_file() {
            return Ok(Self {
                path,
                password_file: None,
            });
        }
        Err(Failure::Configuration(format!(
            "{} がありません。make build で作るか、VRX_NODE_BIN に vrx-node の場所を指定してください / vrx-node not found",
            path.display()
        )))
    }

    /// From now on nodes find their databases' passwords in this file.
    pub(crate) fn use_passwords(&mut self, file: &Path) {
        self.password_file = Some(file.to_owned());
    }

    /// `vrx-node init`: folders, keys, recovery copy, database; in a cluster the schema too, as its owner.
    pub(crate) fn init(&self, config: &Path, owner: Option<&str>) -> Result<(), Failure> {
        match owner {
            Some(owner) => self.finish(&["init", "--owner", owner], config),
            None => self.finish(&["init"], config),
        }
        .map(|_| ())
    }

    /// `vrx-node trial-database make`: a database and its roles, whose passwords are added to the file.
    pub(crate) fn make_database(
        &self,
        admin: &str,
        name: &str,
        password_file: &Path,
    ) -> Result<(), Failure> {
        let mut command = std::process::Command::new(&self.path);
        command
            .args(["trial-database", "make", "--admin", admin, "--name", name])
            .arg("--password-file")
            .arg(password_file);
        done(command, &format!("trial-database make --name {name}")).map(|_| ())
    }

    /// `vrx-node trial-database remove`: drops them again.
    pub(crate) fn remove_database(&self, admin: &str, name: &str) -> Result<(), Failure> {
        let mut command = std::process::Command::new(&self.path);
        command.args(["trial-database", "remove", "--admin", admin, "--name", name]);
        done(command, &format!("trial-database remove --name {name}")).map(|_| ())
    }

    /// `vrx-node log key`: the verifier key of the tenant's provision log.
    pub(crate) fn log_key(&self, config: &Path, tenant: &str) -> Result<String, Failure> {
        let finished = self.finish(&["log", "key", "--tenant", tenant], config)?;
        Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
    }

    /// `vrx-node log witness-key`: the key that the tenant cosigns others' logs with.
    pub(crate) fn witness_key(&self, config: &Path, tenant: &str) -> Result<String, Failure> {
        let finished = self.finish(&["log", "witness-key", "--tenant", tenant], config)?;
        Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
    }

    fn finish(&self, arguments: &[&str], config: &Path) -> Result<Finished, Failure> {
        let mut command = std::process::Command::new(&self.path);
        command.args(arguments).arg("--config").arg(config);
        if let Some(file) = &self.password_file {
            // A password that was given for the demo's own connection isn't the nodes'.
            command.env("PGPASSFILE", file).env_remove("PGPASSWORD");
        }
        let verb = arguments.first().copied().unwrap_or_default();
        done(command, &format!("{verb} --config {}", config.display()))
    }
}

/// Runs a command to its end. `what` names it for people.
fn done(mut command: std::process::Command, what: &str) -> Result<Finished, Failure> {
    let finished = command.stdin(Stdio::null()).output().map_err(|error| {
        Failure::Configuration(format!("vrx-node {what} を実行できません / {error}"))
    })?;
    if finished.status.success() {
        return Ok(finished);
    }
    Err(Failure::Configuration(format!(
        "vrx-node {what} が失敗しました / failed: {}",
        String::from_utf8_lossy(&finished.stderr).trim()
    )))
}

/// A running node.
pub(crate) struct Node {
    child: Child,
    pid: u32,
    code: String,
    log_file: PathBuf,
}

impl Node {
    /// Starts `vrx-node serve` in a process group of its own, so that a Ctrl-C meant for the demo doesn't end it half way; its output goes
    /// into the town's log file.
    pub(crate) fn start(program: &Program, town: &Town) -> Result<Self, Failure> {
        let log_file = town.log_file();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_file)
            .map_err(|error| Failure::file("作成", &log_file, &error))?;
        let errors = log
            .try_clone()
            .map_err(|error| Failure::file("作成", &log_file, &error))?;
        let mut command = tokio::process::Command::new(&program.path);
        if let Some(file) = &program.password_file {
            command.env("PGPASSFILE", file).env_remove("PGPASSWORD");
        }
        let child = command
            .args(["serve", "--config"])
            .arg(&town.config)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| {
                Failure::Configuration(format!("vrx-node serve を実行できません / {error}"))
            })?;
        let pid = child.id().unwrap_or_default();
        Ok(Self {
            child,
            pid,
            code: town.code().to_owned(),
            log_file,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its output goes.
    pub(crate) fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// Waits until its health service says that it serves.
    pub(crate) async fn wait_ready(&mut self, operator: &Profile) -> Result<(), Failure> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.complain(&format!(
                    "が起動せずに終わりました ({status}) / ended at start"
                )));
            }
            let attempt = tokio::time::timeout(Duration::from_secs(5), async {
                let channel = connect(operator).await?;
                Ok::<_, Failure>(
                    HealthClient::new(channel)
                        .check(HealthCheckRequest::default())
                        .await?
                        .into_inner()
                        .status(),
                )
            });
            match attempt.await {
                Ok(Ok(ServingStatus::Serving)) => return Ok(()),
                // A wrong certificate doesn't become right by waiting.
                Ok(Err(failure @ (Failure::Configuration(_) | Failure::NotAllowed(_)))) => {
                    return Err(failure);
                }
                _ if Instant::now() > until => {
                    return Err(self.complain("が使えるようになりません / isn't ready"));
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it ended well; kills it when it doesn't end.
    pub(crate) async fn wait_ended(mut self) -> Result<(), Failure> {
        match tokio::time::timeout(END_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.complain(&format!(
                "の終了状態が正しくありません ({status}) / ended badly"
            ))),
            Ok(Err(error)) => Err(self.complain(&format!("の終了を確認できません / {error}"))),
            Err(_) => {
                self.signal(Signal::KILL);
                Err(self.complain("が停止しないため、強制終了しました / had to be killed"))
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // A node that ended already needs no signal; `wait_ended` tells how it ended.
        let _gone = pid.is_some_and(|pid| kill_process(pid, signal).is_err());
    }

    fn complain(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(&self.log_file).unwrap_or_default();
        let mut tail: Vec<&str> = log.lines().rev().take(5).collect();
        tail.reverse();
        Failure::Unavailable(format!(
            "{} のノード{what}\nログ {} の終わり:\n{}",
            self.code,
            self.log_file.display(),
            tail.join("\n")
        ))
    }
}
