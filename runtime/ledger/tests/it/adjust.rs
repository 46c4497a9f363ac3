//! Adjustments: written down once, shared over the stock shards, never below what is taken, and the same after a repeat.

use ticket_core::{Adjustment, EventId, StockCounts, StockShardId, StockSource};
use ticket_ledger::{AdjustmentAsked, AdjustmentPlan, AdjustmentSource, LedgerError};

use crate::fixture::{TestLedger, batch, claim, on_both, place, vip};

on_both!(
    a_capacity_is_set_once_and_never_below_what_is_taken,
    a_version_is_carried_out_once_and_an_older_one_never,
    each_source_counts_its_own_versions,
    an_operator_is_heard_only_if_nothing_has_happened_since_it_looked,
    what_one_stock_shard_could_not_give_is_asked_of_the_others,
    an_adjustment_of_nothing_is_refused,
);

fn reseller(version: i64) -> AdjustmentSource {
    AdjustmentSource::Reseller {
        version,
        event: format!("message-{version}"),
    }
}

async fn ask(
    db: &TestLedger,
    event: EventId,
    wanted: u32,
    source: &AdjustmentSource,
) -> AdjustmentAsked {
    db.ledger
        .ask_adjustment(event, &vip(), wanted, source)
        .await
        .unwrap()
}

async fn open(
    db: &TestLedger,
    event: EventId,
    wanted: u32,
    source: &AdjustmentSource,
) -> AdjustmentPlan {
    match ask(db, event, wanted, source).await {
        AdjustmentAsked::Open(plan) => plan,
        other @ (AdjustmentAsked::Done | AdjustmentAsked::Older) => panic!("{other:?}"),
    }
}

async fn carry_out(db: &TestLedger, plan: &AdjustmentPlan) {
    for (shard, capacity) in &plan.targets {
        let done = db.ledger.adjust(*shard, plan.adjustment, *capacity).await;
        assert_eq!(done.unwrap().adjustment, plan.adjustment);
    }
}

fn counts(capacity: i64, available: i64, held: i64) -> StockCounts {
    StockCounts {
        capacity,
        available,
        held,
        sold: 0,
    }
}

async fn a_capacity_is_set_once_and_never_below_what_is_taken(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    db.ledger
        .apply(&batch(shard, vec![place(shard, 1, 4)], vec![]))
        .await
        .unwrap();
    let adjust = async |number, capacity| {
        let done = db.ledger.adjust(shard, Adjustment(number), capacity);
        let done = done.await.unwrap();
        (done.version, done.stock, done.adjustment)
    };
    assert_eq!(adjust(2, 15).await, (2, counts(15, 11, 4), Adjustment(2)));
    // A repeat, and one that was overtaken.
    assert_eq!(adjust(2, 15).await, (2, counts(15, 11, 4), Adjustment(2)));
    assert_eq!(adjust(1, 90).await, (2, counts(15, 11, 4), Adjustment(2)));
    assert_eq!(adjust(3, 1).await, (3, counts(4, 0, 4), Adjustment(3)));
    assert_eq!(adjust(4, 0).await, (4, counts(4, 0, 4), Adjustment(4)));
    assert_eq!(adjust(9, 5).await, (5, counts(5, 1, 4), Adjustment(9)));

    let stock = db.ledger.stock(event).await.unwrap();
    assert_eq!(stock[0].adjustment, Adjustment(9));
    let row = db.ledger.event(event).await.unwrap().unwrap();
    assert_eq!(row.shards[0].born_with, 10, "birth is not adjusted");
    let nobody = StockShardId::new(9_007_199_254_740_000).unwrap();
    let error = db
        .ledger
        .adjust(nobody, Adjustment(1), 5)
        .await
        .unwrap_err();
    assert!(
        matches!(error, LedgerError::UnknownShard { .. }),
        "{error:?}"
    );
}

async fn a_version_is_carried_out_once_and_an_older_one_never(db: TestLedger) {
    let (event, first) = db.shard(10).await;
    let second = db.more_stock(event, 4).await;
    let plan = open(&db, event, 20, &reseller(5)).await;
    assert_eq!(plan.adjustment, Adjustment(1));
    assert_eq!(plan.targets, [(first, 10), (second, 10)]);
    assert_eq!(plan.reseller_event.as_deref(), Some("message-5"));

    // Died half way: the same message continues with the same targets, whatever was sold or done meanwhile.
    db.ledger.adjust(second, plan.adjustment, 10).await.unwrap();
    assert_eq!(open(&db, event, 20, &reseller(5)).await, plan);
    carry_out(&db, &plan).await;
    db.ledger
        .end_adjustment(event, &vip(), plan.adjustment)
        .await
        .unwrap();
    assert_eq!(
        ask(&db, event, 20, &reseller(5)).await,
        AdjustmentAsked::Done
    );
    assert_eq!(
        ask(&db, event, 99, &reseller(4)).await,
        AdjustmentAsked::Older
    );

    let next = open(&db, event, 7, &reseller(6)).await;
    assert_eq!(next.adjustment, Adjustment(2));
    assert_eq!(next.targets, [(first, 3), (second, 4)]);
    // What comes too late ends nothing.
    db.ledger
        .end_adjustment(event, &vip(), plan.adjustment)
        .await
        .unwrap();
    assert_eq!(open(&db, event, 7, &reseller(6)).await, next);
    assert_eq!(
        ask(&db, event, 20, &reseller(5)).await,
        AdjustmentAsked::Older
    );
}

fn spec(generation: i64, seen: i64) -> AdjustmentSource {
    AdjustmentSource::Spec {
        owner: "uid-1".to_owned(),
        generation,
        seen: Adjustment(seen),
    }
}

async fn each_source_counts_its_own_versions(db: TestLedger) {
    let (event, _) = db.shard(10).await;
    open(&db, event, 20, &reseller(50)).await;
    let plan = open(&db, event, 30, &spec(2, 1)).await;
    assert_eq!(
        (plan.adjustment, plan.reseller_event),
        (Adjustment(2), None)
    );
    // The spec has replaced what the reseller had begun, and the reseller's versions go on where they were.
    assert_eq!(
        ask(&db, event, 20, &reseller(50)).await,
        AdjustmentAsked::Done
    );
    assert_eq!(
        ask(&db, event, 20, &reseller(49)).await,
        AdjustmentAsked::Older
    );
    let plan = open(&db, event, 25, &reseller(51)).await;
    assert_eq!(plan.adjustment, Adjustment(3));
    let newest = db.ledger.newest_adjustments(event).await.unwrap();
    let [newest] = newest.as_slice() else {
        panic!("{newest:?}")
    };
    assert_eq!(
        (newest.adjustment, newest.wanted, newest.source),
        (Adjustment(3), 25, StockSource::Reseller)
    );
    assert!(newest.has_reseller_spoken);
}

async fn an_operator_is_heard_only_if_nothing_has_happened_since_it_looked(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let first = open(&db, event, 20, &spec(2, 0)).await;
    assert_eq!(first.adjustment, Adjustment(1));
    // Another one that looked at the same time, and one that continues what the first one began.
    assert_eq!(
        ask(&db, event, 30, &spec(3, 0)).await,
        AdjustmentAsked::Older
    );
    assert_eq!(open(&db, event, 20, &spec(2, 1)).await, first);
    assert_eq!(open(&db, event, 20, &spec(5, 1)).await, first);
    // A second change while the first is on its way.
    let second = open(&db, event, 12, &spec(3, 1)).await;
    assert_eq!(second.adjustment, Adjustment(2));
    carry_out(&db, &second).await;
    carry_out_late(&db, &first, &second).await;
    let levels = db.ledger.levels(&[shard]).await.unwrap();
    assert_eq!(levels[0].counts.capacity, 12);
    // One that still reads an older generation of the resource, and one that reads another resource.
    assert_eq!(
        ask(&db, event, 20, &spec(2, 2)).await,
        AdjustmentAsked::Older
    );
    assert_eq!(
        ask(&db, event, 12, &spec(2, 2)).await,
        AdjustmentAsked::Older
    );
    let stranger = AdjustmentSource::Spec {
        owner: "somebody else".to_owned(),
        generation: 9,
        seen: Adjustment(2),
    };
    assert_eq!(ask(&db, event, 20, &stranger).await, AdjustmentAsked::Older);
    // It is never ended: what comes back is shared anew for as long as the spec says so.
    let anew = db
        .ledger
        .share_adjustment_anew(event, &vip(), &second)
        .await;
    assert_eq!(anew.unwrap().unwrap().adjustment, Adjustment(3));

    // The next resource of this name begins with generation 1.
    db.ledger.release_event(event, "uid-1").await.unwrap();
    let name = db.ledger.event(event).await.unwrap().unwrap().name;
    let next = claim(name.name(), "uid-2", 99);
    db.ledger.adopt_event(&next).await.unwrap();
    let source = AdjustmentSource::Spec {
        owner: "uid-2".to_owned(),
        generation: 1,
        seen: Adjustment(3),
    };
    let plan = open(&db, event, 15, &source).await;
    assert_eq!(plan.adjustment, Adjustment(4));
}

/// Commands of an adjustment that was overtaken.
async fn carry_out_late(db: &TestLedger, late: &AdjustmentPlan, newer: &AdjustmentPlan) {
    for (shard, capacity) in &late.targets {
        let done = db.ledger.adjust(*shard, late.adjustment, *capacity).await;
        assert_eq!(done.unwrap().adjustment, newer.adjustment);
    }
}

async fn what_one_stock_shard_could_not_give_is_asked_of_the_others(db: TestLedger) {
    let (event, first) = db.shard(10).await;
    let second = db.more_stock(event, 10).await;
    let plan = open(&db, event, 10, &reseller(1)).await;
    assert_eq!(plan.targets, [(first, 5), (second, 5)]);
    // It sells before the command comes.
    db.ledger
        .apply(&batch(first, vec![place(first, 1, 8)], vec![]))
        .await
        .unwrap();
    carry_out(&db, &plan).await;
    let anew = db.ledger.share_adjustment_anew(event, &vip(), &plan).await;
    let anew = anew.unwrap().unwrap();
    assert_eq!(anew.adjustment, Adjustment(2));
    assert_eq!(anew.targets, [(first, 8), (second, 2)]);
    // Who still holds the old plan is told, and a crash continues with the new one.
    let late = db.ledger.share_adjustment_anew(event, &vip(), &plan).await;
    assert_eq!(late.unwrap(), None);
    assert_eq!(open(&db, event, 10, &reseller(1)).await, anew);
    carry_out(&db, &anew).await;
    let levels = db.ledger.levels(&[first, second]).await.unwrap();
    assert!(
        levels
            .iter()
            .all(|level| level.adjustment == anew.adjustment)
    );
    let capacity: i64 = levels.iter().map(|level| level.counts.capacity).sum();
    assert_eq!(capacity, 10);
}

async fn an_adjustment_of_nothing_is_refused(db: TestLedger) {
    let (event, _) = db.shard(10).await;
    let standing = ticket_core::CategoryName::new("standing").unwrap();
    let asked = db
        .ledger
        .ask_adjustment(event, &standing, 5, &reseller(1))
        .await;
    assert!(
        matches!(asked, Err(LedgerError::UnknownEvent { .. })),
        "{asked:?}"
    );
}
