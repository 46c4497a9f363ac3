//! The bus against a real Kafka. Each test has topics and groups of its own, so that all run at the same time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows these in test functions only, and helpers of tests fail the same way"
)]

mod broker;
mod consumer;
mod crash;
mod group;
mod producer;
mod secure;
mod support;
mod tail;
mod topics;
