//! Watches over the stock store: an event that is not armed with the ledger's epoch, or whose epoch nobody finished, is warmed
//! up, whatever has happened: Redis was killed, emptied, promoted, restored from an old file, or missed what was decided.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use ticket_core::{Epoch, EventId};
use ticket_ledger::{Ledger, Warmth};
use ticket_stock::StockStore;
use ticket_telemetry::chain;
use ticket_warmup::{Outcome, Warmer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Between two looks at all events: one query of the ledger, and one small question to the store for each event, pipelined.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Questions to the store that are under way at the same time: a part of what its connection pipelines.
const QUESTIONS_AT_ONCE_MAX: usize = 128;

/// Events that one keeper warms up at the same time. A part of each run is waiting until its markers come out of the order
/// log, for which brokers take up to [`ticket_bus::FETCH_WAIT_MAX`]; beside that each takes a connection of the ledger now
/// and then, and the store is one core. 1,000 events sell again after 10.6 to 11.9 s with 16 and 7.4 to 11.0 s with 32
/// (`make bench`, Redis dies under many events).
const RUNS_AT_ONCE_MAX: usize = 32;

/// Cold events that wait for their turn; the others are found by the next look.
const COLD_EVENTS_MAX: usize = 1_024;

/// After a run that failed its event is left alone for so long: each run is an epoch that every process reads, and what fails
/// one is rarely over at once.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What is written down as the reason.
const REASON: &str = "the stock store is cold";

/// Watches over all events.
pub struct Watch {
    ledger: Ledger,
    stock: StockStore,
    warmer: Warmer,
    holder: String,
    /// Events that wait or are being warmed up.
    busy: Mutex<HashSet<EventId>>,
}

impl Watch {
    /// One that has seen nothing yet. `holder` is what locks show: which process this is.
    #[must_use]
    pub fn new(ledger: Ledger, stock: StockStore, warmer: Warmer, holder: String) -> Self {
        Self {
            ledger,
            stock,
            warmer,
            holder,
            busy: Mutex::default(),
        }
    }

    /// Watches until `stop`. A run that is under way then is left to whoever comes next.
    pub async fn run(self, stop: CancellationToken) {
        let (cold, found) = mpsc::channel(COLD_EVENTS_MAX);
        let found = stream::unfold(found, |mut found| async move {
            found.recv().await.map(|event| (event, found))
        });
        let runs =
            found.for_each_concurrent(RUNS_AT_ONCE_MAX, |(event, seen)| self.warm_up(event, seen));
        let looks = self.look_again_and_again(cold);
        tokio::select! {
            () = stop.cancelled() => {}
            () = looks => {}
            () = runs => {}
        }
    }

    async fn look_again_and_again(&self, cold: mpsc::Sender<(EventId, Epoch)>) {
        let mut was_down = false;
        loop {
            match self.ledger.warmth().await {
                Ok(events) => {
                    was_down = false;
                    self.look(&events, &cold).await;
                }
                Err(error) => {
                    if !was_down {
                        warn!(error = %chain(&error), code = error.code(), "events not watched");
                    }
                    was_down = true;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self, events: &[Warmth], cold: &mpsc::Sender<(EventId, Epoch)>) {
        let is_idle = |event: &&Warmth| !event.is_held && !self.busy().contains(&event.event);
        let idle: Vec<Warmth> = events.iter().filter(is_idle).copied().collect();
        stream::iter(idle)
            .for_each_concurrent(QUESTIONS_AT_ONCE_MAX, |event| async move {
                if self.is_cold(&event).await && self.busy().insert(event.event) {
                    // The queue is full: the next look finds it again.
                    if cold.try_send((event.event, event.epoch)).is_err() {
                        self.busy().remove(&event.event);
                    }
                }
            })
            .await;
    }

    /// A store that does not answer is neither cold nor warm: nothing could be filled now.
    async fn is_cold(&self, event: &Warmth) -> bool {
        match self.stock.state(event.event).await {
            Ok(armed) => armed != Some(event.epoch) || !event.is_finished,
            Err(error) => {
                debug!(error = %chain(&error), event = %event.event, "store not looked at");
                false
            }
        }
    }

    async fn warm_up(&self, event: EventId, seen: Epoch) {
        let run = self.warmer.warm_up(event, &self.holder, REASON, Some(seen));
        match Box::pin(run).await {
            // Logged by the run.
            Ok(Outcome::Armed(_) | Outcome::Fenced(_)) => {}
            // Another keeper was faster.
            Ok(outcome @ (Outcome::Held(_) | Outcome::Newer(_) | Outcome::Closed)) => {
                debug!(%event, ?outcome, "no warm-up here");
            }
            Err(error) => {
                debug!(error = %chain(&error), %event, "warm-up failed, looking again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
        self.busy().remove(&event);
    }

    fn busy(&self) -> std::sync::MutexGuard<'_, HashSet<EventId>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
