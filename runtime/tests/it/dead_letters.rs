//! What cannot be read is put aside with its reason, and whoever reads the topic goes on.

use reqwest::Method;
use serde_json::Value;
use ticket_bus::{BusConfig, Producer, ProducerConfig, REASON_HEADER, Tail};
use ticket_core::names::event_type::TICKET_PURCHASED;
use ticket_core::names::{ORDER_EVENTS_PARTITIONS, OUTSIDE_PARTITIONS};

use crate::outside::messages;
use crate::sale::{Sale, Terms, VIEWER, json};

/// Nothing, a version that nobody knows, and a cut one.
const UNREADABLE: [&[u8]; 3] = [b"", b"\x09from the future", b"\x01\xff\xff\xff"];

/// Why each dead letter of `topic` is one; none while there is no such topic.
pub(crate) async fn reasons(brokers: &str, topic: &str) -> Vec<String> {
    let bus = BusConfig::new(brokers, "dead-letters");
    let dead = format!("{topic}.dead-letter");
    let Ok(mut letters) = Tail::read_all(&bus, &dead).await else {
        return Vec::new();
    };
    let mut reasons = Vec::new();
    while let Some(letter) = letters.next().await {
        let reason = letter.unwrap().header(REASON_HEADER).unwrap().to_vec();
        reasons.push(String::from_utf8(reason).unwrap());
    }
    reasons
}

/// Sends all that is [`UNREADABLE`] to each partition.
async fn poison(sale: &Sale, topic: &str, partitions: u32) {
    let bus = BusConfig::new(&sale.brokers, "poison");
    let producer = Producer::new(&bus, &ProducerConfig::default()).unwrap();
    for partition in 0..i32::try_from(partitions).unwrap() {
        for payload in UNREADABLE {
            let sent = producer.send(topic, partition, b"poison", payload);
            sent.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_read_blocks_no_order() {
    let sale = Sale::open(Terms {
        shards: 1,
        ..Terms::default()
    })
    .await;
    poison(&sale, &sale.topic, 1).await;
    let place = sale.place("ann", "k", 1).header("Prefer", "wait=20");
    let order = json(place.send().await.unwrap(), 201).await;
    assert_eq!(order["state"], "reserved");
    let reasons = reasons(&sale.brokers, &sale.topic).await;
    assert_eq!(reasons.len(), UNREADABLE.len(), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_cannot_be_read_blocks_no_payment_no_message_and_no_audit() {
    let sale = Sale::open(Terms::default()).await;
    let topics = [
        ("order-events", ORDER_EVENTS_PARTITIONS),
        ("stock-facts", OUTSIDE_PARTITIONS),
    ];
    let topics = topics.map(|(name, partitions)| (format!("{}{name}", sale.prefix), partitions));
    for (topic, partitions) in &topics {
        poison(&sale, topic, *partitions).await;
    }

    let order = sale.awaiting("ann", "k", 2).await;
    sale.pay(&order, "pm_card_visa").await;
    let id = order["id"].as_str().unwrap();
    sale.order_until("ann", id, "paid").await;
    sale.counts_until(98, 0, 2).await;
    let is_told = async |topic: &str, is_it: &dyn Fn(&str, &Value) -> bool| {
        let topic = format!("{}{topic}", sale.prefix);
        let all = messages(&sale.brokers, &topic).await;
        all.iter().any(|it| is_it(&it.kind, &it.data))
    };
    sale.until("the purchase is told", async || {
        is_told("notifications", &|kind, data| {
            kind == TICKET_PURCHASED && data["order_id"] == id
        })
        .await
    })
    .await;
    sale.until("the sold tickets are told", async || {
        is_told("stock-changes", &|_, data| {
            data["change"] == "sold" && data["order_id"] == id
        })
        .await
    })
    .await;
    let path = format!("/events/{}/audit", sale.name);
    let audit = sale.ask(Method::POST, &path, VIEWER).send().await.unwrap();
    let report = json(audit, 200).await;
    assert_eq!(report["ok"], true, "{report}");
    let facts = report["checks"].as_array().unwrap().iter();
    let facts = facts
        .filter(|check| check["name"] == "facts")
        .collect::<Vec<_>>();
    assert_eq!(
        facts[0]["detail"],
        "1 orders end with their last fact; 48 other records cannot be read"
    );

    // Several roles read the same topic: one of them writes the letter.
    for (topic, partitions) in &topics {
        let wanted = UNREADABLE.len() * usize::try_from(*partitions).unwrap();
        sale.until("each has its letter", async || {
            reasons(&sale.brokers, topic).await.len() >= wanted
        })
        .await;
        assert_eq!(reasons(&sale.brokers, topic).await.len(), wanted, "{topic}");
    }
}
