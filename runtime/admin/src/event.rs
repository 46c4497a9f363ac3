//! `GET /admin/v1/events` and `/admin/v1/events/{event}`: an event as the runtime knows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Amount, Counts};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    /// `<namespace>.<name>`.
    pub event: String,
    /// The ledger's id of the sale; survives the Kubernetes resource.
    pub event_id: String,
    /// For people.
    pub title: String,
    /// `scheduled`, `on_sale`, `paused`, `sold_out`, `warming_up` or `closed`.
    pub sale: String,
    /// When the sale begins.
    pub opens_at: Timestamp,
    /// When the sale ends; absent if it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// Paused by an event manager.
    pub paused: bool,
    /// Epoch of the ledger.
    pub epoch: i64,
    /// Epoch that the stock store is armed with; absent while it is warming up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_epoch: Option<i64>,
    /// The order log.
    pub topic: String,
    /// Of the order log.
    pub partitions: u32,
    /// Units that one buyer may hold and have paid.
    pub max_per_buyer: u32,
    /// Orders admitted per second; 0 = no limit.
    pub admission_per_second: u32,
    /// How long an order may wait for its payment, seconds.
    pub hold_for_s: i64,
    /// How long it may wait for money that is on its way, seconds.
    pub processing_for_s: i64,
    /// Over all categories.
    pub stock: Counts,
    /// What is sold.
    pub categories: Vec<CategoryView>,
}

/// A category of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CategoryView {
    /// Its name in the event.
    pub name: String,
    /// Of one ticket.
    pub price: Amount,
    /// Stock shards that it is spread over.
    pub stock_shards: u32,
    /// Its units.
    #[serde(flatten)]
    pub stock: Counts,
}
