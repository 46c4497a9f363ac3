//! From the reseller's messages to adjustments. A message says how many tickets a category has, under a version that grows.
//! It is written down in the ledger with a target for each stock shard, the targets go out as commands, and when all have
//! been met the message is answered: how many there are now, and how many could not be taken back.
//!
//! Answered first, ended in the ledger second, offset last: a crash at any line leaves an adjustment that the same message
//! continues, with the same targets and the same answer. A repeat of an ended one and an older version are dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use ticket_bus::{BatchHandler, HandlerError, Record};
use ticket_core::names::event_type::{RESELLER_STOCK_CHANGED, STOCK_ADJUSTMENT};
use ticket_core::{
    Adjust, CategoryName, Command, EventName, StockCounts, StockShardId, StockSource, clock,
};
use ticket_ledger::{AdjustmentAsked, AdjustmentPlan, AdjustmentSource, LedgerError, ShardLevel};
use tokio::time::Instant;
use tracing::info;

use super::{Post, SyncError, SyncParts, key_of, told};
use crate::catalog::{Catalog, EventEntry};
use crate::cloudevents::{self, CloudEvent, Incoming, source_of, to_data};
use crate::commands::send;

/// Tickets of a category at most, as in an `Event`.
const QUANTITY_MAX: u32 = 10_000_000;

/// Categories that are adjusted at once, per partition.
const CATEGORIES_AT_ONCE: usize = 16;

/// Sets of targets of one message: a stock shard that sells while units are taken back leaves a rest to the others.
const ROUNDS_MAX: u32 = 8;

/// How long stock shards may take to meet a target before the commands are sent again.
const MET_WITHIN: Duration = Duration::from_secs(10);

/// First wait between two looks at the stock shards; doubles up to the longest. Commands take tens of milliseconds.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(20);

/// Longest wait between two looks.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);

/// How long a batch waits for sales that are just being made; what is not open by then is a dead letter.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Reads one partition of `reseller-stock`.
pub struct ResellerHandler {
    post: Post,
}

/// The data of a message. Source: `schemas/io.reseller.stock.changed.v1.schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Wanted {
    event: EventName,
    category: CategoryName,
    quantity: u32,
    version: i64,
}

/// The data of an answer. Source: `schemas/io.ticketctl.stock.adjustment.v1.schema.json`.
#[derive(Serialize)]
struct Answer<'a> {
    event: &'a EventName,
    category: &'a CategoryName,
    reseller_event_id: &'a str,
    version: i64,
    wanted: i64,
    reached: i64,
    shortfall: i64,
}

impl ResellerHandler {
    /// A handler of one partition of `source` that answers on `stock-changes`.
    #[must_use]
    pub fn new(parts: SyncParts, source: Arc<str>) -> Self {
        Self {
            post: Post::new(parts, source),
        }
    }

    async fn work_off(&self, batch: &[Record]) -> Result<(), SyncError> {
        let open_by = Instant::now() + OPEN_WITHIN;
        // Versions of a category come one after the other, categories at the same time.
        let mut categories: HashMap<(EventName, CategoryName), Vec<_>> = HashMap::new();
        for record in batch {
            match parse(record) {
                Ok(message) => {
                    let of = (message.data.event.clone(), message.data.category.clone());
                    categories.entry(of).or_default().push((record, message));
                }
                Err(reason) => self.post.put_aside(record, &reason).await?,
            }
        }
        let mut work = Vec::with_capacity(categories.len());
        for messages in categories.into_values() {
            work.push(self.follow_all(messages, open_by));
        }
        let mut work = futures::stream::iter(work).buffer_unordered(CATEGORIES_AT_ONCE);
        while let Some(done) = work.next().await {
            done?;
        }
        Ok(())
    }

    /// Messages about one category, in their order.
    async fn follow_all(
        &self,
        messages: Vec<(&Record, Incoming<Wanted>)>,
        open_by: Instant,
    ) -> Result<(), SyncError> {
        for (record, message) in messages {
            match self.sale(&message.data, open_by).await? {
                Ok(event) => self.follow(&event, message).await?,
                Err(reason) => self.post.put_aside(record, &reason).await?,
            }
        }
        Ok(())
    }

    /// The sale that a message is about, or why there is none. One that is just being made is waited for: before its stock
    /// is filled, nobody may change it.
    async fn sale(
        &self,
        wanted: &Wanted,
        open_by: Instant,
    ) -> Result<Result<Arc<EventEntry>, String>, SyncError> {
        let mut wait = LOOK_AGAIN_MIN;
        loop {
            let found = find(&self.post.catalog, wanted);
            let Err(Missing { reason, may_come }) = found else {
                return Ok(found.map_err(|missing| missing.reason));
            };
            if wait > LOOK_AGAIN_MIN && (!may_come || Instant::now() >= open_by) {
                return Ok(Err(reason));
            }
            // What we know may be a second old.
            self.post
                .catalog
                .refresh()
                .await
                .map_err(SyncError::Lookup)?;
            if may_come {
                tokio::time::sleep(wait).await;
            }
            wait = (wait * 2).min(LOOK_AGAIN_MAX);
        }
    }

    async fn follow(&self, event: &EventEntry, message: Incoming<Wanted>) -> Result<(), SyncError> {
        let Incoming { id, data: wanted } = message;
        let source = AdjustmentSource::Reseller {
            version: wanted.version,
            event: id,
        };
        let asked = self
            .post
            .ledger
            .ask_adjustment(event.id(), &wanted.category, wanted.quantity, &source)
            .await;
        let plan = match asked {
            Ok(AdjustmentAsked::Open(plan)) => plan,
            Ok(AdjustmentAsked::Done) => {
                told("repeat");
                return Ok(());
            }
            Ok(AdjustmentAsked::Older) => {
                told("older");
                return Ok(());
            }
            // Deleted since it was looked up.
            Err(LedgerError::UnknownEvent { .. }) => {
                told("gone");
                return Ok(());
            }
            Err(error) => return Err(SyncError::Adjustment(error)),
        };
        let Some((plan, reached)) = self.carry_out(event, &wanted.category, plan).await? else {
            told("older");
            return Ok(());
        };
        self.answer(event, &wanted, &plan, reached).await?;
        self.post
            .ledger
            .end_adjustment(event.id(), &wanted.category, plan.adjustment)
            .await
            .map_err(SyncError::Adjustment)?;
        told("adjusted");
        Ok(())
    }

    /// Brings the stock shards to their targets, and to new ones while some could give what others could not. Answers with
    /// the last targets and the units there are; `None` if something newer was asked for meanwhile.
    async fn carry_out(
        &self,
        event: &EventEntry,
        category: &CategoryName,
        mut plan: AdjustmentPlan,
    ) -> Result<Option<(AdjustmentPlan, i64)>, SyncError> {
        let mut round = 1;
        loop {
            self.command(&plan).await?;
            let Some(counts) = self.until_met(event, category, &plan).await? else {
                return Ok(None);
            };
            let is_reached = counts.capacity <= i64::from(plan.wanted);
            if is_reached || counts.available == 0 || round >= ROUNDS_MAX {
                return Ok(Some((plan, counts.capacity)));
            }
            let anew = self
                .post
                .ledger
                .share_adjustment_anew(event.id(), category, &plan)
                .await
                .map_err(SyncError::Adjustment)?;
            let Some(anew) = anew else { return Ok(None) };
            plan = anew;
            round += 1;
        }
    }

    async fn command(&self, plan: &AdjustmentPlan) -> Result<(), SyncError> {
        let at = clock::now();
        let sends = plan.targets.iter().map(|(shard, capacity)| {
            let command = Command::Adjust(Adjust {
                shard: *shard,
                adjustment: plan.adjustment,
                capacity: *capacity,
                at,
            });
            async move { send(&self.post.catalog, &self.post.outlet.log, &command).await }
        });
        try_join_all(sends)
            .await
            .map(|_| ())
            .map_err(SyncError::Command)
    }

    /// Waits until every stock shard has met the adjustment; answers with the category's counters then, or `None` if one has
    /// met a newer adjustment.
    async fn until_met(
        &self,
        event: &EventEntry,
        category: &CategoryName,
        plan: &AdjustmentPlan,
    ) -> Result<Option<StockCounts>, SyncError> {
        let shards: Vec<StockShardId> = plan.targets.iter().map(|(shard, _)| *shard).collect();
        let until = Instant::now() + MET_WITHIN;
        let mut wait = LOOK_AGAIN_MIN;
        loop {
            tokio::time::sleep(wait).await;
            let levels = self.post.ledger.levels(&shards).await;
            let levels = levels.map_err(SyncError::Adjustment)?;
            let is_newer = |level: &ShardLevel| level.adjustment > plan.adjustment;
            if levels.iter().any(is_newer) {
                return Ok(None);
            }
            let is_waiting = |level: &&ShardLevel| level.adjustment < plan.adjustment;
            let waiting = levels.iter().filter(is_waiting).count();
            if waiting == 0 {
                let mut sum = StockCounts::default();
                for level in levels {
                    sum += level.counts;
                }
                return Ok(Some(sum));
            }
            if Instant::now() >= until {
                return Err(SyncError::NotMet {
                    event: event.name().clone(),
                    category: category.clone(),
                    waiting,
                });
            }
            wait = (wait * 2).min(LOOK_AGAIN_MAX);
        }
    }

    async fn answer(
        &self,
        event: &EventEntry,
        wanted: &Wanted,
        plan: &AdjustmentPlan,
        reached: i64,
    ) -> Result<(), SyncError> {
        let quantity = i64::from(wanted.quantity);
        let shortfall = (reached - quantity).max(0);
        let name = event.name();
        let data = Answer {
            event: name,
            category: &wanted.category,
            reseller_event_id: plan.reseller_event.as_deref().unwrap_or_default(),
            version: wanted.version,
            wanted: quantity,
            reached,
            shortfall,
        };
        let version = wanted.version;
        let id = format!("{}/{}/adjustment/{version}", event.id(), wanted.category);
        info!(event = %name, category = %wanted.category, version, reached, shortfall, "stock adjusted");
        let answer = CloudEvent {
            id,
            kind: STOCK_ADJUSTMENT,
            source: source_of(name),
            subject: wanted.category.to_string(),
            time: None,
            data: to_data(&data),
        };
        self.post
            .outlet
            .send_all(&[(key_of(name, &wanted.category), answer)])
            .await
            .map_err(SyncError::Publish)
    }
}

impl BatchHandler for ResellerHandler {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        Ok(self.work_off(batch).await?)
    }
}

fn parse(record: &Record) -> Result<Incoming<Wanted>, String> {
    let message: Incoming<Wanted> = cloudevents::read(record, RESELLER_STOCK_CHANGED)?;
    if message.data.quantity > QUANTITY_MAX {
        return Err(format!("data at quantity: above {QUANTITY_MAX}"));
    }
    if message.data.version < 0 {
        return Err("data at version: below 0".to_owned());
    }
    Ok(message)
}

/// Why a message has no sale.
struct Missing {
    reason: String,
    /// Whether it is worth waiting for.
    may_come: bool,
}

fn find(catalog: &Catalog, wanted: &Wanted) -> Result<Arc<EventEntry>, Missing> {
    let Wanted {
        event, category, ..
    } = wanted;
    let missing = |reason, may_come| Err(Missing { reason, may_come });
    let snapshot = catalog.snapshot();
    let Some(found) = snapshot.event(event) else {
        return missing(format!("event {event} is unknown"), false);
    };
    if found.category(category.as_str()).is_none() {
        return missing(format!("event {event} has no category {category}"), false);
    }
    if found.row.stock_source != StockSource::Reseller {
        return missing(
            format!("the stock of event {event} is not the reseller's"),
            false,
        );
    }
    if !found.row.is_open {
        return missing(format!("the stock of event {event} is not made yet"), true);
    }
    Ok(found.clone())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(data: &str) -> Record {
        let header = |name: &str, value: &'static str| {
            (name.to_owned(), Bytes::from_static(value.as_bytes()))
        };
        Record {
            partition: 0,
            offset: 0,
            key: Bytes::new(),
            payload: Bytes::copy_from_slice(data.as_bytes()),
            timestamp_ms: 0,
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_type", RESELLER_STOCK_CHANGED),
                header("ce_id", "m-1"),
                header("ce_source", "/reseller"),
                header("content-type", "application/json"),
            ],
        }
    }

    #[test]
    fn a_message_says_all_or_is_refused_with_a_reason() {
        let good = r#"{"event":"default.demo","category":"vip","quantity":7,"version":3,"more":1}"#;
        let message = parse(&record(good)).unwrap();
        assert_eq!((message.data.quantity, message.data.version), (7, 3));
        for (from, to, named) in [
            ("default.demo", "demo", "event"),
            ("vip", "V I P", "category"),
            (":7", ":-7", "quantity"),
            (":7", ":7.5", "quantity"),
            (":7", ":10000001", "quantity"),
            (":3", ":-3", "version"),
            (r#""version":3,"#, "", "version"),
        ] {
            let why = parse(&record(&good.replace(from, to))).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
    }
}
