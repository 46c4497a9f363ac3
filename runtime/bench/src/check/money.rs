//! Money: each buyer was charged for the tickets that he has, once, and for nothing else. What came too late went back.

use ticket_core::{Reason, State};

use super::{Evidence, Verdict};
use crate::outside::Order;
use crate::provider::Charged;

/// The provider's books against the orders as their buyers read them.
pub(super) fn charged_for_what_was_bought(evidence: &Evidence) -> Verdict {
    let mut findings = Vec::new();
    let (mut charged, mut given_back) = (0_i64, 0_i64);
    for order in evidence.read_again.values().flatten() {
        let money = evidence.money.get(&order.id).copied().unwrap_or_default();
        charged += money.received - money.given_back;
        given_back += money.given_back;
        if let Some(wrong) = wrong_money(order, money) {
            findings.push(format!("{} is {}: {wrong}", order.id, order.state));
        }
    }
    for (id, money) in &evidence.money {
        let is_known = evidence.read_again.contains_key(id) || evidence.orders_before.contains(id);
        if !is_known && money.received > money.given_back {
            findings.push(format!("{id} was charged and nobody was told of it"));
        }
    }
    let detail = format!("{charged} minor units charged, {given_back} given back");
    Verdict::new("every buyer paid for what he has", detail, findings)
}

fn wrong_money(order: &Order, money: Charged) -> Option<String> {
    let Charged {
        payments,
        received,
        given_back,
    } = money;
    if payments > 1 {
        return Some(format!("paid {payments} times"));
    }
    let costs = if order.state == State::Paid {
        order.amount.amount_minor
    } else {
        0
    };
    let kept = received - given_back;
    (kept != costs)
        .then(|| format!("received {received}, gave back {given_back}, expected to keep {costs}"))
}

/// Whatever went back was late money, all of it, and nothing else went back: no buyer of the crowd asks for a refund.
pub(super) fn refunds_are_late_money(evidence: &Evidence) -> Verdict {
    let mut findings = Vec::new();
    let late_minor: i64 = late(evidence).map(|order| order.amount.amount_minor).sum();
    let mut back_minor = 0;
    for order in evidence.read_again.values().flatten() {
        let money = evidence.money.get(&order.id).copied().unwrap_or_default();
        back_minor += money.given_back;
        if money.given_back > 0 && !is_late(order) {
            let (id, state) = (order.id, order.state);
            findings.push(format!("{id} is {state} and got {} back", money.given_back));
        }
    }
    if back_minor != late_minor {
        findings.push(format!(
            "{late_minor} minor units came late, {back_minor} went back"
        ));
    }
    let orders = late(evidence).count();
    let detail = format!("{orders} orders, {back_minor} minor units each way");
    Verdict::new("refunds equal late money", detail, findings)
}

/// Orders whose money came too late to keep it.
pub(super) fn late(evidence: &Evidence) -> impl Iterator<Item = &Order> {
    let orders = evidence.read_again.values().flatten();
    orders.filter(|order| is_late(order))
}

fn is_late(order: &Order) -> bool {
    (order.state, order.reason) == (State::Refunded, Some(Reason::LateMoney))
}
