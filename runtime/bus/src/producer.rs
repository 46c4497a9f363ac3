//! The producer: idempotent, acknowledged by all in-sync replicas, partition always named by the caller.
//!
//! Records that are started one after the other on one partition arrive in that order. Waiting for a delivery costs no
//! thread. When the queue is full, nothing is taken and the caller is told at once: that is the backpressure.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::config::{BusConfig, millis};
use crate::dead_letter::DeadLetters;

use crate::delivery::{Delivery, DeliveryContext, Polled, counted};
use crate::error::BusError;
use crate::record::Outgoing;

/// How long a record may wait for others before its batch goes out. Each produce request costs the broker as much as
/// several dozen records. Measured: `make bench`, steady rates.
const LINGER: Duration = Duration::from_millis(10);

/// A batch of so many records does not linger: under load the wait ends by itself, long before [`LINGER`] is over.
const BATCH_RECORDS_MAX: usize = 50;

/// How long a record may be under way before its delivery counts as unknown. Below the deadline of a buyer's request.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(4);

/// Largest batch of records to one partition, in bytes, as long as it lingers.
const BATCH_BYTES_MAX: usize = 1_000_000;

/// Largest record, in bytes; the brokers' default limit.
const RECORD_BYTES_MAX: usize = 1_000_000;

/// Records that wait for a broker; more are refused with [`BusError::Full`].
const QUEUE_RECORDS_MAX: usize = 100_000;

/// Memory of the records that wait for a broker. The default is 1 GiB.
const QUEUE_KIBIBYTES_MAX: usize = 64 * 1024;

/// How often a producer looks for new partitions and leaders of the topics that it knows. With the default of 5 min a
/// grown topic answers `UnknownPartition` for that long.
const METADATA_REFRESH: Duration = Duration::from_secs(5);

/// How long a topic that nobody knows may be only new, before a record to it fails. The default is 30 s.
const TOPIC_PROPAGATION_MAX: Duration = Duration::from_secs(1);

/// Limits of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// How long a record may wait for others, 0 to a few milliseconds. Default 10 ms.
    pub linger: Duration,
    /// Records of a batch to one partition; a full batch does not wait. Default 50.
    pub batch_records_max: usize,
    /// How long a record may be under way. Must be above `linger` and should be below the caller's own deadline.
    /// Default 4 s.
    pub delivery_deadline: Duration,
    /// Bytes of a batch to one partition. Default 1 MB.
    pub batch_bytes_max: usize,
    /// Records that wait for a broker. Default 100,000.
    pub queue_records_max: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            linger: LINGER,
            batch_records_max: BATCH_RECORDS_MAX,
            delivery_deadline: DELIVERY_DEADLINE,
            batch_bytes_max: BATCH_BYTES_MAX,
            queue_records_max: QUEUE_RECORDS_MAX,
        }
    }
}

impl ProducerConfig {
    fn checked(&self) -> Result<(), BusError> {
        let refuse = |reason: &str| {
            Err(BusError::Settings {
                what: "producer",
                reason: reason.to_owned(),
            })
        };
        if self.delivery_deadline <= self.linger {
            return refuse("delivery_deadline must be above linger");
        }
        if self.batch_records_max == 0 {
            return refuse("batch_records_max must be at least 1");
        }
        Ok(())
    }
}

/// Sends records. Cheap to clone; the clones share one connection and one queue.
#[derive(Clone)]
pub struct Producer {
    kafka: Arc<Polled>,
    dead_letters: Arc<DeadLetters>,
}

impl Producer {
    /// Makes a producer; does no I/O, so Kafka may be down.
    pub fn new(bus: &BusConfig, config: &ProducerConfig) -> Result<Self, BusError> {
        config.checked()?;
        let kafka: BaseProducer<DeliveryContext> = bus
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "none")
            .set("linger.ms", millis(config.linger))
            .set("message.timeout.ms", millis(config.delivery_deadline))
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("batch.size", config.batch_bytes_max.to_string())
            .set("batch.num.messages", config.batch_records_max.to_string())
            .set(
                "queue.buffering.max.messages",
                config.queue_records_max.to_string(),
            )
            .set(
                "queue.buffering.max.kbytes",
                QUEUE_KIBIBYTES_MAX.to_string(),
            )
            .set(
                "topic.metadata.refresh.interval.ms",
                millis(METADATA_REFRESH),
            )
            .set(
                "topic.metadata.propagation.max.ms",
                millis(TOPIC_PROPAGATION_MAX),
            )
            .create_with_context(DeliveryContext)
            .map_err(|cause| BusError::Setup {
                what: "producer",
                cause,
            })?;
        let dead_letters = DeadLetters::new(bus.clone());
        Ok(Self {
            kafka: Arc::new(Polled::start(kafka)?),
            dead_letters: Arc::new(dead_letters),
        })
    }

    /// Sends one record and waits until all in-sync replicas have it. Returns its offset.
    ///
    /// # Cancel safety
    /// A record whose future is dropped is sent nevertheless.
    pub async fn send(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        payload: &[u8],
    ) -> Result<i64, BusError> {
        self.start(topic, partition, key, payload)?.await
    }

    /// Like [`Self::send`], with headers.
    pub async fn send_record(&self, record: &Outgoing<'_>) -> Result<i64, BusError> {
        self.start_record(record)?.await
    }

    /// Takes one record now and sends it soon; the returned future waits for its delivery. The order of the calls is
    /// the order in the partition.
    pub fn start(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        payload: &[u8],
    ) -> Result<Delivery, BusError> {
        self.start_record(&Outgoing {
            topic,
            partition,
            key,
            payload,
            headers: &[],
        })
    }

    /// Like [`Self::start`], with headers.
    pub fn start_record(&self, record: &Outgoing<'_>) -> Result<Delivery, BusError> {
        let (waiting, delivery) = Delivery::new();
        let mut outgoing =
            BaseRecord::<[u8], [u8], _>::with_opaque_to(record.topic, Box::new(waiting))
                .partition(record.partition)
                .key(record.key)
                .payload(record.payload);
        if !record.headers.is_empty() {
            outgoing = outgoing.headers(headers_of(record));
        }
        let to = (record.topic, record.partition);
        match self.kafka.get()?.send(outgoing) {
            Ok(()) => Ok(delivery),
            Err((cause, _)) => {
                let bytes = record.key.len() + record.payload.len();
                Err(counted(BusError::unsent(cause, to.0, to.1, bytes)))
            }
        }
    }

    /// Writes a record that cannot be read to `<topic>.dead-letter`, with the header `reason`; makes that topic if it
    /// is missing. Returns its offset there.
    pub async fn dead_letter(
        &self,
        topic: &str,
        record: &crate::Record,
        reason: &str,
    ) -> Result<i64, BusError> {
        self.dead_letters.write(self, topic, record, reason).await
    }

    /// Why this producer can send nothing any more; the process should end then. `None` as long as all is well.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        let fatal = self.kafka.get().ok()?.client().fatal_error()?;
        Some(format!("{}: {}", fatal.0, fatal.1))
    }

    /// Waits until everything that was started is delivered or given up, at most `deadline`.
    pub async fn flush(&self, deadline: Duration) -> Result<(), BusError> {
        let kafka = Arc::clone(&self.kafka);
        let flushing = tokio::task::spawn_blocking(move || {
            kafka.get()?.flush(deadline).map_err(|_| late(deadline))
        });
        flushing.await.map_err(|_| BusError::Closed)?
    }
}

fn late(after: Duration) -> BusError {
    BusError::Deadline {
        action: "send what is left".to_owned(),
        after,
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

fn headers_of(record: &Outgoing<'_>) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    record.headers.iter().fold(empty, |headers, (name, value)| {
        headers.insert(KafkaHeader {
            key: name,
            value: Some(&value[..]),
        })
    })
}
