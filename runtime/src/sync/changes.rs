//! The one writer of a category's `stock.changed` messages: counts what comes on `stock-facts` and tells what it changed.
//!
//! Told first, noted in the ledger second, offset last. A crash between any two tells the same again, under the same ids and
//! numbers, because the next owner starts from what was noted and reads the same log. What was noted counts each stock
//! shard up to a version, so a repeat of a fact, or a log that begins earlier than the note, changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use ticket_bus::{BatchHandler, HandlerError, Record};
use ticket_core::names::event_type::STOCK_CHANGED;
use ticket_core::{
    CategoryName, EventId, EventName, FactBatch, OrderRef, StockCounts, StockShardId,
};
use ticket_ledger::{FeedShard, StockFeed};
use tokio::sync::Mutex;
use tracing::debug;

use super::feed::{Change, ChangeKind, count};
use super::{Post, SyncError, SyncParts, key_of};
use crate::cloudevents::{CloudEvent, source_of, to_data};

type Category = (EventId, CategoryName);

/// Counts facts of one partition of `stock-facts`.
pub struct ChangesHandler {
    post: Post,
    /// What was told of the categories that came by. Bounded by the number of categories.
    feeds: Mutex<HashMap<Category, StockFeed>>,
}

/// The data of a message. Source: `schemas/io.ticketctl.stock.changed.v1.schema.json`.
#[derive(Serialize)]
struct Data<'a> {
    event: &'a EventName,
    category: &'a CategoryName,
    change: ChangeKind,
    quantity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderRef>,
    totals: StockCounts,
    sequence: i64,
}

impl ChangesHandler {
    /// A handler of one partition of `source` that writes to `stock-changes`.
    #[must_use]
    pub fn new(parts: SyncParts, source: Arc<str>) -> Self {
        Self {
            post: Post::new(parts, source),
            feeds: Mutex::default(),
        }
    }

    async fn tell(&self, batch: &[Record]) -> Result<(), SyncError> {
        let mut feeds = self.feeds.lock().await;
        // Copies, which replace what is known once they are told and noted: a batch that fails comes again.
        let mut counted: HashMap<Category, StockFeed> = HashMap::new();
        let mut gone: HashSet<Category> = HashSet::new();
        let mut messages = Vec::new();
        for record in batch {
            let facts = match FactBatch::decode(&record.payload) {
                Ok(facts) => facts,
                Err(error) => {
                    self.post.put_aside(record, &error.to_string()).await?;
                    continue;
                }
            };
            let category = (facts.event, facts.category.clone());
            if gone.contains(&category) {
                continue;
            }
            if !counted.contains_key(&category) {
                let feed = match feeds.get(&category) {
                    Some(feed) => Some(feed.clone()),
                    None => self.feed(&category, facts.shard).await?,
                };
                let Some(feed) = feed else {
                    debug!(event = %facts.event_name, "fact of a sale that is gone");
                    gone.insert(category);
                    continue;
                };
                counted.insert(category.clone(), feed);
            }
            if let Some(feed) = counted.get_mut(&category) {
                for change in count(feed, &facts) {
                    let key = key_of(&facts.event_name, &facts.category);
                    messages.push((key, message(&facts, &change)));
                }
            }
        }
        self.post
            .outlet
            .send_all(&messages)
            .await
            .map_err(SyncError::Publish)?;
        for ((event, category), feed) in counted {
            self.post
                .ledger
                .note_stock_feed(event, &category, &feed)
                .await
                .map_err(SyncError::Feed)?;
            feeds.insert((event, category), feed);
        }
        Ok(())
    }

    /// What was noted of a category, or its beginning; `None` if the sale is gone. `shard` is one of its stock shards.
    async fn feed(
        &self,
        category: &Category,
        shard: StockShardId,
    ) -> Result<Option<StockFeed>, SyncError> {
        let noted = self.post.ledger.stock_feed(category.0, &category.1).await;
        if let Some(feed) = noted.map_err(SyncError::Feed)? {
            return Ok(Some(feed));
        }
        // What we know may be older than the stock shards, which are made all at once.
        let known = self.beginning(category);
        let has_shard = |feed: &StockFeed| feed.shards.iter().any(|known| known.id == shard);
        if known.as_ref().is_some_and(has_shard) {
            return Ok(known);
        }
        self.post
            .catalog
            .refresh()
            .await
            .map_err(SyncError::Lookup)?;
        Ok(self.beginning(category))
    }

    /// Every stock shard as it was made: the same whenever it is asked.
    fn beginning(&self, (id, category): &Category) -> Option<StockFeed> {
        let snapshot = self.post.catalog.snapshot();
        let event = snapshot.events().find(|event| event.id() == *id)?;
        let shards = event.row.shards.iter();
        let shards = shards
            .filter(|shard| shard.category == *category)
            .map(|shard| born(shard.id, shard.born_with));
        Some(StockFeed {
            sequence: 0,
            shards: shards.collect(),
        })
    }
}

impl BatchHandler for ChangesHandler {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        Ok(self.tell(batch).await?)
    }
}

const fn born(id: StockShardId, units: i64) -> FeedShard {
    FeedShard {
        id,
        version: 0,
        counts: StockCounts {
            capacity: units,
            available: units,
            held: 0,
            sold: 0,
        },
    }
}

fn message(facts: &FactBatch, change: &Change) -> CloudEvent {
    let data = Data {
        event: &facts.event_name,
        category: &facts.category,
        change: change.kind,
        quantity: change.quantity,
        order_id: change.order,
        totals: change.totals,
        sequence: change.sequence,
    };
    CloudEvent {
        // The event's identity, so that a sale that was deleted and made anew is told apart.
        id: format!("{}/{}/{}", facts.event, facts.category, change.sequence),
        kind: STOCK_CHANGED,
        source: source_of(&facts.event_name),
        subject: facts.category.to_string(),
        time: None,
        data: to_data(&data),
    }
}
