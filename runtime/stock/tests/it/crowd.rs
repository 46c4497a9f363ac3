//! Many at once.

use futures::future::join_all;
use ticket_core::EventId;
use ticket_stock::{Reserved, StockStore};

use crate::fixture::{Sale, Wish, reserve, wish};

const CAPACITY: i64 = 600;
const TASKS: u128 = 64;
const ORDERS_PER_TASK: u128 = 25;

/// What one of the crowd got: units, and how often it was told that nothing is left.
async fn buy(store: StockStore, event: EventId, wishes: Vec<Wish>) -> (i64, u32) {
    let (mut units, mut sold_out) = (0, 0);
    for one in wishes {
        match reserve(&store, event, &one).await {
            Reserved::Fresh { .. } => units += i64::from(one.quantity),
            Reserved::SoldOut => sold_out += 1,
            Reserved::NoShardFits => {}
            other => panic!("{other:?}"),
        }
    }
    (units, sold_out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_never_gets_more_than_there_is_and_gets_all_of_it() {
    let shards: Vec<(i64, i64)> = (1..=6).map(|id| (id, CAPACITY / 6)).collect();
    let sale = Sale::armed("crowd", &shards).await;
    let crowd = (0..TASKS).map(|task| {
        let wishes = (0..ORDERS_PER_TASK).map(|at| {
            let number = task * ORDERS_PER_TASK + at;
            let id = |n: u128| i64::try_from(n % 6).unwrap() + 1;
            let quantity = u32::try_from(number % 3).unwrap() + 1;
            wish(number)
                .units(quantity)
                .on([id(number), id(number / 6)])
        });
        tokio::spawn(buy(sale.store.clone(), sale.event, wishes.collect()))
    });
    let (mut sold, mut told) = (0, 0);
    for task in join_all(crowd).await {
        let (units, sold_out) = task.unwrap();
        sold += units;
        told += sold_out;
    }
    // Single tickets fit everywhere, so nothing is stranded.
    assert_eq!(sold, CAPACITY);
    assert!(told > 0);
    assert_eq!(
        sale.counts("vip").await,
        (1..=6).map(|id| (id, 0)).collect::<Vec<_>>()
    );
    assert_eq!(
        sale.reserve(&wish(u128::MAX).units(3)).await,
        Reserved::SoldOut
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_sent_many_times_at_once_is_one_order() {
    let sale = Sale::armed("repeats", &[(1, 100), (2, 100)]).await;
    for number in 0..50 {
        let repeats = (0..8_i64).map(|at| {
            let (store, event) = (sale.store.clone(), sale.event);
            let one = wish(number).units(2).on([at % 2 + 1, at / 4 + 1]);
            tokio::spawn(async move { reserve(&store, event, &one).await })
        });
        let mut fresh = Vec::new();
        let mut known = Vec::new();
        for repeat in join_all(repeats).await {
            match repeat.unwrap() {
                Reserved::Fresh { shard } => fresh.push(shard),
                Reserved::Known(record) => known.push(record.shard),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((fresh.len(), known.len()), (1, 7));
        assert!(
            known.iter().all(|shard| shard == &fresh[0]),
            "{fresh:?} {known:?}"
        );
    }
    let left: i64 = sale
        .counts("vip")
        .await
        .iter()
        .map(|(_, units)| units)
        .sum();
    assert_eq!(left, 100);
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 50);
}
