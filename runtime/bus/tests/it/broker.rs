//! A broker that goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use ticket_bus::{BusAdmin, BusConfig, BusError, Producer, ProducerConfig};
use ticket_core::ErrorClass;
use ticket_testkit::{KafkaServer, StartOptions, unique};

use crate::support::{Journal, Kafka, Member, Notes, PATIENCE, numbers, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_everything_fails_in_time_and_says_what_may_be_done() {
    // A port that nobody listens on: it was free a moment ago and is closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let bus = BusConfig::new(format!("127.0.0.1:{port}"), "bus-test");
    let admin = BusAdmin::connect(&bus).unwrap();
    let error = admin.ping().await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Retry, "log-unreachable")
    );

    let config = ProducerConfig {
        delivery_deadline: Duration::from_secs(1),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&bus, &config).unwrap();
    let error = producer.send("t", 0, b"k", b"p").await.unwrap_err();
    assert!(matches!(error, BusError::Undelivered { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Ambiguous);

    // A member waits for Kafka; it neither fails nor keeps anybody from stopping it.
    let kafka = Kafka::at(&bus.brokers);
    let journal = Arc::new(Journal::default());
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let member = Member::start(&kafka, &unique("nobody"), &["t"], |_| {}, handlers);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!member.running.is_finished());
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_back_loses_and_reorders_nothing() {
    let mut server = KafkaServer::start(StartOptions::own("bus-broker").unwrap())
        .await
        .unwrap();
    let kafka = Kafka::at(server.brokers());
    let topic = kafka.topic(1).await;
    let (group, journal) = (unique("broker"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let member = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    kafka.send(&topic, 0, 0, 100).await;
    journal.until(100).await;

    let patient = ProducerConfig {
        delivery_deadline: PATIENCE,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&kafka.bus, &patient).unwrap();
    producer.send(&topic, 0, b"k", b"100").await.unwrap();
    server.kill().await.unwrap();
    let mut under_way = Vec::new();
    for number in numbers(101, 200) {
        under_way.push(producer.start(&topic, 0, b"k", number.as_bytes()).unwrap());
    }
    server.restart().await.unwrap();
    for delivery in under_way {
        delivery.await.unwrap();
    }
    until("all is committed", async || {
        let committed = kafka
            .admin
            .committed(&group, std::slice::from_ref(&topic))
            .await;
        committed.is_ok_and(|all| all[0].1 == Some(200))
    })
    .await;
    member.leave().await;
    // The last commits before the kill may be lost, so some records may come again; none is left out.
    let mut seen = journal.of(&topic, 0);
    assert_eq!(seen.last().map(String::as_str), Some("199"));
    let mut first_times = Vec::new();
    seen.retain(|number| {
        !first_times.contains(number) && {
            first_times.push(number.clone());
            true
        }
    });
    assert_eq!(seen, numbers(0, 200));
}
