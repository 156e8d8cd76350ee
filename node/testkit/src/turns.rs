//! Whether two kinds of calls can be told apart by how long they take: measured in turns, judged by which of each pair took
//! longer. No bound in milliseconds: whatever else the machine does meanwhile falls on both alike.

use std::time::Duration;

use tokio::time::Instant;

/// How far from even the turns may be, in standard deviations of honest ones: those get there once in some million times.
const BOUND: f64 = 5.0;

/// Pairs that any verdict needs.
const FEWEST: usize = 50;

/// Two kinds of calls, one of each in every turn.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    pairs: Vec<(Duration, Duration)>,
}

impl Turns {
    /// Makes so many pairs of calls, each with its place among them. Now one kind comes first, now the other, so that neither
    /// always finds what the other has left behind.
    pub async fn take(
        pairs: usize,
        mut one: impl AsyncFnMut(usize),
        mut other: impl AsyncFnMut(usize),
    ) -> Self {
        let mut turns = Self::default();
        for nth in 0..pairs {
            turns.take_one(nth, &mut one, &mut other).await;
        }
        turns
    }

    /// Makes pairs of calls until they are told apart, and so many at most: what differs shows in the end, however much else
    /// the machine does.
    pub async fn until_told_apart(
        most: usize,
        mut one: impl AsyncFnMut(usize),
        mut other: impl AsyncFnMut(usize),
    ) -> Self {
        let mut turns = Self::default();
        for nth in 0..most {
            turns.take_one(nth, &mut one, &mut other).await;
            if turns.pairs.len() >= FEWEST && turns.tell_apart() {
                break;
            }
        }
        turns
    }

    async fn take_one(
        &mut self,
        nth: usize,
        one: &mut impl AsyncFnMut(usize),
        other: &mut impl AsyncFnMut(usize),
    ) {
        let begun = Instant::now();
        if nth.is_multiple_of(2) {
            one(nth).await;
            let half = begun.elapsed();
            other(nth).await;
            self.add(half, begun.elapsed().saturating_sub(half));
        } else {
            other(nth).await;
            let half = begun.elapsed();
            one(nth).await;
            self.add(begun.elapsed().saturating_sub(half), half);
        }
    }

    /// Adds what a pair took.
    pub fn add(&mut self, one: Duration, other: Duration) {
        self.pairs.push((one, other));
    }

    /// The share of pairs in which the first kind took longer; one half when it is all chance.
    pub fn share(&self) -> f64 {
        let longer = self.pairs.iter().map(|(one, other)| match one.cmp(other) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        });
        longer.sum::<f64>() / self.count()
    }

    /// Whether somebody who saw all these times could tell the kinds apart.
    pub fn tell_apart(&self) -> bool {
        (self.share() - 0.5).abs() > BOUND * 0.5 / self.count().sqrt()
    }

    /// Fails if the times tell the kinds apart.
    ///
    /// # Panics
    /// If they do.
    pub fn assert_alike(&self, what: &str) {
        let (one, other) = self.medians();
        assert!(
            !self.tell_apart(),
            "{what}: of {} pairs the first took longer in {:.0} %; medians {one:?} and {other:?}",
            self.pairs.len(),
            self.share() * 100.0
        );
    }

    /// What each kind took in the middle of its times.
    pub fn medians(&self) -> (Duration, Duration) {
        let (mut one, mut other): (Vec<_>, Vec<_>) = self.pairs.iter().copied().unzip();
        let middle = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        (middle(&mut one), middle(&mut other))
    }

    fn count(&self) -> f64 {
        f64::from(u32::try_from(self.pairs.len()).unwrap_or(u32::MAX))
    }
}
