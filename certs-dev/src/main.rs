//! `vrx-certs-dev`: makes development certificates from the command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vrx_certs_dev::{CertError, Federation, IdentitySpec, IssuedCert, Validity};

/// Makes certificates for development and demos. Never use them in production.
///
/// In the folder: federation/ca.pem (the federation's CA: `tls.federation_ca` of a node, `ca` of a profile),
/// tenants/CODE/ca.pem (a municipality's own CA: `tenant.ca`), certs/CODE/ROLE[-NAME].pem and .key. Each line that is
/// printed is one certificate: its identity, its file, its key's file and, for an exchange, the pin for the members file.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder of the federation.
    #[arg(long, default_value = "certs")]
    dir: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Makes the federation's CA, and for each municipality its own CA and one certificate a role.
    Init {
        /// Trust domain of all identities.
        #[arg(long, default_value = "vrx.example")]
        trust_domain: String,
        /// Municipality codes, 6 digits each.
        #[arg(required = true, value_parser = municipality)]
        municipalities: Vec<String>,
    },
    /// Makes one certificate.
    Issue {
        /// Municipality code, 6 digits.
        #[arg(value_parser = municipality)]
        municipality: String,
        /// exchange, certificate, witness (signed by the federation); staff, officer, operator, venue (by the
        /// municipality).
        #[arg(value_parser = ROLES)]
        role: String,
        /// The person's id; staff, officer, operator and venue need one.
        #[arg(required_if_eq_any(NAMED.map(|role| ("role", role))))]
        name: Option<String>,
        /// DNS names beside the URI.
        #[arg(long)]
        dns: Vec<String>,
        /// Makes it already expired.
        #[arg(long)]
        expired: bool,
    },
}

/// The roles that a node knows.
const ROLES: [&str; 7] = [
    "exchange",
    "certificate",
    "witness",
    "staff",
    "officer",
    "operator",
    "venue",
];
/// Those of them that are somebody: a node refuses them without a name.
const NAMED: [&str; 4] = ["staff", "officer", "operator", "venue"];

/// The form of a municipality code; which codes exist is the node's to say.
fn municipality(text: &str) -> Result<String, String> {
    if text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("a municipality code has exactly 6 digits".to_owned())
    }
}

/// One certificate, for the reader and for `cut`.
fn line(issued: &IssuedCert) -> String {
    let files = format!(
        "{}\t{}\t{}",
        issued.uri,
        issued.cert_path.display(),
        issued.key_path.display()
    );
    if !issued.uri.ends_with("/exchange") {
        return files;
    }
    let pin = issued
        .spki_sha256
        .iter()
        .fold(String::new(), |pin, byte| format!("{pin}{byte:02x}"));
    format!("{files}\tpin {pin}")
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(issued) => {
            let mut out = std::io::stdout().lock();
            for one in issued {
                if writeln!(out, "{}", line(&one)).is_err() {
                    return ExitCode::FAILURE;
                }
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Nothing is left to do when even this can't be written.
            drop(writeln!(std::io::stderr(), "vrx-certs-dev: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Vec<IssuedCert>, CertError> {
    match &arguments.verb {
        Verb::Init {
            trust_domain,
            municipalities,
        } => {
            let federation = Federation::create(&arguments.dir, trust_domain)?;
            let mut issued = Vec::new();
            for code in municipalities {
                issued.push(federation.issue(&IdentitySpec::node(code))?);
                for (role, name) in [
                    ("staff", "tanaka"),
                    ("staff", "suzuki"),
                    ("officer", "sato"),
                    ("operator", "ito"),
                    ("venue", "kenshin"),
                ] {
                    issued.push(federation.issue(&IdentitySpec::new(code, role).name(name))?);
                }
                for role in ["certificate", "witness"] {
                    issued.push(federation.issue(&IdentitySpec::new(code, role))?);
                }
            }
            Ok(issued)
        }
        Verb::Issue {
            municipality,
            role,
            name,
            dns,
            expired,
        } => {
            let mut spec = if role == "exchange" {
                IdentitySpec::node(municipality)
            } else {
                IdentitySpec::new(municipality, role)
            };
            spec.name.clone_from(name);
            spec.dns_names.extend(dns.iter().cloned());
            if *expired {
                spec.validity = Validity::Expired;
            }
            Ok(vec![Federation::open(&arguments.dir)?.issue(&spec)?])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(arguments: &[&str]) -> bool {
        Arguments::try_parse_from([&["vrx-certs-dev"], arguments].concat()).is_ok()
    }

    #[test]
    fn what_a_node_would_refuse_is_not_made() {
        assert!(parses(&["init", "142051", "141003"]));
        assert!(parses(&["issue", "142051", "officer", "mori"]));
        assert!(parses(&["issue", "142051", "exchange"]));
        assert!(!parses(&["init"]));
        assert!(!parses(&["init", "14x"]));
        assert!(!parses(&["issue", "142051", "officer"]));
        assert!(!parses(&["issue", "142051", "boss", "mori"]));
    }

    #[test]
    fn an_exchange_comes_with_its_pin() {
        let folder = tempfile::tempdir().unwrap();
        let federation = Federation::create(folder.path(), "vrx.example").unwrap();
        let line = line(&federation.issue(&IdentitySpec::node("142051")).unwrap());
        let (_, pin) = line.rsplit_once("pin ").unwrap();
        assert_eq!(pin.len(), 64);
    }
}
