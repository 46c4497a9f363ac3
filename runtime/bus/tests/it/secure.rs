//! TLS, client certificates and SASL against a real broker.

use std::sync::Arc;
use std::time::Duration;

use ticket_bus::{
    BusAdmin, BusConfig, BusSasl, BusTls, Producer, ProducerConfig, SaslMechanism, Tail,
};
use ticket_core::ErrorClass;
use ticket_testkit::{Certificates, KafkaServer, SecureKafka, StartOptions, unique};

use crate::support::{Journal, Kafka, Member, Notes, numbers};

const PASSWORD: &str = "correct-horse";

async fn broker() -> (KafkaServer, Certificates) {
    let certificates = Certificates::make("ticket").await.unwrap();
    let secure = SecureKafka {
        certificates: certificates.clone(),
        username: "ticket".to_owned(),
        password: PASSWORD.to_owned(),
    };
    let options = StartOptions::own("bus-secure").unwrap();
    let server = KafkaServer::start_secure(options, secure).await.unwrap();
    (server, certificates)
}

fn sasl(server: &KafkaServer, certificates: &Certificates, mechanism: SaslMechanism) -> BusConfig {
    let mut bus = BusConfig::new(server.sasl_brokers().unwrap(), "bus-test");
    bus.tls = Some(BusTls {
        ca: Some(certificates.ca()),
        client: None,
    });
    bus.sasl = Some(BusSasl {
        mechanism,
        username: "ticket".to_owned(),
        password: PASSWORD.into(),
    });
    bus
}

fn by_certificate(server: &KafkaServer, certificates: &Certificates) -> BusConfig {
    let mut bus = BusConfig::new(server.tls_brokers().unwrap(), "bus-test");
    bus.tls = Some(BusTls {
        ca: Some(certificates.ca()),
        client: Some(certificates.client()),
    });
    bus
}

/// Everything that this package does, over one connection.
async fn does_all(bus: BusConfig) {
    let kafka = Kafka {
        admin: BusAdmin::connect(&bus).unwrap(),
        producer: Producer::new(&bus, &ProducerConfig::default()).unwrap(),
        bus,
    };
    let topic = kafka.topic(1).await;
    let (group, journal) = (unique("secure"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let member = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    kafka.send(&topic, 0, 0, 10).await;
    journal.until(10).await;
    assert_eq!(journal.of(&topic, 0), numbers(0, 10));
    let mut all = Tail::read_all(&kafka.bus, &topic).await.unwrap();
    let mut read = 0;
    while let Some(record) = all.next().await {
        record.unwrap();
        read += 1;
    }
    assert_eq!(read, 10);
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_works_for_every_client_and_nobody_else_gets_in() {
    let (server, certificates) = broker().await;
    for mechanism in [
        SaslMechanism::Plain,
        SaslMechanism::ScramSha256,
        SaslMechanism::ScramSha512,
    ] {
        does_all(sasl(&server, &certificates, mechanism)).await;
    }
    does_all(by_certificate(&server, &certificates)).await;

    let good = || sasl(&server, &certificates, SaslMechanism::ScramSha512);
    let mut wrong_password = good();
    if let Some(sasl) = &mut wrong_password.sasl {
        sasl.password = "guessed".into();
    }
    let mut stranger = good();
    if let Some(tls) = &mut stranger.tls {
        tls.ca = Some(certificates.stranger_ca());
    }
    let mut nobody = by_certificate(&server, &certificates);
    if let Some(tls) = &mut nobody.tls {
        tls.client = None;
    }
    let mut in_the_clear = good();
    in_the_clear.tls = None;
    let refused = [
        ("wrong password", wrong_password),
        ("server of a stranger", stranger),
        ("no certificate", nobody),
        ("in the clear", in_the_clear),
    ];
    let config = ProducerConfig {
        delivery_deadline: Duration::from_secs(2),
        ..ProducerConfig::default()
    };
    for (why, bus) in refused {
        let error = BusAdmin::connect(&bus).unwrap().ping().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Retry, "{why}: {error:?}");
        let producer = Producer::new(&bus, &config).unwrap();
        assert!(producer.send("any", 0, b"k", b"p").await.is_err(), "{why}");
    }
}
