//! The warm-up lock: one holder, the epoch as its fence, the database's clock, and the marker's place among decisions.

use std::time::Duration;

use ticket_core::{Epoch, EventId, Reason, State};
use ticket_ledger::{
    LedgerError, LockAnswer, LockWish, PlaceOutcome, WARMUPS_KEPT, Warmup, WarmupKind,
};

use crate::fixture::{TestLedger, batch, on_both, place};

on_both!(
    taking_the_lock_raises_the_epoch_and_has_one_winner,
    a_lock_that_ran_out_is_lost_for_good,
    a_lock_is_given_back_once_and_can_be_broken,
    the_oldest_warm_ups_are_forgotten,
    no_lock_without_a_sale,
    a_missed_decision_makes_a_warm_up_sure,
    a_marker_divides_what_counts_from_what_is_refused,
    what_changed_since_is_found_by_its_version,
);

const MINUTE: Duration = Duration::from_mins(1);

fn wish(holder: &str, seen: Option<i64>) -> LockWish<'_> {
    LockWish {
        kind: WarmupKind::Run,
        holder,
        reason: Some("a test"),
        lasts: MINUTE,
        seen: seen.map(Epoch),
    }
}

async fn taken(db: &TestLedger, event: EventId, wish: &LockWish<'_>) -> Warmup {
    match db.ledger.lock_warmup(event, wish).await.unwrap() {
        LockAnswer::Taken(held) => held,
        other @ (LockAnswer::Held(_) | LockAnswer::Newer(_) | LockAnswer::Closed) => {
            panic!("{other:?}")
        }
    }
}

async fn is_finished(db: &TestLedger, event: EventId) -> (bool, bool) {
    let mut row = db.ledger.event(event).await.unwrap().unwrap();
    row.is_open = true;
    db.ledger.write_event(&row).await.unwrap();
    let warmth = db.ledger.warmth().await.unwrap();
    let one = warmth.into_iter().find(|one| one.event == event).unwrap();
    (one.is_held, one.is_finished)
}

async fn taking_the_lock_raises_the_epoch_and_has_one_winner(db: TestLedger) {
    let (event, _) = db.shard(10).await;
    assert_eq!(is_finished(&db, event).await, (false, true));
    let before = db.ledger.event(event).await.unwrap().unwrap();
    let holders: Vec<String> = (0..8).map(|number| format!("keeper-{number}")).collect();
    let wishes: Vec<_> = holders.iter().map(|name| wish(name, Some(1))).collect();
    let mut winners = 0;
    let mut set = Vec::new();
    for wish in &wishes {
        set.push(db.ledger.lock_warmup(event, wish));
    }
    for answer in join_all(set).await {
        match answer.unwrap() {
            LockAnswer::Taken(held) => {
                assert_eq!((held.epoch, held.finished_at), (Epoch(2), None));
                winners += 1;
            }
            // Whoever comes later finds an epoch that it has not seen.
            LockAnswer::Newer(epoch) => assert_eq!(epoch, Epoch(2)),
            // Whoever read the epoch just before the winner's commit, and the lock just after it, finds the winner.
            LockAnswer::Held(by) => assert_eq!((by.epoch, by.finished_at), (Epoch(2), None)),
            LockAnswer::Closed => panic!("the event is open"),
        }
    }
    assert_eq!(winners, 1);
    let held = db.ledger.lock_warmup(event, &wish("late", None)).await;
    let LockAnswer::Held(by) = held.unwrap() else {
        panic!("it is held")
    };
    assert!(by.holder.starts_with("keeper-") && by.expires_at > by.acquired_at);
    let after = db.ledger.event(event).await.unwrap().unwrap();
    assert_eq!(after.epoch, Epoch(2));
    assert!(after.change > before.change, "services read it again");
    assert_eq!(is_finished(&db, event).await, (true, false));
    assert!(db.ledger.finish_warmup(&by, "armed").await.unwrap());
    assert_eq!(is_finished(&db, event).await, (false, true));
}

async fn join_all<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *done = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

async fn a_lock_that_ran_out_is_lost_for_good(db: TestLedger) {
    let (event, _) = db.shard(10).await;
    let short = LockWish {
        lasts: Duration::from_millis(300),
        ..wish("ann", None)
    };
    let ann = taken(&db, event, &short).await;
    assert!(
        db.ledger
            .extend_warmup(&ann, Duration::from_millis(300))
            .await
            .unwrap()
    );
    // Only the database's clock ends it.
    while db.ledger.warmup_lock(event).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    // Her own clock may say what it likes.
    assert!(!db.ledger.extend_warmup(&ann, MINUTE).await.unwrap());
    assert_eq!(db.ledger.warmup_lock(event).await.unwrap(), None);
    assert_eq!(is_finished(&db, event).await, (false, false));
    let bob = taken(&db, event, &wish("bob", None)).await;
    assert_eq!(bob.epoch, Epoch(3));
    assert!(!db.ledger.finish_warmup(&ann, "armed").await.unwrap());
    let history = db.ledger.warmup_history(event, 10).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|one| (one.epoch.0, one.holder.as_str(), one.result.as_deref()))
        .collect();
    assert_eq!(told, [(3, "bob", None), (2, "ann", Some("expired"))]);
    assert_eq!(db.ledger.warmup_history(event, 1).await.unwrap().len(), 1);
}

async fn the_oldest_warm_ups_are_forgotten(db: TestLedger) {
    let (event, _) = db.shard(10).await;
    for _ in 0..=WARMUPS_KEPT {
        let held = taken(&db, event, &wish("ann", None)).await;
        assert!(db.ledger.finish_warmup(&held, "failed").await.unwrap());
    }
    let kept = db.ledger.warmup_history(event, u32::MAX).await.unwrap();
    let newest = kept.first().map(|one| one.epoch.0);
    assert_eq!(
        (i64::try_from(kept.len()), newest),
        (Ok(WARMUPS_KEPT), Some(WARMUPS_KEPT + 2))
    );
}

async fn a_lock_is_given_back_once_and_can_be_broken(db: TestLedger) {
    let (event, _) = db.shard(10).await;
    let held = taken(&db, event, &wish("ann", None)).await;
    let stranger = Warmup {
        holder: "bob".to_owned(),
        ..held.clone()
    };
    assert!(!db.ledger.finish_warmup(&stranger, "armed").await.unwrap());
    assert!(db.ledger.finish_warmup(&held, "released").await.unwrap());
    assert!(!db.ledger.finish_warmup(&held, "armed").await.unwrap());
    assert_eq!(is_finished(&db, event).await, (false, false));

    let held = taken(&db, event, &wish("ann", None)).await;
    assert!(db.ledger.break_warmup(&held).await.unwrap());
    assert!(!db.ledger.extend_warmup(&held, MINUTE).await.unwrap());
    let history = db.ledger.warmup_history(event, 1).await.unwrap();
    assert_eq!(history[0].result.as_deref(), Some("broken"));
}

async fn no_lock_without_a_sale(db: TestLedger) {
    let nobody = EventId::random();
    let error = db.ledger.lock_warmup(nobody, &wish("ann", None)).await;
    assert!(matches!(error, Err(LedgerError::UnknownEvent { .. })));
    let (event, _) = db.shard(10).await;
    let mut row = db.ledger.event(event).await.unwrap().unwrap();
    row.is_closed = true;
    db.ledger.write_event(&row).await.unwrap();
    let answer = db.ledger.lock_warmup(event, &wish("ann", None)).await;
    assert_eq!(answer.unwrap(), LockAnswer::Closed);
    let row = db.ledger.event(event).await.unwrap().unwrap();
    assert_eq!(row.epoch, Epoch(1));
}

async fn a_missed_decision_makes_a_warm_up_sure(db: TestLedger) {
    let (event, _) = db.shard(10).await;
    let need = || db.ledger.need_warmup(event, "processor", "redis is away");
    assert!(need().await.unwrap());
    assert!(!need().await.unwrap(), "it is sure already");
    assert_eq!(is_finished(&db, event).await, (false, false));
    // A run that is under way may have read before the decision.
    let held = taken(&db, event, &wish("ann", Some(2))).await;
    assert!(need().await.unwrap());
    assert!(!db.ledger.finish_warmup(&held, "armed").await.unwrap());
    // One that ended before it has surely not.
    let held = taken(&db, event, &wish("ann", Some(4))).await;
    assert!(db.ledger.finish_warmup(&held, "armed").await.unwrap());
    assert_eq!(is_finished(&db, event).await, (false, true));
    assert!(need().await.unwrap());
    assert_eq!(is_finished(&db, event).await, (false, false));
    // After a hold somebody warms up in any case.
    let to_hold = LockWish {
        kind: WarmupKind::Hold,
        ..wish("ann", None)
    };
    taken(&db, event, &to_hold).await;
    assert!(!need().await.unwrap());
    let nobody = EventId::random();
    let gone = db.ledger.need_warmup(nobody, "processor", "gone").await;
    assert!(!gone.unwrap());
}

async fn a_marker_divides_what_counts_from_what_is_refused(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let before = batch(shard, vec![place(shard, 1, 2)], vec![]);
    db.ledger.apply(&before).await.unwrap();
    let version = db.ledger.stock(event).await.unwrap()[0].version;
    assert_eq!(db.ledger.unmarked(&[shard], Epoch(2)).await.unwrap(), 1);
    for epoch in [2, 2, 1] {
        // Never back.
        let at = db.ledger.mark(shard, Epoch(epoch)).await.unwrap();
        assert_eq!(at, Epoch(2));
    }
    assert_eq!(db.ledger.unmarked(&[shard], Epoch(2)).await.unwrap(), 0);
    let row = &db.ledger.stock(event).await.unwrap()[0];
    assert_eq!((row.epoch, row.version), (Epoch(2), version));

    let stale = place(shard, 2, 2);
    let again = place(shard, 1, 2);
    let mut new = place(shard, 3, 2);
    new.epoch = Epoch(2);
    let after = batch(shard, vec![stale, again, new], vec![]);
    let places = db.ledger.apply(&after).await.unwrap().places;
    let PlaceOutcome::Known(known) = &places[1] else {
        panic!("{places:?}")
    };
    assert_eq!(known.state, State::Reserved);
    let refused = PlaceOutcome::Fresh {
        state: State::Rejected,
        reason: Some(Reason::StaleEpoch),
    };
    let reserved = PlaceOutcome::Fresh {
        state: State::Reserved,
        reason: None,
    };
    assert_eq!((&places[0], &places[2]), (&refused, &reserved));
}

async fn what_changed_since_is_found_by_its_version(db: TestLedger) {
    let (event, one) = db.shard(10).await;
    let two = db.more_stock(event, 10).await;
    let apply = async |shard, number| {
        let batch = batch(shard, vec![place(shard, number, 1)], vec![]);
        db.ledger.apply(&batch).await.unwrap().version
    };
    let first = apply(one, 1).await;
    apply(one, 2).await;
    apply(two, 3).await;
    let changed = async |seen: &[_], after, limit| {
        let page = db.ledger.orders_changed_since(event, seen, after, limit);
        page.await.unwrap()
    };
    let page = changed(&[(one, first), (two, 0)], None, 10).await;
    let ids: Vec<_> = page.iter().map(|(id, _)| id.shard).collect();
    assert_eq!(ids, [one, two]);
    let begin = changed(&[(one, first), (two, 0)], None, 1).await;
    assert_eq!(begin[..], page[..1]);
    let rest = changed(&[(one, first), (two, 0)], Some(begin[0].0), 5).await;
    assert_eq!(rest[..], page[1..]);
    assert!(changed(&[(one, 99), (two, 99)], None, 5).await.is_empty());
}
