//! Two tenants in one database: neither the traits nor the nodes' role in raw SQL lead from one to the other.

use vrx_domain::UnixMillis;
use vrx_storage::conformance::{Fixture, number};
use vrx_storage::{BatchItem, Lookup, PostgresLimits, PostgresTenant, StorageError, TenantOptions};
use vrx_testkit::postgres::{NODE, OWNER};

use crate::scene::Scene;

/// The other tenant: Yokohama.
const OTHER: &str = "141003";

/// Every table with a tenant's rows.
const TABLES: [&str; 21] = [
    "tenant_meta",
    "person",
    "person_revision",
    "dose_revision",
    "person_tag",
    "import",
    "inquiry",
    "peer_checkpoint",
    "receipt",
    "lost_log",
    "recovered_entry",
    "recovery_answer",
    "witnessed_log",
    "cosigned_checkpoint",
    "hold",
    "erasure_run",
    "erasure_person",
    "log_entry",
    "log_tile",
    "log_head",
    "canary",
];

/// Two tenants in one database, the first of them with residents, doses, an import and entries.
pub(crate) async fn two_tenants() -> (Scene, Fixture, Fixture, TenantOptions) {
    let scene = Scene::fresh().await;
    let limits = PostgresLimits::default();
    let other = scene.add(OTHER).await;
    let cluster = scene.cluster(limits).await;
    let ours = scene
        .fixture_of(&scene.options, cluster.clone(), cluster.clone())
        .await;
    let theirs = scene.fixture_of(&other, cluster.clone(), cluster).await;
    ours.residents(20, 2).await;
    for statement in [
        "INSERT INTO vrx.inquiry VALUES (142051, decode(repeat('05', 16), 'hex'), 1, 9, '\\x00', '\\x00')",
        "INSERT INTO vrx.peer_checkpoint VALUES (142051, 131041, 1, 'a note')",
        "INSERT INTO vrx.receipt VALUES (142051, 141003, 'a log', 1, 2, decode(repeat('05', 16), 'hex'), decode(repeat('00', 134), 'hex'), 'a note', '')",
        "INSERT INTO vrx.lost_log VALUES (142051, 'a log', 1, 0, NULL)",
        "INSERT INTO vrx.recovered_entry VALUES (142051, 'a log', 1, decode(repeat('00', 134), 'hex'), 2, decode(repeat('00', 32), 'hex'), 141003, decode(repeat('05', 16), 'hex'), 3)",
        "INSERT INTO vrx.recovery_answer VALUES (142051, 'a log', 141003, 1, 1, 0, 4)",
        "INSERT INTO vrx.witnessed_log VALUES (142051, 'a log', 1, decode(repeat('00', 32), 'hex'), 'a note')",
        "INSERT INTO vrx.cosigned_checkpoint VALUES (142051, 'a log', 1, 'a note')",
        "INSERT INTO vrx.hold VALUES (142051, decode(repeat('05', 16), 'hex'), '\\x00')",
        "INSERT INTO vrx.erasure_run VALUES (142051, decode(repeat('05', 16), 'hex'), NULL, '\\x00')",
        "INSERT INTO vrx.erasure_person SELECT 142051, person_id, 0 FROM vrx.person_142051",
        "INSERT INTO vrx.log_tile VALUES (142051, 0, 0, decode(repeat('00', 8192), 'hex'))",
    ] {
        scene.database.sql(statement);
    }
    (scene, ours, theirs, other)
}

/// What the nodes' role is answered, on its own or with a tenant set.
fn as_node(scene: &Scene, tenant: &str, sql: &str) -> Result<String, String> {
    let set = match tenant {
        "" => String::new(),
        tenant => format!("SET vrx.tenant = '{tenant}'; "),
    };
    scene
        .database
        .sql_as(NODE, &format!("SET search_path = vrx; {set}{sql}"))
}

#[tokio::test]
async fn what_one_tenant_holds_the_other_never_sees_through_the_traits() {
    let (scene, ours, theirs, other) = two_tenants().await;
    let subject = ours.subject(1);
    let item = BatchItem {
        change: None,
        subject,
    };
    ours.append(vec![item]).await.unwrap();
    for nth in 0..20 {
        assert!(matches!(
            theirs.store.lookup(&number(nth)).await,
            Ok(Lookup::Unknown)
        ));
    }
    let head = theirs.store.head().await.unwrap();
    assert_eq!(head.size, 0, "their log is as it was");
    assert_eq!(theirs.store.entries(0, 1_000).await.unwrap(), []);
    assert_eq!(theirs.store.leaves(0, 1_000).await.unwrap(), []);
    assert_eq!(theirs.store.tiles(&[(0, 0)]).await.unwrap(), [None]);
    assert_eq!(theirs.store.subject_head(subject).await.unwrap(), None);
    assert!(theirs.store.imports().await.unwrap().is_empty());
    for import in ours.store.imports().await.unwrap() {
        let id = import.header.id;
        assert!(theirs.store.import(id).await.unwrap().is_none());
    }
    let inquiry = vrx_domain::InquiryId::from_bytes([5; 16]);
    let inquiry = theirs.store.inquiry(inquiry, UnixMillis(1)).await.unwrap();
    assert!(inquiry.is_none());
    let peer = "131041".parse().unwrap();
    assert!(theirs.store.peer_checkpoint(peer).await.unwrap().is_none());
    let receipts = theirs
        .store
        .receipts(OTHER.parse().unwrap(), "a log", 0, 9)
        .await;
    assert_eq!(receipts.unwrap(), []);
    assert_eq!(theirs.store.lost_logs().await.unwrap(), []);
    assert_eq!(theirs.store.recovered("a log", 0, 9).await.unwrap(), []);
    let answers = theirs.store.recovery_answers("a log").await;
    assert_eq!(answers.unwrap(), []);
    assert_eq!(theirs.store.witnessed("a log").await.unwrap(), None);
    assert_eq!(theirs.store.cosigned("a log").await.unwrap(), None);
    assert_eq!(theirs.store.expire_inquiries(UnixMillis(100)).await, Ok(0));
    let ours_counted = ours.store.counts().await.unwrap();
    let theirs_counted = theirs.store.counts().await.unwrap();
    assert_eq!((ours_counted.persons, theirs_counted.persons), (20, 0));
    // The same residents, entered there too, are other rows under other keys.
    theirs.residents(20, 1).await;
    assert_eq!(ours.found(3).await.doses.len(), 2);
    assert_eq!(theirs.found(3).await.doses.len(), 1);
    let wrong = TenantOptions {
        tenant: vrx_domain::Tenant {
            id: ours.tenant.id,
            code: other.tenant.code,
        },
        ..other
    };
    let cluster = scene.cluster(PostgresLimits::default()).await;
    let refused = PostgresTenant::open(cluster, wrong).await.err();
    assert_eq!(refused, Some(StorageError::OtherTenant));
}

#[tokio::test]
async fn the_nodes_role_sees_the_tenant_it_has_set_and_without_one_nothing() {
    let (scene, ..) = two_tenants().await;
    for table in TABLES {
        let all: u64 = scene
            .database
            .sql(&format!(
                "SELECT count(*) FROM vrx.{table} WHERE tenant = 142051"
            ))
            .parse()
            .unwrap();
        assert!(all > 0, "there is something to see in {table}");
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(as_node(&scene, "", &count).unwrap(), "0", "{table}");
        assert_eq!(
            as_node(&scene, "142051", &count),
            Ok(all.to_string()),
            "{table}"
        );
        let theirs = format!("SELECT count(*) FROM {table} WHERE tenant = 142051");
        assert_eq!(as_node(&scene, OTHER, &theirs).unwrap(), "0", "{table}");
        let any = format!("SELECT count(*) FROM {table} WHERE tenant <> {OTHER}");
        assert_eq!(as_node(&scene, OTHER, &any).unwrap(), "0", "{table}");
    }
}

#[tokio::test]
async fn the_nodes_role_gets_round_no_policy() {
    let (scene, ..) = two_tenants().await;
    let rows = "SELECT count(*) FROM person WHERE tenant = 142051";
    // A function of its own in place of the one in the policies, a condition that tells what it is shown, a view, a plan
    // made for another tenant: they are answered, with nothing.
    for trick in [
        format!(
            "CREATE FUNCTION pg_temp.current_tenant() RETURNS integer LANGUAGE sql RETURN 142051; \
             SET search_path = pg_temp, vrx; {rows}"
        ),
        "CREATE FUNCTION pg_temp.tell(bytea) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS \
         $$ BEGIN RAISE EXCEPTION 'told'; END $$; SELECT count(*) FROM person WHERE pg_temp.tell(person_id)"
            .to_owned(),
        "CREATE TEMP VIEW persons AS SELECT * FROM person; SELECT count(*) FROM persons WHERE tenant = 142051"
            .to_owned(),
        format!(
            "SET plan_cache_mode = force_generic_plan; SET vrx.tenant = '142051'; PREPARE q AS {rows};\n\\o /dev/null\n\
             EXECUTE q;\n\\o\nSET vrx.tenant = '{OTHER}'; EXECUTE q"
        ),
        "SELECT count(*) FROM pg_stats WHERE schemaname = 'vrx' AND tablename <> 'schema_step'".to_owned(),
    ] {
        scene.database.sql("ANALYZE");
        let seen = as_node(&scene, "", &trick);
        assert_eq!(seen, Ok("0".to_owned()), "{trick}");
    }
}

#[tokio::test]
async fn the_nodes_role_is_refused_what_would_change_policies_partitions_or_leaves() {
    let (scene, ..) = two_tenants().await;
    let mut refused: Vec<String> = [
        "ALTER TABLE person DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE person NO FORCE ROW LEVEL SECURITY",
        "ALTER POLICY one_tenant ON person USING (true)",
        "DROP POLICY one_tenant ON person",
        "CREATE POLICY all_tenants ON person USING (true)",
        "CREATE OR REPLACE FUNCTION vrx.current_tenant() RETURNS integer LANGUAGE sql RETURN 142051",
        "ALTER FUNCTION vrx.current_tenant() RENAME TO old_tenant",
        "CREATE TABLE vrx.mine (id integer)",
        "ALTER TABLE person DETACH PARTITION person_142051",
        "SET row_security = off; SELECT * FROM person",
        "SET ROLE vrx_owner",
        "SET SESSION AUTHORIZATION vrx_owner",
        "GRANT DELETE ON log_entry TO vrx_node; DELETE FROM log_entry",
        "INSERT INTO schema_step VALUES (9, 'expand', 1)",
        "INSERT INTO tenant_meta VALUES (131041, decode(repeat('05', 16), 'hex'), 0)",
        "UPDATE tenant_meta SET tenant_uuid = decode(repeat('05', 16), 'hex')",
        "DELETE FROM person",
        "UPDATE person_revision SET body = '\\x00'",
        "DELETE FROM log_head",
        "UPDATE receipt SET log_index = 2",
        "DELETE FROM receipt",
        "INSERT INTO lost_log VALUES (142051, 'another log', 1, 0, NULL)",
        "DELETE FROM lost_log",
        "DELETE FROM recovered_entry",
        "DELETE FROM recovery_answer",
        "UPDATE witnessed_log SET origin = 'another log'",
        "DELETE FROM witnessed_log",
        "UPDATE cosigned_checkpoint SET origin = 'another log'",
        "DELETE FROM cosigned_checkpoint",
        "UPDATE erasure_run SET rewritten_at = 1",
        "ALTER FUNCTION vrx.blank_openings(bigint[], bytea[]) OWNER TO vrx_node",
        "COPY vrx.person FROM PROGRAM 'true'",
        "COPY vrx.person TO '/tmp/vrx-refused'",
        "SELECT * FROM pg_read_file('/etc/hostname')",
        "SELECT * FROM pg_statistic",
        "ALTER SYSTEM SET fsync = off",
        // Rows of another tenant than the one set.
        "INSERT INTO import VALUES (141003, decode(repeat('05', 16), 'hex'), '\\x00')",
        "UPDATE inquiry SET tenant = 141003",
        "UPDATE log_head SET tenant = 141003",
    ]
    .map(str::to_owned)
    .to_vec();
    for log in ["log_entry", "log_tile"] {
        refused.extend([
            format!("UPDATE {log} SET idx = idx"),
            format!("SELECT * FROM {log} FOR UPDATE"),
            format!("DELETE FROM {log}"),
            format!("TRUNCATE {log}"),
            format!("DROP TABLE {log}"),
            format!("INSERT INTO {log} SELECT * FROM {log} ON CONFLICT ON CONSTRAINT {log}_pkey DO UPDATE SET idx = 0"),
            format!("CREATE TRIGGER mine BEFORE INSERT ON {log} EXECUTE FUNCTION suppress_redundant_updates_trigger()"),
            format!("CREATE RULE mine AS ON INSERT TO {log} DO INSTEAD NOTHING"),
        ]);
    }
    for table in TABLES.iter().filter(|table| is_partitioned(table)) {
        for tenant in ["142051", OTHER] {
            if !HOT.contains(table) {
                refused.push(format!("SELECT * FROM {table}_{tenant}"));
            }
            refused.push(format!("DELETE FROM {table}_{tenant}"));
            refused.push(format!("TRUNCATE {table}_{tenant}"));
            refused.push(format!("UPDATE {table}_{tenant} SET tenant = tenant"));
            refused.push(format!(
                "ALTER TABLE {table}_{tenant} DISABLE ROW LEVEL SECURITY"
            ));
        }
    }
    let before = scene
        .database
        .sql("SELECT count(*), sum(idx) FROM vrx.log_entry");
    for sql in refused {
        let answer = as_node(&scene, "142051", &sql).expect_err(&sql);
        assert!(answer.starts_with("42501"), "{sql}: {answer}");
    }
    let after = scene
        .database
        .sql("SELECT count(*), sum(idx) FROM vrx.log_entry");
    assert_eq!(before, after);
}

/// Tables whose partitions the nodes' role reaches by their own names.
const HOT: [&str; 6] = [
    "person",
    "person_revision",
    "dose_revision",
    "person_tag",
    "log_entry",
    "log_tile",
];

#[tokio::test]
async fn a_partition_by_its_own_name_shows_nobody_elses_rows_and_takes_none() {
    let scene = Scene::fresh().await;
    scene.add(OTHER).await;
    let owned = scene.fixture(PostgresLimits::default()).await;
    drop(owned);
    for table in HOT {
        let own = as_node(
            &scene,
            OTHER,
            &format!("SELECT count(*) > 0 FROM {table}_{OTHER}"),
        );
        let foreign = as_node(
            &scene,
            "142051",
            &format!("SELECT count(*) FROM {table}_{OTHER}"),
        );
        if table.starts_with("person") || table == "dose_revision" {
            let rows = scene
                .database
                .sql(&format!("SELECT count(*) > 0 FROM vrx.{table}_{OTHER}"));
            assert_eq!(own.unwrap(), rows, "{table}");
        }
        assert_eq!(foreign.unwrap(), "0", "{table}");
    }
    for tenant in ["142051", OTHER] {
        let put = format!(
            "INSERT INTO person_{OTHER} (tenant, person_id, wrapped_key, number)
             VALUES ({tenant}, decode(md5('somebody'), 'hex'), '', '')"
        );
        as_node(&scene, "142051", &put).expect_err("no row gets into another tenant's partition");
    }
}

#[tokio::test]
async fn what_an_erasure_may_do_reaches_claimed_persons_of_the_set_tenant_alone() {
    let (scene, ours, ..) = two_tenants().await;
    let count = |table: &str| {
        let count = format!("SELECT count(*) FROM vrx.{table}_142051");
        scene.database.sql(&count).parse::<u64>().unwrap()
    };
    let before = ["person", "person_tag", "dose_revision"].map(count);
    let all = [
        "SELECT destroy_person_keys(array_agg(person_id)) FROM erasure_person",
        "SELECT delete_person_rows(array_agg(person_id)) FROM erasure_person",
        "SELECT erase_tags(array_agg(kind), array_agg(key_id), array_agg(tag), array_agg(person_id)) FROM person_tag",
        "SELECT sweep_erased()",
    ];
    for sql in all {
        as_node(&scene, "142051", sql).unwrap();
    }
    assert_eq!(["person", "person_tag", "dose_revision"].map(count), before);
    // Claimed, and asked for by another tenant's transaction.
    scene
        .database
        .sql("UPDATE vrx.erasure_person SET step = 1 WHERE tenant = 142051");
    let person = scene
        .database
        .sql("SELECT encode(person_id, 'hex') FROM vrx.person_142051 LIMIT 1");
    let destroy = format!("SELECT destroy_person_keys(ARRAY[decode('{person}', 'hex')])");
    assert!(as_node(&scene, "", &destroy).is_err(), "for no tenant");
    as_node(&scene, OTHER, &destroy).unwrap();
    let blank = "SELECT blank_openings(ARRAY[0], ARRAY[decode(repeat('01', 32), 'hex')])";
    let none = as_node(&scene, OTHER, blank).unwrap_err();
    assert!(none.starts_with("P0001: no erasure is under way"), "{none}");
    scene
        .database
        .sql("UPDATE vrx.erasure_run SET rewritten_at = 1");
    as_node(&scene, "142051", blank).expect_err("none is under way any more");
    assert_eq!(count("person"), before[0]);
    assert!(
        !ours.store.entries(0, 1).await.unwrap()[0]
            .opening
            .is_empty()
    );
    as_node(&scene, "142051", &destroy).unwrap();
    assert_eq!(count("person"), before[0] - 1);
    // Nor is anybody else let at them.
    for function in ["sweep_erased()", "blank_openings('{}', '{}')"] {
        let public = format!("SET ROLE pg_monitor; SELECT vrx.{function}");
        let refused = scene.database.sql_as("postgres", &public);
        assert!(refused.unwrap_err().starts_with("42501"), "{function}");
    }
}

fn is_partitioned(table: &str) -> bool {
    ![
        "tenant_meta",
        "log_head",
        "canary",
        "lost_log",
        "recovery_answer",
        "witnessed_log",
        "cosigned_checkpoint",
        "hold",
        "erasure_run",
        "erasure_person",
    ]
    .contains(&table)
}

#[tokio::test]
async fn every_table_with_a_tenant_and_every_partition_has_its_policy_forced() {
    let (scene, ..) = two_tenants().await;
    let tables = "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' \
                  WHERE c.relnamespace = 'vrx'::regnamespace AND c.relkind IN ('r', 'p')";
    let count = scene.database.sql(&format!("SELECT count(*) {tables}"));
    assert_eq!(
        count,
        (21 + 2 * 11).to_string(),
        "the tables and two tenants' partitions"
    );
    let open = scene.database.sql(&format!(
        "SELECT string_agg(relname, ' ') {tables} AND NOT (relrowsecurity AND relforcerowsecurity \
         AND (SELECT count(*) = 1 AND bool_and(polcmd = '*' AND pg_get_expr(polqual, polrelid) = '(tenant = vrx.current_tenant())' \
              AND pg_get_expr(polwithcheck, polrelid) = '(tenant = vrx.current_tenant())') \
              FROM pg_policy WHERE polrelid = c.oid))"
    ));
    assert_eq!(open, "", "tables without a forced policy");
    let others = scene.database.sql(
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'vrx'::regnamespace AND relkind IN ('r', 'p') \
         AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant')",
    );
    assert_eq!(
        others, "_sqlx_migrations schema_step",
        "tables of no tenant"
    );
}

#[tokio::test]
async fn the_owner_too_sees_the_tenant_it_has_set_alone() {
    let (scene, ..) = two_tenants().await;
    let count = |set: &str| {
        let sql = format!("{set} SELECT count(*) FROM vrx.log_entry WHERE tenant = 142051");
        scene.database.sql_as(OWNER, &sql).unwrap()
    };
    assert_eq!(count(""), "0");
    assert_eq!(count("SET vrx.tenant = '141003';"), "0");
    assert_ne!(count("SET vrx.tenant = '142051';"), "0");
}
