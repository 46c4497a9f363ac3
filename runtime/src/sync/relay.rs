//! From `order-events`, where a stock shard is one partition, to `stock-facts`, where a category is one: the counters and
//! moves of every fact, without its orders. A repeat of a fact is a repeat there; who counts knows it by its version.

use std::collections::HashMap;

use futures::future::try_join_all;
use metrics::counter;
use ticket_bus::{BatchHandler, HandlerError, Producer, Record};
use ticket_core::names::partition_of_key;
use ticket_core::{FactBatch, StockShardId};
use tracing::warn;

use super::{SyncError, key_of};

/// Passes facts of one partition on.
pub struct RelayHandler {
    log: Producer,
    topic: String,
    partitions: u32,
}

impl RelayHandler {
    /// To `topic` (`stock-facts`) with so many partitions.
    #[must_use]
    pub fn new(log: Producer, topic: String, partitions: u32) -> Self {
        Self {
            log,
            topic,
            partitions,
        }
    }

    async fn relay(&self, batch: &[Record]) -> Result<(), SyncError> {
        let mut shards: HashMap<StockShardId, Vec<FactBatch>> = HashMap::new();
        for facts in to_relay(batch) {
            shards.entry(facts.shard).or_default().push(facts);
        }
        try_join_all(shards.into_values().map(|facts| self.pass_on(facts)))
            .await
            .map(|_| ())
    }

    /// Facts of one stock shard, one after the other: one that came after a newer one would not be counted any more.
    async fn pass_on(&self, facts: Vec<FactBatch>) -> Result<(), SyncError> {
        for facts in facts {
            let key = key_of(&facts.event_name, &facts.category);
            let partition = partition_of_key(&key, self.partitions);
            self.log
                .send(&self.topic, partition, key.as_bytes(), &facts.encode())
                .await
                .map_err(SyncError::Publish)?;
        }
        Ok(())
    }
}

impl BatchHandler for RelayHandler {
    type Outcome = ();

    async fn handle(&self, batch: &[Record]) -> Result<(), HandlerError> {
        Ok(self.relay(batch).await?)
    }
}

/// What has to be passed on, in order: of a stock shard's facts without moves only the last one before the next with moves,
/// because counters are absolute.
fn to_relay(batch: &[Record]) -> Vec<FactBatch> {
    let mut kept: Vec<FactBatch> = Vec::with_capacity(batch.len());
    // Where the last fact without moves of a stock shard stands, if nothing with moves followed.
    let mut replaceable: HashMap<StockShardId, usize> = HashMap::new();
    for record in batch {
        let mut facts = match FactBatch::decode(&record.payload) {
            Ok(facts) => facts,
            Err(error) => {
                // The payments role writes the dead letter; one is enough.
                warn!(%error, offset = record.offset, "fact not readable");
                counter!("ticket_sync_messages_total", "result" => "unreadable").increment(1);
                continue;
            }
        };
        facts.orders = Vec::new();
        let has_moves = !facts.moves.is_empty();
        let at = replaceable.remove(&facts.shard);
        match at {
            Some(at) if !has_moves && facts.version >= kept[at].version => {
                replaceable.insert(facts.shard, at);
                kept[at] = facts;
            }
            Some(_) | None => {
                if !has_moves {
                    replaceable.insert(facts.shard, kept.len());
                }
                kept.push(facts);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sync::feed::tests::{facts, sold};

    fn record(facts: &FactBatch) -> Record {
        Record {
            partition: 0,
            offset: 0,
            key: Bytes::new(),
            payload: Bytes::from(facts.encode()),
            timestamp_ms: 0,
            headers: Vec::new(),
        }
    }

    #[test]
    fn counters_that_newer_ones_replace_are_left_out_and_moves_never() {
        let quiet = |shard, version| facts(shard, version, [10, 10, 0, 0], vec![]);
        let batch = [
            quiet(1, 1),
            quiet(2, 1),
            quiet(1, 2),
            facts(1, 3, [10, 9, 0, 1], vec![sold(1, 1, 3)]),
            quiet(1, 4),
            quiet(1, 5),
            quiet(2, 2),
        ];
        let records: Vec<_> = batch.iter().map(record).collect();
        let kept: Vec<_> = to_relay(&records)
            .iter()
            .map(|facts| (facts.shard.get(), facts.version, facts.moves.len()))
            .collect();
        assert_eq!(kept, [(1, 2, 0), (2, 2, 0), (1, 3, 1), (1, 5, 0)]);
    }
}
