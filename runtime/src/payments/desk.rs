//! Runs errands at the provider: many at once, each tried again by itself, so that one that fails or takes long holds
//! nobody else up. It keeps nothing that may not be lost: an errand that was given up, or died with the process, is
//! found again in the ledger by the reconciler.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::counter;
use ticket_bus::Producer;
use ticket_core::{
    Action, Code, Command, ErrorClass, Flag, OrderCommand, OrderRef, Payment, Reason, clock,
};
use ticket_payments::{NewPayment, PaymentError, PaymentStatus, Provider, RefundStatus};
use ticket_telemetry::chain;
use ticket_telemetry::trace::{self, Span};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use super::errand::{Errand, Task};
use crate::catalog::Catalog;
use crate::commands::{SendError, send};
use crate::config::ComplaintPolicy;

/// Errands that are open at once in this process, about 2 KB each. Whoever brings one more waits: when the provider is
/// down for everybody, facts wait on Kafka.
const ERRANDS_OPEN_MAX: usize = 4_096;

/// Calls to the provider under way at once. At 400 ms a call, which is usual over the internet, this is 1,280 a second.
const CALLS_AT_ONCE_MAX: usize = 512;

/// Wait before the second try of an errand; doubles with each further one. `Retry-After` counts if it is longer.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(100);

/// Longest wait between two tries.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long an errand is tried again before it is left to the reconciler.
const PATIENCE: Duration = Duration::from_mins(1);

/// Payments of ended orders whose money is still on its way: first and longest wait between two questions, for so long, so
/// many at once. Beyond that the reconciler comes back to them: their payments are not closed.
const FOLLOW_WAIT_MIN: Duration = Duration::from_secs(15);
const FOLLOW_WAIT_MAX: Duration = Duration::from_mins(15);
const FOLLOW_FOR: Duration = Duration::from_hours(1);
const FOLLOWED_MAX: usize = 4_096;

/// Why an errand failed. It may be tried again: every call is idempotent.
#[derive(Debug, thiserror::Error)]
enum ErrandError {
    /// The provider.
    #[error("the payment provider did not do its part")]
    Provider(#[source] PaymentError),
    /// The order log.
    #[error("what the provider said could not be written to the order log")]
    Send(#[from] SendError),
}

impl ErrandError {
    fn code(&self) -> &'static str {
        match self {
            Self::Provider(cause) => cause.code(),
            Self::Send(cause) => cause.code(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(cause) => cause.retry_after(),
            Self::Send(_) => None,
        }
    }
}

/// What came of a try that did not fail.
enum Tried {
    /// Nothing is left to do.
    Done,
    /// The money is on its way to an order that has ended.
    OnItsWay,
}

/// An errand was left to the reconciler.
struct Left {
    /// Of the last failure.
    code: &'static str,
}

/// Runs errands.
pub(super) struct Desk<P> {
    provider: Arc<P>,
    catalog: Arc<Catalog>,
    log: Producer,
    policy: ComplaintPolicy,
    open: Arc<Semaphore>,
    followed: Arc<Semaphore>,
    calls: Semaphore,
    at_work: Mutex<HashSet<(OrderRef, &'static str)>>,
    /// Code of the last failure, so that the same one is logged once.
    failing: Mutex<&'static str>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// An errand is at work as long as this lives.
struct AtWork<P> {
    desk: Arc<Desk<P>>,
    key: (OrderRef, &'static str),
}

impl<P> Drop for AtWork<P> {
    fn drop(&mut self) {
        let mut at_work = self
            .desk
            .at_work
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        at_work.remove(&self.key);
    }
}

impl<P: Provider + 'static> Desk<P> {
    pub(super) fn new(
        provider: Arc<P>,
        catalog: Arc<Catalog>,
        log: Producer,
        policy: ComplaintPolicy,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            provider,
            catalog,
            log,
            policy,
            open: Arc::new(Semaphore::new(ERRANDS_OPEN_MAX)),
            followed: Arc::new(Semaphore::new(FOLLOWED_MAX)),
            calls: Semaphore::new(CALLS_AT_ONCE_MAX),
            at_work: Mutex::default(),
            failing: Mutex::new(""),
            tasks: TaskTracker::new(),
            stop,
        })
    }

    pub(super) const fn provider(&self) -> &Arc<P> {
        &self.provider
    }

    pub(super) const fn policy(&self) -> ComplaintPolicy {
        self.policy
    }

    pub(super) const fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Takes an errand on, as `span` of its order's trace if that is kept; waits while too many are open. `None` if the same
    /// one is at work already. The errand goes on when the handle is dropped.
    pub(super) async fn take(
        self: &Arc<Self>,
        errand: Errand,
        span: Option<Span>,
    ) -> Option<JoinHandle<()>> {
        // The desk never closes its semaphores.
        let slot = Arc::clone(&self.open).acquire_owned().await.ok()?;
        let key = (errand.order, errand.task.as_str());
        let is_new = self
            .at_work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key);
        if !is_new {
            return None;
        }
        let at_work = AtWork {
            desk: Arc::clone(self),
            key,
        };
        let desk = Arc::clone(self);
        Some(self.tasks.spawn(async move {
            match span {
                None => drop(desk.run(errand, slot).await),
                Some(mut span) => {
                    span.set("ticket.order", errand.order.to_string());
                    span.set("ticket.errand", errand.task.as_str());
                    let run = desk.run(errand, slot);
                    if let Err(Left { code }) = trace::within(Some(span.parent()), run).await {
                        span.fail(code);
                    }
                }
            }
            drop(at_work);
        }))
    }

    async fn run(&self, errand: Errand, slot: OwnedSemaphorePermit) -> Result<(), Left> {
        let begun = Instant::now();
        let mut wait = RETRY_WAIT_MIN;
        loop {
            let error = match self.attempt(&errand).await {
                Ok(Tried::Done) => {
                    self.works_again();
                    return Ok(());
                }
                Ok(Tried::OnItsWay) => {
                    drop(slot);
                    self.follow(&errand).await;
                    return Ok(());
                }
                Err(error) => error,
            };
            let pause = error.retry_after().unwrap_or_default().max(wait);
            self.fails(&errand, &error);
            if begun.elapsed() + pause > PATIENCE {
                counter!("ticket_reconcile_total", "kind" => "payments", "result" => "left")
                    .increment(1);
                return Err(Left { code: error.code() });
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(Left { code: error.code() }),
                () = tokio::time::sleep(pause) => {}
            }
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
    }

    /// Asks until the money has arrived or has not.
    async fn follow(&self, errand: &Errand) {
        let Ok(_place) = self.followed.try_acquire() else {
            debug!(order = %errand.order, "payment of an ended order is on its way and not followed");
            return;
        };
        let begun = Instant::now();
        let mut wait = FOLLOW_WAIT_MIN;
        while begun.elapsed() < FOLLOW_FOR {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(FOLLOW_WAIT_MAX);
            match self.attempt(errand).await {
                Ok(Tried::Done) => return,
                Ok(Tried::OnItsWay) => {}
                Err(error) => self.fails(errand, &error),
            }
        }
    }

    /// Once per change: the same failure is tried again for as long as its server is down.
    fn fails(&self, errand: &Errand, error: &ErrandError) {
        let code = error.code();
        let before = std::mem::replace(
            &mut *self.failing.lock().unwrap_or_else(PoisonError::into_inner),
            code,
        );
        let (order, task) = (errand.order, errand.task.as_str());
        if before == code {
            debug!(error = %chain(error), code, %order, task, "errand at the provider failed");
        } else {
            warn!(error = %chain(error), code, %order, task, "errand at the provider failed, trying again");
        }
    }

    fn works_again(&self) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if !failing.is_empty() {
            info!(was = *failing, "errands at the provider work again");
            *failing = "";
        }
    }

    async fn attempt(&self, errand: &Errand) -> Result<Tried, ErrandError> {
        let _call = self.calls.acquire().await;
        let order = errand.order;
        match &errand.task {
            Task::Make(wanted) => self.make(order, wanted).await,
            Task::Refund {
                payment,
                amount,
                reason,
            } => {
                let refund = self.provider.refund(order, payment, *amount, *reason).await;
                self.refunded(order, refund).await
            }
            Task::Close { payment } => self.close(order, payment).await,
            Task::Ask {
                payment,
                was_on_its_way,
            } => self.ask(order, payment, *was_on_its_way).await,
            Task::TakeBack => {
                let reason = Reason::Fraud;
                self.tell(order, Action::Refund { reason }).await
            }
        }
    }

    async fn make(&self, order: OrderRef, wanted: &NewPayment) -> Result<Tried, ErrandError> {
        let action = match self.provider.create(wanted).await {
            Ok(made) => Action::PaymentReady {
                payment: Payment {
                    provider: self.provider.name().to_owned(),
                    id: made.id,
                    client_secret: made.client_secret.unwrap_or_default(),
                },
            },
            // The provider will never make this payment: the units go back, and a person looks.
            Err(refused) if refused.class() == ErrorClass::Permanent => {
                error!(error = %chain(&refused), code = refused.code(), %order, "payment refused");
                let reason = Reason::Provider;
                Action::PaymentFailed { reason }
            }
            Err(failed) => return Err(ErrandError::Provider(failed)),
        };
        self.tell(order, action).await
    }

    async fn refunded(
        &self,
        order: OrderRef,
        refund: Result<ticket_payments::Refund, PaymentError>,
    ) -> Result<Tried, ErrandError> {
        match refund {
            Ok(refund) => match refund.status {
                RefundStatus::Succeeded => self.tell(order, Action::RefundSettled).await,
                // The provider's webhook follows.
                RefundStatus::Pending => Ok(Tried::Done),
                RefundStatus::Failed => {
                    error!(%order, refund = refund.id, "refund failed at the provider");
                    Ok(Tried::Done)
                }
            },
            // Trying at once again would be refused again: the reconciler comes back to it.
            Err(refused)
                if matches!(
                    refused.class(),
                    ErrorClass::Permanent | ErrorClass::Conflict
                ) =>
            {
                error!(error = %chain(&refused), code = refused.code(), %order, "refund refused");
                Ok(Tried::Done)
            }
            Err(failed) => Err(ErrandError::Provider(failed)),
        }
    }

    async fn close(&self, order: OrderRef, payment: &str) -> Result<Tried, ErrandError> {
        match self.provider.cancel(payment).await {
            Ok(_closed) => self.closed(order).await,
            // Nobody can pay what the provider does not have.
            Err(error) if error.code() == Code::NotFound.as_str() => {
                warn!(error = %chain(&error), %order, payment, "payment not found");
                self.closed(order).await
            }
            Err(error) => match error.class() {
                ErrorClass::Retry | ErrorClass::Ambiguous => Err(ErrandError::Provider(error)),
                // The money is there or on its way, and its webhook may be lost: late money must not stay unknown.
                ErrorClass::Conflict => {
                    let now = self.provider.get(payment).await;
                    match now.map_err(ErrandError::Provider)?.status {
                        PaymentStatus::Succeeded => {
                            self.tell(order, Action::PaymentSucceeded).await
                        }
                        PaymentStatus::Processing => Ok(Tried::OnItsWay),
                        PaymentStatus::Open | PaymentStatus::Canceled | PaymentStatus::Unknown => {
                            Ok(Tried::Done)
                        }
                    }
                }
                ErrorClass::Permanent => {
                    debug!(error = %chain(&error), %order, payment, "payment not closed");
                    Ok(Tried::Done)
                }
            },
        }
    }

    /// No money can come any more: the order need not be looked at again.
    async fn closed(&self, order: OrderRef) -> Result<Tried, ErrandError> {
        let flag = Flag::PaymentClosed;
        self.tell(order, Action::Flag { flag }).await
    }

    async fn ask(
        &self,
        order: OrderRef,
        payment: &str,
        was_on_its_way: bool,
    ) -> Result<Tried, ErrandError> {
        let now = match self.provider.get(payment).await {
            Ok(now) => now,
            Err(error) if error.class() == ErrorClass::Permanent => {
                warn!(error = %chain(&error), code = error.code(), %order, payment, "payment not found");
                return Ok(Tried::Done);
            }
            Err(error) => return Err(ErrandError::Provider(error)),
        };
        let is_fraud = now.failure.is_some_and(|failure| failure.is_fraud);
        match now.status {
            PaymentStatus::Succeeded => self.tell(order, Action::PaymentSucceeded).await,
            // At the time when the payment was made: asking twice does not lengthen the hold twice.
            PaymentStatus::Processing => {
                let action = Action::PaymentProcessing;
                self.tell_at(order, now.created_at, action).await
            }
            PaymentStatus::Canceled => {
                let reason = Reason::Provider;
                self.tell(order, Action::PaymentFailed { reason }).await
            }
            PaymentStatus::Open if is_fraud => {
                let reason = Reason::Fraud;
                self.tell(order, Action::PaymentFailed { reason }).await
            }
            // The transfer failed. Its hold would last for as long as transfers may take.
            PaymentStatus::Open if was_on_its_way => {
                let reason = Reason::Declined;
                self.tell(order, Action::PaymentFailed { reason }).await
            }
            PaymentStatus::Open | PaymentStatus::Unknown => Ok(Tried::Done),
        }
    }

    /// Something speaks against the payment of an order.
    pub(super) async fn flag(&self, order: OrderRef, flag: Flag) -> Result<(), SendError> {
        let at = clock::now();
        let action = Action::Flag { flag };
        send(&self.catalog, &self.log, &command(order, at, action)).await
    }

    async fn tell(&self, id: OrderRef, action: Action) -> Result<Tried, ErrandError> {
        self.tell_at(id, clock::now(), action).await
    }

    async fn tell_at(
        &self,
        id: OrderRef,
        at: jiff::Timestamp,
        action: Action,
    ) -> Result<Tried, ErrandError> {
        send(&self.catalog, &self.log, &command(id, at, action)).await?;
        Ok(Tried::Done)
    }
}

fn command(id: OrderRef, at: jiff::Timestamp, action: Action) -> Command {
    Command::Order(OrderCommand {
        order: id.order,
        shard: id.shard,
        at,
        action,
    })
}
