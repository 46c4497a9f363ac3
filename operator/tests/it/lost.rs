//! What somebody else took away: the order log with orders in it, and rows of the ledger.

use ticket_core::Epoch;
use ticket_crds::{ConditionType, Phase};

use crate::sale::Sale;
use crate::world::{World, id, is, reason};

#[tokio::test]
async fn a_sale_whose_order_log_was_deleted_goes_on_from_the_ledger() {
    let world = World::alone().await;
    let sale = Sale::of(&world, "log");
    let mut processor = world.role("processor").await;
    let mut keeper = world.role("keeper").await;
    let operator = world.start();
    world.create(world.event("log")).await;
    let first = world.ready("log", Phase::OnSale).await;
    sale.buy(&first, "decided", 2).await;
    // Accepted, and the log is all that knows of it.
    sale.reserve(&first, "lost", 2).await;

    let topic = world.topic("log", &first);
    world.bus.delete_topic(&topic).await.unwrap();
    let second = world
        .status("log", "it sells again, at another epoch", |status| {
            is(status, ConditionType::Ready) == Some("True") && status.epoch > Some(Epoch::FIRST.0)
        })
        .await;
    assert_eq!(second.event_id, first.event_id);
    // What was decided still counts, and what was lost is for sale again.
    let counts = sale.counts(&second).await;
    assert_eq!((counts.available, counts.held), (198, 2));
    sale.assert_store_agrees(&second).await;
    // The new log is read from its beginning.
    sale.buy(&second, "new", 1).await;
    sale.assert_store_agrees(&second).await;
    let told = world.told("log").await;
    assert!(
        told.iter().any(|reason| reason == "OrderLogLost"),
        "{told:?}"
    );
    operator.stop().await;
    processor.stop().await.unwrap();
    keeper.stop().await.unwrap();
}

#[tokio::test]
async fn stock_that_the_ledger_lost_is_said_and_not_made_up_for() {
    let world = World::new().await;
    let operator = world.start();
    world.create(world.event("rows")).await;
    let status = world.ready("rows", Phase::OnSale).await;
    let stock = world.ledger.stock(id(&status)).await.unwrap();
    world.lose_stock(stock[0].id).await;
    let now = world
        .status("rows", "the loss is said", |status| {
            reason(status, ConditionType::Ready) == Some("StockLost")
        })
        .await;
    assert_eq!(reason(&now, ConditionType::ShardsReady), Some("StockLost"));
    assert_eq!(now.last_error.unwrap().code, "stock-lost");
    assert_eq!(now.stock[0].capacity, 100, "as it is");
    assert_eq!(now.phase, Some(Phase::OnSale));
    operator.stop().await;
}
