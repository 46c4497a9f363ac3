//! Stock: tickets of paid orders are what the platform counts as sold, nothing is left in between, nothing is made or lost.

use std::collections::BTreeMap;

use ticket_core::{CategoryName, State};

use super::{Evidence, Verdict};
use crate::outside::CategoryStock;

/// Tickets that buyers paid for = tickets that the ledger counts as sold, per category; never more than there are.
pub(super) fn sold_is_what_buyers_paid(evidence: &Evidence) -> Verdict {
    let mut paid: BTreeMap<&CategoryName, i64> = BTreeMap::new();
    for order in evidence.read_again.values().flatten() {
        if order.state == State::Paid {
            *paid.entry(&order.category).or_default() += i64::from(order.quantity);
        }
    }
    let mut findings = Vec::new();
    let mut sums = Vec::new();
    for after in &evidence.after {
        let before = evidence
            .before
            .iter()
            .find(|before| before.name == after.name);
        let sold = after.sold - before.map_or(0, |before| before.sold);
        let paid = paid.remove(&after.name).unwrap_or(0);
        if sold != paid {
            findings.push(format!(
                "{}: {sold} sold, buyers paid for {paid}",
                after.name
            ));
        }
        if after.sold > after.capacity {
            let over = after.sold - after.capacity;
            findings.push(format!("{}: {over} tickets oversold", after.name));
        }
        sums.push(format!("{} {sold} of {}", after.name, after.capacity));
    }
    for (category, units) in paid {
        findings.push(format!(
            "{category}: buyers paid for {units}, the platform has no such stock"
        ));
    }
    Verdict::new("sold is what buyers paid for", sums.join(", "), findings)
}

/// After the last end nobody holds anything.
pub(super) fn nothing_is_held(evidence: &Evidence) -> Verdict {
    each("nothing is held any more", evidence, |stock| {
        (stock.held != 0).then(|| format!("{} tickets are held", stock.held))
    })
}

/// Law 1, from outside: capacity = available + held + sold, all at least 0, and the capacity is what it was.
pub(super) fn conserved(evidence: &Evidence) -> Verdict {
    each("no ticket was made or lost", evidence, |stock| {
        let CategoryStock {
            capacity,
            available,
            held,
            sold,
            ..
        } = *stock;
        let was = evidence
            .before
            .iter()
            .find(|before| before.name == stock.name);
        // A reseller changes it: its own books say what it must be.
        let is_fixed = evidence.partner.is_none();
        if was.is_none_or(|before| is_fixed && before.capacity != capacity) {
            return Some(format!(
                "the capacity was {:?} and is {capacity}",
                was.map(|s| s.capacity)
            ));
        }
        let is_conserved =
            available >= 0 && held >= 0 && sold >= 0 && capacity == available + held + sold;
        (!is_conserved)
            .then(|| format!("{available} available + {held} held + {sold} sold of {capacity}"))
    })
}

/// Law 6: after a quiet moment the stock store has what the ledger has, to the unit.
pub(super) fn store_equals_ledger(evidence: &Evidence) -> Verdict {
    each("the stock store equals the ledger", evidence, |stock| {
        let (ledger, store) = (stock.available, stock.store_available);
        (store != Some(ledger)).then(|| match store {
            Some(store) => format!("{store} in the store, {ledger} in the ledger"),
            None => format!("the store is not armed, {ledger} in the ledger"),
        })
    })
}

fn each(
    name: &'static str,
    evidence: &Evidence,
    wrong: impl Fn(&CategoryStock) -> Option<String>,
) -> Verdict {
    let mut findings: Vec<_> = evidence
        .after
        .iter()
        .filter_map(|stock| Some(format!("{}: {}", stock.name, wrong(stock)?)))
        .collect();
    if evidence.after.len() != evidence.categories.len() {
        let (known, shown) = (evidence.categories.len(), evidence.after.len());
        findings.push(format!(
            "the stock of {shown} categories is shown, there are {known}"
        ));
    }
    let available: i64 = evidence.after.iter().map(|stock| stock.available).sum();
    Verdict::new(name, format!("{available} available"), findings)
}
