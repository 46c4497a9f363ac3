//! Who waits for an order: `Prefer: wait` and event streams follow `order-events`, they do not poll the ledger.
//! Every API reads all of `order-events` from its end and hands facts to those who wait here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use ticket_bus::Tail;
use ticket_core::{FactBatch, OrderId, OrderRecord};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Facts that one waiter may be behind; one that is further behind reads the ledger again.
const WAITER_FACTS_MAX: usize = 16;

/// All waiters of this process.
#[derive(Default)]
pub struct Waiters {
    orders: Mutex<HashMap<OrderId, broadcast::Sender<OrderRecord>>>,
}

/// Facts of one order from now on.
pub struct Waiter {
    waiters: Arc<Waiters>,
    order: OrderId,
    facts: broadcast::Receiver<OrderRecord>,
}

impl Waiters {
    /// Facts of `order` from now on. Subscribe first, read the ledger second: then nothing falls between the two.
    pub fn subscribe(self: &Arc<Self>, order: OrderId) -> Waiter {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = orders
            .entry(order)
            .or_insert_with(|| broadcast::channel(WAITER_FACTS_MAX).0);
        Waiter {
            waiters: self.clone(),
            order,
            facts: sender.subscribe(),
        }
    }

    fn tell(&self, batch: FactBatch) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.is_empty() {
            return;
        }
        for order in batch.orders {
            if let Some(sender) = orders.get(&order.order) {
                // No receiver left: the waiter is just going away.
                drop(sender.send(order));
            }
        }
    }

    /// Follows `order-events` until `stop`.
    ///
    /// # Errors
    /// The reader's, when it cannot go on.
    pub async fn run(
        self: Arc<Self>,
        mut tail: Tail,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let record = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                record = tail.next() => record.context("order-events ended")??,
            };
            match FactBatch::decode(&record.payload) {
                Ok(batch) => self.tell(batch),
                // The consumer groups send it to the dead letter; a waiter only looks.
                Err(error) => tracing::debug!(%error, "fact not readable"),
            }
        }
    }
}

impl Waiter {
    /// The next fact of the order; `None` when some were missed and the ledger must be asked.
    pub async fn next(&mut self) -> Option<OrderRecord> {
        self.facts.recv().await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut orders = self
            .waiters
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // This receiver still counts.
        if orders
            .get(&self.order)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            orders.remove(&self.order);
        }
    }
}
