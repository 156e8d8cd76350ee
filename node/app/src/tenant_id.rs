//! The tenant's lasting id: made by `init`, kept in `<state_dir>/<code>/tenant-id`.
//!
//! Everything sealed is bound to it, so changing the file opens nothing: it only makes the keyring refuse. It is written
//! last by `init`: where it stands, everything else does.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use vrx_domain::{Tenant, TenantId};

use crate::config::Config;
use crate::failure::Failure;

/// Where the id stands.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.tenant_dir().join("tenant-id")
}

/// The tenant of this configuration; a node that isn't initialised has none.
pub fn read(config: &Config) -> Result<Tenant, Failure> {
    let file = file(config);
    let text = std::fs::read_to_string(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::configuration(format!(
            "{} isn't there: this node has not been initialised; run `vrx-node init` with this configuration, or restore the file from a backup of state_dir",
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
    Ok(Tenant {
        id,
        code: config.tenant.code,
    })
}

/// Writes the id, durably. Never over another.
pub(crate) fn write(config: &Config, id: TenantId) -> Result<(), Failure> {
    let file = file(config);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)
        .and_then(|mut target| {
            target.write_all(format!("{id}\n").as_bytes())?;
            target.sync_all()?;
            File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
        });
    written.map_err(|error| Failure::io("write", &file, &error))
}
