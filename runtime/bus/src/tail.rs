//! Reads all partitions of one topic without a group: from now on ([`Tail::follow`]) or once from the first record to
//! the last one that is there ([`Tail::read_all`]). Order holds per partition. Commits nothing and joins nothing.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::admin::{blocking, end_offsets};
use crate::config::{BusConfig, millis};
use crate::context::LogContext;
use crate::error::BusError;
use crate::record::Record;

/// Records that wait for the reader; more wait in librdkafka and then at the broker.
const BUFFER_RECORDS: usize = 1024;

/// Memory per partition for what is fetched ahead.
const PREFETCH_KIBIBYTES_MAX: usize = 4 * 1024;

/// How long a broker may hold a fetch back that has nothing: an idle reader's price. It answers at the first record,
/// because a buyer waits for it and because what is followed comes in few large records already.
const FETCH_WAIT_MAX: Duration = Duration::from_millis(500);

/// Pause of a partition that has fetched enough. Measured: `TRAPS.md` section 4.
const FETCH_BACKOFF: Duration = Duration::from_millis(5);

/// How long one poll waits; also how soon a dropped reader is noticed.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Between two looks for partitions that were added.
const GROWTH_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Deadline of a question to a broker.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// A reading to the end that gets nothing for so long has failed; brokers may restart meanwhile.
const READ_STALL_MAX: Duration = Duration::from_secs(30);

/// A running reader of a topic. Dropping it ends the reading.
pub struct Tail {
    records: mpsc::Receiver<Result<Record, BusError>>,
}

impl Tail {
    /// Follows a topic: every record that is produced after this returned, of partitions that are added later too.
    pub async fn follow(bus: &BusConfig, topic: &str) -> Result<Self, BusError> {
        Self::start(bus, topic, false).await
    }

    /// Reads what is in the topic now, then ends.
    pub async fn read_all(bus: &BusConfig, topic: &str) -> Result<Self, BusError> {
        Self::start(bus, topic, true).await
    }

    /// The next record; `None` when all is read. An error is the last item. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Record, BusError>> {
        self.records.recv().await
    }

    async fn start(bus: &BusConfig, topic: &str, to_the_end: bool) -> Result<Self, BusError> {
        let client = client(bus, to_the_end);
        let name = topic.to_owned();
        let reader = blocking(format!("open topic {topic}"), move || {
            Reader::open(&client, name, to_the_end)
        })
        .await?;
        let (sender, records) = mpsc::channel(BUFFER_RECORDS);
        std::thread::Builder::new()
            .name("bus-tail".to_owned())
            .spawn(move || reader.run(&sender))
            .map_err(|cause| BusError::Thread {
                what: "reader",
                cause,
            })?;
        Ok(Self { records })
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tail")
    }
}

/// librdkafka wants a group's name from every client that reads records. This one is never joined or committed to.
fn client(bus: &BusConfig, to_the_end: bool) -> ClientConfig {
    let mut client = bus.client();
    client
        .set("group.id", format!("{}-tail", bus.client_id))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        // The start is always named; this decides only where a topic that was made anew is picked up.
        .set("auto.offset.reset", "earliest")
        .set(
            "enable.partition.eof",
            if to_the_end { "true" } else { "false" },
        )
        .set(
            "queued.max.messages.kbytes",
            PREFETCH_KIBIBYTES_MAX.to_string(),
        )
        .set("fetch.wait.max.ms", millis(FETCH_WAIT_MAX))
        .set("fetch.queue.backoff.ms", millis(FETCH_BACKOFF));
    client
}

/// The thread's side.
struct Reader {
    consumer: BaseConsumer<LogContext>,
    topic: String,
    partitions: i32,
    /// Partitions that are not read to their end yet, with that end; `None` when following.
    left: Option<HashMap<i32, i64>>,
}

impl Reader {
    /// Blocking: finds the partitions and their ends, and starts to read.
    fn open(client: &ClientConfig, topic: String, to_the_end: bool) -> Result<Self, BusError> {
        let consumer: BaseConsumer<LogContext> =
            client
                .create_with_context(LogContext)
                .map_err(|cause| BusError::Setup {
                    what: "reader",
                    cause,
                })?;
        let partitions = count_partitions(&consumer, &topic)?;
        if partitions == 0 {
            return Err(BusError::TopicMissing { topic });
        }
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&topic, 0, partitions - 1);
        let ends = end_offsets(&consumer, asked)?;
        // Named ends instead of "the end": the start is fixed before this returns, not whenever the fetch begins.
        let start = |end: i64| {
            if to_the_end {
                Offset::Beginning
            } else {
                Offset::Offset(end)
            }
        };
        let starts: Vec<_> = ends
            .iter()
            .map(|(at, end)| (at.partition, start(*end)))
            .collect();
        let reader = Self {
            consumer,
            topic,
            partitions,
            left: to_the_end.then(|| ends.iter().map(|(at, end)| (at.partition, *end)).collect()),
        };
        let assignment = reader.list(&starts)?;
        reader
            .consumer
            .assign(&assignment)
            .map_err(|cause| reader.failed(cause))?;
        Ok(reader)
    }

    fn run(mut self, records: &mpsc::Sender<Result<Record, BusError>>) {
        if let Err(error) = self.read(records) {
            // The receiver may be gone; then nobody wants to know.
            drop(records.blocking_send(Err(error)));
        }
    }

    fn read(&mut self, records: &mpsc::Sender<Result<Record, BusError>>) -> Result<(), BusError> {
        let mut checked_at = Instant::now();
        let mut moved_at = Instant::now();
        if let Some(left) = &mut self.left {
            left.retain(|_, end| *end > 0);
        }
        while !records.is_closed() && !self.is_done() {
            match self.consumer.poll(POLL_WAIT) {
                None => {}
                Some(Ok(message)) => {
                    moved_at = Instant::now();
                    let record = Record::copy_of(&message);
                    let (partition, offset) = (record.partition, record.offset);
                    let is_wanted = self.note(partition, offset);
                    if is_wanted && records.blocking_send(Ok(record)).is_err() {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.note_end(partition),
                Some(Err(cause @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(BusError::Fatal { cause });
                }
                Some(Err(error)) => {
                    warn!(topic = self.topic, %error, "topic could not be fetched, trying again");
                }
            }
            if self.left.is_some() && moved_at.elapsed() > READ_STALL_MAX {
                let action = format!("read topic {}", self.topic);
                return Err(BusError::Deadline {
                    action,
                    after: READ_STALL_MAX,
                });
            }
            if self.left.is_none() && checked_at.elapsed() >= GROWTH_CHECK_INTERVAL {
                self.follow_growth()?;
                checked_at = Instant::now();
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.left.as_ref().is_some_and(HashMap::is_empty)
    }

    /// Whether a record belongs to what is to be read; ends its partition if it is the last one.
    fn note(&mut self, partition: i32, offset: i64) -> bool {
        let Some(left) = &mut self.left else {
            return true;
        };
        let Some(end) = left.get(&partition).copied() else {
            return false;
        };
        if offset + 1 >= end {
            left.remove(&partition);
        }
        offset < end
    }

    /// The partition's real end may come before the end that was asked for: records may have been deleted.
    fn note_end(&mut self, partition: i32) {
        if let Some(left) = &mut self.left {
            left.remove(&partition);
        }
    }

    /// Adds partitions that came to the topic, from their first record: nobody has read them yet.
    fn follow_growth(&mut self) -> Result<(), BusError> {
        let partitions = match count_partitions(&self.consumer, &self.topic) {
            Ok(partitions) => partitions,
            // A broker that is away is no reason to stop following.
            Err(BusError::Read { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if partitions > self.partitions {
            info!(
                topic = self.topic,
                from = self.partitions,
                to = partitions,
                "topic has grown"
            );
            let added: Vec<_> = (self.partitions..partitions)
                .map(|partition| (partition, Offset::Beginning))
                .collect();
            let added = self.list(&added)?;
            self.consumer
                .incremental_assign(&added)
                .map_err(|cause| self.failed(cause))?;
            self.partitions = partitions;
        }
        Ok(())
    }

    fn list(&self, starts: &[(i32, Offset)]) -> Result<TopicPartitionList, BusError> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for (partition, offset) in starts {
            list.add_partition_offset(&self.topic, *partition, *offset)
                .map_err(|cause| self.failed(cause))?;
        }
        Ok(list)
    }

    fn failed(&self, cause: KafkaError) -> BusError {
        BusError::Read {
            what: format!("topic {}", self.topic),
            cause,
        }
    }
}

/// Blocking: 0 if there is no such topic.
fn count_partitions(consumer: &BaseConsumer<LogContext>, topic: &str) -> Result<i32, BusError> {
    let failed = |cause| BusError::Read {
        what: format!("metadata of topic {topic}"),
        cause,
    };
    let metadata = consumer
        .fetch_metadata(Some(topic), READ_DEADLINE)
        .map_err(failed)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(0);
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(0),
        Some(code) => Err(failed(KafkaError::MetadataFetch(code))),
    }
}
