//! SQLite: one folder and one database file a tenant, one process, one writer.
//!
//! sqlx brings the schema up (the same tool as on PostgreSQL); everything after that runs on rusqlite, which links the
//! very same bundled SQLite. A statement through sqlx's pools costs forty to seventy-five times as much, and the exchange
//! is made of small statements. The connections belong to named threads: one writes, one or two answer lookups, one reads
//! everything else. Tasks hand work over through bounded queues and wait for the reply; no task ever blocks on a file.
//!
//! Start reading at [`SqliteTenant`]; the batch of the log is in `writer.rs`, the hot path in `lookup.rs`.

mod apply;
mod copy;
mod create;
mod files;
mod heads;
mod log;
mod lookup;
mod moving;
mod queue;
mod receipts;
mod register;
mod register_version;
mod retention;
mod sql;
mod tenant;
#[cfg(test)]
mod tests;
mod traits;
mod witness;
mod writer;

pub use copy::{SqliteReplacement, SqliteSource};
pub use moving::SqliteMoving;
pub use retention::SqliteRewriting;
pub use tenant::{SqliteOptions, SqliteTenant};
