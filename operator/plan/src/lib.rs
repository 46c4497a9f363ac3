//! What is left to do for an Event (and which shards a rebalance moves): desired + observed -> steps, in order. Pure: no clock, no I/O, no randomness, so a plan
//! can be shown before it happens and read in a test. Steps carry their preconditions, so a stale plan does no harm.
//! It does not know how a step is carried out.

mod desired;
mod lanes;
mod observed;
mod plan;
mod rebalance;
mod step;

pub use desired::{CategorySettings, Desired, DesiredCategory, DesiredTopic, Settings, Window};
pub use observed::{
    Observed, ObservedAdjustment, ObservedLanes, ObservedRow, ObservedShard, ObservedTopic, Units,
};
pub use plan::{Plan, Removal, plan, plan_removal};
pub use rebalance::{
    Cluster, ClusterNode, Goal, HashRange, Move, PlacedShard, PlacedStock, Refusal,
    expected_move_ms, expected_stall_ms, on_sale_in, rebalance,
};
pub use step::{BlockReason, NewShard, Step};
