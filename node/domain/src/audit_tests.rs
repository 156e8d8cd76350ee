use super::*;
use crate::{Consent, ConsentMethod, IdentityConfirmation, IdentityDocument, Purpose, SpiffeId};

struct Ones;
impl Random for Ones {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(1);
    }
}

fn caller() -> Caller {
    Caller {
        id: SpiffeId::parse("spiffe://vrx.example/municipality/141003/exchange").unwrap(),
        fingerprint: [5; 32],
        spki: [6; 32],
    }
}

fn evidence() -> Evidence {
    Evidence {
        purpose: Purpose::MoveIn,
        legal_basis: "NBA-19-16".parse().unwrap(),
        consent: Consent {
            reference: "C-1".parse().unwrap(),
            obtained_on: "2021-04-30".parse().unwrap(),
            method: ConsentMethod::Kiosk,
        },
        identity: IdentityConfirmation {
            resident_register_checked_at: UnixMillis(1_619_794_800_120),
            document: IdentityDocument::NotificationCardAndPhotoId,
            document_checked_at: UnixMillis(1_619_794_900_000),
        },
        operator_ref: "staff-7".parse().unwrap(),
        event_reference: "T-99".parse().unwrap(),
        event_date: "2021-04-29".parse().unwrap(),
        conceal_requester: true,
    }
}

fn number() -> IndividualNumber {
    IndividualNumber::parse("123456789018").ok().unwrap()
}

#[test]
fn the_exchange_actor_is_the_specified_bytes_in_the_specified_order() {
    let request = RequestId::parse("6F8A1E0C-9B1D-4C8E-8F3A-0123456789AB").unwrap();
    let fields = exchange_actor(&caller(), &request, "142051".parse().unwrap(), &evidence());
    let expected: [&[u8]; 16] = [
        b"spiffe://vrx.example/municipality/141003/exchange",
        &[5; 32],
        b"6f8a1e0c-9b1d-4c8e-8f3a-0123456789ab",
        b"142051",
        b"1",
        b"NBA-19-16",
        b"C-1",
        b"2021-04-30",
        b"3",
        b"1619794800120",
        b"2",
        b"1619794900000",
        b"staff-7",
        b"T-99",
        b"2021-04-29",
        b"1",
    ];
    assert_eq!(fields.values().collect::<Vec<_>>(), expected);
    assert_eq!(fields.get("operator_ref"), Some(&b"staff-7"[..]));
}

#[test]
fn the_exchange_subject_is_number_and_cause_and_the_opening_keeps_the_cause_alone() {
    let fields = exchange_subject(&number(), &Cause::NoDoses);
    assert_eq!(
        fields.values().collect::<Vec<_>>(),
        [&b"123456789018"[..], b"no-doses"]
    );
    let kept = fields.without_number();
    assert_eq!(
        kept,
        Fields(vec![Field {
            name: "cause",
            value: b"no-doses".to_vec()
        }])
    );
}

#[test]
fn an_unknown_subject_is_32_random_bytes_of_which_nothing_is_kept() {
    let fields = unknown_subject(&Ones);
    assert_eq!(fields.values().collect::<Vec<_>>(), [&[1; 32][..]]);
    assert_eq!(fields.without_number(), Fields::default());
}

#[test]
fn the_exchange_content_lists_ids_in_the_order_of_the_answer() {
    let fields = exchange_content(
        Outcome::Found,
        &[8; 32],
        2,
        &[DoseId::from_bytes([2; 16]), DoseId::from_bytes([1; 16])],
    );
    let ids = [[2; 16], [1; 16]].concat();
    assert_eq!(
        fields.values().collect::<Vec<_>>(),
        [&b"found"[..], &[8; 32], b"2", &ids]
    );
    let nothing = exchange_content(Outcome::Nothing, &[0; 32], 0, &[]);
    assert_eq!(
        nothing.values().collect::<Vec<_>>(),
        [&b"nothing"[..], &[0; 32], b"0", b""]
    );
}

#[test]
fn desk_tables_commit_the_action_and_name_value_pairs() {
    let actor = desk_actor(&caller(), "import-persons");
    assert_eq!(actor.values().nth(2), Some(&b"import-persons"[..]));
    assert_eq!(
        desk_subject(&number(), "adopt")
            .values()
            .collect::<Vec<_>>(),
        [&b"123456789018"[..], b"adopt"]
    );
    let content = desk_content(&[("rows", "500"), ("refused", "2")]);
    assert_eq!(
        content.values().collect::<Vec<_>>(),
        [&b"rows"[..], b"500", b"refused", b"2"]
    );
}

#[test]
fn a_look_commits_to_the_place_of_the_entry_and_its_opening_keeps_the_action_alone() {
    let fields = look_subject(1_234, "log-show");
    assert_eq!(
        fields.values().collect::<Vec<_>>(),
        [&b"1234"[..], b"log-show"]
    );
    let kept = fields.without_number();
    assert_eq!(kept.values().collect::<Vec<_>>(), [&b"log-show"[..]]);
}

#[test]
fn the_action_alone_says_which_table_a_subject_is() {
    let desk = EntryKind::Desk.code();
    for (kind, action, table) in [
        (EntryKind::Exchange.code(), "provided", EXCHANGE_SUBJECT),
        (desk, "history", DESK_SUBJECT),
        (desk, "log-show", LOOK_SUBJECT),
        (desk, "log-story", LOOK_SUBJECT),
        (EntryKind::Control.code(), "reconcile", MEMBER_SUBJECT),
    ] {
        assert_eq!(subject_table(kind, action), table, "{action}");
    }
}

#[test]
fn values_of_an_opening_get_their_names_back_only_when_they_fit_the_table() {
    let fields = desk_actor(&caller(), "adopt");
    let values: Vec<Vec<u8>> = fields.values().map(<[u8]>::to_vec).collect();
    assert_eq!(Fields::named(DESK_ACTOR, values.clone()), Some(fields));
    assert_eq!(Fields::named(EXCHANGE_ACTOR, values), None);
}
