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
            snapshot.change = snapshot.change.max(row.change);
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
                snapshot.by_shard.insert(shard.id, entry);
            }
            snapshot.by_name.insert(event.name().clone(), event);
        }
        snapshot
    }
}

/// The live list of events.
pub struct Catalog {
    ledger: Ledger,
    snapshot: watch::Sender<Arc<Snapshot>>,
    topics: watch::Sender<Vec<String>>,
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
            reading: Mutex::new(()),
        })
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
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
        // An unchanged catalog costs one cheap query; anything else reads all, so that a deleted event goes away too.
        let known = self.snapshot();
        if !self
            .ledger
            .events_changed(known.change, known.by_name.len())
            .await?
        {
            return Ok(());
        }
        let rows = self.ledger.events().await?;
        let snapshot = Snapshot::from_rows(rows);
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
