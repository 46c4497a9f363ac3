//! Where the ledger's shards are, for the planner.

use ticket_core::clock;
use ticket_crds::TransferMode;
use ticket_ledger::{Ledger, LedgerError, Placement};
use ticket_plan::{Cluster, ClusterNode, HashRange, PlacedShard, PlacedStock};
use ticket_telemetry::chain;
use tracing::debug;

use crate::error::{OperatorError, Result};

/// Nodes and shards, with their sizes if every node can be asked for them.
pub(super) async fn cluster(ledger: &Ledger) -> Result<Cluster> {
    let found = ledger.placements(clock::now()).await.map_err(failed)?;
    let sizes = if found.nodes.iter().all(|node| node.is_alive) {
        ledger.shard_sizes().await.unwrap_or_else(|error| {
            debug!(error = %chain(&error), "sizes of shards are not known");
            std::collections::HashMap::new()
        })
    } else {
        std::collections::HashMap::new()
    };
    let nodes = found.nodes.into_iter().map(|node| ClusterNode {
        name: node.name,
        is_alive: node.is_alive,
        takes_shards: node.takes_shards,
    });
    let shards = found.shards.into_iter().map(|shard| {
        let bytes = sizes.get(&shard.low).copied();
        placed(shard, bytes)
    });
    Ok(Cluster {
        nodes: nodes.collect(),
        shards: shards.collect(),
    })
}

/// How shards with stock are copied: what `Auto` means with these workers. Following the changes stalls writers less at every
/// size, and most where there are many orders; what was measured stands at `ticket_plan`'s expectations.
pub(super) async fn mode(ledger: &Ledger, wanted: TransferMode) -> Result<TransferMode> {
    match wanted {
        TransferMode::BlockWrites | TransferMode::ForceLogical => Ok(wanted),
        TransferMode::Auto => {
            let can_follow = ledger.can_follow_changes().await.map_err(failed)?;
            Ok(if can_follow {
                TransferMode::ForceLogical
            } else {
                TransferMode::BlockWrites
            })
        }
    }
}

fn placed(shard: Placement, bytes: Option<i64>) -> PlacedShard {
    let stock = shard.stock.into_iter().map(|stock| PlacedStock {
        id: stock.id,
        event: stock.event,
        is_on_sale: stock.is_on_sale,
    });
    PlacedShard {
        range: HashRange {
            low: shard.low,
            high: shard.high,
        },
        node: shard.node,
        bytes,
        stock: stock.collect(),
    }
}

pub(super) fn failed(cause: LedgerError) -> OperatorError {
    OperatorError::Observe {
        what: "where shards are",
        cause: Box::new(cause.into()),
    }
}
