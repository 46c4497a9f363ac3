//! Operator, worker and coordinator die in the middle: what was done is done, the rest goes on, and nothing is left over.

use serde_json::json;
use ticket_crds::{MoveState, RebalancePhase};
use ticket_operator::Faults;

use super::cluster;
use super::stage::Stage;
use crate::world::until;

/// More effects than a rebalance of a few shards has; the loop ends before.
const EFFECTS_MAX: usize = 60;

/// Approves as soon as there is a plan, until it is completed or `is_over`.
async fn drive(stage: &Stage, name: &str, is_over: impl Fn() -> bool) -> bool {
    until("it is completed, or the operator is dead", async || {
        if is_over() {
            return Some(false);
        }
        let object = stage.get(name).await;
        let phase = object.status.and_then(|status| status.phase);
        if phase == Some(RebalancePhase::Completed) {
            return Some(true);
        }
        if phase == Some(RebalancePhase::Proposed) && !object.spec.approve {
            stage.change(name, json!({ "approve": true })).await;
        }
        None
    })
    .await
}

async fn assert_pinned(stage: &Stage, to: &str) {
    for shard in stage.placements().await.shards {
        assert!(shard.stock.is_empty() || shard.node == to, "{shard:?}");
    }
    stage.assert_clean().await;
}

#[tokio::test]
async fn an_operator_that_is_killed_anywhere_leaves_what_the_next_one_finishes() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("one", 3, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let events = [format!("{}/one", stage.world.namespace)];
    let mut kills = 0;
    for effects in 0..EFFECTS_MAX {
        // To and fro.
        let to = &workers[(effects + 1) % 2];
        let name = format!("pin-{effects}");
        // The faster way of copying: there are many rounds.
        let spec = json!({
            "mode": "PinEvents", "node": to, "events": events, "transferMode": "BlockWrites",
        });
        stage.create(&name, spec).await;
        let mut dying = stage.start_with(Faults::kill_after(effects));
        let is_done = drive(&stage, &name, || dying.task.is_finished()).await;
        if is_done {
            // Perhaps it is killed while it stops.
            dying.stop.cancel();
        }
        drop((&mut dying.task).await.unwrap());
        let operator = stage.start();
        assert!(drive(&stage, &name, || false).await);
        operator.stop().await;
        assert_pinned(&stage, to).await;
        stage.clear().await;
        if is_done {
            break;
        }
        kills += 1;
    }
    // Proposal, approval, for each shard status, move and status, clean-up, completion.
    assert!((10..EFFECTS_MAX).contains(&kills), "{kills}");
}

#[tokio::test]
async fn an_operator_that_dies_in_the_middle_of_a_move_leaves_no_lock_behind() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("one", 8, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let events = [format!("{}/one", stage.world.namespace)];
    let spec = json!({ "mode": "PinEvents", "node": workers[1], "events": events });
    stage.create("pin", spec).await;
    let operator = stage.start();
    stage.phase("pin", RebalancePhase::Proposed).await;
    stage.change("pin", json!({ "approve": true })).await;
    until("a move is under way", async || {
        let status = stage.get("pin").await.status?;
        let mut moves = status.moves.iter();
        moves.any(|it| it.state == MoveState::Moving).then_some(())
    })
    .await;
    // Everything is dropped where it stands, as when the process is killed.
    operator.task.abort();
    drop(operator.task.await);
    let operator = stage.start();
    stage.phase("pin", RebalancePhase::Completed).await;
    operator.stop().await;
    assert_pinned(&stage, &workers[1]).await;
    stage.clear().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_is_waited_for() {
    let Some((mut server, stage)) = cluster::own("rebalance-worker").await else {
        return;
    };
    stage.event("one", 8, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let operator = stage.start();
    stage
        .create("drain", json!({ "mode": "DrainNode", "node": workers[0] }))
        .await;
    stage.phase("drain", RebalancePhase::Proposed).await;
    stage.change("drain", json!({ "approve": true })).await;
    stage
        .status("drain", "a shard has moved", |it| {
            it.progress.is_some_and(|it| it.done >= 2)
        })
        .await;
    server.worker_mut(1).unwrap().kill().await.unwrap();
    let waits = stage
        .status("drain", "it says what it waits for", |it| {
            it.last_error
                .as_ref()
                .is_some_and(|error| error.code == "node-down")
        })
        .await;
    assert_eq!(waits.phase, Some(RebalancePhase::Rebalancing));
    let one = waits
        .moves
        .iter()
        .find(|it| it.state == MoveState::Pending)
        .unwrap();
    assert!(
        one.retries >= 1 && one.message.as_ref().unwrap().contains(&workers[1]),
        "{one:?}"
    );
    server.restart().await.unwrap();
    let done = stage.phase("drain", RebalancePhase::Completed).await;
    assert!(done.last_error.is_none());
    assert_pinned(&stage, &workers[1]).await;
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn a_coordinator_that_is_killed_is_waited_for() {
    let Some((mut server, stage)) = cluster::own("rebalance-coordinator").await else {
        return;
    };
    stage.event("one", 8, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let operator = stage.start();
    stage
        .create("drain", json!({ "mode": "DrainNode", "node": workers[0] }))
        .await;
    stage.phase("drain", RebalancePhase::Proposed).await;
    stage.change("drain", json!({ "approve": true })).await;
    stage
        .status("drain", "a shard has moved", |it| {
            it.progress.is_some_and(|it| it.done >= 2)
        })
        .await;
    server.kill().await.unwrap();
    until("it is said", async || {
        let error = stage.get("drain").await.status?.last_error?;
        (error.code == "ledger-unreachable" || error.code == "move-failed").then_some(())
    })
    .await;
    server.restart().await.unwrap();
    stage.phase("drain", RebalancePhase::Completed).await;
    assert!(
        stage
            .placements()
            .await
            .shards
            .iter()
            .all(|it| it.node == workers[1])
    );
    stage.assert_clean().await;
    operator.stop().await;
    stage.clear().await;
}
