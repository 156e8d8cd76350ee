//! A node's life: open, listen, end softly, end hard.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustls_pki_types::UnixTime;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vrx_provision_log::{Deadline, MissingKept};
use vrx_services::jobs::Jobs;
use vrx_services::receipts::Recovery;
use vrx_services::reconciliation::Nightly;
use vrx_services::retention::Erasures;
use vrx_services::witnesses;
use vrx_services::witnesses::Asking;
use vrx_transport::{
    ForeignWitness, Limits, MetricsText, PeerClient, ProstAnswerCodec, Readiness, Served, Shutdown,
    TenantFiles, TlsFiles, TlsMaterial, Traffic, serve_metrics,
};

use crate::canary::Canaries;
use crate::compose::{Node, Outside, World, named};
use crate::config::{Config, check_witnesses, read_members};
use crate::failure::Failure;
use crate::init::make_private;
use crate::metrics::Metrics;

/// How long the log may take to write out what waits, after the last call ended.
const LAST_ENTRIES: Duration = Duration::from_secs(30);
/// How long connections that are cut off may take to be gone.
const CUT_OFF: Duration = Duration::from_secs(1);
/// How many tenants ask their witnesses at the same time before the node serves.
const WITNESSED_AT_ONCE: usize = 64;
/// An inquiry waits for another node, which has a deadline of its own.
const INQUIRY_FACTOR: u32 = 3;

/// Serves until told to end. Everything that can be wrong with the configuration is found before the port is bound.
pub async fn serve(
    config: &Config,
    file: &Path,
    accept_missing_checkpoint: bool,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let world = World::real();
    let members = read_members(&config.members_file)?;
    check_witnesses(file, &config.tenants, &members)?;
    let material = Arc::new(tls_material(config, file, &world)?);
    let client = Arc::new(peer_client(config, file, &material)?);
    let outside = Outside {
        codec: Arc::new(ProstAnswerCodec),
        peers: client.clone(),
        witnesses: client,
        members,
        own: config
            .tenants
            .iter()
            .filter_map(|tenant| Some((tenant.code, material.own(tenant.code)?.clone())))
            .collect(),
    };
    let missing_kept = if accept_missing_checkpoint {
        // A process that is new beside others has no folder yet. Otherwise a missing one may be a disk that isn't mounted.
        make_private(&config.kept_checkpoint_dir)?;
        MissingKept::Accept
    } else {
        MissingKept::Refuse
    };
    let node = Node::open(config, &world, outside, missing_kept).await?;

    // Before the port is bound: of two nodes that start together and witness each other none keeps the other waiting.
    let listeners = match ask_witnesses(&node).await {
        Ok(()) => bind(config, file).await,
        Err(failure) => Err(failure),
    };
    let ended = match listeners {
        Ok(listeners) => live(config, &world, &node, listeners, material, &mut signals).await,
        Err(failure) => Err(failure),
    };
    let closed = node.close(Deadline::after(LAST_ENTRIES)).await;
    if closed.is_ok() {
        tracing::info!("the logs are written out, the databases closed");
    }
    ended.and(closed)
}

/// Holds each tenant's log against what its witnesses cosigned last, before anybody is answered.
async fn ask_witnesses(node: &Node) -> Result<(), Failure> {
    let without = node.tenants.iter();
    let without = without.filter(|tenant| !tenant.witnesses.has_witnesses());
    let without: Vec<String> = without
        .map(|tenant| tenant.tenant.code.to_string())
        .collect();
    if !without.is_empty() {
        tracing::warn!(
            municipalities = without.join(" "),
            "no witnesses are configured: whoever holds this machine and its keys could rewrite the log unseen"
        );
    }
    let mut asking = stream::iter(node.tenants.iter())
        .map(|tenant| async move {
            let begun = witnesses::begin(tenant).await;
            begun.map_err(|why| Failure::storage(why.to_string()).about(&named(tenant.tenant.code)))
        })
        .buffer_unordered(WITNESSED_AT_ONCE);
    while let Some(begun) = asking.next().await {
        begun?;
    }
    Ok(())
}

/// Where a node can be reached.
struct Listeners {
    calls: TcpListener,
    metrics: Option<TcpListener>,
}

async fn bind(config: &Config, file: &Path) -> Result<Listeners, Failure> {
    let calls = TcpListener::bind(config.listen).await.map_err(|error| {
        Failure::unavailable(format!(
            "{}: listen: can't listen on {}: {error}; choose a free address",
            file.display(),
            config.listen
        ))
    })?;
    let metrics = bind_metrics(config, file).await?;
    Ok(Listeners { calls, metrics })
}

async fn bind_metrics(config: &Config, file: &Path) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = config.metrics else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await.map_err(|error| {
        Failure::unavailable(format!(
            "{}: metrics: can't listen on {address}: {error}; choose a free address",
            file.display()
        ))
    });
    bound.map(Some)
}

async fn live(
    config: &Config,
    world: &World,
    node: &Node,
    listeners: Listeners,
    material: Arc<TlsMaterial>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let Listeners { calls, metrics } = listeners;
    let address = calls
        .local_addr()
        .map_err(|error| Failure::unavailable(format!("the listener has no address: {error}")))?;
    let shutdown = Shutdown::default();
    let (readiness, traffic) = (Readiness::new().await, Arc::new(Traffic::default()));
    let scrapes = Scrapes::start(
        metrics,
        Metrics::of(config, node, world, readiness.clone(), Arc::clone(&traffic)),
    );
    let canaries = Canaries::of(node, world);
    canaries
        .sing(&readiness)
        .await
        .map_err(|why| Failure::unavailable(format!("the node can't start: {why}")))?;
    let canaries = tokio::spawn(canaries.keep_singing(readiness.clone(), shutdown.soft.clone()));
    let jobs = Jobs::start(Arc::clone(&node.tenants));
    let recovery = Recovery::start(Arc::clone(&node.tenants));
    let asking = Asking::start(Arc::clone(&node.tenants));
    let nightly = Nightly::start(Arc::clone(&node.tenants));
    let erasures = Erasures::start(Arc::clone(&node.tenants));
    let served = Served {
        material,
        limits: limits(config),
        tenants: Arc::clone(&node.tenants),
        shared: Arc::clone(&node.shared),
        readiness: readiness.clone(),
        traffic,
    };
    let mut serving = tokio::spawn(vrx_transport::serve(calls, served, shutdown.clone()));
    for open in &node.open {
        tracing::info!(municipality = %open.tenant.code, entries = open.log.checkpoint().size(), "open");
    }
    tracing::info!(%address, municipalities = node.open.len(), "ready");

    let served = tokio::select! {
        served = &mut serving => served,
        name = signals.next() => {
            tracing::info!(signal = name, "ending: no new calls, those running end");
            readiness.not_ready().await;
            shutdown.soft.cancel();
            tokio::select! {
                served = &mut serving => served,
                () = patience(config.limits.shutdown, signals) => {
                    shutdown.hard.cancel();
                    if let Ok(served) = tokio::time::timeout(CUT_OFF, &mut serving).await {
                        served
                    } else {
                        serving.abort();
                        tracing::warn!("connections that don't end are left behind");
                        Ok(Ok(()))
                    }
                }
            }
        }
    };
    shutdown.soft.cancel();
    nightly.shutdown().await;
    recovery.shutdown().await;
    asking.shutdown().await;
    erasures.shutdown().await;
    // No more calls come in; the last counts of refusals become entries before the log closes.
    jobs.shutdown().await;
    if canaries.await.is_err() {
        tracing::error!("the canaries panicked");
    }
    scrapes.end().await;
    match served {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::internal(format!("serving ended: {error}"))),
        Err(_) => Err(Failure::internal(
            "serving panicked; the lines before this one say where",
        )),
    }
}

/// The task that answers scrapes, where the configuration asks for it. It goes on until the calls have ended.
struct Scrapes {
    stop: CancellationToken,
    task: Option<JoinHandle<std::io::Result<()>>>,
}

impl Scrapes {
    fn start(listener: Option<TcpListener>, metrics: Metrics) -> Self {
        let stop = CancellationToken::new();
        let task = listener.map(|listener| {
            let text: MetricsText = Arc::new(move || metrics.text());
            if let Ok(address) = listener.local_addr() {
                tracing::info!(%address, "metrics");
            }
            tokio::spawn(serve_metrics(listener, text, stop.clone()))
        });
        Self { stop, task }
    }

    async fn end(mut self) {
        self.stop.cancel();
        let Some(task) = self.task.take() else {
            return;
        };
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "metrics aren't served"),
            Err(_) => tracing::error!("the task that serves metrics panicked"),
        }
    }
}

impl Drop for Scrapes {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Over when the time limit of a soft end is, or at a second signal.
async fn patience(limit: Duration, signals: &mut Signals) {
    tokio::select! {
        () = tokio::time::sleep(limit) => {
            tracing::warn!(seconds = limit.as_secs(), "calls still run after the time limit: they are cut off");
        }
        name = signals.next() => {
            tracing::warn!(signal = name, "a second signal: calls that still run are cut off");
        }
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        deadline: config.limits.deadline,
        inquiry_deadline: config.limits.deadline * INQUIRY_FACTOR,
        in_flight_per_caller: config.limits.in_flight_per_caller,
        ..Limits::default()
    }
}

fn tls_material(config: &Config, file: &Path, world: &World) -> Result<TlsMaterial, Failure> {
    let tenants = config.tenants.iter().map(|tenant| TenantFiles {
        code: tenant.code,
        certificate: tenant.certificate.clone(),
        private_key: tenant.private_key.clone(),
        ca: tenant.ca.clone(),
    });
    let files = TlsFiles {
        federation_ca: config.federation_ca.clone(),
        tenants: tenants.collect(),
    };
    let now = UnixTime::since_unix_epoch(Duration::from_millis(world.clock.now().0));
    TlsMaterial::load(&files, &config.trust_domain, now).map_err(|error| {
        Failure::configuration(format!(
            "{}: [tls] and [[tenant]]: {error}; put the right files there",
            file.display()
        ))
    })
}

fn peer_client(
    config: &Config,
    file: &Path,
    material: &Arc<TlsMaterial>,
) -> Result<PeerClient, Failure> {
    let witnesses = config
        .tenants
        .iter()
        .filter_map(|tenant| tenant.witnesses.as_ref());
    let foreign: Vec<ForeignWitness> = witnesses.flat_map(|all| all.foreign.clone()).collect();
    PeerClient::with_witnesses(Arc::clone(material), &foreign).map_err(|error| {
        Failure::configuration(format!(
            "{}: [tenant.witnesses]: {error}; put the right file there",
            file.display()
        ))
    })
}

/// The signals that end a node.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::unavailable(format!("signals can't be listened for: {error}"))
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
