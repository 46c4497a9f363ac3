//! A consumer of one partition: fetches, decides round by round, tells the store, commits. It decides the next batch while it
//! still tells of the last one.

use std::collections::VecDeque;

use ticket_core::StockShardId;
use ticket_stock::Changes;

use super::Mutation;
use super::ledger::Facts;
use super::log::{Command, Entry, Place};
use super::world::Parts;

/// Commands of one batch at most.
const BATCH_MAX: usize = 3;

/// What a consumer has fetched and not decided.
struct Batch {
    at: usize,
    until: usize,
    decided: VecDeque<Facts>,
}

/// What is decided and not told.
struct Telling {
    facts: VecDeque<Facts>,
    until: usize,
}

/// A task that has a partition, or believes so.
pub(super) struct Consumer {
    pub(super) shard: StockShardId,
    pub(super) generation: u32,
    position: usize,
    batch: Option<Batch>,
    telling: Option<Telling>,
}

impl Consumer {
    /// The partition's owner from now on: whoever had it before commits nothing more.
    pub(super) fn take(parts: &mut Parts, shard: StockShardId) -> Self {
        let partition = parts.log.get_mut(&shard).unwrap();
        partition.generation += 1;
        Self {
            shard,
            generation: partition.generation,
            position: partition.committed,
            batch: None,
            telling: None,
        }
    }

    /// Has it anything under way?
    pub(super) fn is_idle(&self) -> bool {
        self.batch.is_none() && self.telling.is_none()
    }

    fn is_owner(&self, parts: &Parts) -> bool {
        parts.log[&self.shard].generation == self.generation
    }

    /// One step; false if there is nothing to do.
    pub(super) fn step(&mut self, parts: &mut Parts) -> Result<bool, String> {
        // Either of both, where there is both to do.
        if self.telling.is_some() && (self.batch.is_none() || parts.coin()) {
            self.tell(parts);
            return Ok(true);
        }
        let Some(batch) = self.batch.take() else {
            return Ok(self.fetch(parts));
        };
        if batch.at < batch.until {
            self.batch = Some(decide(parts, self.shard, batch)?);
        } else if self.telling.is_none() {
            self.telling = Some(Telling {
                facts: batch.decided,
                until: batch.until,
            });
        } else {
            self.batch = Some(batch);
            self.tell(parts);
        }
        Ok(true)
    }

    fn fetch(&mut self, parts: &mut Parts) -> bool {
        let end = parts.log[&self.shard].entries.len();
        if self.position >= end || !self.is_owner(parts) {
            return false;
        }
        let until = end.min(self.position + parts.up_to(BATCH_MAX));
        self.batch = Some(Batch {
            at: self.position,
            until,
            decided: VecDeque::new(),
        });
        self.position = until;
        if parts.mutation == Mutation::CommittedFirst {
            parts.log.get_mut(&self.shard).unwrap().committed = until;
        }
        true
    }

    fn tell(&mut self, parts: &mut Parts) {
        let Some(telling) = &mut self.telling else {
            return;
        };
        if let Some(facts) = telling.facts.front() {
            let changes = Changes::of(facts.shard, &facts.orders);
            if parts.store.tell(facts.epoch, &changes).is_ok() {
                telling.facts.pop_front();
            } else {
                if parts.mutation != Mutation::MissIsForgotten {
                    parts.ledger.need_warmup(parts.now);
                }
                telling.facts.clear();
            }
            return;
        }
        let until = telling.until;
        self.telling = None;
        // Late news of somebody who is not the owner any more changes nothing.
        if self.is_owner(parts) {
            parts.log.get_mut(&self.shard).unwrap().committed = until;
        }
    }
}

/// Everything up to the next marker, in one call of the ledger; the marker in another, which is a step of its own.
fn decide(parts: &mut Parts, shard: StockShardId, mut batch: Batch) -> Result<Batch, String> {
    let entries = &parts.log[&shard].entries[batch.at..batch.until];
    if let Some(Entry::Marker(epoch)) = entries.first() {
        parts.ledger.mark(shard, *epoch);
        batch.at += 1;
        return Ok(batch);
    }
    let mut places: Vec<Place> = Vec::new();
    let mut commands: Vec<Command> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Place(place) => places.push(place.clone()),
            Entry::Order(command) => commands.push(command.clone()),
            Entry::Marker(_) => break,
        }
    }
    batch.at += places.len() + commands.len();
    let facts = parts.ledger.apply(shard, &places, &commands, parts.now)?;
    batch.decided.push_back(facts);
    Ok(batch)
}
