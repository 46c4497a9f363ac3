//! The audit goes round by itself: every event on sale at a named interval, one at a time over all processes, and never for
//! more than a part of the time. What it found is kept in the ledger, where the operator reads it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ticket_bus::{BusAdmin, BusConfig};
use ticket_core::EventId;
use ticket_core::names::TopicPrefix;
use ticket_ledger::{Ledger, LedgerError};
use ticket_payments::Provider;
use ticket_stock::StockStore;
use ticket_telemetry::chain;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Auditor;
use crate::catalog::{Catalog, EventEntry};

/// Nobody is audited before a process is that old: whatever made it start has not settled yet.
const START_AFTER: Duration = Duration::from_secs(15);

/// Between two looks whose turn it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest audit. It is given up then, and the event's turn comes again after the interval.
const AUDIT_MAX: Duration = Duration::from_mins(2);

/// How long a turn lasts if it is not given back: a process that dies keeps the others waiting for so long.
const TURN: Duration = AUDIT_MAX.saturating_add(Duration::from_secs(10));

/// An audit that took a second is followed by so many seconds of rest: with many or large events the rounds get longer, and
/// not the load. An audit reads every order of an event, and all facts.
const REST_PER_AUDIT: u32 = 9;

/// Goes round.
pub struct Rounds<P> {
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Orders and counters, whose turn it is, and what was found.
    pub ledger: Ledger,
    /// Redis.
    pub stock: StockStore,
    /// How far consumers are.
    pub kafka: BusAdmin,
    /// Reads facts.
    pub bus: BusConfig,
    /// Names of topics and groups.
    pub prefix: TopicPrefix,
    /// The payment provider.
    pub provider: Arc<P>,
    /// Each event so often, if there is time.
    pub every: Duration,
    /// A name that no other process has.
    pub holder: String,
}

impl<P: Provider> Rounds<P> {
    /// Audits until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = START_AFTER.min(self.every);
        let mut was_down = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let begun = Instant::now();
            let turn = tokio::select! {
                () = stop.cancelled() => return,
                turn = self.take_turn() => turn,
            };
            pause = LOOK_EVERY;
            match turn {
                Ok(true) => pause = pause.max(begun.elapsed() * REST_PER_AUDIT),
                Ok(false) => was_down = false,
                Err(error) => {
                    if !was_down {
                        warn!(error = %chain(&error), code = error.code(), "events not audited");
                    }
                    was_down = true;
                }
            }
        }
    }

    /// Audits the event whose turn it is. False if it is nobody's.
    async fn take_turn(&self) -> Result<bool, LedgerError> {
        let turn = self
            .ledger
            .take_audit(&self.holder, self.every, TURN)
            .await?;
        let Some(id) = turn else { return Ok(false) };
        let Some(event) = self.event(id).await? else {
            debug!(event = %id, "an event to audit is gone");
            return Ok(true);
        };
        let auditor = Auditor {
            ledger: &self.ledger,
            stock: &self.stock,
            kafka: &self.kafka,
            bus: &self.bus,
            prefix: &self.prefix,
            provider: &*self.provider,
        };
        let audit = tokio::time::timeout(AUDIT_MAX, Box::pin(auditor.audit(&event)));
        if let Ok(report) = audit.await {
            let failed = report.failed();
            self.ledger.note_audit(id, &self.holder, &failed).await?;
        } else {
            warn!(event = %event.name(), limit = ?AUDIT_MAX, "audit took too long");
        }
        Ok(true)
    }

    async fn event(&self, id: EventId) -> Result<Option<Arc<EventEntry>>, LedgerError> {
        let find = || {
            self.catalog
                .snapshot()
                .events()
                .find(|event| event.id() == id)
                .cloned()
        };
        if let Some(event) = find() {
            return Ok(Some(event));
        }
        self.catalog.refresh().await?;
        Ok(find())
    }
}
