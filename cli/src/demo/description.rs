//! `demo.json`: all that a program needs to speak to the demo's nodes. Paths are absolute; the people are invented.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{failure::Failure, sample::Kind};

/// The whole file.
#[derive(Debug, Serialize)]
pub(crate) struct Description {
    /// Trust domain of every identity.
    pub(crate) trust_domain: String,
    /// The federation's CA.
    pub(crate) ca_cert: PathBuf,
    /// The running nodes.
    pub(crate) nodes: Vec<NodeEntry>,
    /// Certificates to call them with.
    pub(crate) identities: Vec<Identity>,
    /// The residents of the provider.
    pub(crate) persons: Vec<Person>,
}

/// One node.
#[derive(Debug, Serialize)]
pub(crate) struct NodeEntry {
    /// Its tenant.
    pub(crate) municipality_code: String,
    /// The tenant's name.
    pub(crate) name: String,
    /// host:port.
    pub(crate) address: String,
    /// DNS name in its certificate.
    pub(crate) server_name: String,
    /// Its databases.
    pub(crate) state_dir: PathBuf,
    /// Its configuration: `vrx-node serve --config <this>`.
    pub(crate) config: PathBuf,
    /// Where its log lines go.
    pub(crate) log_file: PathBuf,
    /// Verifier key of its provision log.
    pub(crate) log_vkey: String,
    /// The key that it cosigns others' logs with.
    pub(crate) witness_vkey: String,
    /// Its process.
    pub(crate) pid: u32,
}

/// A certificate and its key.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Identity {
    /// Whose.
    pub(crate) municipality_code: String,
    /// `exchange`, `staff`, `officer`, `operator` or `certificate`.
    pub(crate) role: String,
    /// The name within the role.
    pub(crate) name: Option<String>,
    /// PEM.
    pub(crate) cert: PathBuf,
    /// PEM.
    pub(crate) key: PathBuf,
}

/// An invented resident.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Person {
    /// Whose resident.
    pub(crate) municipality_code: String,
    /// Invented.
    pub(crate) individual_number: String,
    /// Doses on file.
    pub(crate) doses: usize,
    /// What an inquiry about this person has to give.
    pub(crate) kind: Kind,
}

impl Description {
    /// Writes the file whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        let beside = path.with_extension("json.new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|error| Failure::file("書き込み", path, &error))
    }
}
