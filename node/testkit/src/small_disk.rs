//! A disk that a test can fill.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::postgres::PostgresServer;

/// A small file system in memory. It goes when it is dropped: after the servers on it.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one of a size (`48m`). Only root may, in a container that lets it.
    #[must_use]
    pub fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .args([&format!("size={size},mode=755"), "tmpfs"])
            .arg(folder.path())
            .status()
            .expect("the program mount");
        assert!(
            mounted.success(),
            "this test mounts a small file system: run it as root, in a container that may mount"
        );
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Lets a server put its files there.
    pub fn give_to_the_owner_of(&self, server: &PostgresServer) {
        let owner = std::fs::metadata(server.data_folder()).expect("the server's folder");
        chown(self.path(), Some(owner.uid()), Some(owner.gid())).expect("another owner");
    }

    /// Leaves no more than so many bytes free; gives the file that takes the room.
    #[must_use]
    pub fn fill(&self, leave: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let mut ballast = File::create(&path).expect("a file");
        let chunk = vec![0; 65_536];
        let mut size = 0;
        while let Ok(count @ 1..) = ballast.write(&chunk) {
            size += count as u64;
        }
        ballast.set_len(size - leave).expect("a shorter file");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The servers on it have ended by now.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
