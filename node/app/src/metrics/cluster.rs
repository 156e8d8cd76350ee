//! One PostgreSQL cluster: the pool of this process, and what statements cost by their names.

use std::fmt;
use std::sync::Arc;

use vrx_storage::postgres::{PostgresCluster, STATEMENT_CLASSES, StatementTimes};

use super::families::{Families, Labels, Times, number, seconds};

pub(super) struct ClusterSource {
    name: String,
    cluster: Arc<PostgresCluster>,
}

impl ClusterSource {
    pub(super) fn new(name: &str, cluster: &Arc<PostgresCluster>) -> Self {
        Self {
            name: name.to_owned(),
            cluster: Arc::clone(cluster),
        }
    }

    fn labels(&self, name: &'static str, value: &str) -> Labels {
        vec![("cluster", self.name.clone()), (name, value.to_owned())]
    }
}

pub(super) fn encode(families: &mut Families<'_>, clusters: &[ClusterSource]) -> fmt::Result {
    if clusters.is_empty() {
        return Ok(());
    }
    families.gauge(
        "vrx_postgres_connections",
        "Connections of this process: open, idle among them, and how many it may have",
        clusters.iter().flat_map(|source| {
            let (open, idle) = source.cluster.connections();
            [
                ("open", u64::from(open)),
                ("idle", idle as u64),
                ("limit", u64::from(source.cluster.limits().connections)),
            ]
            .map(|(state, count)| (source.labels("state", state), number(count)))
        }),
    )?;
    let statements: Vec<(Labels, StatementTimes)> = clusters
        .iter()
        .flat_map(|source| {
            let times = source.cluster.statement_times().into_iter();
            times.map(|(name, times)| (source.labels("statement", name), times))
        })
        .collect();
    families.counter(
        "vrx_postgres_slow_statements",
        "Statements that took longer than slow_ms, by name",
        statements
            .iter()
            .map(|(labels, times)| (labels.clone(), times.slow)),
    )?;
    families.histogram(
        "vrx_postgres_statement_seconds",
        "How long statements took, on the server and on the way to it, by name",
        statements
            .iter()
            .map(|(labels, times)| (labels.clone(), by_class(times))),
    )
}

fn by_class(times: &StatementTimes) -> Times {
    let ends = STATEMENT_CLASSES.iter().map(|end| seconds(*end));
    let ends = ends.chain(std::iter::once(f64::INFINITY));
    Times {
        total: times.total,
        classes: ends.zip(times.classes).collect(),
    }
}
