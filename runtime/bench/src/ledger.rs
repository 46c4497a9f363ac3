//! The ledger path alone: a full order log, the real processor process, the real servers; beside it, in the same run, what
//! one writes without this platform: a transaction per order. Rounds are interleaved, so that a busy minute hits both.
//!
//! - [`rig`]: servers of its own, so that nothing else is measured.
//! - `fill`: the order log before a round.
//! - `drain`: one round of the path, from the first fact to the last committed offset.
//! - `naive`: one round of the baseline.

mod drain;
mod fill;
mod naive;
pub mod rig;

use std::time::Duration;

use serde::Serialize;

use crate::say;
use crate::stats::Spread;
use crate::text::grouped;
pub use naive::CLIENTS;
use rig::Rig;

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

/// How much is measured.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Rounds of everything.
    pub rounds: u32,
    /// Orders that are drained before anything is measured: the broker's JVM and the server's caches must be warm.
    pub warm_up_orders: u32,
    /// How long a round of the naive transaction lasts.
    #[serde(skip)]
    pub naive_round: Duration,
    /// The ways.
    pub paths: Vec<Path>,
}

impl Plan {
    /// The whole: about three minutes of measuring.
    #[must_use]
    pub fn full() -> Self {
        Self::with(5, Duration::from_secs(5), [400_000, 600_000, 5_000])
    }

    /// One round over fewer orders: for a first look.
    #[must_use]
    pub fn quick() -> Self {
        Self::with(1, Duration::from_secs(3), [100_000, 200_000, 1_000])
    }

    fn with(rounds: u32, naive_round: Duration, orders: [u32; 3]) -> Self {
        let path = |name, shards, orders, batch_max| Path {
            name,
            shards,
            orders,
            batch_max,
        };
        Self {
            rounds,
            warm_up_orders: 50_000,
            naive_round,
            paths: vec![
                path("one hot stock shard", 1, orders[0], BATCH_MAX),
                path(
                    "four stock shards on four partitions",
                    4,
                    orders[1],
                    BATCH_MAX,
                ),
                path("one message at a time", 1, orders[2], 1),
            ],
        }
    }
}

/// Orders in one ledger call when the log is full.
const BATCH_MAX: u32 = 1_000;

/// What a path reached.
#[derive(Debug, Clone, Serialize)]
pub struct PathResult {
    /// The way.
    pub path: Path,
    /// Orders per second: ledger durable, facts out, offsets committed.
    pub orders_per_s: Spread,
    /// Times the naive transaction of the same round.
    pub times_naive: Spread,
    /// CPU microseconds per order.
    pub cpu_us: CpuPerOrder,
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
}

/// Both sides of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// Transactions per second of the baseline.
    pub naive_per_s: Spread,
    /// What the paths reached.
    pub paths: Vec<PathResult>,
}

/// Measures everything of `plan`.
///
/// # Errors
/// A server or the processor failed, or the answers do not agree: a fast path that lost an order has no rate.
pub async fn measure(rig: &Rig, plan: &Plan) -> anyhow::Result<Results> {
    let naive = naive::Naive::prepare(rig).await?;
    say::progress(&format!(
        "warming up with {} orders",
        grouped(plan.warm_up_orders.into())
    ));
    let warm_up = Path {
        name: "warm-up",
        shards: 1,
        orders: plan.warm_up_orders,
        batch_max: BATCH_MAX,
    };
    drain::round(rig, &warm_up).await?;
    naive.round(plan.naive_round / 2).await?;

    let mut naive_rates = Vec::new();
    let mut drained: Vec<Vec<(drain::Round, f64)>> = vec![Vec::new(); plan.paths.len()];
    for number in 1..=plan.rounds {
        let naive_rate = naive.round(plan.naive_round).await?;
        let of = plan.rounds;
        say::progress(&format!(
            "round {number} of {of}: naive transaction {naive_rate:.0}/s"
        ));
        naive_rates.push(naive_rate);
        for (path, rounds) in plan.paths.iter().zip(&mut drained) {
            let round = drain::round(rig, path).await?;
            let (rate, times) = (round.orders_per_s, round.orders_per_s / naive_rate);
            let name = path.name;
            say::progress(&format!(
                "round {number} of {of}: {name} {rate:.0}/s, x{times:.1}"
            ));
            rounds.push((round, times));
        }
    }
    let paths = plan.paths.iter().zip(&drained).map(|(path, rounds)| {
        let spread = |value: &dyn Fn(&drain::Round) -> f64| {
            Spread::of(rounds.iter().map(|(round, _)| value(round)).collect())
        };
        PathResult {
            path: path.clone(),
            orders_per_s: spread(&|round| round.orders_per_s),
            times_naive: Spread::of(rounds.iter().map(|(_, times)| *times).collect()),
            cpu_us: CpuPerOrder {
                postgres: spread(&|round| round.cpu_us.postgres),
                kafka: spread(&|round| round.cpu_us.kafka),
                redis: spread(&|round| round.cpu_us.redis),
                processor: spread(&|round| round.cpu_us.processor),
            },
        }
    });
    Ok(Results {
        naive_per_s: Spread::of(naive_rates),
        paths: paths.collect(),
    })
}
