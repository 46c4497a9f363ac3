//! Live stock: an event's categories, and the stock shards of one.

use ratatui::text::{Line, Span};
use ticket_admin::{CategoryStock, Counts, ShardStock};

use super::super::grid::{Column, Mark, Row, Value, column, picture, ranked, span};
use super::super::rates;
use super::super::state::State;
use super::super::view::spark;

pub(super) const CATEGORIES: &[Column] = &[
    column("CATEGORY", 'C'),
    ranked("CAPACITY", 'Z', 2),
    column("AVAILABLE", 'A'),
    column("HELD", 'H'),
    column("SOLD", 'S'),
    ranked("STORE", 'T', 3),
    column("PER-S", 'R'),
    column("OUT-IN", 'O'),
    ranked("SHARDS", 'N', 4),
    picture("SOLD # HELD + FREE .", 1),
    picture("RATE", 5),
];

pub(super) const SHARDS: &[Column] = &[
    column("STOCK-SHARD", 'I'),
    ranked("NODE", 'N', 2),
    ranked("PART", 'P', 3),
    ranked("CAPACITY", 'Z', 4),
    column("AVAILABLE", 'A'),
    column("HELD", 'H'),
    column("SOLD", 'S'),
    column("STORE", 'T'),
    column("LAG", 'L'),
    picture("SOLD # HELD + FREE .", 1),
];

/// Width of the rate's picture above the rows.
const SPARK_CELLS: usize = 60;

fn all(state: &State) -> &[CategoryStock] {
    state
        .data
        .stock
        .value
        .as_ref()
        .map_or(&[], |stock| &stock.categories)
}

pub(super) fn categories(state: &State) -> Vec<Row<'_>> {
    all(state)
        .iter()
        .map(|category| {
            let Counts {
                capacity,
                available,
                held,
                sold,
            } = category.counts;
            let rates = &state.rates;
            Row {
                key: category.name.as_str().into(),
                values: vec![
                    Value::text(category.name.as_str()),
                    Value::Number(capacity),
                    Value::Number(available),
                    Value::Number(held),
                    Value::Number(sold),
                    Value::number(category.store_available),
                    rates
                        .per_second(&category.name)
                        .map_or(Value::Unknown, Value::Rate),
                    rates
                        .sold_out_in_s(&category.name)
                        .map_or(Value::Unknown, Value::Seconds),
                    Value::Number(i64::try_from(category.shards.len()).unwrap_or(i64::MAX)),
                    Value::Bar(category.counts),
                    Value::Spark(rates.series(&category.name).into()),
                ],
                mark: mark(&category.counts),
            }
        })
        .collect()
}

pub(super) fn shards<'a>(state: &'a State, category: &str) -> Vec<Row<'a>> {
    let of_category = all(state).iter().find(|it| it.name == category);
    let shards: &[ShardStock] = of_category.map_or(&[], |it| &it.shards);
    shards
        .iter()
        .map(|shard| Row {
            key: shard.stock_shard_id.to_string().into(),
            values: vec![
                Value::Id(shard.stock_shard_id),
                Value::text(shard.node.as_str()),
                Value::Number(shard.partition.into()),
                Value::Number(shard.counts.capacity),
                Value::Number(shard.counts.available),
                Value::Number(shard.counts.held),
                Value::Number(shard.counts.sold),
                Value::number(shard.store_available),
                Value::number(shard.lag),
                Value::Bar(shard.counts),
            ],
            mark: mark(&shard.counts),
        })
        .collect()
}

/// What is sold out matters less.
const fn mark(counts: &Counts) -> Mark {
    if counts.available == 0 && counts.held == 0 {
        Mark::Dim
    } else {
        Mark::Plain
    }
}

pub(super) fn header(state: &State) -> Vec<Line<'static>> {
    let Some(stock) = &state.data.stock.value else {
        return Vec::new();
    };
    let mut total = Counts::default();
    for category in &stock.categories {
        total.capacity += category.counts.capacity;
        total.available += category.counts.available;
        total.held += category.counts.held;
        total.sold += category.counts.sold;
    }
    let store: Option<i64> = stock.categories.iter().map(|it| it.store_available).sum();
    let store = match (stock.armed_epoch, store) {
        (Some(armed), Some(store)) if armed == stock.epoch => format!("store {store}"),
        (Some(armed), _) if armed != stock.epoch => {
            format!(
                "store WARMING UP (armed with epoch {armed} of {})",
                stock.epoch
            )
        }
        (Some(_), _) => "store does not answer".to_owned(),
        (None, _) => format!("store DOWN OR WARMING UP (epoch {})", stock.epoch),
    };
    let Counts {
        capacity,
        available,
        held,
        sold,
    } = total;
    let text = format!("{available} of {capacity} available, {held} held, {sold} sold, {store}");
    let rate = state.rates.per_second(rates::ALL);
    let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
    let left = match state.rates.sold_out_in_s(rates::ALL) {
        Some(seconds) => format!("sold out in {}", span(seconds)),
        None if available == 0 => "sold out".to_owned(),
        None => "not selling".to_owned(),
    };
    let picture = spark::line(&state.rates.series(rates::ALL), SPARK_CELLS);
    vec![
        super::field(state, "tickets", text),
        Line::from(vec![
            Span::styled(format!("{:<12} ", "rate"), state.theme.dim()),
            Span::raw(format!("{rate}/s, {left}  ")),
            Span::styled(picture, state.theme.ok()),
        ]),
    ]
}
