//! What an operator does with the log on the node's own machine: verify, export, print. Nothing is changed, and a node
//! that serves meanwhile isn't disturbed: the database is opened for reading only.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use vrx_provision_log::{Bundles, Depth, LogReader, ReadError, StartError, VerifyReport};
use vrx_storage::{LogStore, SqliteTenant};
use vrx_tlog::VerifierKey;

use crate::compose::{
    World, log_options, open_keys, sqlite_options, start_failure, storage_failure,
};
use crate::config::Config;
use crate::failure::Failure;

/// How often the log is looked at again when the kept checkpoint ran ahead of the look at the database.
const LOOKS: usize = 5;

/// A log that was found whole.
pub struct Whole(VerifyReport);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        writeln!(
            f,
            "The log is whole: {} entries, root {}.",
            report.entries,
            hex::encode(report.root)
        )?;
        if report.erased > 0 {
            writeln!(
                f,
                "{} openings are erased; their leaves stand.",
                report.erased
            )?;
        }
        Ok(())
    }
}

/// Checks the whole log, with the openings.
pub async fn verify(config: &Config) -> Result<Whole, Failure> {
    let (store, reader) = open(config).await?;
    let report = reader
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await
        .map_err(read_failure)?;
    drop(reader);
    store.close().await.map_err(storage_failure)?;
    match &report.fault {
        None => Ok(Whole(report)),
        Some(fault) => Err(Failure::storage(format!(
            "the log of {} is not what was signed: {fault}; stop the node, keep the files as they are, and tell the \
             privacy officer",
            config.tenant.code
        ))),
    }
}

/// Writes checkpoint and hash tiles below `dir`; says what was written.
pub async fn export(config: &Config, dir: &Path) -> Result<String, Failure> {
    let (store, reader) = open(config).await?;
    let exported = reader
        .export(dir, Bundles::Leave, &mut |_, _| ())
        .await
        .map_err(|error| Failure::unavailable(format!("the export did not finish: {error}")))?;
    drop(reader);
    store.close().await.map_err(storage_failure)?;
    Ok(format!(
        "{} entries, {} tiles and the checkpoint written to {}.\n",
        exported.entries,
        exported.tiles,
        dir.display()
    ))
}

/// The newest signed checkpoint.
pub async fn checkpoint(config: &Config) -> Result<String, Failure> {
    let (store, reader) = open(config).await?;
    let note = reader.checkpoint().note().to_owned();
    drop(reader);
    store.close().await.map_err(storage_failure)?;
    Ok(note)
}

/// The log's verifier key, from the keyring alone.
pub fn key(config: &Config) -> Result<VerifierKey, Failure> {
    let (tenant, keyring) = open_keys(config)?;
    let epoch = log_options(config, tenant, &World::real()).epoch;
    let origin = vrx_tlog::origin(&config.trust_domain, &tenant.code.to_string(), epoch);
    VerifierKey::from_public_key(&origin, &keyring.log_public_key())
        .map_err(|error| Failure::configuration(format!("trust_domain: {error}")))
}

async fn open(config: &Config) -> Result<(Arc<SqliteTenant>, LogReader), Failure> {
    let (tenant, keyring) = open_keys(config)?;
    let world = World::real();
    let store =
        SqliteTenant::open_read_only(sqlite_options(config, tenant, &keyring, &world)).await;
    let store = Arc::new(store.map_err(storage_failure)?);
    let options = log_options(config, tenant, &world);
    let mut look = 0;
    loop {
        let log_store: Arc<dyn LogStore> = store.clone();
        look += 1;
        match LogReader::open(log_store, Arc::clone(&keyring), &options).await {
            Ok(reader) => return Ok((store, reader)),
            // A serving node keeps a newer checkpoint between our look at the database and our look at the copy. A log
            // that was really rolled back says so every time.
            Err(StartError::RolledBack { .. }) if look < LOOKS => {}
            Err(error) => return Err(start_failure(error)),
        }
    }
}

fn read_failure(error: ReadError) -> Failure {
    match error {
        ReadError::DeadlineExceeded => {
            Failure::unavailable("the database didn't answer in time; try again")
        }
        ReadError::Storage(error) => storage_failure(error),
        other => Failure::storage(other.to_string()),
    }
}
