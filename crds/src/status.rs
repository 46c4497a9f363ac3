//! What the operator reports about an Event. Only the operator writes it, as a whole, by server-side apply.

#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a sale stands, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Being set up, or something hinders it: see the conditions.
    #[default]
    Pending,
    /// Set up; `opensAt` has not come.
    Scheduled,
    /// Buyers can buy.
    OnSale,
    /// The sale's window is open, but `sales.paused` holds it.
    Paused,
    /// `closesAt` has passed.
    Closed,
    /// The resource is being deleted.
    Deleting,
}

impl Phase {
    /// As in `status.phase`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Scheduled => "Scheduled",
            Self::OnSale => "OnSale",
            Self::Paused => "Paused",
            Self::Closed => "Closed",
            Self::Deleting => "Deleting",
        }
    }
}

/// What the operator saw and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,

    /// The ledger's identity of the sale. It survives this resource under `deletionPolicy: Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 36))]
    pub event_id: Option<String>,

    /// Where the sale stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Phase")]
    pub phase: Option<Phase>,

    /// Number of the last warm-up. The first seed is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub epoch: Option<i64>,

    /// `TopicReady`, `ShardsReady`, `StockSeeded`, `Ready`, `Reconciling`, `Degraded`, `Paused`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The order log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TopicStatus")]
    pub topic: Option<TopicStatus>,

    /// The stock shards in the ledger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub stock_shards: Vec<StockShardStatus>,

    /// Units per category. Refreshed every few seconds while the sale runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["category".into()]))]
    pub stock: Vec<CategoryStock>,

    /// Names of the steps that are left, in order. Empty when nothing is left to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub plan: Vec<String>,

    /// What went wrong last. Absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LastError")]
    pub last_error: Option<LastError>,
}

/// The order log in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Its name.
    #[schemars(length(max = 249))]
    pub name: String,
    /// Partitions it has.
    pub partitions: i32,
}

/// One stock shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockShardStatus {
    /// Stock shard id.
    pub id: i64,
    /// Its category.
    #[schemars(length(max = 40))]
    pub category: String,
    /// Node of the ledger, where there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253))]
    pub node: Option<String>,
    /// Whether its Citus shard holds nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub lane: Option<bool>,
    /// Units in all.
    pub capacity: i64,
}

/// Units of a category: `capacity = available + held + sold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CategoryStock {
    /// Its name.
    #[schemars(length(max = 40))]
    pub category: String,
    /// Units in all.
    pub capacity: i64,
    /// Units that can be bought.
    pub available: i64,
    /// Units of orders that are not paid yet.
    pub held: i64,
    /// Units of paid orders.
    pub sold: i64,
}

/// The last error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// Stable code, `kebab-case`: `ticketctl explain CODE`.
    #[schemars(length(max = 64))]
    pub code: String,
    /// For people.
    #[schemars(length(max = 1_024))]
    pub message: String,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64))]
    pub step: Option<String>,
}
