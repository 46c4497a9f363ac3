//! Records that cannot be read go to `<topic>.dead-letter` and block nothing. Source: CONTRACT section 4.

use std::collections::BTreeSet;

use bytes::Bytes;
use ticket_core::names::TopicPrefix;
use tokio::sync::Mutex;
use tracing::warn;

use crate::admin::{BusAdmin, Replication, TopicSpec};
use crate::config::BusConfig;
use crate::error::BusError;
use crate::producer::Producer;
use crate::record::{Outgoing, Record};

/// Header of a dead letter that says why it is one.
pub const REASON_HEADER: &str = "reason";

/// Header of a dead letter with partition and offset of the record in its own topic, `3/4711`. A repeat after a crash
/// has the same one.
const ORIGIN_HEADER: &str = "origin";

/// Longest reason that is written, in characters: it may quote what could not be read.
const REASON_CHARS_MAX: usize = 512;

/// How long dead letters are kept: two weeks, so that somebody on holiday finds them.
const RETENTION_MS: u64 = 14 * 24 * 3600 * 1000;

/// Knows which dead-letter topics are there.
pub(crate) struct DeadLetters {
    bus: BusConfig,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Made with the first dead letter: most producers never write one.
    admin: Option<BusAdmin>,
    /// Topics that were there when this process looked. Bounded by the number of topics that it consumes.
    topics: BTreeSet<String>,
}

impl DeadLetters {
    pub(crate) fn new(bus: BusConfig) -> Self {
        Self {
            bus,
            known: Mutex::default(),
        }
    }

    pub(crate) async fn write(
        &self,
        producer: &Producer,
        topic: &str,
        record: &Record,
        reason: &str,
    ) -> Result<i64, BusError> {
        let target = TopicPrefix::dead_letter(topic);
        self.ensure(&target).await?;
        let mut headers = record.headers.clone();
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let origin = format!("{}/{}", record.partition, record.offset);
        headers.push((REASON_HEADER.to_owned(), Bytes::from(reason.clone())));
        headers.push((ORIGIN_HEADER.to_owned(), Bytes::from(origin)));
        let outgoing = Outgoing {
            topic: &target,
            partition: 0,
            key: &record.key,
            payload: &record.payload,
            headers: &headers,
        };
        let sent = match producer.start_record(&outgoing) {
            Ok(delivery) => delivery.await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(offset) => {
                metrics::counter!("ticket_bus_dead_letters_total").increment(1);
                warn!(
                    topic,
                    partition = record.partition,
                    offset = record.offset,
                    reason,
                    "record is a dead letter"
                );
                Ok(offset)
            }
            Err(error) => {
                // Somebody may have deleted the topic: look again at the next one.
                self.known.lock().await.topics.remove(&target);
                Err(error)
            }
        }
    }

    /// Made before the first record: a producer that met a missing topic goes on refusing it for seconds.
    async fn ensure(&self, target: &str) -> Result<(), BusError> {
        let mut known = self.known.lock().await;
        if known.topics.contains(target) {
            return Ok(());
        }
        let admin = match known.admin.take() {
            Some(admin) => admin,
            None => BusAdmin::connect(&self.bus)?,
        };
        let spec = TopicSpec::new(target, 1, Replication::BrokerDefault)
            .with("retention.ms", RETENTION_MS.to_string());
        let ensured = admin.ensure_topic(&spec).await;
        known.admin = Some(admin);
        ensured?;
        known.topics.insert(target.to_owned());
        Ok(())
    }
}
