//! The request of an exchange: parsed on the provider's side, built on the requester's.

use vrx_domain::{Evidence, MunicipalityCode, Purpose};
use vrx_proto::v1::QueryRecordsRequest;
use vrx_services::exchange::ExchangeQuery;
use zeroize::Zeroize;

use super::evidence::{consent_message, identity_message, parse_consent, parse_identity};
use super::field::{
    Parsed, choice, date, date_message, individual_number, legal_basis, municipality, reference,
    request_id,
};

/// The municipality that is asked; read first, because it decides whether the caller may ask at all.
pub(crate) fn asked(request: &QueryRecordsRequest) -> Parsed<MunicipalityCode> {
    municipality("municipality_code", &request.municipality_code)
}

/// The whole request. The text that the number was read from is wiped, whether the request is accepted or not.
pub(crate) fn parse(
    asked: MunicipalityCode,
    mut request: QueryRecordsRequest,
) -> Parsed<ExchangeQuery> {
    let number = individual_number("individual_number", &request.individual_number);
    request.individual_number.zeroize();
    Ok(ExchangeQuery {
        request_id: request_id("request_id", &request.request_id)?,
        asked,
        number: number?,
        evidence: Evidence {
            purpose: choice("purpose", request.purpose, Purpose::from_code)?,
            legal_basis: legal_basis("legal_basis", &request.legal_basis)?,
            consent: parse_consent(request.consent.as_ref())?,
            identity: parse_identity(request.identity.as_ref())?,
            operator_ref: reference("operator_ref", &request.operator_ref)?,
            event_reference: reference("event_reference", &request.event_reference)?,
            event_date: date("event_date", request.event_date.as_ref())?,
            conceal_requester: request.conceal_requester,
        },
        known_log_size: request.known_log_size,
    })
}

/// The message of a query. It holds the number as text: whoever sends it wipes it.
pub(crate) fn message(query: &ExchangeQuery) -> QueryRecordsRequest {
    let evidence = &query.evidence;
    QueryRecordsRequest {
        request_id: query.request_id.to_string(),
        municipality_code: query.asked.to_string(),
        individual_number: query
            .number
            .digits()
            .iter()
            .copied()
            .map(char::from)
            .collect(),
        purpose: i32::from(evidence.purpose.code()),
        legal_basis: evidence.legal_basis.as_str().to_owned(),
        consent: Some(consent_message(&evidence.consent)),
        identity: Some(identity_message(&evidence.identity)),
        operator_ref: evidence.operator_ref.as_str().to_owned(),
        event_reference: evidence.event_reference.as_str().to_owned(),
        event_date: Some(date_message(evidence.event_date)),
        known_log_size: query.known_log_size,
        conceal_requester: evidence.conceal_requester,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use prost_types::Timestamp;
    use vrx_proto::v1;
    use vrx_services::ServiceError;

    use super::*;

    pub(crate) fn valid() -> QueryRecordsRequest {
        QueryRecordsRequest {
            request_id: "0f8fad5b-d9cb-469f-a165-70867728950e".into(),
            municipality_code: "142051".into(),
            individual_number: "123456789018".into(),
            purpose: 1,
            legal_basis: "NBA-19-16".into(),
            consent: Some(v1::Consent {
                reference: "C-1".into(),
                obtained_on: Some(v1::Date {
                    year: 2026,
                    month: 4,
                    day: 1,
                }),
                method: 1,
            }),
            identity: Some(v1::IdentityConfirmation {
                resident_register_checked_at: Some(Timestamp {
                    seconds: 1_775_000_000,
                    nanos: 0,
                }),
                document: 1,
                document_checked_at: Some(Timestamp {
                    seconds: 1_775_000_000,
                    nanos: 0,
                }),
            }),
            operator_ref: "tanaka".into(),
            event_reference: "T-1".into(),
            event_date: Some(v1::Date {
                year: 2026,
                month: 4,
                day: 1,
            }),
            known_log_size: 0,
            conceal_requester: false,
        }
    }

    fn refused(change: impl FnOnce(&mut QueryRecordsRequest)) -> Option<&'static str> {
        let mut request = valid();
        change(&mut request);
        let parsed = asked(&request).and_then(|asked| parse(asked, request));
        match parsed {
            Err(ServiceError::InvalidArgument { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        }
    }

    type Change = fn(&mut QueryRecordsRequest);

    #[test]
    #[expect(
        clippy::semicolon_if_nothing_returned,
        reason = "one assignment a case reads better without"
    )]
    fn each_field_that_breaks_its_format_is_named() {
        let cases: &[(&str, Change)] = &[
            ("request_id", |r| r.request_id.clear()),
            ("request_id", |r| {
                r.request_id = "0f8fad5bd9cb469fa16570867728950e".into()
            }),
            ("request_id", |r| {
                r.request_id = "00000000-0000-0000-0000-000000000000".into()
            }),
            ("municipality_code", |r| {
                r.municipality_code = "142052".into()
            }),
            ("municipality_code", |r| {
                r.municipality_code = "140007".into()
            }),
            ("municipality_code", |r| r.municipality_code.clear()),
            ("individual_number", |r| {
                r.individual_number = "123456789012".into()
            }),
            ("individual_number", |r| {
                r.individual_number = "000000000000".into()
            }),
            ("individual_number", |r| {
                r.individual_number = "12345678901８".into()
            }),
            ("individual_number", |r| r.individual_number.clear()),
            ("purpose", |r| r.purpose = 0),
            ("purpose", |r| r.purpose = 2),
            ("purpose", |r| r.purpose = 257),
            ("purpose", |r| r.purpose = -1),
            ("legal_basis", |r| r.legal_basis.clear()),
            ("consent", |r| r.consent = None),
            ("consent.reference", |r| {
                r.consent.as_mut().unwrap().reference = "123456789018".into()
            }),
            ("consent.reference", |r| {
                r.consent.as_mut().unwrap().reference = "山田".into()
            }),
            ("consent.obtained_on", |r| {
                r.consent.as_mut().unwrap().obtained_on = None
            }),
            ("consent.method", |r| r.consent.as_mut().unwrap().method = 0),
            ("consent.method", |r| r.consent.as_mut().unwrap().method = 5),
            ("identity", |r| r.identity = None),
            ("identity.resident_register_checked_at", |r| {
                r.identity.as_mut().unwrap().resident_register_checked_at = None;
            }),
            ("identity.document", |r| {
                r.identity.as_mut().unwrap().document = 0
            }),
            ("identity.document_checked_at", |r| {
                r.identity.as_mut().unwrap().document_checked_at = Some(Timestamp {
                    seconds: 0,
                    nanos: -5,
                });
            }),
            ("operator_ref", |r| r.operator_ref = "a".repeat(65)),
            ("operator_ref", |r| r.operator_ref.clear()),
            ("event_reference", |r| r.event_reference = "T 1".into()),
            ("event_date", |r| r.event_date = None),
            ("event_date", |r| {
                r.event_date = Some(v1::Date {
                    year: 2026,
                    month: 2,
                    day: 30,
                })
            }),
        ];
        for (at, (field, change)) in cases.iter().enumerate() {
            assert_eq!(refused(change), Some(*field), "case {at}");
        }
        assert_eq!(refused(|_| ()), None);
    }

    #[test]
    fn a_query_comes_back_from_its_message() {
        let query = parse("142051".parse().unwrap(), valid()).unwrap();
        assert!(message(&query) == valid());
    }
}
