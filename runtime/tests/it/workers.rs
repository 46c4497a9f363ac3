//! A worker of a Citus cluster dies in the middle of a sale: who bought from stock on the others does not notice, and who did
//! not is served when it is back, without anybody's hands.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::Value;
use ticket_core::{OrderRef, StockShardId};
use ticket_testkit::Tools;

use crate::sale::{Sale, Terms, VIEWER, json};
use crate::warmups::adds_up;

/// Spread by their hashes over both workers.
const STOCK_SHARDS: u32 = 16;

/// Buyers who order at most until both workers have an order.
const BUYERS_MAX: u32 = 200;

/// Two orders that live, and one that waits for the dead.
struct Orders {
    living: Vec<String>,
    waiting: Vec<String>,
}

async fn order_on_both(sale: &Sale, dead: &HashSet<StockShardId>) -> Orders {
    let mut orders = Orders {
        living: Vec::new(),
        waiting: Vec::new(),
    };
    for number in 0..BUYERS_MAX {
        let placed = sale.place(&format!("buyer-{number}"), "while a worker is dead", 1);
        let placed = json(placed.send().await.unwrap(), 202).await;
        let id = placed["id"].as_str().unwrap().to_owned();
        let shard = id.parse::<OrderRef>().unwrap().shard;
        let kind = if dead.contains(&shard) {
            &mut orders.waiting
        } else {
            &mut orders.living
        };
        // The buyer is found again by the order.
        kind.push(format!("buyer-{number} {id}"));
        if orders.living.len() >= 2 && !orders.waiting.is_empty() {
            return orders;
        }
    }
    panic!("no order came to one of the workers");
}

fn buyer_and_id(order: &str) -> (&str, &str) {
    order.split_once(' ').unwrap()
}

async fn alive(sale: &Sale, node: &str) -> bool {
    let shards = sale.ask(Method::GET, "/shards", VIEWER).send().await;
    let shards: Value = json(shards.unwrap(), 200).await;
    let nodes = shards["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|it| it["name"] == node).unwrap();
    found["alive"].as_bool().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_worker_dies_the_others_go_on_selling_and_nothing_waits_for_hands() {
    if !Tools.has_citus() {
        eprintln!("SKIPPED: this PostgreSQL has no Citus, so no worker can die");
        return;
    }
    let mut sale = Sale::open(Terms {
        own_postgres: true,
        shards: STOCK_SHARDS,
        quantity: STOCK_SHARDS * 20,
        hold_for_s: 6,
        ..Terms::default()
    })
    .await;
    let stock = sale.ledger.stock(sale.id).await.unwrap();
    let workers: HashSet<String> = stock.iter().map(|shard| shard.node.clone()).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
    let postgres = sale.postgres.as_mut().unwrap();
    let worker = postgres.worker_mut(0).unwrap();
    let name = format!("127.0.0.1:{}", worker.port());
    worker.kill().await.unwrap();
    let dead = stock.iter().filter(|shard| shard.node == name);
    let dead: HashSet<StockShardId> = dead.map(|shard| shard.id).collect();

    let orders = order_on_both(&sale, &dead).await;
    let (buyer, id) = buyer_and_id(&orders.living[0]);
    let order = sale.order_until(buyer, id, "awaiting_payment").await;
    assert_eq!(sale.pay(&order, "pm_card_visa").await.status(), 200);
    sale.order_until(buyer, id, "paid").await;
    // Holds on the living worker end in time, too.
    let (buyer, id) = buyer_and_id(&orders.living[1]);
    sale.order_until(buyer, id, "expired").await;
    assert!(!alive(&sale, &name).await, "{name} is shown as alive");

    sale.postgres.as_mut().unwrap().restart().await.unwrap();
    for order in &orders.waiting {
        let (buyer, id) = buyer_and_id(order);
        sale.order_until(buyer, id, "awaiting_payment").await;
    }
    assert!(alive(&sale, &name).await, "{name} is shown as dead");
    adds_up(&sale).await;
}
