//! Whether every blank opening is one that an erasure blanked.
//!
//! An erasure's entry says which openings were blank before the run and after it. So the entries go on from one another, and what is
//! blank today is what the last one says, and what a run that is under way has blanked since. Whoever writes the database can blank an
//! opening, or put one back; neither changes an entry.

use vrx_storage::{BlankOpenings, Blanks, ErasureRun, ErasureStage, RetentionStore};
use vrx_tlog::{Hash, place_link};

use crate::deadline::Deadline;
use crate::erasures::RecordedErasures;
use crate::error::{Fault, ReadError};
use crate::reader::LogReader;

/// The same with further blank openings, whose places are greater and ascend.
pub fn with_places(mut blanks: Blanks, places: &[u64]) -> Blanks {
    for place in places {
        blanks.count += 1;
        blanks.chain = place_link(&blanks.chain, *place);
    }
    blanks
}

/// What is to be blank by the entries of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedBlanks {
    /// How many.
    pub count: u64,
    /// Which; `None` after an entry that doesn't tell.
    pub chain: Option<Hash>,
}

impl ExpectedBlanks {
    /// Whether these are those.
    pub fn are(&self, blanks: &Blanks) -> bool {
        self.count == blanks.count && self.chain.is_none_or(|chain| chain == blanks.chain)
    }
}

impl RecordedErasures {
    /// What is to be blank after the last of them, and the first that doesn't go on from the one before it.
    pub fn expected(&self) -> (ExpectedBlanks, Option<Fault>) {
        let mut wrong = None;
        let mut expected = ExpectedBlanks {
            count: 0,
            chain: Some(Hash::default()),
        };
        for entry in &self.entries {
            let blanked = entry.count("openings") + entry.count("blanked_again");
            let Some(blanks) = entry.blanks() else {
                expected.count += blanked;
                expected.chain = None;
                continue;
            };
            let adds_up = blanks.after.count == blanks.before.count + blanked;
            if !adds_up || !expected.are(&blanks.before) {
                wrong.get_or_insert(Fault::ErasureEntry(entry.index));
            }
            expected = ExpectedBlanks {
                count: blanks.after.count,
                chain: Some(blanks.after.chain),
            };
        }
        (expected, wrong)
    }

    /// Holds the blank openings of a database against the entries. `listed` are the ranges on the list of what was destroyed, which
    /// stands outside of the database: where exactly those are blank, nothing else has to explain them (a restore blanks by it).
    pub fn explain(&self, found: &BlankOpenings, listed: &[(u64, u64)]) -> Option<Fault> {
        for run in &found.runs {
            if let (true, Some(entry)) = (run.is_open(), self.of(&run.id.to_string())) {
                return Some(Fault::Replayed(entry.index));
            }
        }
        if !found.places.is_empty() && are_listed(&found.places, listed, self.size) {
            return None;
        }
        let (expected, wrong) = self.expected();
        if wrong.is_some() {
            return wrong;
        }
        let under_way = found.runs.iter().find(|run| self.is_under_way(run));
        let is_explained = match under_way {
            None => expected.are(&with_places(Blanks::default(), &found.places)),
            Some(run) => goes_on(run, &expected, &found.places),
        };
        (!is_explained).then_some(Fault::Blanks {
            blank: found.places.len() as u64,
            explained: expected.count + under_way.map_or(0, |run| run.done.openings),
        })
    }

    /// Approved, and its entry isn't among those that were looked at.
    fn is_under_way(&self, run: &ErasureRun) -> bool {
        run.stage != ErasureStage::Proposed
            && self.of(&run.id.to_string()).is_none()
            && run.entry.is_none_or(|entry| entry >= self.size)
    }
}

/// Up to where the run stands, what is blank is what it says; from there on, what was to be blank before it.
fn goes_on(run: &ErasureRun, expected: &ExpectedBlanks, places: &[u64]) -> bool {
    let Some(blanks) = run.blanks else {
        return places.len() as u64 == expected.count + run.done.openings;
    };
    let at = places.partition_point(|place| *place < run.openings_next);
    let (looked_at, ahead) = places.split_at(at);
    with_places(Blanks::default(), looked_at) == blanks.after
        && blanks.after.count == blanks.before.count + run.done.openings
        && expected.are(&with_places(blanks.before, ahead))
}

/// Whether these places, ascending, are exactly those of the ranges, as far as the log goes.
pub fn are_listed(places: &[u64], listed: &[(u64, u64)], size: u64) -> bool {
    let mut ranges = listed.to_vec();
    ranges.sort_unstable();
    let mut left = places.iter().copied().peekable();
    let mut next = 0;
    for (from, below) in ranges {
        for place in from.max(next)..below.min(size) {
            if left.next_if_eq(&place).is_none() {
                return false;
            }
        }
        next = next.max(below);
    }
    left.peek().is_none()
}

impl LogReader {
    /// Whether every blank opening is one that an erasure blanked. `listed` as in [`RecordedErasures::explain`].
    pub async fn verify_blanks(
        &self,
        retention: &dyn RetentionStore,
        listed: &[(u64, u64)],
        deadline: Deadline,
    ) -> Result<Option<Fault>, ReadError> {
        // In this order: a run that is recorded in between is one that is under way.
        let recorded = match self.erasures(deadline).await {
            Err(ReadError::Opening(index)) => return Ok(Some(Fault::Opening(index))),
            recorded => recorded?,
        };
        let found = deadline.wait(retention.blanks()).await??;
        Ok(recorded.explain(&found, listed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use vrx_domain::audit::desk_content;
    use vrx_domain::{ErasureId, UnixMillis};
    use vrx_storage::{ErasureCounts, RunBlanks};

    use super::*;
    use crate::erasures::ErasureEntry;

    /// Entries of the log that the cases are about.
    const SIZE: u64 = 40;

    fn id(nth: usize) -> ErasureId {
        ErasureId::from_bytes([u8::try_from(nth).unwrap(); 16])
    }

    fn blanks(places: impl IntoIterator<Item = u64>) -> Blanks {
        with_places(Blanks::default(), &places.into_iter().collect::<Vec<_>>())
    }

    fn run(nth: usize, openings: u64) -> ErasureRun {
        ErasureRun {
            id: id(nth),
            proposed_by: String::new(),
            proposed_at: UnixMillis(0),
            proposed: ErasureCounts::default(),
            openings_below: SIZE,
            approved: None,
            stage: ErasureStage::Openings,
            done: ErasureCounts {
                openings,
                ..ErasureCounts::default()
            },
            stayed: 0,
            openings_next: 0,
            rewritten_at: None,
            certificate: String::new(),
            entry: None,
            blanks: None,
        }
    }

    fn entry(nth: usize, own: u64, told: Option<RunBlanks>) -> ErasureEntry {
        let (erasure, own) = (id(nth).to_string(), own.to_string());
        let mut content = vec![("erasure", erasure), ("openings", own)];
        if let Some(RunBlanks { before, after }) = told {
            content.extend([
                ("openings_below", SIZE.to_string()),
                ("blanked_before", before.count.to_string()),
                ("blanked_before_sha256", hex::encode(before.chain)),
                ("blanked", after.count.to_string()),
                ("blanked_sha256", hex::encode(after.chain)),
            ]);
        }
        let content: Vec<_> = content
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        ErasureEntry::new(SIZE + nth as u64, &desk_content(&content)).unwrap()
    }

    /// A log whose erasures blanked these places one after the other, the first of them without telling which; the last one is still
    /// at it, before `next`.
    fn honest(
        runs: &[BTreeSet<u64>],
        untold: usize,
        next: Option<u64>,
    ) -> (RecordedErasures, BlankOpenings) {
        let mut recorded = RecordedErasures {
            size: SIZE + runs.len() as u64,
            entries: Vec::new(),
        };
        let (mut all, mut open) = (BTreeSet::new(), Vec::new());
        for (nth, places) in runs.iter().enumerate() {
            let before: BTreeSet<u64> = all.clone();
            let is_open = next.filter(|_| nth + 1 == runs.len());
            let until = is_open.unwrap_or(SIZE);
            let own: Vec<u64> = places
                .difference(&before)
                .copied()
                .filter(|place| *place < until)
                .collect();
            all.extend(&own);
            let below = |places: &BTreeSet<u64>| blanks(places.range(..until).copied());
            let told = RunBlanks {
                before: below(&before),
                after: below(&all),
            };
            if is_open.is_some() {
                open.push(ErasureRun {
                    openings_next: until,
                    blanks: Some(told),
                    ..run(nth, own.len() as u64)
                });
            } else {
                let told = (nth >= untold).then_some(told);
                recorded.entries.push(entry(nth, own.len() as u64, told));
            }
        }
        let found = BlankOpenings {
            places: all.into_iter().collect(),
            runs: open,
        };
        (recorded, found)
    }

    fn with(found: &BlankOpenings, change: impl FnOnce(&mut BTreeSet<u64>)) -> BlankOpenings {
        let mut places: BTreeSet<u64> = found.places.iter().copied().collect();
        change(&mut places);
        BlankOpenings {
            places: places.into_iter().collect(),
            runs: found.runs.clone(),
        }
    }

    fn runs() -> impl Strategy<Value = Vec<BTreeSet<u64>>> {
        prop::collection::vec(prop::collection::btree_set(0..SIZE, 0..12), 0..4)
    }

    proptest! {
        #[test]
        fn any_blank_too_many_too_few_or_elsewhere_is_found(
            runs in runs(), next in prop::option::of(0..=SIZE), one in 0..SIZE, other in 0..SIZE,
        ) {
            let (recorded, found) = honest(&runs, 0, next);
            prop_assert_eq!(recorded.explain(&found, &[]), None);
            let flip = |places: &mut BTreeSet<u64>, place| {
                if !places.remove(&place) {
                    places.insert(place);
                }
            };
            let flipped = with(&found, |places| flip(places, one));
            prop_assert!(recorded.explain(&flipped, &[]).is_some());
            if one != other {
                let both = with(&found, |places| {
                    flip(places, one);
                    flip(places, other);
                });
                prop_assert!(recorded.explain(&both, &[]).is_some());
            }
            // What the list says counts where it says all of it, and nothing else.
            let listed: Vec<_> = found.places.iter().map(|place| (*place, place + 1)).collect();
            prop_assert_eq!(recorded.explain(&found, &listed), None);
            prop_assert!(recorded.explain(&flipped, &listed).is_some());
        }

        #[test]
        fn of_erasures_that_dont_tell_which_the_number_counts(
            runs in runs(), untold in 1usize..3, next in prop::option::of(0..=SIZE), one in 0..SIZE,
        ) {
            let (recorded, found) = honest(&runs, untold, next);
            prop_assert_eq!(recorded.explain(&found, &[]), None);
            let more = with(&found, |places| { places.insert(one); });
            prop_assert_eq!(recorded.explain(&more, &[]).is_some(), more != found);
        }
    }

    #[test]
    fn an_erasure_that_found_other_blanks_than_were_left_shows_for_ever() {
        let told = |before: &[u64], after: &[u64]| RunBlanks {
            before: blanks(before.iter().copied()),
            after: blanks(after.iter().copied()),
        };
        let recorded = RecordedErasures {
            size: SIZE,
            entries: vec![
                entry(0, 1, Some(told(&[], &[3]))),
                entry(1, 1, Some(told(&[3, 7], &[3, 5, 7]))),
            ],
        };
        let found = BlankOpenings {
            places: vec![3, 5, 7],
            runs: Vec::new(),
        };
        let fault = recorded.explain(&found, &[]);
        assert_eq!(fault, Some(Fault::ErasureEntry(SIZE + 1)));
    }

    #[test]
    fn a_recorded_erasure_that_stands_open_is_a_fault_and_a_proposal_is_none() {
        let (recorded, found) = honest(&[BTreeSet::from([3])], 0, None);
        let mut put_back = run(0, 0);
        let state = |run: &ErasureRun| BlankOpenings {
            runs: vec![run.clone()],
            ..found.clone()
        };
        let fault = recorded.explain(&state(&put_back), &[(3, 4)]);
        assert_eq!(fault, Some(Fault::Replayed(SIZE)));
        put_back.stage = ErasureStage::Recorded;
        assert_eq!(recorded.explain(&state(&put_back), &[]), None);
        let mut proposed = run(7, 0);
        proposed.stage = ErasureStage::Proposed;
        assert_eq!(recorded.explain(&state(&proposed), &[]), None);
    }

    #[test]
    fn ranges_are_compared_as_far_as_the_log_goes() {
        assert!(are_listed(&[1, 2, 5], &[(5, 9), (1, 3), (2, 3)], 6));
        assert!(!are_listed(&[1, 2, 5], &[(5, 9), (1, 3)], 7));
        assert!(!are_listed(&[1, 2, 4, 5], &[(5, 6), (1, 3)], 7));
        assert!(are_listed(&[], &[], 7));
        assert!(!are_listed(&[0], &[], 7));
    }
}
