//! An order as buyers see it (CONTRACT section 2). Fields are absent when not known.

use jiff::Timestamp;
use serde::Serialize;
use ticket_core::{Money, OrderRecord, OrderRef, Reason, State};
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use crate::catalog::ShardEntry;
use crate::openapi::one_of;

/// An order. What is not known is absent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    /// `ord_` and 46 hex digits.
    #[schema(value_type = String, pattern = "^ord_[0-9a-f]{46}$")]
    id: OrderRef,
    /// `<namespace>.<name>`.
    event: String,
    category: String,
    /// Tickets.
    quantity: u32,
    /// Where it stands.
    #[schema(schema_with = states)]
    pub state: State,
    /// Why it stands there.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Of the whole order.
    #[schema(value_type = Amount)]
    amount: Money,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Until when it can be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_expires_at: Option<Timestamp>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Queue>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentView>,
}

/// Where a queued order stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Queue {
    /// Commands before this one.
    #[schema(minimum = 0)]
    position: i64,
}

/// How to pay.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentView {
    provider: String,
    /// The provider's id of the payment.
    id: String,
    /// What the buyer's browser needs to pay.
    client_secret: String,
}

/// Money.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says how `Money` looks as JSON")]
pub(crate) struct Amount {
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
    /// Smallest units.
    amount_minor: i64,
}

fn states() -> Schema {
    one_of(State::ALL.map(State::as_str))
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
