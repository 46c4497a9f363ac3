//! Events and situations to plan from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ticket_core::names::TopicPrefix;
use ticket_core::{EventId, Money};
use ticket_crds::{Category, EventSpec, Isolation, Price, Queue, Sales, TicketEvent, validate};
use ticket_plan::{Desired, Observed, ObservedLanes, ObservedShard, plan};

/// Noon of the day of the sale; its window is two hours around.
pub(crate) const NOON: &str = "2026-03-01T12:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Two categories in five stock shards, window open, nothing special.
pub(crate) fn event() -> TicketEvent {
    let category = |name: &str, amount_minor, quantity, stock_shards| Category {
        name: name.to_owned(),
        price: Price {
            currency: "IDR".to_owned(),
            amount_minor,
        },
        quantity,
        stock_shards,
    };
    let mut event = TicketEvent::new(
        "coldplay",
        EventSpec {
            title: "Coldplay, Jakarta".to_owned(),
            sales: Sales {
                opens_at: at("2026-03-01T11:00:00Z"),
                closes_at: at("2026-03-01T13:00:00Z"),
                paused: false,
                hold_for: "10m".into(),
                processing_for: "24h".into(),
                max_per_buyer: 4,
                admission_per_second: 0,
            },
            categories: vec![
                category("vip", 250, 1_001, 3),
                category("standing", 75, 200, 2),
            ],
            queue: Queue::default(),
            placement: ticket_crds::Placement::default(),
            stock_source: ticket_crds::StockSource::default(),
            deletion_policy: ticket_crds::DeletionPolicy::default(),
        },
    );
    event.metadata.namespace = Some("default".to_owned());
    event.metadata.annotations = Some(BTreeMap::new());
    event
}

pub(crate) fn event_id() -> EventId {
    EventId(uuid::Uuid::from_u128(
        0x0123_4567_89ab_4cde_8f01_2345_6789_abcd,
    ))
}

/// What `event` asks for at `now`.
pub(crate) fn desired_at(event: &TicketEvent, now: &str) -> Desired {
    let spec = validate(event).unwrap();
    Desired::new(&spec, event_id(), &TopicPrefix::default(), at(now)).unwrap()
}

/// [`desired_at`] noon.
pub(crate) fn desired(event: &TicketEvent) -> Desired {
    desired_at(event, NOON)
}

/// [`event`], each of its stock shards alone in its Citus shard.
pub(crate) fn dedicated() -> TicketEvent {
    let mut event = event();
    event.spec.placement.isolation = Isolation::Dedicated;
    event
}

/// Nothing is there but a ledger on Citus whose pool can give `left` lanes.
pub(crate) fn citus(left: usize) -> Observed {
    Observed {
        is_distributed: true,
        lanes: ObservedLanes {
            left,
            ..ObservedLanes::default()
        },
        ..Observed::default()
    }
}

/// All that `desired` asks for is there and nothing was sold yet.
pub(crate) fn settled(desired: &Desired) -> Observed {
    let nothing = Observed::default();
    nothing.after(&plan(desired, &nothing))
}

/// [`settled`], and orders were taken: [`TAKEN`] tickets of each stock shard.
pub(crate) fn selling(desired: &Desired) -> Observed {
    let mut observed = settled(desired);
    observed.topic.as_mut().unwrap().is_empty = false;
    for shard in &mut observed.shards {
        take(shard, TAKEN);
    }
    observed
}

/// Tickets of each stock shard that [`selling`] has sold.
pub(crate) const TAKEN: i64 = 30;

/// Somebody buys up to `units` of a stock shard.
pub(crate) fn take(shard: &mut ObservedShard, units: i64) {
    let units = units.min(shard.counts.available);
    shard.counts.available -= units;
    shard.counts.sold += units;
    shard.is_untouched = false;
}

/// The price of the first category.
pub(crate) fn price(observed: &Observed) -> Money {
    observed
        .row
        .as_ref()
        .unwrap()
        .settings
        .as_ref()
        .unwrap()
        .categories[0]
        .price
}
