//! Records as they come in and go out, and the name of a partition.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

/// A partition of a topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// Partition number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Puts the two together.
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        Self {
            topic: Arc::from(topic),
            partition,
        }
    }
}

/// `topic/3`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// One header: name and value.
pub type Header = (String, Bytes);

/// A record that was read. `key`, `payload` and header values are copies: they outlive the consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Partition it was read from.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Empty if it has none.
    pub key: Bytes,
    /// Empty if it has none.
    pub payload: Bytes,
    /// When it was produced, in milliseconds since 1970; 0 if unknown.
    pub timestamp_ms: i64,
    /// In the order in which they were sent; a header without a value has an empty one.
    pub headers: Vec<Header>,
}

impl Record {
    /// Copies a message out of librdkafka's memory: one allocation for key and payload together.
    pub(crate) fn copy_of(message: &BorrowedMessage<'_>) -> Self {
        let key = message.key().unwrap_or_default();
        let payload = message.payload().unwrap_or_default();
        let mut both = BytesMut::with_capacity(key.len() + payload.len());
        both.extend_from_slice(key);
        both.extend_from_slice(payload);
        let mut both = both.freeze();
        let key = both.split_to(key.len());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key,
            payload: both,
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            headers: message.headers().map(copy_headers).unwrap_or_default(),
        }
    }

    /// Value of the last header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &value[..])
    }
}

fn copy_headers<H: Headers>(headers: &H) -> Vec<Header> {
    let copy = |header: rdkafka::message::Header<'_, &[u8]>| {
        (
            header.key.to_owned(),
            Bytes::copy_from_slice(header.value.unwrap_or_default()),
        )
    };
    headers.iter().map(copy).collect()
}

/// A record to send. The partition is always named: librdkafka's own choice differs from that of other clients.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The topic; must exist.
    pub topic: &'a str,
    /// Partition number, from 0.
    pub partition: i32,
    /// May be empty.
    pub key: &'a [u8],
    /// May be empty.
    pub payload: &'a [u8],
    /// May be empty.
    pub headers: &'a [Header],
}
