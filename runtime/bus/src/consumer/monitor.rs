//! Progress per partition. librdkafka's own watch (`max.poll.interval.ms`) sees only that the common queue is polled, so
//! a task that hangs would go unnoticed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::record::TopicPartition;

/// Tells how the partitions of a member do. Cheap to clone; clones share what they see.
#[derive(Clone, Default)]
pub struct ConsumerMonitor {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    partitions: BTreeMap<TopicPartition, Progress>,
    pulse: Option<Pulse>,
}

/// The member's thread: what it last did, and what it calls too long.
#[derive(Debug, Clone, Copy)]
struct Pulse {
    polled_at: Instant,
    stuck_after: Duration,
}

/// The batches that a partition works on, the oldest first; few, because each stage has one and one waits in between.
#[derive(Debug, Clone, Default)]
struct Progress {
    running: VecDeque<Running>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    since: Instant,
    offset: i64,
    /// Code of the last failed try.
    failing: Option<&'static str>,
}

impl ConsumerMonitor {
    /// Why this member is not healthy; `None` if all is well or it has not begun: a batch runs (or is tried again) for
    /// longer than [`super::ConsumerConfig::stuck_after`], or the member itself does not come round to its group.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let pulse = self.lock().pulse?;
        let silent = pulse.polled_at.elapsed();
        if silent > pulse.stuck_after {
            return Some(format!(
                "the group was not polled for {} s",
                silent.as_secs()
            ));
        }
        self.stuck(pulse.stuck_after).map(|stuck| stuck.to_string())
    }

    /// The first partition whose batch runs for longer than `limit`.
    pub(super) fn stuck(&self, limit: Duration) -> Option<StuckBatch> {
        self.lock().partitions.iter().find_map(|(at, progress)| {
            let running = *progress.running.front()?;
            (running.since.elapsed() > limit).then(|| StuckBatch {
                at: at.clone(),
                running,
            })
        })
    }

    pub(super) fn polled(&self, stuck_after: Duration) {
        self.lock().pulse = Some(Pulse {
            polled_at: Instant::now(),
            stuck_after,
        });
    }

    pub(super) fn stopped(&self) {
        self.lock().pulse = None;
    }

    /// The partitions that this member owns now, in order.
    #[must_use]
    pub fn owned(&self) -> Vec<TopicPartition> {
        self.lock().partitions.keys().cloned().collect()
    }

    pub(super) fn assigned(&self, at: &TopicPartition) {
        self.lock()
            .partitions
            .insert(at.clone(), Progress::default());
    }

    pub(super) fn gone(&self, at: &TopicPartition) {
        self.lock().partitions.remove(at);
    }

    pub(super) fn began(&self, at: &TopicPartition, offset: i64) {
        let running = Running {
            since: Instant::now(),
            offset,
            failing: None,
        };
        self.change(at, |progress| progress.running.push_back(running));
    }

    pub(super) fn failing(&self, at: &TopicPartition, offset: i64, code: &'static str) {
        self.change(at, |progress| {
            let mut batches = progress.running.iter_mut();
            if let Some(running) = batches.find(|running| running.offset == offset) {
                running.failing = Some(code);
            }
        });
    }

    /// The oldest batch is done.
    pub(super) fn ended(&self, at: &TopicPartition) {
        self.change(at, |progress| {
            progress.running.pop_front();
        });
    }

    fn change(&self, at: &TopicPartition, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.lock().partitions.get_mut(at) {
            change(progress);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that runs for too long.
#[derive(Debug)]
pub(super) struct StuckBatch {
    at: TopicPartition,
    running: Running,
}

impl StuckBatch {
    /// Which batch it is, whatever has become of it since.
    pub(super) fn key(&self) -> (TopicPartition, i64) {
        (self.at.clone(), self.running.offset)
    }
}

impl fmt::Display for StuckBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Running {
            since,
            offset,
            failing,
        } = self.running;
        write!(
            f,
            "{}: the batch at offset {offset} runs for {} s",
            self.at,
            since.elapsed().as_secs()
        )?;
        failing.map_or(Ok(()), |code| write!(f, " ({code})"))
    }
}

impl fmt::Debug for ConsumerMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerMonitor")
            .field("owned", &self.owned())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_runs_too_long_is_named_with_its_reason() {
        let monitor = ConsumerMonitor::default();
        let at = TopicPartition::new("orders", 3);
        monitor.assigned(&at);
        monitor.began(&at, 41);
        monitor.failing(&at, 41, "ledger-unreachable");
        assert_eq!(monitor.reason(), None, "it has not begun");
        monitor.polled(Duration::ZERO);
        assert_eq!(
            monitor.reason().unwrap(),
            "the group was not polled for 0 s"
        );
        monitor.polled(Duration::from_mins(1));
        assert_eq!(monitor.reason(), None);
        let stuck = monitor.stuck(Duration::ZERO).unwrap();
        assert_eq!(stuck.key(), (at.clone(), 41));
        let reason = "orders/3: the batch at offset 41 runs for 0 s (ledger-unreachable)";
        assert_eq!(stuck.to_string(), reason);
        monitor.began(&at, 42);
        assert_eq!(
            monitor.stuck(Duration::ZERO).unwrap().key(),
            (at.clone(), 41)
        );
        monitor.ended(&at);
        assert_eq!(
            monitor.stuck(Duration::ZERO).unwrap().key(),
            (at.clone(), 42)
        );
        monitor.ended(&at);
        assert!(monitor.stuck(Duration::ZERO).is_none());
        assert_eq!(monitor.owned(), std::slice::from_ref(&at));
        monitor.gone(&at);
        assert!(monitor.owned().is_empty());
        monitor.polled(Duration::ZERO);
        monitor.stopped();
        assert_eq!(monitor.reason(), None);
    }
}
