//! `vrx-certs-dev`: makes development certificates from the command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vrx_certs_dev::{CertError, Federation, IdentitySpec, IssuedCert, Validity};

/// Makes certificates for development and demos. Never use them in production.
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
        municipalities: Vec<String>,
    },
    /// Makes one certificate.
    Issue {
        /// Municipality code, 6 digits.
        municipality: String,
        /// exchange, certificate, witness (signed by the federation); staff, officer, operator, venue (by the
        /// municipality).
        role: String,
        /// The person's id, for the roles that have one.
        name: Option<String>,
        /// DNS names beside the URI.
        #[arg(long)]
        dns: Vec<String>,
        /// Makes it already expired.
        #[arg(long)]
        expired: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(issued) => {
            let mut out = std::io::stdout().lock();
            for one in issued {
                if writeln!(
                    out,
                    "{}\t{}\t{}",
                    one.uri,
                    one.cert_path.display(),
                    one.key_path.display()
                )
                .is_err()
                {
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
