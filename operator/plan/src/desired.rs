//! What an Event asks for, in the words of the platform. Made once from the checked spec; nobody looks at the spec after.

use std::num::NonZeroU16;

use jiff::Timestamp;
use serde::Serialize;
use ticket_core::ids::InvalidId;
use ticket_core::names::TopicPrefix;
use ticket_core::share::shards_that_fit;
use ticket_core::{CategoryName, Currency, EventId, EventName, Money, StockSource};
use ticket_crds::{Isolation, ValidatedEvent};

/// Partitions of an order log whose spec names no number: one for each stock shard, up to this.
const DEFAULT_PARTITIONS_MAX: u32 = 64;

/// What an Event asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// The order log.
    pub topic: DesiredTopic,
    /// What the services read once a second.
    pub settings: Settings,
    /// Stock, in the order of the spec.
    pub categories: Vec<DesiredCategory>,
    /// Whether each stock shard shall be alone in its Citus shard, where there is Citus.
    pub is_dedicated: bool,
    /// Where the clock stands in the sale.
    pub window: Window,
}

/// The order log as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DesiredTopic {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: u32,
    /// Whether the spec names the number. If not, more than wanted are welcome.
    pub are_partitions_fixed: bool,
    /// Copies of a partition; `None`: as the brokers are set.
    pub replication_factor: Option<u16>,
    /// How long records are kept, milliseconds.
    pub retention_ms: i64,
}

/// What the services read of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// What buyers read.
    pub title: String,
    /// From when on orders are taken.
    pub opens_at: Timestamp,
    /// Until when orders are taken.
    pub closes_at: Timestamp,
    /// Whether the sale is held.
    pub is_paused: bool,
    /// How long a buyer has to pay, seconds.
    pub hold_for_s: u32,
    /// How long a slow payment keeps its units, seconds.
    pub processing_for_s: u32,
    /// Tickets of one buyer.
    pub max_per_buyer: u32,
    /// Reservations per second, 0 = no limit.
    pub admission_per_second: u32,
    /// Who says how many tickets there are.
    pub stock_source: StockSource,
    /// The order log.
    pub topic: String,
    /// Its partitions.
    pub partitions: u32,
    /// In the order of the spec.
    pub categories: Vec<CategorySettings>,
}

/// A category as the services read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CategorySettings {
    /// Its name.
    pub name: CategoryName,
    /// Price of one ticket.
    pub price: Money,
    /// Tickets that there are.
    pub quantity: u32,
}

/// Stock of a category as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DesiredCategory {
    /// Its name.
    pub name: CategoryName,
    /// Tickets in all.
    pub quantity: u32,
    /// Stock shards: what was asked for, or fewer where the tickets do not feed so many.
    pub shards: NonZeroU16,
    /// Stock shards that were asked for.
    pub shards_asked: NonZeroU16,
}

/// Where the clock stands in the sale's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Window {
    /// Before `opensAt`.
    Before,
    /// From `opensAt` on.
    Open,
    /// From `closesAt` on.
    After,
}

impl Window {
    /// Where `now` stands.
    #[must_use]
    pub fn at(now: Timestamp, opens_at: Timestamp, closes_at: Timestamp) -> Self {
        if now >= closes_at {
            Self::After
        } else if now >= opens_at {
            Self::Open
        } else {
            Self::Before
        }
    }
}

impl Desired {
    /// What `spec` asks for, for the sale that the ledger knows as `id`, at `now`.
    ///
    /// # Errors
    /// [`InvalidId`] if a name is not what the services accept; the checks of the spec rule that out.
    pub fn new(
        spec: &ValidatedEvent,
        id: EventId,
        prefix: &TopicPrefix,
        now: Timestamp,
    ) -> Result<Self, InvalidId> {
        let name = EventName::new(&spec.namespace, &spec.name)?;
        let mut categories = Vec::with_capacity(spec.categories.len());
        let mut settings = Vec::with_capacity(spec.categories.len());
        for category in &spec.categories {
            let name = CategoryName::new(&category.name)?;
            let currency = Currency::new(&category.currency)?;
            let wanted = NonZeroU16::new(category.stock_shards).unwrap_or(NonZeroU16::MIN);
            settings.push(CategorySettings {
                name: name.clone(),
                price: Money {
                    currency,
                    amount_minor: category.amount_minor,
                },
                quantity: category.quantity,
            });
            let shards = shards_that_fit(category.quantity, wanted);
            categories.push(DesiredCategory {
                name,
                quantity: category.quantity,
                shards,
                shards_asked: wanted,
            });
        }
        let shards: u32 = categories.iter().map(|c| u32::from(c.shards.get())).sum();
        let topic = DesiredTopic {
            name: prefix.order_log(&name, id),
            partitions: spec
                .partitions
                .unwrap_or(shards.clamp(1, DEFAULT_PARTITIONS_MAX)),
            are_partitions_fixed: spec.partitions.is_some(),
            replication_factor: spec.replication_factor.and_then(|n| u16::try_from(n).ok()),
            retention_ms: i64::try_from(spec.retention.as_millis()).unwrap_or(i64::MAX),
        };
        Ok(Self {
            settings: Settings {
                title: spec.title.clone(),
                opens_at: spec.opens_at,
                closes_at: spec.closes_at,
                is_paused: spec.is_paused,
                hold_for_s: seconds(spec.hold_for),
                processing_for_s: seconds(spec.processing_for),
                max_per_buyer: spec.max_per_buyer,
                admission_per_second: spec.admission_per_second,
                stock_source: match spec.stock_source {
                    ticket_crds::StockSource::Spec => StockSource::Spec,
                    ticket_crds::StockSource::Reseller => StockSource::Reseller,
                },
                topic: topic.name.clone(),
                partitions: topic.partitions,
                categories: settings,
            },
            is_dedicated: spec.isolation == Isolation::Dedicated,
            window: Window::at(now, spec.opens_at, spec.closes_at),
            topic,
            categories,
        })
    }
}

fn seconds(duration: jiff::SignedDuration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
