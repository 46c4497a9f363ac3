//! The three endpoints side by side: in a round they take turns of a second or so (bare, accepted orders, sold-out answers,
//! bare ...), so that a ratio compares moments that lie next to each other, also on a machine whose speed changes.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::StatusCode;
use serde::Serialize;
use ticket_testkit::Product;

use super::bare::Bare;
use super::cost::{Cost, CostSpread, Meter};
use super::shop::Shop;
use super::{BARE, BARE_EVENT, CONNECTIONS, WARM_UP_PART};
use crate::costs;
use crate::ledger::rig::{BUYER_SECRET, CATEGORY, Rig};
use crate::load::{self, Orders, Target};
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::section::{Bar, Plot, Section, Table};

/// Starting and stopping two processes, an event that becomes known, and the comparison.
const AROUND: Duration = Duration::from_secs(3);

/// Accepted orders per request of the bare endpoint (issue 4).
const ACCEPTED_OF_BARE_MIN: f64 = 0.33;

/// CPU of an accepted order in all processes without the generator, microseconds (issue 4).
const ACCEPTED_US_MAX: f64 = 70.0;

/// Sold-out answers per request of the bare endpoint (issue 4).
const SOLD_OUT_OF_BARE_MIN: f64 = 0.85;

/// 99 of 100 sold-out answers come within this at saturation, milliseconds (issue 4).
const SOLD_OUT_P99_MS_MAX: f64 = 20.0;

/// What one endpoint did in one turn.
struct Turn {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cost: Cost,
}

/// The turns of the three endpoints.
pub(super) struct Endpoints {
    turns: u32,
    turn: Duration,
    bare: Vec<Turn>,
    accepted: Vec<Turn>,
    sold_out: Vec<Turn>,
}

impl Endpoints {
    /// In each round each endpoint has so many `turns`, each as long as a `turn`.
    pub(super) const fn new(turns: u32, turn: Duration) -> Self {
        Self {
            turns,
            turn,
            bare: Vec::new(),
            accepted: Vec::new(),
            sold_out: Vec::new(),
        }
    }

    fn warm_up(&self) -> Duration {
        self.turns * self.turn / WARM_UP_PART
    }

    async fn all_three(&mut self, rig: &Rig, board: &mut Board) -> anyhow::Result<()> {
        let buyers = rig.buyers().await?;
        let mut bare = Bare::start(BUYER_SECRET).await?;
        let (event, category) = (
            BARE_EVENT.parse()?,
            ticket_core::CategoryName::new(CATEGORY)?,
        );
        let to_bare = Orders::new(&bare.target, &event, &category, buyers)?.into();
        let shop = Shop::open(rig).await?;
        let mut full = shop.full().await?;
        let empty = shop.sold_out(buyers).await?;
        let (to_full, to_empty) = (shop.orders(&full, buyers)?, shop.orders(&empty, buyers)?);

        let warm_up = self.warm_up();
        load::closed(&bare.target, CONNECTIONS, warm_up, &to_bare).await?;
        let warm = load::closed(&shop.target, CONNECTIONS, warm_up, &to_full).await?;
        full.accept(warm.all(StatusCode::ACCEPTED)?);
        load::closed(&shop.target, CONNECTIONS, warm_up, &to_empty).await?;
        for _ in 0..self.turns {
            let (turn, outcome) = self
                .turn(rig, &bare.product, &bare.target, &to_bare)
                .await?;
            outcome.all(StatusCode::ACCEPTED)?;
            board.note(BARE, turn.per_s);
            self.bare.push(turn);
            let (turn, outcome) = self
                .turn(rig, shop.product(), &shop.target, &to_full)
                .await?;
            full.accept(outcome.all(StatusCode::ACCEPTED)?);
            self.accepted.push(turn);
            let (turn, outcome) = self
                .turn(rig, shop.product(), &shop.target, &to_empty)
                .await?;
            outcome.all(StatusCode::CONFLICT)?;
            self.sold_out.push(turn);
        }
        bare.product.stop().await?;
        shop.close(&[full, empty]).await
    }

    /// Measures an endpoint for one turn.
    async fn turn(
        &self,
        rig: &Rig,
        product: &Product,
        target: &Target,
        orders: &std::sync::Arc<Orders>,
    ) -> anyhow::Result<(Turn, load::Outcome)> {
        let meter = Meter::start(rig, product)?;
        let outcome = load::closed(target, CONNECTIONS, self.turn, orders).await?;
        let cost = meter.stop(rig, product, &outcome)?;
        let turn = Turn {
            per_s: outcome.per_second(),
            p50_ms: outcome.percentile_ms(50.0),
            p99_ms: outcome.percentile_ms(99.0),
            cost,
        };
        Ok((turn, outcome))
    }

    fn result(turns: &[Turn], board: &Board) -> EndpointResult {
        let spread = |value: fn(&Turn) -> f64| Spread::of(turns.iter().map(value).collect());
        let per_s = spread(|turn| turn.per_s);
        let costs: Vec<_> = turns.iter().map(|turn| turn.cost).collect();
        EndpointResult {
            of_bare: board.ratio(BARE, &per_s.values),
            per_s,
            p50_ms: spread(|turn| turn.p50_ms),
            p99_ms: spread(|turn| turn.p99_ms),
            cpu_us: CostSpread::of(&costs),
        }
    }

    fn of(&self, board: &Board) -> EndpointsResult {
        EndpointsResult {
            connections: CONNECTIONS,
            bare: Self::result(&self.bare, board),
            accepted: Self::result(&self.accepted, board),
            sold_out: Self::result(&self.sold_out, board),
        }
    }
}

#[derive(Debug, Serialize)]
struct EndpointsResult {
    connections: u32,
    bare: EndpointResult,
    accepted: EndpointResult,
    sold_out: EndpointResult,
}

#[derive(Debug, Serialize)]
struct EndpointResult {
    per_s: Spread,
    of_bare: Spread,
    p50_ms: Spread,
    p99_ms: Spread,
    cpu_us: CostSpread,
}

impl EndpointsResult {
    fn named(&self) -> [(&'static str, &EndpointResult); 3] {
        [
            ("bare endpoint", &self.bare),
            ("accepted orders", &self.accepted),
            ("sold-out answers", &self.sold_out),
        ]
    }

    fn rates(&self) -> Table {
        let mut table = Table::new(["endpoint", "requests/s", "of bare", "p50 ms", "p99 ms"]);
        for (name, result) in self.named() {
            let figures = [
                &result.per_s,
                &result.of_bare,
                &result.p50_ms,
                &result.p99_ms,
            ];
            let figures = figures.map(Spread::to_string);
            table.row([name.to_owned()].into_iter().chain(figures));
        }
        table
    }

    fn costs(&self) -> Table {
        let mut table = Table::new([
            "CPU us per request",
            "endpoint",
            "Redis",
            "Kafka",
            "PostgreSQL",
            "all of these",
            "generator",
        ]);
        for (name, result) in self.named() {
            let CostSpread {
                endpoint,
                redis,
                kafka,
                postgres,
                generator,
                ours,
            } = &result.cpu_us;
            let figures = [endpoint, redis, kafka, postgres, ours, generator];
            let figures = figures.map(Spread::to_string);
            table.row([name.to_owned()].into_iter().chain(figures));
        }
        table
    }

    fn plot(&self) -> Plot {
        let named = self.named();
        let series = |name: &str, value: fn(&CostSpread) -> &Spread| {
            let heights = named.iter().map(|(_, result)| value(&result.cpu_us).median);
            (name.to_owned(), heights.collect())
        };
        Plot::Stacked {
            file: "http-cpu".to_owned(),
            title: "CPU per request by process".to_owned(),
            y_label: "CPU microseconds per request".to_owned(),
            groups: named.iter().map(|(name, _)| (*name).to_owned()).collect(),
            series: vec![
                series("endpoint", |cost| &cost.endpoint),
                series("Redis", |cost| &cost.redis),
                series("Kafka", |cost| &cost.kafka),
                series("PostgreSQL", |cost| &cost.postgres),
                series("generator", |cost| &cost.generator),
            ],
        }
    }

    fn bars(&self) -> Vec<Bar> {
        let Self {
            accepted, sold_out, ..
        } = self;
        let p99 = format!("sold-out answers, p99 with {CONNECTIONS} connections");
        vec![
            Bar::at_least(
                "accepted orders over HTTP",
                ACCEPTED_OF_BARE_MIN,
                " of bare",
                &accepted.of_bare,
            ),
            Bar::at_most(
                "CPU per accepted order, all processes but the generator",
                ACCEPTED_US_MAX,
                " us",
                &accepted.cpu_us.ours,
            ),
            Bar::at_least(
                "sold-out answers",
                SOLD_OUT_OF_BARE_MIN,
                " of bare",
                &sold_out.of_bare,
            ),
            Bar::at_most(&p99, SOLD_OUT_P99_MS_MAX, " ms", &sold_out.p99_ms),
        ]
    }
}

impl Measure for Endpoints {
    fn name(&self) -> &'static str {
        "HTTP: bare endpoint, accepted orders, sold-out answers"
    }

    fn takes(&self) -> Duration {
        3 * (self.warm_up() + self.turns * self.turn) + AROUND
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.all_three(rig, board).boxed_local()
    }

    fn section(&self, board: &Board) -> Section {
        let result = self.of(board);
        Section {
            title: "Over HTTP".to_owned(),
            intro: vec![format!(
                "{CONNECTIONS} keep-alive connections, each of which sends its next order as soon as it has its answer. The \
                 endpoints take turns of {:.1} s, {} in a round, and a ratio is that of a turn to the bare endpoint's turn before it. The bare \
                 endpoint reads the same JSON, checks the same token and answers the same without doing anything. Accepted orders \
                 are answered 202 after all replicas have them; afterwards answers, order log and stock store were compared to \
                 the order. Sold-out answers are 409.",
                self.turn.as_secs_f64(),
                self.turns,
            )],
            tables: vec![result.rates(), result.costs()],
            plots: vec![result.plot()],
            bars: result.bars(),
            notes: costs::OVER_HTTP.map(str::to_owned).to_vec(),
        }
    }

    fn results(&self, board: &Board) -> serde_json::Value {
        serde_json::json!({ "endpoints": self.of(board) })
    }
}
