//! Servers that are away, and objects that cannot be: each is said where it belongs, and nobody else is stopped by it.

use serde_json::json;
use ticket_bus::BusConfig;
use ticket_crds::{ConditionType, Phase};
use ticket_ledger::LedgerConfig;
use ticket_operator::Config;
use ticket_stock::StockConfig;

use crate::relay::Relay;
use crate::world::{World, is, reason, until};

/// The port and what stands around it in `scheme://user@host:port/rest`.
fn split_port(url: &str) -> (String, u16, String) {
    let host = url.find("://").unwrap() + 3;
    let colon = host + url[host..].rfind(':').unwrap();
    let digits: String = url[colon + 1..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let rest = &url[colon + 1 + digits.len()..];
    (
        url[..colon].to_owned(),
        digits.parse().unwrap(),
        rest.to_owned(),
    )
}

async fn through_relay(url: &str) -> (Relay, String) {
    let (before, port, rest) = split_port(url);
    let relay = Relay::to(port).await;
    let url = format!("{before}:{}{rest}", relay.port);
    (relay, url)
}

/// Cut off for a while: the Event says so, and says so no more when it is back. The operator is the same all the time.
async fn away_for_a_while(config: Config, world: &World, relay: Relay, what: &str) {
    let operator = World::run(config);
    let name = format!("away-{}", what.to_lowercase());
    world.create(world.event(&name)).await;
    world.ready(&name, Phase::OnSale).await;
    relay.cut();
    let status = world
        .status(&name, "it is degraded", |status| {
            reason(status, ConditionType::Degraded) == Some(what)
                && is(status, ConditionType::Degraded) == Some("True")
        })
        .await;
    assert_eq!(status.phase, Some(Phase::OnSale));
    assert_eq!(is(&status, ConditionType::Ready), Some("False"));
    relay.mend();
    let status = world.ready(&name, Phase::OnSale).await;
    assert_eq!(status.last_error, None);
    operator.stop().await;
}

#[tokio::test]
async fn a_ledger_that_is_away_for_a_while_is_named_and_all_goes_on_by_itself() {
    let world = World::new().await;
    let (relay, url) = through_relay(&world.database_url).await;
    let mut config = world.config();
    config.ledger = LedgerConfig::new(&url.as_str().into());
    away_for_a_while(config, &world, relay, "LedgerUnreachable").await;
}

#[tokio::test]
async fn a_store_that_is_away_for_a_while_is_named_and_all_goes_on_by_itself() {
    let world = World::new().await;
    let (relay, url) = through_relay(&world.redis_url).await;
    let mut config = world.config();
    config.stock = StockConfig::new(&url);
    away_for_a_while(config, &world, relay, "StoreUnreachable").await;
}

#[tokio::test]
async fn a_deletion_waits_for_a_broker_that_is_down_and_only_if_it_needs_one() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("delete");
    event["spec"]["deletionPolicy"] = json!("Delete");
    world.create(event).await;
    world.create(world.event("retain")).await;
    let status = world.ready("delete", Phase::OnSale).await;
    world.ready("retain", Phase::OnSale).await;
    operator.stop().await;

    let mut config = world.config();
    // A port of a server that does not run.
    config.kafka = BusConfig::new("127.0.0.1:1", "ticket-operator");
    let operator = World::run(config);
    let params = kube::api::DeleteParams::default();
    world.events().delete("delete", &params).await.unwrap();
    world.delete("retain").await;
    let waiting = until("the deletion waits", async || {
        let status = world.get("delete").await?.status?;
        (status.phase == Some(Phase::Deleting)).then_some(status)
    })
    .await;
    assert_eq!(
        reason(&waiting, ConditionType::Degraded),
        Some("LogUnreachable")
    );
    operator.stop().await;
    let operator = world.start();
    world.gone("delete").await;
    let topic = world.topic("delete", &status);
    assert_eq!(world.bus.topic(&topic).await.unwrap(), None);
    operator.stop().await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_why_and_the_others_go_on() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("unreadable");
    // A time for the API server, and later than the last one that there is here.
    event["spec"]["sales"]["closesAt"] = json!("9999-12-31T23:59:59Z");
    let resource = kube::core::ApiResource::erase::<ticket_crds::TicketEvent>(&());
    let api: kube::Api<kube::core::DynamicObject> =
        kube::Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let object = serde_json::from_value(event).unwrap();
    api.create(&kube::api::PostParams::default(), &object)
        .await
        .unwrap();
    world.create(world.event("fine")).await;
    world.ready("fine", Phase::OnSale).await;
    let ready = until("it is told why", async || {
        let object = api.get("unreadable").await.unwrap();
        let conditions = object.data["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|it| it["type"] == "Ready")
    })
    .await;
    assert_eq!(
        (ready["status"].as_str(), ready["reason"].as_str()),
        (Some("False"), Some("InvalidSpec"))
    );
    // It can be mended, and it can go.
    world
        .change(
            "unreadable",
            json!({ "spec": { "sales": { "closesAt": "2099-01-01T00:00:00Z" } } }),
        )
        .await;
    world.ready("unreadable", Phase::OnSale).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_namespace_that_is_deleted_gets_rid_of_its_events() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("delete");
    event["spec"]["deletionPolicy"] = json!("Delete");
    world.create(event).await;
    world.create(world.event("retain")).await;
    let status = world.ready("delete", Phase::OnSale).await;
    world.ready("retain", Phase::OnSale).await;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(world.client.clone());
    let params = kube::api::DeleteParams::default();
    namespaces.delete(&world.namespace, &params).await.unwrap();
    until("the namespace lets nothing new in", async || {
        let namespace = namespaces.get(&world.namespace).await.unwrap();
        let phase = namespace.status.and_then(|status| status.phase);
        (phase.as_deref() == Some("Terminating")).then_some(())
    })
    .await;
    // What the namespace controller does, which does not run here.
    let all = kube::api::ListParams::default();
    world
        .events()
        .delete_collection(&params, &all)
        .await
        .unwrap();
    world.gone("delete").await;
    world.gone("retain").await;
    let topic = world.topic("delete", &status);
    assert_eq!(world.bus.topic(&topic).await.unwrap(), None);
    operator.stop().await;
}
