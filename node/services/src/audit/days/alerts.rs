//! What an officer should look at: rules over one day's counts and the same caller's earlier days.

use std::collections::BTreeMap;

use vrx_domain::Date;

use super::tally::{Day, Pointed};
use crate::policy::ReviewPolicy;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertKind {
    /// Much of what a municipality asked for isn't here.
    Probing,
    /// Use at night or on a holiday.
    OffHours,
    /// Far more questions than on the same caller's earlier days.
    Volume,
    /// One person was asked for by many.
    ManyAsk,
    /// Calls that were refused.
    Refusals,
    /// A protected person was asked for.
    Protected,
    /// Nobody has signed the day off in time.
    Unreviewed,
    /// The node raised an alarm.
    Node,
    /// Entries aren't what was signed.
    Damaged,
}

/// Something to look at. It names no person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it is about.
    pub kind: AlertKind,
    /// The day.
    pub day: Date,
    /// Whom it is about; empty where it is nobody, or where naming the municipality would tell where a protected person lives.
    pub who: String,
    /// What was counted.
    pub count: u64,
    /// Out of how many, or against what was expected; 0 where that says nothing.
    pub of: u64,
    /// Entries to look at.
    pub indexes: Vec<u64>,
}

/// Questions of each caller on the days before.
#[derive(Default)]
pub(super) struct Usual(BTreeMap<String, Vec<(Date, u64)>>);

impl Usual {
    /// Remembers a day that is over, and forgets what is too long ago to matter.
    pub(super) fn remember(&mut self, day: &Day, date: Date, policy: &ReviewPolicy) {
        for (who, caller) in &day.callers {
            if caller.questions > 0 {
                let days = self.0.entry(who.clone()).or_default();
                days.push((date, caller.questions));
            }
        }
        let oldest = i64::from(policy.volume_days);
        self.0.retain(|_, days| {
            days.retain(|(then, _)| date.days_since(*then) < oldest);
            !days.is_empty()
        });
    }

    /// Questions of a caller over the days that make its usual day.
    fn sum(&self, who: &str, date: Date, policy: &ReviewPolicy) -> u64 {
        let oldest = i64::from(policy.volume_days);
        let days = self.0.get(who).into_iter().flatten();
        days.filter(|(then, _)| date.days_since(*then) <= oldest)
            .map(|(_, questions)| questions)
            .sum()
    }
}

/// The day's alerts, by kind and then by whom they are about.
pub(super) fn alerts(day: &Day, date: Date, usual: &Usual, policy: &ReviewPolicy) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut raise = |kind, who: &str, count, of, indexes: &[u64]| {
        alerts.push(Alert {
            kind,
            day: date,
            who: who.to_owned(),
            count,
            of,
            indexes: indexes.to_vec(),
        });
    };
    for (who, caller) in &day.callers {
        let (questions, unknown) = (caller.questions, &caller.unknown);
        if questions >= u64::from(policy.probing_least)
            && unknown.count * 100 >= questions * u64::from(policy.probing_percent)
        {
            raise(
                AlertKind::Probing,
                who,
                unknown.count,
                questions,
                &unknown.indexes,
            );
        }
        let days = u64::from(policy.volume_days.max(1));
        // Who never asked before counts as one who asks once a day.
        let sum = usual.sum(who, date, policy).max(days);
        if questions >= u64::from(policy.volume_least)
            && questions * days > sum * u64::from(policy.volume_factor)
        {
            raise(AlertKind::Volume, who, questions, sum.div_ceil(days), &[]);
        }
        for (kind, pointed) in [
            (AlertKind::OffHours, &caller.off_hours),
            (AlertKind::Refusals, &caller.refused),
        ] {
            if pointed.count > 0 {
                raise(kind, who, pointed.count, 0, &pointed.indexes);
            }
        }
    }
    for (askers, indexes) in day.asked_by(policy.many_ask) {
        raise(AlertKind::ManyAsk, "", askers, 0, indexes);
    }
    for (kind, pointed) in [
        (AlertKind::Protected, &day.protected),
        (AlertKind::Node, &day.alarms),
        (AlertKind::Damaged, &day.damaged),
    ] {
        let Pointed { count, indexes } = pointed;
        if *count > 0 {
            raise(kind, "", *count, 0, indexes);
        }
    }
    alerts.sort_by(|one, other| (one.kind, &one.who).cmp(&(other.kind, &other.who)));
    alerts
}
