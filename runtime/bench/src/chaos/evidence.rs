//! Gathers what the independent checker reads: both topics from their first message, the tables by SQL, and the buyers' own
//! book. It goes past all of our clients but the reader of topics.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use ticket_bus::{BusConfig, Record, Tail};
use ticket_core::names::TopicPrefix;
use ticket_core::{
    CategoryName, Command, EventId, EventName, FactBatch, OrderId, OrderRef, State, StockShardId,
};
use uuid::Uuid;

use super::judge::{Evidence, Row, ShardRow, Told};
use crate::check;

/// How long the ledger may take to stand still for one reading.
const STILL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Everything of `event` at one moment. `prices` and capacities are as it was put on sale.
pub(super) async fn gather(
    database_url: &str,
    bus: &BusConfig,
    event: &EventName,
    sale: &check::Evidence,
    prices: &[(CategoryName, i64)],
) -> anyhow::Result<Evidence> {
    let mut ledger = PgConnection::connect(database_url)
        .await
        .context("no connection to the ledger")?;
    let (id, topic): (Uuid, String) =
        sqlx::query_as("SELECT event_id, topic FROM events WHERE namespace = $1 AND name = $2")
            .bind(event.namespace())
            .bind(event.name())
            .fetch_one(&mut ledger)
            .await
            .with_context(|| format!("{event} is not in the ledger"))?;
    let event_id = EventId(id);
    let started = Instant::now();
    let (shards, rows, places, facts) = loop {
        let shards = shards(&mut ledger, id).await?;
        let rows = rows(&mut ledger, &shards).await?;
        let places = read(bus, &topic).await?;
        let facts = read(bus, &TopicPrefix::default().order_events()).await?;
        // A sale that is over can still move: late news of a payment makes an expired order a refund. What was read is of
        // one moment only if the ledger did not change meanwhile; else a fact is newer than the row beside it.
        if shards == self::shards(&mut ledger, id).await? {
            break (shards, rows, places, facts);
        }
        anyhow::ensure!(
            started.elapsed() < STILL_WAIT_MAX,
            "the ledger of {event} still changes after {STILL_WAIT_MAX:?}"
        );
    };
    ledger.close().await?;

    let mut evidence = Evidence {
        told: told(sale),
        shards,
        rows,
        capacities: sale
            .before
            .iter()
            .map(|stock| (stock.name.clone(), stock.capacity))
            .collect(),
        prices: prices.iter().cloned().collect(),
        money: sale.money.clone(),
        ..Evidence::default()
    };
    for record in places {
        match Command::decode(&record.payload) {
            Ok(Command::Place(place)) => evidence.places.push((record.partition, place)),
            Ok(_) => {}
            Err(_) => evidence.unreadable += 1,
        }
    }
    for record in facts {
        match FactBatch::decode(&record.payload) {
            Ok(batch) if batch.event == event_id => evidence.facts.push(batch),
            Ok(_) => {}
            Err(_) => evidence.unreadable += 1,
        }
    }
    Ok(evidence)
}

fn told(sale: &check::Evidence) -> Vec<Told> {
    let acknowledged = sale.book.acknowledged();
    acknowledged
        .map(|(story, order)| Told {
            id: order.id,
            buyer: story.buyer.clone(),
            quantity: order.quantity,
            last_state: order.last_state,
        })
        .collect()
}

async fn read(bus: &BusConfig, topic: &str) -> anyhow::Result<Vec<Record>> {
    let failed = || format!("could not read topic {topic}");
    let mut tail = Tail::read_all(bus, topic).await.with_context(failed)?;
    let mut records = Vec::new();
    while let Some(record) = tail.next().await {
        records.push(record.with_context(failed)?);
    }
    Ok(records)
}

async fn shards(ledger: &mut PgConnection, event: Uuid) -> anyhow::Result<Vec<ShardRow>> {
    type Columns = (i64, String, i32, i64, i64, i64, i64, i64);
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT stock_shard_id, category, partition, capacity, available, held, sold, version \
         FROM stock_shards WHERE event_id = $1 ORDER BY stock_shard_id",
    )
    .bind(event)
    .fetch_all(ledger)
    .await
    .context("could not read the stock shards")?;
    rows.into_iter()
        .map(
            |(id, category, partition, capacity, available, held, sold, version)| {
                Ok(ShardRow {
                    shard: StockShardId::new(id)?,
                    category: CategoryName::new(&category)?,
                    partition,
                    capacity,
                    available,
                    held,
                    sold,
                    version,
                })
            },
        )
        .collect()
}

async fn rows(ledger: &mut PgConnection, shards: &[ShardRow]) -> anyhow::Result<Vec<Row>> {
    type Columns = (Uuid, i64, i64, i32, i64, i16, String);
    let ids: Vec<i64> = shards.iter().map(|shard| shard.shard.get()).collect();
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT order_id, stock_shard_id, version, quantity, amount_minor, state, buyer \
         FROM orders WHERE stock_shard_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(ledger)
    .await
    .context("could not read the orders")?;
    rows.into_iter()
        .map(
            |(order, shard, version, quantity, amount_minor, state, buyer)| {
                Ok(Row {
                    id: OrderRef {
                        order: OrderId(order),
                        shard: StockShardId::new(shard)?,
                    },
                    version,
                    quantity: u32::try_from(quantity)?,
                    amount_minor,
                    state: State::from_number(state).context("an unknown state")?,
                    buyer,
                })
            },
        )
        .collect()
}
