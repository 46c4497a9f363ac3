//! What a person would check by hand of the batch function.

use ticket_core::{Action, Epoch, ErrorClass, Flag, Place, Reason, State, StockCounts};
use ticket_ledger::{LedgerError, PlaceOutcome};

use crate::fixture::{
    HOLD_FOR_S, PROCESSING_FOR_S, TestLedger, batch, command, on_both, order, payment_ready, place,
    reference, second, seconds, states,
};

on_both!(
    a_batch_takes_what_is_there_in_order,
    a_whole_batch_again_changes_no_row,
    a_paid_order_is_sold_and_a_refund_gives_the_units_back,
    late_money_claims_units_while_there_are_any,
    late_money_of_a_cancelled_order_goes_back,
    a_slow_payment_keeps_its_hold_to_the_longer_limit_and_repeats_do_not_lengthen_it,
    flags_stay_with_the_order_and_repeats_change_nothing,
    a_void_closes_the_door_before_a_late_place,
    a_newer_epoch_is_taken_and_an_older_one_is_not,
    news_that_overtook_the_payment_leave_room_for_its_details,
    a_shard_that_is_missing_is_unknown_only_if_the_catalog_says_so,
    what_no_row_can_hold_is_refused_before_it_is_sent,
    a_thousand_places_and_their_payments_add_up,
);

async fn a_batch_takes_what_is_there_in_order(db: TestLedger) {
    let (_, shard) = db.shard(5).await;
    let places = [(1, 3), (2, 4), (3, 2), (1, 3), (4, 1)];
    let places = places
        .map(|(number, quantity)| place(shard, number, quantity))
        .to_vec();
    let applied = db
        .ledger
        .apply(&batch(shard, places, vec![]))
        .await
        .unwrap();
    let reserved = PlaceOutcome::Fresh {
        state: State::Reserved,
        reason: None,
    };
    let sold_out = PlaceOutcome::Fresh {
        state: State::Rejected,
        reason: Some(Reason::SoldOut),
    };
    let expected = [
        reserved.clone(),
        sold_out.clone(),
        reserved,
        PlaceOutcome::Repeated,
        sold_out,
    ];
    assert_eq!(applied.places, expected);
    assert_eq!(
        applied.stock,
        StockCounts {
            capacity: 5,
            available: 0,
            held: 5,
            sold: 0
        }
    );
    assert_eq!(
        (applied.version, applied.epoch, applied.illegal),
        (1, Epoch::FIRST, 0)
    );
    assert!(applied.touched.is_empty());
}

async fn a_whole_batch_again_changes_no_row(db: TestLedger) {
    let (event, shard) = db.shard(20).await;
    let places: Vec<_> = (0..8).map(|number| place(shard, number, 2)).collect();
    let cancel = Action::Cancel {
        reason: Reason::BuyerRequest,
    };
    let commands = vec![
        command(shard, 0, 1, payment_ready(0)),
        command(shard, 0, 2, Action::PaymentSucceeded),
        command(shard, 1, 2, cancel.clone()),
        command(shard, 2, 3, payment_ready(2)),
        command(
            shard,
            3,
            3,
            Action::PaymentFailed {
                reason: Reason::Fraud,
            },
        ),
    ];
    let batch = batch(shard, places, commands);
    let first = db.ledger.apply(&batch).await.unwrap();
    let rows = db.ledger.event_orders(event, None, 100).await.unwrap();
    let again = db.ledger.apply(&batch).await.unwrap();
    assert_eq!(
        db.ledger.event_orders(event, None, 100).await.unwrap(),
        rows
    );
    assert_eq!(again.stock, first.stock);
    assert_eq!(again.version, first.version + 1);
    assert!(
        again
            .places
            .iter()
            .all(|outcome| matches!(outcome, PlaceOutcome::Known(_)))
    );
    // The rows carry the version of the call that changed them, so that consumers can drop the repeat.
    assert_eq!(again.touched.len(), 4);
    assert!(
        again
            .touched
            .iter()
            .all(|order| order.version == first.version)
    );
}

async fn a_paid_order_is_sold_and_a_refund_gives_the_units_back(db: TestLedger) {
    let (_, shard) = db.shard(3).await;
    let apply = |commands| {
        let (ledger, batch) = (db.ledger.clone(), batch(shard, vec![], commands));
        async move { ledger.apply(&batch).await }
    };
    db.ledger
        .apply(&batch(shard, vec![place(shard, 1, 2)], vec![]))
        .await
        .unwrap();
    let ready = apply(vec![command(shard, 1, 50, payment_ready(1))]);
    let ready = &ready.await.unwrap().touched[0];
    assert_eq!(
        ready.hold_expires_at,
        // From the decision on (`batch` decides at 100 s), not from the command: it may have waited on the log.
        Some(second(100) + seconds(HOLD_FOR_S))
    );
    assert_eq!(ready.payment.as_ref().unwrap().id, "pi_1");
    let paid = apply(vec![command(shard, 1, 60, Action::PaymentSucceeded)])
        .await
        .unwrap();
    assert_eq!(
        paid.stock,
        StockCounts {
            capacity: 3,
            available: 1,
            held: 0,
            sold: 2
        }
    );
    assert_eq!(paid.touched[0].hold_expires_at, None);
    let refund = Action::Refund {
        reason: Reason::ManagerRequest,
    };
    let refunding = apply(vec![command(shard, 1, 70, refund)]).await.unwrap();
    assert_eq!(
        refunding.stock,
        StockCounts {
            capacity: 3,
            available: 3,
            held: 0,
            sold: 0
        }
    );
    let settled = apply(vec![command(shard, 1, 80, Action::RefundSettled)])
        .await
        .unwrap();
    let order = &settled.touched[0];
    assert_eq!(
        (order.state, order.reason),
        (State::Refunded, Some(Reason::ManagerRequest))
    );
    for state in [
        State::Reserved,
        State::AwaitingPayment,
        State::Paid,
        State::Refunding,
    ] {
        assert!(order.passed.contains(state), "{state}");
    }
}

async fn late_money_claims_units_while_there_are_any(db: TestLedger) {
    let (event, shard) = db.shard(4).await;
    let places = (1..=2).map(|number| place(shard, number, 2)).collect();
    let ready = (1..=2)
        .map(|number| command(shard, number, 0, payment_ready(number)))
        .collect();
    db.ledger.apply(&batch(shard, places, ready)).await.unwrap();
    let end = 100 + i64::from(HOLD_FOR_S);
    let expire = |at| {
        (1..=2)
            .map(|number| command(shard, number, at, Action::Expire))
            .collect()
    };
    let early = db
        .ledger
        .apply(&batch(shard, vec![], expire(end - 1)))
        .await
        .unwrap();
    assert_eq!(early.stock.held, 4);
    let over = db
        .ledger
        .apply(&batch(shard, vec![], expire(end)))
        .await
        .unwrap();
    assert_eq!(over.stock.available, 4);
    assert!(
        over.touched
            .iter()
            .all(|order| order.reason == Some(Reason::HoldExpired))
    );
    // Somebody takes one unit; one of the two late payments still fits.
    let money = (1..=2).map(|number| command(shard, number, end + 9, Action::PaymentSucceeded));
    let taken = batch(shard, vec![place(shard, 3, 1)], money.collect());
    let applied = db.ledger.apply(&taken).await.unwrap();
    assert_eq!(
        applied.stock,
        StockCounts {
            capacity: 4,
            available: 1,
            held: 1,
            sold: 2
        }
    );
    let states = states(&db.ledger, event).await;
    assert_eq!(
        (states[&1], states[&2], states[&3]),
        ("paid", "refunding", "reserved")
    );
    let late = db.ledger.order(reference(shard, 2)).await.unwrap().unwrap();
    assert_eq!(late.reason, Some(Reason::LateMoney));
}

async fn late_money_of_a_cancelled_order_goes_back(db: TestLedger) {
    let (_, shard) = db.shard(4).await;
    let cancel = Action::Cancel {
        reason: Reason::BuyerRequest,
    };
    let commands = vec![
        command(shard, 1, 0, payment_ready(1)),
        command(shard, 1, 1, Action::PaymentProcessing),
        command(shard, 1, 2, cancel),
    ];
    let cancelled = batch(shard, vec![place(shard, 1, 2)], commands);
    let applied = db.ledger.apply(&cancelled).await.unwrap();
    assert_eq!(applied.touched[0].state, State::Cancelled);
    // Units are left, and still nobody pays for what he gave back.
    let money = batch(
        shard,
        vec![],
        vec![command(shard, 1, 3, Action::PaymentSucceeded)],
    );
    for _ in 0..2 {
        let applied = db.ledger.apply(&money).await.unwrap();
        let order = &applied.touched[0];
        assert_eq!(
            (order.state, order.reason),
            (State::Refunding, Some(Reason::LateMoney))
        );
        assert_eq!((applied.stock.available, applied.stock.sold), (4, 0));
    }
}

async fn a_slow_payment_keeps_its_hold_to_the_longer_limit_and_repeats_do_not_lengthen_it(
    db: TestLedger,
) {
    let (_, shard) = db.shard(4).await;
    let apply = |at, action| {
        let batch = batch(shard, vec![], vec![command(shard, 1, at, action)]);
        let ledger = db.ledger.clone();
        async move { ledger.apply(&batch).await.unwrap().touched.remove(0) }
    };
    let placed = batch(shard, vec![place(shard, 1, 1)], vec![]);
    db.ledger.apply(&placed).await.unwrap();
    apply(0, payment_ready(1)).await;
    let end = second(30) + seconds(PROCESSING_FOR_S);
    for _ in 0..2 {
        let order = apply(30, Action::PaymentProcessing).await;
        assert_eq!(order.hold_expires_at, Some(end));
    }
    // The short limit is over, the long one is not.
    let order = apply(100 + i64::from(HOLD_FOR_S) + 1, Action::Expire).await;
    assert_eq!(order.state, State::AwaitingPayment);
    let order = apply(30 + i64::from(PROCESSING_FOR_S), Action::Expire).await;
    assert_eq!(order.state, State::Expired);
    // Its money still counts.
    let order = apply(40 + i64::from(PROCESSING_FOR_S), Action::PaymentSucceeded).await;
    assert_eq!((order.state, order.reason), (State::Paid, None));
}

async fn flags_stay_with_the_order_and_repeats_change_nothing(db: TestLedger) {
    let (event, shard) = db.shard(4).await;
    let flag = |flag| Action::Flag { flag };
    let apply = |commands| {
        let (ledger, batch) = (db.ledger.clone(), batch(shard, vec![], commands));
        async move { ledger.apply(&batch).await.unwrap() }
    };
    let placed = batch(shard, vec![place(shard, 1, 2)], vec![]);
    db.ledger.apply(&placed).await.unwrap();
    // The dispute overtakes the news of the money.
    let early = apply(vec![command(shard, 1, 1, flag(Flag::Disputed))]).await;
    assert_eq!(early.touched[0].state, State::Reserved);
    apply(vec![
        command(shard, 1, 2, payment_ready(1)),
        command(shard, 1, 3, Action::PaymentSucceeded),
    ])
    .await;
    let both = vec![
        command(shard, 1, 4, flag(Flag::FraudWarning)),
        command(shard, 1, 4, flag(Flag::Disputed)),
    ];
    let flagged = apply(both.clone()).await;
    let order = &flagged.touched[0];
    assert_eq!(
        (order.state, order.reason, order.version),
        (State::Paid, None, flagged.version)
    );
    let complaints = [Flag::FraudWarning, Flag::Disputed];
    assert_eq!(order.passed.flags().collect::<Vec<_>>(), complaints);
    assert_eq!((flagged.stock.sold, flagged.illegal), (2, 0));
    let again = apply(both).await;
    assert_eq!(again.touched, flagged.touched);
    // For our own books only: to everybody else the order is as it was.
    let closed = apply(vec![command(shard, 1, 4, flag(Flag::PaymentClosed))]).await;
    let closed = &closed.touched[0];
    assert!(closed.passed.has_flag(Flag::PaymentClosed));
    assert_eq!(
        (closed.version, closed.updated_at, closed.state),
        (order.version, order.updated_at, order.state)
    );
    assert_eq!(closed.passed.complaints().collect::<Vec<_>>(), complaints);
    // Until the end, and also as a list reads it.
    let refund = Action::Refund {
        reason: Reason::Fraud,
    };
    apply(vec![
        command(shard, 1, 5, refund),
        command(shard, 1, 6, Action::RefundSettled),
    ])
    .await;
    let (_, order) = db
        .ledger
        .event_orders(event, None, 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(order.state, State::Refunded);
    assert!(order.passed.has_flag(Flag::FraudWarning) && order.passed.has_flag(Flag::Disputed));
}

async fn a_void_closes_the_door_before_a_late_place(db: TestLedger) {
    let (_, shard) = db.shard(4).await;
    let void = Action::Void {
        buyer: crate::fixture::buyer(1),
        quantity: 2,
    };
    let voided = batch(shard, vec![], vec![command(shard, 1, 5, void.clone())]);
    let order = db.ledger.apply(&voided).await.unwrap().touched.remove(0);
    assert_eq!(
        (order.state, order.reason),
        (State::Rejected, Some(Reason::Void))
    );
    let late = batch(shard, vec![place(shard, 1, 2)], vec![]);
    let applied = db.ledger.apply(&late).await.unwrap();
    assert_eq!(applied.places, [PlaceOutcome::Known(order)]);
    assert_eq!(applied.stock.available, 4);
    // The other way round it comes too late, also within one batch.
    let both = batch(
        shard,
        vec![place(shard, 2, 2)],
        vec![command(shard, 2, 5, void)],
    );
    let applied = db.ledger.apply(&both).await.unwrap();
    assert_eq!(applied.touched[0].state, State::Reserved);
}

async fn a_newer_epoch_is_taken_and_an_older_one_is_not(db: TestLedger) {
    let (_, shard) = db.shard(4).await;
    let of = |number, epoch| Place {
        epoch: Epoch(epoch),
        ..place(shard, number, 1)
    };
    let batch = batch(shard, vec![of(1, 0), of(2, 1), of(3, 2)], vec![]);
    let applied = db.ledger.apply(&batch).await.unwrap();
    let stale = PlaceOutcome::Fresh {
        state: State::Rejected,
        reason: Some(Reason::StaleEpoch),
    };
    let reserved = PlaceOutcome::Fresh {
        state: State::Reserved,
        reason: None,
    };
    assert_eq!(applied.places, [stale, reserved.clone(), reserved]);
    assert_eq!(applied.epoch, Epoch(1));
}

async fn news_that_overtook_the_payment_leave_room_for_its_details(db: TestLedger) {
    let (_, shard) = db.shard(4).await;
    let paid = command(shard, 1, 5, Action::PaymentSucceeded);
    let both = batch(shard, vec![place(shard, 1, 1)], vec![paid]);
    assert_eq!(
        db.ledger.apply(&both).await.unwrap().touched[0].payment,
        None
    );
    let ready = batch(shard, vec![], vec![command(shard, 1, 6, payment_ready(7))]);
    let order = db.ledger.apply(&ready).await.unwrap().touched.remove(0);
    assert_eq!(order.state, State::Paid);
    assert_eq!(order.payment.unwrap().id, "pi_7");
}

async fn a_shard_that_is_missing_is_unknown_only_if_the_catalog_says_so(db: TestLedger) {
    let (_, shard) = db.shard(4).await;
    let never = ticket_core::StockShardId::new(4_711).unwrap();
    let error = db
        .ledger
        .apply(&batch(never, vec![], vec![]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, LedgerError::UnknownShard { shard } if shard == never),
        "{error:?}"
    );
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Permanent, "not-found")
    );
    // As at the cutover of a move: the catalog knows it, the node that was asked does not.
    sqlx::query("DELETE FROM stock_shards WHERE stock_shard_id = $1")
        .bind(shard.get())
        .execute(&mut db.sql().await)
        .await
        .unwrap();
    let error = db
        .ledger
        .apply(&batch(shard, vec![], vec![]))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry, "{error:?}");
}

async fn what_no_row_can_hold_is_refused_before_it_is_sent(db: TestLedger) {
    let (event, shard) = db.shard(4).await;
    let other = db.more_stock(event, 1).await;
    let bad = [
        place(shard, 1, 0),
        place(shard, 1, u32::MAX),
        place(other, 1, 1),
        Place {
            amount_minor: -1,
            ..place(shard, 1, 1)
        },
    ];
    for bad in bad {
        let batch = batch(shard, vec![place(shard, 2, 1), bad], vec![]);
        let error = db.ledger.apply(&batch).await.unwrap_err();
        assert!(matches!(error, LedgerError::Unstorable { order: o, .. } if o == order(1)));
    }
    assert!(states(&db.ledger, event).await.is_empty());
}

async fn a_thousand_places_and_their_payments_add_up(db: TestLedger) {
    let (event, shard) = db.shard(1_500).await;
    let places = (0..1_000).map(|number| place(shard, number, 2)).collect();
    let applied = db
        .ledger
        .apply(&batch(shard, places, vec![]))
        .await
        .unwrap();
    assert_eq!(
        applied.stock,
        StockCounts {
            capacity: 1_500,
            available: 0,
            held: 1_500,
            sold: 0
        }
    );
    let commands = (0..1_000).flat_map(|number| {
        [
            command(shard, number, 5, payment_ready(number)),
            command(shard, number, 6, Action::PaymentSucceeded),
        ]
    });
    let applied = db
        .ledger
        .apply(&batch(shard, vec![], commands.collect()))
        .await
        .unwrap();
    assert_eq!(
        applied.stock,
        StockCounts {
            capacity: 1_500,
            available: 0,
            held: 0,
            sold: 1_500
        }
    );
    // Rejected orders have no payment: one of the two commands comes too late, the other is illegal.
    assert_eq!((applied.touched.len(), applied.illegal), (1_000, 250));
    let view = db.ledger.audit_view(event, second(0)).await.unwrap();
    assert!(view.shards[0].adds_up());
}
