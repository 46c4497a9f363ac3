//! How far each consumer group is behind, per partition.

use ticket_admin::LagEntry;

use super::super::grid::{Column, Mark, Row, Value, column, ranked};
use super::super::state::State;

pub(super) const COLUMNS: &[Column] = &[
    column("TOPIC", 'T'),
    column("PART", 'P'),
    column("GROUP", 'C'),
    column("LAG", 'L'),
    ranked("COMMITTED", 'M', 1),
    ranked("END", 'E', 1),
];

pub(super) fn rows(state: &State) -> Vec<Row<'_>> {
    let lag = state.data.lag.value.as_deref().unwrap_or_default();
    lag.iter().map(row).collect()
}

fn row(entry: &LagEntry) -> Row<'_> {
    Row {
        key: format!("{} {} {}", entry.group, entry.topic, entry.partition).into(),
        values: vec![
            Value::text(entry.topic.as_str()),
            Value::Number(entry.partition.into()),
            Value::text(entry.group.as_str()),
            Value::number(entry.lag),
            Value::number(entry.committed),
            Value::Number(entry.end),
        ],
        mark: match entry.lag {
            Some(0) => Mark::Dim,
            None => Mark::Warn,
            Some(_) => Mark::Plain,
        },
    }
}
