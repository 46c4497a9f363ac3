//! More and fewer tickets while people buy: the operator asks, whoever decides about orders carries it out, and ledger and store
//! agree to the unit.

use serde_json::json;
use ticket_crds::{ConditionType, Phase};
use ticket_testkit::Product;

use crate::sale::Sale;
use crate::world::{World, is, reason};

/// Effects of an operator that changes a quantity: more than there are, the loop ends before.
const EFFECTS_MAX: usize = 20;

#[tokio::test]
async fn tickets_come_and_go_while_people_buy_and_whatever_dies_the_last_word_counts() {
    let world = World::alone().await;
    let sale = Sale::of(&world, "adjust");
    let mut processor = world.role("processor").await;
    let operator = world.start();
    let mut event = world.event("adjust");
    event["spec"]["sales"]["maxPerBuyer"] = json!(1_000);
    world.create(event).await;
    world.ready("adjust", Phase::OnSale).await;

    sale.ask(500).await;
    let status = sale.settled(500).await;
    assert_eq!(sale.counts(&status).await.available, 500);
    sale.assert_store_agrees(&status).await;

    let place = sale.buy(&status, "first", 60).await;
    sale.ask(100).await;
    let status = sale.settled(100).await;
    assert_eq!(sale.counts(&status).await.available, 40);
    sale.assert_store_agrees(&status).await;

    // Fewer than are sold: the rest goes, the sold ones stay, and it is said.
    sale.ask(30).await;
    let status = world
        .status("adjust", "it is said", |status| {
            reason(status, ConditionType::Ready) == Some("QuantityBelowSold")
        })
        .await;
    let counts = sale.counts(&status).await;
    assert_eq!((counts.capacity, counts.available), (60, 0));
    sale.assert_store_agrees(&status).await;
    assert_eq!(is(&status, ConditionType::Degraded), Some("True"));
    assert_eq!(
        status.last_error.as_ref().unwrap().code,
        "quantity-below-sold"
    );
    assert_eq!(status.phase, Some(Phase::OnSale));

    // They come back, and are taken back.
    sale.cancel(&status, &place).await;
    let status = sale.settled(30).await;
    assert_eq!(sale.counts(&status).await.available, 30);
    sale.assert_store_agrees(&status).await;

    second_change(&sale, &mut processor).await;
    operator.stop().await;
    killed_anywhere(&sale).await;
    let told = world.told("adjust").await;
    assert!(
        told.iter().any(|reason| reason == "StockAdjusted"),
        "{told:?}"
    );
    processor.stop().await.unwrap();
}

/// Nobody decides while two changes are asked for: the second one counts.
async fn second_change(sale: &Sale<'_>, processor: &mut Product) {
    processor.stop().await.unwrap();
    sale.ask(300).await;
    sale.world
        .status(sale.name, "it waits", |status| {
            status.plan == ["AdjustStock"]
                && is(status, ConditionType::Reconciling) == Some("True")
                && reason(status, ConditionType::Ready) == Some("Progressing")
        })
        .await;
    sale.ask(50).await;
    sale.world
        .status(sale.name, "it waits for the second one", |status| {
            status.plan == ["AdjustStock"]
        })
        .await;
    processor.restart().await.unwrap();
    let status = sale.settled(50).await;
    sale.assert_store_agrees(&status).await;
}

async fn killed_anywhere(sale: &Sale<'_>) {
    let world = sale.world;
    let mut kills = 0;
    for (effects, quantity) in (0..EFFECTS_MAX).zip(100_u32..) {
        sale.ask(quantity).await;
        let is_done = async || {
            let event = world.get(sale.name).await.unwrap();
            let generation = event.metadata.generation;
            let status = event.status.unwrap();
            status.observed_generation == generation
                && is(&status, ConditionType::Ready) == Some("True")
        };
        let was_killed = world.run_and_kill(effects, is_done).await;
        let operator = world.start();
        let status = sale.settled(quantity.into()).await;
        operator.stop().await;
        sale.assert_store_agrees(&status).await;
        if !was_killed {
            break;
        }
        kills += 1;
    }
    // Status, settings, written down, sent, status.
    assert!((5..EFFECTS_MAX).contains(&kills), "{kills}");
}
