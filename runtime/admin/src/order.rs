//! `GET /admin/v1/events/{event}/orders` and `/admin/v1/orders/{id}`: orders as an event manager sees them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Amount, buyer};

/// An order with its buyer and its history, without what only the buyer may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderView {
    /// `ord_...`.
    pub id: String,
    /// `<namespace>.<name>`.
    pub event: String,
    /// Category's name.
    pub category: String,
    /// Who buys.
    pub buyer: String,
    /// Tickets.
    pub quantity: u32,
    /// `reserved`, `awaiting_payment`, `paid` ...
    pub state: String,
    /// Why, `kebab-case`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What speaks against its payment: `fraud-warning`, `disputed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Of the whole order.
    pub amount: Amount,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed; a flag does not count.
    pub updated_at: Timestamp,
    /// Until when it can be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_expires_at: Option<Timestamp>,
    /// The payment, without its client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<buyer::Payment>,
    /// Where it lives.
    pub stock_shard_id: i64,
    /// Version of the stock shard when the order last changed.
    pub version: i64,
    /// The states that it has been in, oldest first, and then its flags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
}

/// A state that an order has been in, or a flag that it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryEntry {
    /// The state; of a flag, the one that the order is in now.
    pub state: String,
    /// The flag, if the entry is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// Since when; absent where it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}
