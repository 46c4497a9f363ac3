//! The ways through the ledger path that must reach a bar: one hot stock shard, four, and one message at a time.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use super::rig::Rig;
use super::{BATCH_MAX, CpuPerOrder, NAIVE, Path, drain};
use crate::costs;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Plot, Section, Table};
use crate::text::grouped;

/// CPU microseconds per order that all processes together may use.
const CPU_US_MAX: f64 = 16.0;

/// The start of a processor, making an event and comparing afterwards.
const AROUND_A_ROUND: Duration = Duration::from_secs(4);

/// Orders per second at which a log is filled and then drained, roughly; for the time left.
const ROUGHLY_PER_S: u32 = 50_000;

/// The same with one message at a time.
const ROUGHLY_PER_S_ALONE: u32 = 500;

pub(super) fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    let path = |name, shards, orders, batch_max, times_naive_min| -> Box<dyn Measure> {
        Box::new(LedgerPath {
            path: Path {
                name,
                shards,
                orders,
                batch_max,
            },
            times_naive_min,
            rounds: Vec::new(),
        })
    };
    vec![
        path(
            "one hot stock shard",
            1,
            plan.pick(400_000, 200_000),
            BATCH_MAX,
            Some(40.0),
        ),
        path(
            "four stock shards on four partitions",
            4,
            plan.pick(600_000, 300_000),
            BATCH_MAX,
            Some(60.0),
        ),
        path("one message at a time", 1, plan.pick(5_000, 1_000), 1, None),
    ]
}

/// A way, and the rounds that it was gone.
struct LedgerPath {
    path: Path,
    /// Times the baseline that must be reached, if any; then its CPU time has a bar, too.
    times_naive_min: Option<f64>,
    rounds: Vec<drain::Round>,
}

/// What a way reached.
#[derive(Debug, Clone, Serialize)]
struct PathResult {
    path: Path,
    /// Ledger durable, facts out, offsets committed.
    orders_per_s: Spread,
    /// Times the naive transaction of the same round.
    times_naive: Spread,
    /// CPU microseconds per order.
    cpu_us: CpuPerOrder,
}

impl LedgerPath {
    fn result(&self, board: &Board) -> PathResult {
        let rates: Vec<_> = self.rounds.iter().map(|it| it.orders_per_s).collect();
        PathResult {
            path: self.path.clone(),
            times_naive: board.ratio(NAIVE, &rates),
            orders_per_s: Spread::of(rates),
            cpu_us: CpuPerOrder::of(&self.rounds),
        }
    }
}

impl Measure for LedgerPath {
    fn name(&self) -> &str {
        self.path.name
    }

    fn takes(&self) -> Duration {
        let per_s = if self.path.batch_max == 1 {
            ROUGHLY_PER_S_ALONE
        } else {
            ROUGHLY_PER_S
        };
        AROUND_A_ROUND + Duration::from_secs(1) * self.path.orders.div_ceil(per_s)
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        async {
            let round = drain::round(rig, &self.path).await?;
            let rate = round.orders_per_s;
            let times = board.latest(NAIVE).map(|naive| rate / naive);
            let times = times.map_or_else(String::new, |times| format!(", x{times:.1} naive"));
            say::progress(&format!("{}: {rate:.0}/s{times}", self.path.name));
            self.rounds.push(round);
            Ok(())
        }
        .boxed_local()
    }

    fn section(&self, board: &Board) -> Section {
        let it = self.result(board);
        let (name, cpu) = (self.path.name, &it.cpu_us);
        let mut table = Table::new([
            "path",
            "orders",
            "batch",
            "orders/s",
            "x naive",
            "CPU us/order: all",
            "PostgreSQL",
            "Kafka",
            "Redis",
            "processor",
        ]);
        table.row([
            name.to_owned(),
            grouped(it.path.orders.into()),
            grouped(it.path.batch_max.into()),
            it.orders_per_s.to_string(),
            it.times_naive.to_string(),
            cpu.all.to_string(),
            cpu.postgres.to_string(),
            cpu.kafka.to_string(),
            cpu.redis.to_string(),
            cpu.processor.to_string(),
        ]);
        let pieces = [
            ("PostgreSQL", cpu.postgres.median),
            ("Kafka", cpu.kafka.median),
            ("Redis", cpu.redis.median),
            ("processor", cpu.processor.median),
        ];
        let mut section = Section {
            title: "Ledger path".to_owned(),
            intro: vec![
                "A full order log; the real `ticket-runtime processor`; the clock runs from the first fact until every \
                 order's fact was read and every offset is committed. After each round facts, counters and rows agree \
                 to the order."
                    .to_owned(),
            ],
            tables: vec![table],
            notes: costs::LEDGER.map(str::to_owned).to_vec(),
            ..Section::default()
        };
        if let Some(least) = self.times_naive_min {
            let what = format!("ledger path, {name}");
            section.bars = vec![
                Bar::at_least(&what, least, "x naive", &it.times_naive),
                Bar::at_most(
                    &format!("{what}: CPU per order"),
                    CPU_US_MAX,
                    " us",
                    &cpu.all,
                ),
            ];
            // One message at a time costs fifty times as much and would hide the rest.
            section.plots = vec![Plot::cpu_per_order(name, &pieces)];
        }
        section
    }

    fn results(&self, board: &Board) -> serde_json::Value {
        serde_json::json!(self.result(board))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hot(rates: [f64; 3]) -> (LedgerPath, Board) {
        let round = |orders_per_s| drain::Round {
            orders_per_s,
            calls: 400,
            cpu_us: drain::CpuUs {
                postgres: 9.0,
                kafka: 2.0,
                redis: 0.5,
                processor: 3.0,
            },
        };
        let path = Path {
            name: "one hot stock shard",
            shards: 1,
            orders: 400_000,
            batch_max: 1_000,
        };
        let path = LedgerPath {
            path,
            times_naive_min: Some(40.0),
            rounds: rates.map(round).to_vec(),
        };
        let mut board = Board::default();
        for naive in [2_000.0, 2_500.0, 2_000.0] {
            board.note(NAIVE, naive);
        }
        (path, board)
    }

    #[test]
    fn a_path_is_held_against_the_baseline_of_its_round() {
        let (path, board) = hot([90_000.0, 100_000.0, 80_000.0]);
        let section = path.section(&board);
        let row = section.tables[0].rows[0].join(" | ");
        assert!(
            row.starts_with(
                "one hot stock shard | 400,000 | 1,000 | 90,000 (80,000-100,000) | 40.0 (40.0-45.0) | 14.5"
            ),
            "{row}"
        );
        let holds: Vec<_> = section.bars.iter().map(|bar| bar.holds).collect();
        assert_eq!(holds, [true, true]);
    }

    #[test]
    fn a_path_that_is_too_slow_misses_its_bar() {
        let (path, board) = hot([70_000.0, 80_000.0, 90_000.0]);
        let bars = path.section(&board).bars;
        assert_eq!(bars[0].reached, "x35.0 (32.0-45.0)");
        assert!(!bars[0].holds);
    }
}
