//! What a rebalance would move, without making it: the same planner over what the admin API shows. The operator plans again
//! from the ledger's own catalogue, so this is a preview and no promise.

use std::collections::HashMap;

use kube::api::DynamicObject;
use ticket_admin::ShardsView;
use ticket_core::{Code, EventName, StockShardId};
use ticket_crds::{MoveState, MoveStatus, RangeStatus, RebalanceSpec};
use ticket_plan::{
    Cluster, ClusterNode, Goal, HashRange, Move, PlacedShard, PlacedStock, rebalance,
};

use super::show::{Shown, moves};
use crate::clients::Clients;
use crate::commands::Ended;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// The role of the only node of a ledger without Citus.
const SINGLE: &str = "single";

/// `made`: as the API server would have made it.
pub(super) async fn show(
    made: &DynamicObject,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let spec = made.data.get("spec").cloned().unwrap_or_default();
    let spec: RebalanceSpec = serde_json::from_value(spec).map_err(|error| {
        Failure::new(Exit::Error, error.into()).or_next(
            "ticketctl and the cluster's definition of ShardRebalance differ: use the same version",
        )
    })?;
    let shards = clients.admin().await?.shards().await?;
    if shards.nodes.iter().any(|node| node.role == SINGLE) {
        return Err(refused(Code::NeedsCitus, Code::NeedsCitus.title()));
    }
    let stock = stock(clients).await?;
    let cluster = cluster(shards, &stock);
    let planned = Goal::of(&spec).and_then(|goal| rebalance(&goal, spec.force, &cluster));
    let planned = planned.map_err(|refusal| refused(refusal.code(), &refusal.to_string()))?;
    output.show(&Shown(made))?;
    if output.is_for_people() {
        let planned: Vec<MoveStatus> = planned.iter().map(as_status).collect();
        output.text(&format!("\n{}", moves(&planned, false)))?;
    }
    output.word(&format!(
        "dry run: would plan {} moves; nothing was made",
        planned.len()
    ));
    Ok(Exit::Ok)
}

fn refused(code: Code, why: &str) -> Failure {
    let cause = anyhow::anyhow!("{why} [{code}]");
    Failure::new(Exit::Refused, cause).or_next(code.next_step())
}

/// Which event each stock shard belongs to, and whether it is on sale.
async fn stock(clients: &Clients) -> Result<HashMap<i64, (EventName, bool)>, Failure> {
    let admin = clients.admin().await?;
    let mut stock = HashMap::new();
    for event in admin.events().await?.items {
        let Some((namespace, name)) = event.event.split_once('.') else {
            continue;
        };
        let Ok(name) = EventName::new(namespace, name) else {
            continue;
        };
        let is_on_sale = matches!(event.sale.as_str(), "on_sale" | "sold_out" | "warming_up");
        for category in admin.stock(&event.event).await?.categories {
            for shard in category.shards {
                stock.insert(shard.stock_shard_id, (name.clone(), is_on_sale));
            }
        }
    }
    Ok(stock)
}

fn cluster(shards: ShardsView, stock: &HashMap<i64, (EventName, bool)>) -> Cluster {
    let nodes = shards.nodes.into_iter().map(|node| ClusterNode {
        takes_shards: node.role == "worker",
        name: node.name,
        is_alive: node.alive,
    });
    // The admin API has no hashes; the order of the shards is theirs.
    let shards = (0..).zip(shards.shards).map(|(at, shard)| PlacedShard {
        range: HashRange { low: at, high: at },
        node: shard.node,
        bytes: shard.bytes,
        stock: shard
            .stock_shard_ids
            .iter()
            .filter_map(|id| {
                let (event, is_on_sale) = stock.get(id)?;
                Some(PlacedStock {
                    id: StockShardId::new(*id).ok()?,
                    event: event.clone(),
                    is_on_sale: *is_on_sale,
                })
            })
            .collect(),
    });
    Cluster {
        nodes: nodes.collect(),
        shards: shards.collect(),
    }
}

fn as_status(one: &Move) -> MoveStatus {
    MoveStatus {
        stock_shard_ids: one.stock_shard_ids.iter().map(|id| id.get()).collect(),
        range: RangeStatus {
            low: one.range.low,
            high: one.range.high,
        },
        from: one.from.clone(),
        to: one.to.clone(),
        bytes: one.bytes,
        state: MoveState::Pending,
        retries: 0,
        message: None,
        took_ms: None,
    }
}
