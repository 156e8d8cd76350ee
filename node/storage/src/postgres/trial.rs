//! A database for a trial, made and dropped on a server that somebody has for other things too.
//!
//! What a trial makes is marked by a comment in the catalogue. Nothing without that mark is ever dropped or changed.

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Row};

use super::failure::failure;
use super::owner::{PostgresOwner, quoted};
use super::url::PostgresUrl;
use crate::StorageError;

/// The comment on what a trial made.
const MARK: &str = "made by a vrx trial; dropped and made anew by the next one";

/// A database and its two roles, `<database>_owner` and `<database>_node`, with the passwords they shall have.
pub struct Trial<'a> {
    /// The database.
    pub database: &'a str,
    /// Of the role that owns the database: hexadecimal digits.
    pub owner_password: &'a str,
    /// Of the role that the node has: hexadecimal digits.
    pub node_password: &'a str,
}

impl Trial<'_> {
    /// The role that owns a trial's database.
    pub fn owner(database: &str) -> String {
        format!("{database}_owner")
    }

    /// The role of a trial's node.
    pub fn node(database: &str) -> String {
        format!("{database}_node")
    }
}

/// A connection of a role that may make databases and roles.
pub struct PostgresTrial {
    owner: PostgresOwner,
}

#[derive(Clone, Copy)]
enum Kind {
    Database,
    Role,
}

impl PostgresTrial {
    /// Connects to the server.
    pub async fn connect(admin: &PostgresUrl) -> Result<Self, StorageError> {
        let owner = PostgresOwner::connect(admin).await?;
        Ok(Self { owner })
    }

    /// Makes the database and its roles. Those of an earlier trial are dropped first; what has the same names and was made by
    /// somebody else is refused before anything changes.
    pub async fn make(&mut self, trial: &Trial<'_>) -> Result<(), StorageError> {
        let is_hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hexadecimal(trial.owner_password) || !is_hexadecimal(trial.node_password) {
            return Err(StorageError::Invalid(
                "a trial's passwords are hexadecimal digits",
            ));
        }
        self.remove(trial.database).await?;
        let database = quoted(trial.database);
        let (owner, node) = (Trial::owner(trial.database), Trial::node(trial.database));
        for (role, password) in [(&owner, trial.owner_password), (&node, trial.node_password)] {
            let role = quoted(role);
            self.run(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
                .await?;
            self.run(&format!("COMMENT ON ROLE {role} IS '{MARK}'"))
                .await?;
        }
        let (owner, node) = (quoted(&owner), quoted(&node));
        // Whoever isn't a superuser gives databases only to roles that they are a member of.
        self.run(&format!("GRANT {owner} TO CURRENT_USER")).await?;
        self.run(&format!(
            "CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        ))
        .await?;
        self.run(&format!("COMMENT ON DATABASE {database} IS '{MARK}'"))
            .await?;
        self.run(&format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"))
            .await?;
        self.run(&format!("GRANT CONNECT ON DATABASE {database} TO {node}"))
            .await
    }

    /// Drops what a trial made under this name; there may be nothing.
    pub async fn remove(&mut self, database: &str) -> Result<(), StorageError> {
        let is_there = self.is_marked(Kind::Database, database).await?;
        let mut roles = Vec::new();
        for role in [Trial::owner(database), Trial::node(database)] {
            if self.is_marked(Kind::Role, &role).await? {
                roles.push(role);
            }
        }
        if is_there {
            self.run(&format!("DROP DATABASE {}", quoted(database)))
                .await?;
        }
        for role in roles {
            self.run(&format!("DROP ROLE {}", quoted(&role))).await?;
        }
        Ok(())
    }

    /// Ends the connection.
    pub async fn close(self) -> Result<(), StorageError> {
        self.owner.close().await
    }

    /// Whether something of this name is there and was made by a trial. What was made by somebody else is refused.
    async fn is_marked(&mut self, kind: Kind, name: &str) -> Result<bool, StorageError> {
        let sql = match kind {
            Kind::Database => {
                "-- trial_database
                 SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"
            }
            Kind::Role => {
                "-- trial_role
                 SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1"
            }
        };
        let row = sqlx::query(sql)
            .bind(name)
            .fetch_optional(&mut self.owner.connection)
            .await
            .map_err(|error| failure(&error))?;
        let Some(row) = row else { return Ok(false) };
        let mark: Option<String> = row.try_get(0).map_err(|error| failure(&error))?;
        if mark.as_deref() == Some(MARK) {
            return Ok(true);
        }
        Err(StorageError::Place {
            path: name.to_owned(),
            why: match kind {
                Kind::Database => {
                    "a database of this name is there that no trial made: name another database, or drop it yourself"
                }
                Kind::Role => {
                    "a role of this name is there that no trial made: name another database, or drop it yourself"
                }
            },
        })
    }

    async fn run(&mut self, sql: &str) -> Result<(), StorageError> {
        sqlx::query(AssertSqlSafe(format!("-- trial\n{sql}")))
            .execute(&mut self.owner.connection)
            .await
            .map(drop)
            .map_err(|error| refused(&error))
    }
}

/// What else than usual an error of these statements means.
fn refused(error: &sqlx::Error) -> StorageError {
    let code = error.as_database_error().and_then(DatabaseError::code);
    match code.as_deref() {
        // object_in_use
        Some("55006") => StorageError::Place {
            path: "a trial's database".to_owned(),
            why: "somebody is connected to it: end the nodes that an earlier trial left running",
        },
        // insufficient_privilege
        Some("42501") => StorageError::Schema(
            "the role may not make databases and roles; name one that may (CREATEDB, CREATEROLE)"
                .to_owned(),
        ),
        _ => failure(error),
    }
}
