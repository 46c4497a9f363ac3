//! The operator: an `Event` is the whole truth of a sale, a `ShardRebalance` of moves between the ledger's nodes. For each one it reads what is there, plans, does one step at a
//! time and reports. It is level-triggered: nothing is remembered between two looks, every step may be repeated, and
//! being killed at any point leaves something that the next look continues from.
//!
//! It knows Kubernetes, and the ledger, the store and the log through their packages. It does not know orders.

mod adjust;
mod apply;
mod backoff;
mod claim;
mod config;
mod context;
mod controller;
mod dependencies;
mod error;
mod faults;
mod finalize;
mod kubernetes;
mod lease;
mod notify;
mod observe;
mod rebalance;
mod reconcile;
mod report;
mod rows;
mod survey;

use ticket_telemetry::{Health, Supervisor};
use tokio_util::sync::CancellationToken;

pub use config::{Config, LeaseConfig};
pub use dependencies::PROBES;
pub use error::{Dependency, OperatorError};
pub use faults::Faults;

use crate::context::Context;
use crate::lease::Lease;

/// Runs the operator until `stop`. Waits for leadership first, if the configuration asks for it.
///
/// # Errors
/// What ends the process: clients that cannot be made, a lost lease, a task that ended early.
pub async fn run(config: Config, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    let context = Context::connect(&config).await?;
    let mut tasks = Supervisor::new(stop.clone());
    tasks.start(
        "dependencies",
        dependencies::watch(context.clone(), health, stop.clone()),
    );
    if let Some(settings) = config.lease {
        // Only the holder works. Whoever loses the lease ends: a restarted process asks again.
        let lease = Lease::new(context.client.clone(), settings);
        if !lease.acquire(&stop).await? {
            return tasks.finish_within(config::DRAIN_DEADLINE).await;
        }
        tasks.start("lease", lease.keep(stop.clone()));
    }
    let killed = config.faults.killed();
    if let Some(selector) = config.rebalances {
        tasks.start(
            "rebalances",
            rebalance::run(context.clone(), selector, stop.clone()),
        );
    }
    tasks.start("events", controller::run(context, config.namespace, stop));
    tokio::select! {
        ended = tasks.finish_within(config::DRAIN_DEADLINE) => ended,
        // A test pulls the plug: everything is dropped where it stands.
        () = killed.cancelled() => anyhow::bail!("killed by a fault"),
    }
}
