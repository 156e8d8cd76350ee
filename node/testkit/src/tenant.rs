//! A whole tenant in one process: the same parts as in `vrx-node`, without sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vrx_crypto::{Keyring, RootKey};
use vrx_domain::{
    Caller, Clock, Members, MunicipalityCode, Random, Role, SpiffeId, Tenant, TenantId,
};
use vrx_provision_log::{Deadline, LogOptions, ProvisionLog};
use vrx_services::refusals::Refusals;
use vrx_services::witnesses::Witnessing;
use vrx_services::{NodeServices, PeerExchange, TenantPolicy, TenantServices};
use vrx_storage::{
    LogStore, PersonStore, PostgresCluster, PostgresOwner, PostgresTenant, ReceiptStore,
    RegistryStore, SqliteOptions, SqliteTenant, TenantOptions, TenantStore, WitnessStore,
};
use vrx_tlog::WitnessKey;
use vrx_transport::ProstAnswerCodec;

use crate::clock::FakeClock;
use crate::listed::ListedInMemory;
use crate::peers::NoPeers;
use crate::random::SeededRandom;

/// The trust domain of tenants under test.
const TRUST_DOMAIN: &str = "vrx.test";
/// How long a closing tenant may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keys, database, log and services of one municipality, in a folder that vanishes with it.
pub struct TestTenant {
    /// Its services: what transport would be given.
    pub services: Arc<TenantServices>,
    /// Its database.
    pub store: Arc<dyn TenantStore>,
    /// Its time.
    pub clock: Arc<FakeClock>,
    /// Its randomness.
    pub random: Arc<SeededRandom>,
    parts: Parts,
}

/// What stays when a tenant is closed and opened again.
struct Parts {
    folder: tempfile::TempDir,
    tenant: Tenant,
    members: Arc<Members>,
    peers: Arc<dyn PeerExchange>,
    /// Where the rows are, unless in the folder.
    cluster: Option<Arc<PostgresCluster>>,
}

impl Parts {
    fn new(
        code: &str,
        members: Members,
        peers: Arc<dyn PeerExchange>,
        cluster: Option<Arc<PostgresCluster>>,
    ) -> (Self, Arc<FakeClock>, Arc<SeededRandom>) {
        let code: MunicipalityCode = code.parse().expect("a municipality code");
        let random = Arc::new(SeededRandom::new(u64::from(code.as_u32())));
        let tenant = Tenant {
            id: TenantId::random(&*random),
            code,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let parts = Self {
            folder,
            tenant,
            members: Arc::new(members),
            peers,
            cluster,
        };
        (parts, Arc::new(FakeClock::new()), random)
    }

    fn make_keyring(&self, random: &SeededRandom) -> Arc<Keyring> {
        let root = RootKey::create_file(&self.root_key_file(), random).expect("a root key");
        let keyring = Keyring::create(&self.tenant, random).expect("a keyring");
        keyring
            .save(&self.keyring_file(), &root)
            .expect("a keyring file");
        Arc::new(keyring)
    }

    /// Opens the database that stands.
    async fn open(
        &self,
        keyring: &Arc<Keyring>,
        random: &Arc<SeededRandom>,
    ) -> Arc<dyn TenantStore> {
        match &self.cluster {
            None => {
                let store = SqliteTenant::open(self.in_folder(keyring, random)).await;
                Arc::new(store.expect("the database"))
            }
            Some(cluster) => {
                let options = self.in_cluster(keyring, random);
                let store = PostgresTenant::open(Arc::clone(cluster), options).await;
                Arc::new(store.expect("the tenant's rows"))
            }
        }
    }

    fn in_folder(&self, keyring: &Arc<Keyring>, random: &Arc<SeededRandom>) -> SqliteOptions {
        SqliteOptions {
            state_dir: self.folder.path().join("state"),
            tenant: self.tenant,
            keyring: Arc::clone(keyring),
            random: random.clone(),
        }
    }

    fn in_cluster(&self, keyring: &Arc<Keyring>, random: &Arc<SeededRandom>) -> TenantOptions {
        TenantOptions {
            tenant: self.tenant,
            keyring: Arc::clone(keyring),
            random: random.clone(),
        }
    }

    fn keyring_file(&self) -> PathBuf {
        Keyring::path(self.folder.path(), &self.tenant.id)
    }

    fn root_key_file(&self) -> PathBuf {
        self.folder.path().join("root.key")
    }
}

impl TestTenant {
    /// Sets up a municipality (its code, six digits) with members to exchange with and no way to reach them.
    pub async fn create(code: &str, members: Members) -> Self {
        Self::create_with_peers(code, members, Arc::new(NoPeers)).await
    }

    /// The same with a way to other nodes.
    pub async fn create_with_peers(
        code: &str,
        members: Members,
        peers: Arc<dyn PeerExchange>,
    ) -> Self {
        let (parts, clock, random) = Parts::new(code, members, peers, None);
        let keyring = parts.make_keyring(&random);
        let store = SqliteTenant::create(parts.in_folder(&keyring, &random)).await;
        let store = Arc::new(store.expect("a database"));
        Self::assemble(parts, keyring, store, clock, random).await
    }

    /// Sets up a municipality whose rows are in a PostgreSQL cluster; `owner` makes its partitions there.
    pub async fn create_in(
        cluster: Arc<PostgresCluster>,
        owner: &mut PostgresOwner,
        code: &str,
        members: Members,
    ) -> Self {
        let (parts, clock, random) = Parts::new(code, members, Arc::new(NoPeers), Some(cluster));
        let keyring = parts.make_keyring(&random);
        let added = owner.add_tenant(&parts.in_cluster(&keyring, &random)).await;
        added.expect("partitions");
        let store = parts.open(&keyring, &random).await;
        Self::assemble(parts, keyring, store, clock, random).await
    }

    /// Its id and code.
    pub fn tenant(&self) -> Tenant {
        self.parts.tenant
    }

    /// Everything it keeps on disk.
    pub fn folder(&self) -> &Path {
        self.parts.folder.path()
    }

    /// Writes the log out and closes the database; the folder stays until the returned handle is dropped.
    pub async fn close(self) -> tempfile::TempDir {
        self.shut().await.folder
    }

    /// Closes and opens again, as a restarted node does. Time and randomness go on.
    pub async fn restart(self) -> Self {
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let parts = self.shut().await;
        let root = RootKey::from_file(&parts.root_key_file()).expect("the root key");
        let keyring =
            Keyring::load(&parts.keyring_file(), &root, &parts.tenant.id).expect("the keyring");
        let keyring = Arc::new(keyring);
        let store = parts.open(&keyring, &random).await;
        Self::assemble(parts, keyring, store, clock, random).await
    }

    async fn shut(self) -> Parts {
        assert!(
            self.services.log.shutdown(Deadline::after(PATIENCE)).await,
            "the log wasn't written out in time"
        );
        self.store.close().await.expect("the database closes");
        self.services.keyring.close().expect("the keyring closes");
        self.parts
    }

    async fn assemble(
        parts: Parts,
        keyring: Arc<Keyring>,
        store: Arc<dyn TenantStore>,
        clock: Arc<FakeClock>,
        random: Arc<SeededRandom>,
    ) -> Self {
        let (time, chance): (Arc<dyn Clock>, Arc<dyn Random>) = (clock.clone(), random.clone());
        let kept = parts.folder.path().join("kept.checkpoint");
        let settings = LogOptions::new(
            parts.tenant,
            TRUST_DOMAIN,
            kept,
            time.clone(),
            chance.clone(),
        );
        let log_store: Arc<dyn LogStore> = store.clone();
        let log = ProvisionLog::start(log_store, Arc::clone(&keyring), settings)
            .await
            .expect("a log");
        let log = Arc::new(log);
        let own = SpiffeId::new(TRUST_DOMAIN, parts.tenant.code, Role::Exchange, None)
            .expect("an identity");
        let own = Caller {
            id: own,
            fingerprint: [0; 32],
            spki: [0; 32],
        };
        let persons: Arc<dyn PersonStore> = store.clone();
        let registry: Arc<dyn RegistryStore> = store.clone();
        let receipts: Arc<dyn ReceiptStore> = store.clone();
        let witness_store: Arc<dyn WitnessStore> = store.clone();
        let name = vrx_tlog::witness_name(TRUST_DOMAIN, &parts.tenant.code.to_string());
        let witness = WitnessKey::from_public_key(&name, &keyring.witness_public_key())
            .expect("a witness key");
        let node = NodeServices {
            clock: time.clone(),
            random: chance,
            codec: Arc::new(ProstAnswerCodec),
            peers: Arc::clone(&parts.peers),
            members: Arc::clone(&parts.members),
        };
        let services = Arc::new(TenantServices {
            tenant: parts.tenant,
            policy: TenantPolicy::default(),
            keyring,
            persons,
            registry,
            receipts,
            witness_store,
            witnesses: Arc::new(Witnessing::none(witness)),
            retention: store.clone(),
            destroyed: Arc::new(ListedInMemory::default()),
            refusals: Arc::new(Refusals::new(Arc::clone(&log), time, own)),
            log,
            node: Arc::new(node),
        });
        Self {
            services,
            store,
            clock,
            random,
            parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_that_is_restarted_goes_on_with_its_log() {
        let tenant = TestTenant::create("142051", Members::default()).await;
        let before = tenant.services.log.checkpoint();
        assert_eq!(before.size(), 1, "the first entry");
        let tenant = tenant.restart().await;
        assert_eq!(tenant.services.log.checkpoint().note(), before.note());
        tenant.close().await;
    }
}
