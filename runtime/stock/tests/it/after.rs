//! After the ledger decided: releases, claims, settled and pending orders.

use std::time::Duration;

use ticket_core::{Epoch, OrderId, clock};
use ticket_stock::{Claimed, Release, Released, Reserve, Reserved};

use crate::fixture::{Sale, Wish, category, order, shard, to_reserve, vip_seed, wish};

async fn release(sale: &Sale, epoch: i64, releases: &[Release]) -> Vec<Released> {
    let vip = category("vip");
    sale.store
        .release(sale.event, &vip, Epoch(epoch), releases)
        .await
        .unwrap()
}

async fn claim(sale: &Sale, epoch: i64, of: &Wish) -> Claimed {
    let claims = [of.claim(1, 9)];
    let outcomes = sale
        .store
        .claim(sale.event, &category("vip"), Epoch(epoch), &claims)
        .await;
    outcomes.unwrap()[0]
}

async fn is_void(sale: &Sale, id: OrderId) -> bool {
    sale.store
        .record(sale.event, id)
        .await
        .unwrap()
        .unwrap()
        .voided
}

#[tokio::test]
async fn a_release_gives_units_back_once() {
    let sale = Sale::armed("credit", &[(1, 2)]).await;
    let ann = wish(1).units(2);
    sale.reserve(&ann).await;
    assert_eq!(sale.reserve(&wish(2)).await, Reserved::SoldOut);
    // Twice in one call, and once more.
    let twice = [ann.release(1, 9), ann.release(1, 9)];
    assert_eq!(
        release(&sale, 1, &twice).await,
        [Released::Credited, Released::AlreadyVoid]
    );
    assert_eq!(
        release(&sale, 1, &twice[..1]).await,
        [Released::AlreadyVoid]
    );
    assert_eq!(sale.counts("vip").await, [(1, 2)]);
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 0);
    let Reserved::Known(record) = sale.reserve(&ann).await else {
        panic!("it is known")
    };
    assert!(record.voided && !record.pending);
    assert!(matches!(
        sale.reserve(&wish(2)).await,
        Reserved::Fresh { .. }
    ));
}

#[tokio::test]
async fn what_an_older_version_says_is_dropped() {
    let sale = Sale::armed("versions", &[(1, 10)]).await;
    let ann = wish(1).units(2);
    sale.reserve(&ann).await;
    // Expired at version 5, paid late at version 7.
    assert_eq!(
        release(&sale, 1, &[ann.release(1, 5)]).await,
        [Released::Credited]
    );
    assert_eq!(claim_at(&sale, &ann, 7).await, Claimed::Taken);
    // A warm-up that had read version 5 tells it again.
    assert_eq!(
        release(&sale, 1, &[ann.release(1, 5)]).await,
        [Released::AlreadyVoid]
    );
    assert_eq!(sale.counts("vip").await, [(1, 8)]);
    assert!(!is_void(&sale, ann.order).await);
    // Refunded at version 9; then the claim once more.
    assert_eq!(
        release(&sale, 1, &[ann.release(1, 9)]).await,
        [Released::Credited]
    );
    assert_eq!(claim_at(&sale, &ann, 7).await, Claimed::HasThem);
    assert_eq!(sale.counts("vip").await, [(1, 10)]);
    assert!(is_void(&sale, ann.order).await);
}

async fn claim_at(sale: &Sale, of: &Wish, version: i64) -> Claimed {
    let claims = [of.claim(1, version)];
    let vip = category("vip");
    let outcomes = sale.store.claim(sale.event, &vip, Epoch(1), &claims).await;
    outcomes.unwrap()[0]
}

#[tokio::test]
async fn an_order_that_is_not_known_was_never_counted_and_gives_nothing_back() {
    let sale = Sale::armed("unknown", &[(1, 100)]).await;
    assert_eq!(
        release(&sale, 1, &[wish(1).release(1, 3)]).await,
        [Released::Tombstoned]
    );
    assert_eq!(sale.counts("vip").await, [(1, 100)]);
}

#[tokio::test]
async fn a_reservation_that_comes_after_its_void_finds_the_tombstone() {
    let sale = Sale::armed("tombstone", &[(1, 100)]).await;
    let late = wish(1).by("a|b|c").units(2);
    assert_eq!(
        release(&sale, 1, &[late.release(1, 9)]).await,
        [Released::Tombstoned]
    );
    let Reserved::Known(record) = sale.reserve(&late).await else {
        panic!("it is known")
    };
    assert!(record.voided);
    assert_eq!(record.buyer.as_str(), "a|b|c");
    assert_eq!(sale.counts("vip").await, [(1, 100)]);
}

#[tokio::test]
async fn the_record_and_not_the_caller_says_how_many_units_come_back() {
    let sale = Sale::armed("record", &[(1, 100), (2, 50)]).await;
    let ann = wish(1).units(3);
    assert_eq!(
        sale.reserve(&ann).await,
        Reserved::Fresh { shard: shard(1) }
    );
    // The ledger turned down an order with the same id on another stock shard: this one has nothing to do with it.
    let elsewhere = ann.release(2, 1);
    assert_eq!(
        release(&sale, 1, &[elsewhere]).await,
        [Released::AlreadyVoid]
    );
    assert_eq!(sale.counts("vip").await, [(1, 97), (2, 50)]);
    let wrong = Release {
        quantity: 99,
        ..ann.release(1, 1)
    };
    assert_eq!(release(&sale, 1, &[wrong]).await, [Released::Credited]);
    assert_eq!(sale.counts("vip").await, [(1, 100), (2, 50)]);
}

#[tokio::test]
async fn a_release_of_another_epoch_changes_nothing() {
    let sale = Sale::armed("release-epochs", &[(1, 100)]).await;
    sale.arm(vip_seed(sale.event, 5, &[(1, 100)])).await;
    let ann = wish(1).at(5);
    sale.reserve(&ann).await;
    let one = [ann.release(1, 9)];
    assert_eq!(release(&sale, 4, &one).await, [Released::StoreNewer]);
    assert_eq!(release(&sale, 6, &one).await, [Released::StoreOlder]);
    assert_eq!(claim(&sale, 4, &wish(2)).await, Claimed::StoreNewer);
    assert_eq!(claim(&sale, 6, &wish(2)).await, Claimed::StoreOlder);
    sale.store
        .settle(sale.event, Epoch(4), &[ann.order])
        .await
        .unwrap();
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 1);
    assert_eq!(sale.counts("vip").await, [(1, 99)]);
    assert!(!is_void(&sale, ann.order).await);

    sale.store
        .close(sale.event, &[category("vip")])
        .await
        .unwrap();
    assert_eq!(release(&sale, 5, &one).await, [Released::NotArmed]);
    assert_eq!(claim(&sale, 5, &wish(2)).await, Claimed::NotArmed);
    assert_eq!(sale.store.state(sale.event).await.unwrap(), None);
}

#[tokio::test]
async fn late_money_takes_units_again_also_those_that_somebody_reserved_meanwhile() {
    let sale = Sale::armed("claim", &[(1, 2)]).await;
    let ann = wish(1).units(2);
    let bob = wish(2).units(2);
    sale.reserve(&ann).await;
    release(&sale, 1, &[ann.release(1, 9)]).await;
    assert!(matches!(sale.reserve(&bob).await, Reserved::Fresh { .. }));
    assert_eq!(claim(&sale, 1, &ann).await, Claimed::Taken);
    assert_eq!(claim(&sale, 1, &ann).await, Claimed::HasThem);
    assert_eq!(sale.counts("vip").await, [(1, -2)]);
    assert!(!is_void(&sale, ann.order).await);
    assert_eq!(sale.reserve(&wish(3)).await, Reserved::SoldOut);
    // The ledger refuses Bob: what he had reserved makes the count right again.
    assert_eq!(
        release(&sale, 1, &[bob.release(1, 9)]).await,
        [Released::Credited]
    );
    assert_eq!(sale.counts("vip").await, [(1, 0)]);
    assert_eq!(sale.reserve(&wish(3)).await, Reserved::SoldOut);
    assert_eq!(
        release(&sale, 1, &[ann.release(1, 9)]).await,
        [Released::Credited]
    );
    assert_eq!(sale.counts("vip").await, [(1, 2)]);
}

#[tokio::test]
async fn an_order_of_another_category_is_refused_and_nothing_of_its_batch_is_done() {
    let sale = Sale::armed("wrong-category", &[(1, 100)]).await;
    let mut seed = vip_seed(sale.event, 2, &[(1, 100)]);
    seed.categories
        .push(crate::fixture::seed_category("standing", &[(9, 100)]));
    sale.arm(seed).await;
    let (ann, bob) = (wish(1).at(2), wish(2).at(2).of("standing").on([9, 9]));
    sale.reserve(&ann).await;
    sale.reserve(&bob).await;
    let both = [ann.release(1, 9), bob.release(9, 9)];
    let error = sale
        .store
        .release(sale.event, &category("vip"), Epoch(2), &both)
        .await
        .unwrap_err();
    assert_eq!(error.class(), ticket_core::ErrorClass::Permanent);
    assert_eq!(error.code(), "store-failed");
    assert_eq!(sale.counts("vip").await, [(1, 99)]);
    assert!(!is_void(&sale, ann.order).await && !is_void(&sale, bob.order).await);
}

#[tokio::test]
async fn batches_larger_than_one_call_are_done_whole_and_pending_orders_are_all_seen() {
    const ORDERS: u128 = 1_300;
    let sale = Sale::armed("batches", &[(1, 2_000), (2, 2_000)]).await;
    let early = clock::now();
    let late = early + Duration::from_mins(1);
    let wishes: Vec<Wish> = (0..ORDERS).map(wish).collect();
    let mut shards = Vec::new();
    for (number, one) in wishes.iter().enumerate() {
        let now = if number % 2 == 0 { early } else { late };
        let reserved = sale
            .store
            .reserve(&Reserve {
                now,
                ..to_reserve(sale.event, one)
            })
            .await;
        let Ok(Reserved::Fresh { shard }) = reserved else {
            panic!("{reserved:?}")
        };
        shards.push(shard.get());
    }
    let pending_at = |time, max| sale.store.pending_older_than(sale.event, time, max);
    let old = pending_at(early, usize::MAX).await.unwrap();
    let mut ids: Vec<OrderId> = old.iter().map(|one| one.order).collect();
    ids.sort_unstable();
    let expected: Vec<OrderId> = (0..ORDERS).step_by(2).map(order).collect();
    assert_eq!(ids, expected);
    assert!(
        old.iter()
            .all(|one| one.since == early && one.quantity == 1)
    );
    assert_eq!(pending_at(late, usize::MAX).await.unwrap().len(), 1_300);
    assert_eq!(pending_at(late, 7).await.unwrap().len(), 7);
    assert!(
        pending_at(early - Duration::from_secs(1), 7)
            .await
            .unwrap()
            .is_empty()
    );

    sale.store.settle(sale.event, Epoch(1), &ids).await.unwrap();
    sale.store.settle(sale.event, Epoch(1), &ids).await.unwrap();
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 650);
    assert!(pending_at(early, usize::MAX).await.unwrap().is_empty());
    let record = sale
        .store
        .record(sale.event, order(0))
        .await
        .unwrap()
        .unwrap();
    assert!(!record.pending && !record.voided);

    let all: Vec<Release> = wishes
        .iter()
        .zip(shards)
        .map(|(one, shard)| one.release(shard, 9))
        .collect();
    let outcomes = release(&sale, 1, &all).await;
    assert_eq!(outcomes, vec![Released::Credited; 1_300]);
    assert_eq!(sale.counts("vip").await, [(1, 2_000), (2, 2_000)]);
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 0);
    assert!(release(&sale, 1, &[]).await.is_empty());
    sale.store.settle(sale.event, Epoch(1), &[]).await.unwrap();
}
