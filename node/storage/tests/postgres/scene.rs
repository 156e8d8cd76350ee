//! A tenant in a database of its own, and handles of nodes on it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use vrx_crypto::Keyring;
use vrx_domain::{Random, Tenant, TenantId};
use vrx_storage::conformance::{Fixture, Seeded};
use vrx_storage::{
    PostgresCluster, PostgresLimits, PostgresOwner, PostgresTenant, PostgresUrl, TenantOptions,
};
use vrx_testkit::postgres::{NODE, PostgresServer, ServerOptions, TestDatabase};

/// A migrated database with one tenant, [`Fixture::tenant`].
pub(crate) struct Scene {
    pub(crate) database: TestDatabase,
    pub(crate) options: TenantOptions,
}

impl Scene {
    /// On the server that all tests here share.
    pub(crate) async fn fresh() -> Self {
        Self::of(TestDatabase::fresh()).await
    }

    /// On a server that the test may break.
    pub(crate) async fn on(server: &Arc<PostgresServer>) -> Self {
        Self::of(TestDatabase::on(server)).await
    }

    async fn of(database: TestDatabase) -> Self {
        let options = options(Fixture::tenant(), 1);
        let scene = Self { database, options };
        let mut owner = scene.owner().await;
        owner.migrate().await.unwrap();
        owner.grant(NODE).await.unwrap();
        owner.add_tenant(&scene.options).await.unwrap();
        owner.close().await.unwrap();
        scene
    }

    /// The role that owns the tables.
    pub(crate) async fn owner(&self) -> PostgresOwner {
        PostgresOwner::connect(&url(&self.database.owner_url()))
            .await
            .unwrap()
    }

    /// Adds a second tenant.
    pub(crate) async fn add(&self, code: &str) -> TenantOptions {
        let tenant = Tenant {
            id: TenantId::from_bytes([2; 16]),
            code: code.parse().unwrap(),
        };
        let options = options(tenant, 9);
        let mut owner = self.owner().await;
        owner.add_tenant(&options).await.unwrap();
        owner.close().await.unwrap();
        options
    }

    /// A node's connections to the database.
    pub(crate) async fn cluster(&self, limits: PostgresLimits) -> Arc<PostgresCluster> {
        PostgresCluster::connect(&url(&self.database.node_url()), limits)
            .await
            .unwrap()
    }

    /// The same by another port: that of a link to the server.
    pub(crate) async fn cluster_by(
        &self,
        port: u16,
        limits: PostgresLimits,
    ) -> Arc<PostgresCluster> {
        let text = self
            .database
            .server()
            .url_by_ports(&[port], NODE, self.database.name());
        PostgresCluster::connect(&url(&text), limits).await.unwrap()
    }

    /// The tenant as two nodes have it, each with connections of its own.
    pub(crate) async fn fixture(&self, limits: PostgresLimits) -> Fixture {
        let (one, two) = (
            self.cluster(limits).await,
            self.cluster(PostgresLimits::default()).await,
        );
        self.fixture_of(&self.options, one, two).await
    }

    /// A tenant as the nodes with these connections have it.
    pub(crate) async fn fixture_of(
        &self,
        options: &TenantOptions,
        one: Arc<PostgresCluster>,
        two: Arc<PostgresCluster>,
    ) -> Fixture {
        let open = async |cluster| {
            let tenant = PostgresTenant::open(cluster, options.clone()).await;
            Arc::new(tenant.unwrap())
        };
        Fixture {
            store: open(one).await,
            second: open(two).await,
            tenant: options.tenant,
            keyring: Arc::clone(&options.keyring),
            random: Arc::new(Seeded::new(2)),
        }
    }

    /// Waits until a condition, an SQL expression, holds in the database.
    pub(crate) async fn wait_for(&self, condition: &'static str) {
        let (server, name) = (
            Arc::clone(self.database.server()),
            self.database.name().to_owned(),
        );
        tokio::task::spawn_blocking(move || server.wait_for(&name, condition))
            .await
            .unwrap();
    }

    /// A connection of the superuser, to be in a node's way.
    pub(crate) async fn superuser(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .username("postgres")
            .database(self.database.name())
            .port(self.database.server().port())
            .socket(self.database.server().socket_folder());
        options.connect().await.unwrap()
    }
}

/// Two handles on a tenant in a database of its own, as the suite wants them.
pub(crate) async fn fresh() -> (Fixture, Scene) {
    let scene = Scene::fresh().await;
    let limits = PostgresLimits {
        connections: 3,
        ..PostgresLimits::default()
    };
    let cluster = scene.cluster(limits).await;
    let second = scene.cluster(limits).await;
    let fixture = scene.fixture_of(&scene.options, cluster, second).await;
    (fixture, scene)
}

/// A server that the test may break.
pub(crate) async fn start(options: ServerOptions) -> Arc<PostgresServer> {
    tokio::task::spawn_blocking(move || Arc::new(PostgresServer::start(options)))
        .await
        .unwrap()
}

/// Limits so short that a test can wait for them.
pub(crate) fn short() -> PostgresLimits {
    PostgresLimits {
        connections: 2,
        acquire: Duration::from_millis(500),
        statement: Duration::from_secs(2),
        lock: Duration::from_millis(500),
        slow: Duration::from_millis(250),
    }
}

pub(crate) fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).unwrap()
}

fn options(tenant: Tenant, seed: u64) -> TenantOptions {
    let random: Arc<dyn Random> = Arc::new(Seeded::new(seed));
    let keyring = Arc::new(Keyring::create(&tenant, &*random).ok().unwrap());
    TenantOptions {
        tenant,
        keyring,
        random,
    }
}
