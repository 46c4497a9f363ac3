//! Wire types of the admin API (CONTRACT section 3) and of the buyer API (section 2), and a typed client for the first.
//! It promises that what one release writes the next one reads: a field may be added, none renamed or dropped. It does
//! not know who computes the numbers, and keeps names, states and codes as text, so that an older client can show what
//! a newer server says.

pub mod audit;
pub mod buyer;
pub mod client;
pub mod event;
pub mod order;
pub mod platform;
pub mod problem;
mod sse;
pub mod stock;
pub mod warmup;

use serde::{Deserialize, Serialize};

pub use audit::{AuditReport, Check};
pub use client::{AdminClient, AdminConfig, AdminError, OrdersQuery, StockStream};
pub use event::{CategoryView, EventView};
pub use order::{HistoryEntry, OrderView};
pub use platform::{DependenciesView, Dependency, LagEntry, NodeView, ShardView, ShardsView};
pub use problem::Problem;
pub use stock::{CategoryStock, ShardStock, StockView};
pub use warmup::{LockRequest, LockView, UnlockRequest, WarmupRun, WarmupView};

/// `{"items":[...],"next_cursor"}`: a page of a list. The last page has no cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct List<T> {
    /// In a fixed order.
    pub items: Vec<T>,
    /// Ask with this for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list of one page.
    #[must_use]
    pub const fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}

/// An amount in the currency's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Amount {
    /// ISO 4217, upper case.
    pub currency: String,
    /// Smallest units.
    pub amount_minor: i64,
}

/// Units of an event, a category or a stock shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Units there are: available + held + sold.
    pub capacity: i64,
    /// Units nobody has.
    pub available: i64,
    /// Units of orders that are not paid yet.
    pub held: i64,
    /// Units of paid orders.
    pub sold: i64,
}
