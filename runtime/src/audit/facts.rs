//! The last fact of each order is its state. The ledger is read first and the facts second, so that every fact of what the
//! ledger said has had its chance; an order that moved meanwhile has newer facts, which is no fault. On the way it is seen
//! that no order was decided twice: two facts of one version must say the same.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use ticket_bus::Tail;
use ticket_core::{FactBatch, OrderId, OrderRecord, OrderRef, State};
use ticket_ledger::LedgerError;
use ticket_payments::Provider;

use super::{Auditor, Findings, ORDERS_MAX, PAGE_ORDERS, Verdict, is_under_way};
use crate::catalog::EventEntry;

/// Orders without a ledger row that are looked up one by one; the rest is only more of the same.
const STRANGERS_MAX: usize = 500;

/// An order as the ledger has it.
struct Kept {
    reference: OrderRef,
    version: i64,
    state: State,
    updated_at: Timestamp,
}

/// The newest fact of an order.
struct Told {
    reference: OrderRef,
    version: i64,
    state: State,
    is_contradicted: bool,
}

/// All facts of one event.
#[derive(Default)]
struct Facts {
    orders: HashMap<OrderId, Told>,
    /// Records of the topic that are no facts, of whatever event. If one was an order's last, its order tells by itself.
    unreadable: u64,
    /// The first fact that the topic still has was produced then; earlier ones are gone. `None` = nothing is gone.
    gone_before: Option<Timestamp>,
}

impl<P: Provider> Auditor<'_, P> {
    pub(super) async fn facts(&self, event: &EventEntry, begun: Timestamp) -> Verdict {
        let kept = match self.kept(event).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return Verdict::Skipped(format!("more than {ORDERS_MAX} orders")),
            Err(error) => return Verdict::unknown(&error),
        };
        let facts = match self.told(event).await {
            Ok(facts) => facts,
            Err(error) => return Verdict::unknown(&error),
        };
        let (mut findings, strangers) = compare(&kept, &facts, begun);
        // Facts of orders that the ledger did not have a moment ago: is it there by now?
        let asked: Vec<OrderRef> = strangers.iter().take(STRANGERS_MAX).copied().collect();
        match self.ledger.orders(&asked).await {
            Ok(found) => {
                let found: HashSet<OrderRef> =
                    found.into_iter().map(|(reference, _)| reference).collect();
                for order in asked.iter().filter(|order| !found.contains(order)) {
                    findings.add(|| format!("order {order} has facts but is not in the ledger"));
                }
            }
            Err(error) => return Verdict::unknown(&error),
        }
        findings.verdict(|| match facts.unreadable {
            0 => format!("{} orders end with their last fact", kept.len()),
            unreadable => format!(
                "{} orders end with their last fact; {unreadable} other records cannot be read",
                kept.len()
            ),
        })
    }

    /// `None` when there are too many.
    async fn kept(&self, event: &EventEntry) -> Result<Option<Vec<Kept>>, LedgerError> {
        let mut kept = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .ledger
                .event_orders(event.id(), after, PAGE_ORDERS)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(Some(kept));
            };
            after = Some(*last);
            kept.extend(page.iter().map(|(reference, record)| Kept {
                reference: *reference,
                version: record.version,
                state: record.state,
                updated_at: record.updated_at,
            }));
            if kept.len() > ORDERS_MAX {
                return Ok(None);
            }
        }
    }

    async fn told(&self, event: &EventEntry) -> Result<Facts, ticket_bus::BusError> {
        let mut facts = Facts::default();
        let mut tail = Tail::read_all(self.bus, &self.prefix.order_events()).await?;
        let mut begun_partitions = HashSet::new();
        while let Some(record) = tail.next().await {
            let record = record?;
            if begun_partitions.insert(record.partition) && record.offset > 0 {
                let at = Timestamp::from_millisecond(record.timestamp_ms).unwrap_or_default();
                facts.gone_before = facts.gone_before.max(Some(at));
            }
            match FactBatch::decode(&record.payload) {
                Ok(batch) if batch.event == event.id() => facts.take(&batch),
                Ok(_) => {}
                Err(_) => facts.unreadable += 1,
            }
        }
        Ok(facts)
    }
}

impl Facts {
    fn take(&mut self, batch: &FactBatch) {
        // A void of an order that never was has no units: the ledger keeps it out of its lists, and so do we.
        for order in batch.orders.iter().filter(|order| order.quantity > 0) {
            self.take_order(batch.reference(order), order);
        }
    }

    fn take_order(&mut self, reference: OrderRef, order: &OrderRecord) {
        let (version, state) = (order.version, order.state);
        let told = Told {
            reference,
            version,
            state,
            is_contradicted: false,
        };
        match self.orders.entry(order.order) {
            Entry::Vacant(slot) => {
                slot.insert(told);
            }
            Entry::Occupied(mut slot) => {
                let known = slot.get_mut();
                if version > known.version {
                    *known = Told {
                        is_contradicted: known.is_contradicted,
                        ..told
                    };
                } else if version == known.version && state != known.state {
                    known.is_contradicted = true;
                }
            }
        }
    }
}

/// What is wrong, and the orders that only the facts know.
fn compare(kept: &[Kept], facts: &Facts, begun: Timestamp) -> (Findings, Vec<OrderRef>) {
    let mut findings = Findings::default();
    let mut seen = 0;
    for order in kept {
        let Kept {
            reference,
            version,
            state,
            updated_at,
        } = order;
        let told = facts.orders.get(&reference.order);
        seen += usize::from(told.is_some());
        match told {
            Some(told) if told.is_contradicted => {
                findings.add(|| format!("order {reference} was decided twice"));
            }
            Some(told) if told.version == *version && told.state != *state => findings
                .add(|| format!("order {reference} is {state}, its fact says {}", told.state)),
            // Equal, or moved on since the ledger was read.
            Some(told) if told.version >= *version => {}
            Some(_) | None if is_under_way(*updated_at, begun) => {}
            None if facts.gone_before.is_some_and(|gone| *updated_at <= gone) => {}
            Some(told) => findings.add(|| {
                format!(
                    "order {reference} is {state}, its last fact is {}",
                    told.state
                )
            }),
            None => findings.add(|| format!("order {reference} is {state}, but has no fact")),
        }
    }
    if seen == facts.orders.len() {
        return (findings, Vec::new());
    }
    let known: HashSet<OrderId> = kept.iter().map(|order| order.reference.order).collect();
    let strangers = facts
        .orders
        .iter()
        .filter(|(order, _)| !known.contains(*order));
    (
        findings,
        strangers.map(|(_, told)| told.reference).collect(),
    )
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use ticket_core::{BuyerId, Passed, StockShardId};

    use super::*;

    fn reference(number: u128) -> OrderRef {
        let shard = StockShardId::new(7).unwrap();
        OrderRef {
            order: OrderId(uuid::Uuid::from_u128(number)),
            shard,
        }
    }

    fn begun() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn kept(number: u128, version: i64, state: State) -> Kept {
        let updated_at = begun() - SignedDuration::from_hours(1);
        Kept {
            reference: reference(number),
            version,
            state,
            updated_at,
        }
    }

    fn told(facts: &mut Facts, number: u128, version: i64, state: State) {
        let record = OrderRecord {
            order: reference(number).order,
            version,
            state,
            reason: None,
            passed: Passed::default(),
            buyer: BuyerId::new("b").unwrap(),
            quantity: 1,
            amount_minor: 5,
            created_at: begun(),
            updated_at: begun(),
            hold_expires_at: None,
            payment: None,
        };
        facts.take_order(reference(number), &record);
    }

    #[test]
    fn repeats_and_newer_facts_are_fine() {
        let mut facts = Facts::default();
        told(&mut facts, 1, 4, State::Paid);
        told(&mut facts, 1, 4, State::Paid);
        told(&mut facts, 1, 3, State::Reserved);
        told(&mut facts, 2, 9, State::Expired);
        let ledger = [kept(1, 4, State::Paid), kept(2, 8, State::AwaitingPayment)];
        let (findings, strangers) = compare(&ledger, &facts, begun());
        assert_eq!((findings.count, strangers.len()), (0, 0));
    }

    #[test]
    fn a_lost_fact_another_state_and_a_second_decision_are_not() {
        let mut facts = Facts::default();
        told(&mut facts, 1, 3, State::Reserved);
        told(&mut facts, 2, 4, State::Expired);
        told(&mut facts, 3, 4, State::Paid);
        told(&mut facts, 3, 4, State::Expired);
        told(&mut facts, 5, 1, State::Paid);
        let ledger = [
            kept(1, 4, State::Paid),
            kept(2, 4, State::Paid),
            kept(3, 4, State::Paid),
            kept(4, 1, State::Paid),
        ];
        let (findings, strangers) = compare(&ledger, &facts, begun());
        assert_eq!(findings.count, 4, "{:?}", findings.named);
        assert_eq!(strangers, [reference(5)]);
    }

    #[test]
    fn what_just_changed_may_still_be_on_its_way_and_old_facts_may_be_gone() {
        let mut just_now = kept(1, 4, State::Paid);
        just_now.updated_at = begun() - SignedDuration::from_secs(1);
        assert_eq!(compare(&[just_now], &Facts::default(), begun()).0.count, 0);
        let gone = Facts {
            gone_before: Some(begun()),
            ..Facts::default()
        };
        assert_eq!(
            compare(&[kept(1, 4, State::Paid)], &gone, begun()).0.count,
            0
        );
    }
}
