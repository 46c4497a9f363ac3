//! Webhooks as a provider sends them: twice, late, out of order, in two secrets, and across a restart of ours.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json as value};
use ticket_core::{OrderId, OrderRef, StockShardId, clock};
use ticket_payments::signature;

use crate::sale::{SECOND_WEBHOOK_SECRET, Sale, Terms, WEBHOOK_SECRET, json};

fn event(event_type: &str, order: &str, extra: &Value) -> String {
    let mut intent = value!({
        "id": "pi_1", "object": "payment_intent", "amount": 3_000, "amount_received": 3_000,
        "currency": "eur", "created": 1_700_000_000, "status": "succeeded",
        "metadata": { "order_id": order },
    });
    for (name, value) in extra.as_object().unwrap() {
        intent[name] = value.clone();
    }
    let event = value!({
        "id": format!("evt_{event_type}"), "object": "event", "type": event_type,
        "created": clock::now().as_second(), "data": { "object": intent },
    });
    event.to_string()
}

fn post(sale: &Sale, body: &str, secret: &str) -> RequestBuilder {
    let signed = signature::sign(&secret.to_owned().into(), clock::now(), body.as_bytes());
    sale.request(Method::POST, "/v1/webhooks/stripe")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Stripe-Signature", signed.unwrap())
        .body(body.to_owned())
}

async fn tell(sale: &Sale, body: &str) {
    let answer = post(sale, body, WEBHOOK_SECRET).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{body}");
}

/// No inbox remembers events: the commands that follow are idempotent, and what they did is in the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_changes_nothing_before_and_after_a_restart_and_in_any_order() {
    let mut sale = Sale::open(Terms {
        shards: 1,
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "k", 2).await;
    let id = order["id"].as_str().unwrap().to_owned();
    let paid = event("payment_intent.succeeded", &id, &value!({}));
    for _ in 0..3 {
        tell(&sale, &paid).await;
    }
    let seen = sale.order_until("ann", &id, "paid").await;

    sale.runtime.kill().await.unwrap();
    sale.runtime.restart().await.unwrap();
    tell(&sale, &paid).await;
    // News from before the success that comes after it.
    let fraud = value!({ "status": "requires_payment_method", "amount_received": 0,
        "last_payment_error": { "type": "card_error", "decline_code": "fraudulent" } });
    for (event_type, extra) in [
        (
            "payment_intent.processing",
            value!({ "status": "processing" }),
        ),
        ("payment_intent.payment_failed", fraud),
        ("payment_intent.canceled", value!({ "status": "canceled" })),
    ] {
        tell(&sale, &event(event_type, &id, &extra)).await;
    }
    // They stand on the order log before a later order of the same partition.
    sale.awaiting("bob", "later", 1).await;
    assert_eq!(sale.order("ann", &id).await, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_count_while_one_is_replaced_and_the_body_must_be_json() {
    let sale = Sale::open(Terms::default()).await;
    let order = sale.awaiting("ann", "k", 2).await;
    let id = order["id"].as_str().unwrap();
    let paid = event("payment_intent.succeeded", id, &value!({}));
    let mut text = post(&sale, &paid, WEBHOOK_SECRET).build().unwrap();
    text.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    let refused = reqwest::Client::new().execute(text).await.unwrap();
    assert_eq!(json(refused, 415).await["code"], "unsupported-media-type");
    let stranger = post(&sale, &paid, "whsec_of_a_stranger")
        .send()
        .await
        .unwrap();
    assert_eq!(json(stranger, 400).await["code"], "invalid-signature");
    let second = post(&sale, &paid, SECOND_WEBHOOK_SECRET)
        .send()
        .await
        .unwrap();
    assert_eq!(second.status(), 200);
    sale.order_until("ann", id, "paid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_no_order_of_ours_is_taken_and_forgotten() {
    let sale = Sale::open(Terms::default()).await;
    let gone = OrderRef {
        order: OrderId(uuid::Uuid::from_u128(7)),
        // Never allocated: a sale that was deleted looks the same.
        shard: StockShardId::new((1 << 53) - 1).unwrap(),
    };
    tell(
        &sale,
        &event("payment_intent.succeeded", &gone.to_string(), &value!({})),
    )
    .await;
    let foreign = value!({ "metadata": {} });
    tell(&sale, &event("payment_intent.succeeded", "", &foreign)).await;
    // A complaint about a payment that the provider does not know.
    let complaint = value!({
        "id": "evt_1", "object": "event", "type": "charge.dispute.created", "created": 1,
        "data": { "object": { "id": "du_1", "object": "dispute", "created": 1,
            "payment_intent": "pi_nobody" } },
    });
    tell(&sale, &complaint.to_string()).await;
}
