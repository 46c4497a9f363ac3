//! Names that several services must spell alike: Kafka topics and consumer groups, Redis keys, CloudEvent types.
//! Source: CONTRACT section 4, DESIGN section 8.

use crate::ids::{CategoryName, EventId, EventName};

/// An optional prefix before every topic and group, so that two installations share one Kafka. Empty in production.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicPrefix(pub String);

impl TopicPrefix {
    /// The event's order log: `orders.<namespace>.<name>.<first 8 hex of the event id>`.
    #[must_use]
    pub fn order_log(&self, event: &EventName, id: EventId) -> String {
        format!(
            "{}orders.{}.{}.{}",
            self.0,
            event.namespace(),
            event.name(),
            id.short()
        )
    }

    /// What the ledger decided: [`crate::FactBatch`] messages of all events.
    #[must_use]
    pub fn order_events(&self) -> String {
        format!("{}order-events", self.0)
    }

    /// A consumer group of this platform, e.g. `processor`.
    #[must_use]
    pub fn group(&self, role: &str) -> String {
        format!("{}ticket-{role}", self.0)
    }

    /// Where messages of `topic` go that cannot be read.
    #[must_use]
    pub fn dead_letter(topic: &str) -> String {
        format!("{topic}.dead-letter")
    }
}

/// Partitions of `order-events` when the platform makes it. Facts of a stock shard keep their order in
/// `shard id mod partitions`.
pub const ORDER_EVENTS_PARTITIONS: u32 = 16;

/// The Redis keys of one event. All share one hash tag and with it one cluster slot, so that a function may touch them
/// in one atomic call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockKeys {
    tag: String,
}

impl StockKeys {
    /// The keys of `event`.
    #[must_use]
    pub fn new(event: EventId) -> Self {
        Self {
            tag: format!("{{st:{event}}}"),
        }
    }

    /// Counts per stock shard and meta fields of a category (hash).
    #[must_use]
    pub fn counts(&self, category: &CategoryName) -> String {
        format!("{}:{category}:h", self.tag)
    }

    /// Order records (hash: order id -> record).
    #[must_use]
    pub fn orders(&self) -> String {
        format!("{}:o", self.tag)
    }

    /// Orders that nobody decided yet (hash: order id -> time of the reservation).
    #[must_use]
    pub fn pending(&self) -> String {
        format!("{}:p", self.tag)
    }

    /// Held and paid units per buyer (hash).
    #[must_use]
    pub fn buyers(&self) -> String {
        format!("{}:b", self.tag)
    }

    /// A key that a warm-up fills before the swap; `what` is `o` or `b`.
    #[must_use]
    pub fn staged(&self, what: &str) -> String {
        format!("{}:{what}:next", self.tag)
    }
}
