//! Position in the queue = offset of the command - committed offset of its partition. The committed offsets are read a few
//! times a second, only for topics that somebody asked about lately, so a thousand idle events cost nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ticket_bus::BusAdmin;
use tokio_util::sync::CancellationToken;

/// How often committed offsets are read.
const REFRESH_EVERY: Duration = Duration::from_millis(300);

/// A topic nobody asked about for this long is not read any more.
const FORGET_AFTER: Duration = Duration::from_secs(10);

struct Topic {
    asked: Instant,
    /// Per partition: where the processor stands and where the log ends.
    partitions: HashMap<i32, (i64, i64)>,
}

/// How far the processors are.
pub struct Positions {
    admin: BusAdmin,
    group: String,
    topics: Mutex<HashMap<String, Topic>>,
}

impl Positions {
    /// Positions of the consumer group `group`.
    #[must_use]
    pub fn new(admin: BusAdmin, group: String) -> Arc<Self> {
        Arc::new(Self {
            admin,
            group,
            topics: Mutex::default(),
        })
    }

    /// How many commands are before the one at `offset`; `None` while nothing is known.
    pub fn before(&self, topic: &str, partition: i32, offset: i64) -> Option<i64> {
        self.look(topic, partition)
            .map(|(committed, _)| (offset - committed).max(0))
    }

    /// How many commands wait on the partition: the most that can be before an order whose offset nobody remembers.
    pub fn waiting(&self, topic: &str, partition: i32) -> Option<i64> {
        self.look(topic, partition)
            .map(|(committed, end)| (end - committed).max(0))
    }

    fn look(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = topics.get_mut(topic) {
            known.asked = Instant::now();
            return known.partitions.get(&partition).copied();
        }
        let new = Topic {
            asked: Instant::now(),
            partitions: HashMap::new(),
        };
        topics.insert(topic.to_owned(), new);
        None
    }

    /// Reads committed offsets until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH_EVERY) => {}
            }
            let wanted: Vec<String> = {
                let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
                topics.retain(|_, topic| topic.asked.elapsed() < FORGET_AFTER);
                topics.keys().cloned().collect()
            };
            if wanted.is_empty() {
                continue;
            }
            // Kafka down: positions go unknown, and placing orders says so itself.
            let lags = self
                .admin
                .lag(&self.group, &wanted)
                .await
                .unwrap_or_default();
            let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
            for topic in topics.values_mut() {
                topic.partitions.clear();
            }
            for lag in lags {
                let Some(topic) = topics.get_mut(&lag.topic) else {
                    continue;
                };
                // Never committed: the processor has not begun, so everything is still before it.
                let committed = lag.committed.unwrap_or(0);
                topic.partitions.insert(lag.partition, (committed, lag.end));
            }
        }
    }
}
