//! What outlives the test program for a moment: a shell that ends the server and removes its folder.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Reads until the test program closes its end, which the system does for it when it is killed.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$1/data"; then
    kill -QUIT "$pid"
    n=0
    while [ -d "/proc/$pid" ] && [ "$n" -lt 100 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    kill -KILL "$pid" 2>/dev/null
fi
rm -rf -- "$1"
"#;

/// Ends with the test program, in whatever way that ends; then the server ends and its folder vanishes.
pub(super) struct Guardian {
    shell: Child,
}

impl Guardian {
    /// Watches over a server's folder.
    pub(super) fn of(folder: &Path) -> Self {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(folder)
            // A folder below a file system that goes away must not be held.
            .current_dir("/")
            // Ctrl-C at the terminal is for the tests; the guardian acts after them.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { shell }
    }

    /// Lets it do its work and waits for it.
    pub(super) fn relieve(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().expect("the guardian's end");
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.relieve();
    }
}
