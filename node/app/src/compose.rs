//! How a node is put together from its rooms, in which order, and what each refusal means to the operator.

use std::sync::Arc;
use std::time::Duration;

use vrx_crypto::{CryptoError, Keyring, RootKey, SystemRandom};
use vrx_domain::{Clock, Members, Random, Tenant};
use vrx_provision_log::{Deadline, LogOptions, MissingKept, ProvisionLog, StartError};
use vrx_services::refusals::Refusals;
use vrx_services::{
    AnswerCodec, NodeServices, PeerExchange, TenantPolicy, TenantServices, Tenants,
};
use vrx_storage::{
    LogStore, PersonStore, RegistryStore, SqliteOptions, SqliteTenant, StorageError,
};

use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::tenant_id;

/// How long the database may take for one thing before it counts as broken.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

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
/// who the node is to them.
pub struct Outside {
    /// The wire's encoding of an answer.
    pub codec: Arc<dyn AnswerCodec>,
    /// The client to other nodes.
    pub peers: Arc<dyn PeerExchange>,
    /// The members.
    pub members: Members,
    /// The node's own identity.
    pub own: vrx_domain::Caller,
}

/// A node that is open: keys, database, log, services.
pub struct Node {
    /// Its municipality.
    pub tenant: Tenant,
    /// Its keys.
    pub keyring: Arc<Keyring>,
    /// Its database.
    pub store: Arc<SqliteTenant>,
    /// Its provision log.
    pub log: Arc<ProvisionLog>,
    /// What transport serves.
    pub tenants: Arc<Tenants>,
    /// What all tenants share.
    pub shared: Arc<NodeServices>,
}

impl Node {
    /// Opens everything in the order in which it depends: keys, database, log, services.
    pub async fn open(
        config: &Config,
        world: &World,
        outside: Outside,
        missing_kept: MissingKept,
    ) -> Result<Self, Failure> {
        let (tenant, keyring) = open_keys(config)?;
        let store = SqliteTenant::open(sqlite_options(config, tenant, &keyring, world)).await;
        let store = Arc::new(store.map_err(storage_failure)?);
        let mut options = log_options(config, tenant, world);
        options.missing_kept = missing_kept;
        let log_store: Arc<dyn LogStore> = store.clone();
        let log = ProvisionLog::start(log_store, Arc::clone(&keyring), options)
            .await
            .map_err(start_failure)?;
        let log = Arc::new(log);

        let refusals = Arc::new(Refusals::new(
            Arc::clone(&log),
            Arc::clone(&world.clock),
            outside.own,
        ));
        let shared = Arc::new(NodeServices {
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            codec: outside.codec,
            peers: outside.peers,
            members: Arc::new(outside.members),
        });
        let persons: Arc<dyn PersonStore> = store.clone();
        let registry: Arc<dyn RegistryStore> = store.clone();
        let services = TenantServices {
            tenant,
            policy: TenantPolicy {
                automatic_only_after_move_out: config.tenant.automatic_only_after_move_out,
                allow_hard_to_obtain: config.tenant.allow_hard_to_obtain,
                inquiry_retention: config.limits.inquiry_retention,
            },
            keyring: Arc::clone(&keyring),
            persons,
            registry,
            log: Arc::clone(&log),
            refusals,
            node: Arc::clone(&shared),
        };
        let tenants = Arc::new(Tenants::new([Arc::new(services)]));
        Ok(Self {
            tenant,
            keyring,
            store,
            log,
            tenants,
            shared,
        })
    }

    /// Closes in the reverse order. Every step is tried; the first that fails is told.
    pub async fn close(self, deadline: Deadline) -> Result<(), Failure> {
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

/// The tenant and its keyring, unsealed by the root key.
pub fn open_keys(config: &Config) -> Result<(Tenant, Arc<Keyring>), Failure> {
    let tenant = tenant_id::read(config)?;
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
    Ok((tenant, Arc::new(keyring)))
}

/// What the tenant's database needs.
pub fn sqlite_options(
    config: &Config,
    tenant: Tenant,
    keyring: &Arc<Keyring>,
    world: &World,
) -> SqliteOptions {
    SqliteOptions {
        state_dir: config.state_dir.clone(),
        tenant,
        keyring: Arc::clone(keyring),
        random: Arc::clone(&world.random),
    }
}

/// What the tenant's log needs.
pub fn log_options(config: &Config, tenant: Tenant, world: &World) -> LogOptions {
    let mut options = LogOptions::new(
        tenant,
        &config.trust_domain,
        config.kept_checkpoint(),
        Arc::clone(&world.clock),
        Arc::clone(&world.random),
    );
    options.queue = config.limits.log_queue;
    options.store_timeout = STORE_TIMEOUT;
    options
}

/// A database that doesn't open: busy things may be tried again, damaged ones may not.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub fn storage_failure(error: StorageError) -> Failure {
    match error {
        StorageError::Locked { .. }
        | StorageError::Busy
        | StorageError::Unreachable(_)
        | StorageError::Full
        | StorageError::Closed => Failure::unavailable(error.to_string()),
        StorageError::Place { .. }
        | StorageError::Broken(_)
        | StorageError::Inconsistent { .. }
        | StorageError::Schema(_)
        | StorageError::OtherTenant => {
            Failure::storage(format!("the database is refused: {error}"))
        }
        StorageError::Keyring(_) | StorageError::Invalid(_) | StorageError::ReadOnly => {
            Failure::internal(error.to_string())
        }
    }
}

/// A log that doesn't start.
pub fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Storage(error) => storage_failure(error),
        StartError::Origin => Failure::configuration(format!("trust_domain: {error}")),
        StartError::Genesis(_) | StartError::Deadline => Failure::unavailable(error.to_string()),
        StartError::NothingKept { .. } => Failure::storage(format!(
            "{error} with `vrx-node serve --accept-missing-checkpoint`"
        )),
        refused => Failure::storage(refused.to_string()),
    }
}
