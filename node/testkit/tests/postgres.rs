//! The PostgreSQL that tests are given: it is what it says, breaks as it is told, and leaves nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use vrx_testkit::postgres::{
    Authentication, DATABASE, DEMO, NODE, OWNER, PostgresServer, ServerOptions, TestDatabase,
    Validity,
};
use vrx_testkit::{Link, LinkState};

#[test]
fn a_fresh_database_is_empty_owned_by_no_superuser_and_gone_when_it_is_dropped() {
    let database = TestDatabase::fresh();
    let server = Arc::clone(database.server());
    let owner = database.sql(
        "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles JOIN pg_database ON datdba = pg_roles.oid
         WHERE datname = current_database()",
    );
    assert_eq!(owner, format!("{OWNER}|f|f"));
    database
        .sql_as(
            OWNER,
            "CREATE SCHEMA vrx; CREATE TABLE vrx.kept (id integer)",
        )
        .unwrap();
    let refused = database.sql_as(NODE, "SELECT * FROM vrx.kept").unwrap_err();
    assert!(refused.starts_with("42501"), "{refused}");
    let other = TestDatabase::fresh();
    assert_eq!(other.sql("SELECT to_regclass('vrx.kept')"), "");
    let name = database.name().to_owned();
    drop(database);
    assert_eq!(
        server.sql(
            "postgres",
            &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")
        ),
        "0"
    );
    assert_eq!(server.sql("postgres", "SHOW fsync"), "on");
    assert_eq!(
        server.sql(
            "postgres",
            &format!(
                "SELECT rolcreatedb, rolcreaterole, rolsuper FROM pg_roles WHERE rolname = '{DEMO}'"
            )
        ),
        "t|t|f"
    );
}

#[test]
fn what_was_committed_stands_after_every_kind_of_end() {
    let server = PostgresServer::start(ServerOptions::default());
    server.sql(DATABASE, "CREATE TABLE kept (id integer)");
    let ends: [fn(&PostgresServer); 3] = [
        PostgresServer::stop,
        PostgresServer::stop_at_once,
        PostgresServer::kill,
    ];
    for (nth, end) in ends.into_iter().enumerate() {
        server.sql(DATABASE, &format!("INSERT INTO kept VALUES ({nth})"));
        end(&server);
        server
            .sql_as(NODE, DATABASE, "SELECT 1")
            .expect_err("the server has ended");
        server.start_again();
        assert_eq!(
            server.sql(DATABASE, "SELECT count(*) FROM kept"),
            (nth + 1).to_string()
        );
    }
}

#[test]
fn a_standby_has_every_confirmed_commit_when_its_primary_is_killed() {
    let primary = PostgresServer::start(ServerOptions::default());
    let standby = primary.standby("second");
    primary.wait_for_standby_at_commit("second");
    // Commits here wait for the standby, unlike the superuser's.
    for nth in 0..20 {
        primary
            .sql_as(
                OWNER,
                DATABASE,
                &format!(
                    "SET synchronous_commit = on; CREATE TABLE IF NOT EXISTS kept (id integer);
                     INSERT INTO kept VALUES ({nth})"
                ),
            )
            .unwrap();
    }
    primary.kill();
    let refused = standby
        .sql_as(OWNER, DATABASE, "INSERT INTO kept VALUES (20)")
        .unwrap_err();
    assert!(refused.starts_with("25006"), "{refused}");
    standby.promote();
    assert_eq!(standby.sql(DATABASE, "SELECT count(*) FROM kept"), "20");
    // The same URL that named both finds the one that takes writes.
    let url = primary.url_by_ports(&[primary.port(), standby.port()], OWNER, DATABASE);
    standby.psql(&url, "INSERT INTO kept VALUES (20)").unwrap();
}

#[test]
fn tls_is_verified_and_an_expired_certificate_is_refused() {
    let server = PostgresServer::start(ServerOptions::default());
    let url = server.url(NODE, DATABASE);
    let tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(server.psql(&url, tls).unwrap(), "t");
    server.renew_certificate(Validity::Expired);
    let refused = server.psql(&url, tls).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    server.renew_certificate(Validity::Current);
    server.psql(&url, tls).unwrap();
    let plain = server.plain_url(NODE, DATABASE);
    assert_eq!(server.psql(&plain, tls).unwrap(), "f");
}

#[test]
fn a_server_that_asks_for_passwords_or_certificates_takes_nobody_without() {
    let server =
        PostgresServer::start(ServerOptions::default().authentication(Authentication::Certificate));
    server
        .psql(&server.url(NODE, DATABASE), "SELECT 1")
        .unwrap();
    server
        .psql(&server.plain_url(NODE, DATABASE), "SELECT 1")
        .unwrap_err();
    let foreign = server
        .url(NODE, DATABASE)
        .replace(&format!("{NODE}@"), &format!("{OWNER}@"));
    server
        .psql(&foreign, "SELECT 1")
        .expect_err("the node's certificate doesn't name the owner");
    server.client_certificate(NODE, Validity::Expired);
    server
        .psql(&server.url(NODE, DATABASE), "SELECT 1")
        .expect_err("an expired certificate");

    let server =
        PostgresServer::start(ServerOptions::default().authentication(Authentication::Password));
    server
        .psql(&server.url(NODE, DATABASE), "SELECT 1")
        .unwrap();
    std::fs::write(server.pass_file(), "*:*:*:*:wrong\n").unwrap();
    server
        .psql(&server.url(NODE, DATABASE), "SELECT 1")
        .expect_err("a wrong password");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_answer_is_kept_back_has_been_done() {
    let database = TestDatabase::fresh();
    let server = Arc::clone(database.server());
    database.sql(
        "CREATE TABLE go (); CREATE TABLE done (); GRANT SELECT, INSERT ON go, done TO vrx_node",
    );
    let link = Link::to(server.port()).await;
    let url = server.url_by_ports(&[link.port()], NODE, database.name());
    let asked = tokio::task::spawn_blocking({
        let server = Arc::clone(&server);
        move || {
            server.psql(
                &url,
                "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM go) LOOP PERFORM pg_sleep(0.01); END LOOP;
                 INSERT INTO done DEFAULT VALUES; END $$",
            )
        }
    });
    server.wait_for(
        database.name(),
        "EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'vrx_node' AND query LIKE 'DO%' \
         AND datname = current_database())",
    );
    link.set(LinkState::AnswersStalled);
    database.sql("INSERT INTO go DEFAULT VALUES");
    server.wait_for(database.name(), "EXISTS (SELECT FROM done)");
    assert!(!asked.is_finished(), "the answer is kept back");
    link.set(LinkState::Cut);
    asked.await.unwrap().expect_err("the link is cut");
}

/// Set for the process that the next test starts to kill it.
const CHILD: &str = "VRX_TESTKIT_CHILD";

#[tokio::test]
async fn a_killed_test_program_leaves_no_server_and_no_folder() {
    if std::env::var_os(CHILD).is_some() {
        let server = PostgresServer::start(ServerOptions::default());
        writeln!(
            std::io::stdout(),
            "\nserver {} {}",
            server.pid().unwrap(),
            server.data_folder().display()
        )
        .unwrap();
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        unreachable!("the process is killed before");
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("a_killed_test_program_leaves_no_server_and_no_folder")
        .env(CHILD, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with("server "))
        .unwrap();
    let mut words = said.split(' ').skip(1);
    let process = Path::new("/proc").join(words.next().unwrap());
    let folder = Path::new(words.next().unwrap())
        .parent()
        .unwrap()
        .to_owned();
    assert!(process.exists() && folder.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = async {
        while process.exists() || folder.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone)
        .await
        .expect("the guardian ends the server and removes its folder");
}
