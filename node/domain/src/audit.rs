//! What an entry of the provision log commits to: **the specification that a foreign verifier needs.**
//!
//! A leaf holds three commitments, each under its own random 32-byte key `k_f`:
//!
//! ```text
//! C_f = HMAC-SHA256(k_f, "vrx/1/" f 0x00  len(v1) v1  len(v2) v2 …)      f is "subject", "actor" or "content"
//! ```
//!
//! where v1, v2 … are the *values* of the table's fields in the table's order and `len` is a 16-bit big-endian byte count. Names are not committed,
//! positions are. Text is UTF-8 without an end mark; numbers are decimal without leading zeros or signs; dates `YYYY-MM-DD`; instants decimal
//! milliseconds since 1970-01-01T00:00:00Z; flags `0` or `1`; municipality codes six digits.
//!
//! # Exchange entries (kind 1)
//!
//! | table | fields, in order |
//! | --- | --- |
//! | actor | [`EXCHANGE_ACTOR`]: caller URI; SHA-256 of the caller's certificate (32 bytes); request id (36 characters, lower case); municipality code asked; purpose; legal basis; consent reference; consent date; consent method; time of the resident-register check; document; time of the document check; operator reference; event reference; event date; conceal-requester flag |
//! | subject | [`EXCHANGE_SUBJECT`]: individual number (12 ASCII digits); cause (`provided`, `no-doses`, `not-moved-out`, `protected`) |
//! | subject, number unknown | [`UNKNOWN_SUBJECT`]: 32 random bytes, kept nowhere, and neither is the key |
//! | content | [`EXCHANGE_CONTENT`]: outcome (`found`, `nothing`); SHA-256 of the answer's bytes (32 bytes; of the empty string for nothing); number of doses held back; ids of the doses given, 16 bytes each, one after the other in the order of the answer |
//!
//! Purpose, method and document are the numbers of the wire's enums.
//!
//! # Inquiry, desk, control, erasure and genesis entries (kinds 2 to 6)
//!
//! | table | fields, in order |
//! | --- | --- |
//! | actor | [`DESK_ACTOR`]: caller URI (the node's own for what it does by itself); SHA-256 of its certificate (32 bytes); action, e.g. `inquire`, `adopt`, `import-persons`, `import-doses`, `import-approve`, `log-list`, `log-show`, `log-prove`, `log-verify`, `log-story`, `history`, `mark-entry`, `days-summary`, `review-signed`, `erasure-plan`, `erasure-propose`, `erasure-approve`, `erasure-list`, `erasure`, `hold`, `hold-lift`, `list-receipts`, `recover-entry`, `recovery-answered` |
//! | subject, about a person | [`DESK_SUBJECT`]: individual number (12 ASCII digits); action |
//! | subject, a look at one entry about a person | [`LOOK_SUBJECT`]: index of the entry that was looked at; action (`log-show`, `log-story`) |
//! | subject, about another member | [`MEMBER_SUBJECT`]: municipality code (6 digits); action (`reconcile`) |
//! | subject, about none | [`UNKNOWN_SUBJECT`]: 32 random bytes |
//! | content | name and value in turn, as the use case documents them |
//!
//! The last field of a subject, the action, says which of the three tables it is: no action stands in two of them ([`subject_table`]).
//!
//! # Looks
//!
//! Whoever looks at an entry by its place in the log (`log-show`, `log-story`) doesn't know whom it is about, and can't commit to a number. So
//! the look commits to that place: it is about the person of the entry there, which is older than itself and may be a look in its turn. It
//! stands in the same person's list as that entry (the tag in its opening is that entry's), and its content says the place again, as
//! `index`. A look at an entry about nobody or about a member, or at one whose opening is erased, is about nobody.
//!
//! # The content of an erasure entry (kind 5)
//!
//! `erasure` (its id); `persons`, `doses`, `openings` (what it erased); `stayed`; `method`; `proposed_by`, `proposed_at`; `approved_by`,
//! `approved_at`; `live`; `final`; `certificate_sha256`, hex. Then which openings are blank, of the entries before `openings_below`:
//! `blanked_before` and `blanked` (how many before the run and after it), `blanked_before_sha256` and `blanked_sha256` (which, hex: a chain
//! over their places in ascending order, each link SHA-256 of the link before it, 32 zeros first, and the place as a u64, big-endian),
//! `blanked_again` (how many a restore had blanked since the record before this one). `blanked` is `blanked_before`, `openings` and
//! `blanked_again` together, and each record's *before* is what the one before it left. Records of earlier versions have none of these six.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::coded::coded_enum;
use crate::{
    Caller, Cause, DoseId, Evidence, IndividualNumber, MunicipalityCode, Outcome, Random,
    RequestId, UnixMillis,
};

coded_enum! {
    /// What sort of event an entry records; the second byte of a leaf.
    pub enum EntryKind {
        /// An answered call of the exchange (提供).
        Exchange = 1,
        /// An inquiry that left this node, or its outcome (照会).
        Inquiry = 2,
        /// Something staff or an officer did at a desk.
        Desk = 3,
        /// Something about the node itself: a gap, an alarm, refusals.
        Control = 4,
        /// 消去記録
        Erasure = 5,
        /// The first entry of a log.
        Genesis = 6,
    }
}

/// Names of an exchange entry's actor fields, in order.
pub const EXCHANGE_ACTOR: &[&str] = &[
    "caller",
    "caller_certificate_sha256",
    "request_id",
    "municipality_code",
    "purpose",
    "legal_basis",
    "consent.reference",
    "consent.obtained_on",
    "consent.method",
    "resident_register_checked_at",
    "document",
    "document_checked_at",
    "operator_ref",
    "event_reference",
    "event_date",
    "conceal_requester",
];
/// Names of an exchange entry's subject fields, in order.
pub const EXCHANGE_SUBJECT: &[&str] = &["individual_number", "cause"];
/// Names of an exchange entry's content fields, in order.
pub const EXCHANGE_CONTENT: &[&str] = &["outcome", "answer_sha256", "held_back", "dose_ids"];
/// Names of the actor fields of every other entry, in order.
pub const DESK_ACTOR: &[&str] = &["caller", "caller_certificate_sha256", "action"];
/// Names of the subject fields of every other entry about a person, in order.
pub const DESK_SUBJECT: &[&str] = &["individual_number", "action"];
/// Names of the subject fields of a control entry about another member, in order.
pub const MEMBER_SUBJECT: &[&str] = &["member", "action"];
/// Names of the subject fields of a look at one entry about a person, in order.
pub const LOOK_SUBJECT: &[&str] = &["entry", "action"];
/// The action of a look at one entry and what its opening says.
pub const LOG_SHOW: &str = "log-show";
/// The action of a look at one entry and what belongs to it.
pub const LOG_STORY: &str = "log-story";
/// The actions of looks.
pub const LOOK_ACTIONS: &[&str] = &[LOG_SHOW, LOG_STORY];
/// The action of entries about another member.
pub const MEMBER_ACTION: &str = "reconcile";
/// The only subject field where there is no person: 32 random bytes.
pub const UNKNOWN_SUBJECT: &[&str] = &["random"];

/// The table of a subject that isn't random: by the kind in the entry's leaf and, for all but exchange entries, the subject's action.
pub fn subject_table(kind: u8, action: &str) -> &'static [&'static str] {
    if kind == EntryKind::Exchange.code() {
        EXCHANGE_SUBJECT
    } else if action == MEMBER_ACTION {
        MEMBER_SUBJECT
    } else if LOOK_ACTIONS.contains(&action) {
        LOOK_SUBJECT
    } else {
        DESK_SUBJECT
    }
}

/// One committed field: its name in the table and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name, for people; not committed.
    pub name: &'static str,
    /// The committed bytes.
    pub value: Vec<u8>,
}

/// Committed fields that carry no personal data: an actor's or a content's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// Gives values read back from an opening the names of their table; `None` when there are more or fewer.
    pub fn named(names: &'static [&'static str], values: Vec<Vec<u8>>) -> Option<Self> {
        (names.len() == values.len()).then(|| {
            Self(
                names
                    .iter()
                    .zip(values)
                    .map(|(name, value)| Field { name, value })
                    .collect(),
            )
        })
    }

    /// The committed bytes, in order.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|field| field.value.as_slice())
    }

    /// The bytes of the first field with this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value.as_slice())
    }
}

/// Committed fields of a subject: most begin with the individual number, so they wipe themselves and have no `Debug`.
///
/// ```compile_fail,E0277
/// let number = vrx_domain::IndividualNumber::parse("123456789018").unwrap();
/// println!("{:?}", vrx_domain::audit::exchange_subject(&number, &vrx_domain::Cause::Provided));
/// ```
pub struct SecretFields(Vec<Secret>);

struct Secret {
    name: &'static str,
    value: Vec<u8>,
}

impl SecretFields {
    /// The committed bytes, in order.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|secret| secret.value.as_slice())
    }

    /// What an opening keeps: every field but the number (it stands sealed in the person's own row), the member's code or the place of the
    /// entry that was looked at. The verifier brings it.
    pub fn without_number(&self) -> Fields {
        let kept = self.0.iter().filter(|secret| {
            !["individual_number", "member", "entry", "random"].contains(&secret.name)
        });
        Fields(
            kept.map(|secret| Field {
                name: secret.name,
                value: secret.value.clone(),
            })
            .collect(),
        )
    }
}

impl Drop for SecretFields {
    fn drop(&mut self) {
        for secret in &mut self.0 {
            secret.value.zeroize();
        }
    }
}

impl ZeroizeOnDrop for SecretFields {}

/// The actor of an exchange entry: who asked, for whom, why, on what evidence.
pub fn exchange_actor(
    caller: &Caller,
    request: &RequestId,
    asked: MunicipalityCode,
    evidence: &Evidence,
) -> Fields {
    let instant = |at: UnixMillis| at.0.to_string();
    let code = |code: u8| code.to_string();
    let identity = &evidence.identity;
    let values: [Vec<u8>; 16] = [
        caller.id.to_string().into_bytes(),
        caller.fingerprint.to_vec(),
        request.to_string().into_bytes(),
        asked.to_string().into_bytes(),
        code(evidence.purpose.code()).into_bytes(),
        evidence.legal_basis.to_string().into_bytes(),
        evidence.consent.reference.to_string().into_bytes(),
        evidence.consent.obtained_on.to_string().into_bytes(),
        code(evidence.consent.method.code()).into_bytes(),
        instant(identity.resident_register_checked_at).into_bytes(),
        code(identity.document.code()).into_bytes(),
        instant(identity.document_checked_at).into_bytes(),
        evidence.operator_ref.to_string().into_bytes(),
        evidence.event_reference.to_string().into_bytes(),
        evidence.event_date.to_string().into_bytes(),
        code(u8::from(evidence.conceal_requester)).into_bytes(),
    ];
    table(EXCHANGE_ACTOR, values)
}

/// The subject of an exchange entry about a person who is here.
pub fn exchange_subject(number: &IndividualNumber, cause: &Cause) -> SecretFields {
    subject(EXCHANGE_SUBJECT, number, cause.as_str())
}

/// The subject of an entry about nobody: an unknown number, or no person at all. Its commitment's key is to be forgotten.
pub fn unknown_subject(random: &dyn Random) -> SecretFields {
    let mut value = vec![0; 32];
    random.fill(&mut value);
    SecretFields(vec![Secret {
        name: "random",
        value,
    }])
}

/// The content of an exchange entry: what the caller was told.
pub fn exchange_content(
    outcome: Outcome,
    answer_sha256: &[u8; 32],
    held_back: u32,
    doses: &[DoseId],
) -> Fields {
    let ids = doses
        .iter()
        .flat_map(|id| id.as_bytes().iter().copied())
        .collect();
    table(
        EXCHANGE_CONTENT,
        [
            outcome.as_str().as_bytes().to_vec(),
            answer_sha256.to_vec(),
            held_back.to_string().into_bytes(),
            ids,
        ],
    )
}

/// The actor of an inquiry, desk, control or erasure entry.
pub fn desk_actor(caller: &Caller, action: &str) -> Fields {
    table(
        DESK_ACTOR,
        [
            caller.id.to_string().into_bytes(),
            caller.fingerprint.to_vec(),
            action.as_bytes().to_vec(),
        ],
    )
}

/// The subject of an inquiry, desk or erasure entry about a person.
pub fn desk_subject(number: &IndividualNumber, action: &str) -> SecretFields {
    subject(DESK_SUBJECT, number, action)
}

/// The subject of a control entry about another member: its code, and the action. So its entries are linked like a person's.
pub fn member_subject(member: MunicipalityCode, action: &str) -> SecretFields {
    let values = [member.to_string().into_bytes(), action.as_bytes().to_vec()];
    secret(MEMBER_SUBJECT, values)
}

/// The subject of a look at the entry at `entry`, which is about a person; `action` is one of [`LOOK_ACTIONS`].
pub fn look_subject(entry: u64, action: &str) -> SecretFields {
    let values = [entry.to_string().into_bytes(), action.as_bytes().to_vec()];
    secret(LOOK_SUBJECT, values)
}

/// The content of an inquiry, desk, control or erasure entry: name and value in turn, both committed.
pub fn desk_content(pairs: &[(&str, &str)]) -> Fields {
    let pair = |(name, value): &(&str, &str)| {
        [
            Field {
                name: "name",
                value: name.as_bytes().to_vec(),
            },
            Field {
                name: "value",
                value: value.as_bytes().to_vec(),
            },
        ]
    };
    Fields(pairs.iter().flat_map(pair).collect())
}

fn table<const N: usize>(names: &'static [&'static str], values: [Vec<u8>; N]) -> Fields {
    Fields(
        names
            .iter()
            .zip(values)
            .map(|(name, value)| Field { name, value })
            .collect(),
    )
}

fn subject(names: &'static [&'static str], number: &IndividualNumber, word: &str) -> SecretFields {
    // Both vectors are made at their full length: growing would leave a copy of the number behind.
    let values = [number.digits().to_vec(), word.as_bytes().to_vec()];
    secret(names, values)
}

fn secret(names: &'static [&'static str], values: [Vec<u8>; 2]) -> SecretFields {
    SecretFields(
        names
            .iter()
            .zip(values)
            .map(|(name, value)| Secret { name, value })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Consent, ConsentMethod, IdentityConfirmation, IdentityDocument, Purpose, SpiffeId,
    };

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
}
