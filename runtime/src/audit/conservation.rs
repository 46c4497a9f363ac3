//! Law 1: per stock shard `capacity = available + held + sold`, all >= 0, and the counters equal the sum over the orders.

use ticket_core::{StockCounts, clock};
use ticket_ledger::AuditShard;
use ticket_payments::Provider;

use super::{Auditor, Findings, Verdict};
use crate::catalog::EventEntry;

impl<P: Provider> Auditor<'_, P> {
    pub(super) async fn conservation(&self, event: &EventEntry) -> Verdict {
        match self.ledger.audit_view(event.id(), clock::now()).await {
            Ok(view) => verdict(&view.shards),
            Err(error) => Verdict::unknown(&error),
        }
    }
}

fn verdict(shards: &[AuditShard]) -> Verdict {
    let mut findings = Findings::default();
    let mut total = StockCounts::default();
    for shard in shards {
        total += shard.counts;
        if !shard.adds_up() {
            findings.add(|| {
                let StockCounts { capacity, available, held, sold } = shard.counts;
                format!(
                    "stock shard {}: capacity {capacity}, available {available}, held {held} (orders: {}), sold {sold} (orders: {})",
                    shard.id, shard.orders_held, shard.orders_sold
                )
            });
        }
    }
    let StockCounts {
        capacity,
        available,
        held,
        sold,
    } = total;
    findings.verdict(|| {
        format!(
            "{} stock shards: {capacity} = {available} available + {held} held + {sold} sold, as the orders say",
            shards.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use ticket_core::{CategoryName, Epoch, State, StockShardId};

    use super::*;

    fn shard(counts: [i64; 4], orders_held: i64, orders_sold: i64) -> AuditShard {
        let [capacity, available, held, sold] = counts;
        AuditShard {
            id: StockShardId::new(7).unwrap(),
            category: CategoryName::new("vip").unwrap(),
            epoch: Epoch::FIRST,
            version: 1,
            counts: StockCounts {
                capacity,
                available,
                held,
                sold,
            },
            orders_held,
            orders_sold,
            orders_by_state: [0; State::ALL.len()],
        }
    }

    #[test]
    fn counters_must_add_up_and_equal_the_orders() {
        assert!(matches!(
            verdict(&[shard([10, 3, 2, 5], 2, 5)]),
            Verdict::Holds(_)
        ));
        for wrong in [
            shard([10, 4, 2, 5], 2, 5),
            shard([10, 3, 2, 5], 3, 5),
            shard([10, 3, 2, 5], 2, 4),
            shard([10, -1, 6, 5], 6, 5),
        ] {
            let Verdict::Fails(detail) = verdict(std::slice::from_ref(&wrong)) else {
                panic!("{wrong:?}")
            };
            assert!(detail.starts_with("stock shard 7:"), "{detail}");
        }
    }
}
