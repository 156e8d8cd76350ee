//! The keyring on disk: sealed by the root key, replaced whole, with the count of seals beside it.
//!
//! File: the line `vrx-keyring 1`, then one envelope (key id 1, context `Keyring`, row and owner zero). Plaintext, and the
//! recovery copy after its own title line: tenant uuid 16 | count u16 | for each key: kind u8 | id u32 | state u8 |
//! length u8 (32, or 0 for a destroyed key) | bytes. Integers are big-endian. The keyring has no place in data backups.

use std::path::{Path, PathBuf};

use vrx_domain::TenantId;
use zeroize::Zeroizing;

use super::Keyring;
use crate::context::{Context, NO_OWNER, Place};
use crate::durable;
use crate::error::CryptoError;
use crate::key_set::{KeySet, Prepare};
use crate::keys::{KeyId, KeyKind, KeyState};
use crate::root_key::RootKey;
use crate::seals::SealCounter;
use crate::secret::SecretKey;

const FILE_TITLE: &[u8] = b"vrx-keyring 1\n";
const RECOVERY_TITLE: &[u8] = b"vrx-keyring-recovery 1\n";
const ROOT_KEY_ID: KeyId = KeyId(1);

/// What is said of a keyring that was opened but doesn't read as one.
const MALFORMED: CryptoError = CryptoError::Malformed("a keyring");

type Record = (KeyKind, KeyId, KeyState, Option<SecretKey>);

impl Keyring {
    /// Where a tenant's keyring stands: `<keyring_dir>/<tenant uuid>.keyring`.
    pub fn path(keyring_dir: &Path, tenant: &TenantId) -> PathBuf {
        keyring_dir.join(format!("{tenant}.keyring"))
    }

    /// Replaces the keyring file, and the count of seals beside it (`.seals`), by write, fsync, rename, fsync of the
    /// folder.
    pub fn save(&self, path: &Path, root: &RootKey) -> Result<(), CryptoError> {
        let place = place_of_file(&self.tenant);
        let sealed = root.cipher().seal(
            ROOT_KEY_ID,
            &crate::SystemRandom::new(),
            &place,
            &self.body(),
        )?;
        // The count first: a keyring without one doesn't load, a count without a keyring does no harm.
        self.seals.keep_in(&seals_beside(path))?;
        durable::replace(path, &[FILE_TITLE, sealed.as_bytes()].concat())
    }

    /// Reads a keyring file. A wrong root key, another tenant's file and a damaged one are all [`CryptoError::Open`].
    pub fn load(path: &Path, root: &RootKey, tenant: &TenantId) -> Result<Self, CryptoError> {
        let bytes = std::fs::read(path).map_err(CryptoError::io("read", path))?;
        let sealed = bytes
            .strip_prefix(FILE_TITLE)
            .ok_or(CryptoError::Malformed("not a keyring file"))?;
        let body = root.cipher().open(&place_of_file(tenant), sealed)?;
        let keyring = Self::from_body(&body, |keys| SealCounter::load(&seals_beside(path), keys))?;
        if keyring.tenant == *tenant {
            Ok(keyring)
        } else {
            Err(CryptoError::Open)
        }
    }

    /// All keys in the clear, for the recovery copy, which is encrypted before it touches a disk.
    pub fn recovery_plaintext(&self) -> Zeroizing<Vec<u8>> {
        let body = self.body();
        let mut plaintext = Zeroizing::new(Vec::with_capacity(RECOVERY_TITLE.len() + body.len()));
        plaintext.extend_from_slice(RECOVERY_TITLE);
        plaintext.extend_from_slice(&body);
        plaintext
    }

    /// A keyring from a decrypted recovery copy. How often its keys sealed since the copy was made is unknown, so half of
    /// what they may is taken as spent; rotate them soon.
    pub fn from_recovery(plaintext: &[u8]) -> Result<Self, CryptoError> {
        let body = plaintext
            .strip_prefix(RECOVERY_TITLE)
            .ok_or(CryptoError::Malformed("not a recovery copy"))?;
        Self::from_body(body, |keys| {
            Ok(SealCounter::in_memory(
                keys.iter().copied(),
                SealCounter::LIMIT / 2,
            ))
        })
    }

    fn body(&self) -> Zeroizing<Vec<u8>> {
        let mut records = Vec::new();
        push_records(&mut records, KeyKind::Tag, &self.tag);
        push_records(&mut records, KeyKind::Number, &self.number);
        push_records(&mut records, KeyKind::Record, &self.record);
        push_records(&mut records, KeyKind::Log, &self.log);
        push_records(&mut records, KeyKind::LogSigning, &self.log_signing);
        push_records(&mut records, KeyKind::Witness, &self.witness);
        // Exact capacity: growing would leave keys behind in freed memory.
        let mut body = Zeroizing::new(Vec::with_capacity(
            16 + 2 + records.len() * (1 + 4 + 1 + 1 + 32),
        ));
        body.extend_from_slice(self.tenant.as_bytes());
        body.extend_from_slice(
            &u16::try_from(records.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        for (kind, id, state, secret) in records {
            body.push(kind as u8);
            body.extend_from_slice(&id.0.to_be_bytes());
            body.push(state as u8);
            match secret {
                Some(secret) => {
                    body.push(32);
                    body.extend_from_slice(secret.expose());
                }
                None => body.push(0),
            }
        }
        body
    }

    fn from_body(
        body: &[u8],
        seals: impl FnOnce(&[(KeyKind, KeyId)]) -> Result<SealCounter, CryptoError>,
    ) -> Result<Self, CryptoError> {
        let (tenant, mut rest) = body.split_first_chunk::<16>().ok_or(MALFORMED)?;
        let count = u16::from_be_bytes(*take(&mut rest)?);
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(read_record(&mut rest)?);
        }
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        let sealing: Vec<_> = records
            .iter()
            .filter(|(kind, _, state, _)| {
                matches!(kind, KeyKind::Record | KeyKind::Log) && *state != KeyState::Destroyed
            })
            .map(|(kind, id, _, _)| (*kind, *id))
            .collect();
        Ok(Self {
            tenant: TenantId::from_bytes(*tenant),
            tag: restore(KeyKind::Tag, &mut records)?,
            number: restore(KeyKind::Number, &mut records)?,
            record: restore(KeyKind::Record, &mut records)?,
            log: restore(KeyKind::Log, &mut records)?,
            log_signing: restore(KeyKind::LogSigning, &mut records)?,
            witness: restore(KeyKind::Witness, &mut records)?,
            seals: seals(&sealing)?,
        })
    }
}

fn place_of_file(tenant: &TenantId) -> Place<'_> {
    Place {
        tenant,
        context: Context::Keyring,
        row: &NO_OWNER,
        owner: &NO_OWNER,
    }
}

fn seals_beside(path: &Path) -> PathBuf {
    path.with_extension("seals")
}

fn push_records<'a, P: Prepare>(
    records: &mut Vec<(KeyKind, KeyId, KeyState, Option<&'a SecretKey>)>,
    kind: KeyKind,
    set: &'a KeySet<P>,
) {
    records.extend(
        set.records()
            .into_iter()
            .map(|(id, state, secret)| (kind, id, state, secret)),
    );
}

fn restore<P: Prepare>(kind: KeyKind, records: &mut Vec<Record>) -> Result<KeySet<P>, CryptoError> {
    let own = records.extract_if(.., |record| record.0 == kind);
    KeySet::restore(
        kind,
        own.map(|(_, id, state, secret)| (id, state, secret))
            .collect(),
    )
}

fn read_record(rest: &mut &[u8]) -> Result<Record, CryptoError> {
    let [kind] = *take(rest)?;
    let id = u32::from_be_bytes(*take(rest)?);
    let [state, length] = *take(rest)?;
    let secret = match length {
        0 => None,
        32 => Some(SecretKey::from_bytes(Zeroizing::new(*take::<32>(rest)?))),
        _ => return Err(MALFORMED),
    };
    let kind = KeyKind::from_byte(kind).ok_or(MALFORMED)?;
    let state = KeyState::from_byte(state).ok_or(MALFORMED)?;
    Ok((kind, KeyId(id), state, secret))
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], CryptoError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(MALFORMED)?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tag::TagKind;
    use crate::testing::{Seeded, keyring, tenant};

    fn root(folder: &Path, seed: u64) -> RootKey {
        RootKey::create_file(&folder.join(format!("root{seed}.key")), &Seeded::new(seed)).unwrap()
    }

    #[test]
    fn a_keyring_comes_back_from_its_file_with_every_version_in_its_state() {
        let folder = tempfile::tempdir().unwrap();
        let (root, random) = (root(folder.path(), 1), Seeded::new(2));
        let mut keyring = keyring(1);
        for kind in KeyKind::ALL {
            let second = keyring.add_pending(kind, &random).unwrap();
            keyring.activate(kind, second).unwrap();
            let third = keyring.add_pending(kind, &random).unwrap();
            keyring.destroy(kind, third).unwrap();
            keyring.add_pending(kind, &random).unwrap();
        }
        let path = Keyring::path(folder.path(), &tenant(1));
        keyring.save(&path, &root).unwrap();
        let back = Keyring::load(&path, &root, &tenant(1)).ok().unwrap();
        assert_eq!(back.key_states(), keyring.key_states());
        assert_eq!(back.key_states().len(), 4 * 6);
        assert_eq!(back.log_public_key(), keyring.log_public_key());
        assert_eq!(back.witness_public_key(), keyring.witness_public_key());
        assert!(back.tags(TagKind::Number, b"1") == keyring.tags(TagKind::Number, b"1"));
        assert_eq!(back.recovery_plaintext(), keyring.recovery_plaintext());
    }

    #[test]
    fn a_truncated_or_corrupted_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(folder.path(), 1);
        let path = Keyring::path(folder.path(), &tenant(1));
        keyring(1).save(&path, &root).unwrap();
        let good = std::fs::read(&path).unwrap();
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            let error = Keyring::load(&path, &root, &tenant(1)).err();
            assert!(
                matches!(error, Some(CryptoError::Open | CryptoError::Malformed(_))),
                "length {length}"
            );
        }
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            let error = Keyring::load(&path, &root, &tenant(1)).err();
            assert!(
                matches!(error, Some(CryptoError::Open | CryptoError::Malformed(_))),
                "byte {byte}"
            );
        }
    }

    #[test]
    fn a_wrong_root_key_and_another_tenant_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (right, wrong) = (root(folder.path(), 1), root(folder.path(), 2));
        let path = Keyring::path(folder.path(), &tenant(1));
        keyring(1).save(&path, &right).unwrap();
        assert_eq!(
            Keyring::load(&path, &wrong, &tenant(1)).err(),
            Some(CryptoError::Open)
        );
        assert_eq!(
            Keyring::load(&path, &right, &tenant(2)).err(),
            Some(CryptoError::Open)
        );
    }

    #[test]
    fn a_keyring_without_its_count_of_seals_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(folder.path(), 1);
        let path = Keyring::path(folder.path(), &tenant(1));
        keyring(1).save(&path, &root).unwrap();
        std::fs::remove_file(path.with_extension("seals")).unwrap();
        assert!(matches!(
            Keyring::load(&path, &root, &tenant(1)).err(),
            Some(CryptoError::Io { .. })
        ));
    }

    #[test]
    fn the_files_are_private_and_hold_no_key_in_the_clear() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let root = root(folder.path(), 1);
        let path = Keyring::path(folder.path(), &tenant(1));
        let keyring = keyring(1);
        keyring.save(&path, &root).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for (_, _, secret) in keyring
            .tag
            .records()
            .into_iter()
            .chain(keyring.number.records())
        {
            let secret = secret.unwrap().expose();
            assert!(!bytes.windows(8).any(|window| window == &secret[..8]));
        }
        for path in [path.clone(), path.with_extension("seals")] {
            assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_recovered_keyring_opens_what_the_lost_one_sealed_and_counts_half_its_seals_as_spent() {
        let (keyring, random) = (keyring(1), Seeded::new(3));
        let sealed = keyring
            .seal_record(&random, Context::ImportBody, [7; 16], b"import")
            .unwrap();
        let recovered = Keyring::from_recovery(&keyring.recovery_plaintext())
            .ok()
            .unwrap();
        assert_eq!(
            *recovered
                .open_record(Context::ImportBody, [7; 16], sealed.as_bytes())
                .unwrap(),
            b"import"
        );
        assert_eq!(
            recovered.seals().used(KeyKind::Record, KeyId(1)),
            Some(SealCounter::LIMIT / 2)
        );
    }

    proptest! {
        #[test]
        fn a_foreign_recovery_copy_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let copy = [RECOVERY_TITLE, &bytes].concat();
            prop_assert!(Keyring::from_recovery(&copy).is_err());
        }
    }
}
