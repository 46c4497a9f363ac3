//! A worker is added: new lanes and rebalances use it, and nothing has to be told but the cluster itself.

use serde_json::json;
use ticket_crds::{Phase, RebalancePhase};

use super::cluster;
use crate::lanes::{assert_isolated, dedicated};

#[tokio::test]
async fn an_added_worker_gets_its_share_of_what_is_there_and_of_new_lanes() {
    let Some((server, stage)) = cluster::own_without("rebalance-growing", &[1]).await else {
        return;
    };
    stage.event("one", 8, false).await;
    let workers = stage.workers().await;
    assert_eq!(workers.len(), 1, "{workers:?}");
    let operator = stage.start();
    // There is nothing to balance on one worker.
    stage.create("alone", json!({ "mode": "Balance" })).await;
    let alone = stage.phase("alone", RebalancePhase::Completed).await;
    assert!(alone.moves.is_empty());

    let mut sql = stage.sql().await;
    sqlx::query("SELECT citus_add_node('127.0.0.1', $1)")
        .bind(i32::from(server.workers()[1].port()))
        .execute(&mut sql)
        .await
        .unwrap();
    assert_eq!(stage.held().await[1], 0);
    stage.create("grown", json!({ "mode": "Balance" })).await;
    let grown = stage.phase("grown", RebalancePhase::Proposed).await;
    assert!(!grown.moves.is_empty());
    stage.change("grown", json!({ "approve": true })).await;
    stage.phase("grown", RebalancePhase::Completed).await;
    let held = stage.held().await;
    assert!(held[0].abs_diff(held[1]) <= 1, "{held:?}");
    stage.assert_clean().await;

    let world = &stage.world;
    world.create(dedicated(world, "hot", 6)).await;
    let hot = world.ready("hot", Phase::OnSale).await;
    assert_isolated(world, &hot, 6).await;
    operator.stop().await;
    stage.clear().await;
}
