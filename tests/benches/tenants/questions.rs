//! A question as another municipality asks it, and what is counted of its answer.

use hdrhistogram::Histogram;
use vrx_domain::{
    Caller, Clock, Consent, ConsentMethod, Date, Evidence, IdentityConfirmation, IdentityDocument,
    LegalBasis, Member, MemberWitnesses, MunicipalityCode, Purpose, Reference, RequestId, Role,
    SpiffeId, UnixMillis,
};
use vrx_provision_log::Deadline;
use vrx_services::exchange::{ExchangeAnswer, ExchangeQuery, provide};
use vrx_testkit::TestTenant;

use super::residents::number;
use super::{PATIENCE, REQUESTER};

/// Asks about a resident; the answer is there, durably recorded.
pub(super) async fn ask(tenant: &TestTenant, nth: u64) {
    let services = &tenant.services;
    let requester: MunicipalityCode = REQUESTER.parse().expect("a code");
    let query = ExchangeQuery {
        request_id: RequestId::random(&*tenant.random),
        asked: tenant.tenant().code,
        number: number(nth),
        evidence: evidence(&*tenant.clock),
        known_log_size: 0,
    };
    let member = services
        .node
        .members
        .get(requester)
        .expect("the member")
        .clone();
    let deadline = Deadline::after(PATIENCE);
    let recorded = provide(
        services,
        &caller(requester, Role::Exchange),
        &member,
        query,
        deadline,
    )
    .await;
    let (answer, _, _) = recorded
        .unwrap_or_else(|error| panic!("no answer: {error}"))
        .into_parts();
    assert!(
        matches!(answer, ExchangeAnswer::Found(_)),
        "everybody asked for is there"
    );
}

/// Microseconds up to a minute, three digits kept.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds of a histogram")
}

pub(super) fn member(code: MunicipalityCode) -> Member {
    Member {
        code,
        name: code.name().to_owned(),
        address: "127.0.0.1:1".to_owned(),
        server_name: "localhost".to_owned(),
        pins: vec![[1; 32]],
        log_vkey: String::new(),
        witnesses: MemberWitnesses::default(),
        legal_bases: vec![LegalBasis::parse("NBA-19-16").expect("a legal basis")],
        allow_hard_to_obtain: false,
    }
}

pub(super) fn caller(code: MunicipalityCode, role: Role) -> Caller {
    let name = (role == Role::Staff).then_some("clerk");
    let id = SpiffeId::new("vrx.test", code, role, name).expect("an identity");
    Caller {
        id,
        fingerprint: [2; 32],
        spki: [1; 32],
    }
}

fn evidence(clock: &dyn Clock) -> Evidence {
    let reference = |text: &str| Reference::parse(text).expect("a reference");
    let checked = UnixMillis(clock.now().0 - 60_000);
    Evidence {
        purpose: Purpose::MoveIn,
        legal_basis: LegalBasis::parse("NBA-19-16").expect("a legal basis"),
        consent: Consent {
            reference: reference("consent-1"),
            obtained_on: Date::from_ymd(2021, 10, 1).expect("a date"),
            method: ConsentMethod::Written,
        },
        identity: IdentityConfirmation {
            resident_register_checked_at: checked,
            document: IdentityDocument::NumberCard,
            document_checked_at: checked,
        },
        operator_ref: reference("sato"),
        event_reference: reference("movein-7"),
        event_date: Date::from_ymd(2021, 10, 2).expect("a date"),
        conceal_requester: false,
    }
}
