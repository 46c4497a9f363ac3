//! What becomes of money and units when a payment does not simply succeed.

use reqwest::Method;
use serde_json::Value;

use crate::sale::{Sale, Terms, json, token};

async fn wish(sale: &Sale, order: &Value, wish: &str, status: u16) -> Value {
    let path = format!("/v1/orders/{}/{wish}", order["id"].as_str().unwrap());
    let request = sale.request(Method::POST, &path).bearer_auth(token("ann"));
    json(request.send().await.unwrap(), status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_payment_ends_the_order_and_a_declined_one_may_be_tried_again() {
    let sale = Sale::open(Terms::default()).await;
    let blocked = sale.awaiting("ann", "blocked", 2).await;
    sale.pay(&blocked, "pm_card_radarBlock").await;
    let ended = sale
        .order_until("ann", blocked["id"].as_str().unwrap(), "payment_failed")
        .await;
    assert_eq!(ended["reason"], "fraud");
    sale.counts_until(100, 0, 0).await;

    let declined = sale.awaiting("ann", "declined", 2).await;
    sale.pay(&declined, "pm_card_chargeDeclined").await;
    assert_eq!(sale.pay(&declined, "pm_card_visa").await.status(), 200);
    sale.order_until("ann", declined["id"].as_str().unwrap(), "paid")
        .await;
    sale.counts_until(98, 0, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_pays_expires_and_can_be_bought_again() {
    let sale = Sale::open(Terms {
        hold_for_s: 1,
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "never-paid", 4).await;
    let expired = sale
        .order_until("ann", order["id"].as_str().unwrap(), "expired")
        .await;
    assert_eq!(expired["reason"], "hold-expired");
    sale.counts_until(100, 0, 0).await;
    // The buyer's limit is free again, too.
    json(sale.place("ann", "again", 4).send().await.unwrap(), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_refund_give_back_what_was_taken() {
    let sale = Sale::open(Terms::default()).await;
    let unpaid = sale.awaiting("ann", "cancelled", 1).await;
    assert_eq!(
        wish(&sale, &unpaid, "refund", 409).await["code"],
        "illegal-transition"
    );
    wish(&sale, &unpaid, "cancel", 202).await;
    let id = unpaid["id"].as_str().unwrap();
    let cancelled = sale.order_until("ann", id, "cancelled").await;
    assert_eq!(cancelled["reason"], "buyer-request");
    wish(&sale, &unpaid, "cancel", 202).await;
    sale.counts_until(100, 0, 0).await;

    let paid = sale.awaiting("ann", "refunded", 3).await;
    sale.pay(&paid, "pm_card_visa").await;
    let id = paid["id"].as_str().unwrap();
    sale.order_until("ann", id, "paid").await;
    assert_eq!(
        wish(&sale, &paid, "cancel", 409).await["code"],
        "illegal-transition"
    );
    wish(&sale, &paid, "refund", 202).await;
    sale.order_until("ann", id, "refunded").await;
    wish(&sale, &paid, "refund", 202).await;
    sale.counts_until(100, 0, 0).await;
}
