//! The three endpoints side by side: a round is the bare one, accepted orders and sold-out answers, one right after the other.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::StatusCode;
use serde::Serialize;
use ticket_testkit::Product;

use super::bare::Bare;
use super::cost::{Cost, CostSpread, Meter};
use super::shop::Shop;
use super::{BARE_EVENT, CONNECTIONS, WARM_UP_PART};
use crate::costs;
use crate::ledger::rig::{BUYER_SECRET, CATEGORY, Rig};
use crate::load::{self, Orders, Target};
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::section::{Bar, Plot, Section, Table};

/// The bare endpoint on the board.
const BARE: &str = "bare";

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

/// What one endpoint did in one round.
struct Round {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cost: Cost,
}

/// The rounds of the three endpoints.
pub(super) struct Endpoints {
    lasts: Duration,
    bare: Vec<Round>,
    accepted: Vec<Round>,
    sold_out: Vec<Round>,
}

impl Endpoints {
    /// Each endpoint is measured for as long as it `lasts`.
    pub(super) const fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            bare: Vec::new(),
            accepted: Vec::new(),
            sold_out: Vec::new(),
        }
    }

    fn warm_up(&self) -> Duration {
        self.lasts / WARM_UP_PART
    }

    async fn all_three(&mut self, rig: &Rig, board: &mut Board) -> anyhow::Result<()> {
        let bare = self.bare(rig).await?;
        board.note(BARE, bare.per_s);
        self.bare.push(bare);

        let buyers = rig.buyers().await?;
        let shop = Shop::open(rig).await?;
        let mut full = shop.full().await?;
        let orders = shop.orders(&full, buyers)?;
        let accepted = self
            .endpoint(rig, shop.product(), &shop.target, &orders)
            .await?;
        full.accept(accepted.all(StatusCode::ACCEPTED)?);
        let empty = shop.sold_out(buyers).await?;
        let orders = shop.orders(&empty, buyers)?;
        let sold_out = self
            .endpoint(rig, shop.product(), &shop.target, &orders)
            .await?;
        sold_out.all(StatusCode::CONFLICT)?;
        shop.close(&[full, empty]).await?;
        self.accepted.push(accepted.round);
        self.sold_out.push(sold_out.round);
        Ok(())
    }

    async fn bare(&self, rig: &Rig) -> anyhow::Result<Round> {
        let mut bare = Bare::start(BUYER_SECRET).await?;
        let (event, category) = (
            BARE_EVENT.parse()?,
            ticket_core::CategoryName::new(CATEGORY)?,
        );
        let orders = Orders::new(&bare.target, &event, &category, rig.buyers().await?)?;
        let measured = self
            .endpoint(rig, &bare.product, &bare.target, &orders.into())
            .await?;
        measured.all(StatusCode::ACCEPTED)?;
        bare.product.stop().await?;
        Ok(measured.round)
    }

    /// Warms an endpoint up and measures it.
    async fn endpoint(
        &self,
        rig: &Rig,
        product: &Product,
        target: &Target,
        orders: &std::sync::Arc<Orders>,
    ) -> anyhow::Result<Measured> {
        let warm_up = load::closed(target, CONNECTIONS, self.warm_up(), orders).await?;
        let meter = Meter::start(rig, product)?;
        let outcome = load::closed(target, CONNECTIONS, self.lasts, orders).await?;
        let cost = meter.stop(rig, product, &outcome)?;
        let round = Round {
            per_s: outcome.per_second(),
            p50_ms: outcome.percentile_ms(50.0),
            p99_ms: outcome.percentile_ms(99.0),
            cost,
        };
        Ok(Measured {
            round,
            loads: [warm_up, outcome],
        })
    }

    fn result(rounds: &[Round], board: &Board) -> EndpointResult {
        let spread = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value).collect());
        let per_s = spread(|round| round.per_s);
        let costs: Vec<_> = rounds.iter().map(|round| round.cost).collect();
        EndpointResult {
            of_bare: board.ratio(BARE, &per_s.values),
            per_s,
            p50_ms: spread(|round| round.p50_ms),
            p99_ms: spread(|round| round.p99_ms),
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

/// A round, with the answers of its warm-up and of what was measured.
struct Measured {
    round: Round,
    loads: [load::Outcome; 2],
}

impl Measured {
    /// Number of answers, if all have `status`.
    fn all(&self, status: StatusCode) -> anyhow::Result<u64> {
        let [warm_up, outcome] = &self.loads;
        Ok(warm_up.all(status)? + outcome.all(status)?)
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
        3 * (self.warm_up() + self.lasts) + AROUND
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
                "{CONNECTIONS} keep-alive connections, each of which sends its next order as soon as it has its answer. The bare \
                 endpoint reads the same JSON, checks the same token and answers the same without doing anything. Accepted orders \
                 are answered 202 after all replicas have them; afterwards answers, order log and stock store were compared to \
                 the order. Sold-out answers are 409."
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
