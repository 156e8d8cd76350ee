//! What every call has once it is let in: who calls, on which node, until when.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::service::Routes;
use vrx_domain::{Caller, Members};
use vrx_services::Deadline;
use vrx_services::{NodeServices, ServiceError, TenantServices, Tenants};

use crate::limits::{InFlight, Limits};
use crate::peer::Peer;
use crate::traffic::Traffic;

/// What all connections of a node share.
pub(crate) struct Node {
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) shared: Arc<NodeServices>,
    pub(crate) limits: Limits,
    pub(crate) in_flight: InFlight,
    /// Connections, counted in the same way.
    pub(crate) connections: InFlight,
    /// Registry, audit and health, on tonic's generated servers.
    pub(crate) routes: Routes,
    pub(crate) traffic: Arc<Traffic>,
}

impl Node {
    pub(crate) fn members(&self) -> &Members {
        &self.shared.members
    }
}

/// One connection: its peer never changes.
pub(crate) struct Connection {
    pub(crate) node: Arc<Node>,
    pub(crate) peer: Peer,
    /// The caller's places, all its connections together.
    pub(crate) places: Option<Arc<Semaphore>>,
}

impl Connection {
    pub(crate) fn new(node: Arc<Node>, peer: Peer) -> Self {
        let places = peer.caller().ok().map(|caller| node.in_flight.of(caller));
        Connection { node, peer, places }
    }
}

/// Who calls and until when, for the generated servers. Set by the dispatcher alone, after its checks.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) peer: Peer,
    pub(crate) deadline: Option<Deadline>,
}

impl Granted {
    /// The caller of a generated server's request. Without the dispatcher's mark there is none.
    pub(crate) fn of<T>(
        request: &tonic::Request<T>,
    ) -> Result<(Caller, Option<Deadline>), ServiceError> {
        let granted = request
            .extensions()
            .get::<Granted>()
            .ok_or(ServiceError::PermissionDenied)?;
        let caller = granted
            .peer
            .caller()
            .map_err(|_| ServiceError::PermissionDenied)?;
        Ok((caller.clone(), granted.deadline))
    }
}

/// Notes a refusal in the tenant's log and hands the error on.
pub(crate) async fn noted(
    tenant: Option<&Arc<TenantServices>>,
    caller: &Caller,
    error: ServiceError,
) -> ServiceError {
    if let Some(tenant) = tenant {
        tenant.refusals.note(caller, &error).await;
    }
    error
}
