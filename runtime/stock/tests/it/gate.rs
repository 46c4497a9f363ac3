//! What the gate lets through, and what it says to the others.

use std::time::{Duration, Instant};

use ticket_core::{Epoch, clock};
use ticket_stock::{Reserve, Reserved};

use crate::fixture::{Sale, seed_category, shard, to_reserve, vip_seed, wish};

fn fresh(id: i64) -> Reserved {
    Reserved::Fresh { shard: shard(id) }
}

#[tokio::test]
async fn the_fuller_of_two_stock_shards_is_used_while_there_is_plenty() {
    let sale = Sale::armed("fuller", &[(1, 100), (2, 200), (3, 300)]).await;
    assert_eq!(sale.reserve(&wish(1)).await, fresh(2));
    assert_eq!(sale.reserve(&wish(2).on([3, 1])).await, fresh(3));
    assert_eq!(sale.reserve(&wish(3).on([1, 1]).units(4)).await, fresh(1));
    assert_eq!(sale.counts("vip").await, [(1, 96), (2, 199), (3, 299)]);
}

#[tokio::test]
async fn near_the_end_the_smallest_stock_shard_that_fits_is_used() {
    let sale = Sale::armed("tail", &[(1, 1), (2, 3), (3, 5), (4, 4)]).await;
    assert_eq!(sale.reserve(&wish(1).units(4)).await, fresh(4));
    assert_eq!(sale.reserve(&wish(2).units(1)).await, fresh(1));
    assert_eq!(sale.reserve(&wish(3).units(3)).await, fresh(2));
    assert_eq!(sale.reserve(&wish(4).units(6)).await, Reserved::NoShardFits);
    assert_eq!(sale.reserve(&wish(5).units(5)).await, fresh(3));
    // Also who asks for more than the last ones were.
    assert_eq!(sale.reserve(&wish(6).units(6)).await, Reserved::SoldOut);
    assert_eq!(sale.reserve(&wish(7)).await, Reserved::SoldOut);
}

#[tokio::test]
async fn stock_shards_that_the_caller_does_not_know_are_found() {
    let sale = Sale::armed("unknown-shards", &[(7, 100)]).await;
    assert_eq!(sale.reserve(&wish(1).on([1, 2])).await, fresh(7));
}

#[tokio::test]
async fn the_same_order_again_is_the_same_stock_shard_and_takes_nothing() {
    let sale = Sale::armed("again", &[(1, 100), (2, 200)]).await;
    let now = clock::now();
    let order = wish(1).by("idp|a|b").units(3);
    let first = Reserve {
        now,
        ..to_reserve(sale.event, &order)
    };
    assert_eq!(sale.store.reserve(&first).await.unwrap(), fresh(2));
    let before = sale.counts("vip").await;

    let again = Reserve {
        quantity: 1,
        now: now + Duration::from_secs(9),
        ..first
    };
    let Reserved::Known(record) = sale.store.reserve(&again).await.unwrap() else {
        panic!("the order is known");
    };
    assert_eq!(record.shard, shard(2));
    assert_eq!(
        (record.order, record.quantity, record.epoch),
        (order.order, 3, Epoch(1))
    );
    assert_eq!(
        (record.buyer, record.category),
        (order.buyer.clone(), order.category.clone())
    );
    assert_eq!(record.reserved_at, now);
    assert!(record.pending && !record.voided);
    assert_eq!(sale.counts("vip").await, before);
}

#[tokio::test]
async fn a_known_order_is_known_in_every_category_and_when_nothing_is_left() {
    let sale = Sale::armed("known", &[(1, 1)]).await;
    let mut seed = vip_seed(sale.event, 2, &[(1, 1)]);
    seed.categories.push(seed_category("standing", &[(9, 50)]));
    sale.arm(seed).await;
    assert_eq!(sale.reserve(&wish(1).at(2)).await, fresh(1));
    for repeat in [
        wish(1).at(2),
        wish(1).at(2).of("standing"),
        wish(1).at(2).units(99),
    ] {
        let Reserved::Known(record) = sale.reserve(&repeat).await else {
            panic!("{repeat:?} is known");
        };
        assert_eq!((record.category.as_str(), record.quantity), ("vip", 1));
    }
    assert_eq!(sale.reserve(&wish(2).at(2)).await, Reserved::SoldOut);
    assert_eq!(sale.counts("standing").await, [(9, 50)]);
}

#[tokio::test]
async fn a_buyer_has_no_more_than_the_limit_over_all_categories() {
    let sale = Sale::armed("limit", &[(1, 100)]).await;
    let mut seed = vip_seed(sale.event, 2, &[(1, 100)]);
    seed.categories.push(seed_category("standing", &[(9, 100)]));
    seed.max_per_buyer = 4;
    sale.arm(seed).await;
    let of_ann = |number| wish(number).by("ann|x").at(2);
    assert_eq!(
        sale.reserve(&of_ann(1).units(5)).await,
        Reserved::BuyerLimit
    );
    assert_eq!(sale.reserve(&of_ann(2).units(3)).await, fresh(1));
    assert_eq!(
        sale.reserve(&of_ann(3).of("standing").units(2)).await,
        Reserved::BuyerLimit
    );
    assert_eq!(
        sale.reserve(&of_ann(3).of("standing").units(1)).await,
        fresh(9)
    );
    assert_eq!(sale.reserve(&of_ann(4)).await, Reserved::BuyerLimit);
    // Nothing stays of those that were refused.
    assert_eq!(sale.counts("vip").await, [(1, 97)]);
    assert_eq!(sale.counts("standing").await, [(9, 99)]);
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 2);
    assert_eq!(
        sale.store
            .record(sale.event, of_ann(4).order)
            .await
            .unwrap(),
        None
    );
    assert_eq!(sale.reserve(&wish(5).by("bob").at(2)).await, fresh(1));
}

#[tokio::test]
async fn another_epoch_a_category_without_seed_and_an_unknown_event_sell_nothing() {
    let sale = Sale::armed("epochs", &[(1, 100)]).await;
    sale.arm(vip_seed(sale.event, 5, &[(1, 100)])).await;
    assert_eq!(sale.reserve(&wish(1).at(4)).await, Reserved::OtherEpoch);
    assert_eq!(sale.reserve(&wish(1).at(6)).await, Reserved::OtherEpoch);
    assert_eq!(
        sale.reserve(&wish(1).at(5).of("gold")).await,
        Reserved::WarmingUp
    );
    let other = ticket_core::EventId::random();
    let nobody = wish(1);
    let unknown = to_reserve(other, &nobody);
    assert_eq!(
        sale.store.reserve(&unknown).await.unwrap(),
        Reserved::WarmingUp
    );
    assert_eq!(sale.counts("vip").await, [(1, 100)]);
}

#[tokio::test]
async fn no_more_than_the_admission_rate_get_in_but_known_orders_are_answered() {
    const RATE: u32 = 5;
    let sale = Sale::armed("rate", &[(1, 100_000)]).await;
    let started = Instant::now();
    let (mut admitted, mut refused) = (0, 0);
    for number in 0..200 {
        match sale.reserve(&wish(number).rate(RATE)).await {
            Reserved::Fresh { .. } => admitted += 1,
            Reserved::TooFast => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    let seconds_begun = u32::try_from(started.elapsed().as_secs()).unwrap() + 2;
    assert!(
        admitted >= RATE && admitted <= RATE * seconds_begun,
        "{admitted}"
    );
    assert_eq!(admitted + refused, 200);
    assert_eq!(
        sale.counts("vip").await,
        [(1, 100_000 - i64::from(admitted))]
    );
    assert!(matches!(
        sale.reserve(&wish(0).rate(RATE)).await,
        Reserved::Known(_)
    ));

    // The next second of the server admits again, and no limit is no limit.
    let deadline = Instant::now() + Duration::from_secs(5);
    while sale.reserve(&wish(1_000).rate(RATE)).await == Reserved::TooFast {
        assert!(Instant::now() < deadline, "the next second never came");
    }
    for number in 2_000..2_100 {
        assert_eq!(sale.reserve(&wish(number)).await, fresh(1));
    }
}

#[tokio::test]
async fn what_is_known_is_said_in_one_call_and_only_at_the_armed_epoch() {
    let sale = Sale::armed("known", &[(1, 2)]).await;
    sale.reserve(&wish(1)).await;
    sale.reserve(&wish(3)).await;
    assert_eq!(sale.reserve(&wish(4)).await, Reserved::SoldOut);
    let asked: Vec<_> = (1..=4).map(|number| wish(number).order).collect();
    let known = async |epoch, asked| sale.store.known(sale.event, epoch, asked).await.unwrap();
    let expected = vec![true, false, true, false];
    assert_eq!(known(Epoch(1), &asked[..]).await, Some(expected));
    assert_eq!(known(Epoch(1), &[]).await, Some(Vec::new()));
    assert_eq!(known(Epoch(2), &asked[..]).await, None);
    let many = vec![wish(1).order; ticket_stock::KNOWN_ORDERS_MAX + 1];
    let answers = known(Epoch(1), &many[..]).await.unwrap();
    assert_eq!(answers, vec![true; ticket_stock::KNOWN_ORDERS_MAX]);
}
