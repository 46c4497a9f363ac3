//! What several members promise when partitions move between them.

use std::sync::Arc;
use std::time::Duration;

use ticket_bus::BusError;
use ticket_testkit::unique;

use crate::support::{Journal, Kafka, Member, Notes, numbers, until};

const PARTITIONS: i32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_nothing_is_lost_or_handled_by_two_at_once() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(6).await;
    let (group, journal) = (unique("come-and-go"), Arc::new(Journal::default()));
    let start = |who: &str| {
        let handlers = Notes::of(who, &journal, Duration::from_millis(20));
        let tune = |config: &mut ticket_bus::ConsumerConfig| config.max_batch = 20;
        Member::start(&kafka, &group, &[&topic], tune, handlers)
    };
    let owns = |member: &Member| member.monitor.owned().len();
    let (rounds, step) = (4_u64, 150_u64);
    let one = start("one");
    let mut second = None;
    for round in 0..rounds {
        for partition in 0..PARTITIONS {
            kafka
                .send(&topic, partition, round * step, (round + 1) * step)
                .await;
        }
        // While the records of this round are being handled.
        second = match second.take() {
            None => {
                let two = start("two");
                until("both own a half", async || {
                    owns(&one) == 3 && owns(&two) == 3
                })
                .await;
                Some(two)
            }
            Some(two) => {
                two.leave().await;
                until("one owns all", async || owns(&one) == 6).await;
                None
            }
        };
    }
    let all = usize::try_from(rounds * step).unwrap() * 6;
    journal.until(all).await;
    one.leave().await;
    assert_eq!(journal.wrong(), [""; 0]);
    for partition in 0..PARTITIONS {
        // Everybody left in order, so nothing was repeated either.
        assert_eq!(
            journal.of(&topic, partition),
            numbers(0, rounds * step),
            "{partition}"
        );
        let committed = kafka.committed(&group, &topic, partition).await;
        assert_eq!(committed, Some(i64::try_from(rounds * step).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_given_away_after_its_batch_has_ended_and_is_committed() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(2).await;
    for partition in 0..2 {
        kafka.send(&topic, partition, 0, 10).await;
    }
    let (group, journal) = (unique("drain"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::from_millis(1_500));
    let one = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    until("a batch runs", async || journal.is_busy(&topic, 0)).await;
    let handlers = Notes::of("two", &journal, Duration::ZERO);
    let two = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    until("both own one", async || {
        one.monitor.owned().len() == 1 && two.monitor.owned().len() == 1
    })
    .await;
    journal.until(20).await;
    one.leave().await;
    two.leave().await;
    assert_eq!(journal.wrong(), [""; 0]);
    assert_eq!(journal.of(&topic, 0), numbers(0, 10));
    assert_eq!(journal.of(&topic, 1), numbers(0, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_members_with_one_name_the_older_one_ends() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    let (group, journal) = (unique("twins"), Arc::new(Journal::default()));
    let named = |config: &mut ticket_bus::ConsumerConfig| {
        config.instance_id = Some("pod-0".to_owned());
    };
    let handlers = Notes::of("older", &journal, Duration::ZERO);
    let older = Member::start(&kafka, &group, &[&topic], named, handlers);
    until("the older one owns it", async || {
        older.monitor.owned().len() == 1
    })
    .await;
    let handlers = Notes::of("newer", &journal, Duration::ZERO);
    let newer = Member::start(&kafka, &group, &[&topic], named, handlers);
    let error = older.fails().await;
    assert!(matches!(error, BusError::Fatal { .. }), "{error:?}");
    kafka.send(&topic, 0, 0, 5).await;
    journal.until(5).await;
    newer.leave().await;
    assert_eq!(journal.of(&topic, 0), numbers(0, 5));
}
