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
