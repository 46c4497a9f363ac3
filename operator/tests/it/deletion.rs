//! What becomes of everything outside when the resource goes.

use serde_json::json;
use ticket_core::{BuyerId, CategoryName, Epoch, OrderId, clock};
use ticket_crds::{EventStatus, Phase};
use ticket_stock::{Reserve, Reserved};

use crate::world::{World, id};

/// Takes two tickets in the store, as the API would.
async fn reserve(world: &World, status: &EventStatus) -> Reserved {
    let event = id(status);
    let category = CategoryName::new("vip").unwrap();
    let shards: Vec<_> = world
        .ledger
        .stock(event)
        .await
        .unwrap()
        .into_iter()
        .filter(|shard| shard.category == category)
        .map(|shard| shard.id)
        .collect();
    let buyer = BuyerId::new("buyer").unwrap();
    let request = Reserve {
        event,
        category: &category,
        epoch: Epoch(status.epoch.unwrap()),
        order: OrderId::derive(event, &buyer, "key"),
        buyer: &buyer,
        quantity: 2,
        shards: [shards[0], shards[1]],
        now: clock::now(),
        admission_per_second: 0,
    };
    world.stock.reserve(&request).await.unwrap()
}

async fn left(world: &World, status: &EventStatus) -> i64 {
    let category = CategoryName::new("vip").unwrap();
    let counts = world.stock.counts(id(status), &category).await.unwrap();
    counts.iter().map(|(_, units)| units).sum()
}

#[tokio::test]
async fn retain_keeps_everything_and_the_same_name_adopts_it() {
    let world = World::new().await;
    let operator = world.start();
    world.create(world.event("kept")).await;
    let first = world.ready("kept", Phase::OnSale).await;
    assert!(matches!(
        reserve(&world, &first).await,
        Reserved::Fresh { .. }
    ));
    world.delete("kept").await;

    let row = world.ledger.event(id(&first)).await.unwrap().unwrap();
    assert!(row.is_closed && row.owner_uid.is_none());
    assert!(
        world
            .bus
            .topic(&world.topic("kept", &first))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(left(&world, &first).await, 198);

    world.create(world.event("kept")).await;
    let second = world.ready("kept", Phase::OnSale).await;
    assert_eq!(second.event_id, first.event_id);
    assert_eq!(second.stock_shards, first.stock_shards);
    // What was taken before is still taken: nothing is sold twice.
    assert_eq!(left(&world, &second).await, 198);
    assert!(
        !world
            .ledger
            .event(id(&second))
            .await
            .unwrap()
            .unwrap()
            .is_closed
    );
    operator.stop().await;
}

#[tokio::test]
async fn delete_removes_everything_and_the_same_name_starts_anew() {
    let world = World::new().await;
    let operator = world.start();
    let mut event = world.event("gone");
    event["spec"]["deletionPolicy"] = json!("Delete");
    world.create(event.clone()).await;
    let first = world.ready("gone", Phase::OnSale).await;
    reserve(&world, &first).await;
    world.delete("gone").await;

    assert_eq!(world.ledger.event(id(&first)).await.unwrap(), None);
    assert!(world.ledger.stock(id(&first)).await.unwrap().is_empty());
    assert_eq!(
        world.bus.topic(&world.topic("gone", &first)).await.unwrap(),
        None
    );
    assert_eq!(world.stock.state(id(&first)).await.unwrap(), None);

    world.create(event).await;
    let second = world.ready("gone", Phase::OnSale).await;
    assert_ne!(second.event_id, first.event_id);
    world.assert_complete("gone", &second).await;
    operator.stop().await;
}

#[tokio::test]
async fn an_event_that_never_was_made_goes_without_a_trace() {
    let world = World::new().await;
    let mut event = world.event("never");
    // As if it had been killed right after it put the finalizer on.
    event["metadata"]["finalizers"] = json!([ticket_crds::FINALIZER]);
    world.create(event).await;
    world
        .events()
        .delete("never", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let operator = world.start();
    world.gone("never").await;
    assert_eq!(
        world
            .ledger
            .event_by_name(&world.name("never"))
            .await
            .unwrap(),
        None
    );
    operator.stop().await;
}

#[tokio::test]
async fn an_owner_that_died_without_a_word_does_not_block_its_name() {
    let world = World::new().await;
    let operator = world.start();
    world.create(world.event("orphan")).await;
    let first = world.ready("orphan", Phase::OnSale).await;
    operator.stop().await;
    // Somebody takes the finalizer off by hand.
    world
        .change("orphan", json!({ "metadata": { "finalizers": null } }))
        .await;
    world.delete("orphan").await;
    let operator = world.start();
    world.create(world.event("orphan")).await;
    let second = world.ready("orphan", Phase::OnSale).await;
    assert_eq!(second.event_id, first.event_id);
    operator.stop().await;
}
