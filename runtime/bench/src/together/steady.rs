//! What a given rate costs, in cores. Small batches are the largest cost of all, so the low rates tell more than the high
//! ones.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use super::stand::{CONNECTIONS, Stand, Used};
use crate::ledger::rig::Rig;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::section::{Bar, Plot, Section, Table};
use crate::text::{grouped, short};

/// Orders per second, and the cores that all processes without the load generator may use; `None` is for information.
const RATES: [(u32, Option<f64>); 3] = [(200, Some(0.25)), (1_000, None), (5_000, Some(1.0))];

/// Part of a rate that must have been sent and answered, else the rate was not borne.
pub(super) const BORNE_MIN: f64 = 0.95;

/// How long a rate runs before it is measured: batches have adapted to it.
const SETTLE: Duration = Duration::from_secs(1);

/// How long everything is watched without a single order, at most.
const REST_MAX: Duration = Duration::from_secs(5);

/// Start, warm-up and comparison of a round, beside its loads.
const AROUND: Duration = Duration::from_secs(5);

/// What one rate reached in one round.
#[derive(Debug, Clone, Copy, Serialize)]
struct Reached {
    per_second: u32,
    sent_per_s: f64,
    unsent: u64,
    /// Cores: API, processor, `PostgreSQL`, Kafka, Redis.
    cores: [f64; 5],
    accepted_p99_ms: f64,
    decided_p50_ms: f64,
    decided_p99_ms: f64,
    orders_per_call: f64,
}

impl Reached {
    fn all_cores(&self) -> f64 {
        self.cores.iter().sum()
    }
}

/// The measure.
pub(super) struct Steady {
    lasts: Duration,
    at_rest: Duration,
    /// Per round, in the order of [`RATES`].
    rounds: Vec<Vec<Reached>>,
    /// Per round: cores that everything uses without a single order.
    rest_cores: Vec<[f64; 5]>,
}

#[derive(Serialize)]
struct Results<'a> {
    rounds: &'a [Vec<Reached>],
    /// Cores at rest, per round: API, processor, `PostgreSQL`, Kafka, Redis.
    rest_cores: &'a [[f64; 5]],
}

impl Steady {
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            at_rest: lasts.min(REST_MAX),
            rounds: Vec::new(),
            rest_cores: Vec::new(),
        }
    }

    fn loads(&self) -> Duration {
        let rates = u32::try_from(RATES.len()).unwrap_or(0);
        SETTLE + self.at_rest + rates * (SETTLE + self.lasts)
    }

    fn spread(&self, at: usize, value: impl Fn(&Reached) -> f64) -> Spread {
        let rounds = self.rounds.iter().filter_map(|rates| rates.get(at));
        Spread::of(rounds.map(value).collect())
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let orders: u64 = RATES
            .iter()
            .map(|(rate, _)| u64::from(*rate) * (self.lasts + SETTLE).as_secs())
            .sum();
        let stand = Stand::start(rig, usize::try_from(2 * orders)?).await?;
        // What the warm-up set off, such as the broker's compiler, is no rest.
        tokio::time::sleep(SETTLE).await;
        let (before, started) = (stand.used(rig)?, Instant::now());
        tokio::time::sleep(self.at_rest).await;
        let rest = stand.used(rig)?.since(before);
        self.rest_cores.push(cores(rest, started.elapsed()));
        let mut round = Vec::new();
        for (per_second, _) in RATES {
            stand.steady(rig, per_second, SETTLE).await?;
            let carried = stand.steady(rig, per_second, self.lasts).await?;
            let (outcome, counted) = (&carried.outcome, &carried.counted);
            let reached = Reached {
                per_second,
                sent_per_s: outcome.per_second(),
                unsent: outcome.unsent,
                cores: cores(carried.used, carried.took),
                accepted_p99_ms: outcome.percentile_ms(99.0),
                decided_p50_ms: counted.decided_after_ms(50.0),
                decided_p99_ms: counted.decided_after_ms(99.0),
                orders_per_call: counted.orders_per_call(),
            };
            say::progress(&format!(
                "steady {}/s: {:.2} cores, 202 to fact {:.0}/{:.0} ms",
                grouped(per_second.into()),
                reached.all_cores(),
                reached.decided_p50_ms,
                reached.decided_p99_ms,
            ));
            round.push(reached);
        }
        stand.finish(rig).await?;
        self.rounds.push(round);
        Ok(())
    }
}

/// Cores that were used over `took`.
fn cores(used: Used, took: Duration) -> [f64; 5] {
    let took = took.as_secs_f64().max(f64::EPSILON);
    used.parts().map(|used| used.as_secs_f64() / took)
}

impl Measure for Steady {
    fn name(&self) -> &'static str {
        "steady rates"
    }

    fn takes(&self) -> Duration {
        self.loads() + AROUND
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.measure(rig).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut columns = vec!["orders/s".to_owned()];
        columns.extend(Used::NAMES.map(|name| format!("{name}, cores")));
        columns.extend(["all, cores", "CPU us/order"].map(str::to_owned));
        let mut cpu = Table::new(columns);
        let mut rest = vec!["at rest".to_owned()];
        let of_rest = |value: &dyn Fn(&[f64; 5]) -> f64| {
            Spread::of(self.rest_cores.iter().map(value).collect())
        };
        for at in 0..Used::NAMES.len() {
            rest.push(format!("{:.3}", of_rest(&|cores| cores[at]).median));
        }
        let at_rest = of_rest(&|cores| cores.iter().sum());
        rest.extend([at_rest.to_string(), "-".to_owned()]);
        cpu.row(rest);
        let mut latency = Table::new([
            "orders/s",
            "sent/s",
            "never sent",
            "orders per ledger call",
            "request to 202 p99, ms",
            "202 to fact p50, ms",
            "202 to fact p99, ms",
        ]);
        let mut bars = Vec::new();
        let mut groups = Vec::new();
        let mut series = Used::NAMES.map(|name| (name.to_owned(), Vec::new()));
        for (at, (rate, most)) in RATES.into_iter().enumerate() {
            let label = grouped(rate.into());
            let all = self.spread(at, Reached::all_cores);
            let sent = self
                .spread(at, |reached| reached.sent_per_s)
                .median
                .max(1.0);
            let mut row = vec![label.clone()];
            for (process, (_, heights)) in series.iter_mut().enumerate() {
                let median = self.spread(at, |reached| reached.cores[process]).median;
                row.push(format!("{median:.3}"));
                heights.push(median * 1e6 / sent);
            }
            let per_order = all.median * 1e6 / sent;
            row.extend([all.to_string(), format!("{per_order:.0}")]);
            cpu.row(row);
            latency.row([
                label.clone(),
                self.spread(at, |reached| reached.sent_per_s).to_string(),
                self.rounds
                    .iter()
                    .filter_map(|rates| rates.get(at))
                    .map(|reached| reached.unsent)
                    .sum::<u64>()
                    .to_string(),
                self.spread(at, |reached| reached.orders_per_call)
                    .to_string(),
                self.spread(at, |reached| reached.accepted_p99_ms)
                    .to_string(),
                self.spread(at, |reached| reached.decided_p50_ms)
                    .to_string(),
                self.spread(at, |reached| reached.decided_p99_ms)
                    .to_string(),
            ]);
            groups.push(format!("{label}/s"));
            if let Some(most) = most {
                let what = format!("steady {label} orders/s, all processes");
                let mut bar = Bar::at_most(&what, most, " cores", &all);
                // A rate that was not borne has no price.
                bar.holds &= sent >= BORNE_MIN * f64::from(rate);
                bars.push(bar);
            }
        }
        Section {
            title: "Steady rates".to_owned(),
            intro: vec![format!(
                "The same processes under an open loop of a fixed rate over {CONNECTIONS} connections, {} each: cores that \
                 everything but the load generator uses. `At rest` is the price of being there: heartbeats, looks at the \
                 catalog and at holds, the broker itself.",
                short(self.lasts)
            )],
            tables: vec![cpu, latency],
            plots: vec![Plot::Stacked {
                file: "steady-cpu".to_owned(),
                title: "CPU per order at a steady rate".to_owned(),
                y_label: "CPU us per order".to_owned(),
                groups,
                series: series.to_vec(),
            }],
            bars,
            notes: Vec::new(),
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::to_value(Results {
            rounds: &self.rounds,
            rest_cores: &self.rest_cores,
        })
        .unwrap_or_default()
    }
}
