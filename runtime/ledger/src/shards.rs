//! Stock shards: making them, their counters, and what a seed of the stock store needs to know.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection, FromRow, PgConnection};
use ticket_core::{
    Adjustment, CategoryName, Epoch, EventId, ShardStock, StockCounts, StockShardId,
};

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// Draws until new ids are there. One in four million shares its hash with one of a thousand lanes, so a second is rare.
const DRAWS_MAX: usize = 4;

/// A stock shard to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStockShard {
    /// From [`Ledger::allocate_shard_ids`], or a lane of the event.
    pub id: StockShardId,
    /// Its category, which must have been written.
    pub category: CategoryName,
    /// Partition of the order log that carries its commands.
    pub partition: i32,
    /// Its units, all available at first.
    pub capacity: u32,
}

/// A stock shard as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockShardRow {
    /// Its id.
    pub id: StockShardId,
    /// Its category.
    pub category: CategoryName,
    /// Partition of the order log that carries its commands.
    pub partition: i32,
    /// `host:port` of the node that holds it.
    pub node: String,
    /// Its Citus shard holds nothing else. Never on plain `PostgreSQL`.
    pub lane: bool,
    /// The newest warm-up whose marker it has met.
    pub epoch: Epoch,
    /// Grows by one with every call of [`Ledger::apply`].
    pub version: i64,
    /// Its counters.
    pub counts: StockCounts,
    /// The newest adjustment that it has met.
    pub adjustment: Adjustment,
}

/// What a seed of the stock store starts from. Orders come in pages: [`Ledger::event_orders`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedView {
    /// Epoch of the event.
    pub epoch: Epoch,
    /// Categories in the order of the resource.
    pub categories: Vec<SeedCategory>,
    /// Whether every stock shard has met the marker of `epoch`. Until then a seed would count what is still in the log.
    pub is_settled: bool,
}

/// A category of a [`SeedView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedCategory {
    /// Its name.
    pub name: CategoryName,
    /// Its stock shards.
    pub shards: Vec<ShardStock>,
}

impl StockShardRow {
    /// What the stock store has to know of it.
    #[must_use]
    pub const fn to_stock(&self) -> ShardStock {
        ShardStock {
            shard: self.id,
            available: self.counts.available,
            capacity: self.counts.capacity,
            adjustment: self.adjustment,
        }
    }
}

impl Ledger {
    /// Draws `count` ids that no stock shard ever had, and whose hash is no lane's. Ids that are not used are lost, which is
    /// harmless.
    pub async fn allocate_shard_ids(&self, count: usize) -> Result<Vec<StockShardId>> {
        let draw = if self.is_distributed().await? {
            "SELECT id FROM (SELECT nextval('stock_shard_ids') AS id FROM generate_series(1, $1)) AS drawn \
             WHERE NOT EXISTS (SELECT FROM lanes l \
               WHERE worker_hash(l.stock_shard_id) = worker_hash(drawn.id))"
        } else {
            "SELECT nextval('stock_shard_ids') FROM generate_series(1, $1)"
        };
        let mut connection = self.acquire().await?;
        let mut ids: Vec<i64> = Vec::with_capacity(count);
        for _ in 0..DRAWS_MAX {
            let missing = count.saturating_sub(ids.len());
            if missing == 0 {
                break;
            }
            let drawn: Vec<i64> = sqlx::query_scalar(draw)
                .bind(i64::try_from(missing).unwrap_or(i64::MAX))
                .fetch_all(&mut *connection)
                .await
                .map_err(|cause| LedgerError::Write {
                    what: "new shard ids",
                    cause,
                })?;
            ids.extend(drawn);
        }
        if ids.len() < count {
            let why = "the sequence of ids gives only those of lanes";
            return Err(LedgerError::Answer { why });
        }
        ids.into_iter()
            .map(|id| {
                StockShardId::new(id).map_err(|cause| LedgerError::Corrupt {
                    what: "an id",
                    cause,
                })
            })
            .collect()
    }

    /// Makes stock shards, born with the event's epoch and all their units available; all or none.
    ///
    /// `seen` is the number of stock shards that the event had when these were planned: if it has others by now, two
    /// planners are at work, and the second is refused with [`LedgerError::ShardConflict`] instead of doubling the stock.
    /// The same call again (the same ids) changes nothing.
    pub async fn create_stock_shards(
        &self,
        event: EventId,
        seen: usize,
        shards: &[NewStockShard],
    ) -> Result<()> {
        let failed = |cause| LedgerError::Write {
            what: "stock shards",
            cause,
        };
        let mut connection = self.acquire().await?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        let change = crate::events::next_change(&mut transaction)
            .await
            .map_err(failed)?;
        let epoch: i64 =
            sqlx::query_scalar("UPDATE events SET change = $2 WHERE event_id = $1 RETURNING epoch")
                .bind(event.0)
                .bind(change)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?
                .ok_or(LedgerError::UnknownEvent { event })?;
        let there: HashSet<i64> =
            sqlx::query_scalar("SELECT stock_shard_id FROM shard_catalog WHERE event_id = $1")
                .bind(event.0)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?
                .into_iter()
                .collect();
        if shards.iter().all(|shard| there.contains(&shard.id.get())) {
            return Ok(());
        }
        if there.len() != seen {
            return Err(LedgerError::ShardConflict {
                event,
                seen,
                found: there.len(),
            });
        }
        insert(&mut transaction, event, seen, Epoch(epoch), shards)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// The stock shards of an event with their counters, in the order of their numbers.
    pub async fn stock(&self, event: EventId) -> Result<Vec<StockShardRow>> {
        let failed = |cause| LedgerError::Read {
            what: "stock",
            cause,
        };
        let mut places = self.places_of_shards(event).await?;
        let mut connection = self.acquire().await?;
        let ids = shard_ids(&mut connection, event).await?;
        let rows: Vec<StockColumns> = sqlx::query_as(
            "SELECT stock_shard_id, category, partition, capacity, available, held, sold, epoch, \
             version, adjustment FROM stock_shards WHERE stock_shard_id = ANY ($1)",
        )
        .bind(&ids)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let mut rows: HashMap<i64, StockColumns> = rows
            .into_iter()
            .map(|row| (row.stock_shard_id, row))
            .collect();
        // A row that is missing is just being deleted.
        ids.iter()
            .filter_map(|id| rows.remove(id))
            .map(|row| {
                let place = places.remove(&row.stock_shard_id);
                let lane = place.as_ref().is_some_and(|place| place.lane);
                let node = place.map_or_else(|| self.address(), |place| place.node);
                row.into_row(node, lane)
            })
            .collect()
    }

    /// What a seed of the stock store needs besides the orders; `None` if the event is unknown.
    pub async fn seed_view(&self, event: EventId) -> Result<Option<SeedView>> {
        let Some(row) = self.event(event).await? else {
            return Ok(None);
        };
        let stock = self.stock(event).await?;
        let is_settled = stock.iter().all(|shard| shard.epoch >= row.epoch);
        let categories = row
            .categories
            .into_iter()
            .map(|category| {
                let of_category = stock.iter().filter(|shard| shard.category == category.name);
                let shards = of_category.map(StockShardRow::to_stock).collect();
                SeedCategory {
                    name: category.name,
                    shards,
                }
            })
            .collect();
        Ok(Some(SeedView {
            epoch: row.epoch,
            categories,
            is_settled,
        }))
    }
}

/// The ids of an event's stock shards, from the catalog.
pub(crate) async fn shard_ids(connection: &mut PgConnection, event: EventId) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT stock_shard_id FROM shard_catalog WHERE event_id = $1 ORDER BY number",
    )
    .bind(event.0)
    .fetch_all(connection)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "the shard catalog",
        cause,
    })
}

async fn insert(
    transaction: &mut PgConnection,
    event: EventId,
    first_number: usize,
    epoch: Epoch,
    shards: &[NewStockShard],
) -> std::result::Result<(), sqlx::Error> {
    let ids: Vec<i64> = shards.iter().map(|shard| shard.id.get()).collect();
    let categories: Vec<&str> = shards.iter().map(|shard| shard.category.as_str()).collect();
    let capacities: Vec<i64> = shards.iter().map(|shard| shard.capacity.into()).collect();
    let partitions: Vec<i32> = shards.iter().map(|shard| shard.partition).collect();
    sqlx::query(
        "INSERT INTO shard_catalog \
         (stock_shard_id, event_id, number, category, partition, born_with) \
         SELECT u.id, $1, $2 + u.position - 1, u.category, u.partition, u.capacity \
         FROM unnest($3::bigint[], $4::text[], $5::integer[], $6::bigint[]) \
         WITH ORDINALITY AS u(id, category, partition, capacity, position)",
    )
    .bind(event.0)
    .bind(i64::try_from(first_number).unwrap_or(i64::MAX))
    .bind(&ids)
    .bind(&categories)
    .bind(&partitions)
    .bind(&capacities)
    .execute(&mut *transaction)
    .await?;
    // One by one: on Citus each goes to its own node, and there are a few hundred at most in an event's life.
    for shard in shards {
        sqlx::query(
            "INSERT INTO stock_shards (stock_shard_id, event_id, category, partition, capacity, \
             available, epoch) VALUES ($1, $2, $3, $4, $5, $5, $6)",
        )
        .bind(shard.id.get())
        .bind(event.0)
        .bind(shard.category.as_str())
        .bind(shard.partition)
        .bind(i64::from(shard.capacity))
        .bind(epoch.0)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

#[derive(FromRow)]
struct StockColumns {
    stock_shard_id: i64,
    category: String,
    partition: i32,
    capacity: i64,
    available: i64,
    held: i64,
    sold: i64,
    epoch: i64,
    version: i64,
    adjustment: i64,
}

impl StockColumns {
    fn into_row(self, node: String, lane: bool) -> Result<StockShardRow> {
        let corrupt = |cause| LedgerError::Corrupt {
            what: "a stock shard",
            cause,
        };
        let Self {
            capacity,
            available,
            held,
            sold,
            ..
        } = self;
        Ok(StockShardRow {
            id: StockShardId::new(self.stock_shard_id).map_err(corrupt)?,
            category: CategoryName::new(&self.category).map_err(corrupt)?,
            partition: self.partition,
            node,
            lane,
            epoch: Epoch(self.epoch),
            version: self.version,
            counts: StockCounts {
                capacity,
                available,
                held,
                sold,
            },
            adjustment: Adjustment(self.adjustment),
        })
    }
}
