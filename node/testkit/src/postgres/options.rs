//! How a test wants its server.

use std::path::PathBuf;

use vrx_certs_dev::Validity;

/// What the server asks of a client that comes over TCP. Over its Unix socket it believes everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing, with TLS or without.
    Trust,
    /// TLS and a password (SCRAM): the one in [`PostgresServer::pass_file`](super::PostgresServer::pass_file).
    Password,
    /// TLS and a client certificate that names the role.
    Certificate,
}

/// How a test wants its server. The default: everything on, few resources, loopback trusted, a current certificate.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub(super) base: PathBuf,
    pub(super) settings: Vec<(String, String)>,
    pub(super) authentication: Authentication,
    pub(super) certificate: Validity,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let settings = [
            ("max_connections", "80"),
            ("shared_buffers", "32MB"),
            ("max_wal_size", "256MB"),
            ("max_worker_processes", "4"),
            ("max_parallel_workers", "0"),
            ("max_wal_senders", "6"),
            ("jit", "off"),
            ("lc_messages", "C"),
            ("shared_preload_libraries", "pg_stat_statements"),
        ];
        Self {
            base: std::env::temp_dir(),
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            authentication: Authentication::Trust,
            certificate: Validity::Current,
        }
    }
}

impl ServerOptions {
    /// Sets a parameter of the server, as in `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts the server's own folder below `base`: a small file system that a test fills, say.
    #[must_use]
    pub fn below(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = base.into();
        self
    }

    /// Sets what a client that comes over TCP has to show.
    #[must_use]
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Sets whether the server's certificate is valid.
    #[must_use]
    pub fn certificate(mut self, validity: Validity) -> Self {
        self.certificate = validity;
        self
    }
}
