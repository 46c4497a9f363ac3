//! Shards really move: each mode, its limits, and what people may do meanwhile.

use serde_json::json;
use ticket_crds::{MoveState, RebalancePhase};

use super::cluster;
use super::stage::{Stage, ready};

/// Plans and approves; nothing moves in between.
async fn approve(stage: &Stage, name: &str, spec: serde_json::Value) {
    stage.create(name, spec).await;
    let before = stage.placements().await;
    let proposed = stage.phase(name, RebalancePhase::Proposed).await;
    assert_eq!(ready(&proposed), ("False", "AwaitingApproval"));
    assert_eq!(stage.placements().await.shards, before.shards);
    stage.change(name, json!({ "approve": true })).await;
}

#[tokio::test]
async fn a_skew_is_balanced_and_a_second_plan_has_nothing_to_do() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("one", 8, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let total: usize = stage.held().await.iter().sum();
    let operator = stage.start();
    approve(&stage, "balance", json!({ "mode": "Balance" })).await;
    let done = stage.phase("balance", RebalancePhase::Completed).await;
    assert_eq!(ready(&done), ("True", "Ready"));
    let progress = done.progress.unwrap();
    assert_eq!(usize::try_from(progress.done).unwrap(), total / 2);
    assert_eq!(
        (progress.done, progress.bytes_done),
        (progress.total, progress.bytes)
    );
    assert!(
        done.moves
            .iter()
            .all(|it| it.state == MoveState::Done && it.took_ms.is_some())
    );
    let held = stage.held().await;
    assert!(held[0].abs_diff(held[1]) <= 1, "{held:?}");
    stage.assert_clean().await;

    stage.create("again", json!({ "mode": "Balance" })).await;
    let again = stage.phase("again", RebalancePhase::Completed).await;
    assert!(again.moves.is_empty());
    // Approving, or stopping, what is completed changes nothing.
    stage
        .change("again", json!({ "approve": true, "stop": true }))
        .await;
    let again = stage.phase("again", RebalancePhase::Completed).await;
    assert_eq!(ready(&again), ("True", "Ready"));
    for reason in [
        "RebalanceProposed",
        "RebalanceStarted",
        "ShardMoved",
        "RebalanceCompleted",
    ] {
        assert!(
            stage.told("balance").await.contains(&reason.to_owned()),
            "{reason}"
        );
    }
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn a_drained_worker_is_empty_and_takes_nothing_new() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("one", 4, false).await;
    let workers = stage.workers().await;
    let operator = stage.start();
    approve(
        &stage,
        "drain",
        json!({ "mode": "DrainNode", "node": workers[1] }),
    )
    .await;
    stage.phase("drain", RebalancePhase::Completed).await;
    let placements = stage.placements().await;
    assert!(placements.shards.iter().all(|it| it.node == workers[0]));
    let node = placements.nodes.iter().find(|it| it.name == workers[1]);
    assert!(!node.unwrap().takes_shards);
    stage.assert_clean().await;

    // Nowhere to go, not to the coordinator either.
    stage
        .create("last", json!({ "mode": "DrainNode", "node": workers[0] }))
        .await;
    let last = stage.phase("last", RebalancePhase::Failed).await;
    assert_eq!(ready(&last), ("False", "NoTargetNode"));
    stage
        .create("nobody", json!({ "mode": "DrainNode", "node": "nobody:1" }))
        .await;
    let nobody = stage.phase("nobody", RebalancePhase::Failed).await;
    assert_eq!(ready(&nobody), ("False", "NodeUnknown"));
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn a_pinned_event_comes_alone_and_one_on_sale_only_by_force() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    let live = stage.event("live", 4, true).await;
    let workers = stage.workers().await;
    let operator = stage.start();
    let event = format!("{}/live", stage.world.namespace);
    let mut spec = json!({ "mode": "PinEvents", "node": workers[1], "events": [event] });
    let before = stage.placements().await.shards;
    stage.create("pin", spec.clone()).await;
    let refused = stage.phase("pin", RebalancePhase::Failed).await;
    assert_eq!(ready(&refused), ("False", "EventOnSale"));
    assert_eq!(stage.placements().await.shards, before);

    spec["force"] = json!(true);
    approve(&stage, "forced", spec).await;
    stage.phase("forced", RebalancePhase::Completed).await;
    let ids = stage.shard_ids(live).await;
    for shard in stage.placements().await.shards {
        let is_pinned = shard.stock.iter().any(|stock| ids.contains(&stock.id));
        let old = before.iter().find(|it| it.low == shard.low).unwrap();
        let node = if is_pinned { &workers[1] } else { &old.node };
        assert_eq!(&shard.node, node);
    }
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn a_sale_that_opened_after_the_approval_is_not_disturbed() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("soon", 4, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let operator = stage.start();
    stage.create("balance", json!({ "mode": "Balance" })).await;
    stage.phase("balance", RebalancePhase::Proposed).await;
    let before = stage.placements().await.shards;
    sqlx::query("UPDATE events SET is_open = true")
        .execute(&mut stage.sql().await)
        .await
        .unwrap();
    stage.change("balance", json!({ "approve": true })).await;
    let refused = stage.phase("balance", RebalancePhase::Failed).await;
    assert_eq!(ready(&refused), ("False", "EventOnSale"));
    let nodes = |shards: &[ticket_ledger::Placement]| -> Vec<String> {
        shards.iter().map(|it| it.node.clone()).collect()
    };
    assert_eq!(nodes(&stage.placements().await.shards), nodes(&before));
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn what_was_approved_but_is_not_true_any_more_is_planned_again() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("one", 6, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let operator = stage.start();
    // Approved before anybody saw a plan: it does not count.
    stage
        .create("balance", json!({ "mode": "Balance", "approve": true }))
        .await;
    let shown = stage.phase("balance", RebalancePhase::Proposed).await;
    assert_eq!(ready(&shown), ("False", "AwaitingApproval"));
    stage.change("balance", json!({ "approve": false })).await;
    let shown = stage.phase("balance", RebalancePhase::Proposed).await;
    // Somebody else moves them.
    stage.skew(&workers[1]).await;
    let before = stage.placements().await.shards;
    stage.change("balance", json!({ "approve": true })).await;
    let again = stage
        .status("balance", "it is planned again", |it| {
            it.moves != shown.moves
        })
        .await;
    assert_eq!(again.phase, Some(RebalancePhase::Proposed));
    assert_eq!(ready(&again), ("False", "PlanStale"));
    assert_eq!(stage.placements().await.shards, before);
    assert!(again.moves.iter().all(|it| it.from == workers[1]));
    stage.change("balance", json!({ "approve": false })).await;
    stage.phase("balance", RebalancePhase::Proposed).await;
    stage.change("balance", json!({ "approve": true })).await;
    stage.phase("balance", RebalancePhase::Completed).await;
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn a_stop_ends_it_and_a_resume_goes_on_where_it_stood() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("one", 12, false).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let operator = stage.start();
    // Stopping what is not under way is said, and starts nothing.
    stage
        .create(
            "pin",
            json!({ "mode": "DrainNode", "node": workers[0], "stop": true, "transferMode": "BlockWrites" }),
        )
        .await;
    let proposed = stage.phase("pin", RebalancePhase::Proposed).await;
    assert_eq!(ready(&proposed), ("False", "NothingToStop"));
    stage
        .change("pin", json!({ "stop": false, "approve": true }))
        .await;
    let begun = stage
        .status("pin", "a shard has moved", |it| {
            it.progress.is_some_and(|it| it.done >= 2)
        })
        .await;
    assert!(begun.eta.is_some(), "{begun:?}");
    stage.change("pin", json!({ "stop": true })).await;
    let stopped = stage.phase("pin", RebalancePhase::Stopped).await;
    assert_eq!(ready(&stopped), ("False", "RebalanceStopped"));
    let progress = stopped.progress.unwrap();
    assert!(
        progress.done < progress.total,
        "it was over before it could be stopped"
    );
    assert!(stopped.moves.iter().all(|it| it.state != MoveState::Moving));
    stage.assert_clean().await;
    // Nothing goes on by itself.
    let before = stage.placements().await.shards;
    stage.change("pin", json!({ "timeout": "4m" })).await;
    stage.phase("pin", RebalancePhase::Stopped).await;
    assert_eq!(stage.placements().await.shards, before);

    stage.change("pin", json!({ "stop": false })).await;
    let done = stage.phase("pin", RebalancePhase::Completed).await;
    let first = usize::try_from(progress.done).unwrap();
    // What was done stays as it was.
    assert_eq!(done.moves[..first], stopped.moves[..first]);
    assert!(
        stage
            .placements()
            .await
            .shards
            .iter()
            .all(|it| it.node == workers[1])
    );
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn one_goes_on_at_a_time_and_the_other_says_what_it_waits_for() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    stage.event("one", 12, false).await;
    let workers = stage.workers().await;
    let operator = stage.start();
    approve(
        &stage,
        "first",
        json!({ "mode": "DrainNode", "node": workers[0], "transferMode": "BlockWrites" }),
    )
    .await;
    stage.phase("first", RebalancePhase::Rebalancing).await;
    let events = vec![format!("{}/one", stage.world.namespace)];
    let spec = json!({ "mode": "PinEvents", "node": workers[1], "events": events });
    stage.create("second", spec).await;
    let planned = stage
        .status("second", "it is planned", |it| it.phase.is_some())
        .await;
    if planned.phase == Some(RebalancePhase::Proposed) {
        stage.change("second", json!({ "approve": true })).await;
        let name = stage.name("first");
        let waits = stage
            .status("second", "it waits", |it| ready(it).1 == "AwaitingTurn")
            .await;
        let ready = waits.conditions.iter().find(|it| it.type_ == "Ready");
        assert!(ready.unwrap().message.contains(&name), "{waits:?}");
    }
    stage.phase("first", RebalancePhase::Completed).await;
    // What the first has brought is done; what it has not is moved, or planned again.
    stage
        .status("second", "it has its turn", |it| {
            matches!(
                it.phase,
                Some(RebalancePhase::Completed | RebalancePhase::Proposed)
            )
        })
        .await;
    operator.stop().await;
    stage.clear().await;
}
