//! As fast as it goes: a closed loop over HTTP until every order is durable and its fact is out.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use super::stand::{CONNECTIONS, SHARDS, Stand, Used};
use crate::ledger::rig::Rig;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::section::{Bar, Plot, Section, Table};
use crate::text::{grouped, short};

/// Orders per second that must be decided.
const RATE_MIN: f64 = 12_000.0;

/// The same as multiples of the naive transaction of the round.
const TIMES_NAIVE_MIN: f64 = 5.0;

/// Longest wait of 99 of 100 buyers from the 202 to the decision, milliseconds.
const DECIDED_P99_MS_MAX: f64 = 100.0;

/// Start, warm-up, drain and comparison of a round, beside its load.
const AROUND: Duration = Duration::from_secs(5);

/// More orders per second than this machine decides: room for them is made at once.
const ROOM_PER_SECOND: u64 = 30_000;

/// What a round reached.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    orders: u32,
    orders_per_s: f64,
    accepted_p50_ms: f64,
    accepted_p99_ms: f64,
    decided_p50_ms: f64,
    decided_p99_ms: f64,
    orders_per_call: f64,
    /// CPU microseconds per order: API, processor, `PostgreSQL`, Kafka, Redis.
    cpu_us: [f64; 5],
    generator_us: f64,
}

/// The measure.
pub(super) struct Everything {
    lasts: Duration,
    rounds: Vec<Round>,
}

#[derive(Serialize)]
struct Results<'a> {
    rounds: &'a [Round],
    orders_per_s: Spread,
    times_naive: Spread,
    decided_p99_ms: Spread,
}

impl Everything {
    pub(super) const fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            rounds: Vec::new(),
        }
    }

    fn spread(&self, value: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value).collect())
    }

    fn results(&self, board: &Board) -> Results<'_> {
        let rates: Vec<_> = self.rounds.iter().map(|round| round.orders_per_s).collect();
        Results {
            rounds: &self.rounds,
            times_naive: board.ratio("naive", &rates),
            orders_per_s: Spread::of(rates),
            decided_p99_ms: self.spread(|round| round.decided_p99_ms),
        }
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let room = usize::try_from(self.lasts.as_secs().max(1) * ROOM_PER_SECOND)?;
        let stand = Stand::start(rig, room).await?;
        let carried = stand.closed(rig, self.lasts).await?;
        stand.finish(rig).await?;
        let (outcome, counted) = (&carried.outcome, &carried.counted);
        let round = Round {
            orders: counted.decided,
            orders_per_s: counted.per_second(),
            accepted_p50_ms: outcome.percentile_ms(50.0),
            accepted_p99_ms: outcome.percentile_ms(99.0),
            decided_p50_ms: counted.decided_after_ms(50.0),
            decided_p99_ms: counted.decided_after_ms(99.0),
            orders_per_call: counted.orders_per_call(),
            cpu_us: carried.used.parts().map(|used| outcome.us_per_answer(used)),
            generator_us: outcome.us_per_answer(outcome.generator_cpu),
        };
        say::progress(&format!(
            "everything at once: {:.0} orders/s, 202 to fact {:.0}/{:.0} ms",
            round.orders_per_s, round.decided_p50_ms, round.decided_p99_ms
        ));
        self.rounds.push(round);
        Ok(())
    }
}

impl Measure for Everything {
    fn name(&self) -> &'static str {
        "everything at once"
    }

    fn takes(&self) -> Duration {
        self.lasts + AROUND
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.measure(rig).boxed_local()
    }

    fn section(&self, board: &Board) -> Section {
        let results = self.results(board);
        let mut rates = Table::new([
            "round",
            "orders",
            "orders/s",
            "orders per ledger call",
            "request to 202 p50/p99, ms",
            "202 to fact p50/p99, ms",
        ]);
        for (round, number) in self.rounds.iter().zip(1..) {
            rates.row([
                number.to_string(),
                grouped(round.orders.into()),
                Spread::number(round.orders_per_s.round()),
                format!("{:.0}", round.orders_per_call),
                format!("{:.1}/{:.1}", round.accepted_p50_ms, round.accepted_p99_ms),
                format!("{:.1}/{:.1}", round.decided_p50_ms, round.decided_p99_ms),
            ]);
        }
        let mut cpu = Table::new(["process", "CPU us/order"]);
        let mut series = Vec::new();
        for (name, at) in Used::NAMES.into_iter().zip(0..) {
            let spread = self.spread(|round| round.cpu_us[at]);
            cpu.row([name.to_owned(), spread.to_string()]);
            series.push((name.to_owned(), vec![spread.median]));
        }
        let all = self.spread(|round| round.cpu_us.iter().sum());
        cpu.row(["all of these".to_owned(), all.to_string()]);
        let generator = self.spread(|round| round.generator_us);
        cpu.row(["load generator".to_owned(), generator.to_string()]);
        Section {
            title: "Everything at once".to_owned(),
            intro: vec![format!(
                "`ticket-runtime api` and `ticket-runtime processor` with their default settings, {SHARDS} stock shards on \
                 {SHARDS} partitions, {CONNECTIONS} keep-alive connections in a closed loop for {}. An order counts when a \
                 reader of `order-events` has its fact. After each round 202s, facts, rows and the tickets taken from Redis \
                 agree to the order.",
                short(self.lasts)
            )],
            tables: vec![rates, cpu],
            plots: vec![Plot::Stacked {
                file: "everything-cpu".to_owned(),
                title: "Everything at once: CPU per order".to_owned(),
                y_label: "CPU us per order".to_owned(),
                groups: vec!["closed loop".to_owned()],
                series,
            }],
            bars: vec![
                Bar::at_least(
                    "everything at once",
                    RATE_MIN,
                    " orders/s",
                    &results.orders_per_s,
                ),
                Bar::at_least(
                    "everything at once, beside naive",
                    TIMES_NAIVE_MIN,
                    "x naive",
                    &results.times_naive,
                ),
                Bar::at_most(
                    "everything at once, 202 to decided, p99",
                    DECIDED_P99_MS_MAX,
                    " ms",
                    &results.decided_p99_ms,
                ),
            ],
            notes: Vec::new(),
        }
    }

    fn results(&self, board: &Board) -> serde_json::Value {
        serde_json::to_value(self.results(board)).unwrap_or_default()
    }
}
