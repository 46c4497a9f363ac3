//! What others do behind the operator's back.

use serde_json::json;
use ticket_crds::{ConditionType, Phase};

use crate::world::{World, id, is, reason, until};

#[tokio::test]
async fn a_topic_that_vanished_comes_back_and_settings_are_set_back() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("drift");
    event["spec"]["sales"]["opensAt"] = json!("2098-01-01T00:00:00Z");
    world.create(event).await;
    let status = world.ready("drift", Phase::Scheduled).await;
    let topic = world.topic("drift", &status);
    world.bus.delete_topic(&topic).await.unwrap();
    until("the topic is back", async || {
        world
            .bus
            .topic(&topic)
            .await
            .ok()
            .flatten()
            .filter(|found| found.partitions == 3)
    })
    .await;
    let drifted = [("retention.ms".to_owned(), "3600000".to_owned())].into();
    world.bus.set_config(&topic, &drifted).await.unwrap();
    until("the retention is back", async || {
        let found = world.bus.topic(&topic).await.ok().flatten()?;
        (found.config["retention.ms"] == "86400000").then_some(())
    })
    .await;
    let status = world.ready("drift", Phase::Scheduled).await;
    // Nobody could have ordered: nothing but the topic was made again.
    assert_eq!(status.epoch, Some(1));
    operator.stop().await;
}

#[tokio::test]
async fn a_store_that_lost_its_stock_during_a_sale_is_not_filled_at_its_old_epoch() {
    let world = World::new().await;
    let operator = world.start();
    world.create(world.event("lost")).await;
    let status = world.ready("lost", Phase::OnSale).await;
    operator.stop().await;
    let row = world.ledger.event(id(&status)).await.unwrap().unwrap();
    let categories: Vec<_> = row
        .categories
        .iter()
        .map(|category| category.name.clone())
        .collect();
    world.stock.close(id(&status), &categories).await.unwrap();
    let operator = world.start();
    let status = world
        .status("lost", "the loss is seen", |status| {
            reason(status, ConditionType::StockSeeded) == Some("WarmingUp")
        })
        .await;
    assert_eq!(is(&status, ConditionType::Ready), Some("False"));
    assert_eq!(status.last_error.as_ref().unwrap().code, "warming-up");
    assert_eq!(world.stock.state(id(&status)).await.unwrap(), None);
    operator.stop().await;
}

#[tokio::test]
async fn partitions_grow_before_the_sale_opens() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("grow");
    event["spec"]["sales"]["opensAt"] = json!("2098-01-01T00:00:00Z");
    world.create(event).await;
    world.ready("grow", Phase::Scheduled).await;
    world
        .change("grow", json!({ "spec": { "queue": { "partitions": 5 } } }))
        .await;
    let status = world.ready("grow", Phase::Scheduled).await;
    assert_eq!(status.topic.as_ref().unwrap().partitions, 5);
    let topic = world
        .bus
        .topic(&world.topic("grow", &status))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(topic.partitions, 5);
    operator.stop().await;
}

#[tokio::test]
async fn a_topic_with_too_many_copies_is_said_and_the_others_go_on() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("copies");
    event["spec"]["queue"] = json!({ "replicationFactor": 15 });
    world.create(event).await;
    world.create(world.event("fine")).await;
    let status = world
        .status("copies", "the error is reported", |status| {
            status.last_error.is_some()
        })
        .await;
    let error = status.last_error.as_ref().unwrap();
    assert_eq!(error.step.as_deref(), Some("CreateTopic"), "{error:?}");
    assert_eq!(is(&status, ConditionType::Degraded), Some("True"));
    assert_eq!(status.phase, Some(Phase::Pending));
    world.ready("fine", Phase::OnSale).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_server_that_is_down_is_named_and_when_it_is_back_all_goes_on() {
    let world = World::new().await;
    let mut config = world.config();
    // A port of a server that does not run.
    config.stock = ticket_stock::StockConfig::new("redis://127.0.0.1:1");
    let operator = World::run(config);
    world.create(world.event("down")).await;
    let status = world
        .status("down", "the error is reported", |status| {
            status.last_error.is_some()
        })
        .await;
    assert_eq!(
        status.last_error.as_ref().unwrap().code,
        "store-unreachable"
    );
    assert_eq!(
        reason(&status, ConditionType::Degraded),
        Some("StoreUnreachable")
    );
    operator.stop().await;
    let operator = world.start();
    let status = world.ready("down", Phase::OnSale).await;
    world.assert_complete("down", &status).await;
    operator.stop().await;
}
