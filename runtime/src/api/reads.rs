//! Reads of orders from the ledger; those that arrive together go there together.

use std::collections::HashMap;

use ticket_core::{Code, ErrorClass, OrderRecord, OrderRef};
use ticket_ledger::{Ledger, LedgerError};
use tokio_util::sync::CancellationToken;

use super::gather::Gather;
use crate::problem::Problem;

/// Orders in one statement.
const BATCH_READS_MAX: usize = 512;

type Answer = Result<Option<OrderRecord>, Problem>;

/// Reads orders from the ledger, many at a time.
#[derive(Clone)]
pub struct OrderReads {
    gather: Gather<OrderRef, Answer>,
}

impl OrderReads {
    /// Starts the readers; they end with `stop`.
    #[must_use]
    pub fn start(ledger: &Ledger, stop: &CancellationToken) -> Self {
        let ledger = ledger.clone();
        let read = move |orders| {
            let ledger = ledger.clone();
            async move { read(&ledger, orders).await }
        };
        Self {
            gather: Gather::start(BATCH_READS_MAX, stop, read),
        }
    }

    /// The order as the ledger has it, or `None`.
    ///
    /// # Errors
    /// `overloaded` if the ledger does not answer or too many reads wait, `internal` if it answers nonsense.
    pub async fn get(&self, order: OrderRef) -> Answer {
        let answer = self.gather.ask(order).await;
        answer.unwrap_or_else(|| Err(Problem::unavailable("the ledger")))
    }
}

async fn read(ledger: &Ledger, orders: Vec<OrderRef>) -> Vec<Answer> {
    let found = ledger.orders(&orders).await;
    let found: Result<HashMap<OrderRef, OrderRecord>, LedgerError> =
        found.map(|found| found.into_iter().collect());
    if let Err(error) = &found {
        tracing::warn!(error = %ticket_telemetry::chain(error), code = error.code(), "orders not read");
    }
    let answer = |order: OrderRef| match &found {
        Ok(found) => Ok(found.get(&order).cloned()),
        Err(error) => Err(match error.class() {
            ErrorClass::Retry | ErrorClass::Ambiguous => Problem::unavailable("the ledger"),
            ErrorClass::Permanent | ErrorClass::Conflict => Code::Internal.into(),
        }),
    };
    orders.into_iter().map(answer).collect()
}
