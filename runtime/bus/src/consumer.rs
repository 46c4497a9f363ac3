//! A member of a consumer group: one ordered queue and one task per partition.
//!
//! It promises, for each partition: batches are handled in log order, one at a time, by one task in the group, and
//! finished in the same order while the next one is handled; an offset is committed only after its batch was finished;
//! before a partition is given away, the running batches end (or are broken off at a deadline), their offsets are
//! committed and the task is gone. A record may be handled again after a crash,
//! never skipped. It does not know what a record means: bad records are the handler's matter.

mod group;
mod handler;
mod intake;
mod monitor;
mod pace;
mod task;

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use handler::{BatchHandler, HandlerError};
pub use monitor::ConsumerMonitor;

use crate::config::{BusConfig, millis};
use crate::error::BusError;
use crate::record::TopicPartition;

/// Records of a batch. 1000 reaches up to a quarter more than 500, and 2000 up to an eighth more than 1000; it takes about 10 ms,
/// so that a drain never waits long. Measured: `SPEED.md`, ledger path.
const BATCH_RECORDS_MAX: usize = 1_000;

/// How long a batch may wait for more records after its first one, as long as records come fast enough that it pays.
/// Small batches are the largest cost of all. Measured: `make bench`, everything at once.
const GATHER_WAIT: Duration = Duration::from_millis(20);

/// A batch of so many records does not wait for more.
const GATHER_ENOUGH_RECORDS: usize = 200;

/// Longest gather wait that makes sense: a buyer waits for it.
const GATHER_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a member may be silent before its partitions go to others. The brokers' default lower bound is 6 s.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long running batches may take to end when their partitions are taken away.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// How long the last commit of a partition may take before it is given away without.
const COMMIT_DEADLINE: Duration = Duration::from_secs(2);

/// How long a task that was broken off may take to disappear. It does at its next await.
const ABORT_DEADLINE: Duration = Duration::from_millis(500);

/// How long leaving the group and closing the client may take before it is left to its thread.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// How often a member tells the group that it lives and learns that a rebalance began. With the default of 3 s a new
/// topic would wait that long for the other members.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// How long the group waits in a rebalance for a member that does not come back to it.
const REJOIN_MAX: Duration = Duration::from_secs(30);

/// How often subscribed topics are looked for again: a topic that was made after it was subscribed to is found then.
const METADATA_REFRESH: Duration = Duration::from_secs(1);

/// A batch that runs (or is tried again and again) for longer makes the member unhealthy.
const STUCK_AFTER: Duration = Duration::from_secs(15);

/// Records per partition that are fetched ahead.
const PREFETCH_RECORDS: usize = 100_000;

/// Payloads per partition that are fetched ahead, and one fetch more: seven batches. The default of 64 MiB holds for each partition
/// once queues are split, and what the client keeps beside a payload of 70 bytes is several times as large: 2 MiB on four partitions
/// were 64 MB of memory while nothing was taken (`make bench`, memory under a queue).
const PREFETCH_KIBIBYTES_MAX: usize = 512;

/// How long a broker may hold a fetch back to fill it. Each answer costs broker and member about as much as a hundred
/// records: a broker that answers at the first record spends most of its time with answering. In a quiet sale it decides
/// how many orders come at once, and with them how many ledger calls and facts there are: with 50 ms all processes
/// together used a fifth more at 200 orders/s, for 25 ms less until half of the orders were decided. Measured: `make
/// bench`, steady rates.
pub const FETCH_WAIT_MAX: Duration = Duration::from_millis(100);

/// A fetch that has so much, over all partitions, is not held back: 100 to 200 commands.
const FETCH_ENOUGH_BYTES: usize = 16 * 1024;

/// How long a partition that has fetched enough pauses. With the default of 1 s it stops at [`PREFETCH_RECORDS`] per
/// second while the CPU idles. Measured: `TRAPS.md` section 4.
const FETCH_BACKOFF: Duration = Duration::from_millis(5);

/// Settings and limits of a group member.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Where Kafka is.
    pub bus: BusConfig,
    /// Name of the group. All members must be of this kind: strategies cannot be mixed.
    pub group: String,
    /// A name that survives a restart (the pod's): after a crash of the member, or of a broker for longer than
    /// `session_timeout`, the member gets its partitions back at once; without a name only when the session of the member
    /// that it was is over. Two living members with one name: the older one ends with [`BusError::Fatal`].
    pub instance_id: Option<String>,
    /// Topics to consume. May change, be empty, and name topics that are not there yet.
    pub topics: watch::Receiver<Vec<String>>,
    /// Records of a batch; 1 means exactly one at a time. Default 1000.
    pub max_batch: usize,
    /// How long a batch may wait for more, counted from its first record; it waits only while records come fast enough
    /// that it gets several. 0 = never. Default 20 ms.
    pub gather_wait: Duration,
    /// A batch of so many records does not wait. Default 200.
    pub gather_enough: usize,
    /// How long a running batch may take to end when its partition is taken away. Must leave room for the commit below
    /// `session_timeout`. Default 5 s.
    pub drain_deadline: Duration,
    /// How long the member may be silent. Default 10 s.
    pub session_timeout: Duration,
    /// When a batch counts as stuck. Default 15 s.
    pub stuck_after: Duration,
    /// Tells how the partitions do; keep a clone for the health page.
    pub monitor: ConsumerMonitor,
}

impl ConsumerConfig {
    /// Defaults for all limits.
    #[must_use]
    pub fn new(
        bus: BusConfig,
        group: impl Into<String>,
        topics: watch::Receiver<Vec<String>>,
    ) -> Self {
        Self {
            bus,
            group: group.into(),
            instance_id: None,
            topics,
            max_batch: BATCH_RECORDS_MAX,
            gather_wait: GATHER_WAIT,
            gather_enough: GATHER_ENOUGH_RECORDS,
            drain_deadline: DRAIN_DEADLINE,
            session_timeout: SESSION_TIMEOUT,
            stuck_after: STUCK_AFTER,
            monitor: ConsumerMonitor::default(),
        }
    }

    /// # Errors
    /// [`BusError::Settings`] if limits contradict each other.
    fn checked(&self) -> Result<(), BusError> {
        let refuse = |reason: &str| {
            Err(BusError::Settings {
                what: "consumer",
                reason: reason.to_owned(),
            })
        };
        if self.group.is_empty() {
            return refuse("the group has no name");
        }
        if self.max_batch == 0 || self.gather_enough == 0 {
            return refuse("max_batch and gather_enough must be at least 1");
        }
        if self.gather_wait > GATHER_WAIT_MAX {
            return refuse("gather_wait is above 1 s");
        }
        // A member that drains for longer than its session loses the partition to another one while it still works.
        if self.drain_deadline + ABORT_DEADLINE + COMMIT_DEADLINE >= self.session_timeout {
            return refuse(
                "drain_deadline, abort and commit together must end before session_timeout",
            );
        }
        Ok(())
    }

    fn client(&self) -> rdkafka::ClientConfig {
        let mut client = self.bus.client();
        if let Some(instance_id) = &self.instance_id {
            client.set("group.instance.id", instance_id);
        }
        client
            .set("group.id", &self.group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(self.session_timeout))
            .set("heartbeat.interval.ms", millis(HEARTBEAT_INTERVAL))
            .set(
                "max.poll.interval.ms",
                millis(REJOIN_MAX.max(self.session_timeout)),
            )
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "false")
            // A new group starts at the first record: an order that was accepted before the first processor ran counts.
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            .set(
                "topic.metadata.refresh.interval.ms",
                millis(METADATA_REFRESH),
            )
            .set("queued.min.messages", PREFETCH_RECORDS.to_string())
            .set(
                "queued.max.messages.kbytes",
                PREFETCH_KIBIBYTES_MAX.to_string(),
            )
            .set("fetch.min.bytes", FETCH_ENOUGH_BYTES.to_string())
            .set("fetch.wait.max.ms", millis(FETCH_WAIT_MAX))
            .set("fetch.queue.backoff.ms", millis(FETCH_BACKOFF));
        client
    }
}

/// A member of a consumer group.
#[derive(Debug)]
pub struct PartitionedConsumer;

impl PartitionedConsumer {
    /// Joins the group and works until `stop` is cancelled or something happens after which the process must end.
    /// `factory` makes a handler for each partition that this member gets; the handler lives until the partition goes.
    ///
    /// Kafka may be down at the start and in between: the member joins when it is back. Needs a runtime with more than
    /// one worker. If the returned future is dropped, the member stops in the background.
    ///
    /// # Errors
    /// - [`BusError::Settings`], [`BusError::Setup`], [`BusError::Thread`]: it never began.
    /// - [`BusError::Handler`]: a handler failed for good ([`ticket_core::ErrorClass::Permanent`]).
    /// - [`BusError::Fatal`]: fenced by another member of the same `instance_id`.
    /// - [`BusError::TaskEnded`], [`BusError::TaskStuck`], [`BusError::Stray`], [`BusError::Queue`]: a promise of this
    ///   module would break; nothing was committed for what was not handled.
    ///
    /// After an error the process should end: other members take over from the last commit.
    pub async fn run<F, H>(
        config: ConsumerConfig,
        factory: F,
        stop: CancellationToken,
    ) -> Result<(), BusError>
    where
        F: Fn(TopicPartition) -> H + Send + Sync + 'static,
        H: BatchHandler,
    {
        config.checked()?;
        let group = config.group.clone();
        // Stops the thread also when this future is dropped.
        let stop = stop.child_token();
        let _stop_when_dropped = stop.clone().drop_guard();
        let member = group::Member::new(config, factory, stop)?;
        let (ended, outcome) = oneshot::channel();
        let (left_group, has_left) = oneshot::channel::<Infallible>();
        std::thread::Builder::new()
            .name("bus-consumer".to_owned())
            .spawn(move || {
                member.run(ended);
                drop(left_group);
            })
            .map_err(|cause| BusError::Thread {
                what: "consumer",
                cause,
            })?;
        let outcome = outcome.await.unwrap_or(Err(BusError::Closed));
        // librdkafka gives leaving no deadline of its own.
        if tokio::time::timeout(CLOSE_DEADLINE, has_left)
            .await
            .is_err()
        {
            warn!(
                group,
                "could not leave the group in time, left to the session timeout"
            );
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ConsumerConfig {
        let (_, topics) = watch::channel(Vec::new());
        ConsumerConfig::new(BusConfig::new("127.0.0.1:1", "unit"), "unit", topics)
    }

    #[test]
    fn the_defaults_fit_into_each_other() {
        config().checked().unwrap();
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let refused = |change: fn(&mut ConsumerConfig)| {
            let mut config = config();
            change(&mut config);
            matches!(config.checked(), Err(BusError::Settings { .. }))
        };
        assert!(refused(|config| config.max_batch = 0));
        assert!(refused(|config| config.group.clear()));
        assert!(refused(
            |config| config.drain_deadline = config.session_timeout
        ));
        assert!(refused(|config| config.gather_wait = Duration::from_secs(2)));
    }

    #[test]
    fn offsets_are_never_committed_by_librdkafka_itself() {
        let client = config().client();
        assert_eq!(client.get("enable.auto.commit"), Some("false"));
        assert_eq!(client.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(
            client.get("partition.assignment.strategy"),
            Some("cooperative-sticky")
        );
    }
}
