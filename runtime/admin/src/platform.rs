//! `GET /admin/v1/shards`, `/admin/v1/lag`, `/admin/v1/dependencies`: what the platform runs on.

use serde::{Deserialize, Serialize};

/// Nodes and Citus shards of the ledger. Without Citus one node and one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShardsView {
    /// Of the ledger.
    pub nodes: Vec<NodeView>,
    /// In the order of their hash ranges.
    pub shards: Vec<ShardView>,
}

/// A node of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeView {
    /// As in `ShardRebalance.spec.node`.
    pub name: String,
    /// `coordinator`, `worker`, or `single` without Citus.
    pub role: String,
    /// It answers.
    pub alive: bool,
    /// Of the ledger's tables on it; absent while it cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// A Citus shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShardView {
    /// Its id now; it changes at every split.
    pub citus_shard: i64,
    /// Where it is placed.
    pub node: String,
    /// Of its tables; absent while its node cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The stock shards in it.
    pub stock_shard_ids: Vec<i64>,
    /// It holds one stock shard and nothing else.
    pub lane: bool,
}

/// Items of `GET /admin/v1/lag`: how far a consumer group is behind on a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LagEntry {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Next offset that the group would read; absent when it never committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<i64>,
    /// Offset of the next message to be written.
    pub end: i64,
    /// Messages that wait, at least 0; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
}

/// What the runtime needs, and what the asker may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DependenciesView {
    /// Role of the asking token: `viewer` or `manager`.
    pub role: String,
    /// Version of the runtime.
    pub version: String,
    /// Every server that the runtime needs.
    pub items: Vec<Dependency>,
}

/// A server that the runtime needs, asked just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dependency {
    /// `ledger`, `kafka`, `store`, `payments`.
    pub name: String,
    /// It answers.
    pub ok: bool,
    /// What it is, or why it does not answer.
    pub detail: String,
    /// Time of the answer, milliseconds; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_in_ms: Option<u64>,
    /// Stable code of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}
