//! Kafka: topics, an ordered producer, a consumer with one task per partition, lag, and a groupless reader.
//!
//! It promises: what was acknowledged to the caller is on all in-sync replicas; records of a partition are handled in
//! order, by one task at a time, at least once; an offset is committed only for what was handled, and only while the
//! partition is owned. It does not know what a record means: no command, fact, ledger, store or HTTP here. It is the
//! only package that may use `rdkafka`.
//!
//! - [`Producer`]: partition named by the caller, order kept, delivery awaited; dead letters.
//! - [`PartitionedConsumer`]: a member of a group; a [`BatchHandler`] per partition.
//! - [`Tail`]: follows or reads a whole topic without a group.
//! - [`BusAdmin`]: topics, end offsets, committed offsets, lag.

mod admin;
mod config;
mod consumer;
mod context;
mod dead_letter;
mod delivery;
mod error;
mod producer;
mod record;
mod settings;
mod tail;

pub use admin::{BusAdmin, Created, PartitionLag, Replication, TopicSpec, TopicState};
pub use config::{BusConfig, BusSasl, BusTls, SaslMechanism};
pub use consumer::{
    BatchHandler, ConsumerConfig, ConsumerMonitor, FETCH_WAIT_MAX, HandlerError,
    PartitionedConsumer,
};
pub use dead_letter::REASON_HEADER;
pub use delivery::Delivery;
pub use error::BusError;
pub use producer::{Producer, ProducerConfig};
pub use record::{Header, Outgoing, Record, TopicPartition};
pub use settings::KafkaSettings;
pub use tail::Tail;
