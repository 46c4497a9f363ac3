//! Topics and offsets from outside of any group: what the operator, the audit and the lag page need.
//!
//! No call blocks the async runtime and each has a deadline. Nothing here makes a topic by looking at it.

mod offsets;
mod topic;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaRespErr;

pub use offsets::PartitionLag;
pub(crate) use offsets::end_offsets;
pub use topic::{Created, Replication, TopicSpec, TopicState};

use crate::config::BusConfig;
use crate::context::{LogContext, drop_elsewhere};
use crate::error::BusError;

/// Deadline of a question to a broker.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// Deadline of a change of a topic, on our side and on the controller's.
const CHANGE_DEADLINE: Duration = Duration::from_secs(15);

/// How much later than librdkafka's own deadline we stop to wait for a blocking call: it may ask twice.
const BLOCKING_GRACE: Duration = Duration::from_secs(5);

/// How long a number of partitions may be taken from memory when lag is read several times a second.
const PARTITIONS_FRESH: Duration = Duration::from_secs(5);

/// A topic that every cluster may have and nobody of us owns; asking for it proves that a broker answers.
const PING_TOPIC: &str = "__consumer_offsets";

/// Administers topics and reads offsets. Cheap to clone.
#[derive(Clone)]
pub struct BusAdmin {
    inner: Arc<Inner>,
}

struct Inner {
    bus: BusConfig,
    /// Taken out only when all is dropped.
    admin: Option<AdminClient<LogContext>>,
    /// Reads metadata and watermarks. A consumer, because a producer's questions would make missing topics.
    reader: Option<Arc<BaseConsumer<LogContext>>>,
    /// One reader of committed offsets per group. Never joins it. Bounded by the number of groups of the platform.
    groups: Mutex<HashMap<String, Arc<BaseConsumer<LogContext>>>>,
    partitions: Mutex<HashMap<String, (u32, Instant)>>,
}

impl BusAdmin {
    /// Makes the clients; does no I/O, so Kafka may be down.
    pub fn connect(bus: &BusConfig) -> Result<Self, BusError> {
        let failed = |cause| BusError::Setup {
            what: "admin client",
            cause,
        };
        let admin = bus
            .client()
            .create_with_context(LogContext)
            .map_err(failed)?;
        let reader: BaseConsumer<LogContext> = bus
            .client()
            .set("allow.auto.create.topics", "false")
            .create_with_context(LogContext)
            .map_err(failed)?;
        let inner = Inner {
            bus: bus.clone(),
            admin: Some(admin),
            reader: Some(Arc::new(reader)),
            groups: Mutex::default(),
            partitions: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Ok if a broker answers.
    pub async fn ping(&self) -> Result<(), BusError> {
        self.metadata(PING_TOPIC).await.map(|_| ())
    }

    /// Number of partitions of a topic.
    pub async fn partitions_of(&self, topic: &str) -> Result<u32, BusError> {
        let (partitions, _) = self.shape(topic).await?.ok_or_else(|| missing(topic))?;
        Ok(partitions)
    }

    /// Partitions and replicas of each, from the brokers; `None` if there is no such topic.
    async fn shape(&self, topic: &str) -> Result<Option<(u32, u16)>, BusError> {
        let metadata = self.metadata(topic).await?;
        let failed = |code: RDKafkaErrorCode| BusError::Read {
            what: format!("metadata of topic {topic}"),
            cause: KafkaError::MetadataFetch(code),
        };
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let Some(found) = found else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(None);
            }
            Some(code) => return Err(failed(code)),
        }
        if found.partitions().is_empty() {
            return Ok(None);
        }
        // A partition without a leader cannot be written or read yet: the topic is still being made.
        let leaderless = |code: &RDKafkaRespErr| {
            matches!(
                RDKafkaErrorCode::from(*code),
                RDKafkaErrorCode::LeaderNotAvailable
            )
        };
        if found
            .partitions()
            .iter()
            .any(|part| part.error().as_ref().is_some_and(leaderless))
        {
            return Err(failed(RDKafkaErrorCode::LeaderNotAvailable));
        }
        let partitions = u32::try_from(found.partitions().len()).unwrap_or(u32::MAX);
        let replicas = found
            .partitions()
            .iter()
            .map(|part| part.replicas().len())
            .min();
        let replicas = u16::try_from(replicas.unwrap_or(0)).unwrap_or(u16::MAX);
        self.remember(topic, partitions);
        Ok(Some((partitions, replicas)))
    }

    async fn metadata(&self, topic: &str) -> Result<Metadata, BusError> {
        let what = format!("metadata of topic {topic}");
        let name = topic.to_owned();
        let reader = self.reader()?;
        blocking(what.clone(), move || {
            reader
                .fetch_metadata(Some(&name), READ_DEADLINE)
                .map_err(|cause| BusError::Read { what, cause })
        })
        .await
    }

    fn admin(&self) -> Result<&AdminClient<LogContext>, BusError> {
        self.inner.admin.as_ref().ok_or(BusError::Closed)
    }

    fn reader(&self) -> Result<Arc<BaseConsumer<LogContext>>, BusError> {
        self.inner.reader.clone().ok_or(BusError::Closed)
    }

    /// Like [`Self::partitions_of`], from memory if that is fresh.
    async fn recent_partitions_of(&self, topic: &str) -> Result<u32, BusError> {
        let known = self.lock_partitions().get(topic).copied();
        match known {
            Some((partitions, since)) if since.elapsed() < PARTITIONS_FRESH => Ok(partitions),
            Some(_) | None => self.partitions_of(topic).await,
        }
    }

    fn remember(&self, topic: &str, partitions: u32) {
        self.lock_partitions()
            .insert(topic.to_owned(), (partitions, Instant::now()));
    }

    fn forget(&self, topic: &str) {
        self.lock_partitions().remove(topic);
    }

    fn lock_partitions(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u32, Instant)>> {
        self.inner
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BusAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusAdmin")
            .field("bus", &self.inner.bus)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let groups = self
            .groups
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let clients: Vec<_> = groups
            .drain()
            .map(|(_, client)| client)
            .chain(self.reader.take())
            .collect();
        drop_elsewhere((self.admin.take(), clients));
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(CHANGE_DEADLINE))
        .operation_timeout(Some(CHANGE_DEADLINE))
}

fn missing(topic: &str) -> BusError {
    BusError::TopicMissing {
        topic: topic.to_owned(),
    }
}

/// Runs a blocking call of librdkafka off the async workers, with a deadline for the whole.
pub(crate) async fn blocking<T: Send + 'static>(
    action: String,
    call: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    let after = READ_DEADLINE + BLOCKING_GRACE;
    match tokio::time::timeout(after, tokio::task::spawn_blocking(call)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(BusError::Closed),
        Err(_) => Err(BusError::Deadline { action, after }),
    }
}
