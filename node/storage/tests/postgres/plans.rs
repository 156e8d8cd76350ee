//! How the server runs the statements of a node: by key, within one tenant's partitions, whatever others do in theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::Executor as _;
use vrx_domain::{InquiryId, UnixMillis};
use vrx_storage::conformance::{
    Fixture, dose_row, number, receipts, retention, row, rows, witness,
};
use vrx_storage::{
    BatchItem, Change, DoseRow, ImportKind, InquiryRecord, PeerCheckpoint, PersonRow,
    PostgresLimits, Prepared, TileRow, WitnessedLog,
};
use vrx_testkit::postgres::{PostgresServer, ServerOptions};
use zeroize::Zeroizing;

use crate::scene::{Scene, start};

/// The other tenant: Yokohama.
const OTHER: &str = "141003";

/// Every statement that a serving node runs, by its name.
const STATEMENTS: [&str; 46] = [
    "add_batch",
    "add_dose_revisions",
    "add_inquiry",
    "add_person_revisions",
    "add_persons",
    "add_tags",
    "count_approval",
    "cosigned",
    "counts",
    "create_import",
    "entered_with",
    "expire_inquiries",
    "first_witnessed",
    "import",
    "imports",
    "inquiry",
    "keep_cosigned",
    "keep_peer_checkpoint",
    "keep_receipt",
    "log_entries",
    "log_head",
    "log_head_held",
    "log_leaves",
    "log_tiles",
    "lost_logs",
    "newest_doses",
    "newest_revisions",
    "peer_checkpoint",
    "persons",
    "persons_by_tags",
    "persons_of_tags",
    "persons_stand",
    "put_import",
    "receipts",
    "recover_entry",
    "recovered",
    "recovered_under",
    "recovery_answered",
    "recovery_answers",
    "replace_inquiry",
    "subject_heads",
    "swap_witnessed",
    "tenant_meta",
    "tenant_served",
    "witnessed",
    "write_canary",
];

/// Those that read a tenant's whole table, and are on nobody's way.
const WHOLE_TABLE: [&str; 2] = ["counts", "expire_inquiries"];

/// Does everything that a node does to a tenant, once at least.
async fn everything(fixture: &Fixture, round: u8) {
    let import = fixture.begin(ImportKind::Persons).await;
    let residents = u64::from(round) * 200..u64::from(round) * 200 + 120;
    let people: Vec<PersonRow> = residents.clone().map(row).collect();
    fixture.enter(import, people).await;
    let ledger: Vec<DoseRow> = residents
        .flat_map(|nth| [dose_row(nth, 1), dose_row(nth, 2)])
        .collect();
    fixture.enter_doses(import, ledger).await;
    fixture.approve(import).await.unwrap();
    let person = fixture.found(u64::from(round) * 200 + 7).await.id;
    fixture.store.entered_with(person).await.unwrap();
    drop(fixture.store.lookup(&number(9_999)).await.unwrap());
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.store.import(import).await.unwrap();
    fixture.store.imports().await.unwrap();
    fixture.store.counts().await.unwrap();
    let id = InquiryId::from_bytes([round; 16]);
    for version in [1, 2] {
        let inquiry = InquiryRecord {
            id,
            expires_at: UnixMillis(100),
            version,
            body: Zeroizing::new(b"asked".to_vec()),
        };
        let change = fixture.store.prepare_inquiry(&inquiry).await.unwrap();
        fixture.commit(change).await.unwrap();
    }
    fixture.store.inquiry(id, UnixMillis(1)).await.unwrap();
    fixture.store.expire_inquiries(UnixMillis(1)).await.unwrap();
    let peer = "131041".parse().unwrap();
    let checkpoint = PeerCheckpoint {
        peer,
        size: u64::from(round),
        note: "a note".to_owned(),
    };
    fixture
        .commit(Change::keep_peer_checkpoint(checkpoint))
        .await
        .unwrap();
    fixture.store.peer_checkpoint(peer).await.unwrap();
    receipts_and_recovery(fixture, round).await;
    witnesses(fixture, round).await;
    let head = fixture.store.head().await.unwrap();
    let subjects = [fixture.subject(7), fixture.subject(7), fixture.nobody()];
    let items: Arc<[BatchItem]> = subjects
        .iter()
        .map(|subject| BatchItem {
            change: None,
            subject: *subject,
        })
        .collect();
    let seal = Box::new(move |prepared: &Prepared| {
        let mut rows = rows(&subjects, prepared);
        rows.tiles.push(TileRow {
            level: 0,
            index: u64::from(round),
            hashes: vec![0; 8192],
        });
        Ok(rows)
    });
    let expected = (head.size, head.root);
    fixture.store.append(expected, items, seal).await.unwrap();
    fixture.store.leaves(head.size, 10).await.unwrap();
    fixture.store.entries(head.size, 10).await.unwrap();
    fixture
        .store
        .tiles(&[(0, 0), (0, u64::from(round))])
        .await
        .unwrap();
    fixture
        .store
        .subject_head(fixture.subject(7))
        .await
        .unwrap();
    fixture.store.canary().await.unwrap();
}

async fn receipts_and_recovery(fixture: &Fixture, round: u8) {
    let nth = u64::from(round);
    let kept = receipts::receipt(nth);
    let entry = receipts::recovered(nth, nth);
    let answer = receipts::answer(["131041", "011002"][usize::from(round % 2)]);
    for change in [
        Change::keep_receipt(kept.clone()),
        Change::recover_entry(entry),
        Change::recovery_answered(answer),
    ] {
        fixture.commit(change).await.unwrap();
    }
    let (store, origin) = (&fixture.store, kept.origin.as_str());
    let held = store.receipts(kept.provider, origin, nth, 1).await.unwrap();
    assert_eq!(held, std::slice::from_ref(&kept));
    store.lost_logs().await.unwrap();
    assert_eq!(store.recovered(origin, nth, 1).await.unwrap().len(), 1);
    let under = store.recovered_under(origin, nth).await.unwrap();
    assert!(under.is_some());
    assert!(!store.recovery_answers(origin).await.unwrap().is_empty());
}

async fn witnesses(fixture: &Fixture, round: u8) {
    let store = &fixture.store;
    let of = |size| WitnessedLog {
        origin: format!("a log of round {round}"),
        ..witness::witnessed(size, round)
    };
    let first = of(1);
    let (origin, at) = (first.origin.clone(), Some((first.size, first.root)));
    assert!(store.swap_witnessed(None, first).await.unwrap());
    assert!(store.swap_witnessed(at, of(2)).await.unwrap());
    assert_eq!(store.witnessed(&origin).await.unwrap(), Some(of(2)));
    let cosigned = witness::cosigned(u64::from(round), "a witness");
    store.keep_cosigned(cosigned.clone()).await.unwrap();
    let kept = store.cosigned(&cosigned.origin).await.unwrap();
    assert_eq!(kept, Some(cosigned));
}

/// The server's log, with all that was said before now.
async fn whole_log(server: &PostgresServer) -> String {
    static MARKS: AtomicU32 = AtomicU32::new(0);
    let mark = format!("mark_{}_", MARKS.fetch_add(1, Ordering::Relaxed));
    server.sql("postgres", &format!("SELECT '{mark}'"));
    let mut log = server.log();
    while !log.contains(&mark) {
        tokio::task::yield_now().await;
        log = server.log();
    }
    log
}

/// The plans in a server's log, by the name of the statement.
fn plans(log: &str) -> BTreeMap<String, Vec<String>> {
    let mut plans: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Lines of one message go on behind a tab.
    for message in log.replace("\n\t", "\u{1}").lines() {
        let Some((_, plan)) = message.split_once("Query Text: -- ") else {
            continue;
        };
        let mut lines = plan.split('\u{1}');
        let name = lines.next().unwrap_or_default().to_owned();
        let nodes: Vec<&str> = lines.skip_while(|line| !line.contains("(cost=")).collect();
        plans.entry(name).or_default().push(nodes.join("\n"));
    }
    plans
}

/// Tables without partitions: a row a tenant.
fn is_single(relation: &str) -> bool {
    [
        "tenant_meta",
        "log_head",
        "canary",
        "lost_log",
        "recovery_answer",
        "witnessed_log",
        "cosigned_checkpoint",
        "erasure_person",
    ]
    .contains(&relation)
}

fn check(name: &str, plan: &str) {
    let said = format!("{name}:\n{plan}");
    assert!(!plan.contains(OTHER), "another tenant's partition: {said}");
    for word in ["Seq Scan", "Bitmap", "Hash Join", "Merge Join", "Parallel"] {
        assert!(!plan.contains(word), "{word}: {said}");
    }
    if !WHOLE_TABLE.contains(&name) {
        assert!(
            !plan.contains("Rows Removed by Filter"),
            "rows are read that nobody asked for: {said}"
        );
    }
    for line in plan.lines().filter(|line| line.contains("Index")) {
        if let Some((_, rest)) = line.split_once(" on ") {
            let relation = rest.split(' ').next().unwrap_or_default();
            assert!(
                relation.ends_with("_142051") || is_single(relation),
                "{relation}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_key_in_the_tenants_own_partition() {
    let server = start(
        ServerOptions::default()
            .setting("shared_preload_libraries", "auto_explain")
            .setting("auto_explain.log_min_duration", "0")
            .setting("auto_explain.log_analyze", "on"),
    )
    .await;
    let scene = Scene::on(&server).await;
    let other = scene.add(OTHER).await;
    let cluster = scene.cluster(PostgresLimits::default()).await;
    let theirs = scene
        .fixture_of(&other, cluster.clone(), cluster.clone())
        .await;
    theirs.residents(120, 1).await;
    // With tables that were never analysed, as after an import, and with what the server knows of them later.
    let ours = scene
        .fixture_of(&scene.options, cluster.clone(), cluster)
        .await;
    let mut from = whole_log(&server).await.len();
    for round in [1, 2] {
        everything(&ours, round).await;
        let log = whole_log(&server).await;
        let plans = plans(log.get(from..).unwrap_or_default());
        let seen: BTreeSet<&str> = plans.keys().map(String::as_str).collect();
        for name in STATEMENTS {
            assert!(
                name == "tenant_meta" || seen.contains(name),
                "{name} is not seen to run"
            );
        }
        for (name, plans) in &plans {
            assert!(
                STATEMENTS.contains(&name.as_str()),
                "{name} is missing in the list"
            );
            for plan in plans {
                check(name, plan);
            }
        }
        scene.database.sql("VACUUM ANALYZE");
        from = whole_log(&server).await.len();
    }
}

#[tokio::test]
async fn a_tenant_whose_partitions_are_all_locked_keeps_no_other_waiting() {
    let scene = Scene::fresh().await;
    scene.add(OTHER).await;
    let fixture = scene.fixture(PostgresLimits::default()).await;
    everything(&fixture, 1).await;
    let mut holder = scene.superuser().await;
    holder.execute("BEGIN").await.unwrap();
    let locked = "DO $$ DECLARE name text; BEGIN \
                  FOR name IN SELECT relname FROM pg_class WHERE relname LIKE '%\\_141003' AND relkind = 'r' \
                  LOOP EXECUTE format('LOCK TABLE vrx.%I IN ACCESS EXCLUSIVE MODE', name); END LOOP; END $$";
    holder.execute(locked).await.unwrap();
    let held = scene.database.sql(
        "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation \
         WHERE relname LIKE '%\\_141003' AND mode = 'AccessExclusiveLock' AND granted",
    );
    assert_eq!(held, "11", "the other tenant's partitions are locked");
    everything(&fixture, 2).await;
    retention::erase_all_that_is_due(&fixture).await;
    assert_eq!(fixture.store.counts().await.unwrap().persons, 0);
    holder.execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn a_node_without_rights_to_the_partitions_goes_over_the_tables() {
    let scene = Scene::fresh().await;
    scene.database.sql(
        "DO $$ DECLARE name text; BEGIN \
         FOR name IN SELECT relname FROM pg_class WHERE relname LIKE '%\\_142051' AND relkind = 'r' \
         LOOP EXECUTE format('REVOKE ALL ON vrx.%I FROM vrx_node', name); END LOOP; END $$",
    );
    let fixture = scene.fixture(PostgresLimits::default()).await;
    everything(&fixture, 1).await;
    let refused = scene
        .database
        .sql_as("vrx_node", "SELECT count(*) FROM vrx.person_142051");
    assert!(refused.unwrap_err().starts_with("42501"));
}

#[tokio::test]
async fn a_tenant_is_added_while_others_read_and_write() {
    let scene = Scene::fresh().await;
    let fixture = scene.fixture(PostgresLimits::default()).await;
    let mut holder = scene.superuser().await;
    for statement in [
        "BEGIN",
        "SELECT count(*) FROM vrx.person, vrx.log_entry, vrx.import",
        "INSERT INTO vrx.peer_checkpoint VALUES (142051, 131041, 1, 'a note')",
        "UPDATE vrx.canary SET written = written",
    ] {
        holder.execute(statement).await.unwrap();
    }
    scene.add(OTHER).await;
    holder.execute("COMMIT").await.unwrap();
    everything(&fixture, 1).await;
}
