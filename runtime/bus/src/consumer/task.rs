//! The task of one partition: take a batch, handle it until that succeeds, finish it until that succeeds, store its
//! offset. The two stages work on neighbouring batches at the same time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use ticket_core::ErrorClass;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::group::{GroupConsumer, Signals};
use super::handler::{BatchHandler, HandlerError};
use super::intake::Intake;
use super::monitor::ConsumerMonitor;
use crate::error::{BusError, chain};
use crate::record::TopicPartition;

/// Wait before the second try of a batch; doubles with each further one.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);

/// Longest wait between two tries of a batch.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Batches that wait between the two stages. One is enough to keep both busy, and whatever waits here is done again
/// after a crash.
const BETWEEN_STAGES_MAX: usize = 1;

/// What a task needs besides its queue and its handler.
pub(super) struct PartitionTask {
    pub(super) at: TopicPartition,
    pub(super) group: Arc<str>,
    pub(super) consumer: Arc<GroupConsumer>,
    pub(super) signals: Arc<Signals>,
    pub(super) monitor: ConsumerMonitor,
    pub(super) stop: CancellationToken,
}

/// A batch after the first stage.
struct Handled<O> {
    first: i64,
    last: i64,
    outcome: O,
}

/// How work on a batch ended.
enum Worked<T> {
    /// Done.
    Done(T),
    /// The partition is going away.
    Stopped,
}

impl PartitionTask {
    /// Works until the partition is taken away. What must end the process is left in `signals`.
    pub(super) async fn run<H: BatchHandler>(self, mut intake: Intake, handler: H) {
        let (between, finishing) = mpsc::channel(BETWEEN_STAGES_MAX);
        // One task for both: they wait at the same time, and end together when it is broken off.
        let ended = tokio::try_join!(
            self.handle_all(&mut intake, &handler, between),
            self.finish_all(&handler, finishing),
        );
        if let Err(error) = ended {
            self.signals.fail(error);
        }
        self.monitor.gone(&self.at);
    }

    /// The first stage, batch after batch, until the partition goes.
    async fn handle_all<H: BatchHandler>(
        &self,
        intake: &mut Intake,
        handler: &H,
        between: mpsc::Sender<Handled<H::Outcome>>,
    ) -> Result<(), BusError> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                ready = intake.ready() => ready?,
            }
            let batch = intake.take();
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
                continue;
            };
            let (first, last) = (first.offset, last.offset);
            self.monitor.began(&self.at, first);
            let outcome = {
                let handling = self.until_done(first, || handler.handle(&batch));
                gather_meanwhile(handling, intake).await?
            };
            let Worked::Done(outcome) = outcome else {
                return Ok(());
            };
            let done = Handled {
                first,
                last,
                outcome,
            };
            // The second stage ends first only when the partition goes.
            if between.send(done).await.is_err() {
                return Ok(());
            }
        }
    }

    /// The second stage, until the first has ended and nothing is left.
    async fn finish_all<H: BatchHandler>(
        &self,
        handler: &H,
        mut between: mpsc::Receiver<Handled<H::Outcome>>,
    ) -> Result<(), BusError> {
        while let Some(batch) = between.recv().await {
            let Handled {
                first,
                last,
                outcome,
            } = &batch;
            let finished = self.until_done(*first, || handler.finish(outcome)).await?;
            let Worked::Done(()) = finished else {
                return Ok(());
            };
            self.monitor.ended(&self.at);
            if let Worked::Stopped = self.store(*last).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tries a stage of the batch that begins at `offset` until it is done, the partition goes, or it turns out to be
    /// hopeless.
    async fn until_done<T, F>(
        &self,
        offset: i64,
        stage: impl Fn() -> F,
    ) -> Result<Worked<T>, BusError>
    where
        F: Future<Output = Result<T, HandlerError>>,
    {
        let mut wait = RETRY_WAIT_MIN;
        let mut attempt = 1_u32;
        let mut failing = "";
        loop {
            match stage().await {
                Ok(done) => {
                    if attempt > 1 {
                        info!(at = %self.at, offset, attempt, "batch handled after all");
                    }
                    return Ok(Worked::Done(done));
                }
                Err(cause) if cause.class() == ErrorClass::Permanent => {
                    let at = self.at.clone();
                    return Err(BusError::Handler { at, offset, cause });
                }
                Err(cause) => {
                    self.count_retry(offset, cause.code());
                    // Once per change: the same failure is tried again for as long as its server is down.
                    if failing != cause.code() {
                        failing = cause.code();
                        warn!(
                            error = %chain(&cause), code = failing, at = %self.at, offset, attempt,
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
    }

    /// Notes that everything up to and including `offset` is done. A crash before the next commit repeats it.
    async fn store(&self, offset: i64) -> Result<Worked<()>, BusError> {
        match self
            .consumer
            .store_offset(&self.at.topic, self.at.partition, offset)
        {
            Ok(()) => {
                self.signals.stored();
                Ok(Worked::Done(()))
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

    fn count_retry(&self, offset: i64, code: &'static str) {
        self.monitor.failing(&self.at, offset, code);
        metrics::counter!("ticket_bus_batch_retries_total", "group" => self.group.to_string(), "code" => code)
            .increment(1);
    }
}

/// Waits for `handling` and fills the next batch meanwhile: copying it and waiting for more then costs no time of its own.
async fn gather_meanwhile<T>(
    handling: impl Future<Output = Result<T, BusError>>,
    intake: &mut Intake,
) -> Result<T, BusError> {
    let mut handling = pin!(handling);
    tokio::select! {
        biased;
        outcome = &mut handling => return outcome,
        gathered = intake.ready() => gathered?,
    }
    handling.await
}
