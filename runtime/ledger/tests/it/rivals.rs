//! Several writers at once: a consumer that lost its partition and does not know it yet does no harm.

use std::collections::HashSet;

use ticket_core::{Action, OrderId, State};
use ticket_ledger::PlaceOutcome;

use crate::fixture::{TestLedger, batch, command, connect, on_both, payment_ready, place, second};

on_both!(
    zombies_that_apply_the_same_orders_sell_nothing_twice,
    zombies_that_apply_the_same_payments_count_nothing_twice,
);

const ORDERS: u128 = 400;
const CAPACITY: u32 = 500;

async fn zombies_that_apply_the_same_orders_sell_nothing_twice(db: TestLedger) {
    let (event, shard) = db.shard(CAPACITY).await;
    // The same log, cut into batches differently.
    let rivals = [7_usize, 16, 50, 400].map(|size| {
        let ledger = connect(&db.url);
        async move {
            let log: Vec<_> = (0..ORDERS).map(|number| place(shard, number, 2)).collect();
            let mut fresh: Vec<(OrderId, State)> = Vec::new();
            for part in log.chunks(size) {
                let applied = ledger
                    .apply(&batch(shard, part.to_vec(), vec![]))
                    .await
                    .unwrap();
                assert!(applied.stock.is_conserved());
                for (place, outcome) in part.iter().zip(applied.places) {
                    if let PlaceOutcome::Fresh { state, .. } = outcome {
                        fresh.push((place.order, state));
                    }
                }
            }
            fresh
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for rival in rivals {
        tasks.spawn(rival);
    }
    let decisions: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    // Each order was decided once, by one of them.
    assert_eq!(decisions.len(), usize::try_from(ORDERS).unwrap());
    assert_eq!(
        decisions
            .iter()
            .map(|(order, _)| order)
            .collect::<HashSet<_>>()
            .len(),
        decisions.len()
    );
    let reserved = decisions
        .iter()
        .filter(|(_, state)| *state == State::Reserved)
        .count();
    assert_eq!(reserved, usize::try_from(CAPACITY / 2).unwrap());
    let view = db.ledger.audit_view(event, second(0)).await.unwrap();
    assert!(view.shards[0].adds_up(), "{view:?}");
}

async fn zombies_that_apply_the_same_payments_count_nothing_twice(db: TestLedger) {
    let (event, shard) = db.shard(1_000).await;
    let places = (0..ORDERS).map(|number| place(shard, number, 1)).collect();
    db.ledger
        .apply(&batch(shard, places, vec![]))
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for size in [11_usize, 33, 100] {
        let ledger = connect(&db.url);
        tasks.spawn(async move {
            let log: Vec<_> = (0..ORDERS)
                .flat_map(|number| {
                    [
                        command(shard, number, 1, payment_ready(number)),
                        command(shard, number, 2, Action::PaymentSucceeded),
                    ]
                })
                .collect();
            for part in log.chunks(size) {
                let applied = ledger
                    .apply(&batch(shard, vec![], part.to_vec()))
                    .await
                    .unwrap();
                assert!(applied.stock.is_conserved());
                assert_eq!(applied.illegal, 0);
            }
        });
    }
    tasks.join_all().await;
    let view = db.ledger.audit_view(event, second(0)).await.unwrap();
    assert!(view.shards[0].adds_up(), "{view:?}");
    assert_eq!(view.shards[0].counts.sold, i64::try_from(ORDERS).unwrap());
}
