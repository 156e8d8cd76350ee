//! What a node refuses to serve from: schemas, settings, roles, certificates. Each refusal says what to do.

use std::sync::Arc;

use vrx_storage::{PostgresCluster, PostgresLimits, PostgresUrl, StorageError};
use vrx_testkit::postgres::{
    Authentication, DATABASE, NODE, OWNER, PostgresServer, ServerOptions, TestDatabase, Validity,
};

use crate::scene::{Scene, short, start, url};

async fn connect(text: &str) -> Result<Arc<PostgresCluster>, StorageError> {
    PostgresCluster::connect(&url(text), PostgresLimits::default()).await
}

/// The text of the refusal.
async fn refusal(url: &PostgresUrl) -> String {
    match PostgresCluster::connect(url, short()).await {
        Ok(_) => panic!("a node serves from {url}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_role_that_could_undo_the_policies_or_the_log_is_refused() {
    let scene = Scene::fresh().await;
    let node = url(&scene.database.node_url());
    for (role, why) in [("postgres", "superuser"), (OWNER, "owns tables")] {
        let said = refusal(&node.with_user(role)).await;
        assert!(said.contains(why), "{role}: {said}");
        assert!(said.contains("vrx-node migrate"), "{said}");
    }
    let database = &scene.database;
    let suffix = database.name();
    let (bypasser, member) = (format!("bypasser_{suffix}"), format!("member_{suffix}"));
    database.sql(&format!(
        "CREATE ROLE {bypasser} LOGIN BYPASSRLS; CREATE ROLE {member} LOGIN IN ROLE {OWNER}; \
         GRANT USAGE ON SCHEMA vrx TO {bypasser}; GRANT SELECT ON ALL TABLES IN SCHEMA vrx TO {bypasser}"
    ));
    for (role, why) in [(&bypasser, "bypass"), (&member, "member of their owner")] {
        let said = refusal(&node.with_user(role)).await;
        assert!(said.contains(why), "{role}: {said}");
    }
    for (grant, revoke, why) in [
        (
            "GRANT UPDATE (leaf) ON vrx.log_entry TO vrx_node",
            "REVOKE UPDATE (leaf) ON vrx.log_entry FROM vrx_node",
            "change or delete entries",
        ),
        (
            "GRANT TRUNCATE ON vrx.log_tile TO vrx_node",
            "REVOKE TRUNCATE ON vrx.log_tile FROM vrx_node",
            "change or delete entries",
        ),
        (
            "REVOKE SELECT ON vrx.person FROM vrx_node",
            "GRANT SELECT ON vrx.person TO vrx_node",
            "may not read all tables",
        ),
        (
            "ALTER TABLE vrx.person NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE vrx.person FORCE ROW LEVEL SECURITY",
            "isn't forced",
        ),
        (
            "ALTER TABLE vrx.inquiry DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE vrx.inquiry ENABLE ROW LEVEL SECURITY",
            "isn't forced",
        ),
        (
            "ALTER TABLE vrx.person_142051 NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE vrx.person_142051 FORCE ROW LEVEL SECURITY",
            "isn't forced on every partition",
        ),
        (
            "GRANT DELETE ON vrx.log_entry_142051 TO vrx_node",
            "REVOKE DELETE ON vrx.log_entry_142051 FROM vrx_node",
            "may change or delete entries of the log",
        ),
        (
            "GRANT UPDATE (leaf) ON vrx.log_entry_142051 TO vrx_node",
            "REVOKE UPDATE (leaf) ON vrx.log_entry_142051 FROM vrx_node",
            "may change or delete entries of the log",
        ),
    ] {
        database.sql(grant);
        let said = refusal(&node).await;
        assert!(said.contains(why), "{grant}: {said}");
        database.sql(revoke);
        connect(&database.node_url()).await.unwrap().close().await;
    }
    database.sql(&format!(
        "DROP OWNED BY {bypasser}; DROP ROLE {bypasser}, {member}"
    ));
}

#[tokio::test]
async fn a_database_without_the_schema_or_with_one_of_a_later_age_is_refused() {
    let empty = TestDatabase::fresh();
    let said = refusal(&url(&empty.node_url())).await;
    assert!(said.contains("run `vrx-node migrate`"), "{said}");
    let scene = Scene::fresh().await;
    let database = &scene.database;
    let node = url(&database.node_url());
    let step = |values: &str| {
        database.sql(&format!("INSERT INTO vrx.schema_step VALUES ({values})"));
    };
    step("98, 'expand', 1");
    connect(&database.node_url()).await.unwrap().close().await;
    step("99, 'contract', 98");
    let said = refusal(&node).await;
    assert!(said.contains("install a newer vrx-node"), "{said}");
    database.sql("DELETE FROM vrx.schema_step");
    let said = refusal(&node).await;
    assert!(said.contains("schema_step is empty"), "{said}");
}

#[tokio::test]
async fn a_server_that_confirms_before_its_disk_has_it_is_refused() {
    let scene = Scene::fresh().await;
    let database = &scene.database;
    let node = url(&database.node_url());
    for value in ["off", "local", "remote_write"] {
        let name = database.name();
        database.sql(&format!(
            "ALTER DATABASE {name} SET synchronous_commit = {value}"
        ));
        let said = refusal(&node).await;
        assert!(
            said.contains(&format!("synchronous_commit = {value}")),
            "{said}"
        );
    }
    let name = database.name();
    database.sql(&format!(
        "ALTER DATABASE {name} SET synchronous_commit = remote_apply"
    ));
    connect(&database.node_url()).await.unwrap().close().await;
    for setting in ["fsync", "full_page_writes"] {
        let server = start(ServerOptions::default().setting(setting, "off")).await;
        let scene = Scene::on(&server).await;
        let said = refusal(&url(&scene.database.node_url())).await;
        assert!(said.contains(&format!("{setting} off")), "{said}");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired_or_is_anothers_is_not_reached() {
    let scene = Scene::on(&start(ServerOptions::default()).await).await;
    let server = scene.database.server();
    let node = url(&scene.database.node_url());
    let one = PostgresLimits {
        connections: 1,
        ..PostgresLimits::default()
    };
    let cluster = scene.cluster(one).await;
    server.renew_certificate(Validity::Expired);
    // The server reads it a moment later.
    let mut said = None;
    for _ in 0..1_000 {
        match PostgresCluster::connect(&node, short()).await {
            Ok(early) => early.close().await,
            Err(error) => {
                said = Some(error);
                break;
            }
        }
    }
    assert!(
        matches!(said, Some(StorageError::Unreachable(_))),
        "{said:?}"
    );
    // A connection that stands goes on.
    let fixture = scene
        .fixture_of(&scene.options, cluster.clone(), cluster)
        .await;
    fixture.store.head().await.unwrap();
    server.renew_certificate(Validity::Current);
    let mut healed = false;
    for _ in 0..1_000 {
        healed = connect(&scene.database.node_url()).await.is_ok();
        if healed {
            break;
        }
    }
    assert!(healed, "a new certificate is enough");
    let other = start(ServerOptions::default()).await;
    let foreign = scene.database.node_url().replace(
        &server.ca_file().display().to_string(),
        &other.ca_file().display().to_string(),
    );
    let said = connect(&foreign).await.err().unwrap();
    assert!(matches!(said, StorageError::Unreachable(_)), "{said}");
}

#[tokio::test]
async fn a_node_is_known_by_its_client_certificate_and_by_no_other() {
    let options = ServerOptions::default().authentication(Authentication::Certificate);
    let server: Arc<PostgresServer> = start(options).await;
    let scene = Scene::on(&server).await;
    connect(&scene.database.node_url())
        .await
        .unwrap()
        .close()
        .await;
    // The node's certificate, for the owner's role.
    let said = refusal(&url(&scene.database.node_url()).with_user(OWNER)).await;
    assert!(said.contains("doesn't let this role in"), "{said}");
    server.client_certificate(NODE, Validity::Expired);
    let said = refusal(&url(&scene.database.node_url())).await;
    assert!(!said.is_empty());
    let bare = server.url(NODE, DATABASE);
    let bare = bare.split_once("&sslcert").map(|(bare, _)| bare).unwrap();
    let said = refusal(&url(bare)).await;
    assert!(said.contains("doesn't let this role in"), "{said}");
}
