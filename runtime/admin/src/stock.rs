//! `GET /admin/v1/events/{event}/stock`: where every unit is, in the ledger and in the stock store. As an event stream
//! a snapshot at least each second.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Counts;

/// Name of the server-sent event whose data is a [`StockView`].
pub const STREAM_EVENT: &str = "stock";

/// A snapshot of an event's stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StockView {
    /// `<namespace>.<name>`.
    pub event: String,
    /// Epoch of the ledger.
    pub epoch: i64,
    /// Epoch that the stock store is armed with; absent while it is warming up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_epoch: Option<i64>,
    /// When it was read.
    pub as_of: Timestamp,
    /// In the order of the resource.
    pub categories: Vec<CategoryStock>,
}

/// The stock of a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CategoryStock {
    /// Its name in the event.
    pub name: String,
    /// In the ledger.
    #[serde(flatten)]
    pub counts: Counts,
    /// Available in the stock store; absent when it does not answer or is warming up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_available: Option<i64>,
    /// In the order of their ids.
    pub shards: Vec<ShardStock>,
}

/// The stock of a stock shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShardStock {
    /// Its id.
    pub stock_shard_id: i64,
    /// Node of the ledger that holds it.
    pub node: String,
    /// Partition of the order log.
    pub partition: i32,
    /// In the ledger.
    #[serde(flatten)]
    pub counts: Counts,
    /// Available in the stock store; absent when it does not answer or is warming up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_available: Option<i64>,
    /// Commands that wait on its partition; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_flat() {
        let shard = ShardStock {
            stock_shard_id: 7,
            node: "postgres".to_owned(),
            partition: 3,
            counts: Counts {
                capacity: 10,
                available: 4,
                held: 1,
                sold: 5,
            },
            store_available: Some(4),
            lag: None,
        };
        let json = serde_json::json!({
            "stock_shard_id": 7, "node": "postgres", "partition": 3,
            "capacity": 10, "available": 4, "held": 1, "sold": 5, "store_available": 4,
        });
        assert_eq!(serde_json::to_value(&shard).unwrap(), json);
        assert_eq!(serde_json::from_value::<ShardStock>(json).unwrap(), shard);
    }
}
