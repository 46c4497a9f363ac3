//! The payments role: follows `order-events`, makes the payment of every reserved order at the provider, gives back the money
//! of refunded ones, and makes sure that an order which ended unpaid cannot be paid any more. What it learns goes back
//! as commands. It writes nothing to the ledger, and it keeps nothing: the provider's idempotency keys do.

use std::sync::Arc;

use futures::StreamExt;
use ticket_bus::{BatchHandler, HandlerError, Producer, Record};
use ticket_core::ErrorClass;
use ticket_core::{
    Action, Command, FactBatch, OrderCommand, OrderRecord, OrderRef, Payment, Reason, State, clock,
};
use ticket_payments::{NewPayment, PaymentError, PaymentStatus, Provider, RefundStatus};
use ticket_telemetry::chain;
use ticket_telemetry::trace::{self, Span};
use tracing::{debug, error, warn};

use crate::catalog::Catalog;
use crate::commands::{SendError, send};
use crate::traced::Traces;

/// Calls to the provider under way at once, per partition of `order-events`.
const CALLS_AT_ONCE: usize = 32;

/// Reads facts of one partition.
pub struct PaymentsHandler<P> {
    provider: Arc<P>,
    catalog: Arc<Catalog>,
    log: Producer,
    topic: Arc<str>,
}

/// Why a fact could not be worked off. The same batch comes again: every call is idempotent.
#[derive(Debug, thiserror::Error)]
pub enum PaymentsError {
    /// The provider.
    #[error("the payment provider did not do its part")]
    Provider(#[source] PaymentError),
    /// The order log.
    #[error("what the provider said could not be written to the order log")]
    Send(#[from] SendError),
    /// The dead letter.
    #[error("a message that cannot be read could not be put aside")]
    DeadLetter(#[source] ticket_bus::BusError),
}

impl PaymentsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Provider(cause) => cause.code(),
            Self::Send(cause) => cause.code(),
            Self::DeadLetter(cause) => cause.code(),
        }
    }
}

impl<P: Provider> PaymentsHandler<P> {
    /// A handler of one partition of `topic`.
    #[must_use]
    pub fn new(provider: Arc<P>, catalog: Arc<Catalog>, log: Producer, topic: Arc<str>) -> Self {
        Self {
            provider,
            catalog,
            log,
            topic,
        }
    }

    async fn work_off(&self, batch: &[Record]) -> Result<(), PaymentsError> {
        let mut facts = Vec::new();
        for record in batch {
            match FactBatch::decode(&record.payload) {
                Ok(fact) => facts.push((fact, Traces::of_facts(record))),
                Err(error) => {
                    warn!(%error, offset = record.offset, "fact not readable");
                    let reason = error.to_string();
                    self.log
                        .dead_letter(&self.topic, record, &reason)
                        .await
                        .map_err(PaymentsError::DeadLetter)?;
                }
            }
        }
        let mut calls = Vec::new();
        for (batch, traces) in &facts {
            for order in &batch.orders {
                let span = traces.get(batch.reference(order));
                let span = span.and_then(|from| trace::child("payment", from));
                calls.push(self.traced(batch, order, span));
            }
        }
        let mut calls = futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
        while let Some(done) = calls.next().await {
            done?;
        }
        Ok(())
    }

    /// [`Self::follow`] as a part of the order's trace, if that is kept.
    async fn traced(
        &self,
        batch: &FactBatch,
        order: &OrderRecord,
        span: Option<Span>,
    ) -> Result<(), PaymentsError> {
        let Some(mut span) = span else {
            return self.follow(batch, order).await;
        };
        span.set("ticket.order", order.order.to_string());
        span.set("ticket.state", order.state.as_str());
        let followed = trace::within(Some(span.parent()), self.follow(batch, order)).await;
        if let Err(error) = &followed {
            span.fail(error.code());
        }
        followed
    }

    async fn follow(&self, batch: &FactBatch, order: &OrderRecord) -> Result<(), PaymentsError> {
        match (order.state, &order.payment) {
            (State::Reserved, _) => self.make(batch, order).await,
            (State::Refunding, Some(payment)) => self.give_back(batch, order, payment).await,
            (State::Expired | State::Cancelled | State::PaymentFailed, Some(payment)) => {
                self.close(payment).await
            }
            (
                State::Queued
                | State::AwaitingPayment
                | State::Paid
                | State::Refunding
                | State::Refunded
                | State::Rejected
                | State::PaymentFailed
                | State::Expired
                | State::Cancelled,
                _,
            ) => Ok(()),
        }
    }

    async fn make(&self, batch: &FactBatch, order: &OrderRecord) -> Result<(), PaymentsError> {
        let id = batch.reference(order);
        let wanted = NewPayment {
            order: id,
            amount: batch.amount(order),
            event: batch.event_name.clone(),
            buyer: order.buyer.clone(),
        };
        let made = match self.provider.create(&wanted).await {
            Ok(made) => made,
            Err(refused) => return self.refused(id, refused).await,
        };
        let payment = Payment {
            provider: self.provider.name().to_owned(),
            id: made.id,
            client_secret: made.client_secret.unwrap_or_default(),
        };
        self.tell(id, Action::PaymentReady { payment }).await
    }

    /// The provider will never make this payment: the units go back, and a person looks.
    async fn refused(&self, id: OrderRef, refused: PaymentError) -> Result<(), PaymentsError> {
        match refused.class() {
            ErrorClass::Permanent => {
                error!(error = %chain(&refused), code = refused.code(), order = %id, "payment refused");
                self.tell(
                    id,
                    Action::PaymentFailed {
                        reason: Reason::Provider,
                    },
                )
                .await
            }
            ErrorClass::Retry | ErrorClass::Conflict | ErrorClass::Ambiguous => {
                Err(PaymentsError::Provider(refused))
            }
        }
    }

    async fn give_back(
        &self,
        batch: &FactBatch,
        order: &OrderRecord,
        payment: &Payment,
    ) -> Result<(), PaymentsError> {
        let id = batch.reference(order);
        let reason = order.reason.unwrap_or(Reason::BuyerRequest);
        let refund = self
            .provider
            .refund(id, &payment.id, batch.amount(order), reason)
            .await
            .map_err(PaymentsError::Provider)?;
        match refund.status {
            RefundStatus::Succeeded => self.tell(id, Action::RefundSettled).await,
            // The provider's webhook follows.
            RefundStatus::Pending => Ok(()),
            RefundStatus::Failed => {
                error!(order = %id, refund = refund.id, "refund failed at the provider");
                Ok(())
            }
        }
    }

    /// Money that is there already is no error: its webhook claims the units or refunds it.
    async fn close(&self, payment: &Payment) -> Result<(), PaymentsError> {
        match self.provider.cancel(&payment.id).await {
            Ok(closed) => {
                debug!(
                    payment = payment.id,
                    is_closed = closed.status == PaymentStatus::Canceled,
                    "payment closed"
                );
                Ok(())
            }
            Err(error) => match error.class() {
                ErrorClass::Retry | ErrorClass::Ambiguous => Err(PaymentsError::Provider(error)),
                ErrorClass::Conflict | ErrorClass::Permanent => {
                    debug!(error = %chain(&error), payment = payment.id, "payment not closed");
                    Ok(())
                }
            },
        }
    }

    async fn tell(&self, id: OrderRef, action: Action) -> Result<(), PaymentsError> {
        let command = OrderCommand {
            order: id.order,
            shard: id.shard,
            at: clock::now(),
            action,
        };
        Ok(send(&self.catalog, &self.log, &Command::Order(command)).await?)
    }
}

impl<P: Provider + 'static> BatchHandler for PaymentsHandler<P> {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        let result = self.work_off(batch).await;
        // Every call to the provider is idempotent, so the whole batch may come again.
        result.map_err(|error| HandlerError::new(ErrorClass::Retry, error.code(), error))
    }
}
