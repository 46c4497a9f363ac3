//! What a frame costs with as much as there may be: 1,000 events, and 2,000 stock shards of one category. A frame has to be
//! drawn in less than 10 ms, so that a key is answered before anybody feels it.

#![expect(clippy::unwrap_used, reason = "benchmarks")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ticket_admin::{CategoryStock, Counts, EventView, ShardStock, StockView};
use ticketctl::tui::action::Place;
use ticketctl::tui::context::Context;
use ticketctl::tui::key::Key;
use ticketctl::tui::mailbox::Mail;
use ticketctl::tui::reading::{Answer, Reading, Topic};
use ticketctl::tui::state::State;
use ticketctl::tui::update::{Message, update};
use ticketctl::tui::view;

const EVENTS: i64 = 1_000;
const STOCK_SHARDS: i64 = 2_000;

/// Columns and lines: a large screen, which costs more than a small one.
const SIZE: (u16, u16) = (250, 80);

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn counts(seed: i64) -> Counts {
    let sold = seed * 7_919 % 900;
    let held = seed * 31 % 100;
    Counts {
        capacity: 1_000,
        available: 1_000 - sold - held,
        held,
        sold,
    }
}

fn events() -> Reading {
    let event = |at: i64| EventView {
        event: format!("default.event-{at:04}"),
        event_id: "0f8fad5b-d9cb-469f-a165-70867728950e".to_owned(),
        title: format!("Event number {at}"),
        sale: "on_sale".to_owned(),
        opens_at: noon(),
        closes_at: None,
        paused: false,
        epoch: 1 + at % 5,
        armed_epoch: Some(1),
        topic: format!("orders.default.event-{at:04}.0f8fad5b"),
        partitions: 16,
        max_per_buyer: 4,
        admission_per_second: 0,
        hold_for_s: 600,
        processing_for_s: 86_400,
        stock: counts(at),
        categories: Vec::new(),
    };
    Reading {
        topic: Topic::Events,
        at: noon(),
        result: Ok(Answer::Events((0..EVENTS).map(event).collect())),
    }
}

fn stock() -> Reading {
    let shard = |at: i64| ShardStock {
        stock_shard_id: 9_000_000_000 + at,
        node: format!("postgres-worker-{}", at % 4),
        partition: i32::try_from(at % 64).unwrap(),
        counts: counts(at),
        store_available: Some(counts(at).available),
        lag: Some(at % 13),
    };
    let standing = CategoryStock {
        name: "standing".to_owned(),
        counts: counts(7),
        store_available: Some(1),
        shards: (0..STOCK_SHARDS).map(shard).collect(),
    };
    let stock = StockView {
        event: "default.event-0000".to_owned(),
        epoch: 1,
        armed_epoch: Some(1),
        as_of: noon(),
        categories: vec![standing],
    };
    Reading {
        topic: Topic::Stock,
        at: noon(),
        result: Ok(Answer::Stock(stock)),
    }
}

fn tell(state: &mut State, message: Message) {
    update(state, message, noon());
}

fn mail(reading: Reading) -> Message {
    Message::Mail(Mail {
        readings: vec![reading],
        ..Mail::default()
    })
}

/// A cockpit that knows everything and shows what `keys` lead to.
fn state(keys: &str) -> State {
    let mut state = State::new(Context::default(), Place::Events, None, noon());
    tell(&mut state, Message::Resize(SIZE.0, SIZE.1));
    tell(&mut state, mail(events()));
    for letter in keys.chars() {
        let key = match letter {
            '\n' => Key::of(crossterm::event::KeyCode::Enter),
            letter => Key::char(letter),
        };
        tell(&mut state, Message::Key(key));
        tell(&mut state, mail(stock()));
    }
    state
}

/// `A` sorts by what is available, so that every frame sorts; the filter matches every second row.
fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame at 250x80");
    for (name, keys) in [
        ("1,000 events", ""),
        ("1,000 events, sorted and filtered", "A/2\n"),
        ("2,000 stock shards", "\n\n"),
        ("2,000 stock shards, sorted and filtered", "\n\nA/1\n"),
    ] {
        let state = state(keys);
        let mut terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).unwrap();
        group.bench_function(name, |bench| {
            bench.iter(|| {
                terminal.draw(|frame| view::draw(frame, &state)).unwrap();
            });
        });
        // As the loop does it: the key, then the frame.
        let mut moving = state.clone();
        group.bench_function(format!("{name}: a key and its frame"), |bench| {
            bench.iter(|| {
                tell(&mut moving, Message::Key(Key::char('j')));
                terminal.draw(|frame| view::draw(frame, &moving)).unwrap();
            });
        });
    }
    group.finish();
}

/// A snapshot of everything arrives.
fn readings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reading");
    let mut shown = state("\n\nA");
    group.bench_function("2,000 stock shards", |bench| {
        bench.iter_batched(
            || mail(stock()),
            |message| tell(&mut shown, message),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, frames, readings);
criterion_main!(benches);
