//! An order that was reserved in the stock store long ago and never decided may have died between store and log. The reaper
//! asks for it to be voided; only the consumer decides, and an order that did reach the log stays what it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use ticket_bus::Producer;
use ticket_core::{Action, Command, OrderCommand, OrderId, clock};
use ticket_stock::StockStore;
use ticket_telemetry::chain;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::catalog::{Catalog, EventEntry};
use crate::commands::send;

/// How often pending orders are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A pending order is left alone for this long. Longer than a produce may take, so that what is voided is surely not
/// under way.
const PENDING_FOR: SignedDuration = SignedDuration::from_secs(15);

/// Orders asked about in one look at one event; the rest comes in the next.
const ORDERS_PER_LOOK_MAX: usize = 500;

/// An order that was asked about is not asked about again for this long: its command waits on the log.
const ASK_AGAIN_AFTER: Duration = Duration::from_mins(2);

/// Asks after orders that nobody decided.
pub struct Reaper {
    catalog: Arc<Catalog>,
    stock: StockStore,
    log: Producer,
    asked: HashMap<OrderId, Instant>,
}

impl Reaper {
    /// A reaper that has asked nothing yet.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, stock: StockStore, log: Producer) -> Self {
        Self {
            catalog,
            stock,
            log,
            asked: HashMap::new(),
        }
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let snapshot = self.catalog.snapshot();
            for event in snapshot.events() {
                if let Err(error) = self.reap(event).await {
                    debug!(error = %chain(&error), event = %event.name(), "pending orders not looked at");
                }
            }
            self.asked.retain(|_, at| at.elapsed() < ASK_AGAIN_AFTER);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn reap(&mut self, event: &EventEntry) -> Result<(), ticket_stock::StockError> {
        let now = clock::now();
        let older_than = now.saturating_sub(PENDING_FOR).unwrap_or(now);
        let pending = self
            .stock
            .pending_older_than(event.id(), older_than, ORDERS_PER_LOOK_MAX)
            .await?;
        let mut sent = 0_u32;
        for order in pending {
            if self.asked.contains_key(&order.order) {
                continue;
            }
            let action = Action::Void {
                buyer: order.buyer,
                quantity: order.quantity,
            };
            let command = OrderCommand {
                order: order.order,
                shard: order.shard,
                at: now,
                action,
            };
            if let Err(error) = send(&self.catalog, &self.log, &Command::Order(command)).await {
                warn!(error = %chain(&error), "orders not voided, trying again");
                break;
            }
            self.asked.insert(order.order, Instant::now());
            sent += 1;
        }
        if sent > 0 {
            info!(event = %event.name(), orders = sent, "asked to void orders that nobody decided");
        }
        Ok(())
    }
}
