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

    /// What buyers are told, as `CloudEvents`.
    #[must_use]
    pub fn notifications(&self) -> String {
        format!("{}notifications", self.0)
    }

    /// What we sell, give back and adjust, as `CloudEvents`; answers to the reseller, too.
    #[must_use]
    pub fn stock_changes(&self) -> String {
        format!("{}stock-changes", self.0)
    }

    /// The counters of facts again, one category on one partition: what `stock-changes` is made from. Nobody outside
    /// reads it.
    #[must_use]
    pub fn stock_facts(&self) -> String {
        format!("{}stock-facts", self.0)
    }

    /// What the reseller's database says, as `CloudEvents`.
    #[must_use]
    pub fn reseller_stock(&self) -> String {
        format!("{}reseller-stock", self.0)
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

/// Partitions of `notifications`, `stock-changes`, `stock-facts` and `reseller-stock` when the platform makes them.
pub const OUTSIDE_PARTITIONS: u32 = 8;

/// The partition, of `partitions`, that messages of `key` are on: the same for ever, in every process. FNV-1a.
#[must_use]
pub fn partition_of_key(key: &str, partitions: u32) -> i32 {
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    i32::try_from(hash % partitions.max(1)).unwrap_or(0)
}

/// Types of the `CloudEvents` that go out and come in. Source: CONTRACT section 4.
pub mod event_type {
    /// An order is paid.
    pub const TICKET_PURCHASED: &str = "io.ticketctl.ticket.purchased.v1";
    /// The ledger said no.
    pub const ORDER_REJECTED: &str = "io.ticketctl.order.rejected.v1";
    /// Nobody paid in time.
    pub const ORDER_EXPIRED: &str = "io.ticketctl.order.expired.v1";
    /// The payment failed for good.
    pub const PAYMENT_FAILED: &str = "io.ticketctl.payment.failed.v1";
    /// The money is back.
    pub const REFUND_PROCESSED: &str = "io.ticketctl.refund.processed.v1";
    /// Units were sold, given back or adjusted.
    pub const STOCK_CHANGED: &str = "io.ticketctl.stock.changed.v1";
    /// What became of a reseller's message.
    pub const STOCK_ADJUSTMENT: &str = "io.ticketctl.stock.adjustment.v1";
    /// The reseller has another number of tickets.
    pub const RESELLER_STOCK_CHANGED: &str = "io.reseller.stock.changed.v1";
}

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

    /// Capacity and adjustment that each stock shard's count contains (hash).
    #[must_use]
    pub fn capacities(&self) -> String {
        format!("{}:c", self.tag)
    }

    /// A key that a warm-up fills before the swap; `what` is `o` or `b`.
    #[must_use]
    pub fn staged(&self, what: &str) -> String {
        format!("{}:{what}:next", self.tag)
    }
}
