//! Two municipalities, Fujisawa (142051, provider) and Yokohama (141003, requester), left running by `vrx demo --keep`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use vrx_testkit::postgres::{DEMO, PostgresServer, TestDatabase};

use crate::tls::{self, PemFiles};

/// The municipality that provides.
pub const FUJISAWA: &str = "142051";
/// The municipality that asks.
pub const YOKOHAMA: &str = "141003";

/// What `vrx demo --keep` writes to `demo.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Description {
    /// The federation's trust domain.
    pub trust_domain: String,
    /// Certificate of the federation's CA.
    pub ca_cert: PathBuf,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Certificates to call them with.
    pub identities: Vec<Identity>,
    /// Sample residents.
    pub persons: Vec<Person>,
}

/// One node of the demo.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Its municipality.
    pub municipality_code: String,
    /// The municipality's name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// The DNS name in its certificate.
    pub server_name: String,
    /// Its state folder.
    pub state_dir: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Where its log lines go.
    pub log_file: PathBuf,
    /// The verifier key of its provision log.
    pub log_vkey: String,
    /// Its process.
    pub pid: u32,
}

/// A certificate to call a node with.
#[derive(Clone, Debug, Deserialize)]
pub struct Identity {
    /// Whose it is.
    pub municipality_code: String,
    /// `exchange`, `staff`, `officer`, …
    pub role: String,
    /// The name within the role.
    #[serde(default)]
    pub name: Option<String>,
    /// Certificate file.
    pub cert: PathBuf,
    /// Key file.
    pub key: PathBuf,
}

/// A sample resident.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    /// Where the person is registered.
    pub municipality_code: String,
    /// The (made up) individual number.
    pub individual_number: String,
    /// How many doses are on file.
    pub doses: u32,
    /// `provided`, `doseless`, `protected`, `resident` or `entered`.
    pub kind: String,
}

/// Where the nodes of a demo keep their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// In files of their own.
    Sqlite,
    /// On the PostgreSQL server that all tests of a program share.
    Postgres,
}

/// Writes each test for both databases. The tests are functions that take an [`On`]: asynchronous, or `blocking`.
#[macro_export]
macro_rules! on_both_databases {
    (blocking: $($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                #[test]
                fn $test() {
                    super::$test($crate::demo::On::Sqlite);
                }
            )+
        }
        mod on_postgres {
            $(
                #[test]
                fn $test() {
                    super::$test($crate::demo::On::Postgres);
                }
            )+
        }
    };
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test($crate::demo::On::Sqlite).await;
                }
            )+
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test($crate::demo::On::Postgres).await;
                }
            )+
        }
    };
}

/// Two running nodes and their folder. Dropping it ends both and removes the folder.
pub struct Demo {
    /// What the demo wrote.
    pub description: Description,
    dir: tempfile::TempDir,
    /// What it is on, on the shared PostgreSQL server.
    database: Option<TestDatabase>,
}

impl Demo {
    /// Runs `vrx demo --keep` with `residents` residents below `target/`, on SQLite.
    ///
    /// # Errors
    /// If the programs aren't built or the demo fails; the text holds what it printed.
    pub fn start(residents: usize) -> anyhow::Result<Self> {
        Self::start_on(residents, On::Sqlite)
    }

    /// The same on either database.
    ///
    /// # Errors
    /// As [`Demo::start`].
    pub fn start_on(residents: usize, on: On) -> anyhow::Result<Self> {
        if on == On::Sqlite {
            return Self::run(residents, None);
        }
        Self::start_in(residents, TestDatabase::fresh())
    }

    /// The same in a database of any server that a test has; both go with the demo.
    ///
    /// # Errors
    /// As [`Demo::start`].
    pub fn start_in(residents: usize, database: TestDatabase) -> anyhow::Result<Self> {
        let url = database.server().plain_url(DEMO, database.name());
        let mut demo = Self::run(residents, Some(&url))?;
        demo.database = Some(database);
        Ok(demo)
    }

    /// The same on the PostgreSQL at a URL, whose role may make databases and roles there. Two demos never share its database.
    ///
    /// # Errors
    /// As [`Demo::start`].
    pub fn start_at(residents: usize, url: &str) -> anyhow::Result<Self> {
        Self::run(residents, Some(url))
    }

    fn run(residents: usize, url: Option<&str>) -> anyhow::Result<Self> {
        let vrx = program("vrx")?;
        let base = vrx
            .parent()
            .context("programs stand in a folder")?
            .join("demos");
        std::fs::create_dir_all(&base)?;
        let dir = tempfile::TempDir::new_in(base)?;
        let output_path = dir.path().join("demo-output.txt");
        let output = File::create(&output_path)?;
        let mut command = Command::new(&vrx);
        command
            .args([
                "demo",
                "--keep",
                // Tests take nodes away and put older databases back, which a witness stops.
                "--without-witnesses",
                "--residents",
                &residents.to_string(),
                "--dir",
            ])
            .arg(dir.path().join("demo"));
        if let Some(url) = url {
            command.args(["--database", url]);
        }
        let status = command
            .env("VRX_NODE_BIN", program("vrx-node")?)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()?;
        ensure!(
            status.success(),
            "vrx demo --keep ended with {status}:\n{}",
            std::fs::read_to_string(&output_path).unwrap_or_default()
        );
        let description = read(&dir.path().join("demo/demo.json"))?;
        Ok(Self {
            description,
            dir,
            database: None,
        })
    }

    /// A demo of 2,000 residents on SQLite that the tests of one program share; it ends with the last of them.
    ///
    /// # Errors
    /// As [`Demo::start`].
    pub fn shared() -> anyhow::Result<Arc<Self>> {
        Self::shared_on(On::Sqlite)
    }

    /// The same on either database.
    ///
    /// # Errors
    /// As [`Demo::start`].
    pub fn shared_on(on: On) -> anyhow::Result<Arc<Self>> {
        static ON_SQLITE: Mutex<Weak<Demo>> = Mutex::new(Weak::new());
        static ON_POSTGRES: Mutex<Weak<Demo>> = Mutex::new(Weak::new());
        let shared = match on {
            On::Sqlite => &ON_SQLITE,
            On::Postgres => &ON_POSTGRES,
        };
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start_on(2_000, on)?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// The server with its rows, on PostgreSQL.
    pub fn server(&self) -> Option<&Arc<PostgresServer>> {
        self.database.as_ref().map(TestDatabase::server)
    }

    /// The name of a municipality's database on that server, on PostgreSQL.
    pub fn database_of(&self, code: &str) -> Option<String> {
        let database = self.database.as_ref()?;
        Some(format!("{}_{code}", database.name()))
    }

    /// Runs SQL as the superuser in a municipality's database, on PostgreSQL.
    ///
    /// # Errors
    /// If the demo isn't on PostgreSQL, or a statement fails.
    pub fn sql(&self, code: &str, sql: &str) -> anyhow::Result<String> {
        let name = self.database_of(code).context("no PostgreSQL")?;
        let server = self.server().context("no PostgreSQL")?;
        let rows = server.sql_as("postgres", &name, sql);
        rows.map_err(|error| anyhow::anyhow!("{error}\nin: {sql}"))
    }

    /// The demo's folder.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("demo")
    }

    /// The node of a municipality.
    ///
    /// # Errors
    /// If the demo has none.
    pub fn node(&self, code: &str) -> anyhow::Result<&Node> {
        self.description
            .nodes
            .iter()
            .find(|node| node.municipality_code == code)
            .with_context(|| format!("no node of {code}"))
    }

    /// A certificate of a municipality and role; the first if there are several.
    ///
    /// # Errors
    /// If the demo has none.
    pub fn identity(&self, code: &str, role: &str) -> anyhow::Result<PemFiles> {
        let identity = self
            .description
            .identities
            .iter()
            .find(|one| one.municipality_code == code && one.role == role)
            .with_context(|| format!("no {role} of {code}"))?;
        Ok(PemFiles {
            cert: identity.cert.clone(),
            key: identity.key.clone(),
            ca: self.description.ca_cert.clone(),
        })
    }

    /// A channel to `node` with a certificate of `code` and `role`.
    ///
    /// # Errors
    /// If the demo has no such node or certificate.
    pub fn channel(&self, node: &str, code: &str, role: &str) -> anyhow::Result<Channel> {
        self.channel_at(&self.node(node)?.address, node, code, role)
    }

    /// The same to another address of `node`.
    ///
    /// # Errors
    /// As [`Demo::channel`].
    pub fn channel_at(
        &self,
        address: &str,
        node: &str,
        code: &str,
        role: &str,
    ) -> anyhow::Result<Channel> {
        let identity = self.identity(code, role)?;
        tls::channel(&identity, address, &self.node(node)?.server_name)
    }

    /// The numbers of all sample residents of Fujisawa of one kind.
    pub fn numbers(&self, kind: &str) -> Vec<String> {
        self.description
            .persons
            .iter()
            .filter(|person| person.kind == kind && person.municipality_code == FUJISAWA)
            .map(|person| person.individual_number.clone())
            .collect()
    }

    /// Sends `signal` ("TERM", "KILL", …) to a node.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn signal(&self, code: &str, signal: &str) -> anyhow::Result<()> {
        let pid = self.node(code)?.pid;
        let status = Command::new("kill")
            .args([format!("-{signal}"), pid.to_string()])
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "process {pid} is gone");
        Ok(())
    }

    /// Waits until a node's process has ended.
    ///
    /// # Errors
    /// If it still runs after 60 s.
    pub async fn wait_ended(&self, code: &str) -> anyhow::Result<()> {
        let process = PathBuf::from(format!("/proc/{}/stat", self.node(code)?.pid));
        wait_until(Duration::from_mins(1), "the node ends", || {
            let state = std::fs::read_to_string(&process).unwrap_or_default();
            let zombie = state
                .rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('Z'));
            Ok(state.is_empty() || zombie)
        })
        .await
    }

    /// Starts an ended node again with its own command line and waits until it is ready.
    ///
    /// # Errors
    /// If it doesn't get ready.
    pub async fn restart(&mut self, code: &str) -> anyhow::Result<()> {
        let child = self.spawn(code, &[])?;
        let id = child.id();
        for node in &mut self.description.nodes {
            if node.municipality_code == code {
                node.pid = id;
            }
        }
        // Reaped when it ends, so that its process id is free and its end can be seen.
        std::thread::spawn(move || {
            let mut child = child;
            let _ = child.wait();
        });
        self.wait_ready(code).await
    }

    /// Starts a node's program, prefixed by `wrapper` (`strace …`), without waiting.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn spawn(&self, code: &str, wrapper: &[&str]) -> anyhow::Result<std::process::Child> {
        let node = self.node(code)?;
        let program = program("vrx-node")?;
        let mut command = match wrapper.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.args(["serve", "--config"]).arg(&node.config);
        self.spawn_logged(command, &node.log_file)
    }

    /// Starts a command of `vrx-node` whose output goes to the end of a file.
    pub(crate) fn spawn_logged(
        &self,
        mut command: Command,
        log_file: &Path,
    ) -> anyhow::Result<std::process::Child> {
        let log = File::options().create(true).append(true).open(log_file)?;
        Ok(command
            .env("PGPASSFILE", self.password_file())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?)
    }

    /// Where the passwords of the nodes' databases are; on SQLite there is no such file.
    fn password_file(&self) -> PathBuf {
        self.folder().join("pgpass")
    }

    /// Waits until a node says by the health service that it serves.
    ///
    /// # Errors
    /// If it doesn't within 60 s.
    pub async fn wait_ready(&self, code: &str) -> anyhow::Result<()> {
        let node = self.node(code)?;
        self.wait_ready_at(code, &node.address, &node.log_file)
            .await
    }

    /// The same of any process of a municipality.
    pub(crate) async fn wait_ready_at(
        &self,
        code: &str,
        address: &str,
        log_file: &Path,
    ) -> anyhow::Result<()> {
        if self.wait_for(code, address, ServingStatus::Serving).await? {
            return Ok(());
        }
        let log = std::fs::read_to_string(log_file).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        bail!(
            "{code} isn't ready after 60 s; its last log lines, newest first:\n{}",
            tail.join("\n")
        );
    }

    /// Waits until a process of a municipality says by the health service that it doesn't serve.
    ///
    /// # Errors
    /// If it doesn't within 60 s.
    pub async fn wait_unready_at(&self, code: &str, address: &str) -> anyhow::Result<()> {
        let unready = self.wait_for(code, address, ServingStatus::NotServing);
        ensure!(unready.await?, "{address} is ready after 60 s");
        Ok(())
    }

    /// Whether the health service says this of the node within 60 s.
    async fn wait_for(
        &self,
        code: &str,
        address: &str,
        status: ServingStatus,
    ) -> anyhow::Result<bool> {
        let until = Instant::now() + Duration::from_mins(1);
        while Instant::now() < until {
            let channel = self.channel_at(address, code, code, "operator")?;
            let answer = tokio::time::timeout(
                Duration::from_secs(5),
                HealthClient::new(channel).check(HealthCheckRequest::default()),
            )
            .await;
            if let Ok(Ok(answer)) = answer
                && answer.into_inner().status() == status
            {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(false)
    }

    /// Runs `vrx-node` with `arguments` and a node's configuration; gives exit code, standard output and error.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn vrx_node(
        &self,
        code: &str,
        arguments: &[&str],
    ) -> anyhow::Result<(i32, String, String)> {
        let output = Command::new(program("vrx-node")?)
            .args(arguments)
            .arg("--config")
            .arg(&self.node(code)?.config)
            .env("PGPASSFILE", self.password_file())
            .stdin(Stdio::null())
            .output()?;
        Ok((
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        for node in &self.description.nodes {
            let _ = Command::new("kill")
                .args(["-KILL", &node.pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Asks `condition` every few milliseconds until it holds.
///
/// # Errors
/// If it doesn't within `limit`, naming `what` was waited for.
pub async fn wait_until(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let until = Instant::now() + limit;
    while !condition()? {
        ensure!(Instant::now() < until, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A program of this workspace, built into the folder that holds this test.
///
/// # Errors
/// If it isn't there: `make build` builds it.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    here.ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} isn't built: run `make build` first"))
}

fn read(path: &Path) -> anyhow::Result<Description> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}
