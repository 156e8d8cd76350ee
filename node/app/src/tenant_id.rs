//! The tenant's lasting id: made by `init`, kept in `<state_dir>/<code>/tenant-id`.
//!
//! Everything sealed is bound to it, so changing the file opens nothing: it only makes the keyring refuse. It is written
//! last by `init`: where it stands, everything else does.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use vrx_domain::{MunicipalityCode, Tenant, TenantId};

use crate::config::Config;
use crate::failure::Failure;

/// Where the id stands.
pub(crate) fn file(config: &Config, code: MunicipalityCode) -> PathBuf {
    config.tenant_dir(code).join("tenant-id")
}

/// The tenant with this code; one that isn't initialised has no id.
pub fn read(config: &Config, code: MunicipalityCode) -> Result<Tenant, Failure> {
    let file = file(config, code);
    let text = std::fs::read_to_string(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::configuration(format!(
            "{} isn't there: this tenant has not been initialised; run `vrx-node init` with this configuration, or restore the file from a backup of state_dir",
            file.display()
        )),
        _ => Failure::io("read", &file, &error),
    })?;
    let id: TenantId = text.trim_end().parse().map_err(|error| {
        Failure::storage(format!(
            "{}: {error}; restore the file from the last backup",
            file.display()
        ))
    })?;
    Ok(Tenant { id, code })
}

/// Writes the id, durably. Never over another.
pub(crate) fn write(config: &Config, tenant: &Tenant) -> Result<(), Failure> {
    let file = file(config, tenant.code);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)
        .and_then(|mut target| {
            target.write_all(format!("{}\n", tenant.id).as_bytes())?;
            target.sync_all()?;
            File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
        });
    written.map_err(|error| Failure::io("write", &file, &error))
}
