//! The moment by which a caller wants an answer. Every wait in this house has one.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// The moment after which nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed")]
pub struct Passed;

impl Deadline {
    /// So long from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// At this moment.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The moment.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// How long from now; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether nobody waits any more.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// Waits for `work`, and no longer than this.
    pub async fn wait<T>(self, work: impl Future<Output = T>) -> Result<T, Passed> {
        tokio::time::timeout_at(self.0, work)
            .await
            .map_err(|_| Passed)
    }
}
