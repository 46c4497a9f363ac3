//! The ledger against real servers: every test runs on plain `PostgreSQL`, and on Citus where that is installed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests, also in the functions that they share"
)]

mod fixture;

mod adjust;
mod adoption;
mod apply;
mod audit;
mod audits;
mod broken;
mod events;
mod feeds;
mod lanes;
mod machine;
mod marks;
mod migration;
mod model;
mod moves;
mod reads;
mod rivals;
mod secure;
mod shards;
mod warmups;
