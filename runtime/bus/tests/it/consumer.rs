//! What one member promises.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ticket_bus::{
    BatchHandler, BusError, HandlerError, Record, Replication, TopicPartition, TopicSpec,
};
use ticket_core::ErrorClass;
use ticket_testkit::unique;

use crate::support::{Journal, Kafka, Member, Notes, numbers, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_partition_is_handled_in_order_and_in_large_batches() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(4).await;
    for partition in 0..4 {
        kafka.send(&topic, partition, 0, 2_000).await;
    }
    let (group, journal) = (unique("order"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::from_millis(2));
    let tune = |config: &mut ticket_bus::ConsumerConfig| config.max_batch = 500;
    let member = Member::start(&kafka, &group, &[&topic], tune, handlers);
    journal.until(8_000).await;
    assert_eq!(member.monitor.owned().len(), 4);
    member.leave().await;
    for partition in 0..4 {
        assert_eq!(journal.of(&topic, partition), numbers(0, 2_000));
        assert_eq!(
            kafka.committed(&group, &topic, partition).await,
            Some(2_000)
        );
    }
    let batches = journal.batches();
    assert!(
        batches.iter().all(|records| (1..=500).contains(records)),
        "{batches:?}"
    );
    // A full log fills batches: it needs 16 of them, and some more while it starts to flow.
    assert!(batches.len() < 80, "{batches:?}");
    assert_eq!(journal.wrong(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_one_is_exactly_one() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(2).await;
    kafka.send(&topic, 0, 0, 300).await;
    let (group, journal) = (unique("one"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let member = Member::start(
        &kafka,
        &group,
        &[&topic],
        |config| config.max_batch = 1,
        handlers,
    );
    journal.until(300).await;
    member.leave().await;
    assert_eq!(journal.of(&topic, 0), numbers(0, 300));
    assert_eq!(journal.batches(), [1; 300]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gather_wait_joins_what_comes_one_by_one() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    let (group, journal) = (unique("gather"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let tune = |config: &mut ticket_bus::ConsumerConfig| {
        config.gather_wait = Duration::from_millis(900);
    };
    let member = Member::start(&kafka, &group, &[&topic], tune, handlers);
    until("the partition is assigned", async || {
        !member.monitor.owned().is_empty()
    })
    .await;
    for number in 0..10 {
        kafka.send(&topic, 0, number, number + 1).await;
    }
    journal.until(10).await;
    member.leave().await;
    assert_eq!(journal.of(&topic, 0), numbers(0, 10));
    assert!(journal.batches().len() < 10, "{:?}", journal.batches());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offset_of_an_idle_partition_stays_unknown() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    let other = kafka.topic(1).await;
    let (group, journal) = (unique("idle"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let member = Member::start(&kafka, &group, &[&topic, &other], |_| {}, handlers);
    // Something was handled elsewhere, so commits are made.
    kafka.send(&other, 0, 0, 1).await;
    journal.until(1).await;
    member.leave().await;
    assert_eq!(kafka.committed(&group, &other, 0).await, Some(1));
    assert_eq!(kafka.committed(&group, &topic, 0).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_topic_is_picked_up_while_others_go_on() {
    let kafka = Kafka::shared().await;
    let first = kafka.topic(2).await;
    let (group, journal) = (unique("topics"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let member = Member::start(&kafka, &group, &[&first], |_| {}, handlers);
    kafka.send(&first, 0, 0, 1).await;
    journal.until(1).await;

    // There before it is asked for.
    let second = kafka.topic(2).await;
    kafka.send(&second, 1, 0, 1).await;
    let began = Instant::now();
    member
        .topics
        .send_replace(vec![first.clone(), second.clone()]);
    journal.until(2).await;
    let there_before = began.elapsed();

    // Asked for before it is there.
    let third = unique("bus");
    member
        .topics
        .send_replace(vec![first.clone(), second.clone(), third.clone()]);
    kafka.send(&first, 1, 0, 1).await;
    journal.until(3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let spec = TopicSpec::new(&third, 1, Replication::BrokerDefault);
    kafka.admin.create_topic(&spec).await.unwrap();
    kafka.send(&third, 0, 0, 1).await;
    let began = Instant::now();
    journal.until(4).await;
    let there_after = began.elapsed();

    println!("picked up after {there_before:?} and {there_after:?}");
    assert!(there_before < Duration::from_secs(5), "{there_before:?}");
    assert!(there_after < Duration::from_secs(5), "{there_after:?}");

    // And grown.
    kafka.admin.grow_partitions(&third, 1, 2).await.unwrap();
    until("the new partition is owned", async || {
        member
            .monitor
            .owned()
            .contains(&TopicPartition::new(&third, 1))
    })
    .await;

    // And taken away again.
    member.topics.send_replace(vec![second.clone()]);
    until("only the second topic is owned", async || {
        member.monitor.owned().iter().all(|at| *at.topic == *second)
    })
    .await;
    member.topics.send_replace(Vec::new());
    until("nothing is owned", async || {
        member.monitor.owned().is_empty()
    })
    .await;
    member.leave().await;
    assert_eq!(journal.wrong(), [""; 0]);
}

/// Fails the first tries of every batch.
struct Fails {
    notes: Notes,
    tries: Arc<AtomicUsize>,
    failures: usize,
    class: ErrorClass,
}

impl BatchHandler for Fails {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        let tried = self.tries.fetch_add(1, Ordering::SeqCst);
        if tried < self.failures {
            return Err(HandlerError::new(
                self.class,
                "unit-down",
                "the unit is down",
            ));
        }
        self.notes.handle(batch).await
    }
}

fn failing(
    journal: &Arc<Journal>,
    tries: &Arc<AtomicUsize>,
    failures: usize,
    class: ErrorClass,
) -> impl Fn(TopicPartition) -> Fails + Send + Sync + 'static {
    let notes = Notes::of("one", journal, Duration::ZERO);
    let tries = Arc::clone(tries);
    move |at| Fails {
        notes: notes(at),
        tries: Arc::clone(&tries),
        failures,
        class,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_may_work_later_is_tried_again_and_reported_meanwhile() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    kafka.send(&topic, 0, 0, 20).await;
    let (group, journal) = (unique("retry"), Arc::new(Journal::default()));
    let tries = Arc::new(AtomicUsize::new(0));
    let handlers = failing(&journal, &tries, 5, ErrorClass::Ambiguous);
    let tune = |config: &mut ticket_bus::ConsumerConfig| {
        config.stuck_after = Duration::from_millis(300);
    };
    let member = Member::start(&kafka, &group, &[&topic], tune, handlers);
    until("a batch is reported as stuck", async || {
        let reason = member.monitor.reason();
        reason.is_some_and(|reason| reason.contains("unit-down") && reason.contains(&topic))
    })
    .await;
    assert_eq!(kafka.committed(&group, &topic, 0).await, None);
    journal.until(20).await;
    assert_eq!(journal.of(&topic, 0), numbers(0, 20));
    until("it is well again", async || {
        member.monitor.reason().is_none()
    })
    .await;
    member.leave().await;
    assert_eq!(kafka.committed(&group, &topic, 0).await, Some(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hopeless_batch_ends_the_member_and_the_next_one_gets_it_again() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    kafka.send(&topic, 0, 0, 20).await;
    let (group, journal) = (unique("hopeless"), Arc::new(Journal::default()));
    let tries = Arc::new(AtomicUsize::new(0));
    let handlers = failing(&journal, &tries, 1, ErrorClass::Permanent);
    let member = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    let error = member.fails().await;
    assert!(
        matches!(error, BusError::Handler { offset: 0, .. }),
        "{error:?}"
    );
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Permanent, "unit-down")
    );
    assert_eq!(kafka.committed(&group, &topic, 0).await, None);

    let handlers = failing(&journal, &tries, 1, ErrorClass::Permanent);
    let member = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    journal.until(20).await;
    member.leave().await;
    assert_eq!(journal.of(&topic, 0), numbers(0, 20));
}

struct Panics;

impl BatchHandler for Panics {
    type Outcome = ();

    async fn handle(&self, _: &[Record]) -> Result<(), HandlerError> {
        panic!("a bug in a handler (part of a test)");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_ends_the_member() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    kafka.send(&topic, 0, 0, 1).await;
    let group = unique("panic");
    let error = Member::start(&kafka, &group, &[&topic], |_| {}, |_| Panics)
        .fails()
        .await;
    assert!(matches!(error, BusError::TaskEnded { .. }), "{error:?}");
    assert_eq!(kafka.committed(&group, &topic, 0).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_is_broken_off_at_the_drain_deadline() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    kafka.send(&topic, 0, 0, 5).await;
    let (group, journal) = (unique("hang"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::from_hours(1));
    let tune = |config: &mut ticket_bus::ConsumerConfig| {
        config.drain_deadline = Duration::from_millis(300);
    };
    let member = Member::start(&kafka, &group, &[&topic], tune, handlers);
    until("the batch runs", async || journal.is_busy(&topic, 0)).await;
    let began = Instant::now();
    member.leave().await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(kafka.committed(&group, &topic, 0).await, None);
    assert_eq!(journal.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_future_is_dropped_leaves_the_group() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    let (group, journal) = (unique("dropped"), Arc::new(Journal::default()));
    let handlers = Notes::of("one", &journal, Duration::ZERO);
    let member = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    until("the partition is assigned", async || {
        !member.monitor.owned().is_empty()
    })
    .await;
    member.running.abort();
    until("nothing is owned", async || {
        member.monitor.owned().is_empty()
    })
    .await;
}

/// Notes when each stage of a batch begins and ends; the second stage takes longer, and fails at first.
struct TwoStages {
    told: Arc<Mutex<Vec<String>>>,
    failures: AtomicUsize,
}

impl TwoStages {
    fn tell(&self, what: &str, first: i64) {
        self.told.lock().unwrap().push(format!("{what} {first}"));
    }
}

impl BatchHandler for TwoStages {
    type Outcome = i64;

    async fn handle(&self, batch: &[Record]) -> Result<i64, HandlerError> {
        self.tell("handled", batch[0].offset);
        Ok(batch[0].offset)
    }

    async fn finish(&self, first: &i64) -> Result<(), HandlerError> {
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            self.tell("failed", *first);
            return Err(HandlerError::new(ErrorClass::Retry, "unit-down", "down"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.tell("finished", *first);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_batch_is_handled_while_one_is_finished_and_nothing_overtakes() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic(1).await;
    kafka.send(&topic, 0, 0, 6).await;
    let group = unique("stages");
    let told = Arc::new(Mutex::new(Vec::new()));
    let handlers = {
        let told = Arc::clone(&told);
        move |_| TwoStages {
            told: Arc::clone(&told),
            failures: AtomicUsize::new(2),
        }
    };
    let tune = |config: &mut ticket_bus::ConsumerConfig| config.max_batch = 1;
    let member = Member::start(&kafka, &group, &[&topic], tune, handlers);
    let count = |what: &str| {
        let told = told.lock().unwrap();
        told.iter().filter(|line| line.starts_with(what)).count()
    };
    until("all are finished", async || count("finished") == 6).await;
    member.leave().await;
    assert_eq!(kafka.committed(&group, &topic, 0).await, Some(6));
    let told = told.lock().unwrap().clone();
    let of = |what: &str| -> Vec<&str> {
        let lines = told.iter().filter_map(|line| line.strip_prefix(what));
        lines.map(str::trim).collect()
    };
    assert_eq!(of("handled"), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(of("finished"), ["0", "1", "2", "3", "4", "5"]);
    // The same outcome came again; its batch was not handled anew.
    assert_eq!(of("failed"), ["0", "0"]);
    let at = |line: &str| told.iter().position(|told| told == line).unwrap();
    assert!(at("handled 1") < at("finished 0"), "{told:?}");
    // At most two are ahead: one waits between the stages, one has come out of the first.
    assert!(at("handled 3") > at("finished 0"), "{told:?}");
}
