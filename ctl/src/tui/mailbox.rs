//! Between the background tasks and the loop: one slot per topic, and the newest reading wins. Whoever puts never waits, and
//! what is kept is bounded by the number of topics, however slow the loop or fast the platform is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::reading::{Outcome, Reading, Topic};

/// Outcomes that nobody took yet. One more than the commands that may be under way, since each has one outcome.
pub const OUTCOMES_MAX: usize = COMMANDS_MAX + 1;

/// Commands that may be under way: a person who waits for four does not want a fifth.
pub const COMMANDS_MAX: usize = 4;

/// What is waiting for the loop.
#[derive(Debug, Default)]
pub struct Mailbox {
    slots: Mutex<Slots>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    readings: BTreeMap<Topic, Reading>,
    outcomes: VecDeque<Outcome>,
    overtaken: u64,
    is_closed: bool,
}

/// What was waiting.
#[derive(Debug, Default)]
pub struct Mail {
    /// At most one per topic.
    pub readings: Vec<Reading>,
    /// In their order.
    pub outcomes: Vec<Outcome>,
    /// Nobody will bring anything any more.
    pub is_closed: bool,
}

impl Mailbox {
    /// Puts a reading; an older one of its topic that nobody took is gone.
    pub fn put(&self, reading: Reading) {
        let mut slots = self.slots();
        if slots.readings.insert(reading.topic, reading).is_some() {
            slots.overtaken += 1;
        }
        drop(slots);
        self.changed.notify_one();
    }

    /// Forgets the reading of a topic: it is about something that nobody looks at any more.
    pub fn forget(&self, topic: Topic) {
        self.slots().readings.remove(&topic);
    }

    /// Puts an outcome. The oldest goes when [`OUTCOMES_MAX`] are waiting.
    pub fn put_outcome(&self, outcome: Outcome) {
        let mut slots = self.slots();
        if slots.outcomes.len() >= OUTCOMES_MAX {
            slots.outcomes.pop_front();
        }
        slots.outcomes.push_back(outcome);
        drop(slots);
        self.changed.notify_one();
    }

    /// Says that nobody will bring anything any more.
    pub fn close(&self) {
        self.slots().is_closed = true;
        self.changed.notify_one();
    }

    /// Takes what is waiting.
    #[must_use]
    pub fn take(&self) -> Mail {
        let mut slots = self.slots();
        Mail {
            readings: std::mem::take(&mut slots.readings).into_values().collect(),
            outcomes: std::mem::take(&mut slots.outcomes).into(),
            is_closed: slots.is_closed,
        }
    }

    /// Nothing is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let slots = self.slots();
        slots.readings.is_empty() && slots.outcomes.is_empty() && !slots.is_closed
    }

    /// Readings that nobody saw because a newer one came.
    #[must_use]
    pub fn overtaken(&self) -> u64 {
        self.slots().overtaken
    }

    /// Until something is waiting. Cancel safe: what is put meanwhile wakes the next call.
    pub async fn changed(&self) {
        while self.is_empty() {
            self.changed.notified().await;
        }
    }

    /// Nothing is done under the lock that could panic half way, so a poisoned one is as good as any.
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::reading::Answer;
    use super::*;

    fn reading(topic: Topic, second: i64) -> Reading {
        Reading {
            topic,
            at: Timestamp::from_second(second).unwrap(),
            result: Ok(Answer::Lag(Vec::new())),
        }
    }

    #[test]
    fn the_newest_reading_of_a_topic_wins_and_nothing_piles_up() {
        let mailbox = Mailbox::default();
        for second in 0..10_000 {
            mailbox.put(reading(Topic::Lag, second));
            mailbox.put(reading(Topic::Stock, second));
        }
        let mail = mailbox.take();
        let times: Vec<i64> = mail.readings.iter().map(|it| it.at.as_second()).collect();
        assert_eq!(times, [9_999, 9_999]);
        assert_eq!(mailbox.overtaken(), 2 * 9_999);
        assert!(mailbox.is_empty());
    }

    #[tokio::test]
    async fn what_was_put_before_anybody_waits_is_not_missed() {
        let mailbox = Mailbox::default();
        mailbox.put(reading(Topic::Lag, 1));
        mailbox.changed().await;
        mailbox.close();
        assert!(mailbox.take().is_closed);
    }
}
