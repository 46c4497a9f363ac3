//! Brings the stock store in line with what the ledger decided. Invariant, per stock shard: units in the store =
//! available in the ledger - units of orders that are reserved but not decided. So an order that the ledger keeps is
//! settled (no longer pending), one that it turned down or gave back is released, and one whose late money claimed its
//! units again takes them back; a changed capacity changes both sides by as much. Each is idempotent, by the order's
//! record or the adjustment's number, and fenced by the epoch of the ledger's row.

use ticket_core::machine::Units;
use ticket_core::{FactBatch, OrderId, OrderRecord, Reason, ShardStock, State};
use ticket_stock::{Claim, Claimed, Readjusted, Release, Released, StockError, StockStore};
use tracing::debug;

use super::Decided;

pub(super) async fn bring_in_line(
    stock: &StockStore,
    decided: &[Decided],
) -> Result<(), StockError> {
    for Decided { facts, .. } in decided {
        let changes = Changes::of(facts);
        let (event, category, epoch) = (facts.event, &facts.category, facts.epoch);
        // Only takes them off the reaper's list: if it fails, the reaper asks, and they are settled then.
        if !changes.settled.is_empty()
            && let Err(error) = stock.settle(event, epoch, &changes.settled).await
        {
            debug!(error = %ticket_telemetry::chain(&error), "orders not settled");
        }
        if !changes.released.is_empty() {
            for outcome in stock
                .release(event, category, epoch, &changes.released)
                .await?
            {
                report_release(facts, outcome);
            }
        }
        if !changes.claimed.is_empty() {
            for outcome in stock
                .claim(event, category, epoch, &changes.claimed)
                .await?
            {
                report_claim(facts, outcome);
            }
        }
        if let Some(adjustment) = facts.adjustment {
            let stock_shard = ShardStock {
                shard: facts.shard,
                available: facts.stock.available,
                capacity: facts.stock.capacity,
                adjustment,
            };
            for outcome in stock.adjust(event, category, epoch, &[stock_shard]).await? {
                report_adjustment(facts, outcome);
            }
        }
    }
    Ok(())
}

/// What one batch of facts means for the stock store.
#[derive(Default)]
struct Changes {
    settled: Vec<OrderId>,
    released: Vec<Release>,
    claimed: Vec<Claim>,
}

impl Changes {
    fn of(facts: &FactBatch) -> Self {
        let mut changes = Self::default();
        for order in &facts.orders {
            let (id, shard, quantity) = (order.order, facts.shard, order.quantity);
            match order.state.units() {
                Units::Held | Units::Sold if was_claimed(order) => {
                    let buyer = order.buyer.clone();
                    changes.claimed.push(Claim {
                        order: id,
                        shard,
                        quantity,
                        buyer,
                    });
                }
                Units::Held | Units::Sold => changes.settled.push(id),
                Units::Free => changes.released.push(Release {
                    order: id,
                    shard,
                    quantity,
                    buyer: order.buyer.clone(),
                    // Reserved at an epoch whose counts are gone: the seed has counted without it.
                    credit: order.reason != Some(Reason::StaleEpoch),
                }),
            }
        }
        changes
    }
}

/// Did late money claim the order's units again after they had gone back?
fn was_claimed(order: &OrderRecord) -> bool {
    let ends = [State::Expired, State::Cancelled, State::PaymentFailed];
    ends.into_iter().any(|end| order.passed.contains(end))
}

fn report_release(facts: &FactBatch, outcome: Released) {
    match outcome {
        Released::Credited | Released::Tombstoned | Released::AlreadyVoid => {}
        // Not armed or older: the seed that comes counts the ledger as it is now. Newer: it has.
        Released::NotArmed | Released::StoreOlder | Released::StoreNewer => {
            debug!(shard = %facts.shard, ?outcome, "release left to a seed");
        }
    }
}

fn report_claim(facts: &FactBatch, outcome: Claimed) {
    match outcome {
        Claimed::Taken | Claimed::HasThem => {}
        Claimed::NotArmed | Claimed::StoreOlder | Claimed::StoreNewer => {
            debug!(shard = %facts.shard, ?outcome, "claim left to a seed");
        }
    }
}

fn report_adjustment(facts: &FactBatch, outcome: Readjusted) {
    match outcome {
        Readjusted::Counted | Readjusted::Nothing => {}
        Readjusted::NotArmed | Readjusted::StoreOlder | Readjusted::StoreNewer => {
            debug!(shard = %facts.shard, ?outcome, "adjustment left to a seed");
        }
    }
}
