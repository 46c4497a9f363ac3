//! The operator against real servers: kube-apiserver, Kafka, PostgreSQL and Redis.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "tests, also in the functions that they share"
)]

mod adjust;
mod charts;
mod crash;
mod crd;
mod deletion;
mod down;
mod drift;
mod lanes;
mod lease;
mod lifecycle;
mod lost;
mod rebalance;
mod relay;
mod sale;
mod world;
