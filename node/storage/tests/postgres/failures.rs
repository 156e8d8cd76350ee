//! What goes wrong at a server, and what the log is told: refused, to be tried again, unknown. All of it heals.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, Executor as _};
use vrx_storage::conformance::{Fixture, number, root, rows};
use vrx_storage::{
    AppendError, BatchItem, Change, ImportKind, NotCommitted, PostgresLimits, Prepared,
    StorageError,
};
use vrx_testkit::postgres::{PostgresServer, ServerOptions};
use vrx_testkit::{Link, LinkState};

use crate::scene::{Scene, short, start};

const HEAD_ROW: &str = "SELECT 1 FROM vrx.log_head FOR UPDATE";
/// A node waits for a row that somebody holds.
const WAITING: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                       AND usename = 'vrx_node' AND wait_event_type = 'Lock')";

pub(crate) fn entries(fixture: &Fixture, count: usize) -> Vec<BatchItem> {
    let entry = |_| BatchItem {
        change: None,
        subject: fixture.nobody(),
    };
    (0..count).map(entry).collect()
}

/// Appends a batch of two; something happens while it is sealed, in the middle of its transaction.
async fn append_while(
    fixture: &Fixture,
    happens: impl FnOnce() + Send + 'static,
) -> Result<Prepared, AppendError> {
    let head = fixture.second.head().await.unwrap();
    let items: Arc<[BatchItem]> = entries(fixture, 2).into();
    let subjects: Vec<_> = items.iter().map(|item| item.subject).collect();
    let seal = Box::new(move |prepared: &Prepared| {
        happens();
        Ok(rows(&subjects, prepared))
    });
    let expected = (head.size, head.root);
    fixture.store.append(expected, items, seal).await
}

/// Appends until it succeeds, as the log does; says how often it was refused.
pub(crate) async fn append_again(fixture: &Fixture) -> u32 {
    let mut refused = 0;
    loop {
        let Ok(head) = fixture.store.head().await else {
            refused += 1;
            assert!(refused < 200, "it never heals");
            continue;
        };
        let items: Arc<[BatchItem]> = entries(fixture, 1).into();
        let subjects: Vec<_> = items.iter().map(|item| item.subject).collect();
        let seal = Box::new(move |prepared: &Prepared| Ok(rows(&subjects, prepared)));
        match fixture
            .store
            .append((head.size, head.root), items, seal)
            .await
        {
            Ok(_) => return refused,
            Err(AppendError::NotCommitted(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(refused < 200, "it never heals");
    }
}

/// Another node's handle counts the entries, one by one.
pub(crate) async fn assert_whole(fixture: &Fixture, size: u64) {
    let head = fixture.second.head().await.unwrap();
    assert_eq!((head.size, head.root), (size, root(size)));
    let entries = fixture.second.entries(0, 60_000).await.unwrap();
    assert!(entries.iter().map(|entry| entry.index).eq(0..size));
}

async fn server() -> Arc<PostgresServer> {
    start(ServerOptions::default()).await
}

#[tokio::test]
async fn a_row_that_somebody_holds_makes_an_append_busy_and_nothing_else() {
    let scene = Scene::fresh().await;
    let fixture = scene.fixture(short()).await;
    let mut holder = scene.superuser().await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute(HEAD_ROW).await.unwrap();
    let refused = append_while(&fixture, || {}).await;
    assert_eq!(refused, Err(NotCommitted::Busy.into()));
    assert!(fixture.store.head().await.is_ok(), "reading goes on");
    drop(fixture.store.lookup(&number(1)).await.unwrap());
    holder.execute("ROLLBACK").await.unwrap();
    append_while(&fixture, || {}).await.unwrap();
    assert_whole(&fixture, 2).await;
}

#[tokio::test]
async fn a_pool_whose_connections_are_all_in_use_is_busy_in_bounded_time_and_heals() {
    let scene = Scene::fresh().await;
    let limits = PostgresLimits {
        connections: 1,
        lock: Duration::from_secs(5),
        statement: Duration::from_secs(10),
        ..short()
    };
    let fixture = scene.fixture(limits).await;
    let mut holder = scene.superuser().await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute(HEAD_ROW).await.unwrap();
    let waiting = append_while(&fixture, || {});
    let crowd = async {
        scene.wait_for(WAITING).await;
        let number = number(1);
        let (head, lookup) = tokio::join!(fixture.store.head(), fixture.store.lookup(&number));
        assert_eq!(head, Err(StorageError::Busy));
        assert_eq!(lookup.err(), Some(StorageError::Busy));
        holder.execute("ROLLBACK").await.unwrap();
    };
    let (appended, ()) = tokio::join!(waiting, crowd);
    appended.unwrap();
    drop(fixture.store.lookup(&number(1)).await.unwrap());
    assert_whole(&fixture, 2).await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_busy_and_heals() {
    let scene = Scene::fresh().await;
    let limits = PostgresLimits {
        statement: Duration::from_millis(400),
        lock: Duration::from_secs(5),
        ..short()
    };
    let fixture = scene.fixture(limits).await;
    let mut holder = scene.superuser().await;
    holder.execute("BEGIN").await.unwrap();
    holder
        .execute("LOCK TABLE vrx.person_tag IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let lookup = fixture.store.lookup(&number(1)).await;
    assert_eq!(lookup.err(), Some(StorageError::Busy));
    holder.execute("ROLLBACK").await.unwrap();
    drop(fixture.store.lookup(&number(1)).await.unwrap());
}

#[tokio::test]
async fn lookups_that_wait_for_the_one_before_them_are_counted() {
    let scene = Scene::fresh().await;
    let limits = PostgresLimits {
        statement: Duration::from_mins(1),
        lock: Duration::from_mins(1),
        ..short()
    };
    let fixture = scene.fixture(limits).await;
    let mut holder = scene.superuser().await;
    holder.execute("BEGIN").await.unwrap();
    holder
        .execute("LOCK TABLE vrx.person_tag IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let ask = |nth| {
        let store = Arc::clone(&fixture.store);
        tokio::spawn(async move { store.lookup(&number(nth)).await.map(drop) })
    };
    let mut asking = vec![ask(0)];
    scene.wait_for(WAITING).await;
    assert_eq!(fixture.store.lookup_queue().waiting, 0);
    asking.extend((1..4).map(ask));
    let queued = async {
        while fixture.store.lookup_queue().waiting != 3 {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, queued)
        .await
        .expect("three wait");
    holder.execute("ROLLBACK").await.unwrap();
    for asked in asking {
        asked.await.unwrap().unwrap();
    }
    let queue = fixture.store.lookup_queue();
    assert!(queue.waiting == 0 && queue.limit > 3, "{queue:?}");
}

/// What PostgreSQL calls a serialisation failure comes as a deadlock here: nothing is read under an older state and
/// written under a newer one.
#[tokio::test]
async fn a_deadlock_is_a_lost_try() {
    let scene = Scene::fresh().await;
    // Long enough for the circle to be closed before the append looks for one.
    scene.database.sql(&format!(
        "ALTER DATABASE {} SET deadlock_timeout = '3s'",
        scene.database.name()
    ));
    let limits = PostgresLimits {
        lock: Duration::from_mins(1),
        statement: Duration::from_mins(1),
        ..short()
    };
    let fixture = scene.fixture(limits).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let mut holder = scene.superuser().await;
    // The one who looks first for a circle is the one who gives way: the append.
    holder
        .execute("SET deadlock_timeout = '10min'")
        .await
        .unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder
        .execute("UPDATE vrx.tenant_meta SET approvals = approvals")
        .await
        .unwrap();
    let approval = |fixture: &Fixture| {
        let chief = vrx_storage::conformance::CHIEF.to_owned();
        let change = Change::approve_import(import, chief, vrx_domain::UnixMillis(2_000));
        let items: Arc<[BatchItem]> = Arc::new([BatchItem {
            change: Some(change),
            subject: fixture.nobody(),
        }]);
        let subject = items[0].subject;
        let seal = Box::new(move |prepared: &Prepared| Ok(rows(&[subject], prepared)));
        (items, seal)
    };
    let (items, seal) = approval(&fixture);
    let expected = (1, root(1));
    let append = fixture.store.append(expected, items, seal);
    let circle = async {
        scene.wait_for(WAITING).await;
        holder.execute(HEAD_ROW).await.unwrap();
        holder.execute("COMMIT").await.unwrap();
    };
    let (appended, ()) = tokio::join!(append, circle);
    assert_eq!(appended, Err(NotCommitted::Busy.into()));
    let counted = "EXISTS (SELECT FROM pg_stat_database WHERE datname = current_database() AND deadlocks = 1)";
    scene.wait_for(counted).await;
    let (items, seal) = approval(&fixture);
    fixture.store.append(expected, items, seal).await.unwrap();
    assert_whole(&fixture, 2).await;
}

/// Servers that decide otherwise about order than this one say so in a statement, or only when it comes to the commit.
#[tokio::test]
async fn a_serialisation_failure_is_a_lost_try_whether_a_statement_or_the_commit_meets_it() {
    let scene = Scene::fresh().await;
    let fixture = scene.fixture(short()).await;
    scene.database.sql(
        "CREATE SEQUENCE public.tries;
         CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             IF nextval('public.tries') <= 2 THEN RAISE SQLSTATE '40001'; END IF;
             RETURN NEW;
         END $$",
    );
    append_while(&fixture, || {}).await.unwrap();
    let mut size = 2;
    for trigger in [
        "TRIGGER lose BEFORE UPDATE ON vrx.log_head",
        "CONSTRAINT TRIGGER lose AFTER UPDATE ON vrx.log_head DEFERRABLE INITIALLY DEFERRED",
    ] {
        scene.database.sql(&format!(
            "SELECT setval('public.tries', 1, false);
             CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION public.lose()"
        ));
        for _ in 0..2 {
            let refused = append_while(&fixture, || {}).await;
            assert_eq!(refused, Err(NotCommitted::Busy.into()), "{trigger}");
            assert_whole(&fixture, size).await;
        }
        append_while(&fixture, || {}).await.unwrap();
        size += 2;
        assert_whole(&fixture, size).await;
        scene.database.sql("DROP TRIGGER lose ON vrx.log_head");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_before_the_commit_leaves_nothing_of_the_batch() {
    let server = server().await;
    let scene = Scene::on(&server).await;
    let fixture = scene.fixture(short()).await;
    let ends: [fn(&PostgresServer); 2] = [PostgresServer::kill, PostgresServer::stop_at_once];
    for (round, end) in (0..).zip(ends) {
        let dying = Arc::clone(&server);
        let refused = append_while(&fixture, move || end(&dying)).await;
        assert_eq!(refused, Err(NotCommitted::Busy.into()));
        let away = fixture.store.head().await.unwrap_err();
        assert!(
            matches!(away, StorageError::Unreachable(_) | StorageError::Busy),
            "{away}"
        );
        let starting = Arc::clone(&server);
        tokio::task::spawn_blocking(move || starting.start_again())
            .await
            .unwrap();
        append_again(&fixture).await;
        append_again_through_the_other(&fixture).await;
        assert_whole(&fixture, 2 * (round + 1)).await;
    }
}

async fn append_again_through_the_other(fixture: &Fixture) {
    append_again(&fixture.other()).await;
}

/// The commit is on the primary's disk and waits for a standby that isn't there: that is what stays open when a primary is
/// lost at this moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_never_comes_is_unknown_and_the_head_tells_later() {
    let server = server().await;
    let scene = Scene::on(&server).await;
    let limits = PostgresLimits {
        statement: Duration::from_secs(1),
        ..short()
    };
    let fixture = scene.fixture(limits).await;
    server.set("synchronous_standby_names", "nobody");
    // Until the server has read that, commits are confirmed.
    let mut size = 0;
    let unknown = loop {
        match append_while(&fixture, || {}).await {
            Ok(_) => size += 2,
            Err(why) => break why,
        }
    };
    assert!(matches!(unknown, AppendError::Unknown(_)), "{unknown}");
    // Nobody is told of it while it waits.
    assert_eq!(fixture.second.head().await.unwrap().size, size);
    let ending = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        ending.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
        ending.kill();
        ending.start_again();
    })
    .await
    .unwrap();
    append_again(&fixture).await;
    append_again_through_the_other(&fixture).await;
    assert_whole(&fixture, size + 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_to_the_server_that_breaks_or_stalls_is_never_taken_for_a_commit() {
    let scene = Scene::fresh().await;
    let link = Arc::new(Link::to(scene.database.server().port()).await);
    let limits = PostgresLimits {
        statement: Duration::from_millis(500),
        ..short()
    };
    let ours = scene.cluster_by(link.port(), limits).await;
    let second = scene.cluster(PostgresLimits::default()).await;
    let fixture = scene.fixture_of(&scene.options, ours, second).await;
    let mut size = 0;
    for state in [
        LinkState::Cut,
        LinkState::Stalled,
        LinkState::AnswersStalled,
    ] {
        let breaking = Arc::clone(&link);
        let refused = append_while(&fixture, move || breaking.set(state)).await;
        assert_eq!(refused, Err(NotCommitted::Busy.into()), "{state:?}");
        link.set(LinkState::Open);
        append_again(&fixture).await;
        append_again_through_the_other(&fixture).await;
        size += 2;
        assert_whole(&fixture, size).await;
    }
}

#[tokio::test]
async fn a_connection_that_the_server_ends_costs_one_try() {
    let scene = Scene::fresh().await;
    let fixture = scene.fixture(short()).await;
    let mut superuser = scene.superuser().await;
    for round in 0..5 {
        superuser
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND usename = 'vrx_node'",
            )
            .await
            .unwrap();
        let refused = append_again(&fixture).await + append_again(&fixture.other()).await;
        assert!(refused <= 20, "round {round}: refused {refused} times");
        assert_whole(&fixture, 2 * (round + 1)).await;
    }
    superuser.close().await.unwrap();
}
