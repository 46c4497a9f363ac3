//! The notifier role: tells on `notifications` what became of orders, as `CloudEvents`. It is made from facts alone and keeps
//! nothing beyond this process: a repeat has the same id, so that a reader who remembers ids sees each of them once.

mod words;

use std::collections::{HashMap, HashSet};

use metrics::counter;
use ticket_bus::{BatchHandler, BusError, HandlerError, Producer, Record};
use ticket_core::{FactBatch, OrderId, StockShardId};
use tokio::sync::Mutex;
use tracing::warn;

use crate::cloudevents::{CloudEvent, Outlet};

/// Ended orders that are remembered per partition, so that late money does not tell of the end again: 2 MB at most. Who is
/// forgotten is told again, under the same id.
const ENDED_MAX: usize = 50_000;

/// Reads facts of one partition.
pub struct NotifierHandler {
    outlet: Outlet,
    known: Mutex<Known>,
}

/// What this process has told already.
#[derive(Debug, Default)]
struct Known {
    /// Version of the last fact of each stock shard.
    versions: HashMap<StockShardId, i64>,
    /// Orders whose end was told.
    ended: HashSet<OrderId>,
}

impl Known {
    /// Everything in `facts` that was not told. Notes nothing.
    fn news(&self, facts: &FactBatch, ended: &mut Vec<OrderId>) -> Vec<(String, CloudEvent)> {
        let seen = self.versions.get(&facts.shard).copied();
        words::notifications(facts, seen, |order| {
            let is_told = self.ended.contains(&order) || ended.contains(&order);
            if !is_told {
                ended.push(order);
            }
            is_told
        })
    }

    fn note(&mut self, shard: StockShardId, version: i64) {
        let known = self.versions.entry(shard).or_insert(version);
        *known = version.max(*known);
    }

    fn note_ended(&mut self, orders: Vec<OrderId>) {
        if self.ended.len() + orders.len() > ENDED_MAX {
            self.ended.clear();
        }
        self.ended.extend(orders);
    }
}

impl NotifierHandler {
    /// Writes to `topic` (`notifications`) with so many partitions.
    #[must_use]
    pub fn new(log: Producer, topic: String, partitions: u32) -> Self {
        Self {
            outlet: Outlet {
                log,
                topic,
                partitions,
            },
            known: Mutex::default(),
        }
    }

    async fn tell(&self, batch: &[Record]) -> Result<(), BusError> {
        let mut known = self.known.lock().await;
        for record in batch {
            let facts = match FactBatch::decode(&record.payload) {
                Ok(facts) => facts,
                Err(error) => {
                    // The payments role writes the dead letter; one is enough.
                    warn!(%error, offset = record.offset, "fact not readable");
                    continue;
                }
            };
            let mut ended = Vec::new();
            let news = known.news(&facts, &mut ended);
            self.outlet.send_all(&news).await?;
            // Only now: a fact whose messages did not get out comes again with the batch.
            known.note(facts.shard, facts.version);
            known.note_ended(ended);
            for (_, event) in &news {
                counter!("ticket_notifications_total", "type" => event.kind).increment(1);
            }
        }
        Ok(())
    }
}

impl BatchHandler for NotifierHandler {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        Ok(self.tell(batch).await?)
    }
}
