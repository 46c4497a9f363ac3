//! Looks after `ShardRebalance` resources: plans moves of the ledger's Citus shards, shows them, and carries out what a
//! person approved, one move at a time and one resource at a time. Level-triggered as the rest: where shards are is read
//! from the ledger before each move, so being killed at any point leaves something that the next look continues from.
//!
//! It knows Kubernetes and the ledger's catalogue. It does not know orders, the log or the store: a move changes where
//! stock is, never how much.

mod decide;
mod observe;
mod reconcile;
mod report;
mod turn;
mod watch;

pub(crate) use watch::run;
