//! The files beside this package, and the rules of the schema evaluated locally.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests, also in the functions that they share"
)]

mod generated;
mod rebalance;
mod rules;
