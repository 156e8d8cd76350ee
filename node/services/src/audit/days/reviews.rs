//! Who signed which day off, and which days wait for a signature.

use std::collections::BTreeMap;

use vrx_domain::{Date, EntryKind, UnixMillis};

use super::alerts::{Alert, AlertKind};
use crate::{audit::opened::Opened, policy::ReviewPolicy};

/// The action of an entry that signs a day off.
pub(super) const SIGNED: &str = "review-signed";

/// Days before those asked for that are looked at after their time for a signature is over: a day that was forgotten goes on to show.
const FORGOTTEN: u32 = 31;

/// How many days before those asked for are looked at for signatures.
pub(super) fn look_back(policy: &ReviewPolicy) -> i32 {
    let days = policy.review_within_days.saturating_add(FORGOTTEN);
    i32::try_from(days).unwrap_or(0)
}

/// A day and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayReview {
    /// The day.
    pub day: Date,
    /// Entries of the day.
    pub entries: u64,
    /// Whether a signature covers all of them.
    pub reviewed: bool,
    /// The signatures, oldest first.
    pub signatures: Vec<ReviewSignature>,
}

/// One signature of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewSignature {
    /// `officer/mori`.
    pub officer: String,
    /// When.
    pub time: UnixMillis,
    /// The entry that records it.
    pub index: u64,
    /// Entries of the log that it covers.
    pub log_size: u64,
}

/// The days that are looked at, with what is found out about them.
pub(super) struct Reviews {
    days: BTreeMap<Date, Found>,
}

#[derive(Default)]
struct Found {
    entries: u64,
    /// Entries of the log up to the end of the day.
    end: u64,
    signatures: Vec<ReviewSignature>,
}

impl Reviews {
    /// The days asked for, and those before them that may still wait.
    pub(super) fn of(from: Date, until: Date, policy: &ReviewPolicy) -> Self {
        let mut days = BTreeMap::new();
        let mut day = from.days_later(-look_back(policy));
        while let Some(this) = day.filter(|day| *day <= until) {
            days.insert(this, Found::default());
            day = this.days_later(1);
        }
        Self { days }
    }

    /// One more entry of a day.
    pub(super) fn count(&mut self, day: Date, index: u64) {
        if let Some(found) = self.days.get_mut(&day) {
            found.entries += 1;
            found.end = index.saturating_add(1);
        }
    }

    /// Takes in a signature, if the entry is one.
    pub(super) fn signature(&mut self, said: &Opened<'_>) {
        if !said.is(EntryKind::Desk) || said.action() != SIGNED || !said.is_by_officer() {
            return;
        }
        let day = said.content("day").parse::<Date>().ok();
        if let Some(found) = day.and_then(|day| self.days.get_mut(&day)) {
            found.signatures.push(ReviewSignature {
                officer: said.own_actor(),
                time: UnixMillis(said.time),
                index: said.index,
                log_size: said.number("log_size"),
            });
        }
    }

    /// The days that have entries or signatures, in order, and an alert for each that nobody signed off within its time; `now` is
    /// the instant by which days whose time is over must have been signed.
    pub(super) fn finish(
        self,
        now: UnixMillis,
        policy: &ReviewPolicy,
    ) -> (Vec<DayReview>, Vec<Alert>) {
        let within = i32::try_from(policy.review_within_days).unwrap_or(0);
        let mut alerts = Vec::new();
        let mut days = Vec::new();
        let seen = |found: &Found| found.entries > 0 || !found.signatures.is_empty();
        for (day, found) in self.days.into_iter().filter(|(_, found)| seen(found)) {
            let over = day.days_later(1).map(Date::begins_jst);
            let reviewed = found.signatures.iter().any(|signature| {
                over.is_some_and(|over| signature.time >= over) && signature.log_size >= found.end
            });
            let due = day.days_later(1 + within).map(Date::begins_jst);
            if !reviewed && found.entries > 0 && due.is_some_and(|due| now >= due) {
                alerts.push(Alert {
                    kind: AlertKind::Unreviewed,
                    day,
                    who: String::new(),
                    count: found.entries,
                    of: 0,
                    indexes: Vec::new(),
                });
            }
            days.push(DayReview {
                day,
                entries: found.entries,
                reviewed: reviewed && found.entries > 0,
                signatures: found.signatures,
            });
        }
        (days, alerts)
    }
}
