//! The gate: reserves the units of one order.

use std::time::Instant;

use jiff::Timestamp;
use redis::{RedisError, Value};
use ticket_core::names::StockKeys;
use ticket_core::{BuyerId, CategoryName, Epoch, EventId, OrderId, StockShardId};

use crate::error::StockError;
use crate::library;
use crate::record::{StoreRecord, micros};
use crate::reply;
use crate::store::{StockStore, fcall};

/// What an order wants.
#[derive(Debug, Clone, Copy)]
pub struct Reserve<'a> {
    /// The sale.
    pub event: EventId,
    /// The class of tickets.
    pub category: &'a CategoryName,
    /// The epoch that the caller believes the event to be at, from the ledger.
    pub epoch: Epoch,
    /// The order; the same order again is never counted twice.
    pub order: OrderId,
    /// Who buys.
    pub buyer: &'a BuyerId,
    /// Tickets, at least 1.
    pub quantity: u32,
    /// Two stock shards of the category, taken at random; the fuller one is used.
    pub shards: [StockShardId; 2],
    /// Now, by the caller's clock.
    pub now: Timestamp,
    /// Fresh reservations of the event in one second of the server's clock. 0 = no limit.
    pub admission_per_second: u32,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// The units are reserved.
    Fresh {
        /// On this stock shard.
        shard: StockShardId,
    },
    /// The order was reserved before; nothing was taken. The caller compares category, quantity and buyer.
    Known(StoreRecord),
    /// No unit of the category is left.
    SoldOut,
    /// The event is not armed, or the category is not seeded.
    WarmingUp,
    /// The event is armed with another epoch than the caller's.
    OtherEpoch,
    /// The buyer would have more units than the event allows.
    BuyerLimit,
    /// Units are left, but no stock shard has this many.
    NoShardFits,
    /// More fresh reservations in this second than the event admits.
    TooFast,
}

impl StockStore {
    /// Reserves the units of one order in one atomic call.
    ///
    /// On an error of class `Ambiguous` the units may be reserved: the same call again finds out. Never compensate.
    pub async fn reserve(&self, wish: &Reserve<'_>) -> Result<Reserved, StockError> {
        let failed = |cause| StockError::Reserve {
            order: wish.order,
            cause,
        };
        let keys = StockKeys::new(wish.event);
        let [first, second] = wish.shards;
        let mut call = fcall(
            library::RESERVE,
            &[
                &keys.counts(wish.category),
                &keys.orders(),
                &keys.pending(),
                &keys.buyers(),
            ],
        );
        call.arg(wish.epoch.0)
            .arg(wish.order.to_string())
            .arg(wish.quantity)
            .arg(first.get())
            .arg(second.get())
            .arg(micros(wish.now))
            .arg(wish.admission_per_second)
            .arg(wish.buyer.as_str());
        let started = Instant::now();
        let reply = self.connection.call(&call).await;
        metrics::histogram!("ticket_reserve_seconds").record(started.elapsed().as_secs_f64());
        read(wish.order, &reply.map_err(failed)?).map_err(failed)
    }
}

fn read(order: OrderId, reply: &Value) -> Result<Reserved, RedisError> {
    let Value::Int(code) = reply else {
        return StoreRecord::read(order, reply).map(Reserved::Known);
    };
    match *code {
        -1 => Ok(Reserved::SoldOut),
        -2 => Ok(Reserved::WarmingUp),
        -3 => Ok(Reserved::OtherEpoch),
        -4 => Ok(Reserved::BuyerLimit),
        -5 => Ok(Reserved::NoShardFits),
        -6 => Ok(Reserved::TooFast),
        shard => match StockShardId::new(shard) {
            Ok(shard) => Ok(Reserved::Fresh { shard }),
            Err(_) => Err(reply::unexpected(reply)),
        },
    }
}
