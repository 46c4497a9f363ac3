//! What event managers see: stock, roles, and an audit that finds what is wrong.

use reqwest::Method;
use serde_json::Value;
use ticket_core::{BuyerId, CategoryName, Epoch, OrderRef};
use ticket_stock::Release;

use crate::sale::{MANAGER, Sale, Terms, VIEWER, json};

async fn audit(sale: &Sale) -> Value {
    let path = format!("/events/{}/audit", sale.name);
    json(
        sale.ask(Method::POST, &path, VIEWER).send().await.unwrap(),
        200,
    )
    .await
}

fn failed(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap();
    let bad = checks.iter().filter(|check| check["ok"] != true);
    bad.map(|check| check["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_holds_and_sees_a_unit_too_many_in_the_store() {
    let sale = Sale::open(Terms::default()).await;
    let order = sale.awaiting("ann", "paid", 2).await;
    sale.pay(&order, "pm_card_visa").await;
    sale.order_until("ann", order["id"].as_str().unwrap(), "paid")
        .await;
    sale.counts_until(98, 0, 2).await;

    let report = audit(&sale).await;
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(
        report["checks"].as_array().map(Vec::len),
        Some(5),
        "{report}"
    );

    // Redis lies: the units of a paid order are for sale again.
    let id: OrderRef = order["id"].as_str().unwrap().parse().unwrap();
    let release = Release {
        order: id.order,
        shard: id.shard,
        quantity: 2,
        buyer: BuyerId::new("ann").unwrap(),
        version: i64::from(u32::MAX),
    };
    let seat = CategoryName::new("seat").unwrap();
    sale.stock
        .release(sale.id, &seat, Epoch::FIRST, &[release])
        .await
        .unwrap();
    let report = audit(&sale).await;
    assert_eq!(failed(&report), ["store"], "{report}");
    assert_eq!(report["ok"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_looks_and_only_a_manager_acts() {
    let sale = Sale::open(Terms::default()).await;
    let order = sale.awaiting("ann", "k", 2).await;
    let stock = sale.ask(Method::GET, &format!("/events/{}/stock", sale.name), VIEWER);
    let stock = json(stock.send().await.unwrap(), 200).await;
    let seat = &stock["categories"][0];
    assert_eq!(
        (&seat["capacity"], &seat["held"]),
        (&100.into(), &2.into()),
        "{stock}"
    );

    let cancel = format!("/orders/{}/cancel", order["id"].as_str().unwrap());
    let refused = sale
        .ask(Method::POST, &cancel, VIEWER)
        .send()
        .await
        .unwrap();
    assert_eq!(json(refused, 403).await["code"], "forbidden");
    let nobody = sale
        .ask(Method::POST, &cancel, "a guess")
        .send()
        .await
        .unwrap();
    assert_eq!(json(nobody, 401).await["code"], "unauthenticated");
    let granted = sale
        .ask(Method::POST, &cancel, MANAGER)
        .send()
        .await
        .unwrap();
    assert_eq!(granted.status(), 202);
    let id = order["id"].as_str().unwrap();
    let cancelled = sale.order_until("ann", id, "cancelled").await;
    assert_eq!(cancelled["reason"], "manager-request");
    sale.counts_until(100, 0, 0).await;
}
