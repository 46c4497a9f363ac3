//! What readers without a group promise.

use std::time::Duration;

use ticket_bus::{BusError, Tail};
use ticket_testkit::unique;

use crate::support::{Kafka, PATIENCE, numbers};

async fn texts(tail: &mut Tail, count: usize) -> Vec<(i32, String)> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let record = tokio::time::timeout(PATIENCE, tail.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        texts.push((
            record.partition,
            String::from_utf8(record.payload.to_vec()).unwrap(),
        ));
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_sees_what_comes_after_the_call_and_nothing_before() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(3).await;
    kafka.send(&topic, 0, 0, 50).await;
    let mut tail = Tail::follow(&kafka.bus, &topic).await.unwrap();
    kafka.send(&topic, 0, 50, 60).await;
    kafka.send(&topic, 2, 0, 5).await;
    let seen = texts(&mut tail, 15).await;
    let of = |partition: i32| -> Vec<String> {
        let of_partition = seen.iter().filter(|(at, _)| *at == partition);
        of_partition.map(|(_, text)| text.clone()).collect()
    };
    assert_eq!(of(0), numbers(50, 60));
    assert_eq!(of(2), numbers(0, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_sees_partitions_that_are_added() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    let mut tail = Tail::follow(&kafka.bus, &topic).await.unwrap();
    kafka.admin.grow_partitions(&topic, 1, 2).await.unwrap();
    // A producer of its own: the other one does not know the topic yet, but may learn it too late.
    let fresh = Kafka::at(&kafka.bus.brokers);
    fresh.send(&topic, 1, 0, 3).await;
    let seen = texts(&mut tail, 3).await;
    assert_eq!(
        seen.into_iter().map(|(_, text)| text).collect::<Vec<_>>(),
        numbers(0, 3)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_all_ends_at_what_was_there() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(4).await;
    let mut empty = Tail::read_all(&kafka.bus, &topic).await.unwrap();
    assert!(
        tokio::time::timeout(PATIENCE, empty.next())
            .await
            .unwrap()
            .is_none()
    );

    // More than the buffer holds, so that the reader has to wait for us.
    kafka.send(&topic, 1, 0, 5_000).await;
    kafka.send(&topic, 3, 0, 10).await;
    let mut all = Tail::read_all(&kafka.bus, &topic).await.unwrap();
    kafka.send(&topic, 3, 10, 20).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let seen = texts(&mut all, 5_010).await;
    assert!(
        tokio::time::timeout(PATIENCE, all.next())
            .await
            .unwrap()
            .is_none()
    );
    let of = |partition: i32| -> Vec<String> {
        let of_partition = seen.iter().filter(|(at, _)| *at == partition);
        of_partition.map(|(_, text)| text.clone()).collect()
    };
    assert_eq!(of(1), numbers(0, 5_000));
    assert_eq!(of(3), numbers(0, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_cannot_be_read() {
    let kafka = Kafka::shared().await;
    let error = Tail::follow(&kafka.bus, &unique("bus-missing"))
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::TopicMissing { .. }), "{error:?}");
}
