//! Throughput and cost against the size of batches: what batching is worth, and where it ends.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use super::rig::Rig;
use super::{Path, drain};
use crate::say;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Plot, Section, Table};
use crate::text::grouped;

/// Batch sizes, each with the orders that are drained with it: a few seconds of work.
const SIZES: [(u32, u32); 6] = [
    (1, 3_000),
    (10, 20_000),
    (100, 100_000),
    (500, 200_000),
    (1_000, 200_000),
    (2_000, 200_000),
];

/// Stock shards, each on a partition of its own.
const SHARDS: [u16; 2] = [1, 4];

/// A round: every size with one shard count.
const TAKES: Duration = Duration::from_secs(70);

pub(super) fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    // A quick look has the rates at 1 and at 1,000 from the paths.
    if plan.quick {
        return Vec::new();
    }
    let sweep = |shards| -> Box<dyn Measure> {
        let name = match shards {
            1 => "batch sizes, one stock shard".to_owned(),
            _ => format!("batch sizes, {shards} stock shards"),
        };
        Box::new(Sweep {
            name,
            shards,
            points: Vec::new(),
        })
    };
    SHARDS.map(sweep).into()
}

struct Sweep {
    name: String,
    shards: u16,
    points: Vec<Point>,
}

/// What a batch size reached.
#[derive(Debug, Clone, Serialize)]
struct Point {
    shards: u16,
    batch_max: u32,
    orders: u32,
    orders_per_s: f64,
    /// CPU microseconds per order in all processes, and of each.
    cpu_us: f64,
    postgres_us: f64,
    kafka_us: f64,
    redis_us: f64,
    processor_us: f64,
}

impl Measure for Sweep {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self) -> Duration {
        TAKES
    }

    fn rounds(&self, _plan: &Plan) -> u32 {
        1
    }

    fn is_last(&self) -> bool {
        true
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        async {
            for (batch_max, orders) in SIZES {
                let path = Path {
                    name: "batch sizes",
                    shards: self.shards,
                    orders,
                    batch_max,
                };
                let round = drain::round(rig, &path).await?;
                let us = round.cpu_us;
                let point = Point {
                    shards: self.shards,
                    batch_max,
                    orders,
                    orders_per_s: round.orders_per_s,
                    cpu_us: us.all(),
                    postgres_us: us.postgres,
                    kafka_us: us.kafka,
                    redis_us: us.redis,
                    processor_us: us.processor,
                };
                let rate = point.orders_per_s;
                say::progress(&format!("{} of {batch_max}: {rate:.0}/s", self.name));
                self.points.push(point);
            }
            Ok(())
        }
        .boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut table = Table::new([
            "stock shards",
            "batch",
            "orders/s",
            "CPU us/order: all",
            "PostgreSQL",
            "Kafka",
            "Redis",
            "processor",
        ]);
        for point in &self.points {
            let us = |value: f64| format!("{value:.1}");
            table.row([
                point.shards.to_string(),
                grouped(point.batch_max.into()),
                format!("{:.0}", point.orders_per_s),
                us(point.cpu_us),
                us(point.postgres_us),
                us(point.kafka_us),
                us(point.redis_us),
                us(point.processor_us),
            ]);
        }
        let curve = |y: &dyn Fn(&Point) -> f64| {
            let points = self.points.iter();
            let points = points.map(|point| (f64::from(point.batch_max), y(point)));
            let name = match self.shards {
                1 => "one stock shard".to_owned(),
                shards => format!("{shards} stock shards"),
            };
            vec![(name, points.collect())]
        };
        Section {
            title: "Batch size".to_owned(),
            intro: vec![
                "The ledger path with other limits for a batch (`TICKET_CONSUMER_MAX_BATCH`), one round.".to_owned(),
            ],
            tables: vec![table],
            plots: vec![
                Plot::Lines {
                    file: "batch-size".to_owned(),
                    title: "Throughput against batch size".to_owned(),
                    x_label: "orders in a batch, at most".to_owned(),
                    y_label: "orders per second".to_owned(),
                    log_x: true,
                    log_y: true,
                    series: curve(&|point| point.orders_per_s),
                },
                Plot::Lines {
                    file: "batch-size-cpu".to_owned(),
                    title: "CPU per order against batch size".to_owned(),
                    x_label: "orders in a batch, at most".to_owned(),
                    y_label: "CPU microseconds per order, all processes".to_owned(),
                    log_x: true,
                    log_y: true,
                    series: curve(&|point| point.cpu_us),
                },
            ],
            ..Section::default()
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::json!(self.points)
    }
}
