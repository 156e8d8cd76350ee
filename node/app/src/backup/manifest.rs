//! The manifest beside a backup: whose it is, how much is in it, where its log stands, and the hash of the encrypted file.
//! Nothing personal is in it, and no key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vrx_domain::Tenant;
use vrx_storage::copy::RowCounts;

use super::durable;
use crate::failure::Failure;

/// The format of backups that this version writes and reads.
const FORMAT: u32 = 1;
/// A manifest is a page of text; more is something else.
const MOST: u64 = 64 * 1024;

/// What stands in the manifest of one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// Municipality code, six digits.
    pub municipality_code: String,
    /// The tenant's own id.
    pub tenant: String,
    /// When the backup was begun: the state that it holds, RFC 3339.
    pub made_at: String,
    /// Where its provision log stands.
    pub log: ManifestLog,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// SHA-256 of the encrypted file, hexadecimal.
    pub sha256: String,
    /// Length of the encrypted file, bytes.
    pub bytes: u64,
}

/// Where a backup's log stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestLog {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them, hexadecimal.
    pub root: String,
    /// Epoch.
    pub epoch: u32,
}

impl Manifest {
    /// The manifest of a finished backup.
    pub(super) fn new(
        tenant: &Tenant,
        made_at: String,
        log: ManifestLog,
        rows: &RowCounts,
        (sha256, bytes): ([u8; 32], u64),
    ) -> Self {
        Self {
            format: FORMAT,
            municipality_code: tenant.code.to_string(),
            tenant: tenant.id.to_string(),
            made_at,
            log,
            rows: named(rows),
            sha256: hex::encode(sha256),
            bytes,
        }
    }

    /// Where the manifest of a backup stands: the same name, ending in `.json`.
    pub fn path(backup: &Path) -> PathBuf {
        backup.with_extension("json")
    }

    /// Reads the manifest beside a backup.
    pub fn read(backup: &Path) -> Result<Self, Failure> {
        use std::io::Read;
        let path = Self::path(backup);
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(MOST).read_to_string(&mut text))
            .map_err(|error| Failure::io("read the backup's manifest", &path, &error))?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| {
            Failure::storage(format!(
                "{}: {error}; it isn't a manifest of this version: take another backup",
                path.display()
            ))
        })?;
        if manifest.format == FORMAT {
            Ok(manifest)
        } else {
            Err(Failure::storage(format!(
                "{}: format {}; this version reads {FORMAT}: restore with the version that wrote it",
                path.display(),
                manifest.format
            )))
        }
    }

    /// Writes it beside the backup, durably: from then on the backup counts.
    pub(super) fn write(&self, backup: &Path) -> Result<(), Failure> {
        let path = Self::path(backup);
        let text = serde_json::to_string_pretty(self).map_err(|error| {
            Failure::internal(format!("the manifest can't be written: {error}"))
        })?;
        durable::write(&path, format!("{text}\n").as_bytes())
    }

    /// Whether the rows are as many as this says, table by table. Of a table that came with a later version there are none.
    pub(super) fn has_rows(&self, rows: &RowCounts) -> bool {
        let rows = named(rows);
        self.rows.keys().all(|name| rows.contains_key(name))
            && rows
                .iter()
                .all(|(name, count)| self.rows.get(name).copied().unwrap_or(0) == *count)
    }
}

fn named(rows: &RowCounts) -> BTreeMap<String, u64> {
    rows.iter()
        .map(|(table, rows)| (table.name.to_owned(), rows))
        .collect()
}
