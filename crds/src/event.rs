//! Kind `Event`: one sale. Field rules stand at the fields, rules over several fields at the struct that holds them all,
//! rules over name or status at the root. Every list and string has a maximum, else the API server refuses the rules.

#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function body"
)]

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::duration::DurationText;
use crate::status::EventStatus;

/// Longest name of an Event, characters: the name of its topic holds namespace and name.
pub const NAME_CHARS_MAX: usize = 63;
/// Categories of an Event.
pub const CATEGORIES_MAX: usize = 32;
/// Stock shards of one category.
pub const SHARDS_PER_CATEGORY_MAX: i32 = 256;
/// Stock shards of an Event.
pub const SHARDS_MAX: i32 = 512;
/// Partitions of an order log.
pub const PARTITIONS_MAX: i32 = 256;
/// Tickets of one category.
pub const QUANTITY_MAX: i64 = 10_000_000;
/// Price of one ticket in minor units: with [`MAX_PER_BUYER_MAX`] tickets an order stays below 2^53.
pub const AMOUNT_MINOR_MAX: i64 = 999_999_999_999;
/// Largest `maxPerBuyer`.
pub const MAX_PER_BUYER_MAX: i32 = 1_000;
/// Largest `admissionPerSecond`.
pub const ADMISSION_PER_SECOND_MAX: i32 = 1_000_000;
/// Longest title, characters.
pub const TITLE_CHARS_MAX: usize = 200;

/// A sale of tickets that may sell out in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "ticketctl.io",
    version = "v1alpha1",
    kind = "Event",
    root = "TicketEvent",
    plural = "events",
    shortname = "tkev",
    category = "ticketing",
    namespaced,
    status = "EventStatus",
    derive = "PartialEq",
    doc = "One sale of tickets: its window, its categories and its queue.",
    cel,
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Opens", type_ = "string", json_path = ".spec.sales.opensAt", priority = 1),
    printcolumn(name = "Closes", type_ = "string", json_path = ".spec.sales.closesAt", priority = 1),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.topic.name", priority = 1),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name may have at most 63 characters, because the topic's name holds it"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.phase) || !(oldSelf.status.phase in ['OnSale', 'Paused', 'Closed']) || (has(self.spec.queue.partitions) == has(oldSelf.spec.queue.partitions) && (!has(self.spec.queue.partitions) || self.spec.queue.partitions == oldSelf.spec.queue.partitions))"
    )
    .message("queue.partitions is fixed once the sale is open: a new partition would break the order of what is in the queue")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "oldSelf.categories.all(o, self.categories.exists(c, c.name == o.name))"
    )
    .message("a category can be neither removed nor renamed; set its quantity to what is sold instead")
    .field_path(".categories"),
    validation = Rule::new(
        "oldSelf.categories.all(o, self.categories.all(c, c.name != o.name || c.stockShards >= o.stockShards))"
    )
    .message("stockShards can grow, but not shrink")
    .field_path(".categories"),
    validation = Rule::new("self.categories.map(c, c.stockShards).sum() <= 512")
        .message("all categories together may have at most 512 stock shards")
        .field_path(".categories"),
    validation = Rule::new(
        "!has(oldSelf.queue.partitions) || (has(self.queue.partitions) && self.queue.partitions >= oldSelf.queue.partitions)"
    )
    .message("queue.partitions can grow, but neither shrink nor be removed")
    .field_path(".queue.partitions")
)]
pub struct EventSpec {
    /// What buyers read.
    #[schemars(length(min = 1, max = TITLE_CHARS_MAX))]
    pub title: String,

    /// When and how it sells.
    pub sales: Sales,

    /// What is sold: one price each.
    #[schemars(length(min = 1, max = CATEGORIES_MAX))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub categories: Vec<Category>,

    /// The order log.
    #[serde(default)]
    pub queue: Queue,

    /// Where its stock shards live.
    #[serde(default)]
    pub placement: Placement,

    /// Who says how many tickets there are: this spec, or the reseller's messages (the spec's quantity is then the
    /// capacity until the first one).
    #[serde(default)]
    pub stock_source: StockSource,

    /// What deleting the resource does. `Retain` closes the sale and keeps topic, orders and stock; the same name
    /// adopts them again. `Delete` removes everything.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// The window of a sale and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.closesAt > self.opensAt")
        .message("closesAt must be later than opensAt")
        .field_path(".closesAt"),
    validation = Rule::new("duration(self.holdFor) <= duration('24h')")
        .message("holdFor may be at most 24h: units that nobody pays must come back")
        .field_path(".holdFor"),
    validation = Rule::new("duration(self.processingFor) >= duration(self.holdFor)")
        .message("processingFor must be at least holdFor: it is the longer limit, for payments that take time")
        .field_path(".processingFor"),
    validation = Rule::new("duration(self.processingFor) <= duration('720h')")
        .message("processingFor may be at most 720h")
        .field_path(".processingFor")
)]
pub struct Sales {
    /// From when on orders are taken. RFC 3339.
    #[schemars(schema_with = "time")]
    pub opens_at: Timestamp,

    /// Until when orders are taken. RFC 3339, later than `opensAt`.
    #[schemars(schema_with = "time")]
    pub closes_at: Timestamp,

    /// Holds the sale: orders get `sale-paused`.
    #[serde(default)]
    pub paused: bool,

    /// How long a buyer has to pay, from when the payment is ready: `90s`, `10m`, `24h`.
    #[serde(default = "hold_for")]
    pub hold_for: DurationText,

    /// How long a payment that the provider reports as `processing` keeps its units.
    #[serde(default = "processing_for")]
    pub processing_for: DurationText,

    /// Tickets that one buyer may hold and own, over all categories.
    #[serde(default = "max_per_buyer")]
    #[schemars(range(min = 1, max = MAX_PER_BUYER_MAX))]
    pub max_per_buyer: i32,

    /// Reservations per second that are let through. 0 = no limit.
    #[serde(default)]
    #[schemars(range(min = 0, max = ADMISSION_PER_SECOND_MAX))]
    pub admission_per_second: i32,
}

/// A class of tickets with one price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Category {
    /// Its name in the API: `a-z`, `0-9` and `-`. Can never change.
    #[schemars(length(min = 1, max = 40), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Price of one ticket. A change is for new orders.
    pub price: Price,

    /// Tickets in all.
    #[schemars(range(min = 0, max = QUANTITY_MAX))]
    pub quantity: i64,

    /// Parts of the stock that sell side by side. A shard with fewer than 50 tickets would strand the last ones, so
    /// fewer are made when there are not enough tickets.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = SHARDS_PER_CATEGORY_MAX))]
    pub stock_shards: i32,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// ISO 4217 code: `IDR`.
    #[schemars(length(min = 3, max = 3), pattern("^[A-Z]{3}$"))]
    pub currency: String,

    /// Smallest units of the currency, as the payment provider counts them.
    #[schemars(range(min = 1, max = AMOUNT_MINOR_MAX))]
    pub amount_minor: i64,
}

/// The order log of the sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.retention) >= duration('1h')")
        .message("retention must be at least 1h: orders wait in the log while the ledger is down")
        .field_path(".retention")
)]
pub struct Queue {
    /// Partitions. Default: one for each stock shard, at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = PARTITIONS_MAX))]
    pub partitions: Option<i32>,

    /// Copies of each partition. Default: what the brokers are set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 15))]
    pub replication_factor: Option<i32>,

    /// How long the log keeps what was decided.
    #[serde(default = "retention")]
    pub retention: DurationText,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            partitions: None,
            replication_factor: None,
            retention: retention(),
        }
    }
}

/// Where the stock shards live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// `Dedicated`: each stock shard alone in its Citus shard, for sales that sell out in seconds. Counts when the
    /// stock is made; a later change does nothing.
    #[serde(default)]
    pub isolation: Isolation,
}

/// Whether stock shards share Citus shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Isolation {
    /// Each stock shard has a Citus shard of its own.
    Dedicated,
    /// Stock shards fall where their hash puts them.
    #[default]
    Shared,
}

/// Who says how many tickets there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StockSource {
    /// This spec.
    #[default]
    Spec,
    /// The reseller's database, through its messages.
    Reseller,
}

/// What deleting the resource does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Close the sale; keep topic, orders and stock.
    #[default]
    Retain,
    /// Remove topic, orders and stock.
    Delete,
}

fn hold_for() -> DurationText {
    "10m".into()
}

fn processing_for() -> DurationText {
    "24h".into()
}

fn retention() -> DurationText {
    "24h".into()
}

const fn max_per_buyer() -> i32 {
    4
}

const fn one() -> i32 {
    1
}

/// A time that rules can compare: the API server knows it by its format.
fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 64 })
}
