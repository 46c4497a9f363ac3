//! Where `stock-changes` is continued from: per category the last sequence number, and per stock shard what was counted
//! last. One writer per category; a state that is older than the one that is there is dropped.

use sqlx::FromRow;
use ticket_core::{CategoryName, EventId, InvalidId, StockCounts, StockShardId};

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// What was told of a category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockFeed {
    /// Number of the last change; 0 before the first.
    pub sequence: i64,
    /// Its stock shards.
    pub shards: Vec<FeedShard>,
}

/// What was counted of a stock shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedShard {
    /// The stock shard.
    pub id: StockShardId,
    /// Version of the last fact that was counted; 0 before the first.
    pub version: i64,
    /// Its counters by then.
    pub counts: StockCounts,
}

impl StockFeed {
    /// Grows with every fact that is counted.
    fn position(&self) -> i64 {
        self.shards.iter().map(|shard| shard.version).sum()
    }
}

impl Ledger {
    /// What was told of a category; `None` before the first time.
    pub async fn stock_feed(
        &self,
        event: EventId,
        category: &CategoryName,
    ) -> Result<Option<StockFeed>> {
        let mut connection = self.acquire().await?;
        let row: Option<FeedColumns> = sqlx::query_as(
            "SELECT sequence, stock_shard_ids, versions, capacity, available, held, sold \
             FROM stock_feeds WHERE event_id = $1 AND category = $2",
        )
        .bind(event.0)
        .bind(category.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "a stock feed",
            cause,
        })?;
        row.map(FeedColumns::into_feed).transpose()
    }

    /// Notes what was told of a category. Dropped if something newer is noted, and if the category is gone.
    pub async fn note_stock_feed(
        &self,
        event: EventId,
        category: &CategoryName,
        feed: &StockFeed,
    ) -> Result<()> {
        let of = |number: fn(&FeedShard) -> i64| -> Vec<i64> {
            feed.shards.iter().map(number).collect()
        };
        let mut connection = self.acquire().await?;
        sqlx::query(
            "INSERT INTO stock_feeds AS f (event_id, category, sequence, position, \
               stock_shard_ids, versions, capacity, available, held, sold) \
             SELECT c.event_id, c.name, $3, $4, $5, $6, $7, $8, $9, $10 FROM categories c \
             WHERE c.event_id = $1 AND c.name = $2 \
             ON CONFLICT (event_id, category) DO UPDATE SET sequence = excluded.sequence, \
               position = excluded.position, stock_shard_ids = excluded.stock_shard_ids, \
               versions = excluded.versions, capacity = excluded.capacity, \
               available = excluded.available, held = excluded.held, sold = excluded.sold \
             WHERE f.position < excluded.position",
        )
        .bind(event.0)
        .bind(category.as_str())
        .bind(feed.sequence)
        .bind(feed.position())
        .bind(of(|shard| shard.id.get()))
        .bind(of(|shard| shard.version))
        .bind(of(|shard| shard.counts.capacity))
        .bind(of(|shard| shard.counts.available))
        .bind(of(|shard| shard.counts.held))
        .bind(of(|shard| shard.counts.sold))
        .execute(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "a stock feed",
            cause,
        })?;
        Ok(())
    }
}

#[derive(FromRow)]
struct FeedColumns {
    sequence: i64,
    stock_shard_ids: Vec<i64>,
    versions: Vec<i64>,
    capacity: Vec<i64>,
    available: Vec<i64>,
    held: Vec<i64>,
    sold: Vec<i64>,
}

impl FeedColumns {
    fn into_feed(self) -> Result<StockFeed> {
        let corrupt = |cause| LedgerError::Corrupt {
            what: "a stock feed",
            cause,
        };
        let at = |column: &[i64], at: usize| {
            column.get(at).copied().ok_or(InvalidId {
                what: "column",
                why: "it is shorter than the others",
            })
        };
        let shards = self
            .stock_shard_ids
            .iter()
            .enumerate()
            .map(|(index, id)| {
                Ok(FeedShard {
                    id: StockShardId::new(*id)?,
                    version: at(&self.versions, index)?,
                    counts: StockCounts {
                        capacity: at(&self.capacity, index)?,
                        available: at(&self.available, index)?,
                        held: at(&self.held, index)?,
                        sold: at(&self.sold, index)?,
                    },
                })
            })
            .collect::<std::result::Result<_, InvalidId>>()
            .map_err(corrupt)?;
        Ok(StockFeed {
            sequence: self.sequence,
            shards,
        })
    }
}
