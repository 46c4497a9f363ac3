//! When to look again: after success (the clock opens and closes sales; drift is the survey's to find), and after a failure.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use ticket_core::ErrorClass;

/// Everything is looked at in full again this often, whatever surveys say: what they do not compare is set right by then.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// Spread of every wait, as a fraction: events that were applied at once do not stay in step.
const JITTER: f64 = 0.2;

/// First wait after a failure that may heal by itself.
const RETRY_MIN: Duration = Duration::from_millis(500);

/// Longest wait after such failures: a server that is back is noticed within this.
const RETRY_MAX: Duration = Duration::from_secs(20);

/// Wait after a failure that only a person can heal. A new spec is seen at once, by the watch.
const PERMANENT_WAIT: Duration = Duration::from_mins(1);

/// Doublings of [`RETRY_MIN`] beyond which nothing grows.
const DOUBLINGS_MAX: u32 = 8;

/// How long until the next look, all being well. `timers` are times at which something is due by the clock.
pub(crate) fn after_success(now: Timestamp, timers: &[Timestamp]) -> Duration {
    let again = jittered(LOOK_EVERY);
    timers
        .iter()
        .filter(|timer| **timer > now)
        .filter_map(|timer| Duration::try_from(timer.duration_since(now)).ok())
        .fold(again, Duration::min)
}

/// How long to wait after the `failures`-th failure in a row (counted from 0).
pub(crate) fn after_failure(class: ErrorClass, failures: u32) -> Duration {
    let wait = match class {
        ErrorClass::Permanent => PERMANENT_WAIT,
        ErrorClass::Retry | ErrorClass::Conflict | ErrorClass::Ambiguous => RETRY_MIN
            .saturating_mul(2_u32.saturating_pow(failures.min(DOUBLINGS_MAX)))
            .min(RETRY_MAX),
    };
    jittered(wait)
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(1.0 - JITTER..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_their_limit_and_never_vanish() {
        for failures in [0, 1, 5, 40, u32::MAX] {
            let wait = after_failure(ErrorClass::Retry, failures);
            assert!(
                wait >= RETRY_MIN.mul_f64(1.0 - JITTER) && wait <= RETRY_MAX,
                "{wait:?}"
            );
        }
        assert!(after_failure(ErrorClass::Permanent, 0) > RETRY_MAX);
    }

    #[test]
    fn the_clock_is_not_missed() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert_eq!(
            after_success(now, &[at(3), at(-5), at(7)]),
            Duration::from_secs(3)
        );
        assert!(after_success(now, &[at(3_600)]) <= LOOK_EVERY);
        assert!(after_success(now, &[]) >= LOOK_EVERY.mul_f64(1.0 - JITTER));
    }
}
