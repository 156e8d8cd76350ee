//! Imports over the wire into a real node: rows a second, the node's memory, bytes on disk; beside plain inserts of the same run.

mod files;
mod plain;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;
use vrx_proto::v1::{self, import_event::Event, registry_service_client::RegistryServiceClient};
use vrx_testkit::postgres::{DATABASE, DEMO, PostgresServer, ServerOptions};

use self::files::{DOSES, File};
use super::machine;
use crate::demo::{Demo, FUJISAWA};

/// Residents of the demo that the node begins with.
const FIRST: usize = 40;

/// What to import.
#[derive(clap::Args)]
pub struct Run {
    /// Residents, each with three doses.
    #[arg(long, default_value_t = 100_000)]
    persons: u64,
    /// Leaves `SQLite` out.
    #[arg(long)]
    without_sqlite: bool,
    /// Leaves `PostgreSQL` out.
    #[arg(long)]
    without_postgres: bool,
    /// JSON for programs instead of a table.
    #[arg(long)]
    json: bool,
}

/// One file into one database.
#[derive(Debug, Serialize)]
pub struct Line {
    database: &'static str,
    file: &'static str,
    /// Residents or doses.
    rows: u64,
    /// Of them a second, until the summary came.
    rate: f64,
    /// Plain rows a second into equal tables, before it and after it, the mean.
    plain: f64,
    /// 4 KiB made durable a second, before it.
    fsync_rate: f64,
    /// Processor time of the node, microseconds a row.
    node_cpu_us: f64,
    /// The node's memory without mapped files: before, at most meanwhile, after. Bytes.
    memory: (u64, u64, u64),
    /// Bytes that the database grew by, a row.
    bytes_a_row: f64,
}

/// Runs it and prints a table.
///
/// # Errors
/// If a node doesn't start or an import fails.
pub async fn run(run: &Run) -> anyhow::Result<()> {
    let before = machine::load();
    let mut lines = Vec::new();
    if !run.without_sqlite {
        lines.extend(Target::on_sqlite()?.measure(run.persons).await?);
    }
    if !run.without_postgres {
        lines.extend(Target::on_postgres()?.measure(run.persons).await?);
    }
    print(&lines, &before, run.json)
}

/// A node and its database.
struct Target {
    database: &'static str,
    demo: Demo,
    server: Option<PostgresServer>,
}

impl Target {
    fn on_sqlite() -> anyhow::Result<Self> {
        Ok(Self {
            database: "SQLite",
            demo: Demo::start(FIRST)?,
            server: None,
        })
    }

    fn on_postgres() -> anyhow::Result<Self> {
        let options = ServerOptions::default()
            .setting("shared_buffers", "1GB")
            .setting("max_wal_size", "4GB");
        let server = PostgresServer::start(options);
        Ok(Self {
            database: "PostgreSQL",
            demo: Demo::start_at(FIRST, &server.url(DEMO, DATABASE))?,
            server: Some(server),
        })
    }

    async fn measure(&self, persons: u64) -> anyhow::Result<Vec<Line>> {
        let staff = self.demo.channel(FUJISAWA, FUJISAWA, "staff")?;
        let mut lines = Vec::new();
        for file in [File::Persons, File::Doses] {
            lines.push(self.import(staff.clone(), file, persons).await?);
        }
        Ok(lines)
    }

    async fn import(&self, staff: Channel, file: File, persons: u64) -> anyhow::Result<Line> {
        let node = self.demo.node(FUJISAWA)?;
        let rows = file.rows(persons);
        let fsync_rate = machine::fsync_rate(&self.demo.folder(), Duration::from_secs(1))?;
        let plain_before = self.plain(rows.min(200_000))?;
        let (size, memory) = (self.size()?, machine::anonymous_memory(node.pid)?);
        let most = Most::watch(node.pid, memory);
        let (cpu, begun) = (machine::cpu_time(node.pid)?, Instant::now());
        let summary = send(staff, file, persons).await?;
        let rate = plain::per_second(rows, begun);
        let cpu = machine::cpu_time(node.pid)?.saturating_sub(cpu);
        ensure!(
            summary.rows_read == persons && summary.rows_new == rows && summary.rows_refused == 0,
            "not everything was taken: {summary:?}"
        );
        let after = machine::anonymous_memory(node.pid)?;
        let grown = self.size()?.saturating_sub(size);
        Ok(Line {
            database: self.database,
            file: match file {
                File::Persons => "residents",
                File::Doses => "doses",
            },
            rows,
            rate,
            plain: f64::midpoint(plain_before, self.plain(rows.min(200_000))?),
            fsync_rate,
            node_cpu_us: cpu.as_secs_f64() * 1e6 / float(rows),
            memory: (memory, most.so_far().max(after), after),
            bytes_a_row: float(grown) / float(rows),
        })
    }

    fn plain(&self, rows: u64) -> anyhow::Result<f64> {
        match &self.server {
            None => plain::on_sqlite(&self.demo.folder(), rows),
            Some(server) => Ok(plain::on_postgres(server, rows)),
        }
    }

    /// Bytes of the node's database.
    fn size(&self) -> anyhow::Result<u64> {
        let Some(server) = &self.server else {
            return machine::folder_size(&self.demo.node(FUJISAWA)?.state_dir);
        };
        let size = server.sql(
            DATABASE,
            &format!(
                "SELECT sum(pg_database_size(datname)) FROM pg_database WHERE datname LIKE '%{FUJISAWA}'"
            ),
        );
        size.trim().parse().context("a database's size")
    }
}

/// Sends a file and waits for the summary.
async fn send(staff: Channel, file: File, persons: u64) -> anyhow::Result<v1::ImportSummary> {
    let (out, messages) = mpsc::channel(8);
    let sending = tokio::task::spawn_blocking(move || files::send(file, persons, &out));
    let mut client = RegistryServiceClient::new(staff);
    let mut request = tonic::Request::new(ReceiverStream::new(messages));
    request.set_timeout(Duration::from_hours(2));
    let mut events = match file {
        File::Persons => client.import_persons(request).await?,
        File::Doses => client.import_doses(request).await?,
    }
    .into_inner();
    let mut summary = None;
    while let Some(event) = events.message().await? {
        if let Some(Event::Summary(end)) = event.event {
            summary = Some(end);
        }
    }
    sending.await??;
    summary.context("the import ended without a summary")
}

/// The most memory that a process was seen with.
struct Most {
    bytes: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Most {
    fn watch(pid: u32, first: u64) -> Self {
        let bytes = Arc::new(AtomicU64::new(first));
        let seen = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            while let Ok(now) = machine::anonymous_memory(pid) {
                seen.fetch_max(now, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self {
            bytes,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn so_far(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[expect(clippy::print_stdout, reason = "the benchmark's product")]
fn print(lines: &[Line], load_before: &str, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(lines)?);
        return Ok(());
    }
    println!(
        "cores {}  load {load_before} -> {}  doses a resident {DOSES}",
        machine::cores(),
        machine::load()
    );
    println!(
        "{:>10} {:>9} {:>9} {:>9} {:>10} {:>9} {:>8} {:>12} {:>24} {:>11}",
        "database",
        "file",
        "rows",
        "rows/s",
        "plain/s",
        "to plain",
        "fsync/s",
        "node us/row",
        "node MB before/most/after",
        "bytes/row"
    );
    for line in lines {
        let (before, most, after) = line.memory;
        println!(
            "{:>10} {:>9} {:>9} {:>9.0} {:>10.0} {:>9.2} {:>8.0} {:>12.1} {:>25} {:>11.0}",
            line.database,
            line.file,
            line.rows,
            line.rate,
            line.plain,
            line.rate / line.plain,
            line.fsync_rate,
            line.node_cpu_us,
            format!(
                "{:.0}/{:.0}/{:.0}",
                float(before) / 1e6,
                float(most) / 1e6,
                float(after) / 1e6
            ),
            line.bytes_a_row,
        );
    }
    println!(
        "plain: rows of a dose's size and their tags into equal tables, 500 a commit, nothing sealed, no log"
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}
