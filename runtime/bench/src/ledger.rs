//! The ledger path alone: a full order log, the real processor process, the real servers; beside it, in the same rounds,
//! what one writes without this platform: a transaction per order.
//!
//! - [`rig`]: servers of its own, so that nothing else is measured.
//! - `fill`: the order log before a round.
//! - `drain`: one round of the path, from the first fact to the last committed offset.
//! - `paths`: the ways that must reach a bar.
//! - `sweep`: throughput against batch size.
//! - `naive`: the baseline.

pub(crate) mod drain;
pub(crate) mod fill;
mod naive;
mod paths;
pub mod rig;
mod sweep;

use serde::Serialize;

use crate::stats::Spread;
use crate::suite::measure::Measure;
use crate::suite::plan::Plan;
use rig::Rig;

/// Under this name the board has transactions per second of the baseline.
pub const NAIVE: &str = "naive";

/// Orders in one ledger call when the log is full.
pub(crate) const BATCH_MAX: u32 = 1_000;

/// One way through the ledger path.
#[derive(Debug, Clone, Serialize)]
pub struct Path {
    /// For people.
    pub name: &'static str,
    /// Stock shards, each on a partition of its own.
    pub shards: u16,
    /// Orders of a round, over all stock shards.
    pub orders: u32,
    /// `TICKET_CONSUMER_MAX_BATCH` of the processor.
    pub batch_max: u32,
}

/// CPU microseconds per order of each process, generator left out.
#[derive(Debug, Clone, Serialize)]
pub struct CpuPerOrder {
    /// The database, all nodes and sessions.
    pub postgres: Spread,
    /// The broker.
    pub kafka: Spread,
    /// Redis.
    pub redis: Spread,
    /// `ticket-runtime processor`.
    pub processor: Spread,
    /// All of them together, round by round.
    pub all: Spread,
}

impl CpuPerOrder {
    fn of(rounds: &[drain::Round]) -> Self {
        let spread = |us: &dyn Fn(&drain::CpuUs) -> f64| {
            Spread::of(rounds.iter().map(|round| us(&round.cpu_us)).collect())
        };
        Self {
            postgres: spread(&|us| us.postgres),
            kafka: spread(&|us| us.kafka),
            redis: spread(&|us| us.redis),
            processor: spread(&|us| us.processor),
            all: spread(&|us| us.all()),
        }
    }
}

/// The baseline, and everything that is compared with it here. The baseline comes first in every round.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    let mut measures: Vec<Box<dyn Measure>> = vec![Box::new(naive::Naive::new(plan))];
    measures.extend(paths::measures(plan));
    measures.extend(sweep::measures(plan));
    measures
}

/// Drains `orders` orders before anything is measured.
///
/// # Errors
/// A server or the processor failed, or the answers do not agree.
pub async fn warm_up(rig: &Rig, orders: u32) -> anyhow::Result<()> {
    let path = Path {
        name: "warm-up",
        shards: 1,
        orders,
        batch_max: BATCH_MAX,
    };
    drain::round(rig, &path).await.map(drop)
}
