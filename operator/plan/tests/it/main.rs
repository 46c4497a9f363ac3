//! Plans for situations, as golden files, and what holds for all plans.

#![expect(
    clippy::unwrap_used,
    reason = "tests, also in the functions that they share"
)]

mod fixture;
mod golden;
mod properties;
mod rebalance;
