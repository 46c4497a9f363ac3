//! A rebalance for people.

use kube::ResourceExt;
use kube::api::{DynamicObject, ObjectList};
use ticket_crds::MoveStatus;

use crate::output::{Document, Table, age, known};
use crate::rebalance::Rebalance;

/// Stock shards that are named of one move in a narrow table.
const IDS_SHOWN: usize = 4;

/// One line for a change.
pub(super) fn line(rebalance: &Rebalance) -> String {
    let (reason, message) = rebalance.reason();
    let eta = rebalance.status.eta;
    let eta = eta.map(|at| format!(", done about {at}"));
    format!(
        "{} {} {}{} {reason}: {message}",
        rebalance.name,
        rebalance.phase_word(),
        rebalance.done(),
        eta.unwrap_or_default(),
    )
}

/// As `kubectl -o name` calls it.
pub(super) fn resource_name(name: &str) -> String {
    format!("shardrebalance.ticketctl.io/{name}")
}

/// All of them.
pub(super) struct Listed<'a>(pub(super) &'a ObjectList<DynamicObject>);

impl Document for Listed<'_> {
    type Object = ObjectList<DynamicObject>;

    fn object(&self) -> &Self::Object {
        self.0
    }

    fn table(&self, is_wide: bool) -> String {
        if self.0.items.is_empty() {
            return String::new();
        }
        lines(&self.0.items, None, is_wide).to_string()
    }

    fn names(&self) -> Vec<String> {
        let names = self.0.items.iter().map(ResourceExt::name_any);
        names.map(|name| resource_name(&name)).collect()
    }
}

/// A line for each. `phase` is shown instead of what the objects say.
pub(super) fn lines(objects: &[DynamicObject], phase: Option<&str>, is_wide: bool) -> Table {
    let now = ticket_core::clock::now();
    let mut header = vec!["NAME", "MODE", "PHASE", "MOVES", "ETA", "REASON", "AGE"];
    if is_wide {
        header.extend(["NODE", "BYTES", "MESSAGE"]);
    }
    let mut table = Table::new(&header);
    for row in objects.iter().map(Rebalance::of) {
        let (reason, message) = row.reason();
        let mut cells = vec![
            row.name.clone(),
            row.mode().to_owned(),
            phase.unwrap_or_else(|| row.phase_word()).to_owned(),
            row.done(),
            row.status.eta.map(|at| at.to_string()).unwrap_or_default(),
            reason.to_owned(),
            row.created
                .map(|created| age(created, now))
                .unwrap_or_default(),
        ];
        if is_wide {
            let node = row.spec.as_ref().and_then(|spec| spec.node.clone());
            cells.extend([
                node.unwrap_or_default(),
                known(row.status.progress.map(|it| it.bytes)),
                message.to_owned(),
            ]);
        }
        table.row(cells);
    }
    table
}

/// One, with its moves.
pub(super) struct Shown<'a>(pub(super) &'a DynamicObject);

impl Document for Shown<'_> {
    type Object = DynamicObject;

    fn object(&self) -> &DynamicObject {
        self.0
    }

    fn table(&self, is_wide: bool) -> String {
        let row = Rebalance::of(self.0);
        let head = head(&row);
        if row.status.moves.is_empty() {
            return head;
        }
        format!("{head}\n\n{}", moves(&row.status.moves, is_wide))
    }

    fn names(&self) -> Vec<String> {
        vec![resource_name(&self.0.name_any())]
    }
}

fn head(row: &Rebalance) -> String {
    let mut lines = vec![
        ("Rebalance", row.name.clone()),
        ("Mode", row.mode().to_owned()),
    ];
    if let Some(spec) = &row.spec {
        lines.extend(spec.node.clone().map(|node| ("Node", node)));
        if !spec.events.is_empty() {
            lines.push(("Events", spec.events.join(", ")));
        }
        if spec.force {
            lines.push(("Force", "also what is on sale".to_owned()));
        }
    }
    let (reason, message) = row.reason();
    lines.push(("Phase", row.phase_word().to_owned()));
    if !reason.is_empty() {
        lines.push(("Reason", format!("{reason}: {message}")));
    }
    let status = &row.status;
    if let Some(progress) = status.progress {
        let text = format!(
            "{} of {} moves, {} of {} bytes",
            progress.done, progress.total, progress.bytes_done, progress.bytes
        );
        lines.push(("Progress", text));
    }
    lines.extend(status.eta.map(|at| ("ETA", at.to_string())));
    lines.extend(status.expected_stall_ms.map(|ms| {
        let text = format!("{ms} ms per stock shard, while it is moved");
        ("Stall", text)
    }));
    if let Some(error) = &status.last_error {
        lines.push(("Last error", format!("{} [{}]", error.message, error.code)));
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name:<11} {value}"))
        .collect();
    lines.join("\n")
}

pub(super) fn moves(moves: &[MoveStatus], is_wide: bool) -> String {
    let mut header = vec!["STATE", "FROM", "TO", "BYTES", "STOCK-SHARDS", "RETRIES"];
    if is_wide {
        header.extend(["TOOK-MS", "RANGE"]);
    }
    header.push("MESSAGE");
    let mut table = Table::new(&header);
    for one in moves {
        let mut cells = vec![
            one.state.as_str().to_owned(),
            one.from.clone(),
            one.to.clone(),
            known(one.bytes),
            ids(&one.stock_shard_ids, is_wide),
            one.retries.to_string(),
        ];
        if is_wide {
            cells.extend([
                known(one.took_ms),
                format!("{}..{}", one.range.low, one.range.high),
            ]);
        }
        cells.push(one.message.clone().unwrap_or_default());
        table.row(cells);
    }
    table.to_string()
}

fn ids(ids: &[i64], is_wide: bool) -> String {
    let shown = if is_wide { ids.len() } else { IDS_SHOWN };
    let texts: Vec<String> = ids.iter().take(shown).map(i64::to_string).collect();
    let more = ids.len().saturating_sub(shown);
    if more > 0 {
        format!("{} +{more}", texts.join(","))
    } else {
        texts.join(",")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_hinders_a_rebalance_and_each_of_its_moves_are_in_plain_sight() {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "ticketctl.io/v1alpha1", "kind": "ShardRebalance",
            "metadata": { "name": "drain", "generation": 2 },
            "spec": { "mode": "DrainNode", "node": "b:5432", "approve": true },
            "status": {
                "observedGeneration": 2, "proposedGeneration": 1, "phase": "Rebalancing",
                "progress": { "done": 1, "total": 2, "bytes": 30, "bytesDone": 10 },
                "eta": "2026-01-01T00:00:05Z", "expectedStallMs": 400,
                "moves": [
                    { "stockShardIds": [1, 2, 3, 4, 5], "range": { "low": 0, "high": 9 }, "from": "b:5432",
                      "to": "a:5432", "bytes": 10, "state": "Done", "retries": 0, "tookMs": 310 },
                    { "range": { "low": 10, "high": 19 }, "from": "b:5432", "to": "a:5432", "bytes": 20,
                      "state": "Pending", "retries": 3, "message": "node c does not answer" },
                ],
                "conditions": [{
                    "type": "Ready", "status": "False", "reason": "NodeDown", "message": "node c does not answer",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "lastError": { "code": "node-down", "message": "node c does not answer" },
            },
        }))
        .unwrap();
        insta::assert_snapshot!(Shown(&object).table(false), @r"
        Rebalance   drain
        Mode        DrainNode
        Node        b:5432
        Phase       Rebalancing
        Reason      NodeDown: node c does not answer
        Progress    1 of 2 moves, 10 of 30 bytes
        ETA         2026-01-01T00:00:05Z
        Stall       400 ms per stock shard, while it is moved
        Last error  node c does not answer [node-down]

        STATE     FROM     TO       BYTES   STOCK-SHARDS   RETRIES   MESSAGE
        Done      b:5432   a:5432   10      1,2,3,4 +1     0         -
        Pending   b:5432   a:5432   20      -              3         node c does not answer
        ");
    }
}
