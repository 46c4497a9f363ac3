//! Members that are killed or frozen. Each runs in a process of its own: this test binary again, with one test.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ticket_bus::{BatchHandler, HandlerError, Producer, Record, Tail, TopicPartition};
use ticket_testkit::unique;
use tokio_util::sync::CancellationToken;

use crate::support::{Journal, Kafka, Member, Notes, PATIENCE, numbers, until};

/// Settings of a member in a process of its own: brokers, group, topic, topic for its notes, work per batch in ms.
const SETTINGS: &str = "BUS_TEST_MEMBER";

/// Tells what it has begun and what it has done on another topic, because its memory dies with it.
struct Tells {
    producer: Producer,
    notes: String,
    work: Duration,
}

impl BatchHandler for Tells {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        let ends = format!("{}-{}", batch[0].offset, batch[batch.len() - 1].offset);
        let told = format!("begun {ends}");
        self.producer
            .send(&self.notes, 0, b"", told.as_bytes())
            .await?;
        tokio::time::sleep(self.work).await;
        let told = format!("done {ends}");
        self.producer
            .send(&self.notes, 0, b"", told.as_bytes())
            .await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process of its own, started by the other tests of this file"]
#[expect(
    clippy::disallowed_methods,
    reason = "the settings come from the test that starts it"
)]
async fn member_in_a_process_of_its_own() {
    let Ok(settings) = std::env::var(SETTINGS) else {
        return;
    };
    let [brokers, group, topic, notes, work_ms] = settings
        .split(' ')
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let kafka = Kafka::at(&brokers);
    let work = Duration::from_millis(work_ms.parse().unwrap());
    let producer = kafka.producer.clone();
    let handlers = move |_: TopicPartition| Tells {
        producer: producer.clone(),
        notes: notes.clone(),
        work,
    };
    let tune = |config: &mut ticket_bus::ConsumerConfig| {
        config.max_batch = 10;
        config.gather_wait = Duration::ZERO;
        config.session_timeout = Duration::from_secs(6);
        config.drain_deadline = Duration::from_secs(3);
    };
    let member = Member::start(&kafka, &group, &[&topic], tune, handlers);
    // It is killed long before; this is only so that it never stays behind.
    let forever = CancellationToken::new();
    drop(tokio::time::timeout(3 * PATIENCE, forever.cancelled()).await);
    member.leave().await;
}

struct Process(Child);

impl Process {
    fn start(kafka: &Kafka, group: &str, topic: &str, notes: &str, work: Duration) -> Self {
        let settings = format!(
            "{} {group} {topic} {notes} {}",
            kafka.bus.brokers,
            work.as_millis()
        );
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "crash::member_in_a_process_of_its_own",
            ])
            .env(SETTINGS, settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn next_note(notes: &mut Tail) -> String {
    let note = tokio::time::timeout(PATIENCE, notes.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    String::from_utf8(note.payload.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_next_member_repeats_what_was_not_committed_and_skips_nothing() {
    let kafka = Kafka::shared().await;
    let (topic, told) = (kafka.topic(1).await, kafka.topic(1).await);
    kafka.send(&topic, 0, 0, 200).await;
    let mut notes = Tail::follow(&kafka.bus, &told).await.unwrap();
    let group = unique("killed");
    let process = Process::start(&kafka, &group, &topic, &told, Duration::from_millis(200));
    // Killed in the middle of its third batch or later.
    let mut handled = 0_i64;
    while handled < 20 {
        let note = next_note(&mut notes).await;
        if let Some((_, last)) = note
            .strip_prefix("done ")
            .and_then(|ends| ends.split_once('-'))
        {
            handled = last.parse::<i64>().unwrap() + 1;
        }
    }
    assert!(next_note(&mut notes).await.starts_with("begun "));
    drop(process);
    let committed = kafka.committed(&group, &topic, 0).await.unwrap_or(0);
    assert!(
        committed <= handled,
        "committed {committed}, handled {handled}"
    );

    let journal = Arc::new(Journal::default());
    let handlers = Notes::of("next", &journal, Duration::ZERO);
    let next = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    journal
        .until(usize::try_from(200 - committed).unwrap())
        .await;
    next.leave().await;
    assert_eq!(
        journal.of(&topic, 0),
        numbers(u64::try_from(committed).unwrap(), 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_frozen_does_not_move_the_next_owners_offset() {
    let kafka = Kafka::shared().await;
    let (topic, told) = (kafka.topic(1).await, kafka.topic(1).await);
    kafka.send(&topic, 0, 0, 100).await;
    let mut notes = Tail::follow(&kafka.bus, &told).await.unwrap();
    let group = unique("frozen");
    let zombie = Process::start(&kafka, &group, &topic, &told, Duration::from_millis(400));
    assert_eq!(next_note(&mut notes).await, "begun 0-9");
    zombie.signal(Signal::STOP);

    // The next owner gets the partition when the zombie's session is over, and goes far beyond it.
    let journal = Arc::new(Journal::default());
    let handlers = Notes::of("next", &journal, Duration::ZERO);
    let next = Member::start(&kafka, &group, &[&topic], |_| {}, handlers);
    journal.until(100).await;
    assert_eq!(journal.of(&topic, 0), numbers(0, 100));
    until("all is committed", async || {
        kafka.committed(&group, &topic, 0).await == Some(100)
    })
    .await;

    // The zombie wakes up in the middle of its batch, ends it, and wants to commit offset 10.
    zombie.signal(Signal::CONT);
    assert_eq!(next_note(&mut notes).await, "done 0-9");
    for _ in 0..30 {
        assert_eq!(kafka.committed(&group, &topic, 0).await, Some(100));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It may come back as a member, but then from what is committed.
    kafka.send(&topic, 0, 100, 110).await;
    until("the rest is committed", async || {
        kafka.committed(&group, &topic, 0).await == Some(110)
    })
    .await;
    next.leave().await;
}
