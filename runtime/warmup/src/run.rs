//! A run: from the lock to its end, under a heartbeat.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use ticket_bus::{Outgoing, Producer};
use ticket_core::{Command, Epoch, EventId, Marker, StockShardId, clock};
use ticket_ledger::{EventRow, Ledger, LockAnswer, LockWish, Warmup, WarmupKind};
use ticket_stock::{Seeded, StockStore};
use ticket_telemetry::{chain, metric};
use tracing::{info, warn};

use crate::error::WarmupError;
use crate::fill::{catch_up, fill};
use crate::phase::{Event, Phase};

/// How long the lock lasts without a heartbeat. So long an event may stay cold after its keeper was killed; a stall of the
/// database that is shorter costs nobody his run.
pub const LEASE: Duration = Duration::from_secs(4);

/// Between two heartbeats: three may fail before the lock is lost.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Longest run. The markers wait behind what is in the log: minutes, if nobody could decide for long.
pub const RUN_MAX: Duration = Duration::from_mins(10);

/// How long somebody may hold a sale before the lock runs out by itself: long enough for a weekend, and it is never forgotten.
pub const HOLD_FOR: Duration = Duration::from_hours(72);

/// Between two looks at the rows while the markers are on their way; grows from the first to the second. Brokers
/// hold back for up to [`ticket_bus::FETCH_WAIT_MAX`] what comes alone: looks before that are mostly in vain.
const ROWS_LOOK: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The store is filled and sells.
    Armed(Epoch),
    /// Somebody newer is at work.
    Fenced(Epoch),
    /// It never began: somebody holds the lock.
    Held(Warmup),
    /// It never began: the event was warmed up meanwhile.
    Newer(Epoch),
    /// It never began: the sale is over.
    Closed,
}

/// Warms events up. Cheap to clone.
#[derive(Clone)]
pub struct Warmer {
    ledger: Ledger,
    stock: StockStore,
    log: Producer,
}

impl Warmer {
    /// One that does nothing yet.
    #[must_use]
    pub const fn new(ledger: Ledger, stock: StockStore, log: Producer) -> Self {
        Self { ledger, stock, log }
    }

    /// Takes the lock and warms the event up. With `seen` only if the event is still at that epoch. A caller that drops the
    /// future leaves a lock that runs out after [`LEASE`].
    ///
    /// # Errors
    /// What failed a step. The lock is given back then, and the next run begins anew.
    pub async fn warm_up(
        &self,
        event: EventId,
        holder: &str,
        reason: &str,
        seen: Option<Epoch>,
    ) -> Result<Outcome, WarmupError> {
        let wish = LockWish {
            kind: WarmupKind::Run,
            holder,
            reason: Some(reason),
            lasts: LEASE,
            seen,
        };
        let held = match self.ledger.lock_warmup(event, &wish).await? {
            LockAnswer::Taken(held) => held,
            LockAnswer::Held(by) => return Ok(Outcome::Held(by)),
            LockAnswer::Newer(epoch) => return Ok(Outcome::Newer(epoch)),
            LockAnswer::Closed => return Ok(Outcome::Closed),
        };
        let begun = Instant::now();
        let epoch = held.epoch;
        info!(%event, %epoch, holder, reason, "warm-up begins");
        let ended = tokio::select! {
            ended = self.carry_out(&held) => ended,
            () = self.lose(&held) => Ok(Phase::Fenced),
            () = tokio::time::sleep(RUN_MAX) => Err(WarmupError::TooLong { limit: RUN_MAX }),
        };
        let result = match &ended {
            Ok(Phase::Armed) => "armed",
            Ok(_) => "fenced",
            Err(_) => "failed",
        };
        // A crash before this line leaves an epoch that is not finished; another run follows.
        let is_kept = self.ledger.finish_warmup(&held, result).await;
        let result = match is_kept {
            Ok(false) | Err(_) if result == "armed" => "fenced",
            Ok(true | false) | Err(_) => result,
        };
        let waited_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        metrics::histogram!(metric::WARMUP_SECONDS).record(begun.elapsed());
        metrics::counter!(metric::WARMUP_TOTAL, "result" => result).increment(1);
        match ended {
            Ok(_) if result == "armed" => {
                info!(%event, %epoch, waited_ms, "warm-up finished");
                Ok(Outcome::Armed(epoch))
            }
            Ok(phase) => {
                warn!(%event, %epoch, waited_ms, ?phase, "warm-up fenced");
                Ok(Outcome::Fenced(epoch))
            }
            Err(error) => {
                warn!(error = %chain(&error), code = error.code(), %event, %epoch, waited_ms, "warm-up failed");
                Err(error)
            }
        }
    }

    /// From lock to armed, step by step. A crash anywhere leaves what the next run does anew.
    async fn carry_out(&self, held: &Warmup) -> Result<Phase, WarmupError> {
        let (event, epoch) = (held.event, held.epoch);
        let mut phase = Phase::Locked;
        let mut seen = Vec::new();
        loop {
            let happened = match phase {
                Phase::Locked => {
                    self.stock.disarm(event, epoch).await?;
                    let row = self.row(event).await?;
                    self.send_markers(&row, epoch).await?;
                    Event::MarkersSent
                }
                Phase::Marking => {
                    let row = self.row(event).await?;
                    self.rows_at(&row, epoch).await?;
                    Event::AllRowsAtEpoch
                }
                Phase::Seeding => {
                    let row = self.row(event).await?;
                    if row.epoch == epoch {
                        let (versions, seeded) =
                            fill(&self.ledger, &self.stock, &row, epoch).await?;
                        seen = versions;
                        match seeded {
                            Seeded::Armed => Event::Seeded,
                            Seeded::Fenced { .. } => Event::NewerEpochSeen,
                        }
                    } else {
                        Event::NewerEpochSeen
                    }
                }
                Phase::CatchingUp => {
                    catch_up(&self.ledger, &self.stock, event, epoch, &seen).await?;
                    Event::CaughtUp
                }
                Phase::Armed | Phase::Fenced => return Ok(phase),
            };
            phase = phase.next(happened)?;
        }
    }

    /// Ends when the lock is lost. An error is no loss yet: the database may be back before the lock runs out, and then it says
    /// what became of it.
    async fn lose(&self, held: &Warmup) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            match self.ledger.extend_warmup(held, LEASE).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    warn!(error = %chain(&error), code = error.code(), event = %held.event, "heartbeat of a warm-up failed");
                }
            }
        }
    }

    async fn row(&self, event: EventId) -> Result<EventRow, WarmupError> {
        let row = self.ledger.event(event).await?;
        row.ok_or(WarmupError::Gone { event })
    }

    async fn send_markers(&self, row: &EventRow, epoch: Epoch) -> Result<(), WarmupError> {
        let at = clock::now();
        let sends = row.shards.iter().map(|shard| async move {
            let marker = Command::Marker(Marker {
                shard: shard.id,
                epoch,
                at,
            });
            let (key, payload) = (marker.key(), marker.encode());
            let record = Outgoing {
                topic: &row.topic,
                partition: shard.partition,
                key: key.as_bytes(),
                payload: &payload,
                headers: &[],
            };
            self.log.send_record(&record).await
        });
        try_join_all(sends).await.map_err(WarmupError::Marker)?;
        Ok(())
    }

    /// Waits until every stock shard is at the epoch. Ends with the run if it takes too long.
    async fn rows_at(&self, row: &EventRow, epoch: Epoch) -> Result<(), WarmupError> {
        let shards: Vec<StockShardId> = row.shards.iter().map(|shard| shard.id).collect();
        let [mut pause, longest] = ROWS_LOOK;
        while self.ledger.unmarked(&shards, epoch).await? > 0 {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
        Ok(())
    }
}
