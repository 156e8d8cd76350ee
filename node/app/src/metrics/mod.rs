//! What an operator's scraper sees: sizes, times and health, by municipality, cluster and statement. Nothing that an entry, a
//! row or a caller says has a way in here: every label is a constant, a municipality code or a cluster's name.
//!
//! Nothing is gathered beforehand: a scrape reads what the node counts anyway. Exchange answers are counted by class alone, so
//! that no number tells *nothing* from *found*.

mod cluster;
mod families;
mod process;
mod tenant;
mod witnesses;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use vrx_domain::Clock;
use vrx_transport::{Readiness, Traffic};

use self::cluster::ClusterSource;
use self::families::Families;
use self::tenant::TenantSource;
use crate::compose::{Node, World};
use crate::config::Config;

/// Where the numbers come from.
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// The numbers of a node that is open.
    pub fn of(
        config: &Config,
        node: &Node,
        world: &World,
        readiness: Readiness,
        traffic: Arc<Traffic>,
    ) -> Self {
        let sources = Sources {
            tenants: node
                .open
                .iter()
                .filter_map(|open| {
                    let services = node.tenants.get(open.tenant.code)?;
                    Some(TenantSource::of(config, open, services))
                })
                .collect(),
            clusters: node
                .clusters(config)
                .map(|(name, cluster)| ClusterSource::new(name, cluster))
                .collect(),
            clock: Arc::clone(&world.clock),
            readiness,
            traffic,
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(sources));
        Self { registry }
    }

    /// The text of one scrape (`OpenMetrics`). Reads files: not for a thread that others wait for.
    pub fn text(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            // A text that breaks off would be taken for the whole.
            Err(fmt::Error) => String::new(),
        }
    }
}

struct Sources {
    tenants: Vec<TenantSource>,
    clusters: Vec<ClusterSource>,
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    traffic: Arc<Traffic>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut families = Families::new(encoder);
        process::encode(&mut families)?;
        families.gauge(
            "vrx_ready",
            "1 while the node as a whole is ready: any tenant's canary was well",
            [(vec![], f64::from(u8::from(self.readiness.is_ready())))],
        )?;
        self.traffic(&mut families)?;
        tenant::encode(
            &mut families,
            &self.tenants,
            &self.readiness,
            self.clock.now(),
        )?;
        witnesses::encode(&mut families, &self.tenants, self.clock.now())?;
        cluster::encode(&mut families, &self.clusters)
    }
}

impl Sources {
    fn traffic(&self, families: &mut Families<'_>) -> fmt::Result {
        let seen = self.traffic.seen();
        families.counter(
            "vrx_exchange_answers",
            "Exchange calls by how they ended: answered (whatever was found), refused to the caller, failed here",
            [
                ("answered", seen.answered),
                ("refused", seen.refused),
                ("failed", seen.failed),
            ]
            .map(|(class, count)| (vec![("class", class.to_owned())], count)),
        )?;
        families.counter(
            "vrx_tls_handshakes_failed",
            "Connections that didn't come through their TLS handshake",
            [(vec![], seen.handshakes_failed)],
        )?;
        families.counter(
            "vrx_connections",
            "Connections that came through their TLS handshake",
            [(vec![], seen.connections)],
        )?;
        families.gauge(
            "vrx_connections_open",
            "Connections open now",
            [(vec![], families::number(seen.open))],
        )
    }
}
