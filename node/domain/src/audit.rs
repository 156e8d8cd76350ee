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
#[path = "audit_tests.rs"]
mod tests;
