//! What the tables' owner does: bring the schema up, grant, add a tenant. Never part of serving.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};

use super::apply::column;
use super::failure::failure;
use super::partitions::{FUNCTIONS, SCHEMA_STEP, TABLES, partition};
use super::passage::Passage;
use super::tenant::TenantOptions;
use super::url::PostgresUrl;
use crate::StorageError;
use crate::decoys::{DECOY_IMPORT, DECOYS, decoys};
use crate::log::EMPTY_ROOT;

/// `migrations/postgres`, compiled in. Append-only.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long a change of tables waits for those who use them: a longer wait would make everybody behind it wait too.
const LOCK: &str = "3s";

/// What migrating did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Version of the schema before; `None` when there was none.
    pub from: Option<i64>,
    /// Version now.
    pub to: i64,
}

/// What adding a tenant did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Partitions and first rows were made.
    New,
    /// It was there, with this id.
    Already,
}

/// A connection of the role that owns the schema.
pub struct PostgresOwner {
    pub(super) connection: PgConnection,
    /// Holds the way open as long as the connection.
    _passage: Option<Passage>,
}

impl PostgresOwner {
    /// Connects to the first host that takes writes.
    pub async fn connect(url: &PostgresUrl) -> Result<Self, StorageError> {
        let mut why = StorageError::Unreachable("no host answers".to_owned());
        for options in url.connect_options() {
            let options = options
                .options([("search_path", "vrx"), ("lock_timeout", LOCK)])
                .disable_statement_logging();
            let (options, passage) = Passage::through(options)?;
            match connect(&options, passage.as_ref()).await {
                Ok(Some(connection)) => {
                    return Ok(Self {
                        connection,
                        _passage: passage,
                    });
                }
                Ok(None) => {
                    why = StorageError::Unreachable(
                        "every host that answers is a standby".to_owned(),
                    );
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Brings the schema to this version's. Each migration is one transaction; an interrupted one is run again.
    pub async fn migrate(&mut self) -> Result<Migrated, StorageError> {
        let schema = |error: &dyn std::fmt::Display| StorageError::Schema(error.to_string());
        self.run("CREATE SCHEMA IF NOT EXISTS vrx").await?;
        // Nobody but the owner and those it grants to: by default everybody may look into a schema's names.
        self.run("REVOKE ALL ON SCHEMA vrx FROM PUBLIC").await?;
        let from = self.version().await?;
        MIGRATIONS
            .run(&mut self.connection)
            .await
            .map_err(|error| schema(&error))?;
        let to = self.version().await?.unwrap_or(0);
        Ok(Migrated { from, to })
    }

    /// Gives a role of nodes what it needs and takes from it everything else.
    pub async fn grant(&mut self, node_role: &str) -> Result<(), StorageError> {
        let role = quoted(node_role);
        let mut statements = vec![
            format!("REVOKE ALL ON ALL TABLES IN SCHEMA vrx FROM {role}"),
            format!("GRANT USAGE ON SCHEMA vrx TO {role}"),
            format!("GRANT SELECT ON {SCHEMA_STEP} TO {role}"),
            format!("GRANT EXECUTE ON FUNCTION current_tenant() TO {role}"),
        ];
        for function in FUNCTIONS {
            statements.push(format!("GRANT EXECUTE ON FUNCTION {function} TO {role}"));
        }
        for table in TABLES {
            statements.push(format!(
                "GRANT {} ON {} TO {role}",
                table.rights, table.name
            ));
        }
        for table in TABLES.iter().filter(|table| table.direct) {
            let partitions = self.partitions_of(table.name).await?;
            if !partitions.is_empty() {
                let names = partitions.join(", ");
                statements.push(format!("GRANT {} ON {names} TO {role}", table.rights));
            }
        }
        self.transaction(&statements).await
    }

    /// The names of a table's partitions.
    async fn partitions_of(&mut self, table: &str) -> Result<Vec<String>, StorageError> {
        sqlx::query(
            "-- partitions_of
             SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass($1) ORDER BY 1",
        )
        .bind(table)
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| failure(&error))?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()
        .map_err(|error| failure(&error))
    }

    /// The roles of nodes, quoted: whoever may add to the log and doesn't own it.
    async fn node_roles(&mut self) -> Result<Vec<String>, StorageError> {
        sqlx::query(
            "-- node_roles
             SELECT a.grantee::regrole::text FROM pg_class c, aclexplode(c.relacl) a
             WHERE c.oid = 'vrx.log_entry'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
             ORDER BY 1",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| failure(&error))?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()
        .map_err(|error| failure(&error))
    }

    /// Makes a tenant's partitions and first rows. A tenant that is here with another id is refused.
    pub async fn add_tenant(&mut self, options: &TenantOptions) -> Result<Added, StorageError> {
        self.make_partitions(options.tenant.code.as_u32()).await?;
        if self.has(options).await? {
            return Ok(Added::Already);
        }
        self.fill(options).await?;
        Ok(Added::New)
    }

    /// Ends the connection.
    pub async fn close(self) -> Result<(), StorageError> {
        self.connection
            .close()
            .await
            .map_err(|error| failure(&error))
    }

    async fn version(&mut self) -> Result<Option<i64>, StorageError> {
        let row = sqlx::query("-- schema_there\nSELECT to_regclass('vrx.schema_step') IS NOT NULL")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failure(&error))?;
        if !row.try_get(0).map_err(|error| failure(&error))? {
            return Ok(None);
        }
        let row = sqlx::query("-- schema_version\nSELECT max(version) FROM schema_step")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failure(&error))?;
        row.try_get(0).map_err(|error| failure(&error))
    }

    /// Each partition is made beside its table and attached; row-level security is forced on it too, for whoever would
    /// reach past the table. All that are missing come in one transaction: each step on a table with many partitions costs
    /// all of its others a look.
    pub(crate) async fn make_partitions(&mut self, tenant: u32) -> Result<(), StorageError> {
        let wanted: Vec<(&str, String)> = TABLES
            .iter()
            .filter(|table| table.partitioned)
            .map(|table| (table.name, partition(table.name, tenant)))
            .collect();
        let names: Vec<&str> = wanted.iter().map(|(_, name)| name.as_str()).collect();
        let attached = sqlx::query(
            "-- partitions_there
             SELECT relname::text FROM pg_class
             WHERE relnamespace = 'vrx'::regnamespace AND relispartition AND relname = ANY ($1)",
        )
        .bind(names)
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| failure(&error))?
        .iter()
        .map(|row| row.try_get::<String, _>(0))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failure(&error))?;
        let roles = self.node_roles().await?;
        let mut statements: Vec<String> = wanted
            .iter()
            .filter(|(_, name)| !attached.contains(name))
            .flat_map(|(table, name)| {
                [
                    format!("CREATE TABLE IF NOT EXISTS {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"),
                    format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"),
                    format!("CREATE POLICY one_tenant ON {name} USING (tenant = current_tenant()) WITH CHECK (tenant = current_tenant())"),
                    format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES IN ({tenant})"),
                ]
            })
            .collect();
        if statements.is_empty() {
            return Ok(());
        }
        for role in roles {
            statements.extend(TABLES.iter().filter(|table| table.direct).map(|table| {
                let name = partition(table.name, tenant);
                format!("GRANT {} ON {name} TO {role}", table.rights)
            }));
        }
        self.transaction(&statements).await
    }

    /// Whether the tenant's rows are here. Row-level security holds for the owner too.
    async fn has(&mut self, options: &TenantOptions) -> Result<bool, StorageError> {
        self.begin(options.tenant.code.as_u32()).await?;
        let row =
            sqlx::query("-- tenant_there\nSELECT tenant_uuid FROM tenant_meta WHERE tenant = $1")
                .bind(options.key()?)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(|error| failure(&error))?;
        self.run("COMMIT").await?;
        let Some(row) = row else { return Ok(false) };
        let uuid: [u8; 16] = row.try_get(0).map_err(|error| failure(&error))?;
        if uuid == *options.tenant.id.as_bytes() {
            Ok(true)
        } else {
            Err(StorageError::OtherTenant)
        }
    }

    async fn fill(&mut self, options: &TenantOptions) -> Result<(), StorageError> {
        let chunk = decoys(&options.tenant, &options.keyring, &*options.random)?;
        let tenant = options.key()?;
        let import = *DECOY_IMPORT.as_bytes();
        let revision = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        self.begin(options.tenant.code.as_u32()).await?;
        let queries = [
            sqlx::query("INSERT INTO tenant_meta (tenant, tenant_uuid, decoys) VALUES ($1, $2, $3)")
                .bind(tenant)
                .bind(*options.tenant.id.as_bytes())
                .bind(revision(DECOYS)),
            sqlx::query("INSERT INTO log_head (tenant, size, root, epoch, last_time) VALUES ($1, 0, $2, 1, 0)")
                .bind(tenant)
                .bind(EMPTY_ROOT),
            sqlx::query("INSERT INTO canary (tenant, written) VALUES ($1, 0)").bind(tenant),
            sqlx::query(
                "INSERT INTO person (tenant, person_id, wrapped_key, number)
                 SELECT $1, p.* FROM unnest($2::bytea[], $3::bytea[], $4::bytea[]) AS p",
            )
            .bind(tenant)
            .bind(column(&chunk.persons, |row| *row.id.as_bytes()))
            .bind(column(&chunk.persons, |row| row.wrapped_key.as_slice()))
            .bind(column(&chunk.persons, |row| row.number.as_slice())),
            sqlx::query(
                "INSERT INTO person_revision (tenant, person_id, revision, import_id, log_index, body)
                 SELECT $1, r.person_id, r.revision, $2, 0, r.body
                 FROM unnest($3::bytea[], $4::integer[], $5::bytea[]) AS r (person_id, revision, body)",
            )
            .bind(tenant)
            .bind(import)
            .bind(column(&chunk.person_revisions, |row| *row.person.as_bytes()))
            .bind(column(&chunk.person_revisions, |row| revision(row.revision)))
            .bind(column(&chunk.person_revisions, |row| row.body.as_slice())),
            sqlx::query(
                "INSERT INTO dose_revision (tenant, person_id, dose_id, revision, import_id, log_index, body)
                 SELECT $1, r.person_id, r.dose_id, r.revision, $2, 0, r.body
                 FROM unnest($3::bytea[], $4::bytea[], $5::integer[], $6::bytea[]) AS r (person_id, dose_id, revision, body)",
            )
            .bind(tenant)
            .bind(import)
            .bind(column(&chunk.dose_revisions, |row| *row.person.as_bytes()))
            .bind(column(&chunk.dose_revisions, |row| *row.dose.as_bytes()))
            .bind(column(&chunk.dose_revisions, |row| revision(row.revision)))
            .bind(column(&chunk.dose_revisions, |row| row.body.as_slice())),
        ];
        for query in queries {
            query
                .execute(&mut self.connection)
                .await
                .map_err(|error| failure(&error))?;
        }
        self.run("COMMIT").await
    }

    pub(super) async fn begin(&mut self, tenant: u32) -> Result<(), StorageError> {
        // Closes what a failed step before may have left open.
        self.run("ROLLBACK").await?;
        self.run(&format!(
            "BEGIN; SELECT set_config('vrx.tenant', '{tenant}', true)"
        ))
        .await
    }

    async fn transaction(&mut self, statements: &[String]) -> Result<(), StorageError> {
        self.run("ROLLBACK").await?;
        // One simple query: PostgreSQL runs all of it in one transaction, or none.
        self.run(&format!("BEGIN; {}; COMMIT", statements.join("; ")))
            .await
    }

    pub(super) async fn run(&mut self, text: &str) -> Result<(), StorageError> {
        // Only constants, numbers and quoted names stand in these texts.
        sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| failure(&error))
    }
}

async fn connect(
    options: &sqlx::postgres::PgConnectOptions,
    passage: Option<&Passage>,
) -> Result<Option<PgConnection>, StorageError> {
    if let Some(passage) = passage {
        passage.leads_somewhere().await?;
    }
    let mut connection = options.connect().await.map_err(|error| failure(&error))?;
    let row = sqlx::query("-- is_primary\nSELECT pg_is_in_recovery()")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failure(&error))?;
    let standby: bool = row.try_get(0).map_err(|error| failure(&error))?;
    Ok((!standby).then_some(connection))
}

/// A name as SQL has it, whatever stands in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
