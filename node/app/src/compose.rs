//! How a node is put together from its rooms, in which order, and what each refusal means to the operator. Opening a tenant's
//! rows is in [`crate::stores`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use vrx_crypto::{CryptoError, Keyring, RootKey, SystemRandom};
use vrx_domain::{Caller, Clock, Members, MunicipalityCode, Random, Tenant};
use vrx_provision_log::{Deadline, LogOptions, MissingKept, ProvisionLog, StartError};
use vrx_services::refusals::Refusals;
use vrx_services::witnesses::Witnessing;
use vrx_services::{
    AnswerCodec, AskWitness, NodeServices, PeerExchange, TenantPolicy, TenantServices, Tenants,
};
use vrx_storage::{
    LogStore, PersonStore, PostgresCluster, ReceiptStore, RegistryStore, TenantStore, WitnessStore,
};
use vrx_tlog::WitnessKey;

use crate::backup::DestroyedFile;
use crate::clock::SystemClock;
use crate::config::{Config, TenantConfig};
use crate::failure::Failure;
use crate::returned;
use crate::stores::{Access, Clusters, storage_failure};
use crate::tenant_id;
use crate::unwitnessed;

/// How long the database may take for one thing before it counts as broken.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many tenants are opened at the same time.
const AT_A_TIME: usize = 16;
/// How long tenants that opened may take to close again when another one didn't open.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Time and randomness, the same for everything of a node.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys, nonces, ids.
    pub random: Arc<dyn Random>,
}

impl World {
    /// The operating system's.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom::new()),
        }
    }
}

/// The ends through which a node reaches others: how answers are encoded, how peers are asked, whom there is to ask, and
/// who its tenants are to them.
pub struct Outside {
    /// The wire's encoding of an answer.
    pub codec: Arc<dyn AnswerCodec>,
    /// The client to other nodes.
    pub peers: Arc<dyn PeerExchange>,
    /// The client to witnesses.
    pub witnesses: Arc<dyn AskWitness>,
    /// The members.
    pub members: Members,
    /// Each tenant's own identity.
    pub own: BTreeMap<MunicipalityCode, Caller>,
}

/// A tenant that is open: keys, rows, log.
pub struct OpenTenant {
    /// Who it is.
    pub tenant: Tenant,
    /// Its keys.
    pub keyring: Arc<Keyring>,
    /// Its rows, in whatever database.
    pub store: Arc<dyn TenantStore>,
    /// Its provision log.
    pub log: Arc<ProvisionLog>,
}

/// A node that is open: its tenants, and what they share.
pub struct Node {
    /// The tenants, in the order of the configuration.
    pub open: Vec<OpenTenant>,
    /// What transport serves.
    pub tenants: Arc<Tenants>,
    /// What all tenants share.
    pub shared: Arc<NodeServices>,
    clusters: Clusters,
}

impl Node {
    /// Opens every tenant, each in the order in which it depends: keys, database, log, services. One that doesn't open stops
    /// the start: its municipality would otherwise be away without anybody having decided so.
    pub async fn open(
        config: &Config,
        world: &World,
        outside: Outside,
        missing_kept: MissingKept,
    ) -> Result<Self, Failure> {
        let clusters = Clusters::connect(config, &config.tenants).await?;
        let (open, failed) = open_all(config, world, &clusters, missing_kept).await;
        if let Some(failure) = failed {
            if let Err(second) = close_all(open, Deadline::after(GIVE_UP)).await {
                tracing::warn!(%second, "a tenant that had opened didn't close well");
            }
            clusters.close().await;
            return Err(failure);
        }
        let shared = Arc::new(NodeServices {
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            codec: outside.codec,
            peers: outside.peers,
            members: Arc::new(outside.members),
        });
        let mut services = Vec::with_capacity(open.len());
        for (tenant, settings) in open.iter().zip(&config.tenants) {
            let own = outside.own.get(&settings.code).ok_or_else(|| {
                Failure::internal(format!("{} has no certificate", settings.code))
            })?;
            let policy = policy(config, settings);
            let witnesses =
                tenant.witnessing(config, settings, &outside.witnesses, &*world.clock)?;
            let destroyed = DestroyedFile::new(
                &config.keyring_dir,
                config.backup.dir.as_deref(),
                tenant.tenant,
            );
            services.push(Arc::new(tenant.services(
                policy,
                witnesses,
                own.clone(),
                destroyed,
                &shared,
            )));
        }
        Ok(Self {
            open,
            tenants: Arc::new(Tenants::new(services)),
            shared,
            clusters,
        })
    }

    /// The clusters that this node is connected to, each under one of its names in the configuration.
    pub fn clusters<'a>(
        &'a self,
        config: &'a Config,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<PostgresCluster>)> {
        self.clusters.named(config)
    }

    /// Closes in the reverse order. Every step of every tenant is tried; the first that fails is told.
    pub async fn close(self, deadline: Deadline) -> Result<(), Failure> {
        let closed = close_all(self.open, deadline).await;
        self.clusters.close().await;
        closed
    }
}

impl OpenTenant {
    async fn open(
        config: &Config,
        world: &World,
        clusters: &Clusters,
        code: MunicipalityCode,
        missing_kept: MissingKept,
    ) -> Result<Self, Failure> {
        let (tenant, keyring) = open_keys(config, code)?;
        let store = clusters
            .open(config, tenant, &keyring, world, Access::Serve)
            .await?;
        returned::check(config, tenant, &*store, world.clock.today()).await?;
        let mut options = log_options(config, tenant, world);
        options.missing_kept = missing_kept;
        options.epoch = epoch_of(&*store).await?;
        let log_store: Arc<dyn LogStore> = store.clone();
        let log = ProvisionLog::start(log_store, Arc::clone(&keyring), options)
            .await
            .map_err(start_failure)?;
        Ok(Self {
            tenant,
            keyring,
            store,
            log: Arc::new(log),
        })
    }

    /// Its witnesses, and its own key as one.
    fn witnessing(
        &self,
        config: &Config,
        settings: &TenantConfig,
        client: &Arc<dyn AskWitness>,
        clock: &dyn Clock,
    ) -> Result<Witnessing, Failure> {
        let own = witness_key(config, self.tenant, &self.keyring)?;
        Ok(match &settings.witnesses {
            None => Witnessing::none(own),
            Some(witnesses) => {
                let rules = witnesses.rules.clone();
                let path = config.unwitnessed(self.tenant.code);
                let reader = self.log.reader();
                let origin = reader.verifier_key().name();
                let since = unwitnessed::since(&path, origin, &rules, clock.now());
                Witnessing::new(own, rules, Arc::clone(client), since)
            }
        })
    }

    fn services(
        &self,
        policy: TenantPolicy,
        witnesses: Witnessing,
        own: Caller,
        destroyed: DestroyedFile,
        shared: &Arc<NodeServices>,
    ) -> TenantServices {
        let persons: Arc<dyn PersonStore> = self.store.clone();
        let registry: Arc<dyn RegistryStore> = self.store.clone();
        let receipts: Arc<dyn ReceiptStore> = self.store.clone();
        let witness_store: Arc<dyn WitnessStore> = self.store.clone();
        let clock = Arc::clone(&shared.clock);
        TenantServices {
            tenant: self.tenant,
            policy,
            keyring: Arc::clone(&self.keyring),
            persons,
            registry,
            receipts,
            witness_store,
            witnesses: Arc::new(witnesses),
            retention: self.store.clone(),
            destroyed: Arc::new(destroyed),
            log: Arc::clone(&self.log),
            refusals: Arc::new(Refusals::new(Arc::clone(&self.log), clock, own)),
            node: Arc::clone(shared),
        }
    }

    async fn close(self, deadline: Deadline) -> Result<(), Failure> {
        let drained = self.log.shutdown(deadline).await;
        let stored = self.store.close().await;
        let keys = self.keyring.close();
        if !drained {
            return Err(Failure::unavailable(
                "the log's last entries were not written before the time limit; whoever waited for them got no answer",
            ));
        }
        stored.map_err(storage_failure)?;
        keys.map_err(Failure::from)
    }
}

/// Opens all tenants, several at a time. Gives those that opened, in the order of the configuration, and what the first that
/// didn't said.
async fn open_all(
    config: &Config,
    world: &World,
    clusters: &Clusters,
    missing_kept: MissingKept,
) -> (Vec<OpenTenant>, Option<Failure>) {
    let mut opening = stream::iter(&config.tenants)
        .map(|settings| async move {
            OpenTenant::open(config, world, clusters, settings.code, missing_kept)
                .await
                .map_err(|failure| failure.about(&named(settings.code)))
        })
        .buffered(AT_A_TIME);
    let mut open = Vec::with_capacity(config.tenants.len());
    while let Some(opened) = opening.next().await {
        match opened {
            Ok(tenant) => open.push(tenant),
            Err(failure) => return (open, Some(failure)),
        }
    }
    (open, None)
}

async fn close_all(open: Vec<OpenTenant>, deadline: Deadline) -> Result<(), Failure> {
    let closing = open.into_iter().map(|open| async move {
        let code = open.tenant.code;
        let closed = open.close(deadline).await;
        closed.map_err(|failure| failure.about(&named(code)))
    });
    join_all(closing).await.into_iter().collect()
}

fn policy(config: &Config, tenant: &TenantConfig) -> TenantPolicy {
    TenantPolicy {
        automatic_only_after_move_out: tenant.automatic_only_after_move_out,
        allow_hard_to_obtain: tenant.allow_hard_to_obtain,
        inquiry_retention: config.limits.inquiry_retention,
        review: tenant.review,
        retention: tenant.retention,
    }
}

/// A tenant as failures name it.
pub fn named(code: MunicipalityCode) -> String {
    format!("{code} {}", code.name())
}

/// The tenant and its keyring, unsealed by the root key.
pub fn open_keys(
    config: &Config,
    code: MunicipalityCode,
) -> Result<(Tenant, Arc<Keyring>), Failure> {
    let tenant = tenant_id::read(config, code)?;
    Ok((tenant, open_keyring(config, &tenant)?))
}

/// The keyring of a tenant whose id is known, unsealed by the root key.
pub fn open_keyring(config: &Config, tenant: &Tenant) -> Result<Arc<Keyring>, Failure> {
    let root = RootKey::from_file(&config.root_key_file).map_err(|error| match error {
        CryptoError::Malformed(_) => Failure::configuration(format!(
            "{}: {error}; restore the file",
            config.root_key_file.display()
        )),
        other => other.into(),
    })?;
    let path = Keyring::path(&config.keyring_dir, &tenant.id);
    let keyring = Keyring::load(&path, &root, &tenant.id).map_err(|error| match error {
        CryptoError::Open | CryptoError::Malformed(_) => Failure::storage(format!(
            "the keyring {} did not open with the root key {}: one of them is damaged, or they don't belong together; \
             put the right one back, or run `vrx-node restore-keyring`",
            path.display(),
            config.root_key_file.display()
        )),
        CryptoError::Io { .. } => {
            Failure::storage(format!("{error}; put the file back, or run `vrx-node restore-keyring`"))
        }
        other => other.into(),
    })?;
    Ok(Arc::new(keyring))
}

/// What the tenant's log needs.
pub fn log_options(config: &Config, tenant: Tenant, world: &World) -> LogOptions {
    let mut options = LogOptions::new(
        tenant,
        &config.trust_domain,
        config.kept_checkpoint(tenant.code),
        Arc::clone(&world.clock),
        Arc::clone(&world.random),
    );
    options.queue = config.limits.log_queue;
    options.store_timeout = STORE_TIMEOUT;
    options
}

/// The key that others check a tenant's cosignatures with.
pub fn witness_key(
    config: &Config,
    tenant: Tenant,
    keyring: &Keyring,
) -> Result<WitnessKey, Failure> {
    let name = vrx_tlog::witness_name(&config.trust_domain, &tenant.code.to_string());
    WitnessKey::from_public_key(&name, &keyring.witness_public_key())
        .map_err(|error| Failure::configuration(format!("trust_domain: {error}")))
}

/// The epoch that a tenant's log is in. Whoever changes it in the database gets no further: the kept checkpoint names it too.
pub async fn epoch_of(store: &dyn TenantStore) -> Result<u32, Failure> {
    Ok(store.head().await.map_err(storage_failure)?.epoch)
}

/// A log that doesn't start.
pub fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Storage(error) => storage_failure(error),
        StartError::Origin => Failure::configuration(format!("trust_domain: {error}")),
        StartError::Genesis(_) | StartError::Deadline | StartError::KeptByAnother { .. } => {
            Failure::unavailable(error.to_string())
        }
        StartError::NothingKept { .. } => Failure::storage(format!(
            "{error} with `vrx-node serve --accept-missing-checkpoint`"
        )),
        refused => Failure::storage(refused.to_string()),
    }
}
