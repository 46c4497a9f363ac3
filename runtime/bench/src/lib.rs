//! The load generator and its judges: the demo's buyers, the checker that compares what they were told with what the
//! platform says, and the benchmark suite. It sees the platform from outside, as buyers and event managers do; only the
//! benchmarks of single paths reach behind the API.
//!
//! - [`crowd`]: simulated buyers.
//! - [`check`]: does what they were told agree with what the platform says?
//! - [`campaign`]: a sale while the provider misbehaves and processes are killed.
//! - [`chaos`]: sales while everything breaks, one after the other.
//! - [`partner`]: the reseller of such a sale.
//! - [`demo`]: from nothing to a sold-out event, with a report.
//! - [`load`]: the load generator.
//! - [`http`]: the buyer API beside an endpoint that does nothing.
//! - [`sandbox`]: payments of the payment sandbox on one core.
//! - [`baselines`]: what single parts of the path do alone.
//! - [`ledger`]: orders per second of the ledger path beside the naive transaction.
//! - [`citus`]: the same calls of the ledger on plain PostgreSQL and on Citus.
//! - `costs`: what each path costs most, and what was tried.
//! - [`growth`]: does an order cost the same when there is more of everything?
//! - [`together`]: everything at once.
//! - [`loss`]: what the death of a server costs a sale.
//! - [`profile`]: where a binary spends its CPU time under such a load.
//! - [`suite`]: all benchmarks of one run, written down with what they were measured on.

pub mod admin;
pub mod baselines;
pub mod campaign;
pub mod chaos;
pub mod check;
pub mod citus;
pub mod cli;
mod costs;
pub mod cpu;
pub mod crowd;
pub mod demo;
pub mod growth;
pub mod http;
pub mod kubectl;
pub mod latency;
pub mod ledger;
pub mod load;
pub mod loss;
pub mod memory;
pub mod operator;
pub mod outside;
pub mod partner;
pub mod profile;
pub mod provider;
pub mod report;
pub mod sale;
pub mod sandbox;
pub mod say;
pub mod stack_env;
pub mod stats;
pub mod suite;
pub mod text;
pub mod together;
