//! What statements cost, by their names: what an operator sees of a cluster without seeing a value.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Upper ends of the classes in which a statement's time is counted; a last class has what took longer.
pub const STATEMENT_CLASSES: [Duration; 7] = [
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Names are constants of this room, some fifty of them. Should there ever be more than this, the rest has one name.
const MOST_NAMES: usize = 256;
const OTHERS: &str = "others";

/// The times of one statement since the cluster was connected. Those that failed or ran out of time count too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatementTimes {
    /// How many took longer than the limit for slow ones.
    pub slow: u64,
    /// The time of all together.
    pub total: Duration,
    /// How many fell into each of [`STATEMENT_CLASSES`], and how many took longer than the last.
    pub classes: [u64; STATEMENT_CLASSES.len() + 1],
}

impl StatementTimes {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }
}

/// Times of statements by name.
pub(super) struct StatementStatistics {
    slow: Duration,
    by_name: Mutex<BTreeMap<&'static str, StatementTimes>>,
}

impl StatementStatistics {
    pub(super) fn new(slow: Duration) -> Self {
        Self {
            slow,
            by_name: Mutex::default(),
        }
    }

    /// Counts a statement; one that was slow is logged by its name as well.
    pub(super) fn record(&self, name: &'static str, took: Duration) {
        let is_slow = took > self.slow;
        {
            let mut by_name = self.by_name.lock();
            let has_room = by_name.len() < MOST_NAMES || by_name.contains_key(name);
            let times = by_name
                .entry(if has_room { name } else { OTHERS })
                .or_default();
            times.slow += u64::from(is_slow);
            times.total += took;
            let class = STATEMENT_CLASSES.iter().take_while(|end| took > **end);
            if let Some(count) = times.classes.get_mut(class.count()) {
                *count += 1;
            }
        }
        if is_slow {
            tracing::warn!(
                statement = name,
                milliseconds = took.as_millis(),
                "a slow statement"
            );
        }
    }

    /// The times of all statements that ran, by name.
    pub(super) fn snapshot(&self) -> Vec<(&'static str, StatementTimes)> {
        let by_name = self.by_name.lock();
        by_name
            .iter()
            .map(|(name, times)| (*name, *times))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_by_name_and_the_slow_ones_twice() {
        let statistics = StatementStatistics::new(Duration::from_millis(250));
        for milliseconds in [0, 1, 2, 250, 251, 9_000] {
            statistics.record("persons_by_tags", Duration::from_millis(milliseconds));
        }
        statistics.record("commit", Duration::from_millis(3));
        let snapshot = statistics.snapshot();
        let [("commit", commit), ("persons_by_tags", persons)] = snapshot[..] else {
            panic!("{snapshot:?}");
        };
        assert_eq!((commit.count(), commit.slow), (1, 0));
        assert_eq!((persons.count(), persons.slow), (6, 2));
        assert_eq!(persons.total, Duration::from_millis(9_504));
        assert_eq!(persons.classes, [2, 1, 0, 0, 1, 1, 0, 1]);
    }

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let statistics = StatementStatistics::new(Duration::MAX);
        for number in 0..MOST_NAMES + 10 {
            let name: &'static str = Box::leak(format!("statement_{number:03}").into_boxed_str());
            statistics.record(name, Duration::ZERO);
        }
        let snapshot = statistics.snapshot();
        assert_eq!(snapshot.len(), MOST_NAMES + 1);
        let others = snapshot.iter().find(|(name, _)| *name == OTHERS).unwrap();
        assert_eq!(others.1.count(), 10);
    }
}
