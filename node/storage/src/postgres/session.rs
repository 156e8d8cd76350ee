//! One transaction for one tenant, on a connection that goes back to the pool only when its end is accounted for.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Encode, Executor, Postgres, Type};
use tokio::time::Instant;

use super::cluster::{PostgresCluster, Way};
use super::failure::{failure, reading};
use crate::StorageError;

/// A statement with its values.
pub(super) struct Statement {
    name: &'static str,
    query: Query<'static, Postgres, PgArguments>,
}

/// A statement whose first line is its name, `-- so_called`: what `pg_stat_statements` and the log of slow statements show.
pub(super) fn statement(sql: &'static str) -> Statement {
    let name = sql.lines().next().unwrap_or_default();
    Statement {
        name: name.trim_start_matches("-- "),
        query: sqlx::query(sql),
    }
}

/// A statement whose text isn't a constant, with its values; it names itself in its first line too.
pub(super) fn dynamic(
    name: &'static str,
    query: Query<'static, Postgres, PgArguments>,
) -> Statement {
    Statement { name, query }
}

/// A statement of a tenant's own: it names itself in its first line too, and connections keep it.
pub(super) fn prepared(name: &'static str, text: &Arc<str>) -> Statement {
    // Only constants and names that the municipality code is part of stand in these texts.
    let query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
    Statement { name, query }
}

impl Statement {
    /// Gives the next value, `$1` first.
    pub(super) fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(self, value: T) -> Self {
        Self {
            query: self.query.bind(value),
            ..self
        }
    }
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// All its statements see one state.
    Read,
    /// Each statement sees what was committed before it; rows it changes stay locked.
    Write,
}

/// How the statements of a transaction are planned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plans {
    /// Anew each time, for the tenant at hand: a kept plan over a partitioned table locks every partition.
    Fresh,
    /// Once a connection: each statement names the one partition it reads.
    Kept,
}

/// How much longer than the server's own limit the way to it may take.
const SLACK: Duration = Duration::from_secs(1);

/// A transaction under row-level security: it sees the tenant it was begun for and no other.
///
/// Dropped before its end (the caller went away, a statement failed), it takes its connection along: the server rolls
/// back, and no later caller finds itself inside somebody else's transaction.
pub(super) struct Session {
    cluster: Arc<PostgresCluster>,
    connection: PoolConnection<Postgres>,
    ended: bool,
}

impl Session {
    /// Begins; one round trip.
    pub(super) async fn begin(
        cluster: &Arc<PostgresCluster>,
        tenant: i32,
        mode: Mode,
    ) -> Result<Self, StorageError> {
        Self::begin_on(cluster, Way::Any, tenant, mode, Plans::Fresh).await
    }

    /// The same on a connection that is chosen by the tenant, with plans that may be kept.
    pub(super) async fn begin_on(
        cluster: &Arc<PostgresCluster>,
        way: Way,
        tenant: i32,
        mode: Mode,
        plans: Plans,
    ) -> Result<Self, StorageError> {
        let connection = cluster.acquire(way, tenant).await?;
        let mut session = Self {
            cluster: Arc::clone(cluster),
            connection,
            ended: false,
        };
        let isolation = match mode {
            Mode::Read => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Write => "ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        let keep = match plans {
            Plans::Fresh => "",
            Plans::Kept => "; SET LOCAL plan_cache_mode TO force_generic_plan",
        };
        // A number, not a text: nothing to quote.
        let text =
            format!("BEGIN {isolation}; SELECT set_config('vrx.tenant', '{tenant}', true){keep}");
        session
            .simple(text)
            .await
            .map_err(|error| failure(&error))?;
        Ok(session)
    }

    /// Runs a statement without rows; says how many rows it changed. The error is PostgreSQL's own, for callers that tell
    /// conflicts apart.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        let work = (&mut *self.connection).execute(statement.query);
        let done = measured(&self.cluster, statement.name, work).await;
        self.notice(done)
            .await
            .map(|done: PgQueryResult| done.rows_affected())
    }

    /// Runs a statement that must change exactly one row of a table.
    pub(super) async fn run_one(
        &mut self,
        table: &'static str,
        statement: Statement,
    ) -> Result<(), StorageError> {
        match self.run(statement).await.map_err(|error| failure(&error))? {
            1 => Ok(()),
            _ => Err(StorageError::Inconsistent {
                table,
                column: "*",
                row: "changed".to_owned(),
            }),
        }
    }

    /// Reads all rows.
    pub(super) async fn rows<T>(
        &mut self,
        table: &'static str,
        statement: Statement,
        read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StorageError> {
        let work = (&mut *self.connection).fetch_all(statement.query);
        let rows = measured(&self.cluster, statement.name, work).await;
        let rows = self.notice(rows).await.map_err(reading(table))?;
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(reading(table))
    }

    /// Reads one row or none.
    pub(super) async fn row<T>(
        &mut self,
        table: &'static str,
        statement: Statement,
        read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
    ) -> Result<Option<T>, StorageError> {
        Ok(self.rows(table, statement, read).await?.into_iter().next())
    }

    /// A mark within the transaction to go back to.
    pub(super) async fn savepoint(&mut self) -> Result<(), StorageError> {
        self.simple("SAVEPOINT change".to_owned())
            .await
            .map_err(|error| failure(&error))
    }

    /// Undoes what came after the mark, and takes the mark away.
    pub(super) async fn rollback_to_savepoint(&mut self) -> Result<(), StorageError> {
        let text = "ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change".to_owned();
        self.simple(text).await.map_err(|error| failure(&error))
    }

    /// Keeps what came after the mark, and takes the mark away.
    pub(super) async fn release_savepoint(&mut self) -> Result<(), StorageError> {
        self.simple("RELEASE SAVEPOINT change".to_owned())
            .await
            .map_err(|error| failure(&error))
    }

    /// Commits. Only `Ok` says that it stands; what an error means is [`super::failure::at_commit`]'s to tell.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.simple("COMMIT".to_owned()).await?;
        self.ended = true;
        Ok(())
    }

    /// Ends a transaction that only read.
    pub(super) async fn end(self) -> Result<(), StorageError> {
        self.commit().await.map_err(|error| failure(&error))
    }

    /// Undoes everything. If even that can't be said, the connection is closed, which says the same.
    pub(super) async fn roll_back(mut self) {
        self.ended = self.simple("ROLLBACK".to_owned()).await.is_ok();
    }

    async fn simple(&mut self, text: String) -> Result<(), sqlx::Error> {
        let name = if text.starts_with("COMMIT") {
            "commit"
        } else {
            "transaction"
        };
        // Only constants and numbers of this room stand in these texts.
        let work = (&mut *self.connection).execute(sqlx::raw_sql(AssertSqlSafe(text)));
        let done = measured(&self.cluster, name, work).await;
        self.notice(done).await.map(drop)
    }

    /// After a failure of the way or of the server, the cluster is looked at anew.
    async fn notice<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if let Err(error) = &result
            && matches!(failure(error), StorageError::Unreachable(_))
        {
            self.cluster.lost().await;
        }
        result
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// Counts a statement, bounds it, and notes when it was slow.
async fn measured<T>(
    cluster: &PostgresCluster,
    name: &'static str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let begun = Instant::now();
    let result = match tokio::time::timeout(cluster.limits().statement + SLACK, work).await {
        Ok(result) => result,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    };
    cluster.statistics().record(name, begun.elapsed());
    result
}
