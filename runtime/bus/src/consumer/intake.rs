//! Gathers the next batch of a partition out of its queue, also while the batch before it is being handled.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use super::group::GroupContext;
use super::pace::Pace;
use crate::error::BusError;
use crate::record::{Record, TopicPartition};

/// How a batch is filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathering {
    /// Records of a batch.
    pub(super) max_batch: usize,
    /// A batch of so many does not wait.
    pub(super) enough: usize,
    /// How long a batch may wait, counted from its first record, while that pays.
    pub(super) wait: Duration,
}

/// The next batch of a partition, being filled.
pub(super) struct Intake {
    at: TopicPartition,
    queue: PartitionQueue<GroupContext>,
    arrived: Arc<Notify>,
    gathering: Gathering,
    batch: Vec<Record>,
    /// When the first record of `batch` was taken out of the queue.
    first_at: Option<Instant>,
    pace: Pace,
}

impl Intake {
    pub(super) fn new(
        at: TopicPartition,
        mut queue: PartitionQueue<GroupContext>,
        gathering: Gathering,
    ) -> Self {
        let arrived = Arc::new(Notify::new());
        let waker = Arc::clone(&arrived);
        // Called when the queue was empty and is not any more; the permit of `Notify` keeps a call that comes while
        // nobody waits.
        queue.set_nonempty_callback(move || waker.notify_one());
        Self {
            at,
            queue,
            arrived,
            gathering,
            batch: Vec::new(),
            first_at: None,
            pace: Pace::new(Instant::now()),
        }
    }

    /// Returns when there is a batch to handle: full, large enough, old enough, or not worth waiting for. Loses nothing when dropped.
    pub(super) async fn ready(&mut self) -> Result<(), BusError> {
        loop {
            self.pull()?;
            let enough = self.gathering.enough.min(self.gathering.max_batch);
            if self.batch.len() >= enough {
                return Ok(());
            }
            match self.first_at {
                None => self.arrived.notified().await,
                Some(first_at) => {
                    let until = first_at + self.gathering.wait;
                    if Instant::now() >= until || !self.pace.pays(self.gathering.wait) {
                        return Ok(());
                    }
                    tokio::select! {
                        () = self.arrived.notified() => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
            }
        }
    }

    /// The batch that [`Self::ready`] announced; the next one starts empty.
    pub(super) fn take(&mut self) -> Vec<Record> {
        self.first_at = None;
        let room = self.batch.len();
        self.pace.took(room, Instant::now());
        std::mem::replace(&mut self.batch, Vec::with_capacity(room))
    }

    /// Takes what waits, without waiting, up to a full batch.
    fn pull(&mut self) -> Result<(), BusError> {
        while self.batch.len() < self.gathering.max_batch {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => self.batch.push(Record::copy_of(&message)),
                Some(Err(cause @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(BusError::Fatal { cause });
                }
                // No record is lost by it: librdkafka fetches again from where it stood.
                Some(Err(error)) => {
                    warn!(at = %self.at, %error, "partition could not be fetched, trying again");
                }
            }
        }
        if self.first_at.is_none() && !self.batch.is_empty() {
            self.first_at = Some(Instant::now());
        }
        Ok(())
    }
}
