//! The root key: what unseals a keyring, kept in a file of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use vrx_domain::Random;
use zeroize::Zeroizing;

use crate::durable::sync_folder_of;
use crate::envelope::Cipher;
use crate::error::CryptoError;
use crate::secret::SecretKey;

/// The root key of a tenant. It comes from a file (or a systemd credential, which is a file too), never from a
/// configuration file, the environment or an argument.
///
/// ```compile_fail
/// fn print(key: &vrx_crypto::RootKey) { println!("{key:?}"); }
/// ```
/// ```compile_fail
/// fn copy(key: &vrx_crypto::RootKey) -> vrx_crypto::RootKey { key.clone() }
/// ```
pub struct RootKey {
    cipher: Cipher,
}

impl RootKey {
    /// A root key from its bytes.
    pub fn new(key: &SecretKey) -> Self {
        Self {
            cipher: Cipher::new(key),
        }
    }

    /// Reads a root key file: 64 hexadecimal digits and an optional newline. Its mode must be 0600 or 0400 and it must
    /// belong to the user that runs the node, or to root (systemd credentials do).
    pub fn from_file(path: &Path) -> Result<Self, CryptoError> {
        let mut file = File::open(path).map_err(CryptoError::io("open", path))?;
        // Judged on the open file, so that it can't be swapped between the look and the read.
        let metadata = file.metadata().map_err(CryptoError::io("look at", path))?;
        if !metadata.is_file() {
            return Err(CryptoError::Malformed("the root key is not a regular file"));
        }
        let mode = metadata.mode() & 0o7777;
        if mode != 0o600 && mode != 0o400 {
            return Err(CryptoError::Permissions {
                path: path.to_owned(),
                mode,
            });
        }
        let uid = metadata.uid();
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            return Err(CryptoError::Owner {
                path: path.to_owned(),
                uid,
            });
        }
        // One byte more than fits, on the stack and wiped: a longer file is refused, not half read.
        let mut text = Zeroizing::new([0u8; 66]);
        let mut length = 0;
        while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read(rest).map_err(CryptoError::io("read", path))? {
                0 => break,
                read => length += read,
            }
        }
        let text = text.get(..length).unwrap_or_default();
        let digits = text.strip_suffix(b"\n").unwrap_or(text);
        let mut key = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(digits, key.as_mut_slice()).map_err(|_| {
            CryptoError::Malformed("a root key file holds 64 hexadecimal digits and a newline")
        })?;
        Ok(Self::new(&SecretKey::from_bytes(key)))
    }

    /// Makes a root key file with a new random key, mode 0600. An existing file is never overwritten.
    pub fn create_file(path: &Path, random: &dyn Random) -> Result<Self, CryptoError> {
        let key = SecretKey::generate(random);
        let mut text = Zeroizing::new([0u8; 65]);
        if let Some((digits, newline)) = text.split_at_mut_checked(64) {
            hex::encode_to_slice(key.expose(), digits)
                .map_err(|_| CryptoError::Malformed("a root key that doesn't fit its file"))?;
            newline.fill(b'\n');
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(CryptoError::io("create", path))?;
        file.write_all(text.as_slice())
            .map_err(CryptoError::io("write", path))?;
        file.sync_all().map_err(CryptoError::io("sync", path))?;
        sync_folder_of(path)?;
        Ok(Self::new(&key))
    }

    pub(crate) fn cipher(&self) -> &Cipher {
        &self.cipher
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::Seeded;

    fn error_of(path: &Path) -> CryptoError {
        RootKey::from_file(path).err().unwrap()
    }

    #[test]
    fn a_created_file_is_private_reads_back_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        RootKey::create_file(&path, &Seeded::new(1)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap().len(), 65);
        assert!(RootKey::from_file(&path).is_ok());
        assert!(matches!(
            RootKey::create_file(&path, &Seeded::new(2)),
            Err(CryptoError::Io {
                action: "create",
                ..
            })
        ));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        RootKey::create_file(&path, &Seeded::new(1)).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o700, 0o777] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                error_of(&path),
                CryptoError::Permissions {
                    path: path.clone(),
                    mode
                }
            );
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert!(RootKey::from_file(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_not_64_hexadecimal_digits_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let good = "ab".repeat(32);
        for text in [
            "",
            "\n",
            &good[1..],
            &format!("{good}00"),
            &format!("{good}\n\n"),
            &good.replace('a', "g"),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(error_of(&path), CryptoError::Malformed(_)),
                "{text:?}"
            );
        }
        for text in [good.clone(), format!("{good}\n")] {
            std::fs::write(&path, text).unwrap();
            assert!(RootKey::from_file(&path).is_ok());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = error_of(Path::new("/nonexistent/root.key"));
        assert!(
            error.to_string().contains("/nonexistent/root.key"),
            "{error}"
        );
    }
}
