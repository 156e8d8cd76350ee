//! Putting a keyring back from its recovery copy.
//!
//! The copy is decrypted elsewhere, with the recipient's key, and comes in on standard input, so that neither that key nor
//! the decrypted copy is ever a file on this machine: `age --decrypt --identity KEY COPY | vrx-node restore-keyring …`.

use std::io::Read;
use std::path::PathBuf;

use vrx_crypto::{Keyring, RootKey};
use vrx_domain::{MunicipalityCode, Tenant};
use zeroize::Zeroizing;

use crate::compose::World;
use crate::config::Config;
use crate::failure::Failure;
use crate::init::make_private;
use crate::tenant_id;

/// A recovery copy is a few hundred bytes; more is something else.
const MOST: usize = 64 * 1024;

/// Reads a decrypted recovery copy, checks that it is this tenant's, and seals it under the root key, which is made when
/// it isn't there. A keyring that stands is never replaced. Gives the path of the new one.
pub fn restore(
    config: &Config,
    code: MunicipalityCode,
    copy: &mut dyn Read,
) -> Result<PathBuf, Failure> {
    // After a lost disk there is no id either: it comes back with the data, and the copy names whose keys it holds.
    let lost_everything = !tenant_id::file(config, code).exists();
    if !lost_everything {
        refuse_a_second(config, &tenant_id::read(config, code)?)?;
    }
    let keyring = Keyring::from_recovery(&read(copy)?).map_err(|error| {
        Failure::configuration(format!(
            "standard input: {error}; pipe the output of `age --decrypt` into this command"
        ))
    })?;
    let tenant = if lost_everything {
        Tenant {
            id: keyring.tenant(),
            code,
        }
    } else {
        tenant_id::read(config, code)?
    };
    let path = refuse_a_second(config, &tenant)?;
    if keyring.tenant() != tenant.id {
        return Err(Failure::configuration(format!(
            "standard input: the recovery copy of another tenant ({}); that of {code} is {}",
            keyring.tenant(),
            tenant.id
        )));
    }
    make_private(&config.keyring_dir)?;
    let root = if config.root_key_file.exists() {
        RootKey::from_file(&config.root_key_file)?
    } else {
        RootKey::create_file(&config.root_key_file, &*World::real().random)?
    };
    keyring.save(&path, &root)?;
    Ok(path)
}

/// Where the keyring is to stand: nowhere if one does.
fn refuse_a_second(config: &Config, tenant: &Tenant) -> Result<PathBuf, Failure> {
    let path = Keyring::path(&config.keyring_dir, &tenant.id);
    if path.exists() {
        return Err(Failure::configuration(format!(
            "{} is there; move it away if the recovery copy is to take its place",
            path.display()
        )));
    }
    Ok(path)
}

fn read(copy: &mut dyn Read) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Of full size from the start: growing would leave pieces of keys in freed memory.
    let mut bytes = Zeroizing::new(vec![0; MOST]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match copy.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) => {
                return Err(Failure::unavailable(format!(
                    "standard input can't be read: {error}"
                )));
            }
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{init, sample_config};
    use crate::{compose, local_log};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lost_keyring_and_root_key_come_back_from_the_recovery_copy() {
        let folder = tempfile::tempdir().unwrap();
        let recipient = age::x25519::Identity::generate();
        let recipients = [recipient.to_public().to_string()];
        let code = "142051".parse().unwrap();
        let file = sample_config(folder.path(), code, &recipients).unwrap();
        let config = Config::load(&file).unwrap();
        init(&config, None).await.unwrap();
        let (tenant, keyring) = compose::open_keys(&config, code).unwrap();
        let copy = std::fs::read_dir(&config.recovery_dir)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let copy = age::decrypt(&recipient, &std::fs::read(copy).unwrap()).unwrap();

        let refused = restore(&config, code, &mut copy.as_slice()).err().unwrap();
        assert!(refused.message.contains("move it away"), "{refused}");
        std::fs::remove_file(Keyring::path(&config.keyring_dir, &tenant.id)).unwrap();
        std::fs::remove_file(&config.root_key_file).unwrap();
        assert!(
            restore(&config, code, &mut &copy[..copy.len() - 1]).is_err(),
            "half a copy"
        );
        restore(&config, code, &mut copy.as_slice()).unwrap();
        let (_, restored) = compose::open_keys(&config, code).unwrap();
        assert_eq!(restored.log_public_key(), keyring.log_public_key());
        local_log::verify(&config, &config.tenants[0])
            .await
            .unwrap();
    }
}
