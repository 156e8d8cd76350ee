//! Every call's way in. The order is fixed: identity, role, then the service's own checks (membership, tenant, fields).

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Code;
use tower::Service as _;
use vrx_domain::{Caller, Member};
use vrx_services::Deadline;
use vrx_services::{ServiceError, TenantServices};

use super::call::{Connection, Granted, noted};
use super::exchange;
use super::unary::{ReplyBody, timeout};
use crate::access::{self, Service};
use crate::limits;
use crate::status::{INCIDENT, status, unauthenticated};

/// Answers one call. A panic below ends in INTERNAL with an incident id, and stops nobody else.
pub(crate) async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let answered = AssertUnwindSafe(dispatch(&connection, request))
        .catch_unwind()
        .await;
    Ok(answered.unwrap_or_else(|_| {
        let random = &*connection.node.shared.random;
        refusal(&ServiceError::internal(random, "a call panicked"))
    }))
}

/// The response of an error.
pub(crate) fn refusal(error: &ServiceError) -> Response<ReplyBody> {
    status(error).into_http()
}

async fn dispatch(connection: &Connection, request: Request<Incoming>) -> Response<ReplyBody> {
    if let Some(response) = not_grpc(&request) {
        return response;
    }
    let Ok(caller) = connection.peer.caller() else {
        return unauthenticated().into_http();
    };
    match serve(connection, caller, request).await {
        Ok(response) => response,
        Err(error) => refusal(&noted(of_refusal(connection, caller), caller, error).await),
    }
}

fn of_refusal<'a>(connection: &'a Connection, caller: &Caller) -> Option<&'a Arc<TenantServices>> {
    let addressed = connection.peer.addressed();
    access::tenant_of_refusal(&connection.node.tenants, caller, addressed)
}

/// Errors returned here name no tenant yet; the services note their own.
async fn serve(
    connection: &Connection,
    caller: &Caller,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, ServiceError> {
    let node = &connection.node;
    let (service, method) =
        Service::of_path(request.uri().path()).ok_or(ServiceError::PermissionDenied)?;
    let waits = timeout(request.headers());

    if service == Service::Exchange {
        let admitted = admit(connection, caller, method);
        if admitted.is_err() {
            node.traffic.exchange(&admitted);
        }
        let Some((member, _place)) = admitted? else {
            return Ok(tonic::Status::unimplemented("no such method in version 1").into_http());
        };
        let deadline = waits.map_or(node.limits.deadline, |waits| {
            waits.min(node.limits.deadline)
        });
        return Ok(exchange::query_records(
            node,
            caller,
            member,
            request.into_body(),
            Deadline::after(deadline),
            of_refusal(connection, caller),
        )
        .await);
    }

    access::check_role(service, caller)?;
    if matches!(service, Service::Receipt | Service::Reconciliation) {
        // Before anything of the request is read: who isn't a member hears nothing of what it got wrong.
        access::check_member(node.members(), caller)?;
    }
    let place = if service == Service::Health {
        None
    } else {
        Some(place(connection)?)
    };
    let granted = Granted {
        peer: connection.peer.clone(),
        deadline: waits.map(Deadline::after),
    };
    let mut request = request.map(tonic::body::Body::new);
    request.extensions_mut().insert(granted);
    let response = node
        .routes
        .clone()
        .call(request)
        .await
        .unwrap_or_else(|never| match never {});
    if let Some(error) = tonics_own(&response) {
        return Err(error);
    }
    Ok(response.map(|body| ReplyBody::Tonic {
        body,
        _place: place,
    }))
}

/// A caller that may take part in the exchange, and its place; `None` when it asks for a method that isn't there.
fn admit<'a>(
    connection: &'a Connection,
    caller: &Caller,
    method: &str,
) -> Result<Option<(&'a Member, OwnedSemaphorePermit)>, ServiceError> {
    access::check_role(Service::Exchange, caller)?;
    if method != "QueryRecords" {
        return Ok(None);
    }
    let member = access::check_member(connection.node.members(), caller)?;
    Ok(Some((member, place(connection)?)))
}

/// tonic answers what it can't read with statuses of its own. Here an unreadable message is bad input, not a bug.
fn tonics_own<B>(response: &Response<B>) -> Option<ServiceError> {
    let status = response.extensions().get::<tonic::Status>()?;
    let is_ours = status.message().starts_with(INCIDENT);
    let why = match status.code() {
        Code::Internal if !is_ours => "can't be decoded",
        Code::OutOfRange => "is longer than a request can be",
        _ => return None,
    };
    Some(ServiceError::InvalidArgument {
        field: "request",
        why,
    })
}

fn place(connection: &Connection) -> Result<OwnedSemaphorePermit, ServiceError> {
    // Without an identity there are no places, and no call gets here.
    limits::take(
        connection
            .places
            .as_ref()
            .ok_or(ServiceError::PermissionDenied)?,
    )
}

/// `application/grpc`, alone or with the encoding of protobuf. Other framings that begin alike (`application/grpc-web`,
/// whose caller would look for the trailers elsewhere) aren't spoken here.
fn is_grpc(content_type: &[u8]) -> bool {
    let (kind, _parameters) = content_type.split_at(
        content_type
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(content_type.len()),
    );
    matches!(
        kind.trim_ascii(),
        b"application/grpc" | b"application/grpc+proto"
    )
}

/// What isn't gRPC is answered as HTTP.
fn not_grpc(request: &Request<Incoming>) -> Option<Response<ReplyBody>> {
    let content = request
        .headers()
        .get(header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    let code = if request.method() != Method::POST {
        StatusCode::METHOD_NOT_ALLOWED
    } else if !content.is_some_and(is_grpc) {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    } else {
        return None;
    };
    let mut response = Response::new(ReplyBody::default());
    *response.status_mut() = code;
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::is_grpc;

    #[test]
    fn only_protobuf_in_grpcs_own_frames_is_spoken() {
        for spoken in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; charset=utf-8",
        ] {
            assert!(is_grpc(spoken.as_bytes()), "{spoken}");
        }
        for other in [
            "",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc+json",
            "application/grpcx",
            "text/plain",
        ] {
            assert!(!is_grpc(other.as_bytes()), "{other}");
        }
    }
}
