//! One municipality of the demo: its folder, identities, configuration and profiles.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use serde::Serialize;
use vrx_certs_dev::{Federation, IdentitySpec, IssuedCert, spec::server_name};
use vrx_domain::MunicipalityCode;

use super::{
    TRUST_DOMAIN,
    database::Database,
    description::{Identity, NodeEntry},
    node::Node,
    not_made,
};
use crate::{
    failure::Failure,
    profile::{Profile, ProfileFile},
};

/// Who works in each municipality: two staff and two privacy officers, so that a second person can approve; who runs the node.
const PEOPLE: &[(&str, &str)] = &[
    ("staff", "tanaka"),
    ("staff", "suzuki"),
    ("officer", "mori"),
    ("officer", "kato"),
    ("operator", "ito"),
];

/// A municipality with everything it needs to run a node.
pub(crate) struct Town {
    pub(crate) municipality: MunicipalityCode,
    /// Where its node listens.
    pub(crate) address: String,
    /// Its node's configuration.
    pub(crate) config: PathBuf,
    /// Verifier key of its log; known once `vrx-node init` made the key.
    pub(crate) log_vkey: String,
    /// The key that it cosigns others' logs with; known from then on too.
    pub(crate) witness_vkey: String,
    /// Where its rows are, if not in SQLite.
    pub(crate) database: Option<Database>,
    code: String,
    home: PathBuf,
    profiles: PathBuf,
    exchange: IssuedCert,
    people: Vec<Identity>,
}

#[derive(Serialize)]
struct NodeConfig<'a> {
    trust_domain: &'a str,
    listen: &'a str,
    state_dir: &'a str,
    keyring_dir: &'a str,
    root_key_file: &'a str,
    kept_checkpoint_dir: &'a str,
    recovery_dir: &'a str,
    recovery_recipients: [&'a str; 1],
    members_file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a str>,
    tls: TlsConfig<'a>,
    tenant: [TenantConfig<'a>; 1],
}

#[derive(Serialize)]
struct TlsConfig<'a> {
    certificate: &'a Path,
    private_key: &'a Path,
    federation_ca: &'a Path,
}

#[derive(Serialize)]
struct TenantConfig<'a> {
    code: &'a str,
    ca: &'a Path,
}

#[derive(Serialize)]
struct TenantWitnesses<'a> {
    quorum: usize,
    witness: [WitnessEntry<'a>; 1],
}

#[derive(Serialize)]
struct WitnessEntry<'a> {
    municipality: &'a str,
    vkey: &'a str,
}

#[derive(Serialize)]
struct MembersFile {
    member: Vec<MemberEntry>,
}

#[derive(Serialize)]
struct MemberEntry {
    code: String,
    name: String,
    address: String,
    server_name: String,
    pins: [String; 1],
    log_vkey: String,
    legal_bases: [&'static str; 1],
    allow_hard_to_obtain: bool,
}

impl Town {
    /// Makes its folder, certificates and configuration.
    pub(crate) fn found(
        code: &str,
        dir: &Path,
        federation: &Federation,
        recovery: &str,
        database: Option<Database>,
    ) -> Result<Self, Failure> {
        let municipality = code.parse().map_err(|_| {
            Failure::Usage(format!(
                "{code} は市区町村のコードではありません / not a municipality code"
            ))
        })?;
        let home = dir.join(code);
        std::fs::create_dir_all(&home).map_err(|error| Failure::file("作成", &home, &error))?;
        let exchange = federation
            .issue(&IdentitySpec::node(code))
            .map_err(|error| not_made(&error))?;
        let mut people = vec![identity(code, "exchange", None, exchange.clone())];
        for (role, name) in PEOPLE {
            let issued = federation
                .issue(&IdentitySpec::new(code, role).name(name))
                .map_err(|error| not_made(&error))?;
            people.push(identity(code, role, Some(name), issued));
        }
        let address = format!("127.0.0.1:{}", free_port(code)?);
        let config = home.join("node.toml");
        let text = toml::to_string(&NodeConfig {
            trust_domain: TRUST_DOMAIN,
            listen: &address,
            state_dir: "state",
            keyring_dir: "keyrings",
            root_key_file: "root.key",
            kept_checkpoint_dir: "kept",
            recovery_dir: "recovery",
            recovery_recipients: [recovery],
            members_file: "../members.toml",
            database: database.as_ref().map(|database| database.url.as_str()),
            tls: TlsConfig {
                certificate: &exchange.cert_path,
                private_key: &exchange.key_path,
                federation_ca: &federation.ca_cert(),
            },
            tenant: [TenantConfig {
                code,
                ca: &federation
                    .tenant_ca(code)
                    .map_err(|error| not_made(&error))?,
            }],
        });
        write_toml(&config, text)?;
        Ok(Self {
            municipality,
            address,
            config,
            log_vkey: String::new(),
            witness_vkey: String::new(),
            database,
            code: code.to_owned(),
            home,
            profiles: dir.join("profiles"),
            exchange,
            people,
        })
    }

    /// Has its log witnessed by another town.
    pub(crate) fn ask_witness(&self, witness: &Self) -> Result<(), Failure> {
        let text = toml::to_string(&TenantWitnesses {
            quorum: 1,
            witness: [WitnessEntry {
                municipality: &witness.code,
                vkey: &witness.witness_vkey,
            }],
        });
        let failed = |error: &dyn std::fmt::Display| {
            Failure::Configuration(format!("{} / {error}", self.config.display()))
        };
        let witnesses: toml::Table = text
            .map_err(|error| failed(&error))?
            .parse()
            .map_err(|error| failed(&error))?;
        let config = std::fs::read_to_string(&self.config)
            .map_err(|error| Failure::file("読み込み", &self.config, &error))?;
        let mut config: toml::Table = config.parse().map_err(|error| failed(&error))?;
        let tenant = config
            .get_mut("tenant")
            .and_then(|tenants| tenants.as_array_mut()?.first_mut()?.as_table_mut());
        if let Some(tenant) = tenant {
            tenant.insert("witnesses".to_owned(), witnesses.into());
        }
        write_toml(&self.config, toml::to_string(&config))
    }

    /// Its code, six digits.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.municipality.name()
    }

    /// Where its node's output goes.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.home.join("node.log")
    }

    /// Its node and its people.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        self.people.clone()
    }

    /// Writes a profile for each of its people: `profiles/<code>-<role>-<name>.toml`.
    pub(crate) fn write_profiles(&self, federation: &Federation) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.profiles)
            .map_err(|error| Failure::file("作成", &self.profiles, &error))?;
        for person in self.people.iter().filter(|person| person.name.is_some()) {
            let text = toml::to_string(&ProfileFile {
                address: Some(self.address.clone()),
                municipality_code: Some(self.code.clone()),
                server_name: Some(server_name(&self.code)),
                ca: Some(federation.ca_cert()),
                cert: Some(person.cert.clone()),
                key: Some(person.key.clone()),
                log_vkey: Some(self.log_vkey.clone()),
            });
            write_toml(&self.profile_path(person), text)?;
        }
        Ok(())
    }

    /// The profile of its first person of a role; `role/name` names one of several.
    pub(crate) fn profile(&self, role: &str) -> Result<Profile, Failure> {
        let (role, name) = role
            .split_once('/')
            .map_or((role, None), |(role, name)| (role, Some(name)));
        self.people
            .iter()
            .find(|person| {
                person.role == role && (name.is_none() || person.name.as_deref() == name)
            })
            .ok_or_else(|| {
                Failure::Configuration(format!(
                    "{} に {role} がいません / nobody of that role",
                    self.code
                ))
            })
            .and_then(|person| Profile::read(&self.profile_path(person)))
    }

    /// Its lines in `demo.json`.
    pub(crate) fn describe(&self, node: &Node) -> NodeEntry {
        NodeEntry {
            municipality_code: self.code.clone(),
            name: self.name().to_owned(),
            address: self.address.clone(),
            server_name: server_name(&self.code),
            state_dir: self.home.join("state"),
            config: self.config.clone(),
            log_file: self.log_file(),
            log_vkey: self.log_vkey.clone(),
            witness_vkey: self.witness_vkey.clone(),
            pid: node.pid(),
        }
    }

    fn profile_path(&self, person: &Identity) -> PathBuf {
        let name = person.name.as_deref().unwrap_or_default();
        self.profiles
            .join(format!("{}-{}-{name}.toml", self.code, person.role))
    }
}

/// Who is a member of the demo's federation: both nodes read the same file.
pub(crate) fn write_members(dir: &Path, towns: &[&Town]) -> Result<(), Failure> {
    let member = towns
        .iter()
        .map(|town| MemberEntry {
            code: town.code.clone(),
            name: town.name().to_owned(),
            address: town.address.clone(),
            server_name: server_name(&town.code),
            pins: [hex::encode(town.exchange.spki_sha256)],
            log_vkey: town.log_vkey.clone(),
            legal_bases: ["NBA-19-16"],
            allow_hard_to_obtain: false,
        })
        .collect();
    write_toml(
        &dir.join("members.toml"),
        toml::to_string(&MembersFile { member }),
    )
}

fn identity(code: &str, role: &str, name: Option<&str>, issued: IssuedCert) -> Identity {
    Identity {
        municipality_code: code.to_owned(),
        role: role.to_owned(),
        name: name.map(str::to_owned),
        cert: issued.cert_path,
        key: issued.key_path,
    }
}

fn write_toml(path: &Path, text: Result<String, toml::ser::Error>) -> Result<(), Failure> {
    let text =
        text.map_err(|error| Failure::Configuration(format!("{} / {error}", path.display())))?;
    std::fs::write(path, text).map_err(|error| Failure::file("書き込み", path, &error))
}

/// A port that nobody listens on, below the range that outgoing connections take theirs from: a node that is killed finds it free again.
fn free_port(code: &str) -> Result<u16, Failure> {
    let seed = std::process::id()
        .wrapping_mul(31)
        .wrapping_add(code.parse().unwrap_or(0));
    (0..2_000_u32)
        .filter_map(|step| {
            u16::try_from(20_000 + (seed.wrapping_add(step.wrapping_mul(7))) % 12_000).ok()
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| {
            Failure::Unavailable("空いているポートがありません / no free port".to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::{Federation, TRUST_DOMAIN, Town, write_members};

    #[test]
    fn a_town_has_its_people_profiles_and_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let federation = Federation::create(folder.path().join("certs"), TRUST_DOMAIN).unwrap();
        let mut town = Town::found("142051", folder.path(), &federation, "age1demo", None).unwrap();
        town.log_vkey = "log+00000000+AA".to_owned();
        town.write_profiles(&federation).unwrap();
        write_members(folder.path(), &[&town]).unwrap();

        let config: toml::Table = std::fs::read_to_string(&town.config)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(config["listen"].as_str(), Some(town.address.as_str()));
        assert_eq!(config["tenant"][0]["code"].as_str(), Some("142051"));
        let members: toml::Table = std::fs::read_to_string(folder.path().join("members.toml"))
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(members["member"][0]["pins"][0].as_str().unwrap().len(), 64);

        town.witness_vkey = "witness+00000000+BA".to_owned();
        town.ask_witness(&town).unwrap();
        let text = std::fs::read_to_string(&town.config).unwrap();
        let asking: toml::Table = text.parse().unwrap();
        let witnesses = &asking["tenant"][0]["witnesses"];
        assert_eq!(witnesses["quorum"].as_integer(), Some(1));
        assert_eq!(
            witnesses["witness"][0]["vkey"].as_str(),
            Some("witness+00000000+BA")
        );
        assert_eq!(asking["listen"], config["listen"]);

        let second = town.profile("staff/suzuki").unwrap();
        assert!(second.cert.is_file() && second.key.is_file());
        assert_ne!(second.cert, town.profile("staff").unwrap().cert);
        assert!(town.profile("venue").is_err());
    }
}
