//! Warm-ups: the stock store is refilled from the ledger, exact to the unit, while orders go on being decided. One
//! implementation for the operator's first seed, the keeper and a manager who asks for it. It does not know HTTP or
//! Kubernetes, and it never changes stock: the ledger is what the store becomes.
//!
//! 1. The lock is taken ([`ticket_ledger::Ledger::lock_warmup`]), which raises the event's epoch. The store is disarmed.
//! 2. A marker goes to every stock shard by its partition of the order log. Whoever decides moves the row to the epoch:
//!    what lies before the marker is decided by then, and a place of an older epoch behind it is refused.
//! 3. When all rows are at the epoch, every order of the event is staged, and the store is seeded and armed in one call.
//!    The count of a stock shard is its capacity less the orders that were staged for it, so that counts and records fit
//!    together whatever was decided between two reads.
//! 4. What was decided since the orders were read may not have reached a store that was not armed yet. These orders and
//!    the capacities are read again and told again; the store drops what it knows. Only then is the run finished.
//!
//! A run that dies anywhere leaves a lock that runs out and an epoch that is not finished: whoever comes next begins anew
//! with a newer epoch.

mod error;
mod fill;
mod phase;
mod run;

pub use error::WarmupError;
pub use fill::{FirstSeed, first_seed};
pub use phase::{Event, IllegalEvent, Phase};
pub use run::{HEARTBEAT, HOLD_FOR, LEASE, Outcome, RUN_MAX, Warmer};
