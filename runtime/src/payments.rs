//! The payments role: follows `order-events`, makes the payment of every reserved order at the provider, gives back the
//! money of refunded ones, makes sure that an order which ended unpaid cannot be paid any more, and asks about payments of
//! which nothing was heard. What it learns goes back as commands. It writes nothing to the ledger, and it keeps nothing:
//! the provider's idempotency keys and the ledger's rows do.
//!
//! - `errand`: what an order needs of the provider.
//! - `desk`: does it, and tries again.
//! - `reconcile`: finds what was left undone.
//! - `complaints`: finds fraud warnings and disputes.

mod complaints;
mod desk;
mod errand;
mod reconcile;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use ticket_bus::{BatchHandler, BusError, HandlerError, Producer, Record, TopicPartition};
use ticket_core::{ErrorClass, FactBatch, clock};
use ticket_ledger::Ledger;
use ticket_payments::Provider;
use ticket_telemetry::trace;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::catalog::Catalog;
use crate::config::ComplaintPolicy;
use crate::traced::Traces;
use desk::Desk;
use errand::Subject;
pub(crate) use reconcile::Reconciler;
use reconcile::{Owned, Partitions};

/// How long the facts of a batch wait for the slowest errand among them. An errand that takes longer goes on by itself and
/// the next facts are read; if the process dies before it is done, the reconciler finds its order.
const HEAD_OF_LINE_MAX: Duration = Duration::from_secs(2);

/// Part of the provider's calls per second that the reconciler may add in one look.
const RECONCILE_PART: u32 = 10;

/// What the payments role needs.
pub struct PaymentsParts<P> {
    /// The provider.
    pub provider: Arc<P>,
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Reads overdue orders.
    pub ledger: Ledger,
    /// Writes commands.
    pub log: Producer,
    /// What follows from a fraud warning or a dispute.
    pub policy: ComplaintPolicy,
    /// Calls per second that the provider allows.
    pub per_second: u32,
    /// Ends errands that wait.
    pub stop: CancellationToken,
}

/// What all partitions of this process share.
pub struct Payments<P> {
    desk: Arc<Desk<P>>,
    log: Producer,
    partitions: Arc<Partitions>,
}

impl<P: Provider + 'static> Payments<P> {
    /// The role, and its reconciler to run beside the consumer.
    pub(crate) fn new(parts: PaymentsParts<P>) -> (Self, Reconciler<P>) {
        let PaymentsParts {
            provider,
            catalog,
            ledger,
            log,
            policy,
            per_second,
            stop,
        } = parts;
        let desk = Desk::new(provider, catalog, log.clone(), policy, stop);
        let partitions = Arc::new(Partitions::default());
        let reconciler = Reconciler::new(
            Arc::clone(&desk),
            ledger,
            Arc::clone(&partitions),
            per_second / RECONCILE_PART,
        );
        let payments = Self {
            desk,
            log,
            partitions,
        };
        (payments, reconciler)
    }

    /// A handler of one partition of `order-events`, which owns it from now until it is dropped.
    #[must_use]
    pub fn handler(&self, source: TopicPartition) -> PaymentsHandler<P> {
        PaymentsHandler {
            desk: Arc::clone(&self.desk),
            log: self.log.clone(),
            _owned: self.partitions.own(source.partition),
            topic: source.topic,
        }
    }
}

/// Reads facts of one partition.
pub struct PaymentsHandler<P> {
    desk: Arc<Desk<P>>,
    log: Producer,
    topic: Arc<str>,
    _owned: Owned,
}

impl<P: Provider + 'static> PaymentsHandler<P> {
    async fn work_off(&self, batch: &[Record]) -> Result<(), BusError> {
        let mut open = Vec::new();
        for record in batch {
            match FactBatch::decode(&record.payload) {
                Ok(facts) => {
                    self.take(&facts, &Traces::of_facts(record), &mut open)
                        .await;
                }
                Err(error) => {
                    warn!(%error, offset = record.offset, "fact not readable");
                    let reason = error.to_string();
                    self.log.dead_letter(&self.topic, record, &reason).await?;
                }
            }
        }
        let errands = open.len();
        if tokio::time::timeout(HEAD_OF_LINE_MAX, join_all(open))
            .await
            .is_err()
        {
            debug!(
                errands,
                "slow errands at the provider go on beside the next facts"
            );
        }
        Ok(())
    }

    async fn take(&self, facts: &FactBatch, traces: &Traces, open: &mut Vec<JoinHandle<()>>) {
        let now = clock::now();
        for record in &facts.orders {
            let subject = Subject {
                order: facts.reference(record),
                record,
                event: &facts.event_name,
                currency: facts.currency,
            };
            if let Some(errand) = subject.after_fact(self.desk.policy(), now) {
                let from = traces.get(errand.order);
                let span = from.and_then(|from| trace::child("payment", from));
                open.extend(self.desk.take(errand, span).await);
            }
        }
    }
}

impl<P: Provider + 'static> BatchHandler for PaymentsHandler<P> {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        let result = self.work_off(batch).await;
        // Every errand is idempotent, so the whole batch may come again.
        result.map_err(|error| HandlerError::new(ErrorClass::Retry, error.code(), error))
    }
}
