//! Latency against load: the same three endpoints with more and more connections, once.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::StatusCode;
use serde::Serialize;
use ticket_core::CategoryName;

use super::BARE_EVENT;
use super::bare::Bare;
use super::shop::Shop;
use crate::ledger::rig::{BUYER_SECRET, CATEGORY, Rig};
use crate::load::{self, Orders, Outcome};
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Plot, Section, Table};
use crate::text::short;

/// Connections of each step.
const STEPS: [u32; 7] = [8, 16, 32, 64, 128, 256, 512];

/// What a request gets that comes when too many are being worked on.
const REFUSED: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// Before the first step an endpoint answers for this part of a step.
const WARM_UP_PART: u32 = 2;

/// Starting and stopping the processes, events that become known, and the comparison.
const AROUND: Duration = Duration::from_secs(6);

/// What an endpoint did with so many connections.
#[derive(Debug, Clone, Copy, Serialize)]
struct Point {
    connections: u32,
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Part of the requests that were refused as too many: the limit falls while the process is late.
    refused: f64,
}

impl Point {
    fn of(connections: u32, outcome: &Outcome) -> Self {
        Self {
            connections,
            per_s: outcome.per_second(),
            p50_ms: outcome.percentile_ms(50.0),
            p99_ms: outcome.percentile_ms(99.0),
            refused: outcome.share(REFUSED),
        }
    }
}

/// The steps of each endpoint.
#[derive(Debug, Default, Serialize)]
struct Curves {
    bare: Vec<Point>,
    accepted: Vec<Point>,
    sold_out: Vec<Point>,
}

/// More and more connections.
pub(super) struct Crowding {
    step: Duration,
    curves: Curves,
}

impl Crowding {
    /// Each endpoint is measured for a `step` with each number of connections.
    pub(super) fn new(step: Duration) -> Self {
        Self {
            step,
            curves: Curves::default(),
        }
    }

    async fn climb(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let buyers = rig.buyers().await?;
        let mut bare = Bare::start(BUYER_SECRET).await?;
        let (event, category) = (BARE_EVENT.parse()?, CategoryName::new(CATEGORY)?);
        let to_bare = Orders::new(&bare.target, &event, &category, buyers)?.into();
        let shop = Shop::open(rig).await?;
        let mut full = shop.full().await?;
        let empty = shop.sold_out(buyers).await?;
        let (to_full, to_empty) = (shop.orders(&full, buyers)?, shop.orders(&empty, buyers)?);

        let (first, warm_up, step) = (STEPS[0], self.step / WARM_UP_PART, self.step);
        load::closed(&bare.target, first, warm_up, &to_bare).await?;
        let answers = load::closed(&shop.target, first, warm_up, &to_full).await?;
        full.accept(answers.all(StatusCode::ACCEPTED)?);
        for connections in STEPS {
            let outcome = load::closed(&bare.target, connections, step, &to_bare).await?;
            outcome.all(StatusCode::ACCEPTED)?;
            self.curves.bare.push(Point::of(connections, &outcome));
            let outcome = load::closed(&shop.target, connections, step, &to_full).await?;
            outcome.only(&[StatusCode::ACCEPTED, REFUSED])?;
            full.accept(outcome.of(StatusCode::ACCEPTED));
            full.refuse(outcome.of(REFUSED));
            self.curves.accepted.push(Point::of(connections, &outcome));
            let outcome = load::closed(&shop.target, connections, step, &to_empty).await?;
            outcome.only(&[StatusCode::CONFLICT, REFUSED])?;
            self.curves.sold_out.push(Point::of(connections, &outcome));
        }
        bare.product.stop().await?;
        shop.close(&[full, empty]).await
    }
}

impl Curves {
    fn named(&self) -> [(&'static str, &[Point]); 3] {
        [
            ("bare endpoint", &self.bare),
            ("accepted orders", &self.accepted),
            ("sold-out answers", &self.sold_out),
        ]
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            "endpoint",
            "connections",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "refused, %",
        ]);
        for (name, points) in self.named() {
            for point in points {
                table.row([
                    name.to_owned(),
                    point.connections.to_string(),
                    Spread::number(point.per_s),
                    format!("{:.1}", point.p50_ms),
                    format!("{:.1}", point.p99_ms),
                    format!("{:.1}", point.refused * 100.0),
                ]);
            }
        }
        table
    }

    fn plot(&self) -> Plot {
        let curve = |name: &str, percentile: &str, points: &[Point], value: fn(&Point) -> f64| {
            let points = points
                .iter()
                .map(|point| (f64::from(point.connections), value(point)));
            (format!("{name}, {percentile}"), points.collect())
        };
        let series = self.named().into_iter().flat_map(|(name, points)| {
            [
                curve(name, "p50", points, |point| point.p50_ms),
                curve(name, "p99", points, |point| point.p99_ms),
            ]
        });
        Plot::Lines {
            file: "http-latency".to_owned(),
            title: "Latency against load".to_owned(),
            x_label: "connections".to_owned(),
            y_label: "latency, ms".to_owned(),
            log_x: true,
            log_y: true,
            series: series.collect(),
        }
    }
}

impl Measure for Crowding {
    fn name(&self) -> &'static str {
        "HTTP: latency against load"
    }

    fn takes(&self) -> Duration {
        self.step * (3 * u32::try_from(STEPS.len()).unwrap_or(u32::MAX) + 1) + AROUND
    }

    fn rounds(&self, _plan: &Plan) -> u32 {
        1
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.climb(rig).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        Section {
            title: "Latency against load".to_owned(),
            intro: vec![format!(
                "The same endpoints with more and more connections, {} each, once.",
                short(self.step)
            )],
            tables: vec![self.curves.table()],
            plots: vec![self.curves.plot()],
            ..Section::default()
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::json!({ "latency_against_load": self.curves })
    }
}
