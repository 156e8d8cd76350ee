//! Counting entries: what is asked for, by whom, when, and what came of it. Memory is bounded whatever the log holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vrx_domain::{Cause, EntryKind, MunicipalityCode, Outcome, Role, UnixMillis, WithheldCause};
use vrx_storage::SubjectTag;

use crate::{
    audit::{chain::conceals_by_itself, opened::Opened},
    policy::ReviewPolicy,
    registry::check_answer::CheckFailure,
};

/// Entries that an alert points at.
pub(super) const POINTERS: usize = 10;
/// Who acted, told apart by name and action.
const MOST_OPERATORS: usize = 10_000;
/// Persons of one day, told apart by tag.
const MOST_PERSONS: usize = 100_000;
/// Different ones who asked for one person that are told apart.
const MOST_ASKERS: usize = 32;

/// What was counted over all days. Nothing in it is about a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries of each kind, by its code.
    pub kinds: BTreeMap<u8, u64>,
    /// Exchange answers by true cause.
    pub causes: BTreeMap<String, u64>,
    /// Own inquiries by what they came to.
    pub inquiries: BTreeMap<String, u64>,
    /// Exchange answers and own inquiries by the code of their purpose.
    pub purposes: BTreeMap<u8, u64>,
    /// The same by hour in Japan.
    pub hours: [u64; 24],
    /// By the other municipality.
    pub counterparties: BTreeMap<MunicipalityCode, CounterpartyCounts>,
    /// Entries whose opening isn't the one that their leaf commits to.
    pub damaged: u64,
    /// By who acted: municipality, name, action.
    pub operators: BTreeMap<OperatorCounts, u64>,
}

/// Counts of one other municipality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterpartyCounts {
    /// Its questions that were answered here.
    pub asked_us: u64,
    /// Of those, found.
    pub found: u64,
    /// Its calls that were refused here.
    pub refused: u64,
    /// Own inquiries to it.
    pub we_asked: u64,
    /// Its questions at night or on holidays.
    pub off_hours: u64,
}

/// Who acted, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperatorCounts {
    /// The municipality.
    pub municipality: MunicipalityCode,
    /// `staff/tanaka` of the own one, the staff id that another one gave.
    pub operator: String,
    /// What was done.
    pub action: String,
}

/// One day's counts by caller and by person; the persons are forgotten with the day.
#[derive(Default)]
pub(super) struct Day {
    pub(super) callers: BTreeMap<String, CallerDay>,
    pub(super) protected: Pointed,
    pub(super) alarms: Pointed,
    pub(super) damaged: Pointed,
    persons: HashMap<SubjectTag, Person>,
    pub(super) partial: bool,
}

/// One caller's day.
#[derive(Default)]
pub(super) struct CallerDay {
    /// Questions: of a municipality to this one, of own staff to others.
    pub(super) questions: u64,
    /// Questions of a municipality about nobody here.
    pub(super) unknown: Pointed,
    pub(super) off_hours: Pointed,
    pub(super) refused: Pointed,
}

/// A count and the first entries that it counts.
#[derive(Default)]
pub(super) struct Pointed {
    pub(super) count: u64,
    pub(super) indexes: Vec<u64>,
}

impl Pointed {
    fn add(&mut self, count: u64, index: Option<u64>) {
        self.count += count;
        if self.indexes.len() < POINTERS {
            self.indexes.extend(index);
        }
    }
}

#[derive(Default)]
struct Person {
    askers: BTreeSet<String>,
    pointed: Pointed,
}

impl Counts {
    /// Counts an entry of the days asked for, whether or not its opening is still there.
    pub(super) fn kind(&mut self, kind: u8) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// Counts what one entry of the days asked for says; whether there was room to tell who acted apart.
    pub(super) fn take(&mut self, said: &Opened<'_>, policy: &ReviewPolicy) -> bool {
        let sent = is_question(said);
        if sent {
            let hour = usize::from(UnixMillis(said.time).hour_jst());
            if let Some(count) = self.hours.get_mut(hour) {
                *count += 1;
            }
            let purpose = said.said("purpose").parse().unwrap_or(0);
            *self.purposes.entry(purpose).or_default() += 1;
        }
        if said.is(EntryKind::Exchange) {
            *self.causes.entry(said.cause().to_owned()).or_default() += 1;
        } else if said.is(EntryKind::Inquiry) && !sent {
            *self.inquiries.entry(said.outcome().to_owned()).or_default() += 1;
        }
        self.counterparty(said, policy);
        self.operator(said)
    }

    fn counterparty(&mut self, said: &Opened<'_>, policy: &ReviewPolicy) {
        if let Some(code) = said.counterparty()
            && is_question(said)
        {
            let counts = self.counterparties.entry(code).or_default();
            if said.is(EntryKind::Exchange) {
                counts.asked_us += 1;
                counts.found += u64::from(said.outcome() == Outcome::Found.as_str());
                counts.off_hours += u64::from(policy.is_off_hours(UnixMillis(said.time)));
            } else {
                counts.we_asked += 1;
            }
        }
        if let Some(id) = said.caller_id()
            && id.role == Role::Exchange
            && refused(said) > 0
        {
            let counts = self.counterparties.entry(id.municipality).or_default();
            counts.refused += refused(said);
        }
    }

    /// Whether there was room to tell this one apart.
    fn operator(&mut self, said: &Opened<'_>) -> bool {
        let Some(id) = said.caller_id() else {
            return true;
        };
        let operator = if said.is(EntryKind::Exchange) {
            said.said("operator_ref").to_owned()
        } else if id.role == Role::Exchange {
            return true;
        } else {
            said.own_actor()
        };
        let key = OperatorCounts {
            municipality: id.municipality,
            operator,
            action: said.action().to_owned(),
        };
        let room = self.operators.len() < MOST_OPERATORS || self.operators.contains_key(&key);
        if room {
            *self.operators.entry(key).or_default() += 1;
        }
        room
    }
}

impl Day {
    /// Counts one entry of the day.
    pub(super) fn take(&mut self, said: &Opened<'_>, policy: &ReviewPolicy) {
        let alarm = said.is(EntryKind::Control) && said.action() == "alarm";
        let false_answer =
            said.is(EntryKind::Inquiry) && CheckFailure::is_reason(said.content("reason"));
        if alarm || false_answer {
            self.alarms.add(1, Some(said.index));
        }
        let protected = Cause::Withheld(WithheldCause::Protected).as_str();
        if said.is(EntryKind::Exchange) && said.cause() == protected {
            self.protected.add(1, Some(said.index));
        }
        let Some(who) = caller(said) else {
            return;
        };
        self.person(said, &who);
        let room = self.callers.len() < MOST_OPERATORS || self.callers.contains_key(&who);
        if !room {
            self.partial = true;
            return;
        }
        let caller = self.callers.entry(who).or_default();
        // Beside a caller's name no entry is pointed at that isn't to name its counterparty.
        let index = (!conceals_by_itself(said)).then_some(said.index);
        if is_question(said) {
            caller.questions += 1;
            if said.cause() == Cause::Unknown.as_str() {
                caller.unknown.add(1, index);
            }
        }
        match refused(said) {
            0 if policy.is_off_hours(UnixMillis(said.time)) => caller.off_hours.add(1, index),
            0 => {}
            calls => caller.refused.add(calls, index),
        }
    }

    /// Counts an entry of the day that can't be believed.
    pub(super) fn damaged(&mut self, index: u64) {
        self.damaged.add(1, Some(index));
    }

    /// Persons whom at least so many different ones asked for: how many did, and where.
    pub(super) fn asked_by(&self, many: u32) -> Vec<(u64, &[u64])> {
        let many = usize::try_from(many).unwrap_or(usize::MAX);
        let mut asked: Vec<(u64, &[u64])> = self
            .persons
            .values()
            .filter(|person| person.askers.len() >= many)
            .map(|person| {
                let askers = u64::try_from(person.askers.len()).unwrap_or(u64::MAX);
                (askers, person.pointed.indexes.as_slice())
            })
            .collect();
        // A map has no order; the entries have.
        asked.sort_by_key(|(_, indexes)| indexes.first().copied());
        asked
    }

    fn person(&mut self, said: &Opened<'_>, who: &str) {
        // An officer's own reading is no asking.
        let Some(tag) = said.person().filter(|_| !said.is_by_officer()) else {
            return;
        };
        if self.persons.len() >= MOST_PERSONS && !self.persons.contains_key(&tag) {
            self.partial = true;
            return;
        }
        let person = self.persons.entry(tag).or_default();
        if person.askers.len() < MOST_ASKERS {
            let operator = match said.said("operator_ref") {
                "" => who.to_owned(),
                operator => format!("{who} {operator}"),
            };
            person.askers.insert(operator);
        }
        person.pointed.add(1, Some(said.index));
    }
}

/// A question: another municipality's to this one, or the sending of an own inquiry.
fn is_question(said: &Opened<'_>) -> bool {
    said.is(EntryKind::Exchange) || (said.is(EntryKind::Inquiry) && said.content("phase") == "sent")
}

/// Who is behind an entry: `141003`, or `142051 staff/tanaka`; nobody where the node itself is.
fn caller(said: &Opened<'_>) -> Option<String> {
    let id = said.caller_id()?;
    match id.role {
        Role::Exchange if said.is(EntryKind::Exchange) || refused(said) > 0 => {
            Some(id.municipality.to_string())
        }
        Role::Exchange => None,
        _ => Some(format!("{} {}", id.municipality, said.own_actor())),
    }
}

/// Calls that an entry says were refused.
fn refused(said: &Opened<'_>) -> u64 {
    if !said.is(EntryKind::Control) || said.action() != "refused" {
        return 0;
    }
    if !said.content("reason").is_empty() {
        return 1;
    }
    said.pairs()
        .filter(|(name, _)| *name != b"minute" && *name != b"callers")
        .filter_map(|(_, count)| std::str::from_utf8(count).ok()?.parse::<u64>().ok())
        .sum()
}
