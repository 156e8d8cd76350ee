//! One tenant: readiness, its log, its keys, its file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use vrx_crypto::{KeyState, Keyring};
use vrx_domain::{MunicipalityCode, UnixMillis};
use vrx_provision_log::{Health, LogState, Measures, ProvisionLog};
use vrx_services::TenantServices;
use vrx_services::witnesses::Witnessing;
use vrx_storage::TenantStore;
use vrx_transport::Readiness;

use super::families::{Families, Labels, number};
use crate::compose::OpenTenant;
use crate::config::{Config, Database};

pub(super) struct TenantSource {
    pub(super) code: MunicipalityCode,
    pub(super) witnesses: Arc<Witnessing>,
    log: Arc<ProvisionLog>,
    store: Arc<dyn TenantStore>,
    keyring: Arc<Keyring>,
    /// The database's files, on SQLite.
    files: Vec<PathBuf>,
}

impl TenantSource {
    pub(super) fn of(config: &Config, open: &OpenTenant, services: &TenantServices) -> Self {
        let code = open.tenant.code;
        let settings = config.tenants.iter().find(|tenant| tenant.code == code);
        let on_sqlite = settings.is_some_and(|tenant| tenant.database == Database::Sqlite);
        let files = ["vrx.db", "vrx.db-wal"].map(|name| config.tenant_dir(code).join(name));
        Self {
            code,
            witnesses: Arc::clone(&services.witnesses),
            log: Arc::clone(&open.log),
            store: Arc::clone(&open.store),
            keyring: Arc::clone(&open.keyring),
            files: files.into_iter().filter(|_| on_sqlite).collect(),
        }
    }

    /// Bytes of the database's files; none on PostgreSQL.
    fn bytes(&self) -> Option<u64> {
        let sizes = self.files.iter().filter_map(|file| file.metadata().ok());
        let bytes = sizes.map(|file| file.len()).sum();
        (!self.files.is_empty()).then_some(bytes)
    }

    /// How often each key that seals has done so, by its kind.
    fn seals(&self) -> Vec<(String, u64)> {
        let keys = self.keyring.key_states().into_iter();
        keys.filter(|(_, _, state)| *state == KeyState::Active)
            .filter_map(|(kind, id, _)| {
                let used = self.keyring.seals().used(kind, id)?;
                Some((format!("{kind:?}").to_lowercase(), used))
            })
            .collect()
    }
}

/// A tenant at the moment of a scrape.
struct Seen<'a> {
    source: &'a TenantSource,
    is_ready: bool,
    health: Health,
    measures: Measures,
    /// Time of the last entry under the newest checkpoint, milliseconds since 1970.
    last_time: u64,
}

impl Seen<'_> {
    fn labels(&self) -> Labels {
        vec![("municipality", self.source.code.to_string())]
    }

    fn and(&self, name: &'static str, value: &str) -> Labels {
        let mut labels = self.labels();
        labels.push((name, value.to_owned()));
        labels
    }
}

pub(super) fn encode(
    families: &mut Families<'_>,
    tenants: &[TenantSource],
    readiness: &Readiness,
    now: UnixMillis,
) -> fmt::Result {
    let seen: Vec<Seen<'_>> = tenants
        .iter()
        .map(|source| Seen {
            source,
            is_ready: readiness.is_tenant_ready(source.code),
            health: source.log.health(),
            measures: source.log.measures(),
            last_time: source.log.checkpoint().last_time(),
        })
        .collect();
    gauges(families, &seen, now)?;
    counters(families, &seen)?;
    keys(families, &seen)
}

fn gauges(families: &mut Families<'_>, tenants: &[Seen<'_>], now: UnixMillis) -> fmt::Result {
    let mut each = |name, help, value: &dyn Fn(&Seen<'_>) -> f64| {
        families.gauge(
            name,
            help,
            tenants.iter().map(|seen| (seen.labels(), value(seen))),
        )
    };
    each(
        "vrx_tenant_ready",
        "1 while the tenant's last canary was well",
        &|seen| truth(seen.is_ready),
    )?;
    each(
        "vrx_log_poisoned",
        "1 once the tenant's log takes nothing more until somebody has looked at its database",
        &|seen| truth(matches!(seen.health.state, LogState::Poisoned(_))),
    )?;
    each(
        "vrx_log_size",
        "Entries of the tenant's log under its newest checkpoint, whoever wrote them",
        &|seen| number(seen.health.size),
    )?;
    each(
        "vrx_log_kept_size",
        "Entries under the checkpoint that is kept at the second path",
        &|seen| number(seen.health.kept_size),
    )?;
    each("vrx_log_epoch", "Epoch of the tenant's log", &|seen| {
        f64::from(seen.measures.epoch)
    })?;
    each(
        "vrx_log_checkpoint_age_seconds",
        "How long ago the last entry under the newest checkpoint was made",
        &|seen| number(now.0.saturating_sub(seen.last_time) / 1_000),
    )?;
    each(
        "vrx_log_queue_limit",
        "Entries that may wait in each of the log's queues",
        &|seen| number(seen.measures.queue as u64),
    )?;
    each(
        "vrx_lookup_queue",
        "Exchange calls that wait for the tenant's next batch of lookups",
        &|seen| number(seen.source.store.lookup_queue().waiting as u64),
    )?;
    each(
        "vrx_lookup_queue_limit",
        "Exchange calls that may wait for it; more get UNAVAILABLE",
        &|seen| number(seen.source.store.lookup_queue().limit as u64),
    )?;
    families.gauge(
        "vrx_log_queue",
        "Entries that wait for the log's writer now",
        tenants.iter().flat_map(|seen| {
            [
                ("exchange", seen.measures.exchange_waiting),
                ("other", seen.measures.other_waiting),
            ]
            .map(|(queue, waiting)| (seen.and("queue", queue), number(waiting as u64)))
        }),
    )?;
    families.gauge(
        "vrx_database_bytes",
        "Size of the tenant's database file and its write-ahead log, on SQLite",
        tenants.iter().filter_map(|seen| {
            let bytes = seen.source.bytes()?;
            Some((seen.labels(), number(bytes)))
        }),
    )
}

fn counters(families: &mut Families<'_>, tenants: &[Seen<'_>]) -> fmt::Result {
    let mut each = |name, help, value: &dyn Fn(&Seen<'_>) -> u64| {
        families.counter(
            name,
            help,
            tenants.iter().map(|seen| (seen.labels(), value(seen))),
        )
    };
    each(
        "vrx_log_batches",
        "Batches that this process added to the tenant's log",
        &|seen| seen.measures.batches,
    )?;
    each(
        "vrx_log_entries",
        "Entries that this process added to the tenant's log",
        &|seen| seen.measures.entries,
    )?;
    each(
        "vrx_log_entries_turned_away",
        "Entries that the log didn't take; who waited for them got no answer",
        &|seen| seen.measures.turned_away,
    )
}

fn keys(families: &mut Families<'_>, tenants: &[Seen<'_>]) -> fmt::Result {
    families.gauge(
        "vrx_key_seals",
        "How often the tenant's active keys have sealed, what is reserved by other processes among it; 4294967296 is the end",
        tenants.iter().flat_map(|seen| {
            let seals = seen.source.seals().into_iter();
            seals.map(|(kind, used)| (seen.and("key", &kind), number(used)))
        }),
    )
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
