//! A second server that follows the first by streaming replication, and its promotion.

use std::process::Command;

use super::guardian::Guardian;
use super::server::PostgresServer;
use super::setup::{append, new_folder};

impl PostgresServer {
    /// Makes a standby of this server, with a certificate of the same CA, and waits until it follows. Commits don't wait
    /// for it until [`PostgresServer::wait_for_standby_at_commit`] says so.
    ///
    /// # Panics
    /// If the copy can't be made.
    #[must_use]
    pub fn standby(&self, name: &str) -> PostgresServer {
        let options = self.options.clone();
        let folder = new_folder(&self.programs, &options);
        let guardian = Guardian::of(&folder);
        let copied = Command::new("cp")
            .arg("-a")
            .arg(self.folder.join("certs"))
            .arg(&folder)
            .status()
            .expect("the program cp");
        assert!(copied.success(), "the CA isn't copied");
        let data = folder.join("data");
        let output = self
            .programs
            .as_owner("pg_basebackup")
            .args(["--wal-method=stream", "--checkpoint=fast", "--no-sync"])
            .args(["--write-recovery-conf", "--create-slot", "--slot", name])
            .arg("-d")
            .arg(format!(
                "host={} port={} user=postgres application_name={name}",
                self.folder.display(),
                self.port
            ))
            .arg("-D")
            .arg(&data)
            .output()
            .expect("the program pg_basebackup");
        assert!(
            output.status.success(),
            "pg_basebackup: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Promoted, it waits for nobody, whatever its primary waits for.
        append(
            &data.join("postgresql.auto.conf"),
            "synchronous_standby_names = ''\n",
        );
        let standby = Self::launch(self.programs.clone(), folder, options, guardian);
        self.wait_for(
            "postgres",
            &format!(
                "EXISTS (SELECT 1 FROM pg_stat_replication \
                 WHERE application_name = '{name}' AND state = 'streaming')"
            ),
        );
        standby
    }

    /// From now on no commit is confirmed before this standby has it on disk.
    pub fn wait_for_standby_at_commit(&self, name: &str) {
        self.set("synchronous_standby_names", &format!("FIRST 1 ({name})"));
        self.wait_for(
            "postgres",
            &format!(
                "EXISTS (SELECT 1 FROM pg_stat_replication \
                 WHERE application_name = '{name}' AND sync_state = 'sync')"
            ),
        );
    }

    /// Makes a standby a primary: it ends recovery and takes writes.
    pub fn promote(&self) {
        assert_eq!(
            self.sql("postgres", "SELECT pg_promote(true, 100)"),
            "t",
            "the standby isn't promoted:\n{}",
            self.log()
        );
    }
}
