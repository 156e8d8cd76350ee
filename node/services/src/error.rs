//! What a use case answers when it doesn't answer.
//!
//! One enum for all verbs, one variant a row of the outcome table in the wire contract. No variant has room for a value that
//! a caller sent: a field is named, its content is never repeated.

use std::time::Duration;

use thiserror::Error;
use vrx_domain::Random;

/// Why a use case gave no answer. `transport` turns each variant into one gRPC status.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// A field is malformed, missing or not lawful. Nothing was looked up.
    #[error("field {field}: {why}")]
    InvalidArgument {
        /// The field's name on the wire, dotted (`consent.method`).
        field: &'static str,
        /// What is wrong with it, in a sentence that fits every value.
        why: &'static str,
    },
    /// This caller may not do this here. The text never tells which of the reasons it was.
    #[error("not permitted")]
    PermissionDenied,
    /// The thing named by the caller isn't in this tenant (never used for residents: those are *nothing*).
    #[error("not found")]
    NotFound,
    /// The thing is there and is in a state in which this can't be done.
    #[error("{0}")]
    FailedPrecondition(&'static str),
    /// An entry of the own log isn't what was signed: for the tenant's officers alone, and never a member's answer.
    #[error("the {} of entry {index} {}; run vrx log verify", .part.name(), .part.fault())]
    Damaged {
        /// Which of the two stored parts.
        part: DamagedPart,
        /// The entry's place.
        index: u64,
    },
    /// Too many calls.
    #[error("too many requests")]
    ResourceExhausted {
        /// When it's worth trying again.
        retry: Duration,
    },
    /// Nothing was done and nothing left; certain.
    #[error("temporarily unavailable")]
    Unavailable {
        /// When it's worth trying again.
        retry: Duration,
    },
    /// The caller's time ran out before the entry was durable.
    #[error("deadline exceeded")]
    DeadlineExceeded,
    /// A bug, or a store that contradicts itself. The detail is in this node's own log under the incident id.
    #[error("internal error, incident {incident}")]
    Internal {
        /// A random id that stands in this node's log beside the detail.
        incident: String,
    },
}

/// What is stored of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedPart {
    /// What it says.
    Opening,
    /// What was signed.
    Leaf,
}

impl DamagedPart {
    fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Leaf => "leaf",
        }
    }

    fn fault(self) -> &'static str {
        match self {
            Self::Opening => "isn't the one its leaf commits to",
            Self::Leaf => "isn't the one that was signed",
        }
    }
}

impl ServiceError {
    /// How long a caller is told to wait when a store or the log is briefly not there.
    pub const RETRY: Duration = Duration::from_secs(2);

    /// Nothing happened; try again soon.
    pub fn unavailable() -> Self {
        Self::Unavailable { retry: Self::RETRY }
    }

    /// Logs `what` (a fixed text, so that no value can slip in) under a fresh incident id and returns the error that names it.
    pub fn internal(random: &dyn Random, what: &'static str) -> Self {
        let incident = incident_id(random);
        tracing::error!(incident = %incident, what, "internal error");
        Self::Internal { incident }
    }

    /// A short code for entries and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. } => "invalid-argument",
            Self::PermissionDenied => "permission-denied",
            Self::NotFound => "not-found",
            Self::FailedPrecondition(_) => "failed-precondition",
            Self::Damaged { .. } => "damaged",
            Self::ResourceExhausted { .. } => "resource-exhausted",
            Self::Unavailable { .. } => "unavailable",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::Internal { .. } => "internal",
        }
    }

    /// The field a caller is to correct, if the error names one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidArgument { field, .. } => Some(field),
            _ => None,
        }
    }
}

/// A fresh id that links what a caller is told with what this node wrote down.
pub(crate) fn incident_id(random: &dyn Random) -> String {
    let mut bytes = [0u8; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}
