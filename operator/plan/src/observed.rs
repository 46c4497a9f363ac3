//! What is there, as it was read just now; and what would be there after a plan, for tests and previews.

use serde::Serialize;
use ticket_core::{CategoryName, Epoch};

use crate::desired::Settings;
use crate::plan::Plan;
use crate::step::Step;

/// What is there for an Event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Whether the ledger's event belongs to this resource.
    pub is_owned: bool,
    /// The order log.
    pub topic: Option<ObservedTopic>,
    /// The ledger's event row; `None` before it was first written.
    pub row: Option<ObservedRow>,
    /// Stock shards in the ledger, in the order of their ids.
    pub shards: Vec<ObservedShard>,
    /// Epoch that the stock store is armed with.
    pub armed: Option<Epoch>,
    /// Whether the store has refused a seed because it has seen this epoch: only a warm-up with a new one helps.
    pub is_fenced: bool,
}

/// The order log as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedTopic {
    /// Partitions.
    pub partitions: u32,
    /// Copies of the partition that has the fewest.
    pub replication_factor: u16,
    /// How long records are kept, milliseconds; `None` if the brokers do not say.
    pub retention_ms: Option<i64>,
    /// Whether nothing was ever written to it.
    pub is_empty: bool,
}

/// The event row as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedRow {
    /// What the services read; `None` until it was written once.
    pub settings: Option<Settings>,
    /// Whether buyers are let in (while the clock allows it).
    pub is_open: bool,
    /// Whether the sale was ended.
    pub is_closed: bool,
    /// Epoch of the last warm-up.
    pub epoch: Epoch,
}

/// A stock shard as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedShard {
    /// Its category.
    pub category: CategoryName,
    /// Partition that carries its commands.
    pub partition: u32,
    /// Units in all.
    pub capacity: i64,
    /// Whether no command ever changed it.
    pub is_untouched: bool,
}

impl Observed {
    /// Epoch of the ledger; the first one before there is a row.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.row.as_ref().map_or(Epoch::FIRST, |row| row.epoch)
    }

    /// Stock shards of a category.
    pub fn shards_of<'a>(
        &'a self,
        category: &'a CategoryName,
    ) -> impl Iterator<Item = &'a ObservedShard> {
        self.shards
            .iter()
            .filter(move |shard| shard.category == *category)
    }

    /// Units of a category, `None` if it has no stock shard.
    #[must_use]
    pub fn capacity_of(&self, category: &CategoryName) -> Option<i64> {
        self.shards_of(category)
            .map(|shard| shard.capacity)
            .reduce(i64::saturating_add)
    }

    /// What would be there after `plan`. Steps whose preconditions do not hold change nothing, and nothing happens from
    /// a blocked step on.
    #[must_use]
    pub fn after(&self, plan: &Plan) -> Self {
        let runnable = plan
            .steps
            .iter()
            .take_while(|step| !matches!(step, Step::Blocked { .. }));
        runnable.fold(self.clone(), Self::after_step)
    }

    fn after_step(mut self, step: &Step) -> Self {
        match step {
            Step::CreateTopic {
                partitions,
                replication_factor,
                retention_ms,
                ..
            } => {
                self.topic.get_or_insert(ObservedTopic {
                    partitions: *partitions,
                    replication_factor: replication_factor.unwrap_or(1),
                    retention_ms: Some(*retention_ms),
                    is_empty: true,
                });
            }
            Step::GrowPartitions { from, to, .. } => {
                if let Some(topic) = self.topic.as_mut().filter(|t| t.partitions == *from) {
                    topic.partitions = *to;
                }
            }
            Step::SetTopicConfig { retention_ms, .. } => {
                if let Some(topic) = &mut self.topic {
                    topic.retention_ms = Some(*retention_ms);
                }
            }
            Step::WriteEvent { settings } => {
                // The ledger lets only the owner write.
                self.is_owned = true;
                self.row_mut().settings = Some((**settings).clone());
            }
            Step::CreateStockShards { category, shards } => {
                if self.capacity_of(category).is_none() {
                    self.shards.extend(shards.iter().map(|shard| ObservedShard {
                        category: category.clone(),
                        partition: shard.partition,
                        capacity: i64::from(shard.capacity),
                        is_untouched: true,
                    }));
                }
            }
            Step::SeedStock { epoch } => {
                if self.armed.is_none() && self.epoch() == *epoch {
                    self.armed = Some(*epoch);
                }
            }
            Step::OpenSales => {
                let row = self.row_mut();
                row.is_open = true;
                row.is_closed = false;
            }
            Step::CloseSales => self.row_mut().is_closed = true,
            Step::CloseStock => self.armed = None,
            Step::DeleteTopic { .. } => self.topic = None,
            Step::DeleteEvent => {
                self.is_owned = false;
                self.row = None;
                self.shards.clear();
            }
            Step::ReleaseEvent => self.is_owned = false,
            Step::Blocked { .. } => {}
        }
        self
    }

    fn row_mut(&mut self) -> &mut ObservedRow {
        self.row.get_or_insert(ObservedRow {
            settings: None,
            is_open: false,
            is_closed: false,
            epoch: Epoch::FIRST,
        })
    }
}
