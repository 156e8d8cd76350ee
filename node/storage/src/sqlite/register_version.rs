//! How long a reader may keep its read transaction: until the register changes, not until the log grows.
//!
//! Every commit makes SQLite's other connections drop their pages and their map of the file when they next begin to read,
//! and the log commits with every batch of answers; a lookup that began anew each time spent most of its time on page
//! faults. So a lookup thread keeps its transaction over the log's commits, and ends it when the register it reads has a
//! newer version: a correction shows in the first lookup after it was confirmed. An idle reader lets go by itself, and so
//! does every reader before the write-ahead log is emptied.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long the writer waits for readers to let go before the write-ahead log is emptied; else it tries again later.
const LET_GO: Duration = Duration::from_millis(10);

/// The version of the register's rows, and who reads them.
#[derive(Default)]
pub(super) struct RegisterVersion {
    version: AtomicU64,
    readers: RwLock<()>,
}

/// A reader's word that it has a transaction open on this version.
pub(super) struct Reading<'a> {
    version: u64,
    _open: RwLockReadGuard<'a, ()>,
}

impl RegisterVersion {
    /// To be called before the transaction begins: what it reads is at least this version.
    pub(super) fn read(&self) -> Reading<'_> {
        let open = self.readers.read();
        Reading {
            version: self.version.load(Ordering::SeqCst),
            _open: open,
        }
    }

    /// Whether a transaction may be kept for the next lookups.
    pub(super) fn is_current(&self, reading: &Reading<'_>) -> bool {
        reading.version == self.version.load(Ordering::SeqCst)
    }

    /// The register has changed, durably: from now on nobody answers from what was before.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Asks readers to let go and waits a moment until they have; while the guard lives nobody begins to read.
    pub(super) fn nobody_reads(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.changed();
        self.readers.try_write_for(LET_GO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_ends_what_was_read_before_it() {
        let register = RegisterVersion::default();
        let before = register.read();
        assert!(register.is_current(&before));
        register.changed();
        assert!(!register.is_current(&before));
        drop(before);
        assert!(register.is_current(&register.read()));
    }

    #[test]
    fn the_writer_gets_its_moment_only_when_readers_have_let_go() {
        let register = RegisterVersion::default();
        let reading = register.read();
        assert!(register.nobody_reads().is_none());
        assert!(!register.is_current(&reading), "and was asked to");
        drop(reading);
        assert!(register.nobody_reads().is_some());
    }
}
