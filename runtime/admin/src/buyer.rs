//! What buyers see (CONTRACT section 2). The load generator and the tests read it with these types.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Amount;

/// `GET /v1/events/{event}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// `<namespace>.<name>`.
    pub event: String,
    /// For people.
    pub title: String,
    /// When the sale begins.
    #[serde(rename = "opensAt")]
    pub opens_at: Timestamp,
    /// When the sale ends; absent if it has no end.
    #[serde(rename = "closesAt", default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// `scheduled`, `on_sale`, `paused`, `sold_out`, `warming_up` or `closed`.
    pub sale: String,
    /// What is sold.
    pub categories: Vec<Category>,
}

/// A category of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Category {
    /// Its name in the event.
    pub name: String,
    /// Of one ticket.
    pub price: Amount,
    /// `available`, `few_left` or `sold_out`.
    pub availability: String,
}

/// `POST /v1/events/{event}/orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewOrder {
    /// Category's name.
    pub category: String,
    /// Tickets, at least 1.
    pub quantity: u32,
}

/// An order. A field that is not known yet is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Order {
    /// `ord_...`.
    pub id: String,
    /// `<namespace>.<name>`.
    pub event: String,
    /// Category's name.
    pub category: String,
    /// Tickets.
    pub quantity: u32,
    /// `queued`, `reserved`, `awaiting_payment`, `paid` ...
    pub state: String,
    /// Why, `kebab-case`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of the whole order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// When it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Until when it can be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_expires_at: Option<Timestamp>,
    /// Where it stands while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// How to pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
}

/// Place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Queue {
    /// Commands before this one, at least 0.
    pub position: i64,
}

/// How to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Payment {
    /// `stripe`.
    pub provider: String,
    /// The provider's id of the payment.
    pub id: String,
    /// What the buyer's browser needs; absent for everybody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_absent() {
        let order = Order {
            id: "ord_1".to_owned(),
            event: "default.demo".to_owned(),
            category: "vip".to_owned(),
            quantity: 2,
            state: "queued".to_owned(),
            reason: None,
            amount: None,
            created_at: None,
            updated_at: None,
            hold_expires_at: None,
            queue: Some(Queue { position: 7 }),
            payment: None,
        };
        assert_eq!(
            serde_json::to_value(&order).unwrap(),
            serde_json::json!({
                "id": "ord_1", "event": "default.demo", "category": "vip", "quantity": 2,
                "state": "queued", "queue": {"position": 7},
            })
        );
    }
}
