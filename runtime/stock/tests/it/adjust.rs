//! Capacities that the ledger has changed: the counts follow to the unit, once, and whatever comes late is dropped.

use ticket_core::{Adjustment, Epoch, ShardStock};
use ticket_stock::{Readjusted, Reserved};

use crate::fixture::{Sale, category, stock, vip_seed, wish};

async fn adjust(sale: &Sale, epoch: i64, shards: &[ShardStock]) -> Vec<Readjusted> {
    let vip = category("vip");
    sale.store
        .adjust(sale.event, &vip, Epoch(epoch), shards)
        .await
        .unwrap()
}

fn to(id: i64, capacity: i64, adjustment: i64) -> ShardStock {
    ShardStock {
        capacity,
        adjustment: Adjustment(adjustment),
        ..stock(id, 0)
    }
}

#[tokio::test]
async fn a_count_follows_its_capacity_once_and_never_back() {
    let sale = Sale::armed("adjust", &[(1, 10), (2, 10)]).await;
    sale.reserve(&wish(1).units(4)).await;
    let before: i64 = sale
        .counts("vip")
        .await
        .iter()
        .map(|(_, units)| units)
        .sum();
    assert_eq!(before, 16);
    let answer = adjust(&sale, 1, &[to(1, 15, 3), to(2, 7, 3)]).await;
    assert_eq!(answer, [Readjusted::Counted, Readjusted::Counted]);
    let counts = sale.counts("vip").await;
    assert_eq!(counts.iter().map(|(_, units)| units).sum::<i64>(), 18);

    // The same, an older one, and a stock shard that nobody seeded.
    let late = [to(1, 15, 3), to(2, 99, 2), to(3, 50, 9)];
    assert_eq!(adjust(&sale, 1, &late).await, [Readjusted::Nothing; 3]);
    assert_eq!(sale.counts("vip").await, counts);
    // One that was left out is made up for: capacities are absolute.
    assert_eq!(
        adjust(&sale, 1, &[to(2, 9, 7)]).await,
        [Readjusted::Counted]
    );
    let sum: i64 = sale
        .counts("vip")
        .await
        .iter()
        .map(|(_, units)| units)
        .sum();
    assert_eq!(sum, 20);
}

#[tokio::test]
async fn a_category_that_was_sold_out_sells_what_is_added_and_not_what_was_taken_back() {
    let sale = Sale::armed("adjust-sold-out", &[(1, 2), (2, 0)]).await;
    assert!(matches!(
        sale.reserve(&wish(1).units(2)).await,
        Reserved::Fresh { .. }
    ));
    assert_eq!(sale.reserve(&wish(2)).await, Reserved::SoldOut);
    adjust(&sale, 1, &[to(2, 3, 1)]).await;
    assert_eq!(sale.reserve(&wish(3).units(4)).await, Reserved::NoShardFits);
    assert!(matches!(
        sale.reserve(&wish(4).units(2)).await,
        Reserved::Fresh { .. }
    ));
    // The last unit goes; the ledger kept the two that are reserved.
    adjust(&sale, 1, &[to(2, 2, 2)]).await;
    assert_eq!(sale.counts("vip").await, [(1, 0), (2, 0)]);
    assert_eq!(sale.reserve(&wish(5)).await, Reserved::SoldOut);
    // Taken back while reservations are on their way: below zero until the ledger has refused one of them.
    adjust(&sale, 1, &[to(2, 0, 3)]).await;
    assert_eq!(sale.counts("vip").await, [(1, 0), (2, -2)]);
    assert_eq!(sale.reserve(&wish(6)).await, Reserved::SoldOut);
}

#[tokio::test]
async fn an_adjustment_of_another_epoch_is_left_to_the_seed() {
    let sale = Sale::armed("adjust-epochs", &[(1, 10)]).await;
    sale.arm(vip_seed(sale.event, 5, &[(1, 10)])).await;
    let more = [to(1, 20, 1)];
    assert_eq!(adjust(&sale, 4, &more).await, [Readjusted::StoreNewer]);
    assert_eq!(adjust(&sale, 6, &more).await, [Readjusted::StoreOlder]);
    assert_eq!(sale.counts("vip").await, [(1, 10)]);

    // A seed knows which adjustments it contains.
    let mut seed = vip_seed(sale.event, 7, &[]);
    seed.categories[0].shards = vec![ShardStock {
        available: 20,
        ..to(1, 20, 1)
    }];
    sale.arm(seed).await;
    assert_eq!(adjust(&sale, 7, &more).await, [Readjusted::Nothing]);
    assert_eq!(
        adjust(&sale, 7, &[to(1, 21, 2)]).await,
        [Readjusted::Counted]
    );
    assert_eq!(sale.counts("vip").await, [(1, 21)]);

    let nobody = Sale::new("adjust-unarmed", ticket_testkit::Persistence::None).await;
    assert_eq!(adjust(&nobody, 1, &more).await, [Readjusted::NotArmed]);
}
