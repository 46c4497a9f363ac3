//! From the ledger's answer to facts. No I/O.

use std::collections::HashSet;

use metrics::counter;
use ticket_core::machine::Verb;
use ticket_core::names::ORDER_EVENTS_PARTITIONS;
use ticket_core::{FactBatch, OrderCommand, OrderId, OrderRecord, Passed, State, StockShardId};
use ticket_ledger::{Adjusted, Applied, PlaceOutcome, ShardBatch};

use crate::catalog::ShardEntry;

/// Facts of a stock shard keep their order on this partition of `order-events`.
pub(crate) fn partition_of(shard: StockShardId) -> i32 {
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
        moves,
        ..
    } = applied;
    let mut orders = Vec::with_capacity(places.len() + touched.len());
    let whole: HashSet<OrderId> = touched.iter().map(|order| order.order).collect();
    for (place, outcome) in places.into_iter().zip(outcomes) {
        // A place and its cancel in one batch: the row after both says it all, under the same version.
        if whole.contains(&place.order) {
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
        moves,
        adjustment: None,
    }
}

/// What an adjustment left. A repeat tells the same again.
pub(super) fn of_adjustment(
    shard: &ShardEntry,
    id: StockShardId,
    adjusted: &Adjusted,
) -> FactBatch {
    FactBatch {
        event: shard.event.id(),
        event_name: shard.event.name().clone(),
        category: shard.category().name.clone(),
        currency: shard.category().price.currency,
        shard: id,
        epoch: adjusted.epoch,
        version: adjusted.version,
        stock: adjusted.stock,
        orders: Vec::new(),
        moves: Vec::new(),
        adjustment: Some(adjusted.adjustment),
    }
}

/// Orders of which the batch says nothing but flags: they change, and enter no state.
pub(super) fn only_flagged(batch: &ShardBatch) -> HashSet<OrderId> {
    let is_flag = |command: &&OrderCommand| command.action.verb() == Verb::Flag;
    let mut flagged: HashSet<OrderId> = batch
        .commands
        .iter()
        .filter(is_flag)
        .map(|command| command.order)
        .collect();
    if !flagged.is_empty() {
        for command in batch.commands.iter().filter(|command| !is_flag(command)) {
            flagged.remove(&command.order);
        }
        for place in &batch.places {
            flagged.remove(&place.order);
        }
    }
    flagged
}

/// Counts orders that entered a state in this call; repeats are not counted again.
pub(super) fn count(facts: &FactBatch, only_flagged: &HashSet<OrderId>) {
    let fresh = |state: State| {
        let is_new = |order: &&OrderRecord| {
            order.version == facts.version
                && order.state == state
                && !only_flagged.contains(&order.order)
        };
        u64::try_from(facts.orders.iter().filter(is_new).count()).unwrap_or(u64::MAX)
    };
    for state in State::ALL {
        let orders = fresh(state);
        if orders > 0 {
            let event = facts.event_name.to_string();
            counter!("ticket_orders_total", "event" => event, "state" => state.as_str())
                .increment(orders);
        }
    }
}
