//! After the ledger: releases, claims, settled orders and adjusted capacities, in batches.

use redis::{RedisError, Value};
use ticket_core::names::StockKeys;
use ticket_core::{
    BuyerId, CategoryName, Epoch, EventId, OrderId, ShardStock, StockShardId, clock,
};

use crate::error::StockError;
use crate::library;
use crate::record::micros;
use crate::reply;
use crate::store::{StockStore, fcall};

/// Orders in one call of release or claim: about 1 ms of the server, during which nobody else is served.
pub const RELEASE_BATCH_ORDERS: usize = 200;

/// Orders in one call of settle: one command of the server with this many fields.
pub const SETTLE_BATCH_ORDERS: usize = 500;

/// An order that does not have its units (any more), as the ledger decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The order.
    pub order: OrderId,
    /// Its stock shard.
    pub shard: StockShardId,
    /// Its units.
    pub quantity: u32,
    /// Who wanted them.
    pub buyer: BuyerId,
    /// Version of the ledger's decision.
    pub version: i64,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// The units can be bought again.
    Credited,
    /// The store did not know the order, so that no unit was taken for it; a reservation that is still on its way finds the
    /// tombstone.
    Tombstoned,
    /// Nothing: it was void before (a repeat), or something newer is known of it, or the order with this id is on another
    /// stock shard.
    AlreadyVoid,
    /// The event is not armed; the next seed counts it.
    NotArmed,
    /// The store is at an older epoch than the ledger's row: it will be seeded, which counts the release.
    StoreOlder,
    /// The store is at a newer epoch: its seed has counted the release.
    StoreNewer,
}

/// An order that has its units again: money came after the hold had ended, and the ledger still had units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The order.
    pub order: OrderId,
    /// Its stock shard.
    pub shard: StockShardId,
    /// Its units.
    pub quantity: u32,
    /// Who has them.
    pub buyer: BuyerId,
    /// Version of the ledger's decision.
    pub version: i64,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The units were taken; the count may be below zero until the ledger refused what was reserved meanwhile.
    Taken,
    /// Nothing: the order had its units (a repeat), or something newer is known of it, or the order with this id is on another
    /// stock shard.
    HasThem,
    /// The event is not armed; the next seed counts it.
    NotArmed,
    /// The store is at an older epoch than the ledger's row: it will be seeded, which counts the claim.
    StoreOlder,
    /// The store is at a newer epoch: its seed has counted the claim.
    StoreNewer,
}

/// What became of an adjustment of a stock shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readjusted {
    /// The count has followed.
    Counted,
    /// The count contains this adjustment or a newer one, or the stock shard is not for sale here: it was made after the
    /// seed.
    Nothing,
    /// The event is not armed; the next seed counts it.
    NotArmed,
    /// The store is at an older epoch than the ledger's row: it will be seeded, which counts it.
    StoreOlder,
    /// The store is at a newer epoch: its seed has counted it.
    StoreNewer,
}

impl StockStore {
    /// The counts of stock shards follow the capacities that the ledger has given them; all are of one category. `epoch` is
    /// that of the ledger's rows. Answers in the order of `shards`.
    ///
    /// Idempotent by the adjustment: an older one than the count contains is dropped, whatever the order of the calls.
    pub async fn adjust(
        &self,
        event: EventId,
        category: &CategoryName,
        epoch: Epoch,
        shards: &[ShardStock],
    ) -> Result<Vec<Readjusted>, StockError> {
        let failed = |cause| StockError::Adjust { event, cause };
        let keys = StockKeys::new(event);
        let (counts, orders, capacities) =
            (keys.counts(category), keys.orders(), keys.capacities());
        let mut outcomes = Vec::with_capacity(shards.len());
        for batch in shards.chunks(RELEASE_BATCH_ORDERS) {
            let mut call = fcall(library::ADJUST, &[&counts, &orders, &capacities]);
            call.arg(epoch.0);
            for stock in batch {
                call.arg(stock.shard.get())
                    .arg(stock.capacity)
                    .arg(stock.adjustment.0);
            }
            let reply = self.connection.call(&call).await.map_err(failed)?;
            read(&reply, batch.len(), readjusted, &mut outcomes).map_err(failed)?;
        }
        Ok(outcomes)
    }

    /// Takes the units of orders away and gives them back to the stock, if the store had taken them for these orders. All
    /// orders are of one category. `epoch` is that of the ledger's row in the transaction that decided. Answers in the order of
    /// `releases`.
    ///
    /// Idempotent by the order's record, and what an older version says is dropped. A batch of more than [`RELEASE_BATCH_ORDERS`] is several calls; after an error
    /// repeat the whole.
    pub async fn release(
        &self,
        event: EventId,
        category: &CategoryName,
        epoch: Epoch,
        releases: &[Release],
    ) -> Result<Vec<Released>, StockError> {
        let failed = |cause| StockError::Release {
            event,
            orders: releases.len(),
            cause,
        };
        let mut outcomes = Vec::with_capacity(releases.len());
        for batch in releases.chunks(RELEASE_BATCH_ORDERS) {
            let mut call = fcall_for(library::RELEASE, event, category, epoch);
            for release in batch {
                call.arg(release.order.to_string())
                    .arg(release.shard.get())
                    .arg(release.quantity)
                    .arg(release.version)
                    .arg(release.buyer.as_str());
            }
            let reply = self.connection.call(&call).await.map_err(failed)?;
            read(&reply, batch.len(), released, &mut outcomes).map_err(failed)?;
        }
        Ok(outcomes)
    }

    /// Gives orders their units again. As [`Self::release`] the other way round: what was void has its units.
    pub async fn claim(
        &self,
        event: EventId,
        category: &CategoryName,
        epoch: Epoch,
        claims: &[Claim],
    ) -> Result<Vec<Claimed>, StockError> {
        let failed = |cause| StockError::Claim {
            event,
            orders: claims.len(),
            cause,
        };
        let mut outcomes = Vec::with_capacity(claims.len());
        for batch in claims.chunks(RELEASE_BATCH_ORDERS) {
            let mut call = fcall_for(library::CLAIM, event, category, epoch);
            for claim in batch {
                call.arg(claim.order.to_string())
                    .arg(claim.shard.get())
                    .arg(claim.quantity)
                    .arg(claim.version)
                    .arg(claim.buyer.as_str());
            }
            let reply = self.connection.call(&call).await.map_err(failed)?;
            read(&reply, batch.len(), claimed, &mut outcomes).map_err(failed)?;
        }
        Ok(outcomes)
    }

    /// These orders are decided: the reaper need not ask after them. Their units stay as they are. Idempotent; dropped
    /// if the store is at another epoch, because a seed empties the list.
    pub async fn settle(
        &self,
        event: EventId,
        epoch: Epoch,
        orders: &[OrderId],
    ) -> Result<(), StockError> {
        let keys = StockKeys::new(event);
        for batch in orders.chunks(SETTLE_BATCH_ORDERS) {
            let mut call = fcall(library::SETTLE, &[&keys.orders(), &keys.pending()]);
            call.arg(epoch.0);
            for order in batch {
                call.arg(order.to_string());
            }
            self.connection
                .call(&call)
                .await
                .map_err(|cause| StockError::Settle {
                    event,
                    orders: orders.len(),
                    cause,
                })?;
        }
        Ok(())
    }
}

fn fcall_for(function: &str, event: EventId, category: &CategoryName, epoch: Epoch) -> redis::Cmd {
    let keys = StockKeys::new(event);
    let mut call = fcall(
        function,
        &[
            &keys.counts(category),
            &keys.orders(),
            &keys.pending(),
            &keys.buyers(),
        ],
    );
    // The time of a tombstone is for people who look; nothing is decided by it.
    call.arg(epoch.0).arg(micros(clock::now()));
    call
}

/// One reply for each order, or one for all of them.
fn read<T: Copy>(
    reply: &Value,
    orders: usize,
    meaning: fn(i64) -> Option<T>,
    outcomes: &mut Vec<T>,
) -> Result<(), RedisError> {
    let unknown = || reply::unexpected(reply);
    if let Value::Int(code) = reply {
        let outcome = meaning(*code).filter(|_| *code < 0).ok_or_else(unknown)?;
        outcomes.extend(std::iter::repeat_n(outcome, orders));
        return Ok(());
    }
    let codes = reply::list(reply)?;
    if codes.len() != orders {
        return Err(unknown());
    }
    for code in codes {
        outcomes.push(meaning(reply::whole(code)?).ok_or_else(unknown)?);
    }
    Ok(())
}

fn released(code: i64) -> Option<Released> {
    match code {
        0 => Some(Released::AlreadyVoid),
        1 => Some(Released::Credited),
        2 => Some(Released::Tombstoned),
        -2 => Some(Released::NotArmed),
        -3 => Some(Released::StoreNewer),
        -4 => Some(Released::StoreOlder),
        _ => None,
    }
}

fn readjusted(code: i64) -> Option<Readjusted> {
    match code {
        0 => Some(Readjusted::Nothing),
        1 => Some(Readjusted::Counted),
        -2 => Some(Readjusted::NotArmed),
        -3 => Some(Readjusted::StoreNewer),
        -4 => Some(Readjusted::StoreOlder),
        _ => None,
    }
}

fn claimed(code: i64) -> Option<Claimed> {
    match code {
        0 => Some(Claimed::HasThem),
        1 => Some(Claimed::Taken),
        -2 => Some(Claimed::NotArmed),
        -3 => Some(Claimed::StoreNewer),
        -4 => Some(Claimed::StoreOlder),
        _ => None,
    }
}
