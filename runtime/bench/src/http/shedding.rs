//! Load shedding: what happens when twice as many orders come as can be served. First a closed load finds the rate that is
//! served, then twice that rate comes at fixed times, whoever is busy. Whoever is refused must learn it soon. Servers and
//! generator have cores of their own meanwhile.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::StatusCode;
use serde::Serialize;

use super::CONNECTIONS;
use super::shop::Shop;
use crate::cpu;
use crate::ledger::rig::Rig;
use crate::load;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::section::{Bar, Section, Table};

/// Connections of those who come: more than the API works on at once (`TICKET_API_IN_FLIGHT_MAX`, 2,048), so that it is the
/// API that says no and not a lack of connections.
const CROWD: u32 = 6_000;

/// How much more comes than is served.
const OVERLOAD: f64 = 2.0;

/// Threads of the API. The kernel shares a core out by threads: with only one, the API gets as much of the core that it shares
/// here with Kafka, PostgreSQL and Redis as one of Kafka's many threads. On a cluster its CPU request says how much it gets.
const API_THREADS: u32 = 8;

/// 99 of 100 refusals come within this, milliseconds (issue 5).
const REFUSED_P99_MS_MAX: f64 = 100.0;

/// Before it is measured the API answers for this part of the time that is measured.
const WARM_UP_PART: u32 = 4;

/// Starting and stopping the API, an event that becomes known, connections, and the comparison.
const AROUND: Duration = Duration::from_secs(4);

/// One round.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    served_per_s: f64,
    came_per_s: f64,
    accepted_per_s: f64,
    refused_per_s: f64,
    accepted_p99_ms: f64,
    refused_p50_ms: f64,
    refused_p99_ms: f64,
}

/// Twice the load that can be served.
pub(super) struct Shedding {
    lasts: Duration,
    rounds: Vec<Round>,
}

impl Shedding {
    /// Both loads come for as long as it `lasts`.
    pub(super) const fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            rounds: Vec::new(),
        }
    }

    async fn overload(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let apart = cpu::Apart::move_all()?;
        let shop = Shop::open_with_threads(rig, API_THREADS).await?;
        apart.move_servers()?;
        let mut full = shop.full().await?;
        let orders = shop.orders(&full, rig.buyers().await?)?;
        let warm_up = self.lasts / WARM_UP_PART;
        let warm = load::closed(&shop.target, CONNECTIONS, warm_up, &orders).await?;
        full.accept(warm.all(StatusCode::ACCEPTED)?);
        let served = load::closed(&shop.target, CONNECTIONS, self.lasts, &orders).await?;
        full.accept(served.all(StatusCode::ACCEPTED)?);

        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is far below 2^32"
        )]
        let comes = (served.per_second() * OVERLOAD) as u32;
        let answers = load::steady(&shop.target, CROWD, comes.max(1), self.lasts, &orders).await?;
        // Nothing else than yes and no, and what got a yes is there: `close` compares.
        answers.only(&[StatusCode::ACCEPTED, StatusCode::SERVICE_UNAVAILABLE])?;
        full.accept(answers.of(StatusCode::ACCEPTED));
        full.refuse(answers.of(StatusCode::SERVICE_UNAVAILABLE));
        let took = answers.took.as_secs_f64().max(f64::EPSILON);
        let rate = |status| answers.share(status) * answers.per_second();
        self.rounds.push(Round {
            served_per_s: served.per_second(),
            came_per_s: f64::from(comes) * self.lasts.as_secs_f64() / took,
            accepted_per_s: rate(StatusCode::ACCEPTED),
            refused_per_s: rate(StatusCode::SERVICE_UNAVAILABLE),
            accepted_p99_ms: answers.percentile_ms_of(StatusCode::ACCEPTED, 99.0),
            refused_p50_ms: answers.percentile_ms_of(StatusCode::SERVICE_UNAVAILABLE, 50.0),
            refused_p99_ms: answers.percentile_ms_of(StatusCode::SERVICE_UNAVAILABLE, 99.0),
        });
        shop.close(&[full]).await
    }

    fn spread(&self, value: fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value).collect())
    }
}

impl Measure for Shedding {
    fn name(&self) -> &'static str {
        "HTTP: twice the load that can be served"
    }

    fn takes(&self) -> Duration {
        self.lasts * 2 + self.lasts / WARM_UP_PART + AROUND
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.overload(rig).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut table = Table::new(["at twice the load that can be served", "figure"]);
        for (what, spread) in [
            (
                "served, requests/s",
                self.spread(|round| round.served_per_s),
            ),
            ("came, requests/s", self.spread(|round| round.came_per_s)),
            (
                "accepted, requests/s",
                self.spread(|round| round.accepted_per_s),
            ),
            (
                "refused, requests/s",
                self.spread(|round| round.refused_per_s),
            ),
            (
                "accepted, p99 ms",
                self.spread(|round| round.accepted_p99_ms),
            ),
            ("refused, p50 ms", self.spread(|round| round.refused_p50_ms)),
            ("refused, p99 ms", self.spread(|round| round.refused_p99_ms)),
        ] {
            table.row([what.to_owned(), spread.to_string()]);
        }
        // Without a refusal there is no time of one: then nothing was shed, and the bar does not hold.
        let refused = self.rounds.iter().filter(|round| round.refused_per_s > 0.0);
        let refused = Spread::of(refused.map(|round| round.refused_p99_ms).collect());
        Section {
            title: "Load shedding".to_owned(),
            intro: vec![format!(
                "{CONNECTIONS} connections find the rate that is served; then twice that rate comes at fixed times over {CROWD} \
                 connections. A latency counts from the moment at which its request was due. Whoever is refused gets 503 with \
                 Retry-After; afterwards what was accepted and the order log were compared to the order, and the stock store gave \
                 no more tickets than were asked for. Half of the cores have the API and the servers behind it, the other half \
                 has the generator, in both loads: one that had to fight for a core with what it overloads could not send twice \
                 the load. The API has {API_THREADS} threads (TOKIO_WORKER_THREADS), so that it gets more of the shared cores \
                 than one of Kafka's threads."
            )],
            tables: vec![table],
            bars: vec![Bar::at_most(
                "refusals at twice the load that can be served, p99",
                REFUSED_P99_MS_MAX,
                " ms",
                &refused,
            )],
            ..Section::default()
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::json!({ "load_shedding": self.rounds })
    }
}
