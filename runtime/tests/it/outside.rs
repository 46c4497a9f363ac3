//! What other people's programs read: every message of a topic, checked against the schema of its type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use ticket_bus::{BusConfig, Record, Tail};
use ticket_core::names::event_type;

/// A message as an outside program reads it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) key: String,
    pub(crate) subject: String,
    pub(crate) source: String,
    pub(crate) data: Value,
}

fn schema_file(kind: &str) -> PathBuf {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    schemas.join(format!("{kind}.schema.json"))
}

fn validator(kind: &str) -> jsonschema::Validator {
    let text = std::fs::read_to_string(schema_file(kind));
    let text = text.unwrap_or_else(|error| panic!("{kind} has no schema: {error}"));
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

/// All that lies in a topic, in the order of each partition. Every message is a `CloudEvent` whose data keeps its schema.
pub(crate) async fn messages(brokers: &str, topic: &str) -> Vec<Message> {
    let bus = BusConfig::new(brokers, "outside");
    let mut tail = Tail::read_all(&bus, topic).await.unwrap();
    let mut validators = BTreeMap::new();
    let mut messages = Vec::new();
    while let Some(record) = tail.next().await {
        let message = read(&record.unwrap());
        let of_kind = validators.entry(message.kind.clone());
        let validator = of_kind.or_insert_with(|| validator(&message.kind));
        let wrong: Vec<String> = validator
            .iter_errors(&message.data)
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{message:?}: {wrong:?}");
        messages.push(message);
    }
    messages
}

fn read(record: &Record) -> Message {
    let header = |name: &str| {
        let value = record.header(name);
        let value = value.unwrap_or_else(|| panic!("no {name} in {record:?}"));
        String::from_utf8(value.to_vec()).unwrap()
    };
    assert_eq!(header("ce_specversion"), "1.0");
    assert_eq!(header("content-type"), "application/json");
    Message {
        id: header("ce_id"),
        kind: header("ce_type"),
        key: String::from_utf8(record.key.to_vec()).unwrap(),
        subject: header("ce_subject"),
        source: header("ce_source"),
        data: serde_json::from_slice(&record.payload).unwrap(),
    }
}

#[test]
fn every_type_has_a_schema_that_refuses_what_is_missing() {
    let kinds = [
        event_type::TICKET_PURCHASED,
        event_type::ORDER_REJECTED,
        event_type::ORDER_EXPIRED,
        event_type::PAYMENT_FAILED,
        event_type::REFUND_PROCESSED,
        event_type::STOCK_CHANGED,
        event_type::STOCK_ADJUSTMENT,
        event_type::RESELLER_STOCK_CHANGED,
    ];
    for kind in kinds {
        assert!(!validator(kind).is_valid(&serde_json::json!({})), "{kind}");
    }
    let files = std::fs::read_dir(schema_file("x").parent().unwrap()).unwrap();
    assert_eq!(files.count(), kinds.len(), "a schema that no message has");
}
