//! Responses of the read path and of the witness: statuses, types, and how long they may be kept.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use vrx_services::ServiceError;
use vrx_tlog::WitnessRefusal;
use vrx_tlog::witness::SIZE_CONTENT_TYPE;

use crate::grpc::unary::ReplyBody;

const TEXT: &str = "text/plain; charset=utf-8";

/// How long a reader may keep what it got. Only a reader for itself: somebody else may not be a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// A tile never changes.
    ForGood,
    /// Entries are read from the log each time, and each time is an entry.
    Nowhere,
}

/// A text that is another one soon.
pub(super) fn text(text: String) -> Response<ReplyBody> {
    response(StatusCode::OK, TEXT, "private, no-cache", text.into())
}

/// Bytes of a tile or a bundle.
pub(super) fn bytes(bytes: Vec<u8>, kept: Kept) -> Response<ReplyBody> {
    let keep = match kept {
        Kept::ForGood => "private, max-age=31536000, immutable",
        Kept::Nowhere => "no-store",
    };
    response(
        StatusCode::OK,
        "application/octet-stream",
        keep,
        bytes.into(),
    )
}

/// A refusal by the witness's specification. A conflict says the size that was cosigned last, and nothing else.
pub(super) fn refusal(refusal: &WitnessRefusal) -> Response<ReplyBody> {
    let status =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, text) = match refusal {
        WitnessRefusal::Conflict { size } => (SIZE_CONTENT_TYPE, format!("{size}\n")),
        other => (TEXT, format!("{other}\n")),
    };
    response(status, kind, "no-store", text.into())
}

/// An error: its status and a safe sentence.
pub(crate) fn error(error: &ServiceError) -> Response<ReplyBody> {
    let (status, retry) = match error {
        ServiceError::InvalidArgument { .. } => (StatusCode::BAD_REQUEST, None),
        ServiceError::PermissionDenied => (StatusCode::FORBIDDEN, None),
        ServiceError::NotFound => (StatusCode::NOT_FOUND, None),
        ServiceError::FailedPrecondition(_) | ServiceError::Damaged { .. } => {
            (StatusCode::CONFLICT, None)
        }
        ServiceError::ResourceExhausted { retry } => (StatusCode::TOO_MANY_REQUESTS, Some(*retry)),
        ServiceError::Unavailable { retry } => (StatusCode::SERVICE_UNAVAILABLE, Some(*retry)),
        ServiceError::DeadlineExceeded => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(ServiceError::RETRY))
        }
        ServiceError::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    let mut response = response(status, TEXT, "no-store", format!("{error}\n").into());
    if let Some(retry) = retry {
        let seconds = HeaderValue::from(retry.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// The path is there, for another method.
pub(super) fn method_not_allowed(allowed: &Method) -> Response<ReplyBody> {
    let text = "method not allowed\n".to_owned();
    let mut response = response(
        StatusCode::METHOD_NOT_ALLOWED,
        TEXT,
        "no-store",
        text.into(),
    );
    if let Ok(allowed) = HeaderValue::from_str(allowed.as_str()) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// What may be said to HEAD: whatever it is, without the body. Data after the head would be a broken stream to the client.
pub(super) fn head_alone(response: Response<ReplyBody>) -> Response<ReplyBody> {
    response.map(|_| ReplyBody::default())
}

fn response(
    status: StatusCode,
    kind: &'static str,
    keep: &'static str,
    body: Bytes,
) -> Response<ReplyBody> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(ReplyBody::Unary {
        data: Some(body),
        trailers: None,
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn statuses_are_those_of_the_specification() {
        for (refusal, status) in [
            (WitnessRefusal::Malformed("x"), 400),
            (WitnessRefusal::NotSigned, 403),
            (WitnessRefusal::UnknownLog, 404),
            (WitnessRefusal::Conflict { size: 7 }, 409),
        ] {
            assert_eq!(super::refusal(&refusal).status().as_u16(), status);
        }
        let conflict = super::refusal(&WitnessRefusal::Conflict { size: 7 });
        assert_eq!(conflict.headers()[header::CONTENT_TYPE], "text/x.tlog.size");
        assert_eq!(conflict.headers()[header::CONTENT_LENGTH], "2");
        let retry = Duration::from_millis(10);
        let busy = error(&ServiceError::Unavailable { retry });
        assert_eq!(busy.status().as_u16(), 503);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
    }
}
