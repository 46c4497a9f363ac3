//! Reading orders.

use ticket_core::{Action, Flag, Reason, State};
use ticket_ledger::{OrderCursor, OrderFilter, ShardBatch};

use crate::fixture::{
    HOLD_FOR_S, TestLedger, batch, buyer, command, on_both, order, payment_ready, place, reference,
    second,
};

on_both!(
    an_order_is_found_by_its_reference_only,
    pages_show_every_order_once,
    a_list_can_be_narrowed,
    all_orders_of_an_event_come_in_pages,
    holds_are_due_when_they_are_over,
    orders_that_wait_for_the_provider_are_found_by_their_age,
);

async fn an_order_is_found_by_its_reference_only(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let other = db.more_stock(event, 10).await;
    db.ledger
        .apply(&batch(shard, vec![place(shard, 1, 2)], vec![]))
        .await
        .unwrap();
    db.ledger
        .apply(&batch(other, vec![place(other, 2, 1)], vec![]))
        .await
        .unwrap();
    let found = db.ledger.order(reference(shard, 1)).await.unwrap().unwrap();
    assert_eq!(
        (found.order, &found.buyer, found.quantity),
        (order(1), &buyer(1), 2)
    );
    assert_eq!((found.amount_minor, found.created_at), (500, second(1)));
    assert!(
        db.ledger
            .order(reference(other, 1))
            .await
            .unwrap()
            .is_none()
    );
    let wanted = [
        reference(shard, 1),
        reference(other, 2),
        reference(shard, 3),
    ];
    let mut many = db.ledger.orders(&wanted).await.unwrap();
    many.sort_by_key(|(at, _)| at.order);
    let found: Vec<_> = many.iter().map(|(at, _)| *at).collect();
    assert_eq!(found, wanted[..2]);
    assert!(db.ledger.orders(&[]).await.unwrap().is_empty());
}

async fn pages_show_every_order_once(db: TestLedger) {
    let (event, shard) = db.shard(100).await;
    let other = db.more_stock(event, 100).await;
    for shard in [shard, other] {
        let places =
            (0..9_u128).map(|number| place(shard, number + 100 * u128::from(shard == other), 1));
        db.ledger
            .apply(&batch(shard, places.collect(), vec![]))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let filter = OrderFilter::default();
        let page = db
            .ledger
            .list_orders(event, &filter, 5, cursor.as_deref())
            .await
            .unwrap();
        seen.extend(page.items.into_iter().map(|(_, order)| order.order));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 18);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let wrong = db
        .ledger
        .list_orders(event, &OrderFilter::default(), 5, Some("x"))
        .await;
    assert!(wrong.is_err());
}

async fn a_list_can_be_narrowed(db: TestLedger) {
    let (event, shard) = db.shard(3).await;
    let places = (1..=4).map(|number| place(shard, number, 1)).collect();
    db.ledger
        .apply(&batch(shard, places, vec![]))
        .await
        .unwrap();
    let list = |filter: OrderFilter| {
        let ledger = db.ledger.clone();
        async move {
            let page = ledger.list_orders(event, &filter, 50, None).await.unwrap();
            page.items
                .iter()
                .map(|(at, _)| at.order)
                .collect::<Vec<_>>()
        }
    };
    let state = Some(State::Rejected);
    assert_eq!(list(OrderFilter { state, buyer: None }).await, [order(4)]);
    let buyer = Some(buyer(2));
    assert_eq!(
        list(OrderFilter {
            state: None,
            buyer: buyer.clone()
        })
        .await,
        [order(2)]
    );
    assert!(list(OrderFilter { state, buyer }).await.is_empty());
}

async fn all_orders_of_an_event_come_in_pages(db: TestLedger) {
    let (event, shard) = db.shard(100).await;
    let other = db.more_stock(event, 100).await;
    for (shard, first) in [(shard, 0), (other, 10)] {
        let places = (first..first + 7)
            .map(|number| place(shard, number, 1))
            .collect();
        db.ledger
            .apply(&batch(shard, places, vec![]))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = db.ledger.event_orders(event, after, 4).await.unwrap();
        let Some((last, _)) = page.last() else {
            break;
        };
        after = Some(*last);
        seen.extend(page.into_iter().map(|(at, _)| at.order.0.as_u128()));
    }
    assert_eq!(seen, (0..7).chain(10..17).collect::<Vec<_>>());
}

async fn holds_are_due_when_they_are_over(db: TestLedger) {
    let (event, shard) = db.shard(100).await;
    let other = db.more_stock(event, 100).await;
    for (shard, first) in [(shard, 1), (other, 11)] {
        let numbers = first..first + 3;
        for number in numbers {
            let ready = vec![command(shard, number, 0, payment_ready(number))];
            let decided = ShardBatch {
                now: second(i64::try_from(number).unwrap()),
                ..batch(shard, vec![place(shard, number, 1)], ready)
            };
            db.ledger.apply(&decided).await.unwrap();
        }
    }
    let cancel = Action::Cancel {
        reason: Reason::BuyerRequest,
    };
    let cancelled = batch(shard, vec![], vec![command(shard, 2, 5, cancel)]);
    db.ledger.apply(&cancelled).await.unwrap();
    let hold = i64::from(HOLD_FOR_S);
    let due = |at, limit| {
        let ledger = db.ledger.clone();
        async move {
            ledger
                .due_holds(&[shard, other], second(at), limit)
                .await
                .unwrap()
        }
    };
    assert!(due(hold, 10_000).await.is_empty());
    assert_eq!(due(hold + 1, 10_000).await, [reference(shard, 1)]);
    let all = [
        (shard, 1),
        (shard, 3),
        (other, 11),
        (other, 12),
        (other, 13),
    ];
    let all = all.map(|(shard, number)| reference(shard, number));
    assert_eq!(due(hold + 99, 10_000).await, all);
    let of_other = db
        .ledger
        .due_holds(&[other], second(hold + 99), 2)
        .await
        .unwrap();
    assert_eq!(of_other, all[2..4]);

    // Page by page, also where holds end in the same moment.
    let awaiting = |after, until| {
        let ledger = db.ledger.clone();
        async move {
            let found = ledger
                .awaiting_payment(&[shard, other], after, second(until), 2)
                .await;
            let found = found.unwrap().into_iter();
            found
                .map(|(at, record)| (at, record.hold_expires_at))
                .collect::<Vec<_>>()
        }
    };
    let mut after = OrderCursor::START;
    let mut seen = Vec::new();
    loop {
        let page = awaiting(after, hold + 12).await;
        seen.extend(page.iter().map(|(at, _)| *at));
        let Some((last, Some(ends))) = page.last() else {
            break;
        };
        after = OrderCursor::after(*ends, last.order);
    }
    assert_eq!(seen, all[..4]);
}

async fn orders_that_wait_for_the_provider_are_found_by_their_age(db: TestLedger) {
    let (event, shard) = db.shard(100).await;
    let other = db.more_stock(event, 100).await;
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
    let decided = batch(shard, places, commands);
    db.ledger.apply(&decided).await.unwrap();
    let elsewhere = batch(other, vec![place(other, 4, 1)], vec![]);
    db.ledger.apply(&elsewhere).await.unwrap();
    let unsettled = |shard, before, limit| {
        let ledger = db.ledger.clone();
        async move {
            let found = ledger
                .unsettled(event, &[shard], second(before), limit)
                .await;
            let mut found: Vec<_> = found.unwrap().into_iter().map(|(at, _)| at).collect();
            found.sort_unstable();
            found
        }
    };
    // Everything was decided at second 100.
    assert!(unsettled(shard, 100, 10).await.is_empty());
    let both = [reference(shard, 1), reference(shard, 3)];
    assert_eq!(unsettled(shard, 101, 10).await, both);
    assert_eq!(unsettled(shard, 101, 1).await.len(), 1);
    assert_eq!(unsettled(other, 101, 10).await, [reference(other, 4)]);

    // Order 2 ends with a payment, order 1 without one.
    let cancel = || Action::Cancel {
        reason: Reason::BuyerRequest,
    };
    let ended = vec![
        command(shard, 1, 0, cancel()),
        command(shard, 2, 0, cancel()),
    ];
    db.ledger.apply(&batch(shard, vec![], ended)).await.unwrap();
    let ended = |after, before| {
        let ledger = db.ledger.clone();
        async move {
            let shards = [shard, other];
            let found = ledger.ended_unpaid(event, &shards, after, second(before), 10);
            let found = found.await.unwrap().into_iter();
            found
                .map(|(at, record)| (at, record.updated_at))
                .collect::<Vec<_>>()
        }
    };
    assert!(ended(OrderCursor::START, 100).await.is_empty());
    let found = ended(OrderCursor::since(second(100)), 101).await;
    assert_eq!(found, [(reference(shard, 2), second(100))]);
    let after = OrderCursor::after(second(100), order(2));
    assert!(ended(after, 101).await.is_empty());
    // What can never be paid any more is not looked for.
    let flag = Flag::PaymentClosed;
    let closed = vec![command(shard, 2, 0, Action::Flag { flag })];
    let closed = batch(shard, vec![], closed);
    db.ledger.apply(&closed).await.unwrap();
    assert!(ended(OrderCursor::START, 101).await.is_empty());
}
