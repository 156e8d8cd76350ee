//! The configuration: one TOML file, parsed whole into types before anything is opened or bound.

mod backup;
mod database;
mod error;
mod members;
mod raw;
mod tenant;
mod witnesses;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use vrx_domain::{MunicipalityCode, Role, SpiffeId};
use vrx_storage::postgres::{PostgresLimits, PostgresUrl};

pub use backup::BackupConfig;
pub use database::{DEFAULT_CLUSTER, Database};
use error::Blame;
pub use error::ConfigError;
pub use members::read_members;
use raw::RawConfig;
pub use tenant::TenantConfig;
pub use witnesses::{WitnessesConfig, check_witnesses};

/// A commented sample of the configuration.
pub const SAMPLE: &str = include_str!("node.toml");
/// A commented sample of the members file.
pub const MEMBERS_SAMPLE: &str = include_str!("members.toml");

/// The configuration of a node. Every path in it is absolute or relative to the working directory, no more to the file.
pub struct Config {
    /// The trust domain of every SPIFFE id here.
    pub trust_domain: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where metrics are served, a loopback address; nowhere if there is none.
    pub metrics: Option<SocketAddr>,
    /// The folder of the tenants' databases.
    pub state_dir: PathBuf,
    /// The folder of the keyrings.
    pub keyring_dir: PathBuf,
    /// The root key file.
    pub root_key_file: PathBuf,
    /// The second path, where the newest checkpoint is kept.
    pub kept_checkpoint_dir: PathBuf,
    /// The folder of the keyrings' recovery copies.
    pub recovery_dir: PathBuf,
    /// For whom recovery copies are encrypted.
    pub recovery_recipients: Vec<age::x25519::Recipient>,
    /// Where backups go, and for whom.
    pub backup: BackupConfig,
    /// The members file. Read apart from this one: `init` runs before there is any.
    pub members_file: PathBuf,
    /// The federation's CA, PEM.
    pub federation_ca: PathBuf,
    /// The database clusters by name; empty on a node that keeps all in SQLite.
    pub clusters: BTreeMap<String, PostgresUrl>,
    /// What the node takes of each cluster.
    pub postgres: PostgresLimits,
    /// The municipalities served, in the order of the file: at least one, each once.
    pub tenants: Vec<TenantConfig>,
    /// Limits.
    pub limits: Limits,
    /// How to log.
    pub logging: Logging,
}

/// Limits of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest a call may take.
    pub deadline: Duration,
    /// Calls of one caller in flight.
    pub in_flight_per_caller: u32,
    /// Entries waiting for the log's writer.
    pub log_queue: usize,
    /// How long an answer of another municipality waits to be adopted.
    pub inquiry_retention: Duration,
    /// How long a soft shutdown may take.
    pub shutdown: Duration,
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Text or JSON.
    pub format: LogFormat,
    /// An `EnvFilter`, checked.
    pub filter: String,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(file, &Blame { file }.read()?)
    }

    /// Checks that the files a serving node reads can be read, so that a wrong path is told with its key. `file` is the
    /// configuration's own.
    pub fn check_files(&self, file: &Path) -> Result<(), ConfigError> {
        let mut files = vec![
            ("tls.federation_ca".to_owned(), &self.federation_ca),
            ("members_file".to_owned(), &self.members_file),
        ];
        for tenant in &self.tenants {
            let key = |name: &str| format!("{}.{name}", tenant.key);
            files.push((key("ca"), &tenant.ca));
            files.push((tenant.pair_key("certificate"), &tenant.certificate));
            files.push((tenant.pair_key("private_key"), &tenant.private_key));
            let foreign = tenant.witnesses.iter().flat_map(|all| &all.foreign);
            files.extend(foreign.map(|witness| (key("witnesses"), &witness.ca)));
        }
        for (key, path) in files {
            std::fs::File::open(path).map_err(|error| {
                let problem = format!("{} can't be read: {error}", path.display());
                Blame { file }.value(key, &problem, "put the file there or correct the path")
            })?;
        }
        Ok(())
    }

    /// Where this tenant's database and its id stand.
    pub fn tenant_dir(&self, tenant: MunicipalityCode) -> PathBuf {
        self.state_dir.join(tenant.to_string())
    }

    /// Where this tenant's newest checkpoint is kept.
    pub fn kept_checkpoint(&self, tenant: MunicipalityCode) -> PathBuf {
        self.kept_checkpoint_dir
            .join(format!("{tenant}.checkpoint"))
    }

    /// Where it stands since when this tenant's witnesses have been asked without a quorum.
    pub fn unwitnessed(&self, tenant: MunicipalityCode) -> PathBuf {
        self.kept_checkpoint_dir
            .join(format!("{tenant}.unwitnessed"))
    }

    /// The tenant with this code, or the only one when none is named. `file` is the configuration's own.
    pub fn tenant(
        &self,
        file: &Path,
        code: Option<MunicipalityCode>,
    ) -> Result<&TenantConfig, ConfigError> {
        let blame = Blame { file };
        match (code, self.tenants.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(blame.value(
                "tenant",
                &format!("there are {}", self.tenants.len()),
                "say with --tenant CODE which one is meant",
            )),
            (Some(code), tenants) => tenants
                .iter()
                .find(|tenant| tenant.code == code)
                .ok_or_else(|| {
                    blame.value(
                        "tenant",
                        &format!("there is none with the code {code}"),
                        "give the configuration of the node that serves it, or another --tenant",
                    )
                }),
        }
    }

    /// The cluster with this name, or the only one when none is named: its name and where it is.
    pub fn cluster(
        &self,
        file: &Path,
        name: Option<&str>,
    ) -> Result<(&str, &PostgresUrl), ConfigError> {
        let blame = Blame { file };
        let mut all = self.clusters.iter();
        let found = match (name, all.next(), all.next()) {
            (None, Some(only), None) => Some(only),
            (None, None, _) => {
                return Err(blame.value(
                    "database",
                    "isn't there, nor are [clusters]: all is in SQLite",
                    "SQLite needs no `migrate`; write the database's address to use PostgreSQL",
                ));
            }
            (None, Some(_), Some(_)) => {
                return Err(blame.value(
                    "clusters",
                    &format!("there are {}", self.clusters.len()),
                    "say with --cluster NAME which one is meant",
                ));
            }
            (Some(name), _, _) => self.clusters.get_key_value(name),
        };
        let (name, url) = found.ok_or_else(|| {
            blame.value(
                "clusters",
                &format!("there is none with the name {}", name.unwrap_or_default()),
                "name one that stands there; `database` is called default",
            )
        })?;
        Ok((name, url))
    }

    /// The tenants whose rows are in the cluster with this name.
    pub fn tenants_of<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a TenantConfig> {
        self.tenants.iter().filter(
            move |tenant| matches!(&tenant.database, Database::Cluster(name) if name == cluster),
        )
    }

    fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let blame = Blame { file };
        let raw: RawConfig = toml::from_str(text).map_err(|error| blame.syntax(&error))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let at = |path: PathBuf| folder.join(path);

        let listen = SocketAddr::from_str(&raw.listen).map_err(|error| {
            blame.value(
                "listen",
                &error,
                "write an address and a port, such as \"127.0.0.1:7443\"",
            )
        })?;
        let metrics = match &raw.metrics {
            Some(text) => Some(loopback(&blame, text)?),
            None => None,
        };
        let backup = backup::check(&blame, folder, &raw)?;
        let clusters = database::clusters(&blame, raw.database.as_ref(), &raw.clusters)?;
        let federation_ca = at(raw.tls.federation_ca.clone());
        let tenants = tenant::check(&blame, folder, raw.tenant, &raw.tls, &clusters)?;
        for tenant in &tenants {
            SpiffeId::new(&raw.trust_domain, tenant.code, Role::Exchange, None).map_err(
                |error| {
                    blame.value(
                        "trust_domain",
                        &error,
                        "write a name such as \"vrx.example\"",
                    )
                },
            )?;
        }
        EnvFilter::try_new(&raw.logging.filter).map_err(|error| {
            blame.value("logging.filter", &error, "write a level such as \"info\"")
        })?;

        let config = Self {
            trust_domain: raw.trust_domain,
            listen,
            metrics,
            state_dir: at(raw.state_dir),
            keyring_dir: at(raw.keyring_dir),
            root_key_file: at(raw.root_key_file),
            kept_checkpoint_dir: at(raw.kept_checkpoint_dir),
            recovery_dir: at(raw.recovery_dir),
            recovery_recipients: recipients(&blame, &raw.recovery_recipients)?,
            backup,
            members_file: at(raw.members_file),
            federation_ca,
            clusters,
            postgres: raw.postgres.check(&blame)?,
            tenants,
            limits: raw.limits.check(&blame)?,
            logging: Logging {
                format: raw.logging.format,
                filter: raw.logging.filter,
            },
        };
        config.keep_apart(&blame)?;
        Ok(config)
    }

    /// What must not lie beside the data: a backup or a loss of `state_dir` would take it along.
    fn keep_apart(&self, blame: &Blame<'_>) -> Result<(), ConfigError> {
        let apart = [
            ("keyring_dir", &self.keyring_dir),
            ("root_key_file", &self.root_key_file),
            ("kept_checkpoint_dir", &self.kept_checkpoint_dir),
            ("recovery_dir", &self.recovery_dir),
        ];
        match apart
            .into_iter()
            .find(|(_, path)| path.starts_with(&self.state_dir))
        {
            Some((key, _)) => Err(blame.value(
                key,
                "lies inside state_dir",
                "choose a folder outside of it",
            )),
            None => Ok(()),
        }
    }
}

/// Metrics are served without TLS and to whoever asks: on this machine alone.
fn loopback(blame: &Blame<'_>, text: &str) -> Result<SocketAddr, ConfigError> {
    const REMEDY: &str = "write a loopback address and a port, such as \"127.0.0.1:9464\"; a scraper on another machine comes \
                          through a tunnel or a proxy that knows it";
    let address = SocketAddr::from_str(text);
    let address = address.map_err(|error| blame.value("metrics", &error, REMEDY))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        let problem = format!("{address} can be reached from other machines");
        Err(blame.value("metrics", &problem, REMEDY))
    }
}

fn recipients(
    blame: &Blame<'_>,
    texts: &[String],
) -> Result<Vec<age::x25519::Recipient>, ConfigError> {
    const REMEDY: &str = "write at least one age recipient (age1…), made by `age-keygen` and kept away from this machine";
    if texts.is_empty() {
        return Err(blame.value("recovery_recipients", "is empty", REMEDY));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse().map_err(|error: &str| {
            blame.value(format!("recovery_recipients[{index}]"), &error, REMEDY)
        })
    };
    texts.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> String {
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        SAMPLE.replace("age1…", &recipient)
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("/etc/vrx/node.toml"), text)
    }

    fn error(text: &str) -> String {
        parse(text).err().unwrap().to_string()
    }

    #[test]
    fn the_sample_is_a_configuration() {
        let config = parse(&sample()).ok().unwrap();
        assert_eq!(config.tenants.len(), 1);
        let tenant = &config.tenants[0];
        assert_eq!(tenant.code.to_string(), "142051");
        assert_eq!(tenant.database, Database::Sqlite);
        assert_eq!(tenant.certificate, Path::new("/etc/vrx/exchange.pem"));
        assert_eq!(config.state_dir, Path::new("/etc/vrx/state"));
        assert_eq!(
            config.kept_checkpoint(tenant.code),
            Path::new("/etc/vrx/kept/142051.checkpoint")
        );
        assert_eq!(config.recovery_recipients.len(), 1);
        assert_eq!(config.metrics, None);
        for address in ["127.0.0.1:9464", "[::1]:9464"] {
            let text = sample().replace(
                "# metrics = \"127.0.0.1:9464\"",
                &format!("metrics = \"{address}\""),
            );
            let config = parse(&text).ok().unwrap();
            assert_eq!(config.metrics, Some(address.parse().unwrap()));
        }
    }

    #[test]
    fn the_optional_tables_of_the_sample_state_the_defaults() {
        let sample = sample();
        let (short, _) = sample.split_once("# All of these are optional").unwrap();
        let (short, long) = (parse(short).ok().unwrap(), parse(&sample).ok().unwrap());
        assert_eq!(short.limits, long.limits);
        assert_eq!(short.logging, long.logging);
        assert_eq!(short.postgres, long.postgres);
    }

    #[test]
    fn an_unknown_a_missing_and_a_mistyped_key_are_named_with_their_file() {
        for (from, to, key) in [
            ("state_dir =", "state_dri =", "state_dri"),
            ("listen = \"127.0.0.1:7443\"", "", "listen"),
            (
                "deadline_ms = 10000",
                "deadline_ms = \"soon\"",
                "deadline_ms",
            ),
            ("format = \"text\"", "format = \"xml\"", "format"),
        ] {
            let error = error(&sample().replace(from, to));
            assert!(
                error.contains("/etc/vrx/node.toml") && error.contains(key),
                "{error}"
            );
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named_with_a_remedy() {
        for (from, to, key) in [
            ("127.0.0.1:7443", "localhost", "listen"),
            (
                "# metrics = \"127.0.0.1:9464\"",
                "metrics = \"0.0.0.0:9464\"",
                "metrics",
            ),
            (
                "# metrics = \"127.0.0.1:9464\"",
                "metrics = \"localhost:9464\"",
                "metrics",
            ),
            ("\"142051\"", "\"142052\"", "tenant.code"),
            ("\"142051\"", "\"140007\"", "tenant.code"),
            ("vrx.example", "vrx example", "trust_domain"),
            (
                "deadline_ms = 10000",
                "deadline_ms = 0",
                "limits.deadline_ms",
            ),
            ("log_queue = 4096", "log_queue = 0", "limits.log_queue"),
            ("[\"age1", "[\"agf1", "recovery_recipients[0]"),
            (
                "keyring_dir = \"keyrings\"",
                "keyring_dir = \"state/keys\"",
                "keyring_dir",
            ),
            (
                "kept_checkpoint_dir = \"kept\"",
                "kept_checkpoint_dir = \"state\"",
                "kept_checkpoint_dir",
            ),
            ("filter = \"info\"", "filter = \"a=b=c\"", "logging.filter"),
            (
                "[limits]",
                "[[tenant]]\ncode = \"141003\"\nca = \"x\"\n[limits]",
                "tls.certificate",
            ),
            (
                "# retention = { years_after_last_dose = 5",
                "retention = { years_after_last_dose = 4",
                "tenant.retention.years_after_last_dose",
            ),
            (
                "# retention = { years_after_last_dose = 5",
                "retention = { years_after_last_dose = 8",
                "tenant.retention.years_of_openings",
            ),
            ("connections = 8", "connections = 1", "postgres.connections"),
            ("slow_ms = 250", "slow_ms = 0", "postgres.slow_ms"),
            ("# backup_keep = 10", "backup_keep = 0", "backup_keep"),
            (
                "# backup_dir = \"/mnt/backup/vrx\"",
                "backup_dir = \"state/backup\"",
                "backup_dir",
            ),
            (
                "# backup_recipients = [\"age1backup…\"]",
                "backup_recipients = [\"agf1\"]",
                "backup_recipients[0]",
            ),
        ] {
            let error = error(&sample().replace(from, to));
            assert!(
                error.starts_with(&format!("/etc/vrx/node.toml: {key}: ")) && error.contains("; "),
                "{error}"
            );
        }
    }

    #[test]
    fn the_configuration_of_no_recipient_is_refused() {
        let sample = sample();
        let start = sample.find("recovery_recipients").unwrap();
        let end = start + sample[start..].find('\n').unwrap();
        let text = sample.replace(&sample[start..end], "recovery_recipients = []");
        assert!(error(&text).contains("recovery_recipients: is empty"));
    }
}
