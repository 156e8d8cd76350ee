//! Why a configuration doesn't stand: always with the file, the key, and what to do.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// A configuration that can't be used. Exit code 64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{file}: can't be read: {reason}; give the right path with --config", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The file isn't TOML, or has a key that is unknown, missing, or of the wrong type. The reason shows the place.
    #[error("{file}: {reason}; correct that place (`vrx-node config` prints a commented sample)", file = file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What the parser said, with line and column.
        reason: String,
    },
    /// A key's value can't be used.
    #[error("{file}: {key}: {problem}; {remedy}", file = file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The key, with its table.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// Makes errors about the keys of one file.
pub(crate) struct Blame<'a> {
    pub(crate) file: &'a Path,
}

impl Blame<'_> {
    pub(crate) fn value(
        &self,
        key: impl Into<String>,
        problem: &(impl ToString + ?Sized),
        remedy: &'static str,
    ) -> ConfigError {
        ConfigError::Value {
            file: self.file.to_owned(),
            key: key.into(),
            problem: problem.to_string(),
            remedy,
        }
    }

    /// The value, when it is in the range.
    pub(crate) fn within(
        &self,
        key: String,
        value: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        if range.contains(&value) {
            return Ok(value);
        }
        let problem = format!(
            "{value} is not between {} and {}",
            range.start(),
            range.end()
        );
        let remedy = "choose a number in that range or leave the key out";
        Err(self.value(key, &problem, remedy))
    }

    pub(crate) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        ConfigError::Syntax {
            file: self.file.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        }
    }

    pub(crate) fn read(&self) -> Result<String, ConfigError> {
        std::fs::read_to_string(self.file).map_err(|error| ConfigError::Read {
            file: self.file.to_owned(),
            reason: error.to_string(),
        })
    }
}
