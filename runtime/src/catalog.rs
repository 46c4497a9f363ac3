//! What the runtime knows of events: the ledger's `events` rows, read again once a second. Everything on the order's way
//! reads a snapshot and never waits for the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ticket_core::{CategoryName, Epoch, EventId, EventName, Money, StockShardId};
use ticket_ledger::{EventRow, Ledger, LedgerError};
use ticket_telemetry::{Health, chain};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the events are read again.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// An event as the services need it.
#[derive(Debug, Clone)]
pub struct EventEntry {
    /// The ledger's row.
    pub row: EventRow,
    /// Its categories, in the order of the `Event`.
    pub categories: Vec<CategoryEntry>,
}

/// A category and where its stock lies.
#[derive(Debug, Clone)]
pub struct CategoryEntry {
    /// Its name.
    pub name: CategoryName,
    /// Price of one ticket.
    pub price: Money,
    /// Its stock shards, in the order of their ids.
    pub shards: Vec<StockShardId>,
}

/// Where a stock shard belongs.
#[derive(Debug, Clone)]
pub struct ShardEntry {
    /// Its event.
    pub event: Arc<EventEntry>,
    /// Its category: an index into [`EventEntry::categories`].
    category: usize,
    /// Partition of the order log.
    pub partition: i32,
}

impl ShardEntry {
    /// The category of the stock shard.
    #[must_use]
    pub fn category(&self) -> &CategoryEntry {
        &self.event.categories[self.category]
    }
}

/// How a sale stands by the ledger's row and the clock; stock is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sale {
    /// Not yet.
    Scheduled,
    /// Now.
    Open,
    /// Not now, later again.
    Paused,
    /// Never again.
    Closed,
}

impl EventEntry {
    fn new(row: EventRow) -> Self {
        let categories = row
            .categories
            .iter()
            .map(|category| {
                let mut shards: Vec<_> = row
                    .shards
                    .iter()
                    .filter(|shard| shard.category == category.name)
                    .map(|shard| shard.id)
                    .collect();
                shards.sort_unstable();
                CategoryEntry {
                    name: category.name.clone(),
                    price: category.price,
                    shards,
                }
            })
            .collect();
        Self { row, categories }
    }

    /// The event's order log.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.row.topic
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &EventName {
        &self.row.name
    }

    /// The event's identity.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.row.id
    }

    /// The epoch that the ledger has.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.row.epoch
    }

    /// The category with this name.
    #[must_use]
    pub fn category(&self, name: &str) -> Option<&CategoryEntry> {
        self.categories
            .iter()
            .find(|category| category.name.as_str() == name)
    }

    /// Tickets of a category, by the `Event`.
    #[must_use]
    pub fn quantity(&self, name: &CategoryName) -> u64 {
        let category = self
            .row
            .categories
            .iter()
            .find(|category| category.name == *name);
        category.map_or(0, |category| category.quantity)
    }

    /// How the sale stands at `now`.
    #[must_use]
    pub fn sale(&self, now: Timestamp) -> Sale {
        if self.row.is_closed || now >= self.row.closes_at {
            Sale::Closed
        } else if !self.row.is_open || now < self.row.opens_at {
            Sale::Scheduled
        } else if self.row.paused {
            Sale::Paused
        } else {
            Sale::Open
        }
    }
}

/// All events at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    by_name: HashMap<EventName, Arc<EventEntry>>,
    by_shard: HashMap<StockShardId, ShardEntry>,
    /// Everything up to this change is in.
    change: i64,
}

impl Snapshot {
    /// The event with this name.
    #[must_use]
    pub fn event(&self, name: &EventName) -> Option<&Arc<EventEntry>> {
        self.by_name.get(name)
    }

    /// Where a stock shard belongs.
    #[must_use]
    pub fn shard(&self, id: StockShardId) -> Option<&ShardEntry> {
        self.by_shard.get(&id)
    }

    /// All stock shards, in no order.
    pub fn shards(&self) -> impl Iterator<Item = (StockShardId, &ShardEntry)> {
        self.by_shard.iter().map(|(id, entry)| (*id, entry))
    }

    /// All events, in no order.
    pub fn events(&self) -> impl Iterator<Item = &Arc<EventEntry>> {
        self.by_name.values()
    }

    /// The order logs of all events, sorted.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let has_stock = |event: &&Arc<EventEntry>| !event.row.shards.is_empty();
        let mut topics: Vec<_> = self
            .by_name
            .values()
            .filter(has_stock)
            .map(|event| event.row.topic.clone())
            .collect();
        topics.sort_unstable();
        topics
    }

    fn from_rows(rows: Vec<EventRow>) -> Self {
        let mut snapshot = Self::default();
        for row in rows {
            snapshot.insert(row);
        }
        snapshot
    }

    /// This snapshot with events that have changed. `None` if a name belongs to another event by now: then something is gone
    /// that the rows do not tell of.
    fn with(&self, changed: Vec<EventRow>) -> Option<Self> {
        let mut snapshot = Self {
            by_name: self.by_name.clone(),
            by_shard: self.by_shard.clone(),
            change: self.change,
        };
        for row in changed {
            let known = snapshot.by_name.get(&row.name);
            if known.is_some_and(|known| known.id() != row.id) {
                return None;
            }
            snapshot.insert(row);
        }
        Some(snapshot)
    }

    fn insert(&mut self, row: EventRow) {
        self.change = self.change.max(row.change);
        let event = Arc::new(EventEntry::new(row));
        for shard in &event.row.shards {
            let category = event
                .categories
                .iter()
                .position(|category| category.name == shard.category);
            let Some(category) = category else { continue };
            let partition = shard.partition;
            let entry = ShardEntry {
                event: event.clone(),
                category,
                partition,
            };
            self.by_shard.insert(shard.id, entry);
        }
        self.by_name.insert(event.name().clone(), event);
    }
}

/// The live list of events.
pub struct Catalog {
    ledger: Ledger,
    snapshot: watch::Sender<Arc<Snapshot>>,
    topics: watch::Sender<Vec<String>>,
    /// The events were read once.
    is_read: watch::Sender<bool>,
    /// One reader at a time: whoever needs a fresh look while one is under way waits for it.
    reading: Mutex<()>,
}

impl Catalog {
    /// An empty catalog; [`Catalog::run`] fills it.
    #[must_use]
    pub fn new(ledger: Ledger) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            snapshot: watch::Sender::new(Arc::default()),
            topics: watch::Sender::new(Vec::new()),
            is_read: watch::Sender::new(false),
            reading: Mutex::new(()),
        })
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Waits until the events were read once: before that every event would be unknown.
    pub async fn first_read(&self) {
        // The sender lives as long as we do.
        drop(self.is_read.subscribe().wait_for(|is_read| *is_read).await);
    }

    /// The order logs of all events; changes when an event comes or goes.
    #[must_use]
    pub fn topics(&self) -> watch::Receiver<Vec<String>> {
        self.topics.subscribe()
    }

    /// Reads the events again, now.
    ///
    /// # Errors
    /// The ledger's; the old snapshot stays.
    pub async fn refresh(&self) -> Result<(), LedgerError> {
        let _one_at_a_time = self.reading.lock().await;
        // An unchanged catalog costs one cheap query, and a change what has changed: while a thousand events are warmed up
        // there is always something new.
        let known = self.snapshot();
        let (newest, count) = self.ledger.newest_change().await?;
        if newest <= known.change && count == known.by_name.len() {
            self.is_read.send_replace(true);
            return Ok(());
        }
        let changed = self.ledger.events_changed_since(known.change).await?;
        let snapshot = match known.with(changed) {
            Some(snapshot) if snapshot.by_name.len() == count => snapshot,
            // Something is gone, or came in between the two questions.
            Some(_) | None => Snapshot::from_rows(self.ledger.events().await?),
        };
        let topics = snapshot.topics();
        info!(
            events = snapshot.by_name.len(),
            change = snapshot.change,
            "events read"
        );
        self.snapshot.send_replace(Arc::new(snapshot));
        self.topics.send_if_modified(|known| {
            let is_new = *known != topics;
            *known = topics;
            is_new
        });
        self.is_read.send_replace(true);
        Ok(())
    }

    /// Reads the events once a second until `stop`.
    pub async fn run(self: Arc<Self>, health: Health, stop: CancellationToken) {
        let mut was_down = false;
        loop {
            match self.refresh().await {
                Ok(()) => {
                    health.set("ledger", Ok::<(), String>(()));
                    was_down = false;
                }
                Err(error) => {
                    if !was_down {
                        warn!(error = %chain(&error), code = error.code(), "events not read");
                    }
                    health.set("ledger", Err(chain(&error)));
                    was_down = true;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH_EVERY) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ticket_core::{Currency, StockSource};
    use ticket_ledger::{CategoryRow, EventShard};

    use super::*;

    fn row(id: u128, name: &str, change: i64, shards: &[i64]) -> EventRow {
        let category = CategoryName::new("vip").unwrap();
        let shard = |id: &i64| EventShard {
            id: StockShardId::new(*id).unwrap(),
            category: category.clone(),
            partition: 0,
            born_with: 10,
        };
        EventRow {
            id: EventId(uuid::Uuid::from_u128(id)),
            name: EventName::new("tests", name).unwrap(),
            owner_uid: None,
            title: String::new(),
            topic: name.to_owned(),
            partitions: 1,
            opens_at: Timestamp::UNIX_EPOCH,
            closes_at: Timestamp::MAX,
            paused: false,
            is_open: true,
            is_closed: false,
            hold_for_s: 600,
            processing_for_s: 600,
            max_per_buyer: 0,
            admission_per_second: 0,
            stock_source: StockSource::Spec,
            epoch: Epoch(change),
            change,
            categories: vec![CategoryRow {
                name: category.clone(),
                price: Money {
                    currency: Currency::new("EUR").unwrap(),
                    amount_minor: 1,
                },
                quantity: 10,
            }],
            shards: shards.iter().map(shard).collect(),
        }
    }

    #[test]
    fn what_has_changed_is_taken_in_and_the_rest_stays() {
        let before = Snapshot::from_rows(vec![row(1, "one", 1, &[11]), row(2, "two", 2, &[21])]);
        let after = before.with(vec![row(1, "one", 3, &[11, 12])]).unwrap();
        assert_eq!((after.change, after.by_name.len()), (3, 2));
        let epoch = |shard: i64| {
            let entry = after.shard(StockShardId::new(shard).unwrap());
            entry.map(|entry| entry.event.epoch().0)
        };
        assert_eq!(
            [11, 12, 21, 22].map(epoch),
            [Some(3), Some(3), Some(2), None]
        );
        assert_eq!(
            before.by_shard.len(),
            2,
            "whoever reads it is not disturbed"
        );
    }

    #[test]
    fn a_name_that_is_another_events_means_that_something_is_gone() {
        let before = Snapshot::from_rows(vec![row(1, "one", 1, &[11])]);
        assert!(before.with(vec![row(9, "one", 2, &[91])]).is_none());
    }
}
