//! Which notifications a fact calls for. No I/O.
//!
//! A fact shows each order as it is, not each step: steps may fall together in one call, or facts between may have been lost
//! and be told as one. So an order's past (`passed`, its moves) is looked at, not only its state.

use serde::Serialize;
use ticket_core::names::event_type::{
    ORDER_EXPIRED, ORDER_REJECTED, PAYMENT_FAILED, REFUND_PROCESSED, TICKET_PURCHASED,
};
use ticket_core::{
    BuyerId, CategoryName, EventName, FactBatch, Money, MoveKind, OrderId, OrderRecord, OrderRef,
    Reason, State,
};

use crate::cloudevents::{CloudEvent, source_of, to_data};

/// The data of every notification. Source: `schemas/`.
#[derive(Serialize)]
struct Data<'a> {
    order_id: OrderRef,
    buyer: &'a BuyerId,
    event: &'a EventName,
    category: &'a CategoryName,
    quantity: u32,
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

/// The notifications of `facts`, each with its key, for who has told everything up to version `seen` of the stock shard
/// (`None`: unknown, so what is in doubt is told). `is_end_told` answers whether the unpaid end of an order was told.
pub(super) fn notifications(
    facts: &FactBatch,
    seen: Option<i64>,
    mut is_end_told: impl FnMut(OrderId) -> bool,
) -> Vec<(String, CloudEvent)> {
    let is_news = |version: i64| seen.is_none_or(|seen| version > seen);
    let mut found = Vec::new();
    for order in facts.orders.iter().filter(|order| is_news(order.version)) {
        let mut tell = |kind, is_now: bool, reason| {
            found.push(notification(facts, order, kind, is_now, reason));
        };
        let passed = |state| order.state == state || order.passed.contains(state);
        if passed(State::Rejected) {
            tell(ORDER_REJECTED, true, order.reason);
        }
        // The unpaid end may be long ago: late money is an order's second life.
        let expired = passed(State::Expired);
        if (expired || passed(State::PaymentFailed)) && !is_end_told(order.order) {
            let (kind, state) = if expired {
                (ORDER_EXPIRED, State::Expired)
            } else {
                (PAYMENT_FAILED, State::PaymentFailed)
            };
            let is_now = order.state == state;
            let reason = if is_now { order.reason } else { None };
            tell(kind, is_now, reason);
        }
        let mut moves = facts
            .moves
            .iter()
            .filter(|units| units.order == order.order);
        if moves.any(|units| units.kind != MoveKind::Returned && is_news(units.version)) {
            tell(TICKET_PURCHASED, order.state == State::Paid, None);
        }
        if order.state == State::Refunded {
            tell(REFUND_PROCESSED, true, order.reason);
        }
    }
    found
}

fn notification(
    facts: &FactBatch,
    order: &OrderRecord,
    kind: &'static str,
    is_now: bool,
    reason: Option<Reason>,
) -> (String, CloudEvent) {
    let id = facts.reference(order);
    let data = Data {
        order_id: id,
        buyer: &order.buyer,
        event: &facts.event_name,
        category: &facts.category,
        quantity: order.quantity,
        amount: facts.amount(order),
        reason,
    };
    let event = CloudEvent {
        id: format!("{}/{kind}", order.order),
        kind,
        source: source_of(&facts.event_name),
        subject: id.to_string(),
        // An order that has moved on does not know any more when that was.
        time: is_now.then_some(order.updated_at),
        data: to_data(&data),
    };
    (id.to_string(), event)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jiff::Timestamp;
    use ticket_core::{Currency, Epoch, EventId, Passed, StockCounts, StockMove, StockShardId};
    use uuid::Uuid;

    use super::*;

    fn order(version: i64, states: &[State]) -> OrderRecord {
        let passed = states
            .iter()
            .fold(Passed::default(), |p, state| p.with(*state));
        OrderRecord {
            order: OrderId(Uuid::from_u128(5)),
            version,
            state: *states.last().unwrap(),
            reason: None,
            passed,
            buyer: BuyerId::new("ann").unwrap(),
            quantity: 2,
            amount_minor: 300,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            hold_expires_at: None,
            payment: None,
        }
    }

    fn facts(order: OrderRecord, moves: &[(MoveKind, i64)]) -> FactBatch {
        let moves = moves.iter().map(|(kind, version)| StockMove {
            order: order.order,
            quantity: order.quantity,
            kind: *kind,
            version: *version,
        });
        FactBatch {
            event: EventId(Uuid::from_u128(7)),
            event_name: "default.demo".parse().unwrap(),
            category: CategoryName::new("vip").unwrap(),
            currency: Currency::new("IDR").unwrap(),
            shard: StockShardId::new(1).unwrap(),
            epoch: Epoch::FIRST,
            version: order.version,
            stock: StockCounts::default(),
            moves: moves.collect(),
            orders: vec![order],
            adjustment: None,
        }
    }

    fn kinds(
        facts: &FactBatch,
        seen: Option<i64>,
        told: &mut HashSet<OrderId>,
    ) -> Vec<&'static str> {
        let found = notifications(facts, seen, |order| !told.insert(order));
        found.iter().map(|(_, event)| event.kind).collect()
    }

    #[test]
    fn each_step_is_told_once() {
        use State::{AwaitingPayment, Expired, Paid, Refunded, Refunding, Rejected, Reserved};
        let mut told = HashSet::new();
        let mut tell =
            |order, moves: &[_], seen| kinds(&facts(order, moves), Some(seen), &mut told);
        assert!(tell(order(1, &[Reserved]), &[], 0).is_empty());
        assert_eq!(tell(order(1, &[Rejected]), &[], 0), [ORDER_REJECTED]);
        assert_eq!(
            tell(order(3, &[Reserved, AwaitingPayment, Expired]), &[], 2),
            [ORDER_EXPIRED]
        );
        // Late money claims the units.
        let claimed = [(MoveKind::Claimed, 4)];
        let states = [Reserved, AwaitingPayment, Expired, Paid];
        assert_eq!(tell(order(4, &states), &claimed, 3), [TICKET_PURCHASED]);
        // A repeat, then the way back.
        assert!(tell(order(4, &states), &claimed, 4).is_empty());
        let back = [(MoveKind::Claimed, 4), (MoveKind::Returned, 6)];
        let states = [Reserved, AwaitingPayment, Expired, Paid, Refunding];
        assert!(tell(order(6, &states), &back, 5).is_empty());
        let states = [
            Reserved,
            AwaitingPayment,
            Expired,
            Paid,
            Refunding,
            Refunded,
        ];
        assert_eq!(tell(order(7, &states), &back, 6), [REFUND_PROCESSED]);
    }

    #[test]
    fn steps_that_fall_together_are_all_told_and_ids_stay() {
        use State::{Paid, PaymentFailed, Refunded, Refunding, Reserved};
        let states = [Reserved, PaymentFailed, Paid, Refunding, Refunded];
        let moves = [(MoveKind::Claimed, 8), (MoveKind::Returned, 9)];
        let together = facts(order(9, &states), &moves);
        let all = [PAYMENT_FAILED, TICKET_PURCHASED, REFUND_PROCESSED];
        assert_eq!(kinds(&together, Some(2), &mut HashSet::new()), all);
        assert_eq!(kinds(&together, None, &mut HashSet::new()), all);
        let ids = |seen| -> Vec<String> {
            let found = notifications(&together, seen, |_| false);
            found.into_iter().map(|(_, event)| event.id).collect()
        };
        assert_eq!(ids(None), ids(Some(2)));
        assert_eq!(ids(None).iter().collect::<HashSet<_>>().len(), 3);
    }

    #[test]
    fn late_money_without_units_is_refunded_and_nothing_was_purchased() {
        use State::{Expired, Refunded, Refunding, Reserved};
        let states = [Reserved, Expired, Refunding, Refunded];
        let all = [ORDER_EXPIRED, REFUND_PROCESSED];
        assert_eq!(
            kinds(&facts(order(9, &states), &[]), None, &mut HashSet::new()),
            all
        );
    }
}
