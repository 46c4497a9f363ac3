//! What is looked at from time to time instead of counted: stock, epochs and lag, as gauges (CONTRACT section 7). One process
//! with the keeper's role is enough; several say the same.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use ticket_bus::BusAdmin;
use ticket_core::StockCounts;
use ticket_core::names::TopicPrefix;
use ticket_ledger::Ledger;
use ticket_stock::StockStore;
use ticket_telemetry::{chain, metric};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::catalog::{Catalog, EventEntry};

/// Between two looks. Prometheus asks every 15 s or so; each look reads the counters of every event that is not over.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is looked at.
pub(crate) struct Gauges {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) ledger: Ledger,
    pub(crate) stock: StockStore,
    pub(crate) kafka: BusAdmin,
    pub(crate) prefix: TopicPrefix,
}

impl Gauges {
    /// Looks until `stop`. A server that is away leaves its gauges as they were; after a while they are gone.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            for event in self.catalog.snapshot().events() {
                self.event(event).await;
            }
            self.lag().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn event(&self, event: &EventEntry) {
        let name = event.name().to_string();
        #[expect(clippy::cast_precision_loss, reason = "an epoch is a small number")]
        gauge!(metric::WARMUP_EPOCH, "event" => name.clone()).set(event.epoch().0 as f64);
        if event.row.is_closed {
            return;
        }
        let shards = match self.ledger.stock(event.id()).await {
            Ok(shards) => shards,
            Err(error) => {
                debug!(error = %chain(&error), event = name, "stock not looked at");
                return;
            }
        };
        for category in &event.row.categories {
            let mut sum = StockCounts::default();
            for shard in shards
                .iter()
                .filter(|shard| shard.category == category.name)
            {
                sum += shard.counts;
            }
            let say = |kind: &'static str, units: i64| {
                let labels = [
                    ("event", name.clone()),
                    ("category", category.name.to_string()),
                    ("kind", kind.to_owned()),
                ];
                #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
                gauge!(metric::STOCK, &labels).set(units as f64);
            };
            say("capacity", sum.capacity);
            say("available", sum.available);
            say("held", sum.held);
            say("sold", sum.sold);
            match self.stock.counts(event.id(), &category.name).await {
                Ok(store) => say("store", store.iter().map(|(_, units)| units).sum()),
                Err(error) => {
                    debug!(error = %chain(&error), event = name, "store not looked at");
                }
            }
        }
    }

    async fn lag(&self) {
        let groups = [
            (
                self.prefix.group("processor"),
                self.catalog.snapshot().topics(),
            ),
            (
                self.prefix.group("payments"),
                vec![self.prefix.order_events()],
            ),
        ];
        for (group, topics) in groups {
            if topics.is_empty() {
                continue;
            }
            let lags = match self.kafka.lag(&group, &topics).await {
                Ok(lags) => lags,
                Err(error) => {
                    debug!(error = %chain(&error), group, "lag not looked at");
                    continue;
                }
            };
            for lag in lags {
                let behind = (lag.end - lag.committed.unwrap_or(0)).max(0);
                let labels = [
                    ("topic", lag.topic),
                    ("partition", lag.partition.to_string()),
                ];
                #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
                gauge!(metric::CONSUMER_LAG, &labels).set(behind as f64);
            }
        }
    }
}
