//! Counting refusals by caller and minute: pure, bounded, without a clock of its own.

use std::collections::{BTreeMap, HashMap};

/// Entries of their own that one caller gets in one minute.
pub(crate) const EACH_A_MINUTE: u32 = 60;
/// Callers counted apart in one minute; more are counted together.
pub(crate) const MAX_CALLERS: usize = 4096;

/// Counts by (reason, field).
pub(crate) type Counts = BTreeMap<(&'static str, &'static str), u64>;

/// Who is counted: a caller's URI and certificate, or all callers beyond [`MAX_CALLERS`] together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who<C> {
    /// One caller.
    Caller(C),
    /// Those beyond the bound.
    Others,
}

/// What to do with one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It gets an entry of its own.
    Entry,
    /// It was counted; the count gets an entry when its minute is over.
    Counted,
}

/// A finished minute of one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due<C> {
    pub(crate) who: Who<C>,
    pub(crate) minute: u64,
    pub(crate) counts: Counts,
}

struct Window<C> {
    caller: C,
    entries: u32,
    counts: Counts,
}

/// The running minute, and finished ones that aren't recorded yet.
pub(crate) struct Minutes<C> {
    minute: u64,
    callers: HashMap<String, Window<C>>,
    others: Counts,
    due: Vec<Due<C>>,
}

impl<C: Clone> Minutes<C> {
    pub(crate) fn new() -> Self {
        Self {
            minute: 0,
            callers: HashMap::new(),
            others: Counts::new(),
            due: Vec::new(),
        }
    }

    /// Takes one refusal. `countable` ones never get an entry of their own (refusals for calling too often).
    pub(crate) fn take(
        &mut self,
        minute: u64,
        key: String,
        caller: &C,
        reason: (&'static str, &'static str),
        only_counted: OnlyCounted,
    ) -> Verdict {
        self.turn(minute);
        let full = self.callers.len() >= MAX_CALLERS && !self.callers.contains_key(&key);
        if full {
            *self.others.entry(reason).or_default() += 1;
            return Verdict::Counted;
        }
        let window = self.callers.entry(key).or_insert_with(|| Window {
            caller: caller.clone(),
            entries: 0,
            counts: Counts::new(),
        });
        if only_counted == OnlyCounted::No && window.entries < EACH_A_MINUTE {
            window.entries += 1;
            return Verdict::Entry;
        }
        *window.counts.entry(reason).or_default() += 1;
        Verdict::Counted
    }

    /// Closes the running minute if `minute` is another one. A clock that goes back closes it too: no count is lost.
    pub(crate) fn turn(&mut self, minute: u64) {
        if minute == self.minute {
            return;
        }
        self.close();
        self.minute = minute;
    }

    /// Closes the running minute now.
    pub(crate) fn close(&mut self) {
        let minute = self.minute;
        let mut closed: Vec<Due<C>> = self
            .callers
            .drain()
            .filter(|(_, window)| !window.counts.is_empty())
            .map(|(_, window)| Due {
                who: Who::Caller(window.caller),
                minute,
                counts: window.counts,
            })
            .collect();
        let others = std::mem::take(&mut self.others);
        if !others.is_empty() {
            closed.push(Due {
                who: Who::Others,
                minute,
                counts: others,
            });
        }
        for due in closed {
            self.give_back(due);
        }
    }

    /// The finished minutes, to be recorded.
    pub(crate) fn take_due(&mut self) -> Vec<Due<C>> {
        std::mem::take(&mut self.due)
    }

    /// Keeps a finished minute (again: recording it failed). Beyond the bound it is added to the last one kept, so that
    /// memory stays bounded through a long outage and no refusal goes uncounted.
    pub(crate) fn give_back(&mut self, due: Due<C>) {
        if self.due.len() < 2 * MAX_CALLERS {
            self.due.push(due);
            return;
        }
        if let Some(last) = self.due.last_mut() {
            last.who = Who::Others;
            for (reason, count) in due.counts {
                *last.counts.entry(reason).or_default() += count;
            }
        }
    }
}

/// Whether a refusal may have an entry of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnlyCounted {
    /// It is only counted.
    Yes,
    /// It gets an entry while there's room in its minute.
    No,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REASON: (&str, &str) = ("invalid-argument", "event_date");

    fn take(minutes: &mut Minutes<u32>, minute: u64, caller: u32) -> Verdict {
        minutes.take(minute, caller.to_string(), &caller, REASON, OnlyCounted::No)
    }

    #[test]
    fn the_sixty_first_refusal_of_a_minute_is_only_counted() {
        let mut minutes = Minutes::new();
        for _ in 0..EACH_A_MINUTE {
            assert_eq!(take(&mut minutes, 7, 1), Verdict::Entry);
        }
        assert_eq!(take(&mut minutes, 7, 1), Verdict::Counted);
        assert_eq!(
            take(&mut minutes, 7, 2),
            Verdict::Entry,
            "another caller has its own sixty"
        );
        assert!(minutes.take_due().is_empty(), "the minute isn't over");
        assert_eq!(
            take(&mut minutes, 8, 1),
            Verdict::Entry,
            "a new minute has its own sixty"
        );
        let due = minutes.take_due();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].who, Who::Caller(1));
        assert_eq!(due[0].minute, 7);
        assert_eq!(due[0].counts[&REASON], 1);
        assert!(minutes.take_due().is_empty());
    }

    #[test]
    fn calling_too_often_never_gets_an_entry_of_its_own() {
        let mut minutes = Minutes::new();
        let reason = ("resource-exhausted", "");
        let verdict = minutes.take(1, "a".into(), &1u32, reason, OnlyCounted::Yes);
        assert_eq!(verdict, Verdict::Counted);
        minutes.close();
        assert_eq!(minutes.take_due()[0].counts[&reason], 1);
    }

    #[test]
    fn callers_beyond_the_bound_are_counted_together() {
        let mut minutes = Minutes::new();
        for caller in 0..u32::try_from(MAX_CALLERS).unwrap() {
            assert_eq!(take(&mut minutes, 1, caller), Verdict::Entry);
        }
        assert_eq!(take(&mut minutes, 1, 999_999), Verdict::Counted);
        assert_eq!(
            take(&mut minutes, 1, 0),
            Verdict::Entry,
            "known ones keep their own count"
        );
        minutes.turn(2);
        let due = minutes.take_due();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].who, Who::Others);
    }

    proptest! {
        #[test]
        fn every_refusal_is_an_entry_or_is_counted_once(
            calls in proptest::collection::vec((0u64..4, 0u32..3), 0..600),
        ) {
            let mut minutes = Minutes::new();
            let mut entries = 0u64;
            for (minute, caller) in &calls {
                if take(&mut minutes, *minute, *caller) == Verdict::Entry {
                    entries += 1;
                }
            }
            minutes.close();
            let counted: u64 = minutes.take_due().iter().flat_map(|due| due.counts.values()).sum();
            prop_assert_eq!(entries + counted, calls.len() as u64);
        }
    }
}
