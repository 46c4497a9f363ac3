//! The planner on the largest event there may be. It runs for every change of every event, and once per event and resync.

#![expect(clippy::unwrap_used, reason = "benchmarks")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ticket_core::EventId;
use ticket_core::names::TopicPrefix;
use ticket_crds::{
    Category, DeletionPolicy, EventSpec, Placement, Price, Queue, Sales, StockSource, TicketEvent,
    validate,
};
use ticket_plan::{Desired, Observed, plan};

/// Stock shards of one category: the most that a category may have, and two of them are the most of an event.
const STOCK_SHARDS: i32 = 256;

/// Two categories in 512 stock shards, on sale.
fn desired() -> Desired {
    let category = |name: &str, quantity| Category {
        name: name.to_owned(),
        price: Price {
            currency: "IDR".to_owned(),
            amount_minor: 250,
        },
        quantity,
        stock_shards: STOCK_SHARDS,
    };
    let mut event = TicketEvent::new(
        "coldplay",
        EventSpec {
            title: "Coldplay, Jakarta".to_owned(),
            sales: Sales {
                opens_at: "2026-03-01T11:00:00Z".parse().unwrap(),
                closes_at: "2026-03-01T13:00:00Z".parse().unwrap(),
                paused: false,
                hold_for: "10m".into(),
                processing_for: "24h".into(),
                max_per_buyer: 4,
                admission_per_second: 0,
            },
            categories: vec![category("vip", 5_000), category("standing", 60_000)],
            queue: Queue::default(),
            placement: Placement::default(),
            stock_source: StockSource::default(),
            deletion_policy: DeletionPolicy::default(),
        },
    );
    event.metadata.namespace = Some("default".to_owned());
    let spec = validate(&event).unwrap();
    let id = EventId(uuid::Uuid::from_u128(
        0x0123_4567_89ab_4cde_8f01_2345_6789_abcd,
    ));
    let noon = "2026-03-01T12:00:00Z".parse().unwrap();
    Desired::new(&spec, id, &TopicPrefix::default(), noon).unwrap()
}

fn planner(criterion: &mut Criterion) {
    let desired = desired();
    let nothing = Observed::default();
    let settled = nothing.after(&plan(&desired, &nothing));
    assert!(
        plan(&desired, &settled).is_empty(),
        "a settled event has nothing to do"
    );

    let mut group = criterion.benchmark_group("planner, 512 stock shards");
    group.bench_function("from nothing", |bench| {
        bench.iter(|| plan(black_box(&desired), black_box(&nothing)));
    });
    group.bench_function("nothing to do", |bench| {
        bench.iter(|| plan(black_box(&desired), black_box(&settled)));
    });
    group.finish();
}

criterion_group!(benches, planner);
criterion_main!(benches);
