//! What stands on disk before a server starts.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use super::options::{Authentication, ServerOptions};
use super::programs::Programs;

/// Ports are looked for below those that the system gives to clients, so that a stopped server finds its own again.
pub(super) const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// The municipality in the names of certificates; PostgreSQL looks at the rest of the name alone.
pub(super) const CODE: &str = "142051";

/// A folder that the server's user may enter and owns.
pub(super) fn new_folder(programs: &Programs, options: &ServerOptions) -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix("vrx-postgres-")
        .tempdir_in(&options.base)
        .expect("a folder")
        // From here on it is the guardian's to remove.
        .keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    programs.give(&folder);
    folder
}

/// Makes an empty cluster with its settings, and says whom it believes.
pub(super) fn initdb(programs: &Programs, folder: &Path, options: &ServerOptions) {
    let data = folder.join("data");
    let output = programs
        .as_owner("initdb")
        .args(["-U", "postgres", "-E", "UTF8", "--no-locale"])
        .args([
            "--auth=trust",
            "--no-instructions",
            "--no-sync",
            "--data-checksums",
        ])
        .arg("-D")
        .arg(&data)
        .output()
        .expect("the program initdb");
    assert!(
        output.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let settings: Vec<String> = options
        .settings
        .iter()
        .map(|(name, value)| format!("{name} = '{value}'"))
        .collect();
    append(
        &data.join("postgresql.conf"),
        &format!("\n{}\n", settings.join("\n")),
    );
    let from_loopback = match options.authentication {
        Authentication::Trust => "host all all 127.0.0.1/32 trust",
        Authentication::Password => "hostssl all all 127.0.0.1/32 scram-sha-256",
        Authentication::Certificate => "hostssl all all 127.0.0.1/32 cert map=vrx",
    };
    let rules = format!("local all all trust\nlocal replication all trust\n{from_loopback}\n");
    std::fs::write(data.join("pg_hba.conf"), rules).expect("pg_hba.conf");
    append(
        &data.join("pg_ident.conf"),
        &format!("\nvrx \"/^{CODE} (vrx_[a-z]+)$\" \\1\n"),
    );
}

/// Writes behind what stands in a file.
pub(super) fn append(path: &Path, text: &str) {
    std::fs::OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Writes a file that only its owner may read; `then` may give it away before it takes its place.
pub(super) fn write_secret(path: &Path, text: &str, then: impl Fn(&Path)) {
    // A file that is replaced keeps its old mode and owner, so the new one is made beside it.
    let beside = path.with_extension("new");
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
    then(&beside);
    std::fs::rename(&beside, path).expect("a new name");
}

/// A port that nobody listens on at this moment.
pub(super) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    loop {
        // Each test program begins elsewhere.
        let own = std::process::id().wrapping_mul(131) % u32::from(span);
        let own = u16::try_from(own).unwrap_or_default();
        let port = PORTS.start + (own + NEXT.fetch_add(1, Ordering::Relaxed) % span) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
