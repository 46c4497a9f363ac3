//! What the ledger's orders mean for the store: one translation for the processor, which tells the store of each decision,
//! and for a warm-up, which tells it of all that it may have missed.

use ticket_core::machine::Units;
use ticket_core::{OrderId, OrderRecord, State, StockShardId};

use crate::settle::{Claim, Release};

/// Orders of one stock shard, by what the store has to do.
#[derive(Debug, Default)]
pub struct Changes {
    /// They have the units that they reserved: nobody need ask after them.
    pub settled: Vec<OrderId>,
    /// They do not have their units.
    pub released: Vec<Release>,
    /// They have units that they may have given back before: money came late.
    pub claimed: Vec<Claim>,
}

impl Changes {
    /// For orders that were decided just now: the store knows their reservations.
    #[must_use]
    pub fn of(shard: StockShardId, orders: &[OrderRecord]) -> Self {
        let mut changes = Self::default();
        for order in orders {
            match order.state.units() {
                Units::Held | Units::Sold if was_over(order) => {
                    changes.claimed.push(claim(shard, order));
                }
                Units::Held | Units::Sold => changes.settled.push(order.order),
                Units::Free => changes.released.push(release(shard, order)),
            }
        }
        changes
    }

    /// For orders that may be unknown to the store: whoever has units claims them. Where the store has it so already, nothing
    /// changes.
    #[must_use]
    pub fn of_all(shard: StockShardId, orders: &[OrderRecord]) -> Self {
        let mut changes = Self::default();
        for order in orders {
            match order.state.units() {
                Units::Held | Units::Sold => changes.claimed.push(claim(shard, order)),
                Units::Free => changes.released.push(release(shard, order)),
            }
        }
        changes
    }
}

/// Did the order lose its units before it got them again?
fn was_over(order: &OrderRecord) -> bool {
    let ends = [State::Expired, State::Cancelled, State::PaymentFailed];
    ends.into_iter().any(|end| order.passed.contains(end))
}

fn claim(shard: StockShardId, order: &OrderRecord) -> Claim {
    Claim {
        order: order.order,
        shard,
        quantity: order.quantity,
        buyer: order.buyer.clone(),
        version: order.version,
    }
}

fn release(shard: StockShardId, order: &OrderRecord) -> Release {
    Release {
        order: order.order,
        shard,
        quantity: order.quantity,
        buyer: order.buyer.clone(),
        version: order.version,
    }
}
