//! How fast records come, and whether waiting for more of them pays. It knows no queue and no clock of its own.

use std::time::Duration;

use tokio::time::Instant;

/// A wait pays if so many more records are expected in it. With fewer it would only make a quiet sale slow.
const WORTH_RECORDS: f64 = 2.0;

/// Weight of the newest batch against all before it. A burst is noticed with the second batch, its end as soon.
const NEWEST_WEIGHT: f64 = 0.5;

/// Shorter times between two batches say nothing about the rate.
const SHORTEST: Duration = Duration::from_micros(100);

/// Records per second on a partition, over its last few batches.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    last: Instant,
}

impl Pace {
    /// Nothing has come yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            per_second: 0.0,
            last: now,
        }
    }

    /// A batch of `records` was taken.
    pub(super) fn took(&mut self, records: usize, now: Instant) {
        let since = now.duration_since(self.last).max(SHORTEST);
        let records = f64::from(u32::try_from(records).unwrap_or(u32::MAX));
        let newest = records / since.as_secs_f64();
        self.per_second += NEWEST_WEIGHT * (newest - self.per_second);
        self.last = now;
    }

    /// Are enough records expected within `wait`?
    pub(super) fn pays(&self, wait: Duration) -> bool {
        self.per_second * wait.as_secs_f64() >= WORTH_RECORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(20);

    #[test]
    fn a_wait_pays_in_a_burst_and_not_in_a_quiet_time() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!(!pace.pays(WAIT));
        // One in 50 ms.
        for batch in 1..=100 {
            pace.took(1, start + Duration::from_millis(50 * batch));
            assert!(!pace.pays(WAIT));
        }
        // One a millisecond.
        let burst = start + Duration::from_secs(5);
        pace.took(3, burst + Duration::from_millis(3));
        assert!(pace.pays(WAIT));
        // And quiet again.
        pace.took(1, burst + Duration::from_secs(5));
        pace.took(1, burst + Duration::from_secs(10));
        pace.took(1, burst + Duration::from_secs(15));
        pace.took(1, burst + Duration::from_secs(20));
        assert!(!pace.pays(WAIT));
    }
}
