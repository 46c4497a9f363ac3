//! The buyer API: requests under way, each a few steps that others come between.

use ticket_core::{BuyerId, OrderId, StockShardId};

use super::log::{Entry, Place};
use super::store::Reserved;
use super::world::Parts;

/// A request.
pub(super) struct Request {
    pub(super) order: OrderId,
    pub(super) buyer: BuyerId,
    pub(super) quantity: u32,
    at: At,
}

/// How far it is.
enum At {
    /// About to reserve with this epoch.
    Reserving { epoch: i64, has_looked_again: bool },
    /// Reserved, and about to write to the log.
    Writing { shard: StockShardId, epoch: i64 },
    /// In the log; the buyer does not know it yet.
    Answering { shard: StockShardId },
}

/// What becomes of a request.
pub(super) enum Then {
    /// It goes on.
    On(Request),
    /// The buyer has his 202 for the order on this stock shard.
    Acknowledged(OrderId, StockShardId),
    /// He was turned away.
    Refused,
}

impl Request {
    /// One that comes in; `epoch` is what the API knows.
    pub(super) const fn new(order: OrderId, buyer: BuyerId, quantity: u32, epoch: i64) -> Self {
        Self {
            order,
            buyer,
            quantity,
            at: At::Reserving {
                epoch,
                has_looked_again: false,
            },
        }
    }

    pub(super) fn step(mut self, parts: &mut Parts) -> Then {
        match self.at {
            At::Reserving {
                epoch,
                has_looked_again,
            } => {
                let shards = [parts.any_shard(), parts.any_shard()];
                let (quantity, now) = (i64::from(self.quantity), parts.now);
                let reserved =
                    parts
                        .store
                        .reserve(epoch, self.order, &self.buyer, quantity, shards, now);
                match reserved {
                    Ok(Reserved::Fresh(shard)) => self.at = At::Writing { shard, epoch },
                    Ok(Reserved::Known { record, is_pending }) => {
                        let shard = record.shard;
                        let is_decided = parts.ledger.orders.contains_key(&(self.order, shard));
                        if !is_pending && is_decided {
                            return Then::Acknowledged(self.order, shard);
                        }
                        let epoch = record.epoch;
                        self.at = At::Writing { shard, epoch };
                    }
                    Ok(Reserved::OtherEpoch) if !has_looked_again => {
                        self.at = At::Reserving {
                            epoch: parts.ledger.epoch,
                            has_looked_again: true,
                        };
                    }
                    Ok(Reserved::OtherEpoch | Reserved::Refused) | Err(_) => return Then::Refused,
                }
                Then::On(self)
            }
            At::Writing { shard, epoch } => {
                let place = Place {
                    order: self.order,
                    epoch,
                    buyer: self.buyer.clone(),
                    quantity: self.quantity,
                };
                parts.write(shard, Entry::Place(place));
                self.at = At::Answering { shard };
                Then::On(self)
            }
            At::Answering { shard } => Then::Acknowledged(self.order, shard),
        }
    }
}
