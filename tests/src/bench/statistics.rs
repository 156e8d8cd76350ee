//! Numbers out of samples: latency windows, medians of ratios, and how far two latency samples can be told apart.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// One window of load: what was asked of one server at one concurrency.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// What was called: `echo`, `provided` or `nothing`.
    pub target: &'static str,
    /// Requests in flight at a time.
    pub in_flight: usize,
    /// Answers a second.
    pub rate: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile in microseconds.
    pub p99_us: f64,
    /// CPU of the server in microseconds an answer.
    pub server_cpu_us: f64,
    /// Answers in this window.
    pub answers: u64,
}

/// Collects latencies of one window.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty collection: 1 µs to 60 s, three digits.
    ///
    /// # Panics
    /// Never: the bounds are constants that the histogram accepts.
    #[expect(clippy::expect_used, reason = "constant bounds")]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds"))
    }

    /// Adds one answer's latency.
    pub fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos.max(1));
    }

    /// Joins another collection into this one.
    pub fn join(&mut self, other: &Self) {
        // Both have the same bounds, so nothing can be lost.
        let _ = self.0.add(&other.0);
    }

    /// How many answers.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in microseconds below which `quantile` of the answers stayed.
    pub fn at(&self, quantile: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "nanoseconds of a minute fit in 52 bits"
        )]
        let nanos = self.0.value_at_quantile(quantile) as f64;
        nanos / 1000.0
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// The median; for an even count the mean of the two in the middle. `NaN` of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(low), Some(high)) if values.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

/// The chance that a latency of `a` is above one of `b`, folded to 0.5..=1: 0.5 means that time tells nothing.
///
/// It is the area under the curve of the best threshold attack (Mann-Whitney).
pub fn distinguishability(a: &[u64], b: &[u64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return f64::NAN;
    }
    let mut all: Vec<(u64, bool)> = a
        .iter()
        .map(|value| (*value, true))
        .chain(b.iter().map(|value| (*value, false)))
        .collect();
    all.sort_unstable();
    let mut rank_sum = 0.0;
    let mut rank = 1.0;
    for group in all.chunk_by(|x, y| x.0 == y.0) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "sample counts are far below 2^52"
        )]
        let (size, ours) = (
            group.len() as f64,
            group.iter().filter(|(_, from_a)| *from_a).count() as f64,
        );
        rank_sum += ours * (rank + (size - 1.0) / 2.0);
        rank += size;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "sample counts are far below 2^52"
    )]
    let (count_a, count_b) = (a.len() as f64, b.len() as f64);
    let auc = (rank_sum - count_a * (count_a + 1.0) / 2.0) / (count_a * count_b);
    auc.max(1.0 - auc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_samples_of_the_same_values_cannot_be_told_apart() {
        let sample: Vec<u64> = (0..1000).collect();
        assert!((distinguishability(&sample, &sample) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn two_samples_that_do_not_overlap_are_told_apart_always() {
        let low: Vec<u64> = (0..100).collect();
        let high: Vec<u64> = (200..300).collect();
        assert!((distinguishability(&low, &high) - 1.0).abs() < 1e-9);
        assert!((distinguishability(&high, &low) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
