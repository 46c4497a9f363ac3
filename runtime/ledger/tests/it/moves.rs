//! Moving Citus shards: done, done before, not true any more, stopped, out of time; and never on plain `PostgreSQL`.

use std::time::{Duration, Instant};

use sqlx::Connection as _;
use ticket_core::{ErrorClass, StockShardId};
use ticket_ledger::{LedgerError, Moved, Placement, ShardMove, Transfer};

use crate::fixture::{TestLedger, batch, on_both, place, second};

on_both!(
    alone: a_shard_moves_with_its_orders_and_is_known_by_its_hashes,
    a_move_that_is_broken_off_leaves_the_shard_where_it_was,
    calls_find_a_moved_shard_although_nothing_fails,
    a_batch_waits_for_the_move_of_its_own_shard_only,
    a_node_that_is_closed_takes_nothing_new,
);

/// Far longer than any of these takes.
const LIMIT: Duration = Duration::from_mins(1);

/// Age of a route (2 s), and time for the question on a busy machine.
const ROUTE_AGE_MAX: Duration = Duration::from_secs(10);

/// Whether there is something to move; on plain `PostgreSQL` everything says what it needs.
async fn is_distributed(db: &TestLedger) -> bool {
    if db.ledger.is_distributed().await.unwrap() {
        return true;
    }
    let wish = ShardMove {
        low: 0,
        high: 1,
        from: "a:1".to_owned(),
        to: "b:1".to_owned(),
        transfer: Transfer::BlockWrites,
        limit: LIMIT,
    };
    for refused in [
        db.ledger.placements(second(0)).await.unwrap_err(),
        db.ledger.shard_sizes().await.unwrap_err(),
        db.ledger.clean_up_moves().await.unwrap_err(),
        db.ledger.close_node("a:1").await.unwrap_err(),
        db.ledger.can_follow_changes().await.unwrap_err(),
        db.ledger
            .move_shard(&wish, std::future::pending())
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(refused, LedgerError::NeedsCitus), "{refused:?}");
        assert_eq!(refused.code(), "needs-citus");
        assert_eq!(refused.class(), ErrorClass::Permanent);
    }
    false
}

async fn holder(db: &TestLedger, shard: StockShardId) -> Placement {
    let placements = db.ledger.placements(second(0)).await.unwrap();
    let mut shards = placements.shards.into_iter();
    shards
        .find(|it| it.stock.iter().any(|stock| stock.id == shard))
        .unwrap()
}

/// The worker that does not hold it.
async fn other(db: &TestLedger, held: &Placement) -> String {
    let placements = db.ledger.placements(second(0)).await.unwrap();
    let mut nodes = placements.nodes.into_iter().skip(1);
    nodes.find(|node| node.name != held.node).unwrap().name
}

fn wish(held: &Placement, to: &str, transfer: Transfer) -> ShardMove {
    ShardMove {
        low: held.low,
        high: held.high,
        from: held.node.clone(),
        to: to.to_owned(),
        transfer,
        limit: LIMIT,
    }
}

async fn a_shard_moves_with_its_orders_and_is_known_by_its_hashes(db: TestLedger) {
    if !is_distributed(&db).await {
        return;
    }
    let (event, shard) = db.shard(100).await;
    let orders = (1..=20).map(|number| place(shard, number, 2)).collect();
    db.ledger
        .apply(&batch(shard, orders, vec![]))
        .await
        .unwrap();
    let before = db.ledger.stock(event).await.unwrap();
    let held = holder(&db, shard).await;
    assert!(!held.stock[0].is_on_sale);
    let to = other(&db, &held).await;
    let there = wish(&held, &to, Transfer::BlockWrites);
    let done = db.ledger.move_shard(&there, std::future::pending()).await;
    assert!(matches!(done.unwrap(), Moved::Now { .. }));
    let after = db.ledger.stock(event).await.unwrap();
    assert_eq!(after[0].counts, before[0].counts);
    assert_eq!((&after[0].node, &before[0].node), (&to, &held.node));
    assert_eq!(
        db.ledger
            .event_orders(event, None, 100)
            .await
            .unwrap()
            .len(),
        20
    );

    // Again: it is there. From where it is not: nothing is changed.
    let again = db.ledger.move_shard(&there, std::future::pending()).await;
    assert_eq!(again.unwrap(), Moved::Before);
    let wrong = ShardMove {
        to: "nobody:1".to_owned(),
        ..there.clone()
    };
    let stale = db.ledger.move_shard(&wrong, std::future::pending()).await;
    let found = Some(to.clone());
    assert_eq!(stale.unwrap(), Moved::Stale { found });
    let split = ShardMove {
        high: there.high - 1,
        ..there.clone()
    };
    let gone = db.ledger.move_shard(&split, std::future::pending()).await;
    assert_eq!(gone.unwrap(), Moved::Stale { found: None });

    assert!(db.ledger.can_follow_changes().await.unwrap());
    // And back, the other way of copying.
    let moved = holder(&db, shard).await;
    let back = wish(&moved, &held.node, Transfer::ForceLogical);
    let done = db.ledger.move_shard(&back, std::future::pending()).await;
    assert!(matches!(done.unwrap(), Moved::Now { .. }));
    assert_eq!(
        db.ledger
            .event_orders(event, None, 100)
            .await
            .unwrap()
            .len(),
        20
    );
    assert_eq!(db.ledger.clean_up_moves().await.unwrap(), 0);
    let sizes = db.ledger.shard_sizes().await.unwrap();
    assert!(sizes[&held.low] > 0);
}

async fn a_move_that_is_broken_off_leaves_the_shard_where_it_was(db: TestLedger) {
    if !is_distributed(&db).await {
        return;
    }
    let (_, shard) = db.shard(100).await;
    let held = holder(&db, shard).await;
    let to = other(&db, &held).await;
    // Somebody holds a row: the move has to wait for him.
    let mut sql = db.sql().await;
    let mut blocking = sqlx::Connection::begin(&mut sql).await.unwrap();
    sqlx::query("UPDATE stock_shards SET version = version WHERE stock_shard_id = $1")
        .bind(shard.get())
        .execute(&mut *blocking)
        .await
        .unwrap();
    let wish = wish(&held, &to, Transfer::BlockWrites);
    let soon = tokio::time::sleep(Duration::from_millis(500));
    let stopped = db.ledger.move_shard(&wish, soon).await.unwrap();
    assert_eq!(stopped, Moved::Stopped);

    let hasty = ShardMove {
        limit: Duration::from_millis(500),
        ..wish.clone()
    };
    let late = db.ledger.move_shard(&hasty, std::future::pending()).await;
    let late = late.unwrap_err();
    assert_eq!(
        (late.code(), late.class()),
        ("move-failed", ErrorClass::Retry)
    );
    assert!(!late.is_busy());

    // One at a time: a second one is told so, and it is no failure of the shard.
    let (first, second) = (
        async {
            let soon = tokio::time::sleep(Duration::from_secs(2));
            db.ledger.move_shard(&wish, soon).await
        },
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            db.ledger.move_shard(&hasty, std::future::pending()).await
        },
    );
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap(), Moved::Stopped);
    let second = second.unwrap_err();
    assert_eq!(second.class(), ErrorClass::Retry, "{second:?}");
    assert_eq!(holder(&db, shard).await.node, held.node);

    blocking.rollback().await.unwrap();
    assert_eq!(db.ledger.clean_up_moves().await.unwrap(), 0);
    let done = db.ledger.move_shard(&wish, std::future::pending()).await;
    assert!(matches!(done.unwrap(), Moved::Now { .. }));
}

async fn calls_find_a_moved_shard_although_nothing_fails(db: TestLedger) {
    if !is_distributed(&db).await {
        return;
    }
    let (_, stays) = db.shard(100).await;
    let to = holder(&db, stays).await.node;
    let (goes, held) = loop {
        let (_, shard) = db.shard(100).await;
        let held = holder(&db, shard).await;
        if held.node != to {
            break (shard, held);
        }
    };
    let shards = [stays, goes];
    assert_eq!(db.ledger.by_node(&shards).await.unwrap().len(), 2);
    let wish = wish(&held, &to, Transfer::BlockWrites);
    let done = db.ledger.move_shard(&wish, std::future::pending()).await;
    assert!(matches!(done.unwrap(), Moved::Now { .. }));
    // The old worker passes the orders on, so that no error tells.
    let orders = (1..=20).map(|number| place(goes, number, 2)).collect();
    db.ledger.apply(&batch(goes, orders, vec![])).await.unwrap();
    let began = Instant::now();
    while db.ledger.by_node(&shards).await.unwrap().len() > 1 {
        assert!(began.elapsed() < ROUTE_AGE_MAX);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn a_batch_waits_for_the_move_of_its_own_shard_only(db: TestLedger) {
    if !is_distributed(&db).await {
        return;
    }
    let (event, shard) = db.shard(100).await;
    let held = holder(&db, shard).await;
    let mut sql = db.sql().await;
    let others: Vec<i64> = sqlx::query_scalar(
        "SELECT shardid FROM pg_dist_shard WHERE shardminvalue::integer <> $1 \
         AND logicalrelid IN ('stock_shards'::regclass, 'orders'::regclass)",
    )
    .bind(held.low)
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert!(others.len() > 2, "{others:?}");
    // As a move of all of them would at its cutover.
    let (host, port) = held.node.split_once(':').unwrap();
    let options: sqlx::postgres::PgConnectOptions = db.url.parse().unwrap();
    let options = options.host(host).port(port.parse().unwrap());
    let mut worker = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let mut moving = worker.begin().await.unwrap();
    sqlx::query("SELECT lock_shard_metadata(7, $1)")
        .bind(&others)
        .execute(&mut *moving)
        .await
        .unwrap();
    let orders = (1..=20).map(|number| place(shard, number, 2)).collect();
    let applied = db.ledger.apply(&batch(shard, orders, vec![])).await;
    assert_eq!(applied.unwrap().places.len(), 20);
    let orders = db.ledger.event_orders(event, None, 100).await.unwrap();
    assert_eq!(orders.len(), 20);
    moving.rollback().await.unwrap();
}

async fn a_node_that_is_closed_takes_nothing_new(db: TestLedger) {
    if !is_distributed(&db).await {
        return;
    }
    let nodes = db.ledger.placements(second(0)).await.unwrap().nodes;
    let takes: Vec<bool> = nodes.iter().map(|node| node.takes_shards).collect();
    assert_eq!(takes, [false, true, true]);
    assert!(nodes.iter().all(|node| node.is_alive));
    // Twice is once.
    for _ in 0..2 {
        db.ledger.close_node(&nodes[2].name).await.unwrap();
    }
    let nodes = db.ledger.placements(second(0)).await.unwrap().nodes;
    let takes: Vec<bool> = nodes.iter().map(|node| node.takes_shards).collect();
    assert_eq!(takes, [false, true, false]);
}
