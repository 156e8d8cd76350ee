//! A real PostgreSQL for tests: a server of its own in a folder that vanishes with it, with TLS and `fsync` on.
//!
//! - A test that needs only a database takes [`TestDatabase::fresh`]: one server a test program, a new database a test.
//! - A test that breaks the server starts its own, [`PostgresServer::start`]: it can be stopped, killed, started again,
//!   given a [`standby`](PostgresServer::standby) and promoted. Between a client and it stands a [`Link`](crate::Link).
//!
//! Each server knows three roles. None is a superuser; tests act as one through [`PostgresServer::sql`]:
//! [`OWNER`] owns the databases, [`NODE`] owns nothing, [`DEMO`] may make databases and roles.
//!
//! The server runs as the system's user `postgres` where tests run as root. It ends when it is dropped, and when the test
//! program ends in whatever way: a small shell waits for that end and cleans up.

mod database;
mod guardian;
mod options;
mod process;
mod programs;
mod server;
mod setup;
mod sql;
mod standby;

pub use database::TestDatabase;
pub use options::{Authentication, ServerOptions};
pub use server::PostgresServer;
pub use vrx_certs_dev::Validity;

/// The role that owns the databases and migrates them.
pub const OWNER: &str = "vrx_owner";
/// The role of the serving nodes.
pub const NODE: &str = "vrx_node";
/// The role of a demo: it may make databases and roles.
pub const DEMO: &str = "vrx_demo";
/// The database that every server has, owned by [`OWNER`].
pub const DATABASE: &str = "vrx";
/// The password of every role on a server that asks for passwords.
const PASSWORD: &str = "only-in-tests";
