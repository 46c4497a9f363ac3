//! Reads of orders from the ledger; those that arrive together go there together.

use std::collections::{HashMap, HashSet};

use ticket_core::{Code, ErrorClass, OrderRecord, OrderRef, StockShardId};
use ticket_ledger::{Ledger, LedgerError};
use tokio_util::sync::CancellationToken;

use super::gather::Gather;
use crate::problem::Problem;

/// Orders in one statement.
const BATCH_READS_MAX: usize = 512;

/// Statements under way at once: while one is on its way the next one gathers.
const STATEMENTS_AT_ONCE: usize = 2;

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
            gather: Gather::start(BATCH_READS_MAX, STATEMENTS_AT_ONCE, stop, read),
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
    match found_by(ledger, &orders).await {
        Ok(found) => answers(&orders, &Ok(found)),
        // Perhaps one of several nodes is down: whose orders are on the others shall not notice.
        Err(error) => {
            let shards: HashSet<StockShardId> = orders.iter().map(|order| order.shard).collect();
            let shards: Vec<StockShardId> = shards.into_iter().collect();
            match ledger.by_node(&shards).await {
                Ok(groups) if groups.len() > 1 => read_by_node(ledger, &orders, &groups).await,
                Ok(_) | Err(_) => answers(&orders, &Err(error)),
            }
        }
    }
}

type Found = Result<HashMap<OrderRef, OrderRecord>, LedgerError>;

async fn found_by(ledger: &Ledger, orders: &[OrderRef]) -> Found {
    let found = ledger.orders(orders).await;
    if let Err(error) = &found {
        tracing::warn!(error = %ticket_telemetry::chain(error), code = error.code(), "orders not read");
    }
    Ok(found?.into_iter().collect())
}

/// One question for each node, and the answers in the order of `orders`.
async fn read_by_node(
    ledger: &Ledger,
    orders: &[OrderRef],
    groups: &[Vec<StockShardId>],
) -> Vec<Answer> {
    let mut by_order: HashMap<OrderRef, Answer> = HashMap::with_capacity(orders.len());
    for shards in groups {
        let there = |order: &&OrderRef| shards.contains(&order.shard);
        let of_node: Vec<OrderRef> = orders.iter().filter(there).copied().collect();
        let found = found_by(ledger, &of_node).await;
        by_order.extend(of_node.iter().copied().zip(answers(&of_node, &found)));
    }
    orders
        .iter()
        .map(|order| {
            let answer = by_order.get(order).cloned();
            answer.unwrap_or_else(|| Err(Problem::unavailable("the ledger")))
        })
        .collect()
}

fn answers(orders: &[OrderRef], found: &Found) -> Vec<Answer> {
    let answer = |order: &OrderRef| match found {
        Ok(found) => Ok(found.get(order).cloned()),
        Err(error) => Err(match error.class() {
            ErrorClass::Retry | ErrorClass::Ambiguous => Problem::unavailable("the ledger"),
            ErrorClass::Permanent | ErrorClass::Conflict => Code::Internal.into(),
        }),
    };
    orders.iter().map(answer).collect()
}
