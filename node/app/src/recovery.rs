//! The recovery copy of a keyring: encrypted with age to recipients whose keys are not on this machine.
//!
//! A copy that can't be opened is worse than none, because it is relied on. The recipients' keys aren't here, so a
//! one-time recipient is added whose key lives in memory until the file was read back from the disk and compared.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::x25519::{Identity, Recipient};
use age::{Decryptor, Encryptor};
use vrx_crypto::{Keyring, PendingKeyring};
use vrx_domain::Tenant;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Writes the recovery copy of a new keyring, reopens it, compares, and only then gives out a keyring that seals.
/// The file is `<dir>/<code>-<tenant uuid>.keyring.age`; to open it: `age --decrypt --identity KEY FILE`.
pub fn copy_then_activate(
    keyring: PendingKeyring,
    tenant: &Tenant,
    dir: &Path,
    recipients: &[Recipient],
) -> Result<(Keyring, PathBuf), Failure> {
    let file = dir.join(format!("{}-{}.keyring.age", tenant.code, tenant.id));
    let plaintext = keyring.recovery_plaintext();
    let once = Identity::generate();
    write(&file, &encrypt(&plaintext, recipients, &once.to_public())?)?;
    if *read_back(&file, &once)? != *plaintext {
        return Err(refused(&file, "it holds something else than was written"));
    }
    Ok((keyring.activate(), file))
}

fn encrypt(
    plaintext: &[u8],
    recipients: &[Recipient],
    once: &Recipient,
) -> Result<Vec<u8>, Failure> {
    let all = recipients
        .iter()
        .chain(std::iter::once(once))
        .map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(all).map_err(|error| {
        Failure::configuration(format!(
            "recovery_recipients: {error}; write age1… recipients"
        ))
    })?;
    let failed = |error: std::io::Error| {
        Failure::internal(format!("the recovery copy can't be encrypted: {error}"))
    };
    let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(failed)?;
    let mut writer = encryptor.wrap_output(armor).map_err(failed)?;
    writer.write_all(plaintext).map_err(failed)?;
    writer
        .finish()
        .and_then(ArmoredWriter::finish)
        .map_err(failed)
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io("write the recovery copy", file, &error);
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(failed)?;
    target.write_all(bytes).map_err(failed)?;
    target.sync_all().map_err(failed)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

fn read_back(file: &Path, once: &Identity) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let source = File::open(file).map_err(|error| refused(file, &error.to_string()))?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(4096));
    Decryptor::new_buffered(BufReader::new(ArmoredReader::new(BufReader::new(source))))
        .and_then(|decryptor| decryptor.decrypt(std::iter::once(once as &dyn age::Identity)))
        .map_err(|error| refused(file, &error.to_string()))?
        .read_to_end(&mut plaintext)
        .map_err(|error| refused(file, &error.to_string()))?;
    Ok(plaintext)
}

fn refused(file: &Path, why: &str) -> Failure {
    Failure::unavailable(format!(
        "the recovery copy {} doesn't open after it was written ({why}); no key was activated: check the disk and run init again",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use vrx_crypto::SystemRandom;
    use vrx_domain::TenantId;

    use super::*;

    fn pending() -> (Tenant, PendingKeyring) {
        let random = SystemRandom::new();
        let tenant = Tenant {
            id: TenantId::random(&random),
            code: "142051".parse().unwrap(),
        };
        (tenant, Keyring::prepare(&tenant, &random).ok().unwrap())
    }

    #[test]
    fn the_recipient_opens_the_copy_and_recovers_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        let recipient = Identity::generate();
        let (tenant, pending) = pending();
        let (keyring, file) =
            copy_then_activate(pending, &tenant, folder.path(), &[recipient.to_public()])
                .ok()
                .unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
        let recovered = Keyring::from_recovery(&read_back(&file, &recipient).ok().unwrap())
            .ok()
            .unwrap();
        assert_eq!(recovered.log_public_key(), keyring.log_public_key());
    }

    #[test]
    fn nobody_else_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let (tenant, pending) = pending();
        let recipients = [Identity::generate().to_public()];
        let (_, file) = copy_then_activate(pending, &tenant, folder.path(), &recipients)
            .ok()
            .unwrap();
        assert!(read_back(&file, &Identity::generate()).is_err());
    }

    #[test]
    fn without_a_place_for_the_copy_no_key_is_activated() {
        let (tenant, pending) = pending();
        let recipients = [Identity::generate().to_public()];
        let failure = copy_then_activate(pending, &tenant, Path::new("/nonexistent"), &recipients)
            .err()
            .unwrap();
        assert!(failure.message.contains("/nonexistent"), "{failure}");
    }
}
