//! What every order pays for on its way, without any server: ids, wire format, order machine.

#![expect(clippy::unwrap_used, reason = "benchmarks")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use ticket_core::machine::{Verb, next};
use ticket_core::{
    BuyerId, CategoryName, Command, Currency, Epoch, EventId, EventName, FactBatch, OrderId,
    OrderRecord, Passed, Place, State, StockCounts, StockShardId,
};

/// Orders in one batch of facts: what the processor takes at once while a sale is hot.
const BATCH: u32 = 500;

fn event() -> EventId {
    EventId("01234567-89ab-4cde-8f01-23456789abcd".parse().unwrap())
}

fn buyer(number: u32) -> BuyerId {
    BuyerId::new(format!("buyer-{number:08}")).unwrap()
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00.123456Z".parse().unwrap()
}

fn shard() -> StockShardId {
    StockShardId::new(4_711).unwrap()
}

fn place() -> Command {
    let buyer = buyer(1);
    Command::Place(Place {
        order: OrderId::derive(event(), &buyer, "key"),
        shard: shard(),
        epoch: Epoch::FIRST,
        buyer,
        quantity: 2,
        amount_minor: 250_000_000,
        accepted_at: now(),
    })
}

/// A batch in which every order was reserved.
fn facts() -> FactBatch {
    let order = |number: u32| {
        let buyer = buyer(number);
        OrderRecord {
            order: OrderId::derive(event(), &buyer, "key"),
            version: i64::from(number),
            state: State::Reserved,
            reason: None,
            passed: Passed::default(),
            buyer,
            quantity: 1,
            amount_minor: 250_000_000,
            created_at: now(),
            updated_at: now(),
            hold_expires_at: None,
            payment: None,
        }
    };
    FactBatch {
        event: event(),
        event_name: EventName::new("default", "coldplay").unwrap(),
        category: CategoryName::new("standing").unwrap(),
        currency: Currency::new("IDR").unwrap(),
        shard: shard(),
        epoch: Epoch::FIRST,
        version: i64::from(BATCH),
        stock: StockCounts {
            capacity: 10_000,
            available: 9_500,
            held: 500,
            sold: 0,
        },
        orders: (0..BATCH).map(order).collect(),
        moves: Vec::new(),
        adjustment: None,
    }
}

fn ids(criterion: &mut Criterion) {
    let (event, buyer) = (event(), buyer(1));
    let key = "7d9f0f5e-3d5f-4a3e-9a51-1f0a4f2f7c11";
    criterion.bench_function("order id: derive", |bench| {
        bench.iter(|| OrderId::derive(black_box(event), black_box(&buyer), black_box(key)));
    });
}

fn commands(criterion: &mut Criterion) {
    let place = place();
    let bytes = place.encode();
    criterion.bench_function("place command: encode", |bench| {
        bench.iter(|| black_box(&place).encode());
    });
    criterion.bench_function("place command: decode", |bench| {
        bench.iter(|| Command::decode(black_box(&bytes)).unwrap());
    });
}

fn batches(criterion: &mut Criterion) {
    let facts = facts();
    let bytes = facts.encode();
    let mut group = criterion.benchmark_group("batch of facts");
    group.throughput(Throughput::Elements(BATCH.into()));
    group.bench_function("encode", |bench| {
        bench.iter(|| black_box(&facts).encode());
    });
    group.bench_function("decode", |bench| {
        bench.iter(|| FactBatch::decode(black_box(&bytes)).unwrap());
    });
    group.finish();
}

fn machine(criterion: &mut Criterion) {
    criterion.bench_function("order machine: every state and verb", |bench| {
        bench.iter(|| {
            for state in State::ALL {
                for verb in Verb::ALL {
                    black_box(next(black_box(state), black_box(verb)));
                }
            }
        });
    });
}

criterion_group!(benches, ids, commands, batches, machine);
criterion_main!(benches);
