//! Looking at the store: epoch, counts, records, pending orders. Nothing here changes anything.

use std::collections::HashSet;

use jiff::Timestamp;
use redis::{RedisError, Value};
use ticket_core::names::StockKeys;
use ticket_core::{BuyerId, CategoryName, Epoch, EventId, OrderId, StockShardId};
use tracing::warn;
use uuid::Uuid;

use crate::error::StockError;
use crate::library;
use crate::record::{StoreRecord, micros};
use crate::reply;
use crate::store::{StockStore, fcall_ro};

/// Pending orders that one call looks at: well below 1 ms of the server.
pub const PENDING_PAGE_FIELDS: usize = 500;

/// Calls of one look at the pending orders: 2 million orders.
pub const PENDING_PAGES_MAX: usize = 4000;

/// Orders of one [`StockStore::known`]: well below 1 ms of the server.
pub const KNOWN_ORDERS_MAX: usize = 512;

/// An order that was reserved and that nobody settled or released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The order.
    pub order: OrderId,
    /// The stock shard that its units are of.
    pub shard: StockShardId,
    /// Its category.
    pub category: CategoryName,
    /// Tickets.
    pub quantity: u32,
    /// Who buys.
    pub buyer: BuyerId,
    /// The epoch of the reservation.
    pub epoch: Epoch,
    /// When it was reserved, by the clock of the API.
    pub since: Timestamp,
}

impl StockStore {
    /// What the store knows of an order, e.g. while it is queued. `None` = nothing.
    ///
    /// Also answers from data that survived a restart, before the event is armed again: who asks has been promised this
    /// order. What the ledger says of it goes first.
    pub async fn record(
        &self,
        event: EventId,
        order: OrderId,
    ) -> Result<Option<StoreRecord>, StockError> {
        let failed = |cause| StockError::Record { order, cause };
        let keys = StockKeys::new(event);
        let mut call = fcall_ro(library::RECORD, &[&keys.orders(), &keys.pending()]);
        call.arg(order.to_string());
        let reply = self.connection.call(&call).await.map_err(failed)?;
        if reply::is_nothing(&reply) {
            return Ok(None);
        }
        StoreRecord::read(order, &reply).map(Some).map_err(failed)
    }

    /// Which of these orders the store knows, in one call: one answer for each, in their order. `None` if the event is
    /// not armed with `epoch`: then the store cannot say. At most [`KNOWN_ORDERS_MAX`] are looked at; the answers end
    /// there.
    pub async fn known(
        &self,
        event: EventId,
        epoch: Epoch,
        orders: &[OrderId],
    ) -> Result<Option<Vec<bool>>, StockError> {
        if orders.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let failed = |cause| StockError::Read { event, cause };
        let mut call = fcall_ro(library::KNOWN, &[&StockKeys::new(event).orders()]);
        call.arg(epoch.0);
        for order in orders.iter().take(KNOWN_ORDERS_MAX) {
            call.arg(order.to_string());
        }
        let reply = self.connection.call(&call).await.map_err(failed)?;
        if let Value::Int(_) = reply {
            return Ok(None);
        }
        let text = reply::text(&reply).map_err(failed)?;
        Ok(Some(text.bytes().map(|known| known == b'1').collect()))
    }

    /// The epoch that the event is armed with. `None` = it is warming up.
    pub async fn state(&self, event: EventId) -> Result<Option<Epoch>, StockError> {
        let failed = |cause| StockError::Read { event, cause };
        let call = fcall_ro(library::STATE, &[&StockKeys::new(event).orders()]);
        let reply = self.connection.call(&call).await.map_err(failed)?;
        if reply::is_nothing(&reply) {
            return Ok(None);
        }
        reply::whole(&reply)
            .map(|epoch| Some(Epoch(epoch)))
            .map_err(failed)
    }

    /// The units left on each stock shard of a category, by id. Empty = the category is not armed.
    /// A count may be below zero for a moment after a [`StockStore::claim`].
    pub async fn counts(
        &self,
        event: EventId,
        category: &CategoryName,
    ) -> Result<Vec<(StockShardId, i64)>, StockError> {
        let failed = |cause| StockError::Read { event, cause };
        let keys = StockKeys::new(event);
        let call = fcall_ro(library::COUNTS, &[&keys.counts(category), &keys.orders()]);
        let reply = self.connection.call(&call).await.map_err(failed)?;
        let mut counts = read_counts(&reply).map_err(failed)?;
        counts.sort_unstable();
        Ok(counts)
    }

    /// Up to `max` orders that were reserved at `older_than` or before and that nobody settled or released. Not in any
    /// order. Empty if the event is not armed.
    pub async fn pending_older_than(
        &self,
        event: EventId,
        older_than: Timestamp,
        max: usize,
    ) -> Result<Vec<Pending>, StockError> {
        let failed = |cause| StockError::Read { event, cause };
        let keys = StockKeys::new(event);
        let mut found = Vec::new();
        // The server may show an entry twice while its table grows.
        let mut seen = HashSet::new();
        let mut cursor = "0".to_owned();
        for _ in 0..PENDING_PAGES_MAX {
            let mut call = fcall_ro(library::PENDING, &[&keys.orders(), &keys.pending()]);
            call.arg(&cursor)
                .arg(PENDING_PAGE_FIELDS)
                .arg(micros(older_than));
            let reply = self.connection.call(&call).await.map_err(failed)?;
            let (next, page) = read_page(&reply).map_err(failed)?;
            found.extend(
                page.into_iter()
                    .filter(|pending| seen.insert(pending.order)),
            );
            if found.len() >= max || next == "0" {
                found.truncate(max);
                return Ok(found);
            }
            cursor = next;
        }
        warn!(%event, pages = PENDING_PAGES_MAX, "more pending orders than one look can see");
        Ok(found)
    }

    /// How many orders were reserved and not settled or released. 0 if the event is not armed.
    pub async fn pending_count(&self, event: EventId) -> Result<u64, StockError> {
        let failed = |cause| StockError::Read { event, cause };
        let keys = StockKeys::new(event);
        let call = fcall_ro(library::PENDING_COUNT, &[&keys.orders(), &keys.pending()]);
        let reply = self.connection.call(&call).await.map_err(failed)?;
        let count = reply::whole(&reply).map_err(failed)?;
        u64::try_from(count).map_err(|_| failed(reply::unexpected(&reply)))
    }
}

fn read_counts(reply: &Value) -> Result<Vec<(StockShardId, i64)>, RedisError> {
    reply::list(reply)?
        .chunks(2)
        .map(|pair| {
            let [shard, units] = pair else {
                return Err(reply::unexpected(reply));
            };
            let shard = StockShardId::new(reply::whole(shard)?);
            Ok((
                shard.map_err(|_| reply::unexpected(reply))?,
                reply::whole(units)?,
            ))
        })
        .collect()
}

/// A cursor, then order, time and record of each entry.
fn read_page(reply: &Value) -> Result<(String, Vec<Pending>), RedisError> {
    let Some((next, entries)) = reply::list(reply)?.split_first() else {
        return Err(reply::unexpected(reply));
    };
    let page = entries
        .chunks(3)
        .map(|entry| read_pending(entry)?.ok_or_else(|| reply::unexpected(reply)));
    Ok((
        reply::text(next)?.to_owned(),
        page.collect::<Result<_, RedisError>>()?,
    ))
}

fn read_pending(entry: &[Value]) -> Result<Option<Pending>, RedisError> {
    let [order, since, record] = entry else {
        return Ok(None);
    };
    let Ok(order) = Uuid::try_parse(reply::text(order)?) else {
        return Ok(None);
    };
    let Ok(since) = Timestamp::from_microsecond(reply::whole(since)?) else {
        return Ok(None);
    };
    let record = StoreRecord::parse(OrderId(order), reply::text(record)?, true);
    Ok(record.map(|record| Pending {
        order: record.order,
        shard: record.shard,
        category: record.category,
        quantity: record.quantity,
        buyer: record.buyer,
        epoch: record.epoch,
        since,
    }))
}
