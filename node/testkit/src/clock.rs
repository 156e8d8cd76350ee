//! Time that a test decides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vrx_domain::{Clock, UnixMillis};

/// A clock that stands still until it is moved. It starts at 2021-11-01T09:00:00+09:00.
pub struct FakeClock {
    now: AtomicU64,
    monotonic: AtomicU64,
}

impl FakeClock {
    /// A clock at its starting time.
    pub fn new() -> Self {
        Self {
            now: AtomicU64::new(1_635_724_800_000),
            monotonic: AtomicU64::new(0),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(
            u64::try_from(by.as_millis()).unwrap_or(u64::MAX),
            Ordering::SeqCst,
        );
        self.monotonic.fetch_add(
            u64::try_from(by.as_nanos()).unwrap_or(u64::MAX),
            Ordering::SeqCst,
        );
    }

    /// Sets the wall clock, backwards too; the monotonic side goes on.
    pub fn set(&self, now: UnixMillis) {
        self.now.store(now.0, Ordering::SeqCst);
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.now.load(Ordering::SeqCst))
    }

    fn monotonic_nanos(&self) -> u64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}
