//! Where a cluster is: one line of configuration, with every host that may be its primary.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use thiserror::Error;

/// Why a line isn't the address of a PostgreSQL cluster. Never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PostgresUrlError {
    /// It doesn't begin like one.
    #[error("it doesn't begin with postgres://; write postgres://USER@HOST:PORT/DATABASE")]
    Scheme,
    /// No user, or one with characters beyond letters, digits, `_`, `-` and `.`: the role must never be guessed.
    #[error(
        "it names no user, or one with characters other than letters, digits, _, - and .; write postgres://USER@HOST:PORT/DATABASE"
    )]
    User,
    /// No database.
    #[error("it names no database; write postgres://USER@HOST:PORT/DATABASE")]
    Database,
    /// A password in it would stand in a file, an argument or a log.
    #[error(
        "it holds a password; put that into a password file (PGPASSFILE, ~/.pgpass) or use a client certificate"
    )]
    Password,
    /// A host or a port that can't be.
    #[error(
        "host {0} can't be understood; write HOST or HOST:PORT, several of them with commas between"
    )]
    Host(usize),
    /// A parameter behind the question mark that this program doesn't know, or a value that it can't take.
    #[error(
        "the parameter {0} can't be used; known are sslmode (disable, verify-ca, verify-full), sslrootcert, sslcert, sslkey, \
         host (a folder with a Unix socket), application_name and target_session_attrs=read-write"
    )]
    Parameter(String),
    /// TLS without a check of the server is no protection.
    #[error(
        "sslmode={0} doesn't check the server; use verify-full, or disable for a server on this machine"
    )]
    Unchecked(String),
}

/// The address of a cluster: a user, one or more hosts of which one is the primary, a database, and how TLS is checked.
///
/// `postgres://USER@HOST[:PORT][,HOST[:PORT]…]/DATABASE?sslmode=verify-full&sslrootcert=FILE`. TLS with a full check of the
/// server is the default. A password is never part of it: libpq's password file or a client certificate
/// (`sslcert`, `sslkey`) says who the node is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PostgresUrl {
    user: String,
    hosts: Vec<(String, u16)>,
    database: String,
    tls: Tls,
    root_certificate: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
    application: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Tls {
    Disable,
    VerifyCa,
    VerifyFull,
}

const DEFAULT_PORT: u16 = 5432;

impl PostgresUrl {
    /// Parses the line; see the type for its form.
    pub fn parse(text: &str) -> Result<Self, PostgresUrlError> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(PostgresUrlError::Scheme)?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').ok_or(PostgresUrlError::Database)?;
        let (user, hosts) = authority.rsplit_once('@').ok_or(PostgresUrlError::User)?;
        if user.contains(':') {
            return Err(PostgresUrlError::Password);
        }
        let mut url = Self {
            user: Some(user.to_owned())
                .filter(|user| is_plain(user))
                .ok_or(PostgresUrlError::User)?,
            hosts: Vec::new(),
            database: decoded(database)
                .filter(|name| !name.is_empty())
                .ok_or(PostgresUrlError::Database)?,
            tls: Tls::VerifyFull,
            root_certificate: None,
            client: None,
            application: "vrx-node".to_owned(),
        };
        for (nth, host) in hosts.split(',').enumerate() {
            if !host.is_empty() {
                url.hosts
                    .push(host_and_port(host).ok_or(PostgresUrlError::Host(nth + 1))?);
            }
        }
        let (mut certificate, mut key) = (None, None);
        for parameter in parameters
            .split('&')
            .filter(|parameter| !parameter.is_empty())
        {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let unusable = || PostgresUrlError::Parameter(name.to_owned());
            let value = decoded(value).ok_or_else(unusable)?;
            match name {
                "sslmode" => url.tls = value.parse()?,
                "sslrootcert" => url.root_certificate = Some(value.into()),
                "sslcert" => certificate = Some(PathBuf::from(value)),
                "sslkey" => key = Some(PathBuf::from(value)),
                "application_name" => url.application = value,
                "host" if value.starts_with('/') => url.hosts.push((value, DEFAULT_PORT)),
                "port" => {
                    let port = value.parse().map_err(|_| unusable())?;
                    url.hosts.iter_mut().for_each(|host| host.1 = port);
                }
                "target_session_attrs" if value == "read-write" || value == "primary" => {}
                "password" | "passfile" => return Err(PostgresUrlError::Password),
                _ => return Err(unusable()),
            }
        }
        url.client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(PostgresUrlError::Parameter(
                    "sslcert without sslkey".to_owned(),
                ));
            }
            (None, Some(_)) => {
                return Err(PostgresUrlError::Parameter(
                    "sslkey without sslcert".to_owned(),
                ));
            }
        };
        if url.hosts.is_empty() {
            return Err(PostgresUrlError::Host(1));
        }
        Ok(url)
    }

    /// The role that connects.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The same cluster for another role.
    #[must_use]
    pub fn with_user(&self, user: &str) -> Self {
        Self {
            user: user.to_owned(),
            ..self.clone()
        }
    }

    /// Another database of the same cluster.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// What sqlx needs to connect to each host, in the order written.
    pub(super) fn connect_options(&self) -> impl Iterator<Item = PgConnectOptions> + '_ {
        self.hosts.iter().map(|(host, port)| {
            let options = PgConnectOptions::new_without_pgpass()
                .username(&self.user)
                .database(&self.database)
                .port(*port);
            let (options, tls) = if host.starts_with('/') {
                // A socket on this machine: the kernel says who is there, and PostgreSQL speaks no TLS on it.
                (options.socket(host), Tls::Disable)
            } else {
                (options.host(host), self.tls)
            };
            let options = if host.contains(':') {
                options
            } else {
                with_password_file(options)
            };
            let mut options = options
                .application_name(&self.application)
                .ssl_mode(match tls {
                    Tls::Disable => PgSslMode::Disable,
                    Tls::VerifyCa => PgSslMode::VerifyCa,
                    Tls::VerifyFull => PgSslMode::VerifyFull,
                });
            if let Some(file) = &self.root_certificate {
                options = options.ssl_root_cert(file);
            }
            if let Some((certificate, key)) = &self.client {
                options = options.ssl_client_cert(certificate).ssl_client_key(key);
            }
            options
        })
    }
}

/// sqlx looks into the password file only while it parses a URL, and it can't write one for an IPv6 address: that needs a
/// name. User and host hold only characters that stand in a URL as they are.
fn with_password_file(options: PgConnectOptions) -> PgConnectOptions {
    use sqlx::ConnectOptions;
    PgConnectOptions::from_str(options.to_url_lossy().as_str()).unwrap_or(options)
}

impl FromStr for Tls {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "disable" => Ok(Self::Disable),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            "allow" | "prefer" | "require" => Err(PostgresUrlError::Unchecked(text.to_owned())),
            _ => Err(PostgresUrlError::Parameter("sslmode".to_owned())),
        }
    }
}

/// For people: where it is and who connects, never more.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user)?;
        for (nth, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            write!(f, "{comma}{host}:{port}")?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let bracketed = text.strip_prefix('[');
    let (host, port) = match bracketed {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host.to_owned(), port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let host = Some(host).filter(|host| is_plain(host) || host.parse::<Ipv6Addr>().is_ok())?;
    let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok())?;
    (port != 0).then_some((host, port))
}

/// What a role or a host name may be made of.
fn is_plain(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(allowed)
}

/// Percent-decoding, as URLs have it; `None` where it isn't UTF-8 or is cut short.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out)
        .ok()
        .filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PostgresUrl, PostgresUrlError> {
        PostgresUrl::parse(text)
    }

    #[test]
    fn a_line_with_one_host_checks_the_server_fully() {
        let url = parse("postgres://node@db.example/vrx").unwrap();
        assert_eq!((url.user(), url.database()), ("node", "vrx"));
        let options: Vec<_> = url.connect_options().collect();
        assert_eq!(options.len(), 1);
        assert_eq!(
            (options[0].get_host(), options[0].get_port()),
            ("db.example", 5432)
        );
        assert!(matches!(options[0].get_ssl_mode(), PgSslMode::VerifyFull));
    }

    #[test]
    fn every_host_of_the_line_may_be_the_primary() {
        let url = parse(
            "postgres://node@db1:6001,db2,[::1]:6003/vrx?sslmode=verify-ca&target_session_attrs=read-write",
        )
        .unwrap();
        let hosts: Vec<_> = url
            .connect_options()
            .map(|options| (options.get_host().to_owned(), options.get_port()))
            .collect();
        assert_eq!(
            hosts,
            [
                ("db1".to_owned(), 6001),
                ("db2".to_owned(), 5432),
                ("::1".to_owned(), 6003)
            ]
        );
        assert_eq!(
            url.to_string(),
            "postgres://node@db1:6001,db2:5432,::1:6003/vrx"
        );
    }

    #[test]
    fn a_socket_needs_no_tls() {
        let url = parse("postgres://node@/vrx?host=/run/postgresql&port=6000").unwrap();
        let options = url.connect_options().next().unwrap();
        assert_eq!(
            options.get_socket().unwrap(),
            std::path::Path::new("/run/postgresql")
        );
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Disable));
        assert_eq!(options.get_port(), 6000);
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for text in [
            "postgres://node:hunter2@db/vrx",
            "postgres://node@db/vrx?password=hunter2",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, PostgresUrlError::Password);
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("mysql://node@db/vrx", PostgresUrlError::Scheme),
            ("postgres://db/vrx", PostgresUrlError::User),
            ("postgres://@db/vrx", PostgresUrlError::User),
            ("postgres://node@db", PostgresUrlError::Database),
            ("postgres://node@db/", PostgresUrlError::Database),
            ("postgres://node@db:x/vrx", PostgresUrlError::Host(1)),
            ("postgres://node@db,e:0/vrx", PostgresUrlError::Host(2)),
            ("postgres://node@/vrx", PostgresUrlError::Host(1)),
            (
                "postgres://node@db/vrx?sslmode=require",
                PostgresUrlError::Unchecked("require".to_owned()),
            ),
            (
                "postgres://node@db/vrx?target_session_attrs=any",
                PostgresUrlError::Parameter("target_session_attrs".to_owned()),
            ),
            (
                "postgres://node@db/vrx?sslcert=a",
                PostgresUrlError::Parameter("sslcert without sslkey".to_owned()),
            ),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
