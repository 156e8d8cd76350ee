//! The steps of a batch, each failing in the database itself, on both: nothing of the batch stands, nobody holds a receipt of it, and
//! after a restart the whole log verifies and goes on without a gap.
//!
//! | step | fails here | succeeds and is reported as failed |
//! | --- | --- | --- |
//! | assign places, seal | `seal` refuses: `provision-log/tests/log/faults.rs` (`RolledBack`) | the same |
//! | write leaves and openings (one row) | [`Step::Entries`] | `Commit` below: one transaction |
//! | write tiles | [`Step::Tiles`] | the same |
//! | move the head | [`Step::Head`] | the same |
//! | commit | [`Step::Commit`]; EIO, ENOSPC, kill -9: `failures.rs`, `crash.rs` | `faults.rs` (`CommittedUnknown`, `CommittedLate`), `storage/tests/postgres` (answers cut off) |
//! | sign | can't fail; lost with the process: `crash.rs` | the start signs what stands |
//! | reply | `faults.rs`: a caller that leaves while its batch is committed has its entry | the same |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::PathBuf;
use std::time::Duration;

use vrx_domain::audit::{desk_actor, desk_content};
use vrx_domain::{Caller, EntryKind, Members, Role, SpiffeId};
use vrx_provision_log::{Deadline, Depth, Entry, RecordError, Recorded, Subject};
use vrx_storage::{PostgresCluster, PostgresLimits, PostgresOwner, PostgresUrl};
use vrx_testkit::TestTenant;
use vrx_testkit::postgres::{NODE, TestDatabase};
use vrx_tests::demo::On;
use vrx_tests::on_both_databases;
use vrx_tlog::verify_receipt;

on_both_databases! {
    a_step_that_fails_leaves_nothing_and_the_log_goes_on_without_a_gap,
}

const CODE: &str = "142051";
/// Entries of a full tile, so that a batch writes one.
const TILE: usize = 256;

/// Where a batch fails.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The rows of leaves and openings.
    Entries,
    /// A full tile.
    Tiles,
    /// The head.
    Head,
    /// The end of the transaction, everything having been written.
    Commit,
}

/// A tenant, and a way past the node into its database.
struct Scene {
    tenant: TestTenant,
    database: Option<TestDatabase>,
}

impl Scene {
    async fn new(on: On) -> Self {
        match on {
            On::Sqlite => Self {
                tenant: TestTenant::create(CODE, Members::default()).await,
                database: None,
            },
            On::Postgres => {
                let database = TestDatabase::fresh();
                let url = |text: &str| PostgresUrl::parse(text).unwrap();
                let mut owner = PostgresOwner::connect(&url(&database.owner_url()))
                    .await
                    .unwrap();
                owner.migrate().await.unwrap();
                owner.grant(NODE).await.unwrap();
                let node = url(&database.node_url());
                let cluster = PostgresCluster::connect(&node, PostgresLimits::default())
                    .await
                    .unwrap();
                let tenant =
                    TestTenant::create_in(cluster, &mut owner, CODE, Members::default()).await;
                owner.close().await.unwrap();
                Self {
                    tenant,
                    database: Some(database),
                }
            }
        }
    }

    fn run(&self, sqlite: &str, postgres: &str) {
        match &self.database {
            None => {
                let file: PathBuf = self.tenant.folder().join("state").join(CODE).join("vrx.db");
                let beside = rusqlite::Connection::open(file).unwrap();
                beside.busy_timeout(Duration::from_secs(10)).unwrap();
                beside.execute_batch(sqlite).unwrap();
            }
            Some(database) => {
                database.sql(postgres);
            }
        }
    }

    fn break_at(&self, step: Step) {
        let (sqlite, postgres) = match step {
            Step::Entries => (
                "BEFORE INSERT ON log_entry",
                "TRIGGER fault BEFORE INSERT ON vrx.log_entry",
            ),
            Step::Tiles => (
                "BEFORE INSERT ON log_tile",
                "TRIGGER fault BEFORE INSERT ON vrx.log_tile",
            ),
            Step::Head => (
                "BEFORE UPDATE ON log_head",
                "TRIGGER fault BEFORE UPDATE ON vrx.log_head",
            ),
            Step::Commit => (
                "AFTER UPDATE ON log_head",
                "CONSTRAINT TRIGGER fault AFTER UPDATE ON vrx.log_head DEFERRABLE INITIALLY DEFERRED",
            ),
        };
        let how = if matches!(step, Step::Commit) {
            "ROLLBACK"
        } else {
            "ABORT"
        };
        self.run(
            &format!("CREATE TRIGGER fault {sqlite} BEGIN SELECT RAISE({how}, 'a fault'); END"),
            &format!(
                "CREATE OR REPLACE FUNCTION vrx.fault() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'a fault'; END $$;
                 CREATE {postgres} FOR EACH ROW EXECUTE FUNCTION vrx.fault()"
            ),
        );
    }

    fn mend(&self) {
        self.run("DROP TRIGGER fault", "DROP FUNCTION vrx.fault() CASCADE");
    }

    async fn record(&self, nth: usize, deadline: Deadline) -> Result<Recorded<usize>, RecordError> {
        let caller = Caller {
            id: SpiffeId::new("vrx.test", CODE.parse().unwrap(), Role::Staff, Some("sato"))
                .unwrap(),
            fingerprint: [0; 32],
            spki: [0; 32],
        };
        let entry = Entry {
            kind: EntryKind::Desk,
            actor: desk_actor(&caller, "test"),
            subject: Subject::Unknown,
            content: desk_content(&[("nth", &nth.to_string())]),
        };
        self.tenant
            .services
            .log
            .record(entry, None, nth, deadline)
            .await
    }

    async fn record_all(
        &self,
        count: usize,
        deadline: Deadline,
    ) -> Vec<Result<Recorded<usize>, RecordError>> {
        let all = (0..count).map(|nth| self.record(nth, deadline));
        futures_util::future::join_all(all).await
    }

    async fn size(&self) -> u64 {
        self.tenant.store.head().await.unwrap().size
    }

    /// Every receipt is one of this log, and the log is whole.
    async fn check(&self, held: Vec<Recorded<usize>>) {
        let reader = self.tenant.services.log.reader();
        let newest = reader.checkpoint();
        for recorded in held {
            let (_, receipt, _) = recorded.into_parts();
            verify_receipt(&receipt, reader.verifier_key(), None).unwrap();
            let shown = vrx_tlog::Checkpoint::open(
                &receipt.checkpoint,
                reader.verifier_key(),
                reader.verifier_key().name(),
            )
            .unwrap();
            let proof = reader
                .consistency(shown.size, &newest, soon())
                .await
                .unwrap();
            vrx_tlog::verify_consistency(
                shown.size,
                newest.size(),
                &shown.root,
                &newest.root(),
                &proof,
            )
            .unwrap();
        }
        let report = reader
            .verify_all(Depth::Openings, &mut |_, _| ())
            .await
            .unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

async fn a_step_that_fails_leaves_nothing_and_the_log_goes_on_without_a_gap(on: On) {
    for step in [Step::Entries, Step::Tiles, Step::Head, Step::Commit] {
        let mut scene = Scene::new(on).await;
        let mut held: Vec<Recorded<usize>> = Vec::new();
        for recorded in scene.record_all(TILE - 10, soon()).await {
            held.push(recorded.unwrap());
        }
        let before = scene.size().await;
        scene.break_at(step);
        let short = Deadline::after(Duration::from_secs(2));
        let refused = scene.record_all(TILE, short).await;
        let stood = scene.size().await;
        let answered = refused.iter().filter(|recorded| recorded.is_ok()).count() as u64;
        // A batch that fills no tile may stand before the one that does.
        assert_eq!(
            stood - before,
            answered,
            "{step:?}: what stands is what was answered"
        );
        assert!(answered < TILE as u64, "{step:?}");
        if !matches!(step, Step::Tiles) {
            assert_eq!(answered, 0, "{step:?}");
        }
        held.extend(refused.into_iter().flatten());

        scene.mend();
        scene.tenant = scene.tenant.restart().await;
        for recorded in scene.record_all(TILE, soon()).await {
            held.push(recorded.unwrap());
        }
        scene.check(held).await;
        scene.tenant.close().await;
    }
}
