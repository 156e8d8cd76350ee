//! 1, 10, 100 and 1,700 tenants of equal total size on PostgreSQL, up to 100 in SQLite, a bare echo in the same rounds, and what
//! row-level security and partitions cost, each as a ratio in one run: `make bench`, `make benchtenants`.
//!
//! With several numbers of residents it also shows what their number costs: rows a second while they are put in, this process's memory,
//! the database's size, and an answer's latency.
//!
//! A figure is answers a second of the provider's use case (policy, lookup, decision, one durable entry) in one process, with
//! everything but TLS and HTTP/2: those are measured by `vrx-bench`, and would hide what the database costs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::panic
)]

mod prefecture;
mod questions;
mod reference;
mod residents;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use vrx_testkit::postgres::{PostgresServer, ServerOptions};
use vrx_tests::bench::{machine, statistics::median};

use self::prefecture::Prefecture;
use self::questions::latencies;
use self::reference::Reference;
use self::residents::DOSES;

const REQUESTER: &str = "141003";
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures tenants, partitions and row-level security on a PostgreSQL server of its own.
#[derive(Parser)]
struct Arguments {
    /// Residents in all, spread over the tenants; several numbers for a database each.
    #[arg(long, value_delimiter = ',', default_values_t = [20_000])]
    persons: Vec<u64>,
    /// Numbers of tenants in one PostgreSQL database.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_700])]
    tenants: Vec<usize>,
    /// Numbers of tenants in SQLite, a file each; 0 for none.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    sqlite: Vec<usize>,
    /// Questions in flight.
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Rounds of alternating windows.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of one window.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections of the node.
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Also prints, for each number of tenants, what the server says of its statements (`pg_stat_statements`).
    #[arg(long)]
    statements: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let mut options = ServerOptions::default()
        .setting("shared_buffers", "1GB")
        .setting("max_wal_size", "4GB")
        .setting("max_locks_per_transaction", "1024");
    if arguments.statements {
        options = options
            .setting("shared_preload_libraries", "pg_stat_statements")
            .setting("pg_stat_statements.track_planning", "on");
    }
    let server = Arc::new(PostgresServer::start(options));
    let load = machine::load();
    let mut towns = Vec::new();
    for persons in &arguments.persons {
        let in_files = arguments.sqlite.iter().filter(|count| **count > 0);
        let on_server = arguments
            .tenants
            .iter()
            .map(|count| (Some(&server), *count));
        for (on, count) in in_files.map(|count| (None, *count)).chain(on_server) {
            towns.push(Prefecture::found(on, count, *persons, arguments.connections).await);
        }
    }
    println!(
        "cores {}  load {load}  doses a person {DOSES}  in flight {}  connections {}  {}",
        machine::cores(),
        arguments.in_flight,
        arguments.connections,
        server.sql("postgres", "SHOW server_version").trim(),
    );

    print_sizes(&towns);
    print_rates(&towns, &arguments).await;

    let window = Duration::from_secs(arguments.seconds);
    if arguments.statements {
        for town in towns.iter().filter(|town| town.postgres.is_some()) {
            print_statements(town, arguments.in_flight, window).await;
        }
    }

    println!(
        "{:<46} {:>8} {:>12} {:>10}",
        "without", "tenants", "answers/s", "costs"
    );
    for town in towns.iter().filter(|town| town.postgres.is_some()) {
        let (with, without) = alternating(town, &arguments, RLS_OFF, RLS_ON).await;
        print_cost("row-level security", town, &with, &without);
    }
    let alone = |town: &&Prefecture| town.postgres.is_some() && town.codes.len() == 1;
    if let Some(town) = towns.iter().find(alone) {
        let code = town.codes[0].as_u32();
        let (off, on) = (plain(code), parted(code));
        let (with, without) = alternating(town, &arguments, &off, &on).await;
        print_cost(
            "partitions (tables of their own in their place)",
            town,
            &with,
            &without,
        );
    }
    for town in towns {
        town.close().await;
    }
}

fn print_sizes(towns: &[Prefecture]) {
    println!(
        "{:<10} {:>8} {:>10} {:>12} {:>22} {:>14}",
        "on", "tenants", "persons", "rows in/s", "memory while put in MB", "database MB"
    );
    for town in towns {
        println!(
            "{:<10} {:>8} {:>10} {:>12.0} {:>22.0} {:>14}",
            town.on(),
            town.codes.len(),
            town.all_persons,
            town.put_in_rate,
            town.memory,
            town.megabytes(),
        );
    }
}

/// Windows of the echo and of every town in turn.
async fn print_rates(towns: &[Prefecture], arguments: &Arguments) {
    let window = Duration::from_secs(arguments.seconds);
    let reference = Reference::start().await;
    let mut echoes = Vec::new();
    let mut rates = vec![Vec::new(); towns.len()];
    let mut times = vec![latencies(); towns.len()];
    for round in 1..=arguments.rounds {
        progress(&format!("round {round}, echo"));
        echoes.push(reference.rate(arguments.in_flight, window).await);
        for ((town, rates), times) in towns.iter().zip(&mut rates).zip(&mut times) {
            progress(&format!(
                "round {round}, {}, {} tenants",
                town.on(),
                town.codes.len()
            ));
            let (rate, took) = town.answers(arguments.in_flight, window).await;
            rates.push(rate);
            times.add(took).expect("latencies of one scale");
        }
    }
    println!(
        "the bare echo over mutual TLS: {:.0}/s",
        median(echoes.clone())
    );
    println!(
        "{:<10} {:>8} {:>10} {:>12} {:>10} {:>14} {:>9} {:>9}",
        "on", "tenants", "persons", "answers/s", "to echo", "to the first", "p50 ms", "p99 ms"
    );
    for (nth, (town, times)) in towns.iter().zip(&times).enumerate() {
        let first = towns
            .iter()
            .position(|other| other.on() == town.on())
            .unwrap_or(nth);
        println!(
            "{:<10} {:>8} {:>10} {:>12.0} {:>10.2} {:>14.2} {:>9.2} {:>9.2}",
            town.on(),
            town.codes.len(),
            town.all_persons,
            median(rates[nth].clone()),
            median(ratios(&rates[nth], &echoes)),
            median(ratios(&rates[nth], &rates[first])),
            times.value_at_quantile(0.5) as f64 / 1_000.0,
            times.value_at_quantile(0.99) as f64 / 1_000.0,
        );
    }
    reference.end();
}

const TABLES: [&str; 6] = [
    "person",
    "person_revision",
    "dose_revision",
    "person_tag",
    "log_entry",
    "log_tile",
];

const RLS_OFF: &str = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class
    WHERE relnamespace = 'vrx'::regnamespace AND relrowsecurity AND NOT relispartition LOOP
    EXECUTE format('ALTER TABLE vrx.%I DISABLE ROW LEVEL SECURITY', t); END LOOP; END $$";
const RLS_ON: &str = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class
    WHERE relnamespace = 'vrx'::regnamespace AND relforcerowsecurity AND NOT relispartition LOOP
    EXECUTE format('ALTER TABLE vrx.%I ENABLE ROW LEVEL SECURITY', t); END LOOP; END $$";

/// The one tenant's partitions become tables of their own: what answers questions names them either way.
fn plain(code: u32) -> String {
    let detach =
        |table: &&str| format!("ALTER TABLE vrx.{table} DETACH PARTITION vrx.{table}_{code:06}");
    let all: Vec<String> = TABLES.iter().map(detach).collect();
    format!("BEGIN; {}; COMMIT", all.join("; "))
}

/// And back.
fn parted(code: u32) -> String {
    let attach = |table: &&str| {
        format!(
            "ALTER TABLE vrx.{table} ATTACH PARTITION vrx.{table}_{code:06} FOR VALUES IN ({code})"
        )
    };
    let all: Vec<String> = TABLES.iter().map(attach).collect();
    format!("BEGIN; {}; COMMIT", all.join("; "))
}

/// Windows with and without something, in turn.
async fn alternating(
    town: &Prefecture,
    arguments: &Arguments,
    off: &str,
    on: &str,
) -> (Vec<f64>, Vec<f64>) {
    let window = Duration::from_secs(arguments.seconds);
    let database = &town
        .postgres
        .as_ref()
        .expect("a town on PostgreSQL")
        .database;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        with.push(town.rate(arguments.in_flight, window).await);
        database.sql(off);
        without.push(town.rate(arguments.in_flight, window).await);
        database.sql(on);
    }
    (with, without)
}

fn print_cost(what: &str, town: &Prefecture, with: &[f64], without: &[f64]) {
    println!(
        "{what:<46} {:>8} {:>12.0} {:>10.2}",
        town.codes.len(),
        median(without.to_vec()),
        median(ratios(with, without))
    );
}

/// Round by round.
fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    let both = these.iter().zip(those);
    both.map(|(this, that)| this / that).collect()
}

/// What the server counted of each statement during one window.
async fn print_statements(town: &Prefecture, in_flight: usize, window: Duration) {
    let database = &town
        .postgres
        .as_ref()
        .expect("a town on PostgreSQL")
        .database;
    database.sql(
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()",
    );
    let rate = town.rate(in_flight, window).await;
    println!(
        "statements with {} tenants, {rate:.0} answers/s: calls | microseconds to plan | to execute | what",
        town.codes.len()
    );
    print!("{}", database.sql(
        "SELECT calls, (1000 * mean_plan_time)::int, (1000 * mean_exec_time)::int, left(translate(query, E'\\n', ' '), 60)
         FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         ORDER BY total_plan_time + total_exec_time DESC LIMIT 12",
    ));
}

fn progress(what: &str) {
    eprintln!("tenants: {what}");
}
