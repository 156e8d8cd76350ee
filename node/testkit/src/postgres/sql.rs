//! Raw SQL to a server, by PostgreSQL's own client and nothing of this house.

use std::io::Write as _;
use std::process::Stdio;

use super::server::PostgresServer;

/// How long a statement may take, by the server's own time-out, seconds.
const STATEMENT_SECONDS: u32 = 100;
/// How long psql may take, whatever the server does, seconds.
const PSQL_SECONDS: u32 = 120;

impl PostgresServer {
    /// Runs SQL as the superuser and gives the rows as text: fields parted by `|`, a row a line. Its commits don't wait
    /// for a standby.
    ///
    /// # Panics
    /// If a statement fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.sql_as("postgres", database, sql)
            .unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }

    /// Runs SQL as a role; the error's text begins with its SQLSTATE, and statements behind it don't run.
    pub fn sql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        self.psql(&self.socket_url(role, database), sql)
    }

    /// Runs SQL at a URL, by PostgreSQL's own client.
    pub fn psql(&self, url: &str, sql: &str) -> Result<String, String> {
        let mut child = self
            .programs
            .bounded("psql", PSQL_SECONDS)
            .args(["-X", "-q", "-A", "-t"])
            .args(["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"])
            .args(["-f", "-"])
            .arg(url)
            .env(
                "PGOPTIONS",
                format!("-c synchronous_commit=local -c statement_timeout={STATEMENT_SECONDS}s"),
            )
            .env("PGPASSFILE", self.pass_file())
            .env("PGCONNECT_TIMEOUT", "20")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program timeout");
        let mut input = child.stdin.take().expect("its standard input");
        let text = sql.to_owned();
        // Beside the reading, so that neither waits for the other. A client that gives up early closes its end.
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).ok());
        let output = child.wait_with_output().expect("psql's output");
        writer.join().expect("the writer's end");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            // "psql:<stdin>:1: ERROR:  42501: permission denied…"
            Err(said
                .split_once("ERROR:  ")
                .map_or(said, |(_, error)| error)
                .to_owned())
        }
    }

    /// Sets a parameter of the running server.
    pub fn set(&self, name: &str, value: &str) {
        self.sql(
            "postgres",
            &format!("ALTER SYSTEM SET {name} = '{value}';\nSELECT pg_reload_conf();"),
        );
    }

    /// Waits until a condition, an SQL expression, holds.
    ///
    /// # Panics
    /// If it doesn't within a minute.
    pub fn wait_for(&self, database: &str, condition: &str) {
        self.sql(
            database,
            &format!(
                "DO $wait$ BEGIN FOR i IN 1..1200 LOOP IF ({condition}) THEN RETURN; END IF; \
                 PERFORM pg_sleep(0.05); PERFORM pg_stat_clear_snapshot(); END LOOP; \
                 RAISE EXCEPTION 'it never held'; END $wait$"
            ),
        );
    }
}
