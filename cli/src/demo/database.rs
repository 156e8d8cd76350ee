//! `--database`: the demo's nodes on PostgreSQL instead of SQLite, each in a database of its own on the server that is named.
//!
//! `vrx-node` makes and drops these databases; what it made carries a mark, and nothing without the mark is touched. The nodes'
//! passwords stand in a password file in the demo's folder.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::node::Program;
use crate::failure::Failure;

/// The longest name of a database that leaves room for what is added to it.
const LONGEST: usize = 40;

/// The server, and who may make databases on it.
pub(crate) struct Server {
    user: String,
    hosts: String,
    database: String,
    parameters: String,
    /// Where the nodes' passwords are.
    password_file: PathBuf,
}

/// The database of one municipality.
pub(crate) struct Database {
    /// As its node connects.
    pub(crate) url: String,
    /// As its owner connects, who migrates.
    pub(crate) owner: String,
    name: String,
}

impl Server {
    /// Understands `postgres://USER@HOST:PORT/DB`. `dir` is the demo's folder.
    pub(crate) fn parse(text: &str, dir: &Path) -> Result<Self, Failure> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"));
        let parts = rest.and_then(|rest| {
            let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
            let (authority, database) = place.split_once('/')?;
            let (user, hosts) = authority.rsplit_once('@')?;
            Some((user, hosts, database, parameters))
        });
        let Some((user, hosts, database, parameters)) = parts else {
            return Err(Failure::Usage(
                "--database には postgres://USER@HOST:PORT/DB を指定してください / not the address of a database".to_owned(),
            ));
        };
        if user.contains(':') {
            // The text itself is not repeated: it holds the password.
            return Err(Failure::Usage(
                "--database にパスワードを書かないでください。PGPASSFILE か ~/.pgpass を使ってください / use a password file".to_owned(),
            ));
        }
        let mut parameters = parameters.to_owned();
        if !parameters.contains("sslmode=") && hosts.split(',').all(is_this_machine) {
            // The default is TLS with a full check of the server, which on the own machine has no name to check.
            let and = if parameters.is_empty() { "" } else { "&" };
            parameters = format!("{parameters}{and}sslmode=disable");
        }
        Ok(Self {
            user: user.to_owned(),
            hosts: hosts.to_owned(),
            database: database.to_owned(),
            parameters,
            password_file: dir.join("pgpass"),
        })
    }

    /// Makes the database of a municipality; one that an earlier demo made is dropped first.
    pub(crate) fn make(&self, program: &Program, code: &str) -> Result<Database, Failure> {
        let name = self.name_of(code);
        program.make_database(&self.admin(), &name, &self.password_file)?;
        Ok(Database {
            url: self.url(&format!("{name}_node"), &name),
            owner: self.url(&format!("{name}_owner"), &name),
            name,
        })
    }

    /// Drops the database of a municipality that this demo made.
    pub(crate) fn remove(&self, program: &Program, code: &str) -> Result<(), Failure> {
        program.remove_database(&self.admin(), &self.name_of(code))
    }

    /// Where the nodes' passwords are.
    pub(crate) fn password_file(&self) -> &Path {
        &self.password_file
    }

    fn admin(&self) -> String {
        self.url(&self.user, &self.database)
    }

    fn name_of(&self, code: &str) -> String {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        };
        let base: String = self.database.chars().map(plain).take(LONGEST).collect();
        format!("{base}_{code}")
    }

    fn url(&self, user: &str, database: &str) -> String {
        let Self {
            hosts, parameters, ..
        } = self;
        let question_mark = if parameters.is_empty() { "" } else { "?" };
        format!("postgres://{user}@{hosts}/{database}{question_mark}{parameters}")
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0} ({0}_owner, {0}_node)", self.name)
    }
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    // Without a host there is a Unix socket among the parameters.
    name.is_empty()
        || name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::Server;
    use std::path::Path;

    fn admin(text: &str) -> String {
        Server::parse(text, Path::new("/demo")).unwrap().admin()
    }

    #[test]
    fn only_a_server_on_this_machine_is_spoken_to_without_tls() {
        for (text, understood) in [
            (
                "postgres://u@127.0.0.1:5433/vrx",
                "postgres://u@127.0.0.1:5433/vrx?sslmode=disable",
            ),
            (
                "postgresql://u@localhost/vrx",
                "postgres://u@localhost/vrx?sslmode=disable",
            ),
            (
                "postgres://u@[::1]:5433/vrx",
                "postgres://u@[::1]:5433/vrx?sslmode=disable",
            ),
            (
                "postgres://u@/vrx?host=/run/postgresql",
                "postgres://u@/vrx?host=/run/postgresql&sslmode=disable",
            ),
            ("postgres://u@db.example/vrx", "postgres://u@db.example/vrx"),
            (
                "postgres://u@127.0.0.1,db.example/vrx",
                "postgres://u@127.0.0.1,db.example/vrx",
            ),
            (
                "postgres://u@localhost/vrx?sslmode=verify-full",
                "postgres://u@localhost/vrx?sslmode=verify-full",
            ),
        ] {
            assert_eq!(admin(text), understood);
        }
    }

    #[test]
    fn a_password_and_what_is_no_address_are_refused_without_repeating_them() {
        for text in [
            "postgres://u:secret@localhost/vrx",
            "mysql://secret@localhost/vrx",
            "postgres://localhost/secret",
        ] {
            let failure = Server::parse(text, Path::new("/demo")).err().unwrap();
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }

    #[test]
    fn each_municipality_has_a_database_beside_the_one_that_is_named() {
        let server = Server::parse("postgres://u@localhost/Vrx-Test", Path::new("/demo")).unwrap();
        assert_eq!(server.name_of("142051"), "vrx_test_142051");
    }
}
