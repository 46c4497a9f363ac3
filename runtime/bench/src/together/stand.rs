//! A sale with nothing left out: an event, the buyer API and a processor as processes of their own, a reader of facts, and
//! the comparison of answers, facts, rows and store at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::StatusCode;
use serde::Serialize;
use ticket_bus::Tail;
use ticket_core::CategoryName;
use ticket_testkit::Product;
use tokio::task::JoinHandle;

use super::follow::{Counted, Follow, Followed, all_decided};
use crate::ledger::drain;
use crate::ledger::rig::{Api, CATEGORY, HotEvent, Rig, cpu_of};
use crate::load::{self, Orders, Outcome, Target};

/// Stock shards of the event, each on a partition of its own.
pub(crate) const SHARDS: u16 = 4;

/// Connections of the load generator.
pub(crate) const CONNECTIONS: u32 = 128;

/// Tickets of each stock shard: more than any load takes.
const UNITS: u32 = 100_000_000;

/// How long a stand is warmed up: connections, prepared statements, the place in the consumer group.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long the queue may take to drain after a load.
const DRAIN_MAX: Duration = Duration::from_mins(3);

/// CPU time of each process since it was started; the load generator is not among them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Used {
    /// `ticket-runtime api`.
    pub(crate) api: Duration,
    /// `ticket-runtime processor`.
    pub(crate) processor: Duration,
    /// The database, all nodes and sessions.
    pub(crate) postgres: Duration,
    /// The broker.
    pub(crate) kafka: Duration,
    /// Redis.
    pub(crate) redis: Duration,
}

impl Used {
    /// Names of the processes, in the order of [`Used::parts`].
    pub(crate) const NAMES: [&str; 5] = ["API", "processor", "PostgreSQL", "Kafka", "Redis"];

    /// Each process.
    pub(crate) const fn parts(self) -> [Duration; 5] {
        [
            self.api,
            self.processor,
            self.postgres,
            self.kafka,
            self.redis,
        ]
    }

    /// What was used since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            api: self.api.saturating_sub(before.api),
            processor: self.processor.saturating_sub(before.processor),
            postgres: self.postgres.saturating_sub(before.postgres),
            kafka: self.kafka.saturating_sub(before.kafka),
            redis: self.redis.saturating_sub(before.redis),
        }
    }
}

/// One load and what it did.
pub(crate) struct Carried {
    /// What buyers saw.
    pub(crate) outcome: Outcome,
    /// What became of it.
    pub(crate) counted: Counted,
    /// What it cost until the last fact was there.
    pub(crate) used: Used,
    /// How long that took.
    pub(crate) took: Duration,
}

/// A sale that runs.
pub(crate) struct Stand {
    pub(crate) api: Api,
    pub(crate) processor: Product,
    pub(crate) event: HotEvent,
    pub(crate) follow: Arc<Follow>,
    pub(crate) target: Target,
    pub(crate) script: Arc<Followed>,
    facts: JoinHandle<anyhow::Result<()>>,
}

impl Stand {
    /// Starts everything and warms it up. `room` is the number of orders to expect.
    pub(crate) async fn start(rig: &Rig, room: usize) -> anyhow::Result<Self> {
        let event = rig.event(SHARDS, UNITS).await?;
        let follow = Follow::new(event.id, room);
        Self::open(rig, event, follow).await
    }

    /// The same, where orders are paid: see [`Follow::next_to_pay`].
    pub(crate) async fn paying(rig: &Rig, room: usize) -> anyhow::Result<Self> {
        let event = rig.event(SHARDS, UNITS).await?;
        let follow = Follow::paying(event.id, room);
        Self::open(rig, event, follow).await
    }

    async fn open(rig: &Rig, event: HotEvent, follow: Arc<Follow>) -> anyhow::Result<Self> {
        let tail = Tail::follow(&rig.bus, &rig.order_events())
            .await
            .context("no reader of facts")?;
        let (api, processor) = tokio::try_join!(rig.api(), rig.default_processor())?;
        let target = Target::new(([127, 0, 0, 1], api.port).into())?;
        let category = CategoryName::new(CATEGORY)?;
        let orders = Orders::new(&target, &event.name, &category, rig.buyers().await?)?;
        let stand = Self {
            script: Followed::new(orders, &follow),
            facts: follow.read(tail),
            api,
            processor,
            event,
            follow,
            target,
        };
        let warm = load::closed(&stand.target, CONNECTIONS, WARM_UP, &stand.script).await?;
        warm.all(StatusCode::ACCEPTED)?;
        stand.all_decided().await?;
        Ok(stand)
    }

    /// As fast as answers come, for as long as it `lasts`, and until everything is decided.
    pub(crate) async fn closed(&self, rig: &Rig, lasts: Duration) -> anyhow::Result<Carried> {
        let load = load::closed(&self.target, CONNECTIONS, lasts, &self.script);
        self.carry(rig, load).await
    }

    /// `per_second` for as long as it `lasts`, and until everything is decided.
    pub(crate) async fn steady(
        &self,
        rig: &Rig,
        per_second: u32,
        lasts: Duration,
    ) -> anyhow::Result<Carried> {
        self.carry(rig, self.load(per_second, lasts)).await
    }

    /// `per_second` for as long as it `lasts`; what becomes of the orders is not waited for.
    pub(crate) async fn load(&self, per_second: u32, lasts: Duration) -> anyhow::Result<Outcome> {
        let (target, script) = (&self.target, &self.script);
        let outcome = load::steady(target, CONNECTIONS, per_second, lasts, script).await?;
        outcome.all(StatusCode::ACCEPTED)?;
        Ok(outcome)
    }

    async fn carry(
        &self,
        rig: &Rig,
        load: impl Future<Output = anyhow::Result<Outcome>>,
    ) -> anyhow::Result<Carried> {
        self.follow.begin();
        let (before, started) = (self.used(rig)?, Instant::now());
        let outcome = load.await?;
        outcome.all(StatusCode::ACCEPTED)?;
        self.all_decided().await?;
        let took = started.elapsed();
        Ok(Carried {
            outcome,
            counted: self.follow.counted(),
            used: self.used(rig)?.since(before),
            took,
        })
    }

    /// CPU time of all processes since they were started.
    pub(crate) fn used(&self, rig: &Rig) -> anyhow::Result<Used> {
        let servers = rig.cpu_used()?;
        Ok(Used {
            api: cpu_of(self.api.product.server())?,
            processor: cpu_of(self.processor.server())?,
            postgres: servers.postgres,
            kafka: servers.kafka,
            redis: servers.redis,
        })
    }

    /// Waits until every order that buyers were told of is decided.
    pub(crate) async fn all_decided(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.facts.is_finished(), "the reader of facts ended");
        all_decided(&self.follow, DRAIN_MAX).await
    }

    /// Ends the sale: answers = facts = rows = tickets taken from the store, and the queue is empty. Answers with the number
    /// of orders.
    pub(crate) async fn finish(mut self, rig: &Rig) -> anyhow::Result<u32> {
        self.all_decided().await?;
        let events = [self.event];
        drain::all_committed(rig, &events).await?;
        self.api
            .product
            .stop()
            .await
            .context("the API did not stop")?;
        self.processor
            .stop()
            .await
            .context("the processor did not stop")?;
        self.facts.abort();
        let (answered, decided) = (self.follow.answered(), self.follow.decided());
        anyhow::ensure!(
            answered == decided,
            "{answered} orders were accepted, {decided} have facts"
        );
        drain::compare(rig, &events, answered).await?;
        let taken = rig.taken(&events[0]).await?;
        anyhow::ensure!(
            taken == u64::from(answered),
            "{answered} orders were accepted, {taken} tickets were taken from the store"
        );
        rig.retire(&events).await?;
        Ok(answered)
    }
}
