//! PostgreSQL's programs, and the system's user that may run them.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's packages put a version's programs.
const INSTALLED: &str = "/usr/lib/postgresql";
/// The oldest version that the node supports.
const OLDEST: u32 = 15;
/// What every failure to find a server says.
const REMEDY: &str = "run tests/setup.sh, which installs PostgreSQL from the system's packages";

/// The programs of the newest version that is installed.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    /// User and group ids of the system's user `postgres`, where tests run as root: PostgreSQL refuses root.
    user: Option<(u32, u32)>,
}

impl Programs {
    /// Finds them.
    ///
    /// # Panics
    /// If there are none: the test that needs them can't be skipped.
    pub(super) fn find() -> Self {
        let newest = std::fs::read_dir(INSTALLED)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter(|version| program(*version, "postgres").is_file())
            .max();
        let Some(version) = newest.filter(|version| *version >= OLDEST) else {
            panic!("no PostgreSQL {OLDEST} or later below {INSTALLED}: {REMEDY}");
        };
        let user = rustix::process::geteuid()
            .is_root()
            .then(|| (id("-u"), id("-g")));
        Self {
            folder: program(version, ""),
            user,
        }
    }

    /// One of them, to be run by the user that owns the server.
    pub(super) fn as_owner(&self, name: &str) -> Command {
        let mut command = clean(Command::new(self.folder.join(name)));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// One of them, to be run by the user that runs the tests, for no longer than that many seconds.
    pub(super) fn bounded(&self, name: &str, seconds: u32) -> Command {
        let mut command = clean(Command::new("timeout"));
        command.arg(seconds.to_string()).arg(self.folder.join(name));
        command
    }

    /// Gives a file or folder to the user that owns the server.
    pub(super) fn give(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            std::os::unix::fs::chown(path, Some(user), Some(group))
                .unwrap_or_else(|error| panic!("{} can't change hands: {error}", path.display()));
        }
    }
}

/// What stands in the caller's environment must not steer a test.
fn clean(mut command: Command) -> Command {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    command.current_dir("/");
    command
}

fn program(version: u32, name: &str) -> PathBuf {
    Path::new(INSTALLED)
        .join(version.to_string())
        .join("bin")
        .join(name)
}

fn id(flag: &str) -> u32 {
    let output = Command::new("id")
        .args([flag, "postgres"])
        .output()
        .expect("the program id");
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("the system has no user postgres: {REMEDY}"))
}
