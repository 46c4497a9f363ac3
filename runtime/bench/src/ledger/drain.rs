//! One round of the ledger path: a full order log, then the processor is started. The clock runs from the first fact to the
//! moment at which every order's fact was read and every offset is committed, so that the start of the process is not
//! measured and nothing is left out. Afterwards log, facts and rows must agree to the order.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use ticket_bus::Tail;
use ticket_core::{EventId, FactBatch, OrderId, State};
use tokio::time::{sleep, timeout};

use super::Path;
use super::fill::fill;
use super::rig::{HotEvent, Rig, cpu_of};

/// A round that takes longer has failed.
const ROUND_MAX: Duration = Duration::from_mins(5);

/// Between two looks at the committed offsets.
const COMMITTED_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a round reached.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) orders_per_s: f64,
    pub(super) cpu_us: CpuUs,
}

/// CPU microseconds per order.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuUs {
    pub(super) postgres: f64,
    pub(super) kafka: f64,
    pub(super) redis: f64,
    pub(super) processor: f64,
}

/// Fills, drains, compares.
pub(super) async fn round(rig: &Rig, path: &Path) -> anyhow::Result<Round> {
    let units = path.orders.div_ceil(u32::from(path.shards));
    let event = rig.event(path.shards, units).await?;
    fill(rig, &event, path.orders).await?;
    let facts = Tail::follow(&rig.bus, &rig.order_events())
        .await
        .context("no reader of facts")?;

    let before = rig.cpu_used()?;
    let reading = tokio::spawn(read_facts(facts, event.id, path.orders));
    let mut processor = rig.processor(path.batch_max).await?;
    let seen = timeout(ROUND_MAX, reading)
        .await
        .with_context(|| format!("{} orders took longer than {ROUND_MAX:?}", path.orders))?
        .context("the reader of facts ended")??;
    let committed = all_committed(rig, &event).await?;
    let after = rig.cpu_used()?;
    let processor_used = cpu_of(processor.server())?;
    processor
        .stop()
        .await
        .context("the processor did not stop")?;
    compare(rig, &event, path.orders).await?;

    // The first batch was decided before the clock began.
    let counted = f64::from(path.orders - seen.in_first_batch.min(path.orders));
    let took = committed
        .max(seen.last)
        .duration_since(seen.first)
        .as_secs_f64();
    let per_order = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(path.orders);
    Ok(Round {
        orders_per_s: counted / took.max(f64::EPSILON),
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
    last: Instant,
}

/// Reads until every order of the event was decided, each for the first time.
async fn read_facts(mut facts: Tail, event: EventId, orders: u32) -> anyhow::Result<Seen> {
    let wanted = usize::try_from(orders)?;
    let mut decided: HashSet<OrderId> = HashSet::with_capacity(wanted);
    let mut first = None;
    while let Some(record) = facts.next().await {
        let batch = FactBatch::decode(&record.context("could not read facts")?.payload)?;
        if batch.event != event {
            continue;
        }
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
                last: now,
            });
        }
    }
    anyhow::bail!("the facts ended after {} of {orders} orders", decided.len())
}

/// Waits until the processors have committed the whole log.
async fn all_committed(rig: &Rig, event: &HotEvent) -> anyhow::Result<Instant> {
    let started = Instant::now();
    let topics = [event.topic.clone()];
    loop {
        let lag = rig.topics.lag(&rig.processors(), &topics).await?;
        if lag.iter().all(|partition| partition.lag() == Some(0)) {
            return Ok(Instant::now());
        }
        let is_over = started.elapsed() > ROUND_MAX;
        anyhow::ensure!(!is_over, "offsets are not committed: {lag:?}");
        sleep(COMMITTED_LOOK_EVERY).await;
    }
}

/// Counters and rows of the ledger have every order, once.
async fn compare(rig: &Rig, event: &HotEvent, orders: u32) -> anyhow::Result<()> {
    let wanted = i64::from(orders);
    let stock = rig.ledger.stock(event.id).await?;
    let held: i64 = stock.iter().map(|shard| shard.counts.held).sum();
    let is_conserved = stock.iter().all(|shard| shard.counts.is_conserved());
    anyhow::ensure!(
        held == wanted && is_conserved,
        "{orders} orders were placed, the ledger holds {held} tickets, law 1 holds: {is_conserved}"
    );
    let shards: Vec<i64> = event.shards.iter().map(|shard| shard.get()).collect();
    let mut connection = PgConnection::connect(&rig.database_url)
        .await
        .context("could not look at the rows")?;
    let (rows, units): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(quantity), 0)::bigint FROM orders \
         WHERE stock_shard_id = ANY($1) AND state = 1",
    )
    .bind(&shards)
    .fetch_one(&mut connection)
    .await
    .context("could not count the rows")?;
    connection
        .close()
        .await
        .context("could not close a connection")?;
    anyhow::ensure!(
        (rows, units) == (wanted, wanted),
        "{orders} orders were placed, the ledger has {rows} rows with {units} tickets"
    );
    Ok(())
}
