//! Many municipalities in one process, each with its share of the residents.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vrx_domain::{Members, MunicipalityCode};
use vrx_storage::{PostgresCluster, PostgresLimits, PostgresOwner, PostgresUrl};
use vrx_testkit::TestTenant;
use vrx_testkit::postgres::{NODE, PostgresServer, TestDatabase};
use vrx_tests::bench::machine;

use super::questions::{ask, latencies, member};
use super::residents::{DOSES, fill};
use super::{REQUESTER, progress};

/// Many tenants in one process: in one PostgreSQL database, or in a SQLite file each.
pub(super) struct Prefecture {
    tenants: Vec<Arc<TestTenant>>,
    pub(super) codes: Vec<MunicipalityCode>,
    /// Residents of one tenant.
    persons: u64,
    pub(super) all_persons: u64,
    /// Persons and doses a second while they were put in.
    pub(super) put_in_rate: f64,
    /// The most that this process had in memory meanwhile, in megabytes.
    pub(super) memory: f64,
    /// Where the rows are, unless in files of their own.
    pub(super) postgres: Option<OnPostgres>,
}

/// One database for all of them.
pub(super) struct OnPostgres {
    cluster: Arc<PostgresCluster>,
    pub(super) database: TestDatabase,
}

impl OnPostgres {
    async fn new(server: &Arc<PostgresServer>, connections: u32) -> (Self, PostgresOwner) {
        let database = TestDatabase::on(server);
        let owner_url = PostgresUrl::parse(&database.owner_url()).expect("the owner's address");
        let node_url = PostgresUrl::parse(&database.node_url()).expect("the node's address");
        let mut owner = PostgresOwner::connect(&owner_url).await.expect("the owner");
        owner.migrate().await.expect("the schema");
        owner.grant(NODE).await.expect("grants");
        let limits = PostgresLimits {
            connections,
            ..PostgresLimits::default()
        };
        let cluster = PostgresCluster::connect(&node_url, limits)
            .await
            .expect("the cluster");
        (Self { cluster, database }, owner)
    }
}

impl Prefecture {
    /// So many tenants, the residents spread evenly over them; on `server`, or in files.
    pub(super) async fn found(
        server: Option<&Arc<PostgresServer>>,
        count: usize,
        all_persons: u64,
        connections: u32,
    ) -> Self {
        let (postgres, mut owner) = match server {
            None => (None, None),
            Some(server) => {
                let (postgres, owner) = OnPostgres::new(server, connections).await;
                (Some(postgres), Some(owner))
            }
        };
        let requester: MunicipalityCode = REQUESTER.parse().expect("a code");
        let codes: Vec<MunicipalityCode> = (10_000..480_000)
            .filter_map(|code| MunicipalityCode::try_from(code).ok())
            .filter(|code| *code != requester)
            .take(count)
            .collect();
        let persons = (all_persons / count as u64).max(1);
        let mut tenants = Vec::new();
        let (mut filling, mut memory) = (Duration::ZERO, 0_f64);
        for (nth, code) in codes.iter().enumerate() {
            if nth % 100 == 0 {
                progress(&format!("{count} tenants: {nth} are there"));
            }
            let members = Members::new(vec![member(requester)]).expect("a member");
            let (text, in_cluster) = (code.to_string(), postgres.as_ref().zip(owner.as_mut()));
            let tenant = match in_cluster {
                None => TestTenant::create(&text, members).await,
                Some((on, owner)) => {
                    TestTenant::create_in(Arc::clone(&on.cluster), owner, &text, members).await
                }
            };
            let begun = Instant::now();
            memory = memory.max(fill(&tenant, *code, persons).await);
            filling += begun.elapsed();
            tenants.push(Arc::new(tenant));
        }
        if let Some(owner) = owner {
            owner.close().await.expect("the owner's end");
        }
        if let Some(on) = &postgres {
            on.database.sql("ANALYZE");
        }
        Self {
            tenants,
            codes,
            persons,
            all_persons,
            put_in_rate: (persons * count as u64 * u64::from(1 + DOSES)) as f64
                / filling.as_secs_f64(),
            memory,
            postgres,
        }
    }

    /// The word for its database.
    pub(super) fn on(&self) -> &'static str {
        match self.postgres {
            None => "SQLite",
            Some(_) => "PostgreSQL",
        }
    }

    /// Bytes that its rows take, in megabytes.
    pub(super) fn megabytes(&self) -> u64 {
        match &self.postgres {
            None => {
                let folders = self
                    .tenants
                    .iter()
                    .map(|tenant| tenant.folder().join("state"));
                let sizes = folders.map(|folder| machine::folder_size(&folder).expect("a folder"));
                sizes.sum::<u64>() / 1_000_000
            }
            Some(on) => {
                let size = "SELECT pg_database_size(current_database()) / 1000000";
                on.database.sql(size).trim().parse().expect("a size")
            }
        }
    }

    /// Answers a second with so many questions in flight, spread evenly over tenants and persons.
    pub(super) async fn rate(&self, in_flight: usize, window: Duration) -> f64 {
        self.answers(in_flight, window).await.0
    }

    /// The same, and how long each answer took, in microseconds.
    pub(super) async fn answers(
        &self,
        in_flight: usize,
        window: Duration,
    ) -> (f64, Histogram<u64>) {
        let until = Instant::now() + window;
        let mut tasks = JoinSet::new();
        for nth in 0..in_flight {
            let (tenants, persons) = (self.tenants.clone(), self.persons);
            tasks.spawn(async move {
                let mut took = latencies();
                let mut at = nth as u64 * 7919;
                while Instant::now() < until {
                    at = at
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let place = usize::try_from((at >> 33) % tenants.len() as u64).unwrap_or(0);
                    let asked = Instant::now();
                    ask(&tenants[place], (at >> 20) % persons).await;
                    took.saturating_record(
                        u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX),
                    );
                }
                took
            });
        }
        let begun = Instant::now();
        let mut took = latencies();
        while let Some(done) = tasks.join_next().await {
            took.add(done.expect("a question"))
                .expect("latencies of one scale");
        }
        (took.len() as f64 / begun.elapsed().as_secs_f64(), took)
    }

    pub(super) async fn close(self) {
        for tenant in self.tenants {
            if let Some(tenant) = Arc::into_inner(tenant) {
                tenant.close().await;
            }
        }
        if let Some(on) = self.postgres {
            on.cluster.close().await;
        }
    }
}
