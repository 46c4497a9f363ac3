//! One round of the ledger path: a full order log, then the processor is started. The clock runs from the first fact to the
//! moment at which every order's fact was read and every offset is committed, so that the start of the process is not
//! measured and nothing is left out. Afterwards log, facts and rows must agree to the order.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_bus::Tail;
use ticket_core::{EventId, FactBatch, OrderId, State};
use tokio::time::{sleep, timeout};

use super::Path;
use super::fill::{self, fill};
use super::rig::{HotEvent, Rig, cpu_of};

/// A round that takes longer has failed.
const ROUND_MAX: Duration = Duration::from_mins(5);

/// Between two looks at the committed offsets.
const COMMITTED_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a round reached.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) orders_per_s: f64,
    /// Ledger calls: one fact message each.
    pub(crate) calls: u32,
    pub(crate) cpu_us: CpuUs,
}

/// CPU microseconds per order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuUs {
    pub(crate) postgres: f64,
    pub(crate) kafka: f64,
    pub(crate) redis: f64,
    pub(crate) processor: f64,
}

impl CpuUs {
    /// Of all processes together.
    pub(crate) fn all(self) -> f64 {
        self.postgres + self.kafka + self.redis + self.processor
    }
}

/// One round of `path` on an event of its own.
pub(crate) async fn round(rig: &Rig, path: &Path) -> anyhow::Result<Round> {
    let units = fill::units(path.orders, path.shards.into());
    let events = [rig.event(path.shards, units).await?];
    let round = of_events(rig, &events, path.orders, path.batch_max).await?;
    rig.retire(&events).await?;
    Ok(round)
}

/// Fills the logs of `events` with `orders` orders, drains, compares.
pub(crate) async fn of_events(
    rig: &Rig,
    events: &[HotEvent],
    orders: u32,
    batch_max: u32,
) -> anyhow::Result<Round> {
    fill(rig, events, orders).await?;
    let facts = Tail::follow(&rig.bus, &rig.order_events())
        .await
        .context("no reader of facts")?;

    let before = rig.cpu_used()?;
    let of: HashSet<EventId> = events.iter().map(|event| event.id).collect();
    let reading = tokio::spawn(read_facts(facts, of, orders));
    let mut processor = rig.processor(batch_max).await?;
    let seen = timeout(ROUND_MAX, reading)
        .await
        .with_context(|| format!("{orders} orders took longer than {ROUND_MAX:?}"))?
        .context("the reader of facts ended")??;
    let committed = all_committed(rig, events).await?;
    let after = rig.cpu_used()?;
    let processor_used = cpu_of(processor.server())?;
    processor
        .stop()
        .await
        .context("the processor did not stop")?;
    compare(rig, events, orders).await?;

    // The first batch was decided before the clock began.
    let counted = f64::from(orders - seen.in_first_batch.min(orders));
    let took = committed
        .max(seen.last)
        .duration_since(seen.first)
        .as_secs_f64();
    let per_order = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(orders);
    Ok(Round {
        orders_per_s: counted / took.max(f64::EPSILON),
        calls: seen.calls,
        cpu_us: CpuUs {
            postgres: per_order(after.postgres.saturating_sub(before.postgres)),
            kafka: per_order(after.kafka.saturating_sub(before.kafka)),
            redis: per_order(after.redis.saturating_sub(before.redis)),
            processor: per_order(processor_used),
        },
    })
}

/// When the facts came.
struct Seen {
    first: Instant,
    in_first_batch: u32,
    calls: u32,
    last: Instant,
}

/// Reads until every order of the events was decided, each for the first time.
async fn read_facts(mut facts: Tail, of: HashSet<EventId>, orders: u32) -> anyhow::Result<Seen> {
    let wanted = usize::try_from(orders)?;
    let mut decided: HashSet<OrderId> = HashSet::with_capacity(wanted);
    let mut first = None;
    let mut calls = 0_u32;
    while let Some(record) = facts.next().await {
        let batch = FactBatch::decode(&record.context("could not read facts")?.payload)?;
        if !of.contains(&batch.event) {
            continue;
        }
        calls += 1;
        let now = Instant::now();
        let (_, in_first_batch) =
            *first.get_or_insert((now, u32::try_from(batch.orders.len()).unwrap_or(u32::MAX)));
        for order in batch.orders {
            anyhow::ensure!(
                order.state == State::Reserved,
                "order {} is {}, there was room for all",
                order.order,
                order.state
            );
            decided.insert(order.order);
        }
        if decided.len() >= wanted
            && let Some((first, _)) = first
        {
            return Ok(Seen {
                first,
                in_first_batch,
                calls,
                last: now,
            });
        }
    }
    anyhow::bail!("the facts ended after {} of {orders} orders", decided.len())
}

/// Waits until the processors have committed the whole log.
pub(crate) async fn all_committed(rig: &Rig, events: &[HotEvent]) -> anyhow::Result<Instant> {
    let started = Instant::now();
    let topics: Vec<_> = events.iter().map(|event| event.topic.clone()).collect();
    loop {
        let lag = rig.topics.lag(&rig.processors(), &topics).await?;
        // A partition that never had a record has nothing to commit.
        if lag.iter().all(|at| at.end == 0 || at.lag() == Some(0)) {
            return Ok(Instant::now());
        }
        let is_over = started.elapsed() > ROUND_MAX;
        anyhow::ensure!(!is_over, "offsets are not committed: {lag:?}");
        sleep(COMMITTED_LOOK_EVERY).await;
    }
}

/// Counters and rows of the ledger have every order, once.
pub(crate) async fn compare(rig: &Rig, events: &[HotEvent], orders: u32) -> anyhow::Result<()> {
    let wanted = i64::from(orders);
    let (taken, is_conserved) = rig.taken_units(events).await?;
    anyhow::ensure!(
        taken == wanted && is_conserved,
        "{orders} orders were placed, {taken} tickets are taken in the ledger, law 1 holds: {is_conserved}"
    );
    let (rows, units) = rig.rows(events).await?;
    anyhow::ensure!(
        (rows, units) == (wanted, wanted),
        "{orders} orders were placed, the ledger has {rows} rows with {units} tickets"
    );
    Ok(())
}
