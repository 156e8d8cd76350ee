//! What an operator does with the log on the node's own machine: verify, export, print. Nothing is changed, and a node
//! that serves meanwhile isn't disturbed: the database is opened for reading only.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vrx_provision_log::{
    Bundles, Deadline, Depth, ExportError, LogReader, ReadError, StartError, VerifyReport,
    kept_before,
};
use vrx_storage::{LogStore, TenantStore};
use vrx_tlog::{VerifierKey, WitnessKey};

use crate::backup::{CutOff, Destroyed};
use crate::compose::{self, World, epoch_of, log_options, named, open_keys, start_failure};
use crate::config::{Config, TenantConfig};
use crate::failure::Failure;
use crate::stores::{Access, Clusters, storage_failure};
use crate::tenant_id;

/// How often the log is looked at again when the kept checkpoint ran ahead of the look at the database.
const LOOKS: usize = 5;

/// How long it may take to read which openings are blank.
const PATIENCE: Duration = Duration::from_mins(30);

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

/// Checks the whole log of a tenant, with the openings.
pub async fn verify(config: &Config, tenant: &TenantConfig) -> Result<Whole, Failure> {
    let opened = Opened::open(config, tenant).await?;
    let mut report = opened
        .reader
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await
        .map_err(read_failure)?;
    if report.fault.is_none() {
        let lists = Destroyed::paths(&config.keyring_dir, config.backup.dir.as_deref());
        let id = tenant_id::read(config, tenant.code)?;
        let listed = Destroyed::read_all(&lists, &id, CutOff::LeaveOut)?;
        let listed = listed.openings(opened.reader.epoch());
        let deadline = Deadline::after(PATIENCE);
        let checked = opened
            .reader
            .verify_blanks(&*opened.store, &listed, deadline);
        report.fault = checked.await.map_err(read_failure)?;
    }
    opened.close().await?;
    match &report.fault {
        None => Ok(Whole(report)),
        Some(fault) => Err(Failure::storage(format!(
            "the log of {} is not what was signed: {fault}; don't restart the node, keep the files as they are, and tell \
             the privacy officer",
            named(tenant.code)
        ))),
    }
}

/// Writes checkpoint, hash tiles and, where `bundles` says so, the leaves of a tenant's log below `dir`; says what was written.
pub async fn export(
    config: &Config,
    tenant: &TenantConfig,
    dir: &Path,
    bundles: Bundles,
) -> Result<String, Failure> {
    let opened = Opened::open(config, tenant).await?;
    let exported = opened
        .reader
        .export(dir, bundles, &mut |_, _| ())
        .await
        .map_err(|error| match error {
            ExportError::Held { .. } => Failure::configuration(error.to_string()),
            error => Failure::unavailable(format!("the export did not finish: {error}")),
        })?;
    opened.close().await?;
    let entries = match bundles {
        Bundles::Leave => "The entries themselves aren't there (--entries writes them).",
        Bundles::Write => "The entries are there too, for the own account alone to read.",
    };
    Ok(format!(
        "The checkpoint of {} entries and their hash tiles ({}) are written to {}. {entries}\n",
        exported.entries,
        exported.tiles,
        dir.display()
    ))
}

/// The newest signed checkpoint of a tenant's log.
pub async fn checkpoint(config: &Config, tenant: &TenantConfig) -> Result<String, Failure> {
    let opened = Opened::open(config, tenant).await?;
    let note = opened.reader.checkpoint().note().to_owned();
    opened.close().await?;
    Ok(note)
}

/// The verifier key of a tenant's log, from its keyring and the epoch of its kept checkpoint; before there is one, of the first
/// epoch.
pub fn key(config: &Config, tenant: &TenantConfig) -> Result<VerifierKey, Failure> {
    let (tenant, keyring) = open_keys(config, tenant.code)?;
    let options = log_options(config, tenant, &World::real());
    let kept = kept_before(&options, &keyring).map_err(start_failure)?;
    let epoch = kept.map_or(options.epoch, |kept| kept.epoch);
    let origin = vrx_tlog::origin(&config.trust_domain, &tenant.code.to_string(), epoch);
    VerifierKey::from_public_key(&origin, &keyring.log_public_key())
        .map_err(|error| Failure::configuration(format!("trust_domain: {error}")))
}

/// The key that others check a tenant's cosignatures with, from its keyring.
pub fn witness_key(config: &Config, tenant: &TenantConfig) -> Result<WitnessKey, Failure> {
    let (tenant, keyring) = open_keys(config, tenant.code)?;
    compose::witness_key(config, tenant, &keyring)
}

/// A tenant's log, opened for reading.
struct Opened {
    reader: LogReader,
    store: Arc<dyn TenantStore>,
    clusters: Clusters,
}

impl Opened {
    async fn open(config: &Config, tenant: &TenantConfig) -> Result<Self, Failure> {
        let (tenant_id, keyring) = open_keys(config, tenant.code)?;
        let world = World::real();
        let clusters = Clusters::connect(config, [tenant]).await?;
        let store = clusters
            .open(config, tenant_id, &keyring, &world, Access::Look)
            .await?;
        let mut options = log_options(config, tenant_id, &world);
        options.epoch = epoch_of(&*store).await?;
        let mut look = 0;
        loop {
            let log_store: Arc<dyn LogStore> = store.clone();
            look += 1;
            match LogReader::open(log_store, Arc::clone(&keyring), &options).await {
                Ok(reader) => {
                    return Ok(Self {
                        reader,
                        store,
                        clusters,
                    });
                }
                // A serving node keeps a newer checkpoint between our look at the database and our look at the copy. A log
                // that was really rolled back says so every time.
                Err(StartError::RolledBack { .. }) if look < LOOKS => {}
                Err(error) => return Err(start_failure(error)),
            }
        }
    }

    async fn close(self) -> Result<(), Failure> {
        drop(self.reader);
        self.store.close().await.map_err(storage_failure)?;
        self.clusters.close().await;
        Ok(())
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
