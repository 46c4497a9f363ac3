//! An order as buyers see it (CONTRACT section 2). Fields are absent when not known.

use jiff::Timestamp;
use serde::Serialize;
use ticket_core::{Money, OrderRecord, OrderRef, Reason, State};

use crate::catalog::ShardEntry;

/// An order as JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OrderView {
    id: OrderRef,
    event: String,
    category: String,
    quantity: u32,
    /// Where it stands.
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    amount: Money,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Queue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentView>,
}

#[derive(Debug, Clone, Serialize)]
struct Queue {
    position: i64,
}

#[derive(Debug, Clone, Serialize)]
struct PaymentView {
    provider: String,
    id: String,
    client_secret: String,
}

impl OrderView {
    /// An order that the ledger has decided. `shard` is where `order` lives.
    #[must_use]
    pub(crate) fn decided(id: OrderRef, order: OrderRecord, shard: &ShardEntry) -> Self {
        let category = shard.category();
        let payment = order.payment.map(|payment| PaymentView {
            provider: payment.provider,
            id: payment.id,
            client_secret: payment.client_secret,
        });
        Self {
            id,
            event: shard.event.name().to_string(),
            category: category.name.to_string(),
            quantity: order.quantity,
            state: order.state,
            reason: order.reason,
            amount: Money {
                currency: category.price.currency,
                amount_minor: order.amount_minor,
            },
            created_at: order.created_at,
            updated_at: order.updated_at,
            hold_expires_at: order.hold_expires_at,
            queue: None,
            payment,
        }
    }

    /// An order in the log that nobody has decided yet. `position` counts commands before it, where known.
    #[must_use]
    pub(crate) fn queued(
        id: OrderRef,
        quantity: u32,
        since: Timestamp,
        position: Option<i64>,
        shard: &ShardEntry,
    ) -> Option<Self> {
        let category = shard.category();
        Some(Self {
            id,
            event: shard.event.name().to_string(),
            category: category.name.to_string(),
            quantity,
            state: State::Queued,
            reason: None,
            amount: category.price.times(quantity)?,
            created_at: since,
            updated_at: since,
            hold_expires_at: None,
            queue: position.map(|position| Queue { position }),
            payment: None,
        })
    }
}
