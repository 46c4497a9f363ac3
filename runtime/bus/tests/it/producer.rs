//! What the producer promises.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ticket_bus::{BusError, Outgoing, Producer, ProducerConfig, REASON_HEADER, Tail};
use ticket_core::ErrorClass;
use ticket_testkit::unique;

use crate::support::{Kafka, numbers};

async fn all(kafka: &Kafka, topic: &str) -> Vec<ticket_bus::Record> {
    let mut tail = Tail::read_all(&kafka.bus, topic).await.unwrap();
    let mut records = Vec::new();
    while let Some(record) = tail.next().await {
        records.push(record.unwrap());
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_the_calls_is_the_order_in_the_partition() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(2).await;
    kafka.send(&topic, 0, 0, 3_000).await;
    let offset = kafka
        .producer
        .send(&topic, 1, b"key", b"alone")
        .await
        .unwrap();
    assert_eq!(offset, 0);
    let offset = kafka
        .producer
        .send(&topic, 0, b"key", b"last")
        .await
        .unwrap();
    assert_eq!(offset, 3_000);

    let records = all(&kafka, &topic).await;
    let texts = |partition: i32| -> Vec<String> {
        let of_partition = records
            .iter()
            .filter(|record| record.partition == partition);
        of_partition
            .map(|record| String::from_utf8(record.payload.to_vec()).unwrap())
            .collect()
    };
    let mut expected = numbers(0, 3_000);
    expected.push("last".to_owned());
    assert_eq!(texts(0), expected);
    assert_eq!(texts(1), ["alone"]);
    assert!(records.iter().all(|record| record.timestamp_ms > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_told_long_before_the_delivery_deadline() {
    let kafka = Kafka::shared().await;
    let config = ProducerConfig {
        delivery_deadline: Duration::from_mins(1),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&kafka.bus, &config).unwrap();
    let topic = unique("bus-missing");
    let began = Instant::now();
    let error = producer.send(&topic, 0, b"k", b"p").await.unwrap_err();
    assert!(matches!(error, BusError::TopicMissing { .. }), "{error:?}");
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Retry, "topic-missing")
    );
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    println!("told after {:?}", began.elapsed());
    // From then on at once, and nothing was made by asking.
    let began = Instant::now();
    producer.send(&topic, 0, b"k", b"p").await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(kafka.admin.topic(&topic).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_partition_and_a_large_record_are_told() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    kafka.producer.send(&topic, 0, b"k", b"p").await.unwrap();
    let error = kafka
        .producer
        .send(&topic, 7, b"k", b"p")
        .await
        .unwrap_err();
    assert!(
        matches!(error, BusError::PartitionMissing { partition: 7, .. }),
        "{error:?}"
    );
    let large = vec![0; 2_000_000];
    let error = kafka
        .producer
        .send(&topic, 0, b"k", &large)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            BusError::TooLarge {
                bytes: 2_000_001,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Permanent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_instead_of_waiting() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    let config = ProducerConfig {
        queue_records_max: 10,
        linger: Duration::from_millis(500),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&kafka.bus, &config).unwrap();
    let mut taken = Vec::new();
    let error = loop {
        match producer.start(&topic, 0, b"k", b"p") {
            Ok(delivery) => taken.push(delivery),
            Err(error) => break error,
        }
        assert!(taken.len() <= 10, "more than the limit was taken");
    };
    assert!(matches!(error, BusError::Full { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Retry);
    let taken_count = taken.len();
    for delivery in taken {
        delivery.await.unwrap();
    }
    assert_eq!(all(&kafka, &topic).await.len(), taken_count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_delivery_nobody_awaits_is_sent_all_the_same() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    drop(kafka.producer.start(&topic, 0, b"k", b"p").unwrap());
    kafka.producer.flush(Duration::from_secs(10)).await.unwrap();
    assert_eq!(all(&kafka, &topic).await.len(), 1);
    assert_eq!(kafka.producer.fatal(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_keeps_the_record_and_says_why() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    let headers = [("ce_id".to_owned(), Bytes::from_static(b"17"))];
    let outgoing = Outgoing {
        topic: &topic,
        partition: 0,
        key: b"k",
        payload: b"\xff",
        headers: &headers,
    };
    kafka
        .producer
        .start_record(&outgoing)
        .unwrap()
        .await
        .unwrap();
    let record = all(&kafka, &topic).await.remove(0);
    assert_eq!(record.header("ce_id"), Some(&b"17"[..]));

    // Twice: the first one makes the topic.
    for _ in 0..2 {
        kafka
            .producer
            .dead_letter(&topic, &record, "unparsable")
            .await
            .unwrap();
    }
    let letters = all(&kafka, &format!("{topic}.dead-letter")).await;
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        assert_eq!(
            (&letter.key[..], &letter.payload[..]),
            (&b"k"[..], &b"\xff"[..])
        );
        assert_eq!(letter.header(REASON_HEADER), Some(&b"unparsable"[..]));
        assert_eq!(letter.header("ce_id"), Some(&b"17"[..]));
        assert_eq!(letter.header("origin"), Some(&b"0/0"[..]));
    }
}
