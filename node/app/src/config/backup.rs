//! Where backups go, for whom they are encrypted, and how many stay.

use std::path::{Path, PathBuf};

use super::error::{Blame, ConfigError};
use super::raw::RawConfig;

/// Generations that stay when the configuration doesn't say.
const KEEP: u64 = 10;

/// What the configuration says about backups. All of it is optional until a backup is to be made.
pub struct BackupConfig {
    /// The folder.
    pub dir: Option<PathBuf>,
    /// For whom backups are encrypted.
    pub recipients: Vec<age::x25519::Recipient>,
    /// How many of each tenant stay.
    pub keep: usize,
}

/// Checks the keys that begin with `backup_`.
pub(super) fn check(
    blame: &Blame<'_>,
    folder: &Path,
    raw: &RawConfig,
) -> Result<BackupConfig, ConfigError> {
    let recipients = raw.backup_recipients.iter().enumerate();
    let recipients = recipients.map(|(index, text)| {
        text.parse().map_err(|error: &str| {
            blame.value(
                format!("backup_recipients[{index}]"),
                &error,
                "write an age recipient (age1…), made by `age-keygen` and kept away from this machine",
            )
        })
    });
    let recipients = recipients.collect::<Result<_, _>>()?;
    let keep = raw.backup_keep.unwrap_or(KEEP);
    blame.within("backup_keep".to_owned(), keep, 1..=1_000)?;
    let dir = raw.backup_dir.as_ref().map(|dir| folder.join(dir));
    let data = [
        ("state_dir", &raw.state_dir),
        ("keyring_dir", &raw.keyring_dir),
    ];
    for (key, other) in data {
        if dir
            .as_ref()
            .is_some_and(|dir| dir.starts_with(folder.join(other)))
        {
            return Err(blame.value(
                "backup_dir",
                &format!("lies inside {key}"),
                "choose a folder outside of it, best on another machine",
            ));
        }
    }
    Ok(BackupConfig {
        dir,
        recipients,
        keep: usize::try_from(keep).unwrap_or(usize::MAX),
    })
}
