//! Orders: what was acknowledged has an end, and the platform's list is the buyers' list.

use std::collections::BTreeMap;

use ticket_core::{OrderRef, State, machine::Units};

use super::{Evidence, Verdict};
use crate::outside::ManagedOrder;

/// Law 2: an order that was acknowledged reaches an end, and stays there.
pub(super) fn every_acknowledged_order_ended(evidence: &Evidence) -> Verdict {
    let mut findings = Vec::new();
    let mut acknowledged = 0;
    for (_, order) in evidence.book.acknowledged() {
        acknowledged += 1;
        let (id, last) = (order.id, order.last_state);
        match evidence.read_again.get(&id) {
            None => findings.push(format!("{id} was not read again")),
            Some(Err(why)) => findings.push(format!("{id} cannot be read any more: {why}")),
            Some(Ok(now)) if !now.state.is_final() => {
                findings.push(format!("{id} is still {}", now.state));
            }
            Some(Ok(now)) if last.is_final() && last != now.state => {
                findings.push(format!("{id} was {last} and is {} now", now.state));
            }
            Some(Ok(now)) if now.quantity != order.quantity => findings.push(format!(
                "{id} was for {} tickets and is for {} now",
                order.quantity, now.quantity
            )),
            Some(Ok(_)) => {}
        }
    }
    let detail = format!("{acknowledged} orders were acknowledged");
    Verdict::new("every acknowledged order has its end", detail, findings)
}

/// The event manager's list has every acknowledged order, as its buyer knows it, and no other that took a ticket.
pub(super) fn both_books_list_the_same_orders(evidence: &Evidence) -> Verdict {
    let mut listed: BTreeMap<OrderRef, &ManagedOrder> = evidence
        .orders
        .iter()
        .map(|order| (order.id, order))
        .collect();
    let mut findings = Vec::new();
    if listed.len() != evidence.orders.len() {
        let twice = evidence.orders.len() - listed.len();
        findings.push(format!("{twice} orders are listed twice"));
    }
    for (story, order) in evidence.book.acknowledged() {
        let Some(managed) = listed.remove(&order.id) else {
            findings.push(format!("{} of {} is not listed", order.id, story.buyer));
            continue;
        };
        let told = (story.buyer.as_str(), order.quantity);
        let kept = (managed.buyer.as_str(), managed.quantity);
        if told != kept {
            findings.push(format!(
                "{} is listed as {kept:?}, its buyer has {told:?}",
                order.id
            ));
        }
        if let Some(Ok(read)) = evidence.read_again.get(&order.id)
            && read.state != managed.state
        {
            let (seen, state) = (read.state, managed.state);
            findings.push(format!(
                "{} is listed as {state}, its buyer sees {seen}",
                order.id
            ));
        }
    }
    // What nobody was told about may exist (a buyer gave up before the answer), but only without tickets.
    for order in listed.values() {
        let is_new = !evidence.orders_before.contains(&order.id);
        if is_new && order.state.units() != Units::Free {
            let (id, buyer, state) = (order.id, &order.buyer, order.state);
            findings.push(format!("{id} of {buyer} is {state} and nobody was told"));
        }
    }
    let detail = format!("{} orders are listed", evidence.orders.len());
    Verdict::new("both books list the same orders", detail, findings)
}

/// No buyer has more tickets than one may have.
pub(super) fn limit_per_buyer(evidence: &Evidence) -> Verdict {
    let mut units: BTreeMap<&str, u32> = BTreeMap::new();
    for order in &evidence.orders {
        if order.state == State::Paid || order.state.units() == Units::Held {
            *units.entry(&order.buyer).or_default() += order.quantity;
        }
    }
    let limit = evidence.quantity_max;
    let findings = units
        .iter()
        .filter(|&(_, &units)| units > limit)
        .map(|(buyer, units)| format!("{buyer} has {units} tickets"))
        .collect();
    let detail = format!("{} buyers have at most {limit} tickets each", units.len());
    Verdict::new("nobody has too many", detail, findings)
}
