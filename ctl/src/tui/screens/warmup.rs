//! Who holds the warm-up lock, the epochs, and what was.

use ratatui::text::{Line, Span};
use ticket_admin::WarmupRun;

use super::super::grid::{Column, Mark, Row, Value, column, ranked};
use super::super::state::State;
use crate::output::age;

pub(super) const COLUMNS: &[Column] = &[
    column("EPOCH", 'E'),
    column("RESULT", 'R'),
    column("AGE", 'A'),
    column("TOOK", 'T'),
    column("HOLDER", 'H'),
    ranked("REASON", 'W', 1),
];

pub(super) fn rows(state: &State) -> Vec<Row<'_>> {
    let warmup = state.data.warmup.value.as_ref();
    warmup.map_or_else(Vec::new, |warmup| warmup.history.iter().map(row).collect())
}

fn row(run: &WarmupRun) -> Row<'_> {
    let took = run
        .finished_at
        .map(|end| end.duration_since(run.started_at).as_secs());
    Row {
        key: run.epoch.to_string().into(),
        values: vec![
            Value::Id(run.epoch),
            Value::text(run.result.as_deref().unwrap_or("running")),
            Value::Age(run.started_at),
            took.map_or(Value::Unknown, Value::Seconds),
            Value::text(run.holder.as_str()),
            Value::text(run.reason.as_deref().unwrap_or_default()),
        ],
        mark: match run.result.as_deref() {
            Some("failed" | "expired" | "broken") => Mark::Bad,
            None | Some("fenced" | "missed") => Mark::Warn,
            Some(_) => Mark::Plain,
        },
    }
}

pub(super) fn header(state: &State) -> Vec<Line<'static>> {
    let Some(warmup) = &state.data.warmup.value else {
        return Vec::new();
    };
    let label = |label: &str| Span::styled(format!("{label:<12} "), state.theme.dim());
    let armed = match warmup.armed_epoch {
        Some(armed) if armed == warmup.epoch => {
            Span::styled("the store sells with it", state.theme.ok())
        }
        Some(armed) => Span::styled(
            format!("the store is armed with epoch {armed}: warming up"),
            state.theme.warn(),
        ),
        None => Span::styled("the store is down or warming up", state.theme.warn()),
    };
    let mut lines = vec![Line::from(vec![
        label("epoch"),
        Span::raw(format!("{}, ", warmup.epoch)),
        armed,
    ])];
    match &warmup.lock {
        None => lines.push(super::field(state, "lock", "nobody holds it")),
        Some(lock) => {
            let since = age(lock.acquired_at, state.now);
            let left = lock.expires_at.duration_since(state.now).as_secs().max(0);
            let left = super::super::grid::span(left);
            let text = format!("HELD by {} for {since}, expires in {left}", lock.holder);
            lines.push(Line::from(vec![
                label("lock"),
                Span::styled(text, state.theme.warn()),
            ]));
            let reason = lock.reason.clone();
            lines.extend(reason.map(|reason| super::field(state, "reason", reason)));
        }
    }
    lines
}
