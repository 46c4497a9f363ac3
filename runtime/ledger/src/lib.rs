//! The ledger: `PostgreSQL`, or Citus, the only authority on stock and orders. It keeps events, stock shards and orders,
//! and decides what the order log asks for: one function call per stock shard and batch, one transaction on one node.
//!
//! It promises law 1 (`capacity = available + held + sold`, all at least 0) whatever is called in whatever order by
//! however many, and that every call may be repeated. It does not know Kafka, Redis, HTTP or Kubernetes.

mod adjust;
mod adopt;
mod apply;
mod audit;
mod audits;
mod config;
mod connect;
mod error;
mod events;
mod feeds;
mod lanes;
mod marks;
mod migrate;
mod moves;
mod orders;
mod routes;
mod row;
mod settings;
mod shards;
mod topology;
mod warmups;

pub use adjust::{
    Adjusted, AdjustmentAsked, AdjustmentPlan, AdjustmentSource, NewestAdjustment, ShardLevel,
};
pub use adopt::{Adopted, EventClaim};
pub use apply::{Applied, PlaceOutcome, ShardBatch};
pub use audit::{AuditShard, AuditView, StuckOrder};
pub use audits::Audited;
pub use config::{LedgerConfig, LedgerTls, Routing};
pub use connect::Ledger;
pub use error::LedgerError;
pub use events::{CategoryRow, EventRow, EventShard};
pub use feeds::{FeedShard, StockFeed};
pub use lanes::{Lane, LaneSplit};
pub use marks::{EventMark, StockMark};
pub use migrate::Migrated;
pub use moves::{Moved, Placement, PlacementNode, PlacementStock, Placements, ShardMove, Transfer};
pub use orders::{OrderCursor, OrderFilter, OrderPage, PAGE_ORDERS_MAX};
pub use settings::DatabaseSettings;
pub use shards::{NewStockShard, SeedCategory, SeedView, StockShardRow};
pub use topology::{CitusShard, Node, NodeRole, Topology};
pub use warmups::{LockAnswer, LockWish, WARMUPS_KEPT, Warmth, Warmup, WarmupKind};
