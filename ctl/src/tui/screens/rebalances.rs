//! Rebalances of the ledger, and one of them with its moves.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ticket_crds::{MoveState, MoveStatus, RebalancePhase};

use super::super::grid::{Column, Mark, Row, Value, binary, column, ranked, span};
use super::super::state::State;
use crate::rebalance::Rebalance;

pub(super) const COLUMNS: &[Column] = &[
    column("NAME", 'N'),
    column("MODE", 'M'),
    column("PHASE", 'P'),
    column("DONE", 'D'),
    ranked("ENDS-IN", 'E', 2),
    ranked("AGE", 'A', 3),
    ranked("REASON", 'R', 1),
    ranked("NODE", 'O', 4),
];

pub(super) const MOVES: &[Column] = &[
    column("STATE", 'S'),
    column("FROM", 'F'),
    column("TO", 'T'),
    column("BYTES", 'B'),
    ranked("STOCK-SHARDS", 'I', 2),
    ranked("RETRIES", 'R', 3),
    ranked("TOOK-MS", 'W', 4),
    ranked("MESSAGE", 'M', 1),
];

/// Cells of the bar of progress.
const BAR_CELLS: usize = 24;

/// Stock shards that are named of one move.
const IDS_MAX: usize = 4;

pub(super) fn rows(state: &State) -> Vec<Row<'_>> {
    let all = state.data.rebalances.value.as_deref().unwrap_or_default();
    all.iter().map(|it| row(state, it)).collect()
}

fn row<'a>(state: &State, rebalance: &'a Rebalance) -> Row<'a> {
    let (reason, _) = rebalance.reason();
    let node = rebalance.spec.as_ref().and_then(|it| it.node.as_deref());
    Row {
        key: rebalance.name.as_str().into(),
        values: vec![
            Value::text(rebalance.name.as_str()),
            Value::text(rebalance.mode()),
            Value::text(rebalance.phase_word()),
            Value::text(rebalance.done()),
            left_s(state, rebalance).map_or(Value::Unknown, Value::Seconds),
            rebalance.created.map_or(Value::Unknown, Value::Age),
            Value::text(reason),
            Value::text(node.unwrap_or_default()),
        ],
        mark: match rebalance.phase() {
            Some(RebalancePhase::Failed) => Mark::Bad,
            // They wait for a person.
            Some(RebalancePhase::Proposed | RebalancePhase::Stopped) => Mark::Warn,
            Some(RebalancePhase::Completed) => Mark::Dim,
            Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) | None => Mark::Plain,
        },
    }
}

/// Seconds until its last move is expected to be done.
fn left_s(state: &State, rebalance: &Rebalance) -> Option<i64> {
    let eta = rebalance.status.eta?;
    Some(eta.duration_since(state.now).as_secs().max(0))
}

pub(in crate::tui) fn find<'a>(state: &'a State, name: &str) -> Option<&'a Rebalance> {
    let all = state.data.rebalances.value.as_deref()?;
    all.iter().find(|it| it.name == name)
}

pub(super) fn moves<'a>(state: &'a State, name: &str) -> Vec<Row<'a>> {
    let moves = find(state, name).map(|it| it.status.moves.as_slice());
    moves.unwrap_or_default().iter().map(one).collect()
}

fn one(one: &MoveStatus) -> Row<'_> {
    let ids = &one.stock_shard_ids;
    let mut names: Vec<String> = ids.iter().take(IDS_MAX).map(i64::to_string).collect();
    if ids.len() > IDS_MAX {
        names.push(format!("+{}", ids.len() - IDS_MAX));
    }
    Row {
        key: one.range.low.to_string().into(),
        values: vec![
            Value::text(one.state.as_str()),
            Value::text(one.from.as_str()),
            Value::text(one.to.as_str()),
            one.bytes.map_or(Value::Unknown, Value::Bytes),
            Value::text(names.join(",")),
            Value::Number(one.retries.into()),
            Value::number(one.took_ms),
            Value::text(one.message.as_deref().unwrap_or_default()),
        ],
        mark: match one.state {
            MoveState::Failed => Mark::Bad,
            MoveState::Moving => Mark::Warn,
            MoveState::Done => Mark::Dim,
            MoveState::Pending => Mark::Plain,
        },
    }
}

pub(super) fn header(state: &State, name: &str) -> Vec<Line<'static>> {
    let Some(rebalance) = find(state, name) else {
        return Vec::new();
    };
    let status = &rebalance.status;
    let mut lines = vec![super::field(state, "goal", goal(rebalance))];
    let (_, message) = rebalance.reason();
    lines.push(Line::from(vec![
        Span::styled(format!("{:<12} ", "phase"), state.theme.dim()),
        Span::styled(rebalance.phase_word(), style(state, rebalance)),
        Span::raw(format!("  {message}")),
    ]));
    if let Some(progress) = status.progress.filter(|it| it.total > 0) {
        let left = left_s(state, rebalance);
        let left = left.map(|left| format!(", done in about {}", span(left)));
        let (done, total) = (progress.done, progress.total);
        let bar = bar(done, total);
        let text = format!("{bar} {done} of {total}{}", left.unwrap_or_default());
        lines.push(super::field(state, "moves", text));
        let (done, all) = (binary(progress.bytes_done), binary(progress.bytes));
        lines.push(super::field(state, "copied", format!("{done} of {all}")));
    }
    lines.extend(status.expected_stall_ms.map(|ms| {
        let text = format!("writers of a shard wait about {ms} ms while it is moved");
        super::field(state, "stall", text)
    }));
    lines.extend(status.last_error.as_ref().map(|error| {
        let text = format!("{} [{}]", error.message, error.code);
        Line::from(vec![
            Span::styled(format!("{:<12} ", "last error"), state.theme.dim()),
            Span::styled(text, state.theme.bad()),
        ])
    }));
    lines
}

/// What it shall reach, in one line.
fn goal(rebalance: &Rebalance) -> String {
    let Some(spec) = &rebalance.spec else {
        return "this program cannot read its spec".to_owned();
    };
    let node = spec.node.as_deref().unwrap_or_default();
    let events = spec.events.join(", ");
    let forced = if spec.force {
        ", also what is on sale"
    } else {
        ""
    };
    let parts = [spec.mode.as_str(), node, &events];
    let parts: Vec<&str> = parts.into_iter().filter(|it| !it.is_empty()).collect();
    format!("{}{forced}", parts.join(" "))
}

fn style(state: &State, rebalance: &Rebalance) -> Style {
    match rebalance.phase() {
        Some(RebalancePhase::Failed) => state.theme.bad(),
        Some(RebalancePhase::Completed) => state.theme.ok(),
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Approved
            | RebalancePhase::Rebalancing
            | RebalancePhase::Stopped,
        )
        | None => state.theme.warn(),
    }
}

/// `[######......]`
fn bar(done: i32, total: i32) -> String {
    let (done, total) = (i64::from(done), i64::from(total.max(1)));
    let cells = i64::try_from(BAR_CELLS).unwrap_or(0);
    let filled = usize::try_from(done * cells / total).unwrap_or(0);
    let filled = filled.min(BAR_CELLS);
    format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR_CELLS - filled))
}

/// For the view of the shards: the newest one that is not over.
pub(super) fn under_way(state: &State) -> Option<Line<'static>> {
    let all = state.data.rebalances.value.as_deref()?;
    let is_over = |it: &&Rebalance| {
        let phase = it.phase();
        matches!(
            phase,
            Some(RebalancePhase::Completed | RebalancePhase::Failed)
        )
    };
    let open = all.iter().find(|it| !is_over(it))?;
    let (_, message) = open.reason();
    let text = format!(
        "{} {} {}: {message}",
        open.name,
        open.phase_word(),
        open.done()
    );
    Some(super::field(state, "rebalance", text))
}
