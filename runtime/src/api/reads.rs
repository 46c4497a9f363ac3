//! Reads of orders that arrive together go to the ledger together: under load one statement answers hundreds of buyers.

use std::collections::HashMap;

use ticket_core::{OrderRecord, OrderRef};
use ticket_ledger::{Ledger, LedgerError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// Reads that may wait; beyond it the API says `overloaded`.
const WAITING_READS_MAX: usize = 8_192;

/// Orders in one statement.
const BATCH_READS_MAX: usize = 512;

/// Statements under way at once: while one is on its way the next batch gathers.
const CONCURRENT_READS: usize = 2;

type Answer = Result<Option<OrderRecord>, Problem>;

struct Read {
    order: OrderRef,
    answer: oneshot::Sender<Answer>,
}

/// Reads orders from the ledger, many at a time.
#[derive(Clone)]
pub struct OrderReads {
    queue: mpsc::Sender<Read>,
}

impl OrderReads {
    /// Starts the readers; they end with `stop`.
    #[must_use]
    pub fn start(ledger: &Ledger, stop: &CancellationToken) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_READS_MAX);
        let waiting = std::sync::Arc::new(tokio::sync::Mutex::new(waiting));
        for _ in 0..CONCURRENT_READS {
            let (ledger, waiting, stop) = (ledger.clone(), waiting.clone(), stop.clone());
            tokio::spawn(async move {
                let mut batch = Vec::with_capacity(BATCH_READS_MAX);
                loop {
                    {
                        let mut waiting = waiting.lock().await;
                        tokio::select! {
                            () = stop.cancelled() => return,
                            read = waiting.recv_many(&mut batch, BATCH_READS_MAX) => {
                                if read == 0 { return }
                            }
                        }
                    }
                    answer(&ledger, &mut batch).await;
                }
            });
        }
        Self { queue }
    }

    /// The order as the ledger has it, or `None`.
    ///
    /// # Errors
    /// `overloaded` if the ledger does not answer or too many reads wait.
    pub async fn get(&self, order: OrderRef) -> Answer {
        let (answer, wait) = oneshot::channel();
        self.queue
            .try_send(Read { order, answer })
            .map_err(|_| Problem::unavailable("the ledger"))?;
        wait.await
            .unwrap_or_else(|_| Err(Problem::unavailable("the ledger")))
    }
}

async fn answer(ledger: &Ledger, batch: &mut Vec<Read>) {
    let orders: Vec<OrderRef> = batch.iter().map(|read| read.order).collect();
    let found = ledger.orders(&orders).await;
    let found: Result<HashMap<OrderRef, OrderRecord>, LedgerError> =
        found.map(|found| found.into_iter().collect());
    if let Err(error) = &found {
        tracing::warn!(error = %ticket_telemetry::chain(error), code = error.code(), "orders not read");
    }
    for Read { order, answer } in batch.drain(..) {
        let one = match &found {
            Ok(found) => Ok(found.get(&order).cloned()),
            Err(_) => Err(Problem::unavailable("the ledger")),
        };
        // The caller may have gone away meanwhile; then nobody needs the answer.
        drop(answer.send(one));
    }
}
