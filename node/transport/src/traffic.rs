//! What the server counts: connections, handshakes and answers by class. Never by caller, and never by what was found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vrx_services::ServiceError;

/// Counts since the node was started.
#[derive(Debug, Default)]
pub struct Traffic {
    connections: AtomicU64,
    open: AtomicU64,
    handshakes_failed: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What was counted, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficSeen {
    /// Connections that came through their handshake.
    pub connections: u64,
    /// Those of them that are open now.
    pub open: u64,
    /// Connections that didn't: no certificate or a wrong one, no TLS 1.3, no HTTP/2, too slow, or broken off.
    pub handshakes_failed: u64,
    /// Exchange calls that were answered, whatever the answer: *nothing* and *found* are one number.
    pub answered: u64,
    /// Exchange calls that were refused: not permitted, not understood, or too many of one caller.
    pub refused: u64,
    /// Exchange calls that failed here: unavailable, too late, or a bug.
    pub failed: u64,
}

impl Traffic {
    /// The counts now.
    pub fn seen(&self) -> TrafficSeen {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TrafficSeen {
            connections: read(&self.connections),
            open: read(&self.open),
            handshakes_failed: read(&self.handshakes_failed),
            answered: read(&self.answered),
            refused: read(&self.refused),
            failed: read(&self.failed),
        }
    }

    /// A connection came through its handshake; open until the guard is dropped.
    pub(crate) fn connected(self: &Arc<Self>) -> OpenConnection {
        add(&self.connections);
        add(&self.open);
        OpenConnection(Arc::clone(self))
    }

    pub(crate) fn handshake_failed(&self) {
        add(&self.handshakes_failed);
    }

    /// How an exchange call ended.
    pub(crate) fn exchange<T>(&self, outcome: &Result<T, ServiceError>) {
        add(match outcome {
            Ok(_) => &self.answered,
            Err(
                ServiceError::Unavailable { .. }
                | ServiceError::DeadlineExceeded
                | ServiceError::Internal { .. },
            ) => &self.failed,
            Err(_) => &self.refused,
        });
    }
}

/// A connection that is open.
pub(crate) struct OpenConnection(Arc<Traffic>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_callers_and_a_failure_is_ours() {
        let traffic = Traffic::default();
        traffic.exchange(&Ok(()));
        traffic.exchange::<()>(&Err(ServiceError::PermissionDenied));
        traffic.exchange::<()>(&Err(ServiceError::DeadlineExceeded));
        let seen = traffic.seen();
        assert_eq!((seen.answered, seen.refused, seen.failed), (1, 1, 1));
    }

    #[test]
    fn a_connection_is_open_until_it_ends() {
        let traffic = Arc::new(Traffic::default());
        let open = traffic.connected();
        assert_eq!((traffic.seen().connections, traffic.seen().open), (1, 1));
        drop(open);
        assert_eq!((traffic.seen().connections, traffic.seen().open), (1, 0));
    }
}
