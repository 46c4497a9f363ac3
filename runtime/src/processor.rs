//! The processor: takes what waits on a partition of an order log as one ordered batch, has the ledger decide it, tells
//! everybody what was decided, and brings the stock store in line. It is the only role that changes stock and orders.

mod decide;
mod expiry;
mod facts;
mod store;

pub use decide::Decided;
pub use expiry::Expiry;
pub(crate) use facts::partition_of;
pub use store::StoreHealth;

use std::sync::Arc;

use futures::future::try_join_all;
use ticket_bus::{
    BatchHandler, BusError, HandlerError, Outgoing, Producer, Record, TopicPartition,
};
use ticket_core::ErrorClass;
use ticket_ledger::{Ledger, LedgerError};
use ticket_stock::StockStore;

use crate::catalog::Catalog;
use expiry::Ownership;

/// What all partitions share.
pub struct Shared {
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Decides.
    pub ledger: Ledger,
    /// Follows.
    pub stock: StockStore,
    /// Facts and dead letters.
    pub log: Producer,
    /// Name of `order-events`.
    pub order_events: String,
    /// Which partitions this process owns.
    pub expiry: Arc<Expiry>,
    /// Whether the stock store answered last.
    pub store: StoreHealth,
}

/// The one consumer of a partition.
pub struct PartitionProcessor {
    shared: Arc<Shared>,
    source: TopicPartition,
    _owned: Ownership,
}

/// Why a batch was not finished. The same batch comes again: every step is idempotent.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The catalog could not be read.
    #[error("could not look up the event of a stock shard")]
    Lookup(#[source] LedgerError),
    /// The ledger did not decide.
    #[error("the ledger did not decide a batch")]
    Decide(#[source] LedgerError),
    /// A fact did not get out.
    #[error("facts could not be published")]
    Publish(#[source] BusError),
    /// The stock store missed a decision, and the ledger did not write down that it must be refilled.
    #[error("the need of a warm-up could not be written down")]
    Need(#[source] LedgerError),
    /// A bad message did not get out of the way.
    #[error("a message that cannot be read could not be put aside")]
    DeadLetter(#[source] BusError),
}

impl ProcessError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Lookup(cause) | Self::Decide(cause) => cause.class(),
            Self::Publish(cause) | Self::DeadLetter(cause) => cause.class(),
            // The ledger has decided and everybody was told: this may not be given up.
            Self::Need(_) => ErrorClass::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Lookup(cause) | Self::Decide(cause) | Self::Need(cause) => cause.code(),
            Self::Publish(cause) | Self::DeadLetter(cause) => cause.code(),
        }
    }
}

impl PartitionProcessor {
    /// The processor of `source`, from now until it is dropped.
    #[must_use]
    pub fn new(shared: Arc<Shared>, source: TopicPartition) -> Self {
        let owned = shared.expiry.own(&source);
        Self {
            shared,
            source,
            _owned: owned,
        }
    }

    async fn decide(&self, batch: &[Record]) -> Result<Vec<Decided>, ProcessError> {
        let shared = &self.shared;
        let mut left = decide::sort(shared, &self.source, batch).await?;
        let mut all = Vec::with_capacity(left.len());
        // One round is the rule; a second one only where a marker lies in the batch.
        for round in 0..=decide::last_round(&left) {
            let work;
            (work, left) = decide::of_round(left, round);
            let decided = try_join_all(work.into_iter().map(|work| decide::decide(shared, work)));
            all.extend(decided.await?.into_iter().flatten());
        }
        Ok(all)
    }

    /// Facts first, stock store second, offset last: a crash between any two repeats what follows, and receivers drop
    /// what they have seen.
    async fn tell(&self, decided: &[Decided]) -> Result<(), ProcessError> {
        self.publish(decided).await?;
        store::bring_in_line(&self.shared, decided)
            .await
            .map_err(ProcessError::Need)
    }

    /// Facts of a stock shard are published in the order of their versions, also when one of them fails: what an adjustment
    /// left goes out once everything before it is out.
    async fn publish(&self, decided: &[Decided]) -> Result<(), ProcessError> {
        let rounds = decided.iter().map(|decided| decided.round).max();
        for round in 0..=rounds.unwrap_or(0) {
            self.publish_those(decided, round, false).await?;
            self.publish_those(decided, round, true).await?;
        }
        Ok(())
    }

    /// Those of a round that are of an adjustment, or the others.
    async fn publish_those(
        &self,
        decided: &[Decided],
        round: usize,
        of_adjustments: bool,
    ) -> Result<(), ProcessError> {
        let those = decided.iter().filter(|decided| {
            decided.round == round && decided.facts.adjustment.is_some() == of_adjustments
        });
        let topic = &self.shared.order_events;
        let sends = those.map(|Decided { facts, traces, .. }| async move {
            let partition = facts::partition_of(facts.shard);
            let key = facts.shard.to_string();
            let payload = facts.encode();
            self.shared
                .log
                .send_record(&Outgoing {
                    topic,
                    partition,
                    key: key.as_bytes(),
                    payload: &payload,
                    headers: &traces.headers(),
                })
                .await
        });
        // Polled in order, so facts of one partition keep the order of their decisions.
        try_join_all(sends)
            .await
            .map(|_| ())
            .map_err(ProcessError::Publish)
    }
}

impl From<ProcessError> for HandlerError {
    fn from(error: ProcessError) -> Self {
        Self::new(error.class(), error.code(), error)
    }
}

impl BatchHandler for PartitionProcessor {
    /// What the ledger decided, per stock shard.
    type Outcome = Vec<Decided>;

    async fn handle(&self, batch: &[Record]) -> Result<Vec<Decided>, HandlerError> {
        metrics::histogram!("ticket_batch_orders")
            .record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
        Ok(self.decide(batch).await?)
    }

    async fn finish(&self, decided: &Vec<Decided>) -> Result<(), HandlerError> {
        Ok(self.tell(decided).await?)
    }
}
