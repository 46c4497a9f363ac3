//! From the ledger's answer to facts. No I/O.

use metrics::counter;
use ticket_core::names::ORDER_EVENTS_PARTITIONS;
use ticket_core::{FactBatch, OrderRecord, Passed, StockShardId};
use ticket_ledger::{Applied, PlaceOutcome, ShardBatch};

use crate::catalog::ShardEntry;

/// Facts of a stock shard keep their order on this partition of `order-events`.
pub(super) fn partition_of(shard: StockShardId) -> i32 {
    let partition = shard.get().rem_euclid(i64::from(ORDER_EVENTS_PARTITIONS));
    i32::try_from(partition).unwrap_or(0)
}

/// What the ledger decided, with every order whole: fresh orders from the command and the decision, all others from the
/// ledger's rows.
pub(super) fn facts(shard: &ShardEntry, batch: ShardBatch, applied: Applied) -> FactBatch {
    let ShardBatch {
        shard: id,
        places,
        now,
        ..
    } = batch;
    let Applied {
        epoch,
        version,
        stock,
        places: outcomes,
        touched,
        ..
    } = applied;
    let mut orders = Vec::with_capacity(places.len() + touched.len());
    for (place, outcome) in places.into_iter().zip(outcomes) {
        // A place and its cancel in one batch: the row after both says it all, under the same version.
        if touched.iter().any(|order| order.order == place.order) {
            continue;
        }
        orders.push(match outcome {
            PlaceOutcome::Known(record) => record,
            PlaceOutcome::Repeated => continue,
            PlaceOutcome::Fresh { state, reason } => OrderRecord {
                order: place.order,
                version,
                state,
                reason,
                passed: Passed::default().with(state),
                buyer: place.buyer,
                quantity: place.quantity,
                amount_minor: place.amount_minor,
                created_at: place.accepted_at,
                updated_at: now,
                hold_expires_at: None,
                payment: None,
            },
        });
    }
    orders.extend(touched);
    FactBatch {
        event: shard.event.id(),
        event_name: shard.event.name().clone(),
        category: shard.category().name.clone(),
        currency: shard.category().price.currency,
        shard: id,
        epoch,
        version,
        stock,
        orders,
    }
}

/// Counts what changed in this call; repeats are not counted again.
pub(super) fn count(facts: &FactBatch) {
    let event = facts.event_name.to_string();
    for order in &facts.orders {
        if order.version == facts.version {
            let state = order.state.as_str();
            counter!("ticket_orders_total", "event" => event.clone(), "state" => state)
                .increment(1);
        }
    }
}
