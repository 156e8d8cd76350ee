//! What a node looks at before it serves from a cluster: the schema's version, the server's settings, its own role.

use sqlx::{PgConnection, Row};

use super::failure::failure;
use super::owner::MIGRATIONS;
use super::partitions::TABLES;
use crate::StorageError;

/// The oldest schema that this version of the node can serve: each import looks whether an erasure has taken a person, whose tables
/// came with it.
const OLDEST_SCHEMA: i64 = 4;

/// Refuses what would lose entries, mix tenants, or let this node rewrite its own log.
pub(super) async fn serving(connection: &mut PgConnection) -> Result<(), StorageError> {
    schema(connection).await?;
    settings(connection).await?;
    role(connection).await
}

/// The newest migration that this node knows.
pub(super) fn newest() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// Nodes of the version before and after this one serve the same schema while an upgrade is under way: a migration either
/// expands (older nodes don't notice) or contracts (and says so).
async fn schema(connection: &mut PgConnection) -> Result<(), StorageError> {
    let step = sqlx::query(
        "-- schema_step
         SELECT version, oldest_node FROM schema_step ORDER BY version DESC LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await
    .map_err(|error| match failure(&error) {
        StorageError::Schema(_) => StorageError::Schema(
            "there is no schema of this node here, or the role may not see it; run `vrx-node migrate`".to_owned(),
        ),
        other => other,
    })?;
    let step = step.ok_or_else(|| StorageError::Schema("schema_step is empty".to_owned()))?;
    let get = |column: usize| {
        step.try_get::<i64, _>(column)
            .map_err(|error| failure(&error))
    };
    let (version, oldest_node) = (get(0)?, get(1)?);
    if version < OLDEST_SCHEMA {
        return Err(StorageError::Schema(format!(
            "its schema has version {version}, this node needs {OLDEST_SCHEMA} or later; run `vrx-node migrate`"
        )));
    }
    if oldest_node > newest() {
        return Err(StorageError::Schema(format!(
            "its schema has version {version} and needs nodes that know version {oldest_node}; this one knows {}: install a newer vrx-node",
            newest()
        )));
    }
    Ok(())
}

/// An answered entry must be on a disk: a server that acknowledges earlier is refused.
async fn settings(connection: &mut PgConnection) -> Result<(), StorageError> {
    let row = sqlx::query(
        "-- settings
         SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
                current_setting('server_version_num')::integer",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| failure(&error))?;
    let text = |column: usize| {
        row.try_get::<String, _>(column)
            .map_err(|error| failure(&error))
    };
    for (column, name) in [(0, "fsync"), (1, "full_page_writes")] {
        if text(column)? != "on" {
            return Err(StorageError::Schema(format!(
                "the server has {name} off: it could lose what it confirmed; turn it on"
            )));
        }
    }
    // local and remote_write confirm what no standby has on its disk; with a standby named they would lose entries.
    let commit = text(2)?;
    if commit != "on" && commit != "remote_apply" {
        return Err(StorageError::Schema(format!(
            "the server has synchronous_commit = {commit}: it confirms before the disks have it; set it to on"
        )));
    }
    let version: i32 = row.try_get(3).map_err(|error| failure(&error))?;
    if version < 150_000 {
        return Err(StorageError::Schema(
            "the server is older than PostgreSQL 15".to_owned(),
        ));
    }
    Ok(())
}

/// The role must not be able to switch row-level security off, nor to change what the log holds.
async fn role(connection: &mut PgConnection) -> Result<(), StorageError> {
    let refuse = |why: &str| {
        Err(StorageError::Schema(format!(
            "the node's role {why}; give the node a role of its own that owns nothing, and run `vrx-node migrate`"
        )))
    };
    let row = sqlx::query(
        "-- own_role
         SELECT rolsuper, rolbypassrls,
                EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'vrx'::regnamespace AND pg_has_role(c.relowner, 'USAGE'))
         FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| failure(&error))?;
    let is = |column: usize| {
        row.try_get::<bool, _>(column)
            .map_err(|error| failure(&error))
    };
    for (column, why) in [
        (0, "is a superuser"),
        (1, "may bypass row-level security"),
        (2, "owns tables, or is a member of their owner"),
    ] {
        if is(column)? {
            return refuse(why);
        }
    }
    let row = sqlx::query(
        "-- own_rights_to_partitions
         SELECT coalesce(bool_or(i.inhparent IN ('vrx.log_entry'::regclass, 'vrx.log_tile'::regclass)
                        AND (has_any_column_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE, TRUNCATE'))), false),
                coalesce(bool_and(c.relrowsecurity AND c.relforcerowsecurity), true)
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE c.relnamespace = 'vrx'::regnamespace AND c.relkind = 'r'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| failure(&error))?;
    let is = |column: usize| {
        row.try_get::<bool, _>(column)
            .map_err(|error| failure(&error))
    };
    if is(0)? {
        return refuse("may change or delete entries of the log");
    }
    if !is(1)? {
        return Err(StorageError::Schema(
            "row-level security isn't forced on every partition; run `vrx-node migrate`".to_owned(),
        ));
    }
    let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let row = sqlx::query(
        "-- own_rights
         SELECT bool_and(has_table_privilege(name::regclass, 'SELECT')),
                bool_or(name IN ('log_entry', 'log_tile')
                        AND (has_any_column_privilege(name::regclass, 'UPDATE')
                             OR has_table_privilege(name::regclass, 'DELETE, TRUNCATE'))),
                bool_and((SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = name::regclass))
         FROM unnest($1::text[]) AS name",
    )
    .bind(tables)
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| failure(&error))?;
    let is = |column: usize| {
        row.try_get::<bool, _>(column)
            .map_err(|error| failure(&error))
    };
    if !is(0)? {
        return refuse("may not read all tables");
    }
    if is(1)? {
        return refuse("may change or delete entries of the log");
    }
    if !is(2)? {
        return Err(StorageError::Schema(
            "row-level security isn't forced on every table; run `vrx-node migrate`".to_owned(),
        ));
    }
    Ok(())
}
