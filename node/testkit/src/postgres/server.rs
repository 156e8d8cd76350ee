//! One server: its folder, its certificates, its roles, its ends and its new starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::Signal;
use vrx_certs_dev::{Federation, IdentitySpec, Signer, Validity};

use super::guardian::Guardian;
use super::options::{Authentication, ServerOptions};
use super::process::{Postmaster, ServerLog};
use super::programs::Programs;
use super::setup::{CODE, PORTS, free_port, initdb, new_folder, write_secret};
use super::{DATABASE, DEMO, NODE, OWNER, PASSWORD};

/// Servers that are tried until one has a port for itself.
const TRIES: usize = 20;

/// A PostgreSQL server of this test.
pub struct PostgresServer {
    pub(super) programs: Programs,
    pub(super) folder: PathBuf,
    pub(super) options: ServerOptions,
    pub(super) port: u16,
    log: ServerLog,
    process: Mutex<Option<Postmaster>>,
    guardian: Mutex<Guardian>,
}

impl PostgresServer {
    /// Makes a server and waits until it answers.
    ///
    /// # Panics
    /// If there is no PostgreSQL on this machine, or it doesn't start.
    pub fn start(options: ServerOptions) -> Self {
        let programs = Programs::find();
        let folder = new_folder(&programs, &options);
        let guardian = Guardian::of(&folder);
        Federation::create(folder.join("certs"), "database.test").expect("a CA");
        initdb(&programs, &folder, &options);
        let server = Self::launch(programs, folder, options, guardian);
        for role in [OWNER, NODE, DEMO] {
            server.sql(
                "postgres",
                &format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
            );
            server.client_certificate(role, Validity::Current);
        }
        server.sql(
            "postgres",
            &format!(
                "ALTER ROLE {DEMO} CREATEDB CREATEROLE;\nCREATE DATABASE {DATABASE} OWNER {OWNER};"
            ),
        );
        server
    }

    /// Starts what stands in a folder, on a port that nobody else has.
    pub(super) fn launch(
        programs: Programs,
        folder: PathBuf,
        options: ServerOptions,
        guardian: Guardian,
    ) -> Self {
        let mut server = Self {
            programs,
            folder,
            options,
            port: 0,
            log: Arc::default(),
            process: Mutex::new(None),
            guardian: Mutex::new(guardian),
        };
        server.write_certificate(server.options.certificate);
        write_secret(
            &server.pass_file(),
            &format!("*:*:*:*:{PASSWORD}\n"),
            |_| {},
        );
        for _ in 0..TRIES {
            server.port = free_port();
            match server.run() {
                Ok(process) => {
                    *server.process.get_mut() = Some(process);
                    return server;
                }
                // Another test program was faster with this port.
                Err(said) if said.contains("could not bind") => {}
                Err(said) => panic!("PostgreSQL doesn't start: {said}"),
            }
        }
        panic!("no free port for PostgreSQL in {PORTS:?}");
    }

    /// Its TCP port on 127.0.0.1, the same after a new start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// Where its tables and its log lie.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The certificate of the CA that signed its own.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("certs/federation/ca.pem")
    }

    /// A file with the password of every role, for `PGPASSFILE`.
    pub fn pass_file(&self) -> PathBuf {
        self.folder.join("pgpass")
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.process.lock().as_ref().map(Postmaster::pid)
    }

    /// What it has said, over all its runs.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// A URL to a database of it for a role: TCP, TLS, its certificate verified.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.url_by_ports(&[self.port], role, database)
    }

    /// The same by other ports: of [`Link`](crate::Link)s to it, or of several servers of one CA, of which the client
    /// takes the one that can be written to.
    pub fn url_by_ports(&self, ports: &[u16], role: &str, database: &str) -> String {
        let hosts: Vec<String> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let mut words = vec![
            "sslmode=verify-full".to_owned(),
            format!("sslrootcert={}", self.ca_file().display()),
        ];
        if self.options.authentication == Authentication::Certificate {
            let (certificate, key) = self.client_files(role);
            words.push(format!("sslcert={}", certificate.display()));
            words.push(format!("sslkey={}", key.display()));
        }
        if ports.len() > 1 {
            words.push("target_session_attrs=read-write".to_owned());
        }
        format!(
            "postgres://{role}@{}/{database}?{}",
            hosts.join(","),
            words.join("&")
        )
    }

    /// A URL without TLS, over loopback: only a server of [`Authentication::Trust`] answers.
    pub fn plain_url(&self, role: &str, database: &str) -> String {
        format!(
            "postgres://{role}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// A URL over its Unix socket, where it believes everyone.
    pub fn socket_url(&self, role: &str, database: &str) -> String {
        format!(
            "postgres://{role}@localhost:{}/{database}?host={}",
            self.port,
            self.folder.display()
        )
    }

    /// Makes a role's client certificate anew, where [`PostgresServer::url`] names it.
    pub fn client_certificate(&self, role: &str, validity: Validity) {
        let spec = IdentitySpec::new(CODE, "exchange")
            .file_stem(role)
            .signed_by(Signer::Federation)
            .validity(validity);
        self.federation().issue(&spec).expect("a certificate");
    }

    /// Gives the server a new certificate, which new connections see.
    pub fn renew_certificate(&self, validity: Validity) {
        self.write_certificate(validity);
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Ends it in order: open transactions are rolled back, everything is on disk.
    pub fn stop(&self) {
        self.take().end(Signal::INT, &self.log);
    }

    /// Ends it without a last checkpoint: the next start recovers.
    pub fn stop_at_once(&self) {
        self.take().end(Signal::QUIT, &self.log);
    }

    /// Kills every process of it (signal 9), whatever it is doing.
    pub fn kill(&self) {
        self.take().kill(&self.log);
    }

    /// Starts it after an end of any kind, on its own port.
    pub fn start_again(&self) {
        let mut process = self.process.lock();
        assert!(process.is_none(), "the server runs");
        *process = Some(
            self.run()
                .unwrap_or_else(|said| panic!("PostgreSQL doesn't start again: {said}")),
        );
    }

    /// Waits until it has ended by itself.
    pub fn wait_ended(&self) {
        self.take().wait_gone(&self.log);
    }

    fn take(&self) -> Postmaster {
        self.process.lock().take().expect("the server runs")
    }

    fn run(&self) -> Result<Postmaster, String> {
        let folder = self.folder.display();
        let mut command = self.programs.as_owner("postgres");
        command.arg("-D").arg(self.data_folder());
        // What differs between a server and its copy stands here; the rest in postgresql.conf.
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={folder}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={folder}/server.pem"),
            format!("ssl_key_file={folder}/server.key"),
            format!("ssl_ca_file={folder}/ca.pem"),
        ] {
            command.arg("-c").arg(setting);
        }
        Postmaster::start(command, &self.log)
    }

    fn federation(&self) -> Federation {
        Federation::open(self.folder.join("certs")).expect("the CA")
    }

    fn client_files(&self, role: &str) -> (PathBuf, PathBuf) {
        let folder = self.folder.join("certs/certs").join(CODE);
        (
            folder.join(format!("{role}.pem")),
            folder.join(format!("{role}.key")),
        )
    }

    fn write_certificate(&self, validity: Validity) {
        let issued = self
            .federation()
            .issue(
                &IdentitySpec::node(CODE)
                    .file_stem("server")
                    .validity(validity),
            )
            .expect("a certificate");
        let key = std::fs::read_to_string(&issued.key_path).expect("its key");
        write_secret(&self.folder.join("server.key"), &key, |path| {
            self.programs.give(path);
        });
        std::fs::copy(&issued.cert_path, self.folder.join("server.pem")).expect("a copy");
        std::fs::copy(self.ca_file(), self.folder.join("ca.pem")).expect("a copy");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(process) = self.process.get_mut().take() {
            process.kill(&self.log);
        }
        self.guardian.get_mut().relieve();
    }
}
