//! Audits take turns: one at a time, the event that has waited longest, and a turn that died is somebody else's.

use std::time::Duration;

use ticket_core::EventId;

use crate::fixture::{TestLedger, on_both};

on_both!(alone:
    events_take_turns_one_at_a_time,
    of_many_that_ask_one_has_the_turn,
    what_was_found_is_kept_and_a_turn_that_died_passes_on,
);

const AT_ONCE: Duration = Duration::ZERO;
const MINUTE: Duration = Duration::from_mins(1);

async fn on_sale(db: &TestLedger, name: &str) -> EventId {
    let mut row = db.event(name).await;
    row.is_open = true;
    db.ledger.write_event(&row).await.unwrap();
    row.id
}

async fn take(db: &TestLedger, every: Duration) -> Option<EventId> {
    db.ledger.take_audit("me", every, MINUTE).await.unwrap()
}

async fn events_take_turns_one_at_a_time(db: TestLedger) {
    assert_eq!(take(&db, AT_ONCE).await, None, "there is nothing to audit");
    db.event("not-open-yet").await;
    assert_eq!(take(&db, AT_ONCE).await, None);
    let both = [on_sale(&db, "one").await, on_sale(&db, "two").await];
    let first = take(&db, MINUTE).await.unwrap();
    assert_eq!(take(&db, AT_ONCE).await, None, "somebody is at it");
    db.ledger.note_audit(first, "me", &[]).await.unwrap();
    let second = take(&db, MINUTE).await.unwrap();
    db.ledger.note_audit(second, "me", &[]).await.unwrap();
    assert!(first != second && both.contains(&first) && both.contains(&second));
    assert_eq!(take(&db, MINUTE).await, None, "both were audited just now");
    assert_eq!(
        take(&db, AT_ONCE).await,
        Some(first),
        "it has waited longer"
    );
    db.ledger.note_audit(first, "me", &[]).await.unwrap();
    let mut closed = db.ledger.event(second).await.unwrap().unwrap();
    closed.is_closed = true;
    db.ledger.write_event(&closed).await.unwrap();
    assert_eq!(take(&db, AT_ONCE).await, Some(first), "the other is over");
}

async fn of_many_that_ask_one_has_the_turn(db: TestLedger) {
    on_sale(&db, "one").await;
    on_sale(&db, "two").await;
    let names: Vec<String> = (0..6).map(|number| format!("admin-{number}")).collect();
    let mut asked = tokio::task::JoinSet::new();
    for name in names {
        let ledger = db.ledger.clone();
        asked.spawn(async move { ledger.take_audit(&name, MINUTE, MINUTE).await.unwrap() });
    }
    let turns = asked.join_all().await.into_iter().flatten().count();
    assert_eq!(turns, 1);
}

async fn what_was_found_is_kept_and_a_turn_that_died_passes_on(db: TestLedger) {
    let event = on_sale(&db, "one").await;
    let other = on_sale(&db, "two").await;
    assert_eq!(db.ledger.last_audit(event).await.unwrap(), None);
    let failed = ["store", "facts"].map(str::to_owned);
    db.ledger
        .note_audit(event, "by hand", &failed)
        .await
        .unwrap();
    let found = db.ledger.last_audit(event).await.unwrap().unwrap();
    assert_eq!(found.failed_checks, failed);
    db.ledger.note_audit(event, "by hand", &[]).await.unwrap();
    let newer = db.ledger.last_audit(event).await.unwrap().unwrap();
    assert!(newer.failed_checks.is_empty() && newer.at > found.at);

    // Its turn is taken, and whoever took it dies.
    let short = Duration::from_millis(1);
    let died = db.ledger.take_audit("dies", AT_ONCE, short).await.unwrap();
    assert_eq!(died, Some(other), "it was never audited");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        take(&db, AT_ONCE).await,
        Some(event),
        "nobody waits for the dead"
    );
    // Somebody else's note leaves the turn alone.
    db.ledger.note_audit(event, "by hand", &[]).await.unwrap();
    assert_eq!(take(&db, AT_ONCE).await, None);
    db.ledger.note_audit(event, "me", &[]).await.unwrap();
    assert_eq!(take(&db, AT_ONCE).await, Some(other));
    let gone = EventId::random();
    db.ledger.note_audit(gone, "me", &failed).await.unwrap();
    assert_eq!(db.ledger.last_audit(gone).await.unwrap(), None);
}
