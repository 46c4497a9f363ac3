//! When the next request is due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long after its end a steady load may still send what was due before: a server that is this far behind does not bear
/// the rate, and what is left counts as unsent.
const OVERTIME_MAX: Duration = Duration::from_secs(2);

/// How requests follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// On each connection the next one follows the answer.
    AsFastAsAnswered,
    /// So many per second, over all connections.
    Steady { per_second: u32 },
}

/// The requests of one thread: of a steady load every `threads`-th one.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    begin: Instant,
    lasts: Duration,
    next: AtomicU64,
    threads: u64,
    unsent: AtomicU64,
}

impl Schedule {
    /// The schedule of the `thread`-th of `threads`.
    pub(super) fn new(
        pace: Pace,
        begin: Instant,
        lasts: Duration,
        thread: u64,
        threads: u64,
    ) -> Self {
        Self {
            pace,
            begin,
            lasts,
            next: AtomicU64::new(thread),
            threads,
            unsent: AtomicU64::new(0),
        }
    }

    /// When the load ends.
    pub(super) fn end(&self) -> Instant {
        self.begin + self.lasts
    }

    /// When the next request is due, which may be a while ago or, before the load begins, still to come; `None` when the load is over. `now` is the moment at
    /// which somebody is free to send it.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let elapsed = now.saturating_duration_since(self.begin);
        match self.pace {
            Pace::AsFastAsAnswered => (elapsed < self.lasts).then(|| now.max(self.begin)),
            Pace::Steady { per_second } => {
                let number = self.next.fetch_add(self.threads, Ordering::Relaxed);
                let after = Duration::from_nanos(number * 1_000_000_000 / u64::from(per_second));
                if after >= self.lasts {
                    return None;
                }
                if elapsed > self.lasts + OVERTIME_MAX {
                    let total = self.lasts.as_nanos() * u128::from(per_second) / 1_000_000_000;
                    let left = u64::try_from(total)
                        .unwrap_or(u64::MAX)
                        .saturating_sub(number);
                    // Nobody else gets a number that is due.
                    self.next.store(u64::MAX / 2_000_000_000, Ordering::Relaxed);
                    self.unsent
                        .fetch_add(left.div_ceil(self.threads), Ordering::Relaxed);
                    return None;
                }
                Some(self.begin + after)
            }
        }
    }

    /// Requests that were due and were never sent.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_threads_share_a_steady_load() {
        let begin = Instant::now();
        let pace = Pace::Steady { per_second: 10 };
        let mut due = Vec::new();
        for thread in 0..2 {
            let schedule = Schedule::new(pace, begin, SECOND, thread, 2);
            due.extend(std::iter::from_fn(|| schedule.next(begin)));
            assert_eq!(schedule.unsent(), 0);
        }
        due.sort_unstable();
        let wanted: Vec<_> = (0..10)
            .map(|tenth| begin + Duration::from_millis(100 * tenth))
            .collect();
        assert_eq!(due, wanted);
    }

    #[test]
    fn a_late_request_is_due_when_it_was_planned_and_one_far_too_late_is_counted() {
        let begin = Instant::now();
        let pace = Pace::Steady { per_second: 10 };
        let schedule = Schedule::new(pace, begin, SECOND, 0, 2);
        assert_eq!(schedule.next(begin + SECOND), Some(begin));
        let far_too_late = begin + SECOND + OVERTIME_MAX * 2;
        assert_eq!(schedule.next(far_too_late), None);
        // Of 0, 2, 4, 6, 8 the first one went out.
        assert_eq!(schedule.unsent(), 4);
        assert_eq!(schedule.next(far_too_late), None);
        assert_eq!(schedule.unsent(), 4);
    }

    #[test]
    fn a_closed_load_ends_by_time() {
        let begin = Instant::now();
        let schedule = Schedule::new(Pace::AsFastAsAnswered, begin, SECOND, 0, 1);
        let half = begin + SECOND / 2;
        assert_eq!(schedule.next(half), Some(half));
        assert_eq!(schedule.next(begin + SECOND), None);
    }
}
