//! The audit sees what does not add up, and who is stuck.

use ticket_core::{Action, Reason, State};

use crate::fixture::{
    HOLD_FOR_S, TestLedger, batch, command, on_both, payment_ready, place, reference, second,
};

on_both!(
    a_counter_that_is_wrong_is_seen,
    orders_past_their_limit_are_stuck
);

async fn a_counter_that_is_wrong_is_seen(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let empty = db.more_stock(event, 5).await;
    let paid = command(shard, 1, 1, Action::PaymentSucceeded);
    let places = vec![place(shard, 1, 2), place(shard, 2, 3), place(shard, 3, 9)];
    db.ledger
        .apply(&batch(shard, places, vec![paid]))
        .await
        .unwrap();
    let view = db.ledger.audit_view(event, second(0)).await.unwrap();
    assert_eq!(
        view.shards.iter().map(|shard| shard.id).collect::<Vec<_>>(),
        [shard, empty]
    );
    assert!(view.shards.iter().all(ticket_ledger::AuditShard::adds_up));
    let of =
        |state: State| view.shards[0].orders_by_state[usize::try_from(state.number()).unwrap()];
    assert_eq!(
        (of(State::Paid), of(State::Reserved), of(State::Rejected)),
        (1, 1, 1)
    );
    sqlx::query(
        "UPDATE stock_shards SET held = held - 1, available = available + 1 WHERE stock_shard_id = $1",
    )
    .bind(shard.get())
    .execute(&mut db.sql().await)
    .await
    .unwrap();
    let view = db.ledger.audit_view(event, second(0)).await.unwrap();
    assert!(!view.shards[0].adds_up() && view.shards[1].adds_up());
}

async fn orders_past_their_limit_are_stuck(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let places = (1..=3).map(|number| place(shard, number, 1)).collect();
    let commands = vec![
        command(shard, 2, 0, payment_ready(2)),
        command(shard, 3, 0, Action::PaymentSucceeded),
        command(
            shard,
            3,
            0,
            Action::Refund {
                reason: Reason::BuyerRequest,
            },
        ),
    ];
    // Everything happens at second 100; the hold runs until 700.
    db.ledger
        .apply(&batch(shard, places, commands))
        .await
        .unwrap();
    let stuck = |before| {
        let ledger = db.ledger.clone();
        async move {
            let view = ledger.audit_view(event, second(before)).await.unwrap();
            view.stuck
                .into_iter()
                .map(|stuck| (stuck.order, stuck.state))
                .collect::<Vec<_>>()
        }
    };
    assert!(stuck(100).await.is_empty());
    let mut waiting = stuck(101).await;
    waiting.sort_unstable();
    let reserved = (reference(shard, 1), State::Reserved);
    let refunding = (reference(shard, 3), State::Refunding);
    assert_eq!(waiting, [reserved, refunding]);
    let end = 100 + i64::from(HOLD_FOR_S);
    assert_eq!(stuck(end).await.len(), 2);
    assert_eq!(
        stuck(end + 1).await[2],
        (reference(shard, 2), State::AwaitingPayment)
    );
}
