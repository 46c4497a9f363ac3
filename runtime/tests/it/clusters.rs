//! The keeper on a Redis Cluster: a primary dies and its replica takes over, and a slot moves to another node. Both have the
//! data and were never seeded in their life, so both are refilled from the ledger.

use crate::sale::{Sale, Terms};
use crate::warmups::{adds_up, id_of, warm};

/// A key of the sale; all are in its slot.
fn key(sale: &Sale) -> String {
    format!("{{st:{}}}:o", sale.id)
}

async fn primary(sale: &Sale) -> Option<usize> {
    let cluster = sale.cluster.as_ref().unwrap();
    cluster.primary_of(&key(sale)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_goes_on_when_its_primary_dies_and_when_its_slot_moves() {
    let mut sale = Sale::open(Terms {
        own_cluster: true,
        ..Terms::default()
    })
    .await;
    let paid = sale.awaiting("ann", "paid", 3).await;
    sale.pay(&paid, "pm_card_visa").await;
    let held = sale.awaiting("bob", "held", 2).await;
    sale.counts_until(95, 2, 3).await;

    let first = primary(&sale).await.unwrap();
    let cluster = sale.cluster.as_mut().unwrap();
    cluster.nodes[first].kill().await.unwrap();
    sale.until("a replica took over", async || {
        primary(&sale).await.is_some()
    })
    .await;
    let epoch = warm(&sale, 1).await;
    assert_eq!(id_of(&sale, "bob", "held", 2).await, held["id"]);
    id_of(&sale, "cid", "after the failover", 1).await;
    sale.counts_until(94, 3, 3).await;

    let now = primary(&sale).await.unwrap();
    let cluster = sale.cluster.as_ref().unwrap();
    // One of the two others: those that began as primaries come first, and one of them is dead.
    let to = (0..3).find(|node| *node != now && *node != first).unwrap();
    cluster.move_slot(&key(&sale), to).await.unwrap();
    assert_eq!(primary(&sale).await, Some(to));
    warm(&sale, epoch).await;
    assert_eq!(id_of(&sale, "ann", "paid", 3).await, paid["id"]);
    id_of(&sale, "dan", "after the move", 1).await;
    sale.counts_until(93, 4, 3).await;
    adds_up(&sale).await;
}
