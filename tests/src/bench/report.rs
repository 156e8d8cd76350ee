//! What a run found, as a table for people or JSON for programs. Every figure stands beside the echo of its own round.

use serde::Serialize;

use super::statistics::{Window, median};

/// One round: the echo and the node at one concurrency, measured one right after the other.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// The reference.
    pub echo: Window,
    /// Answers with records.
    pub provided: Window,
    /// Answers of *nothing*.
    pub nothing: Window,
    /// Answers with records from a node on PostgreSQL.
    pub on_postgres: Option<Window>,
}

/// The whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Cores of the machine, shared by the servers and the load generator.
    pub cores: usize,
    /// Load average before and after.
    pub load: (String, String),
    /// 4 KiB made durable one after another, times a second, before and after.
    pub fsync_rate: (f64, f64),
    /// Persons in the register and the bytes of the node's state folder after the run.
    pub persons: usize,
    /// Bytes of the node's state folder after the run.
    pub state_bytes: u64,
    /// Connections of the load generator.
    pub connections: usize,
    /// Memory of the node after the run, without mapped files, in bytes.
    pub node_memory: u64,
    /// How well time tells *nothing* from *provided* at 64 in flight: 0.5 is not at all.
    pub distinguishability: f64,
    /// All rounds.
    pub rounds: Vec<Round>,
}

impl Report {
    /// The table.
    #[expect(clippy::print_stdout, reason = "the benchmark's product")]
    pub fn print(&self) {
        println!(
            "cores {}  load {} -> {}  fsync/s {:.0} -> {:.0}  persons {}  state {:.1} MB  connections {}  node memory {:.1} MB",
            self.cores,
            self.load.0,
            self.load.1,
            self.fsync_rate.0,
            self.fsync_rate.1,
            self.persons,
            megabytes(self.state_bytes),
            self.connections,
            megabytes(self.node_memory),
        );
        println!(
            "{:>9} {:>9} {:>10} {:>10} {:>10} {:>12} {:>11} {:>10} {:>10}",
            "in flight",
            "target",
            "req/s",
            "p50 us",
            "p99 us",
            "cpu us/req",
            "rate/echo",
            "cpu/echo",
            "p99/echo"
        );
        for in_flight in self.concurrencies() {
            let rounds: Vec<&Round> = self
                .rounds
                .iter()
                .filter(|round| round.echo.in_flight == in_flight)
                .collect();
            for pick in [
                (|round: &Round| Some(round.echo.clone())) as fn(&Round) -> Option<Window>,
                |round| Some(round.provided.clone()),
                |round| Some(round.nothing.clone()),
                |round| round.on_postgres.clone(),
            ] {
                let picked: Vec<(Window, &Window)> = rounds
                    .iter()
                    .filter_map(|round| Some((pick(round)?, &round.echo)))
                    .collect();
                let Some((first, _)) = picked.first() else {
                    continue;
                };
                let of = |value: &dyn Fn(&Window) -> f64| {
                    median(picked.iter().map(|(window, _)| value(window)).collect())
                };
                let ratio = |value: &dyn Fn(&Window) -> f64| {
                    let ratios = picked
                        .iter()
                        .map(|(window, echo)| value(window) / value(echo));
                    median(ratios.collect())
                };
                println!(
                    "{:>9} {:>9} {:>10.0} {:>10.0} {:>10.0} {:>12.1} {:>11.2} {:>10.2} {:>10.2}",
                    in_flight,
                    first.target,
                    of(&|w| w.rate),
                    of(&|w| w.p50_us),
                    of(&|w| w.p99_us),
                    of(&|w| w.server_cpu_us),
                    ratio(&|w| w.rate),
                    ratio(&|w| w.server_cpu_us),
                    ratio(&|w| w.p99_us),
                );
            }
        }
        println!(
            "nothing against provided, interleaved at 64 in flight: AUC {:.3} (0.5 can't be told apart)",
            self.distinguishability
        );
        println!(
            "each ratio is the median of the ratios of {} rounds of alternating windows",
            self.round_count()
        );
    }

    fn concurrencies(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.rounds.iter().map(|r| r.echo.in_flight).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn round_count(&self) -> usize {
        self.rounds.len() / self.concurrencies().len().max(1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
