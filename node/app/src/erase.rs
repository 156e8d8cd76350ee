//! The operator's part of an erasure (消去): rewriting the files without what was deleted, where the serving node can't.
//!
//! On SQLite the node rewrites a file of up to 128 MB by itself; a larger one is rewritten here, with the node stopped. On PostgreSQL
//! the tables' owner does it, while nodes serve: each table of the tenant is locked while it is written anew.

use std::fmt;

use vrx_storage::postgres::{PostgresOwner, PostgresUrl, Rewritten};
use vrx_storage::{SqliteRewriting, waits_for_rewriting};

use crate::compose::{World, open_keyring};
use crate::config::{Config, TenantConfig};
use crate::failure::Failure;
use crate::migrate::owner_of;
use crate::stores::{cluster_of, storage_failure};
use crate::tenant_id;

/// What was done, for the operator to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// No erasure waits for it.
    Nothing,
    /// The tenant's file was rewritten.
    File,
    /// The tenant's tables were rewritten.
    Tables {
        /// Whether the server made a checkpoint after it.
        checkpointed: bool,
    },
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => writeln!(f, "No erasure waits for its files to be rewritten."),
            Self::File => writeln!(
                f,
                "The database was rewritten without what was erased; the node records the erasure when it serves again."
            ),
            Self::Tables { checkpointed } => {
                writeln!(
                    f,
                    "The tenant's tables were rewritten without what was erased; a serving node records the erasure within a minute."
                )?;
                if !checkpointed {
                    writeln!(
                        f,
                        "The role may not CHECKPOINT: have the server's administrator run it, so that the write-ahead log of before \
                         is recycled."
                    )?;
                }
                writeln!(
                    f,
                    "Write-ahead log that was archived or recycled, and copies of the server's own tools, may hold what was erased: \
                     destroy them by the final date on the certificate."
                )
            }
        }
    }
}

/// Rewrites the files of a tenant whose erasure waits for it.
pub async fn finish(
    config: &Config,
    settings: &TenantConfig,
    owner: Option<&PostgresUrl>,
) -> Result<Finished, Failure> {
    let tenant = tenant_id::read(config, settings.code)?;
    let keyring = open_keyring(config, &tenant)?;
    let now = World::real().clock.now();
    let Some((name, url)) = cluster_of(config, settings)? else {
        let state_dir = config.state_dir.clone();
        let rewritten = SqliteRewriting::rewrite(state_dir, tenant, keyring, now).await;
        return Ok(if rewritten.map_err(storage_failure)? {
            Finished::File
        } else {
            Finished::Nothing
        });
    };
    let owner = owner_of((name, url), owner)?;
    let refused = |error| storage_failure(error).about(&owner.to_string());
    let mut connection = PostgresOwner::connect(owner).await.map_err(refused)?;
    let waits = move |id: &[u8; 16], body: &[u8]| waits_for_rewriting(&keyring, id, body);
    let rewritten = connection.rewrite_erased(tenant, &waits, now).await;
    let rewritten = rewritten.map_err(refused)?;
    connection.close().await.map_err(refused)?;
    Ok(match rewritten {
        Rewritten::Nothing => Finished::Nothing,
        Rewritten::Tables { checkpointed } => Finished::Tables { checkpointed },
    })
}
