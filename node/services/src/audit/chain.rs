//! A person's entries as a list of places, and the rules that follow from reading them all: marks, and who isn't to be named.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use vrx_domain::{
    Cause, DisclosureReason, EntryKind, EntryMark, IndividualNumber, WithheldCause,
    audit::{desk_subject, exchange_subject, look_subject},
};
use vrx_provision_log::{Deadline, Step, SubjectWalk};

use super::{erased::erased_below, opened::Opened};
use crate::{error::ServiceError, record::read_error, tenants::TenantServices};

/// The action of an entry that marks another.
pub(crate) const MARK: &str = "mark-entry";
/// Officers that it takes to name a concealed counterparty.
const OFFICERS: usize = 2;

/// A place in a person's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Entry(u64),
    Missing(MissingEntries),
}

/// Entries about a person that were there once and can't be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingEntries {
    /// How many.
    pub count: u64,
    /// Which of the person's entries the oldest of them is, from 1.
    pub first_seq: u64,
    /// Where the newest of them stands or stood.
    pub last_index: u64,
    /// The newest of them is in the log, its opening is blank, and an erasure went over it.
    pub erased: bool,
}

/// Everything about one person, without the entries themselves: two words a place, however long the history is.
#[derive(Default)]
pub(crate) struct Chain {
    /// Newest first.
    pub(crate) places: Vec<Place>,
    marks: BTreeMap<u64, DisclosureMark>,
    /// The entries that make marks.
    marking: BTreeSet<u64>,
    /// Looks by their place.
    looks: BTreeMap<u64, LookAt>,
    named_by: BTreeMap<u64, BTreeSet<String>>,
    /// The person is protected today, or some entry says that its counterparty isn't to be named.
    conceals_all: bool,
}

/// What was looked at, and which of the person's entries the look is.
#[derive(Clone, Copy)]
struct LookAt {
    at: u64,
    seq: u64,
}

/// The newest mark that says whether an entry is disclosed.
#[derive(Clone, Copy)]
struct DisclosureMark {
    withheld: Option<DisclosureReason>,
}

impl Chain {
    /// Reads back along the links. With the number each entry's subject is held against it too.
    pub(crate) async fn read(
        ctx: &TenantServices,
        walk: SubjectWalk,
        number: Option<&IndividualNumber>,
        protected: bool,
        deadline: Deadline,
    ) -> Result<Self, ServiceError> {
        let mut walk = walk;
        let mut chain = Self {
            conceals_all: protected,
            ..Self::default()
        };
        let reader = ctx.log.reader();
        loop {
            let step = walk.step(reader, deadline).await;
            match step.map_err(|error| read_error(ctx, &error))? {
                None => {
                    chain.refuse_strange_looks();
                    return Ok(chain);
                }
                Some(Step::Missing {
                    count,
                    first_seq,
                    last_index,
                    erased,
                }) => chain.places.push(Place::Missing(MissingEntries {
                    count,
                    first_seq,
                    last_index,
                    erased: erased && last_index < erased_below(ctx, deadline).await?,
                })),
                Some(Step::Entry(entry)) => {
                    if let Some(said) = Opened::of(&entry) {
                        chain.take(&said, number);
                    }
                }
            }
        }
    }

    /// Entries that can't be shown, though no erasure explains it.
    pub(crate) fn missing(&self) -> u64 {
        self.places
            .iter()
            .map(|place| match place {
                Place::Missing(missing) if !missing.erased => missing.count,
                Place::Entry(_) | Place::Missing(_) => 0,
            })
            .sum()
    }

    /// Whether the entry at `index` is about the person and can be shown.
    pub(crate) fn has(&self, index: u64) -> bool {
        self.places.contains(&Place::Entry(index))
    }

    /// Whether what the person is given has to be without the entry: it isn't disclosed, makes a mark, or is a look at such a one.
    pub(crate) fn hides(&self, index: u64) -> bool {
        let mut next = Some(index);
        while let Some(index) = next {
            if self.withheld(index).is_some() || self.marking.contains(&index) {
                return true;
            }
            // Always an older one.
            next = self.looks.get(&index).map(|look| look.at);
        }
        false
    }

    /// Why an entry isn't disclosed, if the newest mark says so.
    pub(crate) fn withheld(&self, index: u64) -> Option<DisclosureReason> {
        self.marks.get(&index).and_then(|mark| mark.withheld)
    }

    /// Who has said that the entry's counterparty may be named.
    pub(crate) fn named_by(&self, index: u64) -> BTreeSet<String> {
        self.named_by.get(&index).cloned().unwrap_or_default()
    }

    /// Whether the entry's counterparty isn't named. One entry that isn't to name it, or the register today, conceals them all: an earlier
    /// one of the same matter would tell what the later conceals. Two officers can say of one entry that it is named all the same.
    pub(crate) fn conceals(&self, said: &Opened<'_>) -> bool {
        let opened = self
            .named_by
            .get(&said.index)
            .is_some_and(|officers| officers.len() >= OFFICERS);
        self.conceals_all && !opened
    }

    /// A look commits to a place, not to a number: it is about the person only if the entry there stands in the person's list, or may have
    /// stood where entries are missing.
    fn refuse_strange_looks(&mut self) {
        let entries: HashSet<u64> = self
            .places
            .iter()
            .filter_map(|place| match place {
                Place::Entry(index) => Some(*index),
                Place::Missing(_) => None,
            })
            .collect();
        let strange: HashSet<u64> = self
            .looks
            .iter()
            .filter(|(_, look)| !entries.contains(&look.at) && !self.may_have_had(look.at))
            .map(|(index, _)| *index)
            .collect();
        for place in &mut self.places {
            if let Place::Entry(index) = *place
                && strange.contains(&index)
                && let Some(look) = self.looks.remove(&index)
            {
                *place = not_ours(look.seq, index);
            }
        }
    }

    /// Whether the place is one of those where entries are missing.
    fn may_have_had(&self, index: u64) -> bool {
        self.places.iter().enumerate().any(|(nth, place)| {
            let Place::Missing(missing) = place else {
                return false;
            };
            let older = self.places.get(nth + 1).map(|place| match place {
                Place::Entry(index) => *index,
                Place::Missing(missing) => missing.last_index,
            });
            index <= missing.last_index && older.is_none_or(|older| index > older)
        })
    }

    fn take(&mut self, said: &Opened<'_>, number: Option<&IndividualNumber>) {
        if number.is_some_and(|number| !is_about(said, number)) {
            // Sealed under the person's tag and committed to another number: nothing this node wrote.
            self.places
                .push(not_ours(said.opening.subject_seq, said.index));
            return;
        }
        self.places.push(Place::Entry(said.index));
        let seq = said.opening.subject_seq;
        let look = said.looked_at().map(|at| (said.index, LookAt { at, seq }));
        self.looks.extend(look);
        self.conceals_all |= conceals_by_itself(said);
        if let Some(mark) = Mark::of(said) {
            self.marking.insert(said.index);
            match mark.mark {
                EntryMark::Withhold | EntryMark::Release => {
                    let withheld = mark.reason.filter(|_| mark.mark == EntryMark::Withhold);
                    // The walk goes back in time: the first that comes is the newest.
                    self.marks
                        .entry(mark.index)
                        .or_insert(DisclosureMark { withheld });
                }
                EntryMark::NameCounterparty => {
                    let officers = self.named_by.entry(mark.index).or_default();
                    officers.insert(said.caller().to_owned());
                }
            }
        }
    }
}

/// A place in the list that this node didn't write.
fn not_ours(seq: u64, index: u64) -> Place {
    Place::Missing(MissingEntries {
        count: 1,
        first_seq: seq,
        last_index: index,
        erased: false,
    })
}

/// What the entry alone says: the requester asked not to be named, or the person was protected when it was written.
pub(crate) fn conceals_by_itself(said: &Opened<'_>) -> bool {
    said.conceals_requester() || said.cause() == Cause::Withheld(WithheldCause::Protected).as_str()
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The entry that is marked.
    pub index: u64,
    /// As what.
    pub mark: EntryMark,
    /// Why.
    pub reason: Option<DisclosureReason>,
    /// The decision's reference.
    pub document: String,
}

impl Mark {
    /// The mark that an entry makes, if it makes one.
    pub(crate) fn of(said: &Opened<'_>) -> Option<Self> {
        if !said.is(EntryKind::Desk) || said.action() != MARK || !said.is_by_officer() {
            return None;
        }
        let code = |name| said.content(name).parse::<u8>().ok();
        Some(Self {
            index: said.content("entry").parse().ok()?,
            mark: EntryMark::from_code(code("mark")?)?,
            reason: code("reason").and_then(DisclosureReason::from_code),
            document: said.content("document").to_owned(),
        })
    }
}

/// Whether an entry's subject is this person, by its commitment; of a look, whether it is one at the entry that it names.
fn is_about(said: &Opened<'_>, number: &IndividualNumber) -> bool {
    let fields = if said.is(EntryKind::Exchange) {
        let Some(cause) = Cause::parse(said.cause()) else {
            return false;
        };
        exchange_subject(number, &cause)
    } else if let Some(older) = said.looked_at() {
        look_subject(older, said.subject_action())
    } else {
        desk_subject(number, said.subject_action())
    };
    said.opening.is_about(&fields)
}
