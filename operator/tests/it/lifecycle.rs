//! A sale from its Event to its end.

use jiff::ToSpan;
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use ticket_core::clock;
use ticket_crds::{ConditionType, FINALIZER, Phase};

use crate::world::{World, id, is, reason, version};

#[tokio::test]
async fn an_event_becomes_ready_with_all_that_it_needs_and_then_nothing_is_written() {
    let world = World::new().await;
    let operator = world.start();
    world.create(world.event("coldplay")).await;
    let status = world.ready("coldplay", Phase::OnSale).await;
    world.assert_complete("coldplay", &status).await;
    for which in [
        ConditionType::TopicReady,
        ConditionType::ShardsReady,
        ConditionType::StockSeeded,
    ] {
        assert_eq!(is(&status, which), Some("True"), "{which}");
    }
    for which in [
        ConditionType::Reconciling,
        ConditionType::Degraded,
        ConditionType::Paused,
    ] {
        assert_eq!(is(&status, which), Some("False"), "{which}");
    }
    assert_eq!(status.epoch, Some(1));
    assert_eq!(status.stock_shards.len(), 3);
    assert_eq!(status.stock[0].category, "vip");
    assert_eq!(
        (status.stock[0].capacity, status.stock[0].available),
        (200, 200)
    );
    assert!(status.plan.is_empty() && status.last_error.is_none());
    assert_eq!(
        status.topic.as_ref().unwrap().name,
        world.topic("coldplay", &status)
    );
    operator.stop().await;

    // A second operator that looks at it finds nothing to do and nothing to say.
    let before = world.get("coldplay").await.unwrap();
    assert!(
        before
            .metadata
            .finalizers
            .as_ref()
            .unwrap()
            .iter()
            .any(|f| f == FINALIZER)
    );
    let change = world
        .ledger
        .event(id(&status))
        .await
        .unwrap()
        .unwrap()
        .change;
    let operator = world.start();
    // It looked at an event that was made later, so it has looked at the first one too.
    world.create(world.event("later")).await;
    world.ready("later", Phase::OnSale).await;
    operator.stop().await;
    assert_eq!(
        version(&world.get("coldplay").await.unwrap()),
        version(&before)
    );
    assert_eq!(
        world
            .ledger
            .event(id(&status))
            .await
            .unwrap()
            .unwrap()
            .change,
        change
    );

    // What the audit found is shown by whoever looks next.
    let failed = ["conservation", "store"].map(str::to_owned);
    let event = id(&status);
    world
        .ledger
        .note_audit(event, "a test", &failed)
        .await
        .unwrap();
    let operator = world.start();
    let status = crate::world::until("the audit is shown", async || {
        let status = world.get("coldplay").await?.status?;
        is(&status, ConditionType::Audited)
            .is_some()
            .then_some(status)
    })
    .await;
    operator.stop().await;
    assert_eq!(is(&status, ConditionType::Audited), Some("False"));
    assert_eq!(reason(&status, ConditionType::Audited), Some("AuditFailed"));
    let mut conditions = status.conditions.iter();
    let audited = conditions.find(|it| it.type_ == ConditionType::Audited.as_str());
    let audited = audited.unwrap();
    assert_eq!(audited.message, "conservation, store");
    assert_eq!(
        is(&status, ConditionType::Ready),
        Some("True"),
        "the sale goes on"
    );
}

#[tokio::test]
async fn every_step_is_told_as_a_kubernetes_event() {
    let world = World::new().await;
    let operator = world.start();
    world.create(world.event("told")).await;
    world.ready("told", Phase::OnSale).await;
    operator.stop().await;
    let api: Api<KubernetesEvent> = Api::namespaced(world.client.clone(), &world.namespace);
    let said = api.list(&ListParams::default()).await.unwrap();
    let mut reasons: Vec<String> = said.items.into_iter().filter_map(|e| e.reason).collect();
    reasons.sort();
    let wanted = [
        "SalesOpened",
        "SettingsWritten",
        "StockSeeded",
        "StockShardsCreated",
        "TopicCreated",
    ];
    for reason in wanted {
        assert!(
            reasons.iter().any(|found| found == reason),
            "{reason} in {reasons:?}"
        );
    }
}

#[tokio::test]
async fn the_sale_opens_and_closes_by_the_clock() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("clock");
    let now = clock::now();
    event["spec"]["sales"]["opensAt"] = json!((now + 4.seconds()).to_string());
    event["spec"]["sales"]["closesAt"] = json!((now + 8.seconds()).to_string());
    world.create(event).await;
    let early = world.ready("clock", Phase::Scheduled).await;
    world.assert_complete("clock", &early).await;
    world.ready("clock", Phase::OnSale).await;
    let late = world.ready("clock", Phase::Closed).await;
    assert!(
        world
            .ledger
            .event(id(&late))
            .await
            .unwrap()
            .unwrap()
            .is_closed
    );
    operator.stop().await;
}

#[tokio::test]
async fn a_pause_and_a_price_reach_the_services() {
    let world = World::new().await;
    let operator = world.start();
    let event = world.event("changes");
    let mut categories = event["spec"]["categories"].clone();
    world.create(event).await;
    world.ready("changes", Phase::OnSale).await;

    world
        .change(
            "changes",
            json!({ "spec": { "sales": { "paused": true } } }),
        )
        .await;
    let status = world.ready("changes", Phase::Paused).await;
    categories[0]["price"]["amountMinor"] = json!(300);
    world
        .change(
            "changes",
            json!({ "spec": { "sales": { "paused": false }, "categories": categories } }),
        )
        .await;
    world.ready("changes", Phase::OnSale).await;
    let row = world.ledger.event(id(&status)).await.unwrap().unwrap();
    assert_eq!(
        (row.paused, row.categories[0].price.amount_minor),
        (false, 300)
    );
    operator.stop().await;
}

#[tokio::test]
async fn annotations_keep_the_operator_out() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("hands-off");
    event["metadata"]["annotations"] = json!({ "ticketctl.io/managed": "false" });
    world.create(event).await;
    let reasons = |wanted: &'static str| {
        move |event: Option<ticket_crds::TicketEvent>| {
            let status = event?.status?;
            (reason(&status, ConditionType::Paused) == Some(wanted)).then_some(status)
        }
    };
    let unmanaged = reasons("Unmanaged");
    let status = crate::world::until("it is unmanaged", async || {
        unmanaged(world.get("hands-off").await)
    })
    .await;
    assert_eq!(reason(&status, ConditionType::Ready), Some("Unmanaged"));
    assert_eq!(status.event_id, None);
    assert_eq!(
        world
            .ledger
            .event_by_name(&world.name("hands-off"))
            .await
            .unwrap(),
        None
    );
    assert!(
        world
            .get("hands-off")
            .await
            .unwrap()
            .metadata
            .finalizers
            .is_none()
    );

    world
        .change(
            "hands-off",
            json!({ "metadata": { "annotations": { "ticketctl.io/managed": null } } }),
        )
        .await;
    let status = world.ready("hands-off", Phase::OnSale).await;
    world
        .change(
            "hands-off",
            json!({
                "metadata": { "annotations": { "ticketctl.io/pause-reconciliation": "true" } },
                "spec": { "title": "Changed while paused" },
            }),
        )
        .await;
    let paused = reasons("Paused");
    crate::world::until("it is paused", async || {
        paused(world.get("hands-off").await)
    })
    .await;
    let row = world.ledger.event(id(&status)).await.unwrap().unwrap();
    assert_eq!(row.title, "Coldplay, Jakarta");
    // Deletion still works.
    world.delete("hands-off").await;
    operator.stop().await;
}

#[tokio::test]
async fn the_older_resource_keeps_the_event() {
    let world = World::new().await;
    // Another cluster's resource of this name was there first.
    let claim = ticket_ledger::EventClaim {
        name: world.name("twice"),
        owner_uid: "another-cluster/1".to_owned(),
        owner_created_at: "2020-01-01T00:00:00Z".parse().unwrap(),
    };
    world.ledger.adopt_event(&claim).await.unwrap();
    let operator = world.start();
    world.create(world.event("twice")).await;
    let status = world
        .status("twice", "it is a conflict", |status| {
            reason(status, ConditionType::Ready) == Some("ResourceConflict")
        })
        .await;
    assert_eq!(
        status.last_error.as_ref().unwrap().code,
        "resource-conflict"
    );
    assert!(status.stock_shards.is_empty());
    // The one that never had it goes without a trace.
    world.delete("twice").await;
    let again = world.ledger.adopt_event(&claim).await.unwrap();
    assert!(matches!(
        again,
        ticket_ledger::Adopted::Owned { fresh: false, .. }
    ));
    operator.stop().await;
}
