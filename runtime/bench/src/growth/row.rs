//! One row of sizes.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use crate::ledger::drain::{self, CpuUs};
use crate::ledger::fill;
use crate::ledger::rig::Rig;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Plot, Section, Table};
use crate::text::grouped;

/// How much more than the best of its row a size may cost.
const MORE_MAX: f64 = 1.15;

/// Orders in one ledger call at most, as in the ledger path's own measure.
const BATCH_MAX: u32 = 1_000;

/// Rounds in a whole run: one is too few to tell growth from noise.
const ROUNDS: u32 = 2;

/// Wall time of a size without its orders: processes, tables, comparison.
const AROUND: Duration = Duration::from_secs(2);

/// Orders that a size fills and drains in a second on two cores.
const ORDERS_PER_SECOND: u32 = 50_000;

/// Events that are made and taken away in a second.
const EVENTS_PER_SECOND: u64 = 40;

/// One size of a row.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Size {
    /// What grows.
    pub(super) of: u32,
    pub(super) events: usize,
    /// Of each event.
    pub(super) shards: u16,
    /// Of each event.
    pub(super) partitions: u16,
}

/// What a size reached in one round.
#[derive(Debug, Clone, Copy, Serialize)]
struct Reached {
    orders_per_s: f64,
    /// Orders per ledger call.
    orders_per_call: f64,
    postgres_us: f64,
    kafka_us: f64,
    redis_us: f64,
    processor_us: f64,
    /// CPU microseconds per order of all processes.
    all_us: f64,
}

/// The measure of one row.
pub(super) struct Row {
    /// What grows, in the plural.
    what: &'static str,
    name: String,
    layout: &'static str,
    orders: u32,
    sizes: Vec<Size>,
    cause: &'static str,
    /// Per size, one entry per round.
    reached: Vec<Vec<Reached>>,
}

/// A size, for programs.
#[derive(Serialize)]
struct SizeResult<'a> {
    size: Size,
    rounds: &'a [Reached],
    all_us: Spread,
    of_the_best: Option<f64>,
}

impl Row {
    pub(super) fn new(
        what: &'static str,
        layout: &'static str,
        orders: u32,
        sizes: Vec<Size>,
        cause: &'static str,
    ) -> Self {
        Self {
            what,
            name: format!("growth: {what}"),
            layout,
            orders,
            reached: vec![Vec::new(); sizes.len()],
            sizes,
            cause,
        }
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        for (size, rounds) in self.sizes.iter().zip(&mut self.reached) {
            let reached = one(rig, *size, self.orders).await?;
            say::progress(&format!(
                "{} {}: {:.1} us per order, {:.0} orders per ledger call",
                grouped(size.of.into()),
                self.what,
                reached.all_us,
                reached.orders_per_call,
            ));
            rounds.push(reached);
        }
        Ok(())
    }

    fn spread(rounds: &[Reached], value: impl Fn(&Reached) -> f64) -> Spread {
        Spread::of(rounds.iter().map(value).collect())
    }

    /// CPU per order of each size.
    fn costs(&self) -> Vec<Spread> {
        let costs = self.reached.iter();
        costs
            .map(|rounds| Self::spread(rounds, |reached| reached.all_us))
            .collect()
    }

    /// Each size's cost as multiples of the best of the row; `None` where nothing was measured.
    fn of_the_best(&self) -> Vec<Option<f64>> {
        let costs = self.costs();
        let medians = costs.iter().map(|cost| cost.median);
        let best = medians.filter(|cost| *cost > 0.0).reduce(f64::min);
        let of = |cost: &Spread| Some(cost.median / best?).filter(|_| !cost.values.is_empty());
        costs.iter().map(of).collect()
    }
}

/// Makes the events, fills, drains, compares, takes the events away.
async fn one(rig: &Rig, size: Size, orders: u32) -> anyhow::Result<Reached> {
    rig.forget_orders().await?;
    let lanes = u32::try_from(size.events)? * u32::from(size.shards);
    let units = fill::units(orders, lanes);
    let events = rig
        .events(size.events, size.shards, size.partitions, units)
        .await?;
    let round = drain::of_events(rig, &events, orders, BATCH_MAX).await?;
    rig.retire(&events).await?;
    let CpuUs {
        postgres,
        kafka,
        redis,
        processor,
    } = round.cpu_us;
    Ok(Reached {
        orders_per_s: round.orders_per_s,
        orders_per_call: f64::from(orders) / f64::from(round.calls.max(1)),
        postgres_us: postgres,
        kafka_us: kafka,
        redis_us: redis,
        processor_us: processor,
        all_us: round.cpu_us.all(),
    })
}

impl Measure for Row {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self) -> Duration {
        let size = |size: &Size| {
            let events = u64::try_from(size.events).unwrap_or(0) / EVENTS_PER_SECOND;
            let orders = u64::from(self.orders / ORDERS_PER_SECOND);
            AROUND + Duration::from_secs(events + orders)
        };
        self.sizes.iter().map(size).sum()
    }

    fn rounds(&self, plan: &Plan) -> u32 {
        plan.pick(ROUNDS, 1)
    }

    // It empties the table of orders.
    fn is_last(&self) -> bool {
        true
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.measure(rig).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let what = self.what;
        let mut table = Table::new([
            what,
            "CPU us/order, all",
            "of the best",
            "PostgreSQL",
            "Kafka",
            "Redis",
            "processor",
            "orders per ledger call",
            "orders/s",
        ]);
        let of_the_best = self.of_the_best();
        let mut curve = Vec::new();
        for ((size, rounds), more) in self.sizes.iter().zip(&self.reached).zip(&of_the_best) {
            let cell = |value: &dyn Fn(&Reached) -> f64| Self::spread(rounds, value).to_string();
            let all = Self::spread(rounds, |reached| reached.all_us);
            table.row([
                grouped(size.of.into()),
                all.to_string(),
                more.map_or_else(|| "-".to_owned(), |more| format!("x{more:.2}")),
                cell(&|reached| reached.postgres_us),
                cell(&|reached| reached.kafka_us),
                cell(&|reached| reached.redis_us),
                cell(&|reached| reached.processor_us),
                cell(&|reached| reached.orders_per_call),
                cell(&|reached| reached.orders_per_s),
            ]);
            if all.median > 0.0 {
                curve.push((f64::from(size.of), all.median));
            }
        }
        let worst = of_the_best.iter().flatten().copied().reduce(f64::max);
        let is_whole = of_the_best.iter().all(Option::is_some);
        let holds = is_whole && worst.is_some_and(|worst| worst <= MORE_MAX);
        let mut notes = vec![
            "Orders lie on the log in runs of 100 per stock shard, whatever the size: the producer's own batches are not \
             part of this."
                .to_owned(),
        ];
        if !holds {
            notes.push(format!("Cause: {}", self.cause));
        }
        Section {
            title: format!("Growth: {what}"),
            intro: vec![format!(
                "{} orders drained from a full log over more and more {what} ({}), in ledger calls of at most {}; the table \
                 of orders is empty before each size.",
                grouped(self.orders.into()),
                self.layout,
                grouped(BATCH_MAX.into()),
            )],
            tables: vec![table],
            plots: vec![Plot::Lines {
                file: format!("growth-{}", what.replace(' ', "-")),
                title: format!("CPU per order over {what}"),
                x_label: what.to_owned(),
                y_label: "CPU us per order".to_owned(),
                log_x: true,
                log_y: false,
                series: vec![("all processes".to_owned(), curve)],
            }],
            bars: vec![Bar {
                what: format!("growth over {what}, CPU per order"),
                wanted: "within 15 % of the best".to_owned(),
                reached: worst.map_or_else(
                    || "nothing".to_owned(),
                    |worst| format!("+{:.0} %", (worst - 1.0) * 100.0),
                ),
                holds,
            }],
            notes,
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        let costs = self.costs();
        let of_the_best = self.of_the_best();
        let results: Vec<_> = self
            .sizes
            .iter()
            .zip(&self.reached)
            .zip(costs.into_iter().zip(of_the_best))
            .map(|((size, rounds), (all_us, of_the_best))| SizeResult {
                size: *size,
                rounds,
                all_us,
                of_the_best,
            })
            .collect();
        serde_json::to_value(results).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(all_us: f64) -> Reached {
        Reached {
            orders_per_s: 100_000.0,
            orders_per_call: 500.0,
            postgres_us: 8.0,
            kafka_us: 2.0,
            redis_us: 1.0,
            processor_us: 3.0,
            all_us,
        }
    }

    fn row(costs: &[&[f64]]) -> Row {
        let sizes = (0..).take(costs.len()).map(|power| Size {
            of: 10_u32.pow(power),
            events: 1,
            shards: 1,
            partitions: 1,
        });
        let mut row = Row::new("events", "alone", 1_000, sizes.collect(), "the moon");
        for (rounds, costs) in row.reached.iter_mut().zip(costs) {
            rounds.extend(costs.iter().map(|cost| reached(*cost)));
        }
        row
    }

    #[test]
    fn a_row_holds_within_15_percent_of_its_best() {
        let section = row(&[&[10.4, 10.0, 10.2], &[11.0], &[11.5]]).section(&Board::default());
        assert!(section.bars[0].holds, "{section:?}");
        assert_eq!(section.bars[0].reached, "+13 %");
        assert!(section.notes.iter().all(|note| !note.contains("moon")));
    }

    #[test]
    fn a_row_that_grows_names_its_cause() {
        let section = row(&[&[10.0], &[12.0]]).section(&Board::default());
        assert!(!section.bars[0].holds);
        assert_eq!(section.bars[0].reached, "+20 %");
        assert!(section.notes.iter().any(|note| note.contains("the moon")));
        assert_eq!(section.tables[0].rows[1][2], "x1.20");
    }

    #[test]
    fn a_size_that_was_not_measured_does_not_hold() {
        let section = row(&[&[10.0], &[]]).section(&Board::default());
        assert!(!section.bars[0].holds);
        assert_eq!(section.tables[0].rows[1][2], "-");
        assert!(!row(&[&[], &[]]).section(&Board::default()).bars[0].holds);
    }
}
