//! How much of everything a run measures.

use std::time::Duration;

use serde::Serialize;

/// Rounds of everything in a whole run.
const FULL_ROUNDS: u32 = 3;

/// Orders that are drained before anything is measured, in a whole run.
const FULL_WARM_UP_ORDERS: u32 = 200_000;

/// The same in a quick run.
const QUICK_WARM_UP_ORDERS: u32 = 100_000;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// A first look: one round, less of everything.
    pub quick: bool,
    /// Rounds of everything that says nothing else.
    pub rounds: u32,
    /// Orders that are drained before anything is measured: the broker's JVM and the servers' caches must be warm.
    pub warm_up_orders: u32,
}

impl Plan {
    /// The whole: under 40 minutes on two cores.
    #[must_use]
    pub fn full() -> Self {
        Self {
            quick: false,
            rounds: FULL_ROUNDS,
            warm_up_orders: FULL_WARM_UP_ORDERS,
        }
    }

    /// One round over fewer orders, and no server dies: under 3 minutes, servers included.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            quick: true,
            rounds: 1,
            warm_up_orders: QUICK_WARM_UP_ORDERS,
        }
    }

    /// `full` or `quick`, whichever this run is.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The same for seconds.
    #[must_use]
    pub fn seconds(&self, full: u64, quick: u64) -> Duration {
        Duration::from_secs(self.pick(full, quick))
    }
}
