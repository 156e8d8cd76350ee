//! An entry's fields by name, whatever table they stand in.

use vrx_domain::{
    Consent, ConsentMethod, Date, EntryKind, MunicipalityCode, Reference, Role, SpiffeId,
    audit::{LOOK_SUBJECT, MEMBER_SUBJECT, subject_table},
};
use vrx_provision_log::{Opening, StoredEntry};
use vrx_storage::SubjectTag;

/// An entry whose opening is there.
#[derive(Clone, Copy)]
pub(crate) struct Opened<'a> {
    pub(crate) index: u64,
    pub(crate) time: u64,
    pub(crate) kind: u8,
    pub(crate) opening: &'a Opening,
}

impl<'a> Opened<'a> {
    /// `None` when the opening was erased.
    pub(crate) fn of(entry: &'a StoredEntry) -> Option<Self> {
        Some(Self {
            index: entry.leaf.index,
            time: entry.leaf.time,
            kind: entry.leaf.kind,
            opening: entry.opening.as_ref()?,
        })
    }

    pub(crate) fn is(&self, kind: EntryKind) -> bool {
        self.kind == kind.code()
    }

    /// What was done; of an exchange the name of the call.
    pub(crate) fn action(&self) -> &'a str {
        if self.is(EntryKind::Exchange) {
            "query-records"
        } else {
            text(self.opening.actor.get("action"))
        }
    }

    /// The caller's URI as it was committed.
    pub(crate) fn caller(&self) -> &'a str {
        text(self.opening.actor.get("caller"))
    }

    /// The caller's identity.
    pub(crate) fn caller_id(&self) -> Option<SpiffeId> {
        SpiffeId::parse(self.caller()).ok()
    }

    /// `staff/tanaka` of a caller of the own municipality.
    pub(crate) fn own_actor(&self) -> String {
        self.caller_id().map_or_else(String::new, |id| {
            let role = id.role.as_str();
            match id.name {
                Some(name) => format!("{role}/{name}"),
                None => role.to_owned(),
            }
        })
    }

    /// Whether a privacy officer did it.
    pub(crate) fn is_by_officer(&self) -> bool {
        self.caller_id().is_some_and(|id| id.role == Role::Officer)
    }

    /// The tag of the person whom it is about; none when it is about nobody known, or about another member.
    pub(crate) fn person(&self) -> Option<SubjectTag> {
        let is_member = self.subject_table() == MEMBER_SUBJECT;
        self.opening.subject_tag.filter(|_| !is_member)
    }

    /// The place of the entry that it was a look at, where that makes it an entry about a person.
    pub(crate) fn looked_at(&self) -> Option<u64> {
        let is_look = self.subject_table() == LOOK_SUBJECT && self.opening.subject_tag.is_some();
        let place = self.content("index").parse().ok();
        place.filter(|place| is_look && *place < self.index)
    }

    /// The subject's action, as it was committed; empty of an exchange and where it is about nobody.
    pub(crate) fn subject_action(&self) -> &'a str {
        text(self.opening.subject.get("action"))
    }

    fn subject_table(&self) -> &'static [&'static str] {
        subject_table(self.kind, self.subject_action())
    }

    /// What came of it, as the caller was told.
    pub(crate) fn outcome(&self) -> &'a str {
        self.content("outcome")
    }

    /// The true cause of an exchange's outcome, empty of other kinds.
    pub(crate) fn cause(&self) -> &'a str {
        if !self.is(EntryKind::Exchange) {
            return "";
        }
        match text(self.opening.subject.get("cause")) {
            "" => vrx_domain::Cause::Unknown.as_str(),
            cause => cause,
        }
    }

    /// A field of an exchange's content by its name, or of any other's by the name that stands before it; empty when there is none.
    pub(crate) fn content(&self, name: &str) -> &'a str {
        if let Some(value) = self.opening.content.get(name)
            && self.is(EntryKind::Exchange)
        {
            return text(Some(value));
        }
        text(
            self.pairs()
                .find(|(key, _)| *key == name.as_bytes())
                .map(|(_, value)| value),
        )
    }

    /// What was said about the question: an exchange's actor fields, an inquiry's content.
    pub(crate) fn said(&self, name: &str) -> &'a str {
        if self.is(EntryKind::Exchange) {
            text(self.opening.actor.get(name))
        } else {
            self.content(name)
        }
    }

    /// The other municipality, if there is one.
    pub(crate) fn counterparty(&self) -> Option<MunicipalityCode> {
        if self.is(EntryKind::Exchange) {
            return self.caller_id().map(|id| id.municipality);
        }
        self.content("municipality_code").parse().ok()
    }

    /// The requester isn't to be named to residents, as the question itself says.
    pub(crate) fn conceals_requester(&self) -> bool {
        self.said("conceal_requester") == "1"
    }

    /// The consent that was named.
    pub(crate) fn consent(&self) -> Option<Consent> {
        Some(Consent {
            reference: Reference::parse(self.said("consent.reference")).ok()?,
            obtained_on: self.said("consent.obtained_on").parse().ok()?,
            method: ConsentMethod::from_code(self.said("consent.method").parse().ok()?)?,
        })
    }

    /// A committed date.
    pub(crate) fn date(&self, name: &str) -> Option<Date> {
        self.said(name).parse().ok()
    }

    /// A committed number; 0 when there is none.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.content(name).parse().unwrap_or(0)
    }

    /// Names and values of a content that holds them in turn.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut values = self.opening.content.values();
        std::iter::from_fn(move || Some((values.next()?, values.next()?)))
    }
}

fn text(value: Option<&[u8]>) -> &str {
    value.map_or("", |value| std::str::from_utf8(value).unwrap_or_default())
}
