//! What the audit compares: the counters of a stock shard with the sum over its orders, and orders that are stuck.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use sqlx::FromRow;
use ticket_core::{
    CategoryName, Epoch, EventId, OrderId, OrderRef, State, StockCounts, StockShardId,
};
use uuid::Uuid;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};
use crate::shards;

/// Stuck orders that are named; more are only worse, not more telling.
const STUCK_ORDERS_MAX: i64 = 100;

/// An event as the audit sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditView {
    /// Its stock shards, in the order of their ids; each was read in one snapshot with its orders.
    pub shards: Vec<AuditShard>,
    /// Orders that waited for longer than they may, at most 100.
    pub stuck: Vec<StuckOrder>,
}

/// A stock shard and its orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditShard {
    /// Its id.
    pub id: StockShardId,
    /// Its category.
    pub category: CategoryName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its version.
    pub version: i64,
    /// Its counters.
    pub counts: StockCounts,
    /// Units of orders that hold theirs.
    pub orders_held: i64,
    /// Units of orders that are paid.
    pub orders_sold: i64,
    /// Orders in each state, indexed by the state's number.
    pub orders_by_state: [i64; State::ALL.len()],
}

/// An order that should have moved on by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckOrder {
    /// The order.
    pub order: OrderRef,
    /// Where it is stuck.
    pub state: State,
    /// Since when it should not be there any more.
    pub since: Timestamp,
}

impl AuditShard {
    /// Law 1, and the counters equal the sum over the orders.
    #[must_use]
    pub const fn adds_up(&self) -> bool {
        self.counts.is_conserved()
            && self.counts.held == self.orders_held
            && self.counts.sold == self.orders_sold
    }
}

impl Ledger {
    /// Counters and sums of an event. An order counts as stuck if it waits for its payment to be made or its refund to
    /// settle since before `stuck_before`, or if its hold was over by then.
    pub async fn audit_view(&self, event: EventId, stuck_before: Timestamp) -> Result<AuditView> {
        let failed = |cause| LedgerError::Read {
            what: "the audit's sums",
            cause,
        };
        let mut connection = self.acquire().await?;
        let ids = shards::shard_ids(&mut connection, event).await?;
        let (first, last) = OrderId::range_of(event);
        // One statement, joined shard by shard: each shard and its orders come from the same snapshot, also on Citus.
        let rows: Vec<AuditColumns> = sqlx::query_as(
            "SELECT s.stock_shard_id, s.category, s.epoch, s.version, s.capacity, s.available, \
             s.held, s.sold, coalesce(o.orders_held, 0) AS orders_held, \
             coalesce(o.orders_sold, 0) AS orders_sold, o.by_state FROM stock_shards s LEFT JOIN ( \
               SELECT stock_shard_id, \
                 (sum(quantity) FILTER (WHERE state IN (1, 2)))::bigint AS orders_held, \
                 (sum(quantity) FILTER (WHERE state = 3))::bigint AS orders_sold, \
                 ARRAY[0, count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2), \
                   count(*) FILTER (WHERE state = 3), count(*) FILTER (WHERE state = 4), \
                   count(*) FILTER (WHERE state = 5), count(*) FILTER (WHERE state = 6), \
                   count(*) FILTER (WHERE state = 7), count(*) FILTER (WHERE state = 8), \
                   count(*) FILTER (WHERE state = 9)]::bigint[] AS by_state \
               FROM orders WHERE order_id BETWEEN $2 AND $3 AND stock_shard_id = ANY ($1) GROUP BY stock_shard_id \
             ) o ON o.stock_shard_id = s.stock_shard_id \
             WHERE s.stock_shard_id = ANY ($1) ORDER BY s.stock_shard_id",
        )
        .bind(&ids)
        .bind(first.0)
        .bind(last.0)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let stuck: Vec<(i64, Uuid, i16, SqlTimestamp)> = sqlx::query_as(
            "SELECT stock_shard_id, order_id, state, coalesce(hold_expires_at, updated_at) AS since \
             FROM orders WHERE order_id BETWEEN $4 AND $5 AND stock_shard_id = ANY ($1) AND state IN (1, 2, 4) \
             AND coalesce(hold_expires_at, updated_at) < $2 ORDER BY since LIMIT $3",
        )
        .bind(&ids)
        .bind(stuck_before.to_sqlx())
        .bind(STUCK_ORDERS_MAX)
        .bind(first.0)
        .bind(last.0)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let shards = rows
            .into_iter()
            .map(AuditColumns::into_shard)
            .collect::<Result<_>>()?;
        let stuck = stuck.into_iter().map(stuck_order).collect::<Result<_>>()?;
        Ok(AuditView { shards, stuck })
    }
}

#[derive(FromRow)]
struct AuditColumns {
    stock_shard_id: i64,
    category: String,
    epoch: i64,
    version: i64,
    capacity: i64,
    available: i64,
    held: i64,
    sold: i64,
    orders_held: i64,
    orders_sold: i64,
    by_state: Option<Vec<i64>>,
}

impl AuditColumns {
    fn into_shard(self) -> Result<AuditShard> {
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
        let mut orders_by_state = [0; State::ALL.len()];
        for (slot, count) in orders_by_state
            .iter_mut()
            .zip(self.by_state.unwrap_or_default())
        {
            *slot = count;
        }
        Ok(AuditShard {
            id: StockShardId::new(self.stock_shard_id).map_err(corrupt)?,
            category: CategoryName::new(&self.category).map_err(corrupt)?,
            epoch: Epoch(self.epoch),
            version: self.version,
            counts: StockCounts {
                capacity,
                available,
                held,
                sold,
            },
            orders_held: self.orders_held,
            orders_sold: self.orders_sold,
            orders_by_state,
        })
    }
}

fn stuck_order((shard, order, state, since): (i64, Uuid, i16, SqlTimestamp)) -> Result<StuckOrder> {
    let corrupt = |cause| LedgerError::Corrupt {
        what: "an order",
        cause,
    };
    let unknown = ticket_core::InvalidId {
        what: "state",
        why: "the number is not known",
    };
    let shard = StockShardId::new(shard).map_err(corrupt)?;
    Ok(StuckOrder {
        order: OrderRef {
            order: OrderId(order),
            shard,
        },
        state: State::from_number(state).ok_or(unknown).map_err(corrupt)?,
        since: since.to_jiff(),
    })
}
