//! Ledger nodes, and the Citus shards that hold stock.

use ratatui::text::{Line, Span};
use ticket_admin::{NodeView, ShardView};

use super::super::grid::{Column, Mark, Row, Value, binary, column, ranked};
use super::super::state::State;

pub(super) const COLUMNS: &[Column] = &[
    column("CITUS-SHARD", 'I'),
    column("NODE", 'N'),
    column("LANE", 'L'),
    column("BYTES", 'B'),
    column("STOCK-SHARDS", 'S'),
    ranked("THEIR-IDS", 'D', 1),
];

/// Nodes that are shown one by one; a ledger with more shows how many there are and which do not answer.
const NODES_MAX: usize = 6;

/// Ids that are shown of one Citus shard.
const IDS_MAX: usize = 8;

pub(super) fn rows(state: &State) -> Vec<Row<'_>> {
    let shards = state.data.shards.value.as_ref();
    let dead: Vec<&str> = shards.map_or_else(Vec::new, |shards| {
        let dead = shards.nodes.iter().filter(|node| !node.alive);
        dead.map(|node| node.name.as_str()).collect()
    });
    shards.map_or_else(Vec::new, |shards| {
        shards
            .shards
            .iter()
            .map(|shard| row(shard, &dead))
            .collect()
    })
}

fn row<'a>(shard: &'a ShardView, dead: &[&str]) -> Row<'a> {
    let ids = &shard.stock_shard_ids;
    let mut names: Vec<String> = ids.iter().take(IDS_MAX).map(i64::to_string).collect();
    if ids.len() > IDS_MAX {
        names.push("...".to_owned());
    }
    Row {
        key: shard.citus_shard.to_string().into(),
        values: vec![
            Value::Id(shard.citus_shard),
            Value::text(shard.node.as_str()),
            Value::text(if shard.lane { "yes" } else { "no" }),
            shard.bytes.map_or(Value::Unknown, Value::Bytes),
            Value::Number(i64::try_from(ids.len()).unwrap_or(i64::MAX)),
            Value::text(names.join(",")),
        ],
        mark: match (dead.contains(&shard.node.as_str()), ids.is_empty()) {
            (true, _) => Mark::Bad,
            (false, true) => Mark::Dim,
            (false, false) => Mark::Plain,
        },
    }
}

pub(super) fn header(state: &State) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(shards) = &state.data.shards.value {
        if shards.nodes.len() <= NODES_MAX {
            lines.extend(shards.nodes.iter().map(|node| named(state, node)));
        } else {
            let dead = shards.nodes.iter().filter(|node| !node.alive);
            let text = format!("{} of the ledger", shards.nodes.len());
            lines.push(super::field(state, "nodes", text));
            lines.extend(dead.take(NODES_MAX).map(|node| named(state, node)));
        }
    }
    lines.extend(super::rebalances::under_way(state));
    lines
}

fn named(state: &State, node: &NodeView) -> Line<'static> {
    let (word, style) = if node.alive {
        ("answers", state.theme.ok())
    } else {
        ("DOES NOT ANSWER", state.theme.bad())
    };
    let bytes = node.bytes.map_or_else(|| "-".to_owned(), binary);
    Line::from(vec![
        Span::styled(format!("{:<12} ", "node"), state.theme.dim()),
        Span::raw(format!("{:<24} {:<11} ", node.name, node.role)),
        Span::styled(format!("{word:<15} "), style),
        Span::raw(bytes),
    ])
}
