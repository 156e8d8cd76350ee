//! PostgreSQL 15 or later: many tenants in one database, as many nodes as wanted over it.
//!
//! Tables are list-partitioned by tenant, and row-level security shows a transaction the one tenant it has set. The nodes'
//! role owns nothing: an owner ([`PostgresOwner`]) migrates, grants and makes partitions; nodes ([`PostgresCluster`],
//! [`PostgresTenant`]) only read and add. All of it is sqlx, in batches: a batch of lookups is one statement, a batch of
//! the log four round trips and one commit, because a round trip costs more than the rows in it.
//!
//! No `sqlx::Transaction` is used: a future of `begin` that is dropped leaves its connection inside a transaction, and the
//! pool hands it on (sqlx 0.8.4 to 0.9.0 lose acknowledged writes that way). `session::Session` closes what it can't
//! account for.
//!
//! Start reading at [`PostgresTenant`]; the batch of the log is in `append.rs`, the hot path in `lookup.rs`, what an error
//! means in `failure.rs`.

mod append;
mod apply;
mod arrival;
mod checks;
mod cluster;
mod copy_sql;
mod failure;
mod hot;
mod log;
mod lookup;
mod owner;
mod partitions;
mod passage;
mod pools;
mod receipts;
mod register;
mod retention;
mod session;
mod source;
mod statistics;
mod tenant;
mod traits;
mod trial;
mod url;
mod witness;

pub use arrival::{Arrival, PostgresArrival};
pub use cluster::{PostgresCluster, PostgresLimits};
pub use owner::{Added, Migrated, PostgresOwner};
pub use retention::Rewritten;
pub use source::{PostgresMoving, PostgresSource};
pub use statistics::{STATEMENT_CLASSES, StatementTimes};
pub use tenant::{PostgresTenant, TenantOptions};
pub use trial::{PostgresTrial, Trial};
pub use url::{PostgresUrl, PostgresUrlError};
