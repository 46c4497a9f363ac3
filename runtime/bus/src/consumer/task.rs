//! The task of one partition: take a batch, handle it until that succeeds, store its offset, tick.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use ticket_core::ErrorClass;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::group::{GroupConsumer, Signals};
use super::handler::{BatchHandler, HandlerError};
use super::intake::Intake;
use super::monitor::ConsumerMonitor;
use crate::error::{BusError, chain};
use crate::record::{Record, TopicPartition};

/// Wait before the second try of a batch; doubles with each further one.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);

/// Longest wait between two tries of a batch.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

/// What a task needs besides its queue and its handler.
pub(super) struct PartitionTask {
    pub(super) at: TopicPartition,
    pub(super) group: Arc<str>,
    pub(super) consumer: Arc<GroupConsumer>,
    pub(super) signals: Arc<Signals>,
    pub(super) monitor: ConsumerMonitor,
    pub(super) tick_every: Duration,
    pub(super) stop: CancellationToken,
}

/// How work on a batch ended.
enum Worked {
    /// Handled; its offset is stored.
    Done,
    /// The partition is going away; nothing was stored.
    Stopped,
}

impl PartitionTask {
    /// Works until the partition is taken away. What must end the process is left in `signals`.
    pub(super) async fn run<H: BatchHandler>(self, mut intake: Intake, mut handler: H) {
        if let Err(error) = self.work(&mut intake, &mut handler).await {
            self.signals.fail(error);
        }
        self.monitor.gone(&self.at);
    }

    async fn work<H: BatchHandler>(
        &self,
        intake: &mut Intake,
        handler: &mut H,
    ) -> Result<(), BusError> {
        let mut ticks = self.ticks();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                _ = ticks.tick() => handler.tick().await,
                ready = intake.ready() => {
                    ready?;
                    let batch = intake.take();
                    match self.handle(&batch, intake, handler).await? {
                        Worked::Done => {}
                        Worked::Stopped => return Ok(()),
                    }
                }
            }
        }
    }

    fn ticks(&self) -> Interval {
        let mut ticks = interval_at(Instant::now() + self.tick_every, self.tick_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Tries a batch until it is handled, the partition goes, or it turns out to be hopeless.
    async fn handle<H: BatchHandler>(
        &self,
        batch: &[Record],
        intake: &mut Intake,
        handler: &mut H,
    ) -> Result<Worked, BusError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(Worked::Done);
        };
        self.monitor.began(&self.at, first.offset);
        let mut wait = RETRY_WAIT_MIN;
        let mut attempt = 1_u32;
        let mut failing = "";
        loop {
            match handle_and_gather(batch, intake, handler).await? {
                Ok(()) => break,
                Err(cause) if cause.class() == ErrorClass::Permanent => {
                    let (at, offset) = (self.at.clone(), first.offset);
                    return Err(BusError::Handler { at, offset, cause });
                }
                Err(cause) => {
                    self.count_retry(cause.code());
                    // Once per change: the same failure is tried again for as long as its server is down.
                    if failing != cause.code() {
                        failing = cause.code();
                        warn!(
                            error = %chain(&cause), code = failing, at = %self.at, offset = first.offset, attempt,
                            "batch not handled, trying again"
                        );
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Worked::Stopped),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(RETRY_WAIT_MAX);
            attempt = attempt.saturating_add(1);
        }
        if attempt > 1 {
            info!(at = %self.at, offset = first.offset, attempt, "batch handled after all");
        }
        self.monitor.ended(&self.at);
        self.store(last.offset).await
    }

    /// Notes that everything up to and including `offset` is done. A crash before the next commit repeats it.
    async fn store(&self, offset: i64) -> Result<Worked, BusError> {
        match self
            .consumer
            .store_offset(&self.at.topic, self.at.partition, offset)
        {
            Ok(()) => {
                self.signals.stored();
                Ok(Worked::Done)
            }
            // The partition is somebody else's by now: the new owner starts from the last commit.
            Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {
                info!(at = %self.at, offset, "partition was lost before its offset was stored");
                self.stop.cancelled().await;
                Ok(Worked::Stopped)
            }
            Err(cause) => Err(BusError::Fatal { cause }),
        }
    }

    fn count_retry(&self, code: &'static str) {
        self.monitor.failing(&self.at, code);
        metrics::counter!("ticket_bus_batch_retries_total", "group" => self.group.to_string(), "code" => code)
            .increment(1);
    }
}

/// Handles a batch and fills the next one meanwhile: copying it and waiting for more then costs no time of its own.
async fn handle_and_gather<H: BatchHandler>(
    batch: &[Record],
    intake: &mut Intake,
    handler: &mut H,
) -> Result<Result<(), HandlerError>, BusError> {
    let mut handling = pin!(handler.handle(batch));
    tokio::select! {
        biased;
        outcome = &mut handling => return Ok(outcome),
        gathered = intake.ready() => gathered?,
    }
    Ok(handling.await)
}
