//! Marks: equal as long as nothing happens, and another one whatever happens to an event or its stock.

use ticket_core::EventId;
use ticket_ledger::EventMark;

use crate::fixture::{TestLedger, batch, on_both, place};

on_both!(a_mark_changes_with_everything_that_happens_to_its_event_and_with_nothing_else);

async fn mark(db: &TestLedger, event: EventId) -> Option<EventMark> {
    let marks = db.ledger.event_marks().await.unwrap();
    marks.into_iter().find(|mark| mark.event == event)
}

async fn a_mark_changes_with_everything_that_happens_to_its_event_and_with_nothing_else(
    db: TestLedger,
) {
    let (event, shard) = db.shard(10).await;
    let (other, other_shard) = db.shard(10).await;
    let mut before = mark(&db, event).await.unwrap();
    let row = db.ledger.event(event).await.unwrap().unwrap();
    assert_eq!((&before.name, &before.topic), (&row.name, &row.topic));
    assert_eq!((before.stock.shards, before.stock.capacity), (1, 10));
    let mut has_changed = async || {
        let now = mark(&db, event).await.unwrap();
        std::mem::replace(&mut before, now.clone()) != now
    };

    let places = vec![place(other_shard, 1, 4)];
    let sold = batch(other_shard, places, vec![]);
    db.ledger.apply(&sold).await.unwrap();
    assert!(!has_changed().await, "another event's");
    let sold = batch(shard, vec![place(shard, 1, 4)], vec![]);
    db.ledger.apply(&sold).await.unwrap();
    assert!(has_changed().await, "an order");
    let paused = ticket_ledger::EventRow {
        paused: true,
        ..row
    };
    db.ledger.write_event(&paused).await.unwrap();
    assert!(has_changed().await, "a setting");
    db.ledger.write_event(&paused).await.unwrap();
    assert!(!has_changed().await, "the same again");
    db.ledger.need_warmup(event, "test", "test").await.unwrap();
    assert!(has_changed().await, "an epoch");
    db.more_stock(event, 5).await;
    assert!(has_changed().await, "a stock shard");
    sqlx::query("DELETE FROM stock_shards WHERE stock_shard_id = $1")
        .bind(shard.get())
        .execute(&mut db.sql().await)
        .await
        .unwrap();
    assert!(has_changed().await, "a lost row");
    db.ledger.delete_event(other, "uid-1").await.unwrap();
    assert!(!has_changed().await);
    assert_eq!(mark(&db, other).await, None);
}
