//! One entry as a row of a person's history.

use std::collections::BTreeMap;

use vrx_domain::{
    Consent, Date, DisclosureReason, Dose, DoseId, EntryKind, MunicipalityCode, Purpose, UnixMillis,
};
use vrx_tlog::Receipt;

use super::{
    chain::{Chain, Mark},
    opened::Opened,
};

/// For whom a history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryView {
    /// To be given to the person: without what isn't disclosed, and without a trace of it.
    Disclosure,
    /// For the officer: everything, with the marks.
    Internal,
}

/// The other municipality of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counterparty {
    /// There is none.
    None,
    /// This one.
    Named(MunicipalityCode),
    /// There is one that isn't named (他市区町村).
    Concealed,
}

/// A dose that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryDose {
    /// Its id.
    pub id: DoseId,
    /// What the register says of it today; `None` when it no longer has it.
    pub known: Option<KnownDose>,
}

/// What the register says of a dose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDose {
    /// 接種回
    pub number: u32,
    /// 接種日
    pub date: Date,
    /// The product's name, or else the manufacturer.
    pub product: String,
}

/// What an erasure took, or was to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowErasure {
    /// Its id; empty of a plan.
    pub id: String,
    /// Persons.
    pub persons: u64,
    /// Their doses.
    pub doses: u64,
    /// Openings of entries.
    pub openings: u64,
}

impl RowErasure {
    fn of(said: &Opened<'_>) -> Option<Self> {
        let counts = said.action().starts_with("erasure") && !said.content("persons").is_empty();
        counts.then(|| Self {
            id: said.content("erasure").to_owned(),
            persons: said.number("persons"),
            doses: said.number("doses"),
            openings: said.number("openings"),
        })
    }
}

/// One entry, in the words of its view. Never the individual number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its place in the log.
    pub index: u64,
    /// When.
    pub time: UnixMillis,
    /// What it records.
    pub kind: u8,
    /// Which of the person's entries it is; 0 in the view for disclosure, and of an import, which is about many.
    pub subject_seq: u64,
    /// What was done.
    pub action: String,
    /// `sent` or `outcome` of an inquiry.
    pub phase: String,
    /// The other municipality.
    pub counterparty: Counterparty,
    /// Who did it.
    pub actor: String,
    /// What came of it.
    pub outcome: String,
    /// The true cause; in the internal view only.
    pub cause: String,
    /// 利用目的
    pub purpose: Option<Purpose>,
    /// 法令上の根拠
    pub legal_basis: String,
    /// 本人同意; in the view for disclosure not where the counterparty is concealed, as the two after it
    pub consent: Option<Consent>,
    /// The notification that gave rise to the question.
    pub event_reference: String,
    /// Its date.
    pub event_date: Option<Date>,
    /// The doses that left.
    pub doses: Vec<HistoryDose>,
    /// How many left, came or were adopted.
    pub dose_count: u64,
    /// How many were held back.
    pub held_back: u64,
    /// Why it isn't disclosed; in the internal view only.
    pub withheld: Option<DisclosureReason>,
    /// The mark that it makes; in the internal view only.
    pub mark: Option<Mark>,
    /// The entry that was looked at by its place in the log.
    pub looked_at: Option<u64>,
    /// What an erasure took, or was to take.
    pub erasure: Option<RowErasure>,
    /// The proof that it stands in the log.
    pub receipt: Option<Receipt>,
}

/// The person's doses by id, as rows show them.
pub(crate) type KnownDoses = BTreeMap<DoseId, KnownDose>;

/// What rows show of the register's doses.
pub(crate) fn known_doses(doses: &[Dose]) -> KnownDoses {
    let known = |dose: &Dose| KnownDose {
        number: dose.number.get(),
        date: dose.date,
        product: if dose.product_name.is_empty() {
            dose.manufacturer.clone()
        } else {
            dose.product_name.clone()
        },
    };
    doses.iter().map(|dose| (dose.id, known(dose))).collect()
}

impl HistoryRow {
    /// The row of an entry; `None` when the view doesn't show it at all.
    pub(crate) fn of(
        said: &Opened<'_>,
        chain: &Chain,
        doses: &KnownDoses,
        view: HistoryView,
        receipt: Option<Receipt>,
    ) -> Option<Self> {
        let internal = view == HistoryView::Internal;
        let (withheld, mark) = (chain.withheld(said.index), Mark::of(said));
        if !internal && chain.hides(said.index) {
            return None;
        }
        let counterparty = match said.counterparty() {
            None => Counterparty::None,
            Some(_) if chain.conceals(said) => Counterparty::Concealed,
            Some(code) => Counterparty::Named(code),
        };
        // To the person they would tell of which matter a concealed entry is, and so who asked.
        let unlinked = !internal && counterparty == Counterparty::Concealed;
        let doses = doses_of(said, doses);
        let count = said.number("doses") + said.number("adopted");
        Some(Self {
            index: said.index,
            time: UnixMillis(said.time),
            kind: said.kind,
            subject_seq: if internal && said.opening.subject_tag.is_some() {
                said.opening.subject_seq
            } else {
                0
            },
            action: said.action().to_owned(),
            phase: said.content("phase").to_owned(),
            counterparty,
            actor: actor(said, counterparty, view),
            outcome: said.outcome().to_owned(),
            cause: if internal { said.cause() } else { "" }.to_owned(),
            purpose: said
                .said("purpose")
                .parse()
                .ok()
                .and_then(Purpose::from_code),
            legal_basis: said.said("legal_basis").to_owned(),
            consent: said.consent().filter(|_| !unlinked),
            event_reference: if unlinked {
                String::new()
            } else {
                said.said("event_reference").to_owned()
            },
            event_date: said.date("event_date").filter(|_| !unlinked),
            dose_count: count.max(u64::try_from(doses.len()).unwrap_or(u64::MAX)),
            doses,
            held_back: said.number("held_back"),
            withheld,
            mark,
            looked_at: said.looked_at(),
            erasure: RowErasure::of(said),
            receipt,
        })
    }
}

/// Who did it: the person to be given the history learns the role alone, the officer the name.
fn actor(said: &Opened<'_>, counterparty: Counterparty, view: HistoryView) -> String {
    let internal = view == HistoryView::Internal;
    match (said.is(EntryKind::Exchange), internal) {
        (true, true) if counterparty != Counterparty::Concealed => {
            said.said("operator_ref").to_owned()
        }
        (true, _) => String::new(),
        (false, true) => said.own_actor(),
        (false, false) => said
            .caller_id()
            .map_or_else(String::new, |id| id.role.as_str().to_owned()),
    }
}

fn doses_of(said: &Opened<'_>, known: &KnownDoses) -> Vec<HistoryDose> {
    if !said.is(EntryKind::Exchange) {
        return Vec::new();
    }
    let ids = said.opening.content.get("dose_ids").unwrap_or_default();
    let (ids, _) = ids.as_chunks::<16>();
    ids.iter()
        .map(|bytes| {
            let id = DoseId::from_bytes(*bytes);
            HistoryDose {
                id,
                known: known.get(&id).cloned(),
            }
        })
        .collect()
}
