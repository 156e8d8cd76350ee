//! A SQLite database whose tenant is being moved elsewhere: a mark beside it keeps every process from opening it to write,
//! so that the copy and what it is compared with are the same rows however often the move is interrupted.

use std::fs::File;
use std::path::PathBuf;

use vrx_domain::Tenant;

use super::files::Folder;
use super::tenant::blocking;
use crate::StorageError;

/// Holds the tenant's lock, so no node serves it; the mark stays when this is dropped.
pub struct SqliteMoving {
    folder: Folder,
    _lock: File,
}

impl SqliteMoving {
    /// Takes the lock (a node that serves is [`StorageError::Locked`]) and marks the database as being moved to `to`, which is for
    /// people to read.
    pub async fn begin(
        state_dir: PathBuf,
        tenant: Tenant,
        to: String,
    ) -> Result<Self, StorageError> {
        let folder = Folder::of(&state_dir, tenant.code);
        blocking(move || {
            folder.check_database()?;
            let lock = folder.lock()?;
            folder.mark_moving(&to)?;
            Ok(Self {
                folder,
                _lock: lock,
            })
        })
        .await
    }

    /// Whether the tenant is marked as being moved, by whomever.
    pub async fn is_marked(state_dir: PathBuf, tenant: Tenant) -> Result<bool, StorageError> {
        let folder = Folder::of(&state_dir, tenant.code);
        blocking(move || Ok(folder.moving_to()?.is_some())).await
    }

    /// Gives the database back to be served here.
    pub async fn abandon(self) -> Result<(), StorageError> {
        blocking(move || self.folder.unmark_moving()).await
    }
}
