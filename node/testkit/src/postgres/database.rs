//! An empty database for one test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::options::ServerOptions;
use super::server::PostgresServer;
use super::{NODE, OWNER};

/// An empty database, owned by [`OWNER`]. It goes when it is dropped, whoever is still connected.
pub struct TestDatabase {
    server: Arc<PostgresServer>,
    name: String,
}

impl TestDatabase {
    /// A database on the server that all tests of this program share; the server ends with the program.
    pub fn fresh() -> Self {
        static SHARED: OnceLock<Arc<PostgresServer>> = OnceLock::new();
        Self::on(SHARED.get_or_init(|| Arc::new(PostgresServer::start(ServerOptions::default()))))
    }

    /// A database on a server.
    pub fn on(server: &Arc<PostgresServer>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.sql("postgres", &format!("CREATE DATABASE {name} OWNER {OWNER}"));
        Self {
            server: Arc::clone(server),
            name,
        }
    }

    /// Its server.
    pub fn server(&self) -> &Arc<PostgresServer> {
        &self.server
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A URL to it for the role that owns it and migrates.
    pub fn owner_url(&self) -> String {
        self.server.url(OWNER, &self.name)
    }

    /// A URL to it for the role of the nodes.
    pub fn node_url(&self) -> String {
        self.server.url(NODE, &self.name)
    }

    /// Runs SQL in it as the superuser.
    ///
    /// # Panics
    /// If a statement fails.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// Runs SQL in it as a role; the error's text begins with its SQLSTATE.
    pub fn sql_as(&self, role: &str, sql: &str) -> Result<String, String> {
        self.server.sql_as(role, &self.name, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A server that is down takes its databases with it.
        if self.server.pid().is_some() {
            self.server
                .sql_as(
                    "postgres",
                    "postgres",
                    &format!("DROP DATABASE {} WITH (FORCE)", self.name),
                )
                .ok();
        }
    }
}
