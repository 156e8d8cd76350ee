//! `vrx-bench`: measures `QueryRecords` of a real node against a bare tonic echo in one run (`make bench`), and imports against plain
//! inserts (`make benchimport`).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use vrx_testkit::postgres::{DATABASE, DEMO, PostgresServer, ServerOptions};
use vrx_tests::bench::load::{self, Requests, Server, Target};
use vrx_tests::bench::report::{Report, Round};
use vrx_tests::bench::{echo, import, machine, statistics};
use vrx_tests::demo::{Demo, FUJISAWA, YOKOHAMA};
use vrx_tests::exchange::{request, unknown_numbers};
use vrx_tests::tls::{self, PemFiles};

/// The benchmarks.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Starts two nodes and an echo, measures, prints a table.
    Run(Run),
    /// Imports residents and doses into a node on each database, prints a table.
    Import(import::Run),
    /// The bare echo (started by `run`).
    #[command(hide = true)]
    Echo {
        #[arg(long)]
        listen: String,
        #[arg(long)]
        cert: PathBuf,
        #[arg(long)]
        key: PathBuf,
        #[arg(long)]
        ca: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Sample residents in the provider's register.
    #[arg(long, default_value_t = 100_000)]
    persons: usize,
    /// Rounds of alternating windows.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of one window.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Requests in flight, one or more.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    in_flight: Vec<usize>,
    /// TLS connections of the load generator.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Leaves PostgreSQL out.
    #[arg(long)]
    without_postgres: bool,
    /// JSON for programs instead of a table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Run(run) => measure(&run).await,
        Verb::Import(run) => import::run(&run).await,
        Verb::Echo {
            listen,
            cert,
            key,
            ca,
        } => {
            echo::serve(
                &PemFiles { cert, key, ca },
                TcpListener::bind(listen).await?,
            )
            .await
        }
    }
}

async fn measure(run: &Run) -> anyhow::Result<()> {
    let window = Duration::from_secs(run.seconds);
    progress("starting two municipalities");
    let demo = Demo::start(run.persons)?;
    let node = demo.node(FUJISAWA)?;
    let (echo_process, echo_address) = start_echo(&demo).await?;
    let client = demo.identity(YOKOHAMA, "exchange")?;
    let connect = |address: &str, name: &str| -> anyhow::Result<Vec<_>> {
        (0..run.connections)
            .map(|_| tls::channel(&client, address, name))
            .collect()
    };
    let echo_server = Server {
        pid: echo_process.0.id(),
        channels: connect(&echo_address, &node.server_name)?,
    };
    let node_server = Server {
        pid: node.pid,
        channels: connect(&node.address, &node.server_name)?,
    };

    let numbers = demo.numbers("provided");
    ensure!(!numbers.is_empty(), "the sample has nobody to ask for");
    let taken: Vec<String> = demo
        .description
        .persons
        .iter()
        .map(|person| person.individual_number.clone())
        .collect();
    let loads = Loads {
        nothing: requests(&unknown_numbers(numbers.len().min(20_000), &taken)),
        provided: requests(&numbers),
        echo: echo_server,
        node: node_server,
        postgres: (!run.without_postgres)
            .then(|| OnPostgres::start(run))
            .transpose()?,
    };
    progress("warming");
    loads.round(64, Duration::from_secs(2)).await?;

    let folder = demo.folder();
    let load_before = machine::load();
    let fsync_before = machine::fsync_rate(&folder, Duration::from_secs(1))?;
    let mut rounds = Vec::new();
    for round in 1..=run.rounds {
        for &in_flight in &run.in_flight {
            progress(&format!("round {round}, {in_flight} in flight"));
            rounds.push(loads.round(in_flight, window).await?);
        }
    }
    progress("nothing against provided, interleaved");
    let (found, empty) =
        load::interleaved(&loads.node, &loads.provided, &loads.nothing, 64, window).await?;
    let report = Report {
        cores: machine::cores(),
        load: (load_before, machine::load()),
        fsync_rate: (
            fsync_before,
            machine::fsync_rate(&folder, Duration::from_secs(1))?,
        ),
        persons: demo
            .description
            .persons
            .iter()
            .filter(|person| person.municipality_code == FUJISAWA)
            .count(),
        state_bytes: machine::folder_size(&node.state_dir)?,
        connections: run.connections,
        node_memory: machine::anonymous_memory(node.pid)?,
        distinguishability: statistics::distinguishability(&found, &empty),
        rounds,
    };
    if run.json {
        print_json(&report)?;
    } else {
        report.print();
    }
    Ok(())
}

/// The servers under load and what each is asked.
struct Loads {
    echo: Server,
    node: Server,
    postgres: Option<OnPostgres>,
    provided: Requests,
    nothing: Requests,
}

impl Loads {
    /// One window each, one right after the other.
    async fn round(&self, in_flight: usize, window: Duration) -> anyhow::Result<Round> {
        let on_node = |target, list| load::window(&self.node, target, list, in_flight, window);
        Ok(Round {
            echo: load::window(&self.echo, Target::Echo, &self.provided, in_flight, window).await?,
            provided: on_node(Target::Provided, &self.provided).await?,
            nothing: on_node(Target::Nothing, &self.nothing).await?,
            on_postgres: match &self.postgres {
                None => None,
                Some(on) => Some(
                    load::window(
                        &on.node,
                        Target::OnPostgres,
                        &on.provided,
                        in_flight,
                        window,
                    )
                    .await?,
                ),
            },
        })
    }
}

/// The same two municipalities on a PostgreSQL server of the run's own. The node reaches it as on a machine of its own: over
/// TLS.
struct OnPostgres {
    node: Server,
    provided: Requests,
    _demo: Demo,
    _server: PostgresServer,
}

impl OnPostgres {
    fn start(run: &Run) -> anyhow::Result<Self> {
        progress("starting PostgreSQL and two municipalities on it");
        let server = PostgresServer::start(
            ServerOptions::default()
                .setting("shared_buffers", "512MB")
                .setting("max_wal_size", "4GB"),
        );
        let demo = Demo::start_at(run.persons, &server.url(DEMO, DATABASE))?;
        let node = demo.node(FUJISAWA)?;
        let client = demo.identity(YOKOHAMA, "exchange")?;
        let channels = (0..run.connections)
            .map(|_| tls::channel(&client, &node.address, &node.server_name))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            node: Server {
                pid: node.pid,
                channels,
            },
            provided: requests(&demo.numbers("provided")),
            _demo: demo,
            _server: server,
        })
    }
}

/// Ends the echo when the run is over, however it ends.
struct EchoProcess(Child);

impl Drop for EchoProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start_echo(demo: &Demo) -> anyhow::Result<(EchoProcess, String)> {
    let server = demo.identity(FUJISAWA, "exchange")?;
    // A port that was free a moment ago: the echo binds it next.
    let address = TcpListener::bind("127.0.0.1:0")
        .await?
        .local_addr()?
        .to_string();
    let child = Command::new(std::env::current_exe()?)
        .args(["echo", "--listen", &address, "--cert"])
        .arg(&server.cert)
        .arg("--key")
        .arg(&server.key)
        .arg("--ca")
        .arg(&server.ca)
        .stdin(Stdio::null())
        .spawn()
        .context("starting the echo")?;
    let process = EchoProcess(child);
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while tokio::net::TcpStream::connect(&address).await.is_err() {
        ensure!(
            tokio::time::Instant::now() < until,
            "the echo doesn't listen"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((process, address))
}

fn requests(numbers: &[String]) -> Requests {
    Arc::new(numbers.iter().map(|number| request(number)).collect())
}

#[expect(clippy::print_stdout, reason = "the benchmark's product")]
fn print_json(report: &Report) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a long run says where it is")]
fn progress(what: &str) {
    eprintln!("vrx-bench: {what}");
}
