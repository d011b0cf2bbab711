//! Histograms with fixed buckets, cheap enough for every message.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts values in fixed buckets. The sum is kept to a millionth.
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: what is above the last.
    buckets: Box<[AtomicU64]>,
    sum_millionths: AtomicU64,
}

/// Bounds that double, from 2 to the power `first`: the bounds of a native histogram of schema 0, so that turning one into
/// the other loses nothing.
pub const fn powers_of_two<const N: usize>(first: i32) -> [f64; N] {
    let mut bounds = [1.0; N];
    let (mut at, mut bound, mut power) = (0, 1.0, 0);
    while power > first {
        bound /= 2.0;
        power -= 1;
    }
    while at < N {
        bounds[at] = bound;
        bound *= 2.0;
        at += 1;
    }
    bounds
}

/// What a histogram has counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HistogramSnapshot {
    /// (upper bound, how many at or below it): cumulative, as Prometheus has it. Durations are in seconds.
    pub buckets: Vec<(f64, u64)>,
    /// How many in all.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Histogram {
    /// With these upper bounds, which ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum_millionths: AtomicU64::new(0) }
    }

    /// Adds a duration, as seconds.
    pub fn record(&self, took: Duration) {
        self.add(took.as_secs_f64(), took.as_micros() as u64);
    }

    /// Adds a number of things.
    pub fn record_count(&self, count: usize) {
        self.add(count as f64, count as u64 * 1_000_000);
    }

    fn add(&self, value: f64, millionths: u64) {
        let at = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_millionths.fetch_add(millionths, Relaxed);
    }

    /// As of now.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut add = |bucket: &AtomicU64| {
            count += bucket.load(Relaxed);
            count
        };
        let buckets = self.bounds.iter().zip(&self.buckets).map(|(bound, one)| (*bound, add(one))).collect();
        let count = self.buckets.last().map_or(0, add);
        HistogramSnapshot { buckets, count, sum: self.sum_millionths.load(Relaxed) as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_last_has_no_bound() {
        let histogram = Histogram::new(&[1.0, 4.0]);
        [1, 2, 4, 5].into_iter().for_each(|count| histogram.record_count(count));
        histogram.record(Duration::from_millis(500));
        let seen = histogram.snapshot();
        assert_eq!((seen.buckets, seen.count, seen.sum), (vec![(1.0, 2), (4.0, 4)], 5, 12.5));
    }
}
