//! `CloudEvents` 1.0 on Kafka, binary mode: attributes are headers, the payload is the data as JSON. Source: the Kafka
//! protocol binding of `CloudEvents`, CONTRACT section 4. It knows no type of event.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ticket_bus::{BusError, Delivery, Header, Outgoing, Producer, Record};
use ticket_core::EventName;
use ticket_core::names::partition_of_key;

/// Version of `CloudEvents` that is written and read.
const SPEC_VERSION: &str = "1.0";

/// The only data that is written and read.
const CONTENT_TYPE: &str = "application/json";

/// Longest id that is read, bytes: it is kept and sent back.
const ID_BYTES_MAX: usize = 255;

/// A message that goes out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CloudEvent {
    /// Unique, and the same in every repeat.
    pub(crate) id: String,
    /// `io.ticketctl...`.
    pub(crate) kind: &'static str,
    /// `/events/<namespace>/<name>`.
    pub(crate) source: String,
    /// Order id or category.
    pub(crate) subject: String,
    /// When it happened, where the same is known in every repeat.
    pub(crate) time: Option<Timestamp>,
    /// JSON.
    pub(crate) data: Vec<u8>,
}

/// Where the events of a sale come from.
pub(crate) fn source_of(event: &EventName) -> String {
    format!("/events/{}/{}", event.namespace(), event.name())
}

/// The data of an event as JSON.
pub(crate) fn to_data(data: &impl Serialize) -> Vec<u8> {
    // Plain structs with text keys always serialise; an empty payload would be refused by every reader.
    serde_json::to_vec(data).unwrap_or_default()
}

impl CloudEvent {
    fn headers(&self) -> Vec<Header> {
        let mut headers = vec![
            header("content-type", CONTENT_TYPE),
            header("ce_specversion", SPEC_VERSION),
            header("ce_id", &self.id),
            header("ce_type", self.kind),
            header("ce_source", &self.source),
            header("ce_subject", &self.subject),
        ];
        headers.extend(self.time.map(|time| header("ce_time", &time.to_string())));
        headers
    }
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()))
}

/// Writes to one topic of the outside.
#[derive(Clone)]
pub(crate) struct Outlet {
    /// Takes the messages.
    pub(crate) log: Producer,
    /// The topic.
    pub(crate) topic: String,
    /// Partitions that it has.
    pub(crate) partitions: u32,
}

impl Outlet {
    /// Takes a message; messages of one key arrive in the order in which they were taken.
    pub(crate) fn start(&self, key: &str, event: &CloudEvent) -> Result<Delivery, BusError> {
        self.log.start_record(&Outgoing {
            topic: &self.topic,
            partition: partition_of_key(key, self.partitions),
            key: key.as_bytes(),
            payload: &event.data,
            headers: &event.headers(),
        })
    }

    /// Sends messages, each with its key, and waits until all are written.
    pub(crate) async fn send_all(&self, events: &[(String, CloudEvent)]) -> Result<(), BusError> {
        let mut deliveries = Vec::with_capacity(events.len());
        for (key, event) in events {
            deliveries.push(self.start(key, event)?);
        }
        futures::future::try_join_all(deliveries).await.map(|_| ())
    }
}

/// A message that came in: its id and its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incoming<T> {
    pub(crate) id: String,
    pub(crate) data: T,
}

/// Reads a message of type `kind`. The error is for people: it becomes the reason of a dead letter.
pub(crate) fn read<T: DeserializeOwned>(
    record: &Record,
    kind: &str,
) -> Result<Incoming<T>, String> {
    let text = |name: &str| -> Result<&str, String> {
        let value = record
            .header(name)
            .ok_or_else(|| format!("the header {name} is missing"))?;
        std::str::from_utf8(value).map_err(|_| format!("the header {name} is not text"))
    };
    let version = text("ce_specversion")?;
    if version != SPEC_VERSION {
        return Err(format!("CloudEvents {version} is not known"));
    }
    let found = text("ce_type")?;
    if found != kind {
        return Err(format!("the type {found} is not {kind}"));
    }
    let id = text("ce_id")?;
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.contains(char::is_control) {
        return Err(format!(
            "ce_id must have 1 to {ID_BYTES_MAX} bytes of plain text"
        ));
    }
    // Optional: who does not say what the data is sends what the contract asks for.
    if record.header("content-type").is_some() {
        let content = text("content-type")?;
        let media = content.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(format!("the content-type {content} is not {CONTENT_TYPE}"));
        }
    }
    let data = &mut serde_json::Deserializer::from_slice(&record.payload);
    let data = serde_path_to_error::deserialize(data)
        .map_err(|error| format!("data at {}: {}", error.path(), error.inner()))?;
    Ok(Incoming {
        id: id.to_owned(),
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "io.example.v1";

    fn record(headers: &[(&str, &str)], payload: &'static [u8]) -> Record {
        Record {
            partition: 0,
            offset: 7,
            key: Bytes::new(),
            payload: Bytes::from_static(payload),
            timestamp_ms: 0,
            headers: headers
                .iter()
                .map(|(name, value)| header(name, value))
                .collect(),
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let event = CloudEvent {
            id: "a".to_owned(),
            kind: KIND,
            source: "/events/default/demo".to_owned(),
            subject: "vip".to_owned(),
            time: None,
            data: b"[1]".to_vec(),
        };
        let mut written = record(&[], b"[1]");
        written.headers = event.headers();
        let read: Incoming<Vec<u8>> = read(&written, KIND).unwrap();
        assert_eq!((read.id.as_str(), read.data), ("a", vec![1]));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let good = [
            ("ce_specversion", "1.0"),
            ("ce_type", KIND),
            ("ce_id", "a"),
            ("content-type", "application/json; charset=utf-8"),
        ];
        assert!(read::<Vec<u8>>(&record(&good, b"[1]"), KIND).is_ok());
        for (at, (name, _)) in good.iter().enumerate() {
            let mut headers = good.to_vec();
            headers.remove(at);
            let missing = read::<Vec<u8>>(&record(&headers, b"[1]"), KIND);
            let is_named = missing.is_err_and(|why| why.contains(name));
            assert_eq!(is_named, *name != "content-type", "{name}");
            headers.push((name, ""));
            assert!(
                read::<Vec<u8>>(&record(&headers, b"[1]"), KIND).is_err(),
                "{name}"
            );
        }
        let why = read::<Vec<u8>>(&record(&good, b"[1, \"x\"]"), KIND).unwrap_err();
        assert!(why.starts_with("data at [1]"), "{why}");
        assert!(read::<Vec<u8>>(&record(&good, b"[1"), KIND).is_err());
    }
}
