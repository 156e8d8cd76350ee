//! Copies of one tenant between SQLite and PostgreSQL: the same rows in either direction, whatever moment one ends at.

use std::sync::Arc;

use vrx_crypto::Keyring;
use vrx_domain::{InquiryId, MunicipalityCode, Random, Tenant, TenantId, UnixMillis};
use vrx_storage::conformance::{
    Fixture, Seeded, dose_row, number, receipts, retention, row, witness,
};
use vrx_storage::copy::{
    LOG_ENTRY, Row, TABLES, TENANT_META, TenantSink, TenantSource, Value, compare, copy,
};
use vrx_storage::postgres::{
    Arrival, PostgresArrival, PostgresMoving, PostgresSource, PostgresTenant, TenantOptions,
};
use vrx_storage::{
    AppendError, BatchItem, Change, ImportKind, InquiryRecord, LogStore, Lookup, NotCommitted,
    PeerCheckpoint, PersonStore, RegistryStore, RetentionStore, SqliteOptions, SqliteReplacement,
    SqliteSource, SqliteTenant, StorageError, WitnessStore,
};
use vrx_testkit::postgres::TestDatabase;

use crate::{Ending, arrival, cluster, owner, quiet};

/// Of these tables a sample tenant has no rows.
fn is_empty(table: &str) -> bool {
    ["log_tile", "lost_log"].contains(&table)
}

/// A tenant in SQLite with more rows than one reading takes, and at least one in nearly every table.
struct Filled {
    folder: tempfile::TempDir,
    options: SqliteOptions,
    store: Arc<SqliteTenant>,
    fixture: Fixture,
}

impl Filled {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Arc<dyn Random> = Arc::new(Seeded::new(1));
        let tenant = Fixture::tenant();
        let keyring = Arc::new(Keyring::create(&tenant, &*random).ok().unwrap());
        let options = SqliteOptions {
            state_dir: folder.path().to_owned(),
            tenant,
            keyring: keyring.clone(),
            random,
        };
        let store = Arc::new(SqliteTenant::create(options.clone()).await.unwrap());
        let fixture = Fixture {
            store: store.clone(),
            second: store.clone(),
            tenant,
            keyring,
            random: Arc::new(Seeded::new(2)),
        };
        fixture.residents(250, 2).await;
        let inquiry = InquiryRecord {
            id: InquiryId::from_bytes([5; 16]),
            expires_at: UnixMillis(9_000),
            version: 1,
            body: zeroize::Zeroizing::new(b"asked".to_vec()),
        };
        let inquiry = store.prepare_inquiry(&inquiry).await.unwrap();
        fixture.commit(inquiry).await.unwrap();
        let peer: MunicipalityCode = "141003".parse().unwrap();
        let checkpoint = Change::keep_peer_checkpoint(PeerCheckpoint {
            peer,
            size: 7,
            note: "a note\n".to_owned(),
        });
        fixture.commit(checkpoint).await.unwrap();
        for change in [
            Change::keep_receipt(receipts::receipt(7)),
            Change::keep_receipt(receipts::receipt(1)),
            Change::recover_entry(receipts::recovered(8, 9)),
            Change::recovery_answered(receipts::answer("141003")),
        ] {
            fixture.commit(change).await.unwrap();
        }
        store
            .swap_witnessed(None, witness::witnessed(7, 1))
            .await
            .unwrap();
        store
            .keep_cosigned(witness::cosigned(7, "a witness"))
            .await
            .unwrap();
        let persons = store.spans(None, 2).await.unwrap();
        let listed = persons.iter().map(|person| person.id).collect();
        for change in [
            Change::propose_erasure(retention::run(0), listed, None),
            Change::place_hold(retention::hold(persons[0].id)),
        ] {
            fixture.commit(change).await.unwrap();
        }
        let about = |nth| BatchItem {
            change: None,
            subject: fixture.subject(nth),
        };
        for _ in 0..2 {
            fixture.append((0..300).map(about).collect()).await.unwrap();
        }
        Self {
            folder,
            options,
            store,
            fixture,
        }
    }

    async fn source(&self) -> SqliteSource {
        SqliteSource::open(self.folder.path().to_owned(), self.options.tenant)
            .await
            .unwrap()
    }

    fn tenant_options(&self) -> TenantOptions {
        TenantOptions {
            tenant: self.options.tenant,
            keyring: self.options.keyring.clone(),
            random: self.options.random.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_goes_to_postgresql_and_back_row_by_row() {
    let filled = Filled::new().await;
    let database = TestDatabase::fresh();
    let mut to = arrival(&database, filled.options.tenant).await;
    copy(&mut filled.source().await, &mut to, &mut quiet)
        .await
        .unwrap();
    let cluster = cluster(&database).await;
    // Nobody opens a tenant that is still arriving.
    let early = PostgresTenant::open(cluster.clone(), filled.tenant_options()).await;
    assert!(matches!(early.err(), Some(StorageError::Place { .. })));
    let mut through_nodes = PostgresSource::open(&cluster, filled.options.tenant)
        .await
        .unwrap();
    let counts = compare(&mut filled.source().await, &mut through_nodes, &mut quiet)
        .await
        .unwrap();
    drop(through_nodes);
    for (table, rows) in counts.iter() {
        assert!(rows > 0 || is_empty(table.name), "{}", table.name);
        assert_eq!(to.count(table).await.unwrap(), rows, "{}", table.name);
    }
    to.serve().await.unwrap();

    let there = PostgresTenant::open(cluster.clone(), filled.tenant_options())
        .await
        .unwrap();
    assert_eq!(
        there.head().await.unwrap(),
        filled.store.head().await.unwrap()
    );
    for nth in [0, 150, 249] {
        let Lookup::Found(person) = there.lookup(&number(nth)).await.unwrap() else {
            panic!("{nth} isn't in the copy");
        };
        assert_eq!(person.doses.len(), 2);
        let subject = filled.fixture.subject(nth);
        assert_eq!(
            there.subject_head(subject).await.unwrap(),
            filled.store.subject_head(subject).await.unwrap()
        );
    }
    let there = Arc::new(there);
    let grown = Fixture {
        store: there.clone(),
        second: there,
        tenant: filled.options.tenant,
        keyring: filled.options.keyring.clone(),
        random: Arc::new(Seeded::new(3)),
    };
    let import = grown.begin(ImportKind::Persons).await;
    grown.enter(import, [row(900)]).await;
    grown.enter_doses(import, [dose_row(900, 1)]).await;
    grown.approve(import).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut back = SqliteReplacement::begin(folder.path().to_owned(), filled.options.tenant)
        .await
        .unwrap();
    let mut from = PostgresSource::open(&cluster, filled.options.tenant)
        .await
        .unwrap();
    copy(&mut from, &mut back, &mut quiet).await.unwrap();
    compare(&mut from, &mut back, &mut quiet).await.unwrap();
    back.put_in_place().await.unwrap();
    let options = SqliteOptions {
        state_dir: folder.path().to_owned(),
        ..filled.options.clone()
    };
    let back = SqliteTenant::open(options).await.unwrap();
    assert!(matches!(
        back.lookup(&number(900)).await.unwrap(),
        Lookup::Found(_)
    ));
    assert_eq!(
        back.head().await.unwrap(),
        grown.store.head().await.unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_into_postgresql_that_ended_in_any_table_goes_on_where_it_ended() {
    let filled = Filled::new().await;
    let database = TestDatabase::fresh();
    let tenant = filled.options.tenant;
    for table in TABLES.into_iter().filter(|table| !is_empty(table.name)) {
        for after in [0, 1] {
            let mut to = arrival(&database, tenant).await;
            let mut ending = Ending {
                sink: &mut to,
                table,
                after,
            };
            let ended = copy(&mut filled.source().await, &mut ending, &mut quiet).await;
            assert_eq!(ended, Err(StorageError::Closed));
            drop(to);
            let mut again = arrival(&database, tenant).await;
            copy(&mut filled.source().await, &mut again, &mut quiet)
                .await
                .unwrap();
            compare(&mut filled.source().await, &mut again, &mut quiet)
                .await
                .unwrap();
            again.clear().await.unwrap();
            assert_eq!(again.count(TENANT_META).await.unwrap(), 0);
            assert_eq!(again.count(LOG_ENTRY).await.unwrap(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_holds_another_tenant_or_serves_this_one_is_refused() {
    let filled = Filled::new().await;
    let database = TestDatabase::fresh();
    let tenant = filled.options.tenant;
    let mut to = arrival(&database, tenant).await;
    copy(&mut filled.source().await, &mut to, &mut quiet)
        .await
        .unwrap();
    let other = Tenant {
        id: TenantId::from_bytes([2; 16]),
        ..tenant
    };
    let refused = PostgresArrival::begin(owner(&database).await, other).await;
    assert_eq!(refused.err(), Some(StorageError::OtherTenant));
    let foreign = Row(vec![Value::Bytes(vec![2; 16]), Value::Integer(16)]);
    assert_eq!(
        to.put(TENANT_META, &[foreign]).await,
        Err(StorageError::OtherTenant)
    );
    to.serve().await.unwrap();
    let again = PostgresArrival::begin(owner(&database).await, tenant)
        .await
        .unwrap();
    assert!(matches!(again, Arrival::Served));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_without_a_head_is_never_served() {
    let filled = Filled::new().await;
    let database = TestDatabase::fresh();
    let mut to = arrival(&database, filled.options.tenant).await;
    let meta = filled.source().await.rows(TENANT_META, None).await.unwrap();
    to.put(TENANT_META, &meta).await.unwrap();
    assert!(to.serve().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_being_moved_away_takes_no_entries_until_it_is_given_back() {
    let filled = Filled::new().await;
    let database = TestDatabase::fresh();
    let mut to = arrival(&database, filled.options.tenant).await;
    copy(&mut filled.source().await, &mut to, &mut quiet)
        .await
        .unwrap();
    to.serve().await.unwrap();
    let cluster = cluster(&database).await;
    let store = Arc::new(
        PostgresTenant::open(cluster.clone(), filled.tenant_options())
            .await
            .unwrap(),
    );
    let fixture = Fixture {
        store: store.clone(),
        second: store.clone(),
        tenant: filled.options.tenant,
        keyring: filled.options.keyring.clone(),
        random: Arc::new(Seeded::new(3)),
    };
    let entry = || {
        vec![BatchItem {
            change: None,
            subject: fixture.nobody(),
        }]
    };
    fixture.append(entry()).await.unwrap();
    let moving = PostgresMoving::begin(cluster.clone(), filled.options.tenant)
        .await
        .unwrap();
    let refused = fixture.append(entry()).await;
    assert_eq!(
        refused.err(),
        Some(AppendError::NotCommitted(NotCommitted::ReadOnly))
    );
    // Nor is anything cosigned that the rows on the other side wouldn't know.
    let held = witness::witnessed(7, 1);
    let (at, new) = (Some((held.size, held.root)), witness::witnessed(9, 2));
    let refused = store.swap_witnessed(at, new.clone()).await;
    assert_eq!(refused, Err(StorageError::ReadOnly));
    let refused = store.keep_cosigned(witness::cosigned(9, "a witness")).await;
    assert_eq!(refused, Err(StorageError::ReadOnly));
    assert!(
        PostgresMoving::is_marked(&cluster, filled.options.tenant)
            .await
            .unwrap()
    );
    moving.abandon().await.unwrap();
    fixture.append(entry()).await.unwrap();
    assert_eq!(store.swap_witnessed(at, new).await, Ok(true));
}
