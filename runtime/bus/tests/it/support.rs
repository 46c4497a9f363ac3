//! Topics, members and handlers for the tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ticket_bus::{
    BatchHandler, BusAdmin, BusConfig, BusError, ConsumerConfig, ConsumerMonitor, HandlerError,
    PartitionedConsumer, Producer, ProducerConfig, Record, Replication, TopicPartition, TopicSpec,
};
use ticket_testkit::{shared, unique};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing that a test waits for takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A test's way to Kafka.
pub(crate) struct Kafka {
    pub(crate) bus: BusConfig,
    pub(crate) admin: BusAdmin,
    pub(crate) producer: Producer,
}

impl Kafka {
    /// The shared one.
    pub(crate) async fn shared() -> Self {
        Self::at(shared().await.kafka_brokers())
    }

    pub(crate) fn at(brokers: &str) -> Self {
        let bus = BusConfig::new(brokers, "bus-test");
        Self {
            admin: BusAdmin::connect(&bus).unwrap(),
            producer: Producer::new(&bus, &ProducerConfig::default()).unwrap(),
            bus,
        }
    }

    /// A new topic.
    pub(crate) async fn topic(&self, partitions: u32) -> String {
        let name = unique("bus");
        let spec = TopicSpec::new(&name, partitions, Replication::Copies(1));
        self.admin.create_topic(&spec).await.unwrap();
        name
    }

    /// Sends records `from..to` to one partition; the payload is the number.
    pub(crate) async fn send(&self, topic: &str, partition: i32, from: u64, to: u64) {
        let mut under_way = Vec::new();
        for number in from..to {
            let payload = number.to_string();
            let sent = self
                .producer
                .start(topic, partition, b"k", payload.as_bytes());
            under_way.push(sent.unwrap());
        }
        for delivery in under_way {
            delivery.await.unwrap();
        }
    }

    /// What the group committed on one partition.
    pub(crate) async fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let at = TopicPartition::new(topic, partition);
        let all = self
            .admin
            .committed(group, &[topic.to_owned()])
            .await
            .unwrap();
        all.into_iter().find(|(found, _)| *found == at).unwrap().1
    }
}

/// A running member of a group.
pub(crate) struct Member {
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), BusError>>,
    pub(crate) monitor: ConsumerMonitor,
    /// Changes the topics.
    pub(crate) topics: watch::Sender<Vec<String>>,
}

impl Member {
    pub(crate) fn start<H: BatchHandler>(
        kafka: &Kafka,
        group: &str,
        topics: &[&str],
        tune: impl FnOnce(&mut ConsumerConfig),
        factory: impl Fn(TopicPartition) -> H + Send + Sync + 'static,
    ) -> Self {
        let names = topics.iter().map(|name| (*name).to_owned()).collect();
        let (topics, list) = watch::channel(names);
        let mut config = ConsumerConfig::new(kafka.bus.clone(), group, list);
        config.session_timeout = Duration::from_secs(8);
        config.drain_deadline = Duration::from_secs(4);
        tune(&mut config);
        let monitor = config.monitor.clone();
        let stop = CancellationToken::new();
        let running = tokio::spawn(PartitionedConsumer::run(config, factory, stop.clone()));
        Self {
            stop,
            running,
            monitor,
            topics,
        }
    }

    /// Leaves the group in order.
    pub(crate) async fn leave(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// Waits until it ends by itself, with an error.
    pub(crate) async fn fails(self) -> BusError {
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .unwrap()
            .unwrap()
            .unwrap_err()
    }
}

/// What the handlers of a test saw. Panics inside a handler would end the member, so it only notes what is wrong.
#[derive(Default)]
pub(crate) struct Journal {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Records whose batch was handled, per partition, in order.
    done: BTreeMap<TopicPartition, Vec<(i64, String)>>,
    batches: Vec<usize>,
    /// Who works on a partition right now.
    busy: HashMap<TopicPartition, String>,
    wrong: Vec<String>,
}

impl Journal {
    pub(crate) fn begin(&self, who: &str, at: &TopicPartition) {
        let mut seen = self.seen.lock().unwrap();
        if let Some(other) = seen.busy.insert(at.clone(), who.to_owned()) {
            seen.wrong
                .push(format!("{who} and {other} both work on {at}"));
        }
    }

    pub(crate) fn end(&self, at: &TopicPartition, batch: &[Record]) {
        let mut seen = self.seen.lock().unwrap();
        seen.busy.remove(at);
        seen.batches.push(batch.len());
        let text = |record: &Record| String::from_utf8(record.payload.to_vec()).unwrap();
        let done = batch.iter().map(|record| (record.offset, text(record)));
        seen.done.entry(at.clone()).or_default().extend(done);
    }

    pub(crate) fn is_busy(&self, topic: &str, partition: i32) -> bool {
        let at = TopicPartition::new(topic, partition);
        self.seen.lock().unwrap().busy.contains_key(&at)
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.seen.lock().unwrap().batches.clone()
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.seen.lock().unwrap().wrong.clone()
    }

    /// Payloads of one partition, in the order in which they were handled.
    pub(crate) fn of(&self, topic: &str, partition: i32) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let done = seen.done.get(&TopicPartition::new(topic, partition));
        done.into_iter()
            .flatten()
            .map(|(_, text)| text.clone())
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().done.values().map(Vec::len).sum()
    }

    pub(crate) async fn until(&self, count: usize) {
        until(&format!("{count} records are handled"), async || {
            self.count() >= count
        })
        .await;
    }
}

/// Waits until something holds, at most [`PATIENCE`].
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "it does not happen that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `from..to` as the payloads of [`Kafka::send`].
pub(crate) fn numbers(from: u64, to: u64) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

/// Notes what it gets and takes `work` for each batch.
pub(crate) struct Notes {
    pub(crate) who: String,
    pub(crate) at: TopicPartition,
    pub(crate) journal: Arc<Journal>,
    pub(crate) work: Duration,
}

impl Notes {
    /// A factory of such handlers.
    pub(crate) fn of(
        who: &str,
        journal: &Arc<Journal>,
        work: Duration,
    ) -> impl Fn(TopicPartition) -> Self + Send + Sync + 'static {
        let (who, journal) = (who.to_owned(), Arc::clone(journal));
        move |at| Self {
            who: who.clone(),
            at,
            journal: Arc::clone(&journal),
            work,
        }
    }
}

impl BatchHandler for Notes {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        self.journal.begin(&self.who, &self.at);
        tokio::time::sleep(self.work).await;
        self.journal.end(&self.at, batch);
        Ok(())
    }
}
