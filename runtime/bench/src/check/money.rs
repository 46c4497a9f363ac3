//! Money: each buyer was charged for the tickets that he has, once, and for nothing else. What came too late went back.

use ticket_core::State;

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
