//! One typed error becomes one gRPC status: code, a safe sentence, and google.rpc details. No value of a request has a
//! way into it.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use vrx_services::ServiceError;

/// The one sentence for every refusal of a caller: "not a tenant here" and "not for you" sound the same.
const NOT_PERMITTED: &str = "this caller may not do this here";

/// How every message of an INTERNAL begins.
pub(crate) const INCIDENT: &str = "internal error, incident";

/// The status of an error.
pub(crate) fn status(error: &ServiceError) -> Status {
    match error {
        ServiceError::InvalidArgument { field, why } => Status::with_error_details(
            Code::InvalidArgument,
            format!("{field}: {why}"),
            ErrorDetails::with_bad_request_violation(*field, *why),
        ),
        ServiceError::PermissionDenied => Status::permission_denied(NOT_PERMITTED),
        ServiceError::NotFound => Status::not_found("not found"),
        ServiceError::FailedPrecondition(why) => Status::failed_precondition(*why),
        ServiceError::Damaged { .. } => Status::failed_precondition(error.to_string()),
        ServiceError::ResourceExhausted { retry } => with_retry(
            Code::ResourceExhausted,
            "too many requests of this caller",
            *retry,
        ),
        ServiceError::Unavailable { retry } => with_retry(
            Code::Unavailable,
            "nothing was done and nothing left; try again",
            *retry,
        ),
        ServiceError::DeadlineExceeded => {
            Status::deadline_exceeded("the deadline passed; nothing left")
        }
        ServiceError::Internal { incident } => Status::internal(format!("{INCIDENT} {incident}")),
    }
}

/// The status of a caller whose identity isn't understood.
pub(crate) fn unauthenticated() -> Status {
    Status::unauthenticated("the certificate doesn't carry exactly one identity of this federation")
}

fn with_retry(code: Code, message: &str, retry: Duration) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(retry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_field_is_named_in_a_bad_request() {
        let status = status(&ServiceError::InvalidArgument {
            field: "consent.method",
            why: "is unspecified",
        });
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "consent.method");
    }

    #[test]
    fn what_can_be_repeated_says_when() {
        for error in [
            ServiceError::Unavailable {
                retry: Duration::from_secs(2),
            },
            ServiceError::ResourceExhausted {
                retry: Duration::from_secs(2),
            },
        ] {
            let retry = status(&error).get_details_retry_info().unwrap();
            assert_eq!(retry.retry_delay, Some(Duration::from_secs(2)));
        }
    }
}
