//! How often one client may ask. Clients share a fixed number of cells by a hash of their name, so memory is bounded
//! whoever comes, and no lock is taken. Two clients in one cell share its rate: at 65,536 cells that happens to few of those
//! who ask often, and a secret hash keeps anybody from choosing whom.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use ticket_core::Code;

use crate::problem::Problem;

/// Cells of one [`Rate`]: 512 KiB.
const CELLS: usize = 65_536;

/// A limit on the requests of each client. Without a limit it costs nothing.
pub(crate) struct Rate {
    limiter: Option<RateLimiter<u64, Cells, DefaultClock>>,
    names: RandomState,
}

impl Rate {
    /// `per_second` requests of a client in the long run (0 = no limit), `burst` at once after a rest.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(per_second).map(|rate| {
            let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
            Quota::per_second(rate).allow_burst(burst)
        });
        let clock = DefaultClock::default();
        Self {
            limiter: quota.map(|quota| RateLimiter::new(quota, Cells::new(), clock)),
            names: RandomState::new(),
        }
    }

    /// Is there a limit at all?
    pub(crate) fn is_on(&self) -> bool {
        self.limiter.is_some()
    }

    /// Counts a request of `client`; `too-many-requests` with the time until the next one.
    pub(crate) fn check(&self, client: &(impl Hash + ?Sized)) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter
            .check_key(&self.names.hash_one(client))
            .map_err(|refused| {
                let wait = refused.wait_time_from(limiter.clock().now());
                let whole_s = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
                let mut problem =
                    Problem::new(Code::TooManyRequests, "more than one client may send");
                problem.retry_after_s = Some(whole_s.saturating_add(1));
                problem
            })
    }
}

/// One state for many clients.
struct Cells(Box<[InMemoryState]>);

impl Cells {
    fn new() -> Self {
        Self((0..CELLS).map(|_| InMemoryState::default()).collect())
    }
}

impl StateStore for Cells {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = usize::try_from(*key).unwrap_or_default() % self.0.len();
        self.0[at].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_slowed_down_and_another_is_not() {
        let rate = Rate::new(1, 3);
        for _ in 0..3 {
            rate.check("ann").unwrap();
        }
        let refused = rate.check("ann").unwrap_err();
        assert_eq!(refused.code, Code::TooManyRequests);
        assert_eq!(refused.retry_after_s, Some(1));
        // Of many others hardly any shares her cell.
        let others = (0..100).filter(|bob| rate.check(bob).is_ok()).count();
        assert!(others >= 98, "{others}");
    }

    #[test]
    fn without_a_limit_nobody_is_refused() {
        let rate = Rate::new(0, 1);
        assert!(!rate.is_on() && (0..1_000).all(|_| rate.check("ann").is_ok()));
    }
}
