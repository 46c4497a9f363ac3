//! The one seam for wall-clock time, so that a test or a fault campaign can move a process's clock.

use jiff::Timestamp;

/// Now, to the microsecond: the ledger keeps no finer time, and a time must read back as it was written.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the seam that everybody else uses"
)]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
