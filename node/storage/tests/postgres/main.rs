//! The promises every database makes, kept by PostgreSQL, and what is PostgreSQL's alone.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::sync::Arc;

use vrx_crypto::Keyring;
use vrx_domain::Random;
use vrx_storage::conformance::{Fixture, Seeded};
use vrx_storage::{
    PostgresCluster, PostgresLimits, PostgresOwner, PostgresTenant, PostgresUrl, TenantOptions,
};
use vrx_testkit::postgres::{NODE, TestDatabase};

mod conformance {
    vrx_storage::conformance_suite!(crate::fresh);
}

/// What a test holds on to.
struct Keep {
    #[expect(dead_code, reason = "the database goes when it is dropped")]
    database: TestDatabase,
}

async fn fresh() -> (Fixture, Keep) {
    let database = TestDatabase::fresh();
    let url = |text: &str| PostgresUrl::parse(text).unwrap();
    let random: Arc<dyn Random> = Arc::new(Seeded::new(1));
    let tenant = Fixture::tenant();
    let keyring = Arc::new(Keyring::create(&tenant, &*random).ok().unwrap());
    let options = TenantOptions {
        tenant,
        keyring: keyring.clone(),
        random,
    };
    let mut owner = PostgresOwner::connect(&url(&database.owner_url()))
        .await
        .unwrap();
    owner.migrate().await.unwrap();
    owner.grant(NODE).await.unwrap();
    owner.add_tenant(&options).await.unwrap();
    owner.close().await.unwrap();
    let limits = PostgresLimits {
        connections: 3,
        ..PostgresLimits::default()
    };
    // Two processes: each with connections of its own.
    let process = async || {
        let node = url(&database.node_url());
        let cluster = PostgresCluster::connect(&node, limits).await.unwrap();
        Arc::new(
            PostgresTenant::open(cluster, options.clone())
                .await
                .unwrap(),
        )
    };
    let fixture = Fixture {
        store: process().await,
        second: process().await,
        tenant,
        keyring,
        random: Arc::new(Seeded::new(2)),
    };
    (fixture, Keep { database })
}
