//! Which word a reply is. *Nothing* is said, never inferred: whatever is neither complete nor said is *failed*.

use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;
use vrx_proto::{OUTCOME_NOTHING, TRAILER_OUTCOME, TRAILER_RECEIPT, TRAILER_REQUEST_ID, v1};
use vrx_services::exchange::AnswerBytes;
use vrx_services::{PeerError, PeerOutcome};
use zeroize::{Zeroize, Zeroizing};

use crate::wire::answer::parse_receipt;

const BROKEN: PeerError = PeerError::Failed("broken-reply");

/// Reads the reply to its end, trailers included.
pub(super) async fn read(
    mut stream: Streaming<v1::QueryRecordsResponse>,
) -> Result<PeerOutcome, PeerError> {
    let message = stream
        .message()
        .await
        .map_err(|status| refused(&status))?
        .ok_or(BROKEN)?;
    if stream
        .message()
        .await
        .map_err(|status| refused(&status))?
        .is_some()
    {
        return Err(BROKEN);
    }
    let trailers = stream
        .trailers()
        .await
        .map_err(|status| refused(&status))?
        .unwrap_or_default();
    outcome(message, &trailers)
}

/// What a status other than OK means.
pub(super) fn refused(status: &Status) -> PeerError {
    let code = match status.code() {
        Code::InvalidArgument => "invalid-argument",
        Code::NotFound => "not-found",
        Code::PermissionDenied => "permission-denied",
        Code::Unauthenticated => "unauthenticated",
        Code::ResourceExhausted => "resource-exhausted",
        Code::FailedPrecondition => "failed-precondition",
        Code::Unimplemented => "unimplemented",
        Code::Unavailable => return PeerError::Failed("unavailable"),
        Code::DeadlineExceeded | Code::Cancelled => return PeerError::Failed("deadline"),
        Code::Internal => return PeerError::Failed("internal"),
        _ => return PeerError::Failed("unknown-status"),
    };
    let field = status
        .get_details_bad_request()
        .and_then(|details| details.field_violations.into_iter().next())
        .and_then(|violation| {
            FIELDS
                .iter()
                .copied()
                .find(|field| *field == violation.field)
        });
    PeerError::Refused { code, field }
}

/// The fields that a provider may blame. A name that isn't here is the peer's text and goes nowhere.
const FIELDS: [&str; 20] = [
    "request",
    "request_id",
    "municipality_code",
    "individual_number",
    "purpose",
    "legal_basis",
    "consent",
    "consent.reference",
    "consent.obtained_on",
    "consent.method",
    "identity",
    "identity.resident_register_checked_at",
    "identity.document",
    "identity.document_checked_at",
    "operator_ref",
    "event_reference",
    "event_date",
    "known_log_size",
    "log_origin",
    "page_token",
];

fn outcome(
    message: v1::QueryRecordsResponse,
    trailers: &MetadataMap,
) -> Result<PeerOutcome, PeerError> {
    let is_empty =
        message.answer.is_empty() && message.openings.is_none() && message.receipt.is_none();
    let says_nothing = trailers
        .get(TRAILER_OUTCOME)
        .is_some_and(|said| said == OUTCOME_NOTHING);
    match (is_empty, says_nothing) {
        (true, true) => nothing(trailers),
        (false, false) => found(message),
        _ => Err(BROKEN),
    }
}

fn found(message: v1::QueryRecordsResponse) -> Result<PeerOutcome, PeerError> {
    let answer = AnswerBytes::new(Zeroizing::new(message.answer));
    let openings = message.openings.ok_or(BROKEN)?;
    let (k_subject, k_actor, k_content) = (
        key(openings.k_subject),
        key(openings.k_actor),
        key(openings.k_content),
    );
    let receipt = message.receipt.ok_or(BROKEN)?;
    let receipt = parse_receipt(
        receipt.log_index,
        &receipt.leaf,
        receipt.checkpoint,
        &receipt.inclusion_proof,
        &receipt.consistency_proof,
    );
    Ok(PeerOutcome::Found {
        answer,
        k_subject: k_subject?,
        k_actor: k_actor?,
        k_content: k_content?,
        receipt: receipt.ok_or(BROKEN)?,
    })
}

fn nothing(trailers: &MetadataMap) -> Result<PeerOutcome, PeerError> {
    let request_id = trailers
        .get(TRAILER_REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .ok_or(BROKEN)?;
    let proof = trailers
        .get_bin(TRAILER_RECEIPT)
        .and_then(|bytes| bytes.to_bytes().ok())
        .ok_or(BROKEN)?;
    let proof = v1::Nothing::decode(proof).map_err(|_| BROKEN)?;
    let (k_actor, k_content) = (key(proof.k_actor), key(proof.k_content));
    let receipt = parse_receipt(
        proof.log_index,
        &proof.leaf,
        proof.checkpoint,
        &proof.inclusion_proof,
        &proof.consistency_proof,
    );
    Ok(PeerOutcome::Nothing {
        request_id: request_id.to_owned(),
        k_actor: k_actor?,
        k_content: k_content?,
        receipt: receipt.ok_or(BROKEN)?,
    })
}

fn key(mut bytes: Vec<u8>) -> Result<Zeroizing<[u8; 32]>, PeerError> {
    let key = <[u8; 32]>::try_from(bytes.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| BROKEN);
    bytes.zeroize();
    key
}

#[cfg(test)]
mod tests {
    use tonic::metadata::BinaryMetadataValue;

    use super::*;

    fn receipt() -> v1::Receipt {
        v1::Receipt {
            leaf: vec![1; 134],
            ..Default::default()
        }
    }

    fn full() -> v1::QueryRecordsResponse {
        v1::QueryRecordsResponse {
            answer: vec![1],
            openings: Some(v1::Openings {
                k_subject: vec![1; 32],
                k_actor: vec![2; 32],
                k_content: vec![3; 32],
            }),
            receipt: Some(receipt()),
        }
    }

    fn said() -> MetadataMap {
        let proof = v1::Nothing {
            leaf: vec![1; 134],
            k_actor: vec![2; 32],
            k_content: vec![3; 32],
            ..Default::default()
        };
        let mut trailers = MetadataMap::new();
        trailers.insert(TRAILER_OUTCOME, OUTCOME_NOTHING.parse().unwrap());
        trailers.insert(
            TRAILER_REQUEST_ID,
            "0f8fad5b-d9cb-469f-a165-70867728950e".parse().unwrap(),
        );
        trailers.insert_bin(
            TRAILER_RECEIPT,
            BinaryMetadataValue::from_bytes(&proof.encode_to_vec()),
        );
        trailers
    }

    #[test]
    fn an_empty_message_is_nothing_only_when_the_trailers_say_so() {
        let empty = v1::QueryRecordsResponse::default;
        assert!(matches!(
            outcome(empty(), &said()),
            Ok(PeerOutcome::Nothing { .. })
        ));
        assert_eq!(outcome(empty(), &MetadataMap::new()).err(), Some(BROKEN));
        for name in [TRAILER_OUTCOME, TRAILER_REQUEST_ID] {
            let mut trailers = said();
            trailers.remove(name);
            assert_eq!(outcome(empty(), &trailers).err(), Some(BROKEN), "{name}");
        }
        let mut trailers = said();
        trailers.remove_bin(TRAILER_RECEIPT);
        assert_eq!(outcome(empty(), &trailers).err(), Some(BROKEN));
    }

    type Change = fn(&mut v1::QueryRecordsResponse);

    #[test]
    #[expect(
        clippy::semicolon_if_nothing_returned,
        reason = "one assignment a case reads better without"
    )]
    fn a_full_message_is_found_only_when_it_is_complete() {
        assert!(matches!(
            outcome(full(), &MetadataMap::new()),
            Ok(PeerOutcome::Found { .. })
        ));
        assert_eq!(outcome(full(), &said()).err(), Some(BROKEN));
        let cases: &[Change] = &[
            |m| m.openings = None,
            |m| m.receipt = None,
            |m| m.openings.as_mut().unwrap().k_subject.truncate(31),
            |m| m.receipt.as_mut().unwrap().leaf.truncate(133),
            |m| {
                m.receipt
                    .as_mut()
                    .unwrap()
                    .inclusion_proof
                    .push(vec![0; 31])
            },
        ];
        for (at, change) in cases.iter().enumerate() {
            let mut message = full();
            change(&mut message);
            assert_eq!(
                outcome(message, &MetadataMap::new()).err(),
                Some(BROKEN),
                "case {at}"
            );
        }
    }

    #[test]
    fn an_outage_is_failed_and_a_refusal_names_only_fields_we_know() {
        assert!(matches!(
            refused(&Status::unavailable("")),
            PeerError::Failed(_)
        ));
        let details = |field: &str| {
            let details = tonic_types::ErrorDetails::with_bad_request_violation(field, "x");
            refused(&Status::with_error_details(
                Code::InvalidArgument,
                "x",
                details,
            ))
        };
        let code = "invalid-argument";
        assert_eq!(
            details("consent.method"),
            PeerError::Refused {
                code,
                field: Some("consent.method")
            }
        );
        assert_eq!(
            details("123456789018"),
            PeerError::Refused { code, field: None }
        );
    }
}
