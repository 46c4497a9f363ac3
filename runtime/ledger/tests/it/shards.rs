//! Making stock shards, and seeing where they are.

use ticket_core::{Epoch, ErrorClass, EventId, StockCounts};
use ticket_ledger::{LedgerError, NewStockShard, NodeRole};
use ticket_testkit::unique;
use uuid::Uuid;

use crate::fixture::{TestLedger, batch, on_both, place, vip};

on_both!(
    shards_are_made_once,
    a_second_planner_cannot_double_the_stock,
    shards_of_an_unknown_event_are_refused,
    a_seed_starts_from_what_is_available,
    every_shard_has_a_node_that_answers,
);

async fn new_shards(db: &TestLedger, count: u32) -> Vec<NewStockShard> {
    let ids = db
        .ledger
        .allocate_shard_ids(usize::try_from(count).unwrap())
        .await
        .unwrap();
    let shard = |(partition, id)| NewStockShard {
        id,
        category: vip(),
        partition,
        capacity: 50,
    };
    (0..).zip(ids).map(shard).collect()
}

async fn shards_are_made_once(db: TestLedger) {
    let event = db.event(&unique("sale")).await.id;
    let shards = new_shards(&db, 4).await;
    db.ledger
        .create_stock_shards(event, 0, &shards)
        .await
        .unwrap();
    let change = db.ledger.event(event).await.unwrap().unwrap().change;
    db.ledger
        .apply(&batch(
            shards[2].id,
            vec![place(shards[2].id, 1, 2)],
            vec![],
        ))
        .await
        .unwrap();
    // Again, as after a crash: nothing is reset, nobody re-reads.
    db.ledger
        .create_stock_shards(event, 0, &shards)
        .await
        .unwrap();
    let row = db.ledger.event(event).await.unwrap().unwrap();
    assert_eq!(row.change, change);
    let partitions: Vec<_> = row
        .shards
        .iter()
        .map(|shard| (shard.id, shard.partition))
        .collect();
    assert_eq!(
        partitions,
        shards
            .iter()
            .map(|s| (s.id, s.partition))
            .collect::<Vec<_>>()
    );
    let stock = db.ledger.stock(event).await.unwrap();
    let full = StockCounts {
        capacity: 50,
        available: 50,
        held: 0,
        sold: 0,
    };
    assert_eq!(
        (stock[0].counts, stock[0].epoch, stock[0].version),
        (full, Epoch::FIRST, 0)
    );
    assert_eq!(
        stock[2].counts,
        StockCounts {
            available: 48,
            held: 2,
            ..full
        }
    );
}

async fn a_second_planner_cannot_double_the_stock(db: TestLedger) {
    let event = db.event(&unique("sale")).await.id;
    let (one, two) = (new_shards(&db, 2).await, new_shards(&db, 2).await);
    let (one, two) = tokio::join!(
        db.ledger.create_stock_shards(event, 0, &one),
        db.ledger.create_stock_shards(event, 0, &two),
    );
    let refused = [one, two]
        .into_iter()
        .filter_map(Result::err)
        .collect::<Vec<_>>();
    let [
        LedgerError::ShardConflict {
            seen: 0, found: 2, ..
        },
    ] = refused[..]
    else {
        panic!("{refused:?}");
    };
    assert_eq!(refused[0].class(), ErrorClass::Conflict);
    assert_eq!(db.ledger.stock(event).await.unwrap().len(), 2);
}

async fn shards_of_an_unknown_event_are_refused(db: TestLedger) {
    let nobody = EventId(Uuid::nil());
    let shards = new_shards(&db, 1).await;
    let error = db
        .ledger
        .create_stock_shards(nobody, 0, &shards)
        .await
        .unwrap_err();
    assert!(
        matches!(error, LedgerError::UnknownEvent { .. }),
        "{error:?}"
    );
    assert!(db.ledger.seed_view(nobody).await.unwrap().is_none());
}

async fn a_seed_starts_from_what_is_available(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let other = db.more_stock(event, 7).await;
    db.ledger
        .apply(&batch(shard, vec![place(shard, 1, 4)], vec![]))
        .await
        .unwrap();
    let view = db.ledger.seed_view(event).await.unwrap().unwrap();
    assert_eq!((view.epoch, view.is_settled), (Epoch::FIRST, true));
    assert_eq!(view.categories.len(), 1);
    let shards = view.categories[0].shards.iter();
    let units: Vec<_> = shards
        .map(|stock| (stock.shard, stock.available, stock.capacity))
        .collect();
    assert_eq!(units, [(shard, 6, 10), (other, 7, 7)]);
}

async fn every_shard_has_a_node_that_answers(db: TestLedger) {
    let event = db.event(&unique("sale")).await.id;
    let shards = new_shards(&db, 8).await;
    db.ledger
        .create_stock_shards(event, 0, &shards)
        .await
        .unwrap();
    let topology = db.ledger.topology().await.unwrap();
    assert_eq!(topology.citus, db.ledger.is_distributed().await.unwrap());
    assert!(
        topology
            .nodes
            .iter()
            .all(|node| node.alive && node.bytes.is_some())
    );
    let role = if topology.citus {
        NodeRole::Worker
    } else {
        NodeRole::Single
    };
    for stock in db.ledger.stock(event).await.unwrap() {
        let holder = topology
            .shards
            .iter()
            .find(|s| s.stock_shard_ids.contains(&stock.id));
        assert_eq!(holder.unwrap().node, stock.node);
        let node = topology
            .nodes
            .iter()
            .find(|node| node.name == stock.node)
            .unwrap();
        assert_eq!(node.role, role);
    }
    if topology.citus {
        assert_eq!(topology.nodes[0].role, NodeRole::Coordinator);
        assert_eq!(topology.shards.len(), 32);
    }
}
