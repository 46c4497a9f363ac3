//! All events that the runtime knows.

use ticket_admin::EventView;

use super::super::grid::{Column, Mark, Row, Value, column, picture, ranked};
use super::super::state::State;

pub(super) const COLUMNS: &[Column] = &[
    column("EVENT", 'E'),
    column("SALE", 'T'),
    column("CAPACITY", 'C'),
    column("AVAILABLE", 'A'),
    column("HELD", 'H'),
    column("SOLD", 'S'),
    ranked("EPOCH", 'P', 2),
    ranked("OPENS", 'O', 3),
    ranked("TITLE", 'N', 4),
    picture("SOLD # HELD + FREE .", 1),
];

pub(super) fn rows(state: &State) -> Vec<Row<'_>> {
    let events = state.data.events.value.as_deref().unwrap_or_default();
    events.iter().map(row).collect()
}

fn row(event: &EventView) -> Row<'_> {
    let stock = &event.stock;
    Row {
        key: event.event.as_str().into(),
        values: vec![
            Value::text(event.event.as_str()),
            Value::text(event.sale.as_str()),
            Value::Number(stock.capacity),
            Value::Number(stock.available),
            Value::Number(stock.held),
            Value::Number(stock.sold),
            Value::Number(event.epoch),
            Value::text(event.opens_at.strftime("%Y-%m-%d %H:%M").to_string()),
            Value::text(event.title.as_str()),
            Value::Bar(*stock),
        ],
        mark: mark(event),
    }
}

/// States that a newer server may add are as any.
fn mark(event: &EventView) -> Mark {
    match event.sale.as_str() {
        "warming_up" | "paused" => Mark::Warn,
        "closed" | "scheduled" => Mark::Dim,
        _ => Mark::Plain,
    }
}
