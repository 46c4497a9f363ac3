//! Events: what the operator writes and every service re-reads once a second.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use sqlx::{Connection, FromRow, PgConnection};
use ticket_core::{
    CategoryName, Currency, Epoch, EventId, EventName, InvalidId, Money, OrderId, StockShardId,
    StockSource,
};
use uuid::Uuid;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// Stock shards whose rows one statement of a deletion takes away.
const SHARDS_PER_DELETE_MAX: usize = 64;

/// A sale as the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its identity.
    pub id: EventId,
    /// Its name. Never changes.
    pub name: EventName,
    /// The resource that owns it; `None` after a deletion with `Retain`.
    pub owner_uid: Option<String>,
    /// For people.
    pub title: String,
    /// Its order log.
    pub topic: String,
    /// Partitions of the order log.
    pub partitions: u32,
    /// The sale begins.
    pub opens_at: Timestamp,
    /// The sale ends.
    pub closes_at: Timestamp,
    /// Not now.
    pub paused: bool,
    /// The operator has let the sale begin (`OpenSales` ran).
    pub is_open: bool,
    /// The sale is over for good.
    pub is_closed: bool,
    /// How long a hold lasts, seconds.
    pub hold_for_s: u32,
    /// How long it lasts while the payment is on its way, seconds.
    pub processing_for_s: u32,
    /// Held and paid units that one buyer may have; 0 is no limit.
    pub max_per_buyer: u32,
    /// Reservations per second that are let in; 0 is no limit.
    pub admission_per_second: u32,
    /// Who says how many tickets there are.
    pub stock_source: StockSource,
    /// Epoch of the newest warm-up. Read only: [`Ledger::write_event`] leaves it alone.
    pub epoch: Epoch,
    /// Grows with every change of any event. Read only.
    pub change: i64,
    /// Its categories, in the order of the resource.
    pub categories: Vec<CategoryRow>,
    /// Its stock shards, in the order of their numbers. Read only: [`Ledger::create_stock_shards`] makes them.
    pub shards: Vec<EventShard>,
}

/// A class of tickets with one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryRow {
    /// Its name. Never changes.
    pub name: CategoryName,
    /// Price of one ticket.
    pub price: Money,
    /// Units that the resource asks for. What there is stands in the stock shards.
    pub quantity: u64,
}

/// What never changes of a stock shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventShard {
    /// Its id.
    pub id: StockShardId,
    /// Its category.
    pub category: CategoryName,
    /// Partition of the order log that carries its commands.
    pub partition: i32,
    /// Units that it was made with.
    pub born_with: i64,
}

impl Ledger {
    /// Writes what the operator decides of an event: all fields but identity, name, epoch, change and stock shards.
    /// Answers whether anything was different. A category that is not named any more goes, unless it has stock shards.
    ///
    /// Refused with [`LedgerError::NotOwner`] unless `row.owner_uid` owns the event: somebody older took it meanwhile.
    pub async fn write_event(&self, row: &EventRow) -> Result<bool> {
        let failed = |cause| LedgerError::Write {
            what: "an event",
            cause,
        };
        let mut connection = self.acquire().await?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        let change = next_change(&mut transaction).await.map_err(failed)?;
        let there = read(&mut transaction, Which::Id(row.id)).await?.pop();
        let owner: Option<Option<String>> =
            sqlx::query_scalar("SELECT owner_uid FROM events WHERE event_id = $1")
                .bind(row.id.0)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
        let owner = owner.flatten();
        if owner.is_none() || owner != row.owner_uid {
            let owner = owner.unwrap_or_default();
            return Err(LedgerError::NotOwner {
                event: row.name.clone(),
                owner,
            });
        }
        if there.is_some_and(|there| there.says_the_same(row)) {
            // Dropping the transaction also takes the new change number back: nobody re-reads for nothing.
            return Ok(false);
        }
        update(&mut transaction, row, change)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// The event with this identity, once it was written.
    pub async fn event(&self, id: EventId) -> Result<Option<EventRow>> {
        Ok(read(&mut *self.acquire().await?, Which::Id(id))
            .await?
            .pop())
    }

    /// The event with this name, once it was written.
    pub async fn event_by_name(&self, name: &EventName) -> Result<Option<EventRow>> {
        Ok(read(&mut *self.acquire().await?, Which::Name(name))
            .await?
            .pop())
    }

    /// All events that were written, in no order.
    pub async fn events(&self) -> Result<Vec<EventRow>> {
        self.events_changed_since(0).await
    }

    /// Events that changed after change number `change`. Nothing is missed: numbers become visible in their order.
    /// A deleted event does not show up; ask [`Ledger::newest_change`].
    pub async fn events_changed_since(&self, change: i64) -> Result<Vec<EventRow>> {
        read(&mut *self.acquire().await?, Which::After(change)).await
    }

    /// The number of the newest change, and how many events there are. Whoever knows fewer changes, or another number of
    /// events (a deletion), has something to read. One cheap query.
    pub async fn newest_change(&self) -> Result<(i64, usize)> {
        let mut connection = self.acquire().await?;
        let (newest, count): (i64, i64) = sqlx::query_as(
            "SELECT coalesce(max(change), 0), count(*) FROM events WHERE opens_at IS NOT NULL",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "the newest change",
            cause,
        })?;
        Ok((newest, usize::try_from(count).unwrap_or(0)))
    }

    /// Removes an event with its stock and orders, for good (`deletionPolicy: Delete`). Only its owner may.
    /// Repeatable: after a crash half way the rest goes with the next call.
    pub async fn delete_event(&self, event: EventId, owner_uid: &str) -> Result<()> {
        let failed = |cause| LedgerError::Write {
            what: "the deletion of an event",
            cause,
        };
        let mut connection = self.acquire().await?;
        let found: Option<(String, String, Option<String>)> =
            sqlx::query_as("SELECT namespace, name, owner_uid FROM events WHERE event_id = $1")
                .bind(event.0)
                .fetch_optional(&mut *connection)
                .await
                .map_err(failed)?;
        let Some((namespace, name, owner)) = found else {
            return Ok(());
        };
        if owner.as_deref() != Some(owner_uid) {
            let event =
                EventName::new(&namespace, &name).map_err(|cause| LedgerError::Corrupt {
                    what: "an event's name",
                    cause,
                })?;
            return Err(LedgerError::NotOwner {
                event,
                owner: owner.unwrap_or_default(),
            });
        }
        let shards: Vec<i64> = sqlx::query_scalar(
            "SELECT stock_shard_id FROM shard_catalog WHERE event_id = $1 ORDER BY number",
        )
        .bind(event.0)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        // Stock first: without its row no call adds an order. The catalog, which this list comes from, goes last.
        let (first, last) = OrderId::range_of(event);
        for shards in shards.chunks(SHARDS_PER_DELETE_MAX) {
            sqlx::query("DELETE FROM stock_shards WHERE stock_shard_id = ANY ($1)")
                .bind(shards)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
            sqlx::query(
                "DELETE FROM orders WHERE order_id BETWEEN $2 AND $3 AND stock_shard_id = ANY ($1)",
            )
            .bind(shards)
            .bind(first.0)
            .bind(last.0)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        }
        sqlx::query("DELETE FROM events WHERE event_id = $1")
            .bind(event.0)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

impl EventRow {
    /// Equal in all that [`Ledger::write_event`] writes.
    fn says_the_same(&self, other: &Self) -> bool {
        let written = |row: &Self| Self {
            owner_uid: None,
            epoch: Epoch::FIRST,
            change: 0,
            shards: Vec::new(),
            ..row.clone()
        };
        written(self) == written(other)
    }
}

/// Takes the next change number and with it the lock that lets one writer of events in at a time.
pub(crate) async fn next_change(
    transaction: &mut PgConnection,
) -> std::result::Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE event_changes SET last_change = last_change + 1 RETURNING last_change",
    )
    .fetch_one(transaction)
    .await
}

async fn update(
    transaction: &mut PgConnection,
    row: &EventRow,
    change: i64,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE events SET title = $2, topic = $3, partitions = $4, opens_at = $5, closes_at = $6, \
         paused = $7, is_open = $8, is_closed = $9, hold_for_s = $10, processing_for_s = $11, \
         max_per_buyer = $12, admission_per_second = $13, change = $14, stock_source = $15 \
         WHERE event_id = $1",
    )
    .bind(row.id.0)
    .bind(&row.title)
    .bind(&row.topic)
    .bind(number(row.partitions))
    .bind(row.opens_at.to_sqlx())
    .bind(row.closes_at.to_sqlx())
    .bind(row.paused)
    .bind(row.is_open)
    .bind(row.is_closed)
    .bind(number(row.hold_for_s))
    .bind(number(row.processing_for_s))
    .bind(number(row.max_per_buyer))
    .bind(number(row.admission_per_second))
    .bind(change)
    .bind(row.stock_source.number())
    .execute(&mut *transaction)
    .await?;
    let names: Vec<&str> = row
        .categories
        .iter()
        .map(|category| category.name.as_str())
        .collect();
    for (position, category) in row.categories.iter().enumerate() {
        sqlx::query(
            "INSERT INTO categories (event_id, name, position, currency, price_minor, quantity) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (event_id, name) DO UPDATE SET \
             position = excluded.position, currency = excluded.currency, \
             price_minor = excluded.price_minor, quantity = excluded.quantity",
        )
        .bind(row.id.0)
        .bind(category.name.as_str())
        .bind(i32::try_from(position).unwrap_or(i32::MAX))
        .bind(category.price.currency.as_str())
        .bind(category.price.amount_minor)
        .bind(i64::try_from(category.quantity).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query(
        "DELETE FROM categories c WHERE event_id = $1 AND name <> ALL ($2) AND NOT EXISTS \
         (SELECT FROM shard_catalog s WHERE s.event_id = c.event_id AND s.category = c.name)",
    )
    .bind(row.id.0)
    .bind(names)
    .execute(transaction)
    .await?;
    Ok(())
}

/// A setting as the database has it. Beyond 2^31 (68 years in seconds) there is no difference any more.
fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Which events to read.
enum Which<'a> {
    Id(EventId),
    Name(&'a EventName),
    After(i64),
}

#[derive(FromRow)]
struct EventColumns {
    event_id: Uuid,
    namespace: String,
    name: String,
    owner_uid: Option<String>,
    title: String,
    topic: String,
    partitions: i32,
    opens_at: SqlTimestamp,
    closes_at: SqlTimestamp,
    paused: bool,
    is_open: bool,
    is_closed: bool,
    hold_for_s: i32,
    processing_for_s: i32,
    max_per_buyer: i32,
    admission_per_second: i32,
    stock_source: i16,
    epoch: i64,
    change: i64,
}

#[derive(FromRow)]
struct CategoryColumns {
    event_id: Uuid,
    name: String,
    currency: String,
    price_minor: i64,
    quantity: i64,
}

#[derive(FromRow)]
struct ShardColumns {
    event_id: Uuid,
    stock_shard_id: i64,
    category: String,
    partition: i32,
    born_with: i64,
}

macro_rules! event_columns {
    ($rest:literal) => {
        concat!(
            "SELECT event_id, namespace, name, owner_uid, title, topic, partitions, opens_at, \
             closes_at, paused, is_open, is_closed, hold_for_s, processing_for_s, max_per_buyer, \
             admission_per_second, stock_source, epoch, change FROM events WHERE opens_at IS NOT NULL AND ",
            $rest
        )
    };
}

/// Three statements. A writer between them is seen by its later change number, and read whole the next time.
async fn read(connection: &mut PgConnection, which: Which<'_>) -> Result<Vec<EventRow>> {
    let failed = |cause| LedgerError::Read {
        what: "events",
        cause,
    };
    let query = match which {
        Which::Id(id) => sqlx::query_as(event_columns!("event_id = $1")).bind(id.0),
        Which::Name(name) => sqlx::query_as(event_columns!("namespace = $1 AND name = $2"))
            .bind(name.namespace())
            .bind(name.name()),
        Which::After(change) => sqlx::query_as(event_columns!("change > $1")).bind(change),
    };
    let events: Vec<EventColumns> = query.fetch_all(&mut *connection).await.map_err(failed)?;
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let categories: Vec<CategoryColumns> = sqlx::query_as(
        "SELECT event_id, name, currency, price_minor, quantity FROM categories \
         WHERE event_id = ANY ($1) ORDER BY position, name",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let shards: Vec<ShardColumns> = sqlx::query_as(
        "SELECT event_id, stock_shard_id, category, partition, born_with FROM shard_catalog \
         WHERE event_id = ANY ($1) ORDER BY number",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    assemble(events, categories, shards).map_err(|cause| LedgerError::Corrupt {
        what: "an event",
        cause,
    })
}

fn assemble(
    events: Vec<EventColumns>,
    categories: Vec<CategoryColumns>,
    shards: Vec<ShardColumns>,
) -> std::result::Result<Vec<EventRow>, InvalidId> {
    let mut categories_of: HashMap<Uuid, Vec<CategoryRow>> = HashMap::new();
    for row in categories {
        let category = CategoryRow {
            name: CategoryName::new(&row.name)?,
            price: Money {
                currency: Currency::new(&row.currency)?,
                amount_minor: row.price_minor,
            },
            quantity: u64::try_from(row.quantity).unwrap_or(0),
        };
        categories_of
            .entry(row.event_id)
            .or_default()
            .push(category);
    }
    let mut shards_of: HashMap<Uuid, Vec<EventShard>> = HashMap::new();
    for row in shards {
        let shard = EventShard {
            id: StockShardId::new(row.stock_shard_id)?,
            category: CategoryName::new(&row.category)?,
            partition: row.partition,
            born_with: row.born_with,
        };
        shards_of.entry(row.event_id).or_default().push(shard);
    }
    // The CHECKs of the table keep these at 0 or more.
    let number = |value: i32| u32::try_from(value).unwrap_or(0);
    events
        .into_iter()
        .map(|row| {
            Ok(EventRow {
                id: EventId(row.event_id),
                name: EventName::new(&row.namespace, &row.name)?,
                owner_uid: row.owner_uid,
                title: row.title,
                topic: row.topic,
                partitions: number(row.partitions),
                opens_at: row.opens_at.to_jiff(),
                closes_at: row.closes_at.to_jiff(),
                paused: row.paused,
                is_open: row.is_open,
                is_closed: row.is_closed,
                hold_for_s: number(row.hold_for_s),
                processing_for_s: number(row.processing_for_s),
                max_per_buyer: number(row.max_per_buyer),
                admission_per_second: number(row.admission_per_second),
                stock_source: StockSource::from_number(row.stock_source).ok_or(InvalidId {
                    what: "stock source",
                    why: "the number is not known",
                })?,
                epoch: Epoch(row.epoch),
                change: row.change,
                categories: categories_of.remove(&row.event_id).unwrap_or_default(),
                shards: shards_of.remove(&row.event_id).unwrap_or_default(),
            })
        })
        .collect()
}
