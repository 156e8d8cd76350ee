//! Bringing a cluster up to this version: its schema, the rights of the nodes' role, the partitions of each tenant.
//!
//! It is done as the owner of the schema, a role that no serving node has, and can be run again at any time: what stands is
//! left as it is.

use std::fmt;
use std::path::Path;

use vrx_domain::MunicipalityCode;
use vrx_storage::StorageError;
use vrx_storage::postgres::{Added, Migrated, PostgresOwner, PostgresUrl};

use crate::compose::{World, named, open_keys};
use crate::config::Config;
use crate::failure::Failure;
use crate::stores::{storage_failure, tenant_options};

/// What was done to a cluster, for the operator to read.
pub struct Done {
    cluster: String,
    url: String,
    schema: Migrated,
    role: String,
    tenants: Vec<(MunicipalityCode, Added)>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Cluster {} ({}):", self.cluster, self.url)?;
        match self.schema.from {
            None => writeln!(f, "  schema         made, version {}", self.schema.to)?,
            Some(from) if from == self.schema.to => {
                writeln!(f, "  schema         version {from}, as it should be")?;
            }
            Some(from) => writeln!(
                f,
                "  schema         from version {from} to {}",
                self.schema.to
            )?,
        }
        writeln!(
            f,
            "  node role      {} has what it needs and nothing else",
            self.role
        )?;
        for (code, added) in &self.tenants {
            let what = match added {
                Added::New => "partitions and first rows made",
                Added::Already => "there already",
            };
            writeln!(f, "  {} {what}", named(*code))?;
        }
        Ok(())
    }
}

/// Migrates the cluster with this name (or the only one), as `owner`. `file` is the configuration's own.
pub async fn migrate(
    config: &Config,
    file: &Path,
    owner: &PostgresUrl,
    cluster: Option<&str>,
) -> Result<Done, Failure> {
    let (cluster, url) = config.cluster(file, cluster)?;
    check_owner(cluster, url, owner)?;
    // The keys first: without them nothing is changed.
    let world = World::real();
    let mut tenants = Vec::new();
    for tenant in config.tenants_of(cluster) {
        let (id, keyring) =
            open_keys(config, tenant.code).map_err(|failure| failure.about(&named(tenant.code)))?;
        tenants.push(tenant_options(id, &keyring, &world));
    }

    let mut connection = PostgresOwner::connect(owner)
        .await
        .map_err(|error| refused(owner, error))?;
    let schema = connection
        .migrate()
        .await
        .map_err(|error| refused(owner, error))?;
    connection.grant(url.user()).await.map_err(|error| {
        refused(owner, error).about(&format!(
            "the rights of {role} (is there such a role? CREATE ROLE {role} LOGIN)",
            role = url.user()
        ))
    })?;
    let mut added = Vec::new();
    for options in &tenants {
        let code = options.tenant.code;
        let done = connection.add_tenant(options).await;
        let done = done.map_err(|error| refused(owner, error).about(&named(code)))?;
        added.push((code, done));
        // Adding a tenant seals its decoys: what was reserved for that is given back.
        options.keyring.close()?;
    }
    connection
        .close()
        .await
        .map_err(|error| refused(owner, error))?;
    Ok(Done {
        cluster: cluster.to_owned(),
        url: url.to_string(),
        schema,
        role: url.user().to_owned(),
        tenants: added,
    })
}

/// The address of the role that owns a cluster's database, which a verb of the operator's needs for a tenant that is there.
pub(crate) fn owner_of<'a>(
    (cluster, url): (&str, &PostgresUrl),
    owner: Option<&'a PostgresUrl>,
) -> Result<&'a PostgresUrl, Failure> {
    let owner = owner.ok_or_else(|| {
        Failure::configuration(format!(
            "--owner: the tenant is in the cluster {cluster}; give the address of the role that owns its database"
        ))
    })?;
    check_owner(cluster, url, owner)?;
    Ok(owner)
}

/// The owner's address must lead to the same database, as somebody else than the nodes.
fn check_owner(cluster: &str, url: &PostgresUrl, owner: &PostgresUrl) -> Result<(), Failure> {
    if owner.user() == url.user() {
        return Err(Failure::configuration(format!(
            "--owner: {} is the role of the nodes of the cluster {cluster}, which may own nothing; \
             give the address of the role that owns the database",
            owner.user()
        )));
    }
    if owner.database() != url.database() {
        return Err(Failure::configuration(format!(
            "--owner: it leads to the database {}, the cluster {cluster} is the database {}; give the same one",
            owner.database(),
            url.database()
        )));
    }
    Ok(())
}

fn refused(owner: &PostgresUrl, error: StorageError) -> Failure {
    storage_failure(error).about(&owner.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ExitCode;

    fn url(text: &str) -> PostgresUrl {
        PostgresUrl::parse(text).unwrap()
    }

    #[test]
    fn the_nodes_role_and_another_database_are_no_owner() {
        let node = url("postgres://vrx_node@db.example/vrx");
        for (owner, what) in [
            ("postgres://vrx_node@db.example/vrx", "vrx_node is the role"),
            ("postgres://vrx_owner@db.example/other", "database other"),
        ] {
            let failure = check_owner("east", &node, &url(owner)).unwrap_err();
            assert_eq!(failure.code, ExitCode::Configuration);
            assert!(failure.message.contains(what), "{failure}");
        }
        // Through whatever host: an owner may come over the server's own socket.
        assert!(
            check_owner(
                "east",
                &node,
                &url("postgres://vrx_owner@127.0.0.1/vrx?sslmode=disable")
            )
            .is_ok()
        );
    }
}
