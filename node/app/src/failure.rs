//! How a run ends: an exit code for programs, a sentence for people.

use std::fmt;

use vrx_crypto::CryptoError;

use crate::config::ConfigError;

/// Why a run failed. The numbers follow `sysexits.h` where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 64: the configuration, a key file or the arguments can't be used as they are.
    Configuration = 64,
    /// 69: something that must answer doesn't (a port taken, a database locked, a disk full).
    Unavailable = 69,
    /// 70: a bug.
    Internal = 70,
    /// 74: what is stored was refused: an older log, a damaged one, one that doesn't verify.
    StorageRefused = 74,
}

/// A run that failed: its exit code and what to tell the operator. It never holds a secret or a resident's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What happened, to which thing, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with code 64.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self {
            code: ExitCode::Configuration,
            message: message.into(),
        }
    }

    /// A failure with code 69.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            code: ExitCode::Unavailable,
            message: message.into(),
        }
    }

    /// A failure with code 70.
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            code: ExitCode::Internal,
            message: message.into(),
        }
    }

    /// A failure with code 74.
    pub fn storage(message: impl Into<String>) -> Self {
        Self {
            code: ExitCode::StorageRefused,
            message: message.into(),
        }
    }

    /// The same failure, with what it is about in front.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// A file or folder that couldn't be made, read or written.
    pub(crate) fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::unavailable(format!("cannot {action} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::configuration(error.to_string())
    }
}

impl From<CryptoError> for Failure {
    fn from(error: CryptoError) -> Self {
        let code = match error {
            CryptoError::Permissions { .. } | CryptoError::Owner { .. } => ExitCode::Configuration,
            CryptoError::Io { .. } | CryptoError::Exhausted(..) => ExitCode::Unavailable,
            CryptoError::Open | CryptoError::Malformed(_) => ExitCode::StorageRefused,
            _ => ExitCode::Internal,
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}
