//! A PostgreSQL database for a trial, which `vrx demo --database` asks for: made, marked as made by a trial, dropped again.
//!
//! The passwords of its two roles are made here and written to a password file, never to a line of arguments or output.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use vrx_domain::Random;
use vrx_storage::postgres::{PostgresTrial, PostgresUrl, Trial};
use zeroize::Zeroizing;

use crate::compose::World;
use crate::failure::Failure;
use crate::stores::storage_failure;

/// Makes the database `name` with the roles `<name>_owner` and `<name>_node`, as `admin`, and adds their passwords to
/// `password_file`.
pub async fn make(admin: &PostgresUrl, name: &str, password_file: &Path) -> Result<(), Failure> {
    check_name(name)?;
    let random = World::real().random;
    let (owner, node) = (password(&*random), password(&*random));
    let trial = Trial {
        database: name,
        owner_password: &owner,
        node_password: &node,
    };
    let mut server = PostgresTrial::connect(admin)
        .await
        .map_err(|error| storage_failure(error).about(&admin.to_string()))?;
    let made = server.make(&trial).await;
    made.map_err(|error| storage_failure(error).about(&admin.to_string()))?;
    server.close().await.map_err(storage_failure)?;
    let lines = Zeroizing::new(format!(
        "*:*:{name}:{}:{}\n*:*:{name}:{}:{}\n",
        Trial::owner(name),
        *owner,
        Trial::node(name),
        *node
    ));
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(password_file)
        .and_then(|mut file| file.write_all(lines.as_bytes()))
        .map_err(|error| Failure::io("write the passwords to", password_file, &error))
}

/// Drops what [`make`] made under this name.
pub async fn remove(admin: &PostgresUrl, name: &str) -> Result<(), Failure> {
    check_name(name)?;
    let mut server = PostgresTrial::connect(admin)
        .await
        .map_err(|error| storage_failure(error).about(&admin.to_string()))?;
    let removed = server.remove(name).await;
    removed.map_err(|error| storage_failure(error).about(&admin.to_string()))?;
    server.close().await.map_err(storage_failure)
}

/// A name that stands in a password file and an address as it is.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    // PostgreSQL cuts names after 63 bytes; the roles' names are longer than the database's.
    if !name.is_empty() && name.len() <= 50 && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(Failure::configuration(format!(
        "--name {name}: a trial's database is named by up to 50 of a to z, 0 to 9 and _; choose such a name"
    )))
}

fn password(random: &dyn Random) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 24]);
    random.fill(&mut *bytes);
    Zeroizing::new(hex::encode(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_no_quoting_anywhere_are_taken() {
        assert!(check_name("vrx_142051").is_ok());
        let long = "a".repeat(51);
        for name in ["", "Vrx", "a-b", "a:b", "a\"b", "a b", long.as_str()] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn passwords_are_digits_that_need_no_escaping_and_differ() {
        let random = World::real().random;
        let (one, two) = (password(&*random), password(&*random));
        assert_ne!(*one, *two);
        assert!(one.len() == 48 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
