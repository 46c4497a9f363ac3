//! Payments of which nothing is heard: lost webhooks, lost answers, a provider that hangs, a process that dies.

use std::time::Duration;

use serde_json::json as value;

use crate::between::Between;
use crate::sale::{Sale, Terms, json};

/// An order that waits for the provider longer than facts take is found by then.
const FOUND_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn when_every_webhook_is_lost_the_provider_is_asked_before_the_hold_is_over() {
    let sale = Sale::open(Terms {
        hold_for_s: 8,
        ..Terms::default()
    })
    .await;
    sale.faults(value!({ "drop": 1.0 })).await;
    let good = sale.awaiting("ann", "good", 1).await;
    let fraud = sale.awaiting("ann", "fraud", 1).await;
    let nobody = sale.awaiting("ann", "nobody", 1).await;
    sale.pay(&good, "pm_card_visa").await;
    sale.pay(&fraud, "pm_card_radarBlock").await;
    let id = |order: &serde_json::Value| order["id"].as_str().unwrap().to_owned();
    sale.order_until("ann", &id(&good), "paid").await;
    let ended = sale.order_until("ann", &id(&fraud), "payment_failed").await;
    assert_eq!(ended["reason"], "fraud");
    sale.order_until("ann", &id(&nobody), "expired").await;
    sale.counts_until(99, 0, 1).await;
    // What nobody paid cannot be paid any more.
    sale.until("the payment is closed", async || {
        sale.pay(&nobody, "pm_card_visa").await.status() == 400
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_nobody_tells_us_of_is_found_when_the_order_ends() {
    let sale = Sale::open(Terms {
        hold_for_s: 2,
        ..Terms::default()
    })
    .await;
    sale.faults(value!({ "drop": 1.0 })).await;
    let order = sale.awaiting("ann", "late", 2).await;
    let id = order["id"].as_str().unwrap();
    // After the last question before the end, and before the end.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(sale.pay(&order, "pm_card_visa").await.status(), 200);
    sale.order_until("ann", id, "paid").await;
    sale.counts_until(98, 0, 2).await;
    assert!(sale.at_provider("/v1/refunds").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn money_on_its_way_to_an_order_that_has_ended_goes_back_however_late_and_whoever_died() {
    let mut sale = Sale::open(Terms::default()).await;
    sale.faults(value!({ "drop": 1.0 })).await;
    let order = sale.awaiting("ann", "slow", 2).await;
    let id = order["id"].as_str().unwrap();
    assert_eq!(sale.pay(&order, "pm_bank_transfer").await.status(), 200);
    let cancel = format!("/v1/orders/{id}/cancel");
    let cancel = sale.request(reqwest::Method::POST, &cancel);
    let cancel = cancel.bearer_auth(crate::sale::token("ann")).send().await;
    assert_eq!(cancel.unwrap().status(), 202);
    sale.order_until("ann", id, "cancelled").await;
    sale.runtime.kill().await.unwrap();
    // The money arrives while nobody is there, and nobody is there for days.
    sale.until("the money is there", async || {
        let payments = sale.at_provider("/v1/payment_intents").await;
        payments[0]["status"] == "succeeded"
    })
    .await;
    sale.age(3 * 24).await;
    sale.runtime.restart().await.unwrap();
    sale.within(FOUND_WITHIN, "the money goes back", async || {
        sale.order("ann", id).await["state"] == "refunded"
    })
    .await;
    assert_eq!(sale.order("ann", id).await["reason"], "late-money");
    let refunds = sale.at_provider("/v1/refunds").await;
    assert_eq!((refunds.len(), &refunds[0]["amount"]), (1, &value!(3_000)));
    sale.counts_until(100, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_asked_for_again_and_nobody_pays_twice() {
    let between = Between::swallowing(3);
    let sale = Sale::open(Terms {
        between: Some(between.clone()),
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "k", 2).await;
    assert_eq!(between.swallowed(), 3);
    assert_eq!(sale.at_provider("/v1/payment_intents").await.len(), 1);
    let id = order["id"].as_str().unwrap();
    sale.pay(&order, "pm_card_visa").await;
    sale.order_until("ann", id, "paid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_that_hangs_holds_nobody_up_and_is_made_after_a_crash() {
    // Four tickets of 15.00.
    let between = Between::hanging(6_000);
    let mut sale = Sale::open(Terms {
        shards: 1,
        between: Some(between.clone()),
        ..Terms::default()
    })
    .await;
    let hung = json(sale.place("eve", "hung", 4).send().await.unwrap(), 202).await;
    let hung = hung["id"].as_str().unwrap();
    sale.order_until("eve", hung, "reserved").await;
    for number in 0..3 {
        let buyer = format!("ann-{number}");
        sale.awaiting(&buyer, "k", 1).await;
    }
    assert_eq!(sale.order("eve", hung).await["state"], "reserved");
    // Its fact counts as read by now. Whoever had the errand dies with it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    between.release();
    sale.runtime.kill().await.unwrap();
    sale.runtime.restart().await.unwrap();
    sale.within(FOUND_WITHIN, "the payment is made after all", async || {
        sale.order("eve", hung).await["state"] == "awaiting_payment"
    })
    .await;
    let of_eve = sale.at_provider("/v1/payment_intents").await;
    let of_eve = of_eve.iter().filter(|payment| payment["amount"] == 6_000);
    assert_eq!(of_eve.count(), 1);
}
