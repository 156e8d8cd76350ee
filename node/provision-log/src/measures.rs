//! What an operator sees of a log: numbers, and nothing that an entry says.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a log has done since it was started, and what it has before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measures {
    /// Epoch of the log.
    pub epoch: u32,
    /// Batches of this process that stand.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// Entries that were turned away: no room, the database away, the storage broken.
    pub turned_away: u64,
    /// Entries of the exchange that wait for the writer.
    pub exchange_waiting: usize,
    /// Other entries that wait for it.
    pub other_waiting: usize,
    /// How many of each kind may wait; more are refused.
    pub queue: usize,
}

/// Counted by the writer.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    batches: AtomicU64,
    entries: AtomicU64,
    turned_away: AtomicU64,
}

impl Counts {
    pub(crate) fn batch(&self, entries: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn turned_away(&self, entries: u64) {
        self.turned_away.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn measures(
        &self,
        epoch: u32,
        queue: usize,
        exchange: usize,
        other: usize,
    ) -> Measures {
        Measures {
            epoch,
            batches: self.batches.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            turned_away: self.turned_away.load(Ordering::Relaxed),
            exchange_waiting: exchange,
            other_waiting: other,
            queue,
        }
    }
}
