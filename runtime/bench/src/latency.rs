//! Latencies as histograms: what 20,000 requests took, in a few kilobytes.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest latency that is told apart, microseconds: ten minutes. Longer ones count as this.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Three significant digits: 1.23 ms and 1.24 ms are two values.
const SIGNIFICANT_DIGITS: u8 = 3;

/// A distribution of latencies.
#[derive(Debug, Clone)]
pub struct Latency {
    // None only if the constants above contradict each other, which a test rules out.
    us: Option<Histogram<u64>>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            us: Histogram::new_with_bounds(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS).ok(),
        }
    }
}

impl Latency {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LATENCY_MAX_US);
        if let Some(histogram) = &mut self.us {
            histogram.saturating_record(us);
        }
    }

    /// Counts everything that `other` has counted.
    pub fn add(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.us, &other.us) {
            // Both have the same bounds, so that no value of one is out of the other's range.
            let added = mine.add(theirs);
            debug_assert!(added.is_ok(), "histograms differ in their bounds");
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.us.as_ref().map_or(0, Histogram::len)
    }

    /// The latency that `percent` of all do not exceed; `None` if nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let histogram = self.us.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_micros(
            histogram.value_at_percentile(percent),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_thousand_milliseconds() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(50.0), None);
        for ms in 1..=1_000 {
            latency.record(Duration::from_millis(ms));
        }
        let percentile = |percent| latency.percentile(percent).unwrap().as_secs_f64() * 1_000.0;
        assert!((percentile(50.0) - 500.0).abs() < 1.0);
        assert!((percentile(99.0) - 990.0).abs() < 2.0);
        assert_eq!(latency.count(), 1_000);
    }

    #[test]
    fn two_threads_add_up() {
        let (mut one, mut other) = (Latency::default(), Latency::default());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_hours(24));
        one.add(&other);
        assert_eq!(one.count(), 2);
        assert_eq!(one.percentile(100.0).unwrap().as_secs(), 600);
    }

    #[test]
    fn what_takes_longer_than_ten_minutes_counts_as_ten_minutes() {
        let mut latency = Latency::default();
        latency.record(Duration::from_hours(24));
        assert_eq!(latency.percentile(100.0).unwrap().as_secs(), 600);
    }
}
