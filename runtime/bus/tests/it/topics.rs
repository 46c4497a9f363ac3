//! What the administration of topics and the reading of offsets promise.

use std::collections::{BTreeMap, HashMap};

use ticket_bus::{BusError, Created, Replication, TopicSpec};
use ticket_core::{ErrorClass, names::TopicPrefix};
use ticket_testkit::unique;

use crate::support::{Kafka, Member};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_made_once_and_a_different_one_is_a_conflict() {
    let kafka = Kafka::shared().await;
    let name = unique("bus");
    assert_eq!(kafka.admin.topic(&name).await.unwrap(), None);
    let spec = TopicSpec::new(&name, 3, Replication::Copies(1)).with("retention.ms", "86400000");
    assert_eq!(
        kafka.admin.create_topic(&spec).await.unwrap(),
        Created::Fresh
    );
    assert_eq!(
        kafka.admin.create_topic(&spec).await.unwrap(),
        Created::AlreadyThere
    );

    let found = kafka.admin.topic(&name).await.unwrap().unwrap();
    assert_eq!((found.partitions, found.replication), (3, 1));
    assert_eq!(
        found.own_config,
        BTreeMap::from([("retention.ms".into(), "86400000".into())])
    );
    assert!(found.config.contains_key("cleanup.policy"));

    let mut other = spec.clone();
    other.partitions = 4;
    other.config.insert("retention.ms".into(), "1000".into());
    let error = kafka.admin.create_topic(&other).await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Conflict, "topic-conflict")
    );
    let text = error.to_string();
    assert!(text.contains("partitions 3 instead of 4"), "{text}");
    assert!(
        text.contains("retention.ms 86400000 instead of 1000"),
        "{text}"
    );
    // Taken as it is by who does not care.
    assert_eq!(kafka.admin.ensure_topic(&other).await.unwrap(), found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_topics_are_told_at_once_and_so_is_a_setting_of_some() {
    let kafka = Kafka::shared().await;
    let (one, two, none) = (unique("bus"), unique("bus"), unique("bus"));
    let spec = TopicSpec::new(&one, 3, Replication::Copies(1)).with("retention.ms", "3600000");
    kafka.admin.create_topic(&spec).await.unwrap();
    let spec = TopicSpec::new(&two, 1, Replication::Copies(1)).with("retention.ms", "7200000");
    kafka.admin.create_topic(&spec).await.unwrap();
    let all = kafka.admin.all_topics().await.unwrap();
    assert_eq!(
        (all.get(&one), all.get(&two)),
        (Some(&(3, 1)), Some(&(1, 1)))
    );
    assert_eq!(all.get(&none), None);
    let asked = [one.as_str(), none.as_str(), two.as_str()];
    let found = kafka.admin.setting_of(&asked, "retention.ms").await;
    let wanted = [(one, "3600000".to_owned()), (two, "7200000".to_owned())];
    assert_eq!(found.unwrap(), HashMap::from(wanted));
    assert!(kafka.admin.setting_of(&[], "x").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_cannot_be_is_refused_for_good() {
    let kafka = Kafka::shared().await;
    let many_copies = TopicSpec::new(unique("bus"), 1, Replication::Copies(9));
    let error = kafka.admin.create_topic(&many_copies).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Permanent, "{error:?}");
    let bad_name = TopicSpec::new("what is this", 1, Replication::Copies(1));
    let error = kafka.admin.create_topic(&bad_name).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Permanent, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_grow_from_what_was_seen_and_never_shrink() {
    let kafka = Kafka::shared().await;
    let name = kafka.topic(2).await;
    kafka.admin.grow_partitions(&name, 2, 5).await.unwrap();
    assert_eq!(kafka.admin.partitions_of(&name).await.unwrap(), 5);
    // Done already.
    kafka.admin.grow_partitions(&name, 2, 5).await.unwrap();
    for (from, to) in [(2, 6), (5, 3)] {
        let error = kafka
            .admin
            .grow_partitions(&name, from, to)
            .await
            .unwrap_err();
        assert!(matches!(error, BusError::TopicConflict { .. }), "{error:?}");
    }
    let error = kafka
        .admin
        .grow_partitions(&unique("bus"), 1, 2)
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::TopicMissing { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_is_changed_and_the_others_stay() {
    let kafka = Kafka::shared().await;
    let name = unique("bus");
    let spec = TopicSpec::new(&name, 1, Replication::BrokerDefault)
        .with("retention.ms", "86400000")
        .with("max.message.bytes", "500000");
    kafka.admin.create_topic(&spec).await.unwrap();
    let change = BTreeMap::from([("max.message.bytes".to_owned(), "600000".to_owned())]);
    kafka.admin.set_config(&name, &change).await.unwrap();
    let wanted = BTreeMap::from([
        ("retention.ms".to_owned(), "86400000".to_owned()),
        ("max.message.bytes".to_owned(), "600000".to_owned()),
    ]);
    crate::support::until("the settings are changed", async || {
        kafka.admin.topic(&name).await.unwrap().unwrap().own_config == wanted
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_deleted_once() {
    let kafka = Kafka::shared().await;
    let name = kafka.topic(1).await;
    assert!(kafka.admin.delete_topic(&name).await.unwrap());
    assert!(!kafka.admin.delete_topic(&name).await.unwrap());
    crate::support::until("the topic is gone", async || {
        kafka.admin.topic(&name).await.unwrap().is_none()
    })
    .await;
    let error = kafka.admin.partitions_of(&name).await.unwrap_err();
    assert!(matches!(error, BusError::TopicMissing { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_is_unknown_before_the_first_commit_and_zero_after_the_last() {
    let kafka = Kafka::shared().await;
    kafka.admin.ping().await.unwrap();
    let topic = kafka.topic(2).await;
    kafka.send(&topic, 1, 0, 7).await;
    assert_eq!(kafka.admin.end_offsets(&topic).await.unwrap(), [0, 7]);

    let group = unique("lag");
    let topics = [topic.clone()];
    let lag = kafka.admin.lag(&group, &topics).await.unwrap();
    let shape: Vec<_> = lag
        .iter()
        .map(|at| (at.partition, at.committed, at.end, at.lag()))
        .collect();
    assert_eq!(shape, [(0, None, 0, None), (1, None, 7, None)]);

    let journal = std::sync::Arc::default();
    let handlers = crate::support::Notes::of("one", &journal, std::time::Duration::ZERO);
    let member = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    journal.until(7).await;
    member.leave().await;
    let lag = kafka.admin.lag(&group, &topics).await.unwrap();
    let shape: Vec<_> = lag
        .iter()
        .map(|at| (at.partition, at.committed, at.lag()))
        .collect();
    assert_eq!(shape, [(0, None, None), (1, Some(7), Some(0))]);

    kafka.send(&topic, 1, 7, 10).await;
    let lag = kafka.admin.lag(&group, &topics).await.unwrap();
    assert_eq!(lag[1].lag(), Some(3));
    assert_eq!(kafka.admin.lag(&group, &[]).await.unwrap(), []);
    let error = kafka
        .admin
        .lag(&group, &[unique("bus-missing")])
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::TopicMissing { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_the_platform_are_topics_that_kafka_takes() {
    let kafka = Kafka::shared().await;
    let prefix = TopicPrefix(ticket_testkit::shared().await.topic_prefix());
    for name in [
        prefix.order_events(),
        TopicPrefix::dead_letter(&prefix.order_events()),
    ] {
        let spec = TopicSpec::new(name, 1, Replication::BrokerDefault);
        assert_eq!(
            kafka.admin.create_topic(&spec).await.unwrap(),
            Created::Fresh
        );
    }
}
