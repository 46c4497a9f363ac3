//! Law 2: no order is stuck past its limit, neither in the ledger nor between stock store and log.

use jiff::{SignedDuration, Timestamp};
use ticket_core::State;
use ticket_ledger::{AuditView, StuckOrder};
use ticket_payments::Provider;
use ticket_stock::Pending;
use ticket_telemetry::chain;

use super::{Auditor, Findings, STUCK_AFTER, Verdict};
use crate::catalog::EventEntry;

/// A refund may take its time: the provider sends the money back by ways that are not ours to hurry.
const REFUND_STUCK_AFTER: SignedDuration = SignedDuration::from_hours(10 * 24);

/// Undecided orders that are looked at; one is enough to fail.
const PENDING_MAX: usize = 100;

impl<P: Provider> Auditor<'_, P> {
    pub(super) async fn states(&self, event: &EventEntry, now: Timestamp) -> Verdict {
        let before = now.saturating_sub(STUCK_AFTER).unwrap_or(now);
        let view = match self.ledger.audit_view(event.id(), before).await {
            Ok(view) => view,
            Err(error) => return Verdict::unknown(&error),
        };
        match self
            .stock
            .pending_older_than(event.id(), before, PENDING_MAX)
            .await
        {
            Ok(pending) => verdict(&view, &pending, None, now),
            // The ledger's part still counts.
            Err(error) => verdict(&view, &[], Some(chain(&error).to_string()), now),
        }
    }
}

fn verdict(
    view: &AuditView,
    pending: &[Pending],
    store_down: Option<String>,
    now: Timestamp,
) -> Verdict {
    let mut findings = Findings::default();
    for order in view.stuck.iter().filter(|order| is_stuck(order, now)) {
        findings.add(|| {
            format!(
                "order {} is {} since {}",
                order.order, order.state, order.since
            )
        });
    }
    for order in pending {
        findings.add(|| format!("order {} is undecided since {}", order.order, order.since));
    }
    findings.verdict(|| {
        let counted = State::ALL.iter().map(|state| {
            let index = usize::try_from(state.number()).unwrap_or(usize::MAX);
            let of_shard = |by_state: &[i64]| by_state.get(index).copied().unwrap_or(0);
            let orders: i64 = view
                .shards
                .iter()
                .map(|shard| of_shard(&shard.orders_by_state))
                .sum();
            (state, orders)
        });
        let counted = counted.filter(|(_, orders)| *orders > 0);
        let counted: Vec<String> = counted
            .map(|(state, orders)| format!("{orders} {state}"))
            .collect();
        let counted = if counted.is_empty() {
            "no orders".to_owned()
        } else {
            counted.join(", ")
        };
        match store_down {
            None => format!("none is stuck: {counted}"),
            Some(why) => format!("none is stuck in the ledger: {counted}; the store: {why}"),
        }
    })
}

fn is_stuck(order: &StuckOrder, now: Timestamp) -> bool {
    order.state != State::Refunding || now.duration_since(order.since) > REFUND_STUCK_AFTER
}

#[cfg(test)]
mod tests {
    use ticket_core::{OrderId, OrderRef, StockShardId};

    use super::*;

    #[test]
    fn a_refund_may_take_days_and_nothing_else_may() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let view = |state| AuditView {
            shards: Vec::new(),
            stuck: vec![StuckOrder {
                order: OrderRef {
                    order: OrderId(uuid::Uuid::from_u128(1)),
                    shard: StockShardId::new(7).unwrap(),
                },
                state,
                since: Timestamp::from_second(900_000).unwrap(),
            }],
        };
        let holds = |state| matches!(verdict(&view(state), &[], None, now), Verdict::Holds(_));
        assert!(holds(State::Refunding));
        assert!(!holds(State::Reserved) && !holds(State::AwaitingPayment));
    }
}
