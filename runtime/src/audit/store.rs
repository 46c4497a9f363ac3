//! Law 6: after a quiet moment Redis equals the ledger to the unit. A moment is quiet when nothing waits on the order log,
//! no reservation is undecided, and no stock shard moved between two looks at the ledger around the look at the store.

use std::collections::BTreeMap;
use std::time::Duration;

use ticket_core::StockShardId;
use ticket_ledger::StockShardRow;
use ticket_payments::Provider;
use ticket_telemetry::chain;

use super::{Auditor, Findings, Verdict};
use crate::catalog::EventEntry;

/// Looks at most. A difference counts only if the last quiet look saw it: one that the processor is just about to
/// settle goes away by itself.
const LOOKS_MAX: u32 = 6;

/// Between two looks: longer than a batch takes from its first command to its committed offset.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What one look saw.
enum Look {
    /// The moment was quiet: units per stock shard in ledger and store.
    Quiet(Vec<(StockShardId, i64, i64)>),
    /// Something moves; what.
    Busy(String),
}

impl<P: Provider> Auditor<'_, P> {
    pub(super) async fn store(&self, event: &EventEntry) -> Verdict {
        let mut verdict = Verdict::Skipped("the event has no stock".to_owned());
        for look in 0..LOOKS_MAX {
            if look > 0 {
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            verdict = match self.look(event).await {
                Look::Quiet(units) => compare(&units),
                // A difference that was seen in a quiet moment is not forgotten because it got busy again.
                Look::Busy(_) if matches!(verdict, Verdict::Fails(_)) => verdict,
                Look::Busy(what) => Verdict::Skipped(what),
            };
            if matches!(verdict, Verdict::Holds(_)) {
                return verdict;
            }
        }
        verdict
    }

    async fn look(&self, event: &EventEntry) -> Look {
        self.try_look(event).await.unwrap_or_else(Look::Busy)
    }

    /// The error is why there is nothing to compare.
    async fn try_look(&self, event: &EventEntry) -> Result<Look, String> {
        let not_read = |error: &(dyn std::error::Error + 'static)| chain(error).to_string();
        let armed = self
            .stock
            .state(event.id())
            .await
            .map_err(|error| not_read(&error))?;
        let Some(armed) = armed else {
            return Ok(Look::Busy(
                "the stock store is warming up or closed".to_owned(),
            ));
        };
        if armed != event.epoch() {
            let epoch = event.epoch();
            return Ok(Look::Busy(format!(
                "the store has epoch {armed}, the ledger {epoch}"
            )));
        }
        let before = self
            .ledger
            .stock(event.id())
            .await
            .map_err(|error| not_read(&error))?;
        if let Some(what) = self.under_way(event).await? {
            return Ok(Look::Busy(what));
        }
        let mut store = BTreeMap::new();
        for category in &event.categories {
            let counts = self.stock.counts(event.id(), &category.name).await;
            store.extend(counts.map_err(|error| not_read(&error))?);
        }
        // Again: what came in between these looks is seen by one of them.
        if let Some(what) = self.under_way(event).await? {
            return Ok(Look::Busy(what));
        }
        let after = self
            .ledger
            .stock(event.id())
            .await
            .map_err(|error| not_read(&error))?;
        let versions = |rows: &[StockShardRow]| -> Vec<_> {
            rows.iter()
                .map(|row| (row.id, row.version, row.epoch))
                .collect()
        };
        if versions(&before) != versions(&after) {
            return Ok(Look::Busy("the ledger moves".to_owned()));
        }
        let units = |row: &StockShardRow| {
            // A stock shard that the store does not know has nothing to sell there.
            (
                row.id,
                row.counts.available,
                store.get(&row.id).copied().unwrap_or(0),
            )
        };
        Ok(Look::Quiet(after.iter().map(units).collect()))
    }

    /// What is on its way between store and ledger; `None` = nothing.
    async fn under_way(&self, event: &EventEntry) -> Result<Option<String>, String> {
        let pending = self.stock.pending_count(event.id()).await;
        let pending = pending.map_err(|error| chain(&error).to_string())?;
        if pending > 0 {
            return Ok(Some(format!("{pending} reservations are undecided")));
        }
        let group = self.prefix.group("processor");
        let lags = self.kafka.lag(&group, &[event.topic().to_owned()]).await;
        let lags = lags.map_err(|error| chain(&error).to_string())?;
        // Never committed on a partition that holds nothing is no lag.
        let waiting: i64 = lags.iter().map(|lag| lag.lag().unwrap_or(lag.end)).sum();
        Ok((waiting > 0).then(|| format!("{waiting} commands wait on the order log")))
    }
}

fn compare(units: &[(StockShardId, i64, i64)]) -> Verdict {
    let mut findings = Findings::default();
    for (shard, ledger, store) in units {
        if ledger != store {
            findings.add(|| format!("stock shard {shard}: ledger {ledger}, store {store}"));
        }
    }
    let total: i64 = units.iter().map(|(_, ledger, _)| ledger).sum();
    findings.verdict(|| {
        format!(
            "{} stock shards equal, {total} units available",
            units.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_is_a_difference() {
        let shard = |id| StockShardId::new(id).unwrap();
        assert!(matches!(
            compare(&[(shard(1), 5, 5), (shard(2), 0, 0)]),
            Verdict::Holds(_)
        ));
        let Verdict::Fails(detail) = compare(&[(shard(1), 5, 5), (shard(2), 0, 1)]) else {
            panic!("must fail")
        };
        assert_eq!(detail, "stock shard 2: ledger 0, store 1");
    }
}
