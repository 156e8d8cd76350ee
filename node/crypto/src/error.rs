//! What can go wrong with keys and ciphertexts. No variant carries a secret, a plaintext or a ciphertext.

use std::path::{Path, PathBuf};

use crate::keys::{KeyId, KeyKind, KeyState};

/// Why a key operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A sealed value did not open. Wrong key, wrong place, wrong tenant, damaged: whoever asks learns no more than this,
    /// so that the difference is no oracle.
    #[error("a sealed value did not open")]
    Open,
    /// An operation on a key that the keyring doesn't have.
    #[error("the keyring has no {0} key {1}")]
    UnknownKey(KeyKind, KeyId),
    /// The keyring has no active key of a kind: nothing can be sealed.
    #[error("the keyring has no active {0} key")]
    NoActiveKey(KeyKind),
    /// A key can't go from its state to the one asked for.
    #[error("{kind} key {id} is {from} and can't become {to}")]
    InvalidTransition {
        /// The kind of key.
        kind: KeyKind,
        /// Its version.
        id: KeyId,
        /// Its state.
        from: KeyState,
        /// The state asked for.
        to: KeyState,
    },
    /// The key has sealed 2^32 times; with random nonces it may not seal again.
    #[error("{0} key {1} has sealed as often as it may; rotate it")]
    Exhausted(KeyKind, KeyId),
    /// A file or a value isn't in its format.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A secret file may be read by others.
    #[error("{path} has mode {mode:04o}; it must be 0600 or 0400: chmod 600 {path}", path = path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret file belongs to somebody else.
    #[error("{path} belongs to user {uid}; it must belong to the user that runs the node", path = path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// A file can't be read or written.
    #[error("cannot {action} {path}: {reason}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
}

impl CryptoError {
    /// Makes the operating system's error comparable and says which file it is about.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io {
            action,
            path,
            reason: error.to_string(),
        }
    }
}
