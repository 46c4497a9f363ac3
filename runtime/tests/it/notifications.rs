//! A program that tells buyers what became of their orders: each thing once, whatever is repeated.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;
use ticket_core::names::event_type::{
    ORDER_EXPIRED, ORDER_REJECTED, PAYMENT_FAILED, REFUND_PROCESSED, TICKET_PURCHASED,
};
use ticket_core::{Adjustment, CategoryName, Epoch, ShardStock};

use crate::outside::messages;
use crate::sale::{Sale, Terms, json, token};

fn id_of(order: &Value) -> String {
    order["id"].as_str().unwrap().to_owned()
}

/// What a reader that remembers ids has told whom: type and order, with the data.
async fn told(sale: &Sale) -> BTreeMap<(String, String), Value> {
    let topic = format!("{}notifications", sale.prefix);
    let mut known = BTreeSet::new();
    let mut told = BTreeMap::new();
    for message in messages(&sale.brokers, &topic).await {
        let order = message.data["order_id"].as_str().unwrap().to_owned();
        assert_eq!((&message.key, &message.subject), (&order, &order));
        assert_eq!(
            message.source,
            format!("/events/{}", sale.name.replace('.', "/"))
        );
        if known.insert(message.id) {
            let before = told.insert((message.kind.clone(), order), message.data);
            assert!(before.is_none(), "{} has two ids", message.kind);
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_happens_to_an_order_is_told_once() {
    let mut sale = Sale::open(Terms {
        quantity: 8,
        shards: 1,
        hold_for_s: 6,
        max_per_buyer: 100,
        ..Terms::default()
    })
    .await;
    let unpaid = sale.awaiting("eve", "unpaid", 1).await;
    let paid = sale.awaiting("ann", "paid", 2).await;
    sale.pay(&paid, "pm_card_visa").await;
    let blocked = sale.awaiting("bob", "blocked", 3).await;
    sale.pay(&blocked, "pm_card_radarBlock").await;
    let (unpaid, paid, blocked) = (id_of(&unpaid), id_of(&paid), id_of(&blocked));
    sale.order_until("ann", &paid, "paid").await;
    sale.order_until("bob", &blocked, "payment_failed").await;
    sale.order_until("eve", &unpaid, "expired").await;

    // The store believes in a hundred tickets that the ledger does not have.
    let shard = sale.ledger.stock(sale.id).await.unwrap()[0].id;
    let lie = ShardStock {
        shard,
        available: 0,
        capacity: 108,
        adjustment: Adjustment(1),
    };
    let seat = CategoryName::new("seat").unwrap();
    sale.stock
        .adjust(sale.id, &seat, Epoch::FIRST, &[lie])
        .await
        .unwrap();
    let rejected = sale.place("joe", "rejected", 50).send().await.unwrap();
    let rejected = id_of(&json(rejected, 202).await);
    sale.order_until("joe", &rejected, "rejected").await;

    let expected: BTreeSet<(String, String)> = [
        (TICKET_PURCHASED, &paid),
        (PAYMENT_FAILED, &blocked),
        (ORDER_EXPIRED, &unpaid),
        (ORDER_REJECTED, &rejected),
    ]
    .into_iter()
    .map(|(kind, order)| (kind.to_owned(), order.clone()))
    .collect();
    sale.until("all is told", async || {
        told(&sale).await.into_keys().collect::<BTreeSet<_>>() == expected
    })
    .await;

    // After a crash nothing is known of the past: what is told again has its old id.
    sale.runtime.kill().await.unwrap();
    sale.runtime.restart().await.unwrap();
    let refund = format!("/v1/orders/{paid}/refund");
    sale.until("the refund is accepted", async || {
        let request = sale
            .request(Method::POST, &refund)
            .bearer_auth(token("ann"));
        request
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 202)
    })
    .await;
    sale.order_until("ann", &paid, "refunded").await;
    let refunded = (REFUND_PROCESSED.to_owned(), paid.clone());
    sale.until("the refund is told", async || {
        told(&sale).await.contains_key(&refunded)
    })
    .await;
    let told = told(&sale).await;
    assert_eq!(told.len(), expected.len() + 1, "{:?}", told.keys());

    let purchase = &told[&(TICKET_PURCHASED.to_owned(), paid)];
    assert_eq!(purchase["buyer"], "ann");
    assert_eq!(purchase["event"], sale.name.as_str());
    assert_eq!(
        (&purchase["category"], &purchase["quantity"]),
        (&"seat".into(), &2.into())
    );
    assert_eq!(purchase["amount"]["amount_minor"], 3_000);
    assert!(purchase["reason"].is_null());
    let reason = |kind: &str, order: String| told[&(kind.to_owned(), order)]["reason"].clone();
    assert_eq!(reason(PAYMENT_FAILED, blocked), "fraud");
    assert_eq!(reason(ORDER_REJECTED, rejected), "sold-out");
    assert_eq!(reason(ORDER_EXPIRED, unpaid), "hold-expired");
    assert_eq!(told[&refunded]["reason"], "buyer-request");
}
