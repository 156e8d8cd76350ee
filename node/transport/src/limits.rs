//! How much of the node one caller may take.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vrx_domain::Caller;
use vrx_services::ServiceError;

use crate::peer::Peer;
use crate::tls::accept::AcceptLimits;

/// Bounds of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest that an exchange or audit call may take, however long its caller would wait.
    pub deadline: Duration,
    /// The same for an inquiry, which waits for another node in turn.
    pub inquiry_deadline: Duration,
    /// Calls of one caller (one SPIFFE id) at the same time.
    pub in_flight_per_caller: u32,
    /// Connections of one caller at the same time: a part of `accept.connections`, so that nobody takes them all.
    pub connections_per_caller: u32,
    /// Connections and handshakes.
    pub accept: AcceptLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            deadline: Duration::from_secs(10),
            inquiry_deadline: Duration::from_secs(30),
            in_flight_per_caller: 512,
            connections_per_caller: 1024,
            accept: AcceptLimits::default(),
        }
    }
}

/// The places of each caller that is connected now. Only verified identities enter it, so it stays small.
pub(crate) struct InFlight {
    each: usize,
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl InFlight {
    pub(crate) fn new(each: u32) -> Self {
        InFlight {
            each: usize::try_from(each)
                .unwrap_or(Semaphore::MAX_PERMITS)
                .min(Semaphore::MAX_PERMITS),
            callers: Mutex::new(HashMap::new()),
        }
    }

    /// The places of this caller, shared by all its connections.
    pub(crate) fn of(&self, caller: &Caller) -> Arc<Semaphore> {
        self.named(caller.id.to_string())
    }

    /// The places of a peer; all those whose identity isn't understood share one set.
    pub(crate) fn of_peer(&self, peer: &Peer) -> Arc<Semaphore> {
        peer.caller()
            .map_or_else(|_| self.named(String::new()), |caller| self.of(caller))
    }

    fn named(&self, key: String) -> Arc<Semaphore> {
        let mut callers = self.callers.lock();
        if let Some(places) = callers.get(&key).and_then(Weak::upgrade) {
            return places;
        }
        callers.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.each));
        callers.insert(key, Arc::downgrade(&places));
        places
    }
}

/// One place, or the refusal.
pub(crate) fn take(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ServiceError> {
    places
        .clone()
        .try_acquire_owned()
        .map_err(|_| ServiceError::ResourceExhausted {
            retry: Duration::from_secs(1),
        })
}

#[cfg(test)]
mod tests {
    use vrx_domain::SpiffeId;

    use super::*;

    fn caller(code: &str) -> Caller {
        let uri = format!("spiffe://vrx.example/municipality/{code}/exchange");
        Caller {
            id: SpiffeId::parse(&uri).unwrap(),
            fingerprint: [0; 32],
            spki: [0; 32],
        }
    }

    #[test]
    fn one_callers_places_are_shared_by_its_connections_and_nobody_elses() {
        let in_flight = InFlight::new(1);
        let (first, second) = (
            in_flight.of(&caller("142051")),
            in_flight.of(&caller("142051")),
        );
        let place = take(&first).unwrap();
        assert!(matches!(
            take(&second),
            Err(ServiceError::ResourceExhausted { .. })
        ));
        assert!(take(&in_flight.of(&caller("141003"))).is_ok());
        drop(place);
        assert!(take(&second).is_ok());
    }

    #[test]
    fn callers_that_left_are_forgotten() {
        let in_flight = InFlight::new(1);
        drop(in_flight.of(&caller("142051")));
        drop(in_flight.of(&caller("141003")));
        assert_eq!(in_flight.callers.lock().len(), 1);
    }
}
