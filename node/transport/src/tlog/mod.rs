//! HTTPS beside gRPC, on the same listener and under the same certificates: a tenant's log as C2SP tlog-tiles
//! (`/municipality/<code>/log/…`), and the tenant as a witness of others' logs, C2SP tlog-witness (`/municipality/<code>/witness/…`).
//!
//! Members' nodes and witnesses read checkpoints and hash tiles; entry bundles go to the tenant's officer alone. Who may not, and
//! who asks for a tenant that isn't here, hear the same.

mod access;
mod reply;
mod route;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use vrx_domain::Caller;
use vrx_services::witnesses::{self, NotCosigned};
use vrx_services::{Deadline, ServiceError, TenantServices, audit, tlog};
use vrx_tlog::{Resource, WitnessRefusal};

use self::reply::Kept;
use self::route::{Route, What};
use crate::access::tenant_of_refusal;
use crate::grpc::call::{Connection, noted};
use crate::grpc::unary::ReplyBody;
use crate::limits;

pub(crate) use self::reply::error;
pub(crate) use self::route::is_here;

/// No request of a log comes near this many bytes: 63 lines of a proof and a checkpoint with many signatures.
const LONGEST_REQUEST: usize = 64 * 1024;
/// So much of a request that is refused is read all the same, and for so long.
const MOST_PASSED_OVER: usize = 8 * 1024 * 1024;
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Answers one request below `/municipality/`.
pub(crate) async fn answer(
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let (request, mut body) = request.into_parts();
    let response = answer_in_full(connection, &request, &mut body).await;
    pass_over(&mut body).await;
    if request.method == Method::HEAD {
        reply::head_alone(response)
    } else {
        response
    }
}

/// Reads what is left of a request, to a bound: a client that still sends when its stream ends wouldn't see the answer.
async fn pass_over(body: &mut Incoming) {
    let mut left = MOST_PASSED_OVER;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    if Deadline::after(PASSED_OVER_WITHIN)
        .wait(rest)
        .await
        .is_err()
    {
        tracing::debug!("a request that nobody reads didn't end in time");
    }
}

async fn answer_in_full(
    connection: &Connection,
    request: &Parts,
    body: &mut Incoming,
) -> Response<ReplyBody> {
    let node = &connection.node;
    let Ok(caller) = connection.peer.caller() else {
        return reply::error(&ServiceError::PermissionDenied);
    };
    let route = Route::parse(request.uri.path());
    let code = route.as_ref().map(|route| route.code);
    let tenant = code.and_then(|code| node.tenants.get(code));
    let admitted = access::admit(node.members(), caller, route.as_ref());
    let (Ok(()), Some(tenant)) = (&admitted, tenant) else {
        let addressed = connection.peer.addressed();
        let notes = tenant.or_else(|| tenant_of_refusal(&node.tenants, caller, addressed));
        return reply::error(&noted(notes, caller, ServiceError::PermissionDenied).await);
    };
    let Some(what) = route.and_then(|route| route.what) else {
        return reply::error(&ServiceError::NotFound);
    };
    if request.method != what.method() {
        return reply::method_not_allowed(&what.method());
    }
    let place = match &connection.places {
        Some(places) => limits::take(places),
        // Without an identity there are no places, and no call gets here.
        None => Err(ServiceError::PermissionDenied),
    };
    let _place = match place {
        Ok(place) => place,
        Err(error) => return reply::error(&noted(Some(tenant), caller, error).await),
    };
    let deadline = Deadline::after(node.limits.deadline);
    respond(tenant, caller, what, body, deadline).await
}

async fn respond(
    tenant: &Arc<TenantServices>,
    caller: &Caller,
    what: What,
    body: &mut Incoming,
    deadline: Deadline,
) -> Response<ReplyBody> {
    match what {
        What::Log(Resource::Checkpoint) => reply::text(tlog::checkpoint(tenant)),
        What::Witnessed => found(tlog::witnessed_checkpoint(tenant), reply::text),
        What::Log(Resource::Tile { id, width }) => {
            let tile = tlog::tile(tenant, id, width, deadline).await;
            found(tile, |tile| reply::bytes(tile, Kept::ForGood))
        }
        What::Log(Resource::Entries { index, width }) => {
            let bundle = audit::entry_bundle(tenant, caller, index, width, deadline).await;
            match bundle {
                Ok(recorded) => reply::bytes(recorded.into_parts().0, Kept::Nowhere),
                Err(ServiceError::NotFound) => reply::error(&ServiceError::NotFound),
                Err(error) => reply::error(&noted(Some(tenant), caller, error).await),
            }
        }
        What::Cosigned(origin) => {
            let note = witnesses::cosigned_checkpoint(tenant, &origin, deadline).await;
            found(note, reply::text)
        }
        What::AddCheckpoint => match add_checkpoint(tenant, caller, body, deadline).await {
            Ok(line) => reply::text(line),
            Err(NotCosigned::Refused(refusal)) => reply::refusal(&refusal),
            Err(NotCosigned::Service(error)) => reply::error(&error),
        },
    }
}

fn found<T>(
    found: Result<T, ServiceError>,
    form: impl FnOnce(T) -> Response<ReplyBody>,
) -> Response<ReplyBody> {
    match found {
        Ok(found) => form(found),
        Err(error) => reply::error(&error),
    }
}

async fn add_checkpoint(
    tenant: &TenantServices,
    caller: &Caller,
    body: &mut Incoming,
    deadline: Deadline,
) -> Result<String, NotCosigned> {
    let body = Limited::new(body, LONGEST_REQUEST).collect();
    let body = deadline
        .wait(body)
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)?;
    let body = body.map_err(|error| {
        WitnessRefusal::Malformed(if error.is::<LengthLimitError>() {
            "it is longer than a request can be"
        } else {
            "it broke off"
        })
    })?;
    let bytes: Bytes = body.to_bytes();
    let text =
        std::str::from_utf8(&bytes).map_err(|_| WitnessRefusal::Malformed("it isn't UTF-8"))?;
    witnesses::add_checkpoint(tenant, caller, text, deadline).await
}
