//! What the platform runs on: ledger nodes, consumer lag, the servers that are needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Extension, Json};
use ticket_admin::{DependenciesView, Dependency, LagEntry, List, NodeView, ShardView, ShardsView};
use ticket_bus::{BusError, PartitionLag};
use ticket_core::{Code, StockShardId};
use ticket_payments::Provider;
use ticket_telemetry::chain;
use tracing::debug;

use super::access::Role;
use super::document::ViewProblems;
use super::{Admin, refusal};
use crate::problem::Problem;

/// Longest wait for a server that says whether it is there.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

#[utoipa::path(get, path = "/admin/v1/shards", tag = "platform", operation_id = "getShards",
    summary = "Nodes and Citus shards of the ledger", security(("manager" = [])),
    responses((status = 200, description = "Without Citus one node and one shard.", body = ShardsView), ViewProblems))]
pub(super) async fn shards(State(admin): State<Arc<Admin>>) -> Result<Json<ShardsView>, Problem> {
    let topology = admin.parts.ledger.topology().await;
    let topology = topology.map_err(|error| refusal::of_ledger(&error))?;
    let nodes = topology.nodes.into_iter().map(|node| NodeView {
        role: node.role.as_str().to_owned(),
        name: node.name,
        alive: node.alive,
        bytes: node.bytes,
    });
    let shards = topology.shards.into_iter().map(|shard| ShardView {
        citus_shard: shard.citus_shard,
        node: shard.node,
        bytes: shard.bytes,
        stock_shard_ids: shard
            .stock_shard_ids
            .into_iter()
            .map(StockShardId::get)
            .collect(),
        lane: shard.lane,
    });
    Ok(Json(ShardsView {
        nodes: nodes.collect(),
        shards: shards.collect(),
    }))
}

#[utoipa::path(get, path = "/admin/v1/lag", tag = "platform", operation_id = "getLag",
    summary = "How far consumer groups are behind", security(("manager" = [])),
    responses((status = 200, description = "By group, topic and partition, on one page.", body = List<LagEntry>), ViewProblems))]
pub(super) async fn lag(State(admin): State<Arc<Admin>>) -> Result<Json<List<LagEntry>>, Problem> {
    let prefix = &admin.parts.prefix;
    let order_logs = admin.parts.catalog.snapshot().topics();
    let mut items = group_lag(&admin, &prefix.group("processor"), &order_logs).await?;
    for (group, topic) in [
        ("payments", prefix.order_events()),
        ("notifier", prefix.order_events()),
        ("sync-relay", prefix.order_events()),
        ("sync-changes", prefix.stock_facts()),
        ("sync-reseller", prefix.reseller_stock()),
    ] {
        items.extend(group_lag(&admin, &prefix.group(group), &[topic]).await?);
    }
    Ok(Json(List::whole(items)))
}

async fn group_lag(
    admin: &Admin,
    group: &str,
    topics: &[String],
) -> Result<Vec<LagEntry>, Problem> {
    let kafka = &admin.parts.kafka;
    let lags = match kafka.lag(group, topics).await {
        Ok(lags) => lags,
        // One topic is missing (just deleted, or not made yet): the others are still worth a look.
        Err(BusError::TopicMissing { .. }) => {
            let mut lags = Vec::new();
            for topic in topics {
                match kafka.lag(group, std::slice::from_ref(topic)).await {
                    Ok(more) => lags.extend(more),
                    Err(BusError::TopicMissing { .. }) => debug!(topic, "topic without lag"),
                    Err(error) => return Err(unreachable(&error)),
                }
            }
            lags
        }
        Err(error) => return Err(unreachable(&error)),
    };
    let entry = |lag: PartitionLag| LagEntry {
        group: group.to_owned(),
        lag: waiting(&lag),
        topic: lag.topic,
        partition: lag.partition,
        committed: lag.committed,
        end: lag.end,
    };
    Ok(lags.into_iter().map(entry).collect())
}

/// Records that wait; `None` if unknown. A group that never committed has nothing to wait for where nothing was written.
pub(super) fn waiting(lag: &PartitionLag) -> Option<i64> {
    lag.lag().or((lag.end == 0).then_some(0))
}

fn unreachable(error: &BusError) -> Problem {
    tracing::warn!(error = %chain(error), code = error.code(), "lag not read");
    Problem::unavailable("Kafka")
}

#[utoipa::path(get, path = "/admin/v1/dependencies", tag = "platform", operation_id = "getDependencies",
    summary = "The servers that are needed, asked just now", security(("manager" = [])),
    responses((status = 200, description = "Also which of them do not answer.", body = DependenciesView), ViewProblems))]
pub(super) async fn dependencies(
    State(admin): State<Arc<Admin>>,
    Extension(role): Extension<Role>,
) -> Json<DependenciesView> {
    let parts = &admin.parts;
    let (ledger, kafka, store, payments) = tokio::join!(
        ask("ledger", Code::LedgerUnreachable, parts.ledger.ping()),
        ask("kafka", Code::LogUnreachable, parts.kafka.ping()),
        ask("store", Code::StoreUnreachable, parts.stock.ping()),
        ask(
            "payments",
            Code::PaymentsUnreachable,
            parts.provider.list(None)
        ),
    );
    Json(DependenciesView {
        role: role.as_str().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        items: vec![ledger, kafka, store, payments],
    })
}

/// Asks a server for a sign of life.
async fn ask<T, E: std::error::Error + 'static>(
    name: &str,
    code: Code,
    question: impl Future<Output = Result<T, E>>,
) -> Dependency {
    let begun = Instant::now();
    let detail = match tokio::time::timeout(ANSWER_DEADLINE, question).await {
        Ok(Ok(_)) => {
            let answered_in_ms = u64::try_from(begun.elapsed().as_millis()).ok();
            let detail = "answers".to_owned();
            return Dependency {
                name: name.to_owned(),
                ok: true,
                detail,
                answered_in_ms,
                code: None,
            };
        }
        Ok(Err(error)) => chain(&error).to_string(),
        Err(_) => format!("no answer in {ANSWER_DEADLINE:?}"),
    };
    Dependency {
        name: name.to_owned(),
        ok: false,
        detail,
        answered_in_ms: None,
        code: Some(code.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_partition_has_no_lag_and_an_unread_one_an_unknown_lag() {
        let lag = |committed, end| PartitionLag {
            topic: "orders".to_owned(),
            partition: 0,
            committed,
            end,
        };
        assert_eq!(waiting(&lag(None, 0)), Some(0));
        assert_eq!(waiting(&lag(None, 5)), None);
        assert_eq!(waiting(&lag(Some(3), 5)), Some(2));
    }
}
