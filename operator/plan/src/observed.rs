//! What is there, as it was read just now; and what would be there after a plan, for tests and previews.

use serde::Serialize;
use ticket_core::share::share_anew;
use ticket_core::{Adjustment, CategoryName, Epoch, StockCounts, StockSource};

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
    /// Whether the ledger's stock is spread over the nodes of a Citus cluster: only there are lanes.
    pub is_distributed: bool,
    /// Lanes of the event. Looked at only if the Event wants or gives up lanes; else as if there were none.
    pub lanes: ObservedLanes,
    /// Stock shards in the ledger, in the order of their numbers.
    pub shards: Vec<ObservedShard>,
    /// Stock shards that the ledger names, but whose stock is gone: one entry for each.
    pub lost: Vec<CategoryName>,
    /// The newest adjustment of each category that has one.
    pub adjustments: Vec<ObservedAdjustment>,
    /// Epoch that the stock store is armed with.
    pub armed: Option<Epoch>,
    /// Whether the store has refused a seed because it has seen this epoch: only a warm-up with a new one helps.
    pub is_fenced: bool,
}

/// Lanes: stock shards, made or still to be made, that are alone in their Citus shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ObservedLanes {
    /// Lanes that the event leases, alone or not.
    pub leased: usize,
    /// Those of them that are alone in their Citus shards.
    pub alone: usize,
    /// Lanes that the pool can still give.
    pub left: usize,
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
    /// Units that it was made with.
    pub born_with: i64,
    /// Its counters.
    pub counts: StockCounts,
    /// The newest adjustment that it has met.
    pub adjustment: Adjustment,
    /// Whether no command ever changed it.
    pub is_untouched: bool,
}

/// The newest adjustment of a category: what its stock shards are told by commands on the order log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedAdjustment {
    /// The category.
    pub category: CategoryName,
    /// Its number.
    pub number: Adjustment,
    /// Units that the category shall have in all.
    pub wanted: u32,
    /// Who asked for it.
    pub source: StockSource,
    /// Whether the reseller has ever asked for anything.
    pub has_reseller_spoken: bool,
}

/// Stock of a category over all its stock shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// Units in all.
    pub capacity: i64,
    /// Units of orders, paid or not.
    pub taken: i64,
    /// Units that the stock shards were made with.
    pub born_with: i64,
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

    /// Stock of a category, `None` if it has no stock shard.
    #[must_use]
    pub fn units_of(&self, category: &CategoryName) -> Option<Units> {
        self.shards_of(category)
            .map(|shard| Units {
                capacity: shard.counts.capacity,
                taken: shard.counts.held + shard.counts.sold,
                born_with: shard.born_with,
            })
            .reduce(|one, other| Units {
                capacity: one.capacity.saturating_add(other.capacity),
                taken: one.taken.saturating_add(other.taken),
                born_with: one.born_with.saturating_add(other.born_with),
            })
    }

    /// Units of a category in all, `None` if it has no stock shard.
    #[must_use]
    pub fn capacity_of(&self, category: &CategoryName) -> Option<i64> {
        self.units_of(category).map(|units| units.capacity)
    }

    /// The newest adjustment of a category.
    #[must_use]
    pub fn adjustment_of(&self, category: &CategoryName) -> Option<&ObservedAdjustment> {
        self.adjustments
            .iter()
            .find(|adjustment| adjustment.category == *category)
    }

    /// Stock shards that the ledger names, there or lost: the number of the next one.
    #[must_use]
    pub fn named(&self) -> usize {
        self.shards.len() + self.lost.len()
    }

    /// Whether a stock shard of the category has not met its newest adjustment.
    #[must_use]
    pub fn is_under_way(&self, category: &CategoryName) -> bool {
        self.adjustment_of(category).is_some_and(|newest| {
            self.shards_of(category)
                .any(|shard| shard.adjustment < newest.number)
        })
    }

    /// Whether people may have ordered: a record of the order log may be all that is left of it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.is_open) || self.is_touched()
    }

    /// Whether any command has ever changed the stock.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.shards.iter().any(|shard| !shard.is_untouched)
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
            Step::LeaseLanes { lanes, seen } => {
                let missing = lanes.saturating_sub(*seen);
                if self.is_distributed && self.lanes.leased == *seen && self.lanes.left >= missing {
                    self.lanes.leased += missing;
                    self.lanes.left -= missing;
                }
            }
            Step::SplitShard { .. } => self.lanes.alone = self.lanes.leased,
            Step::CreateStockShards {
                category,
                shards,
                first_lane,
            } => {
                let are_lanes_there = first_lane.is_none_or(|first| {
                    first == self.named() && self.lanes.alone >= first + shards.len()
                });
                if self.capacity_of(category).is_none() && are_lanes_there {
                    self.shards.extend(shards.iter().map(|shard| ObservedShard {
                        category: category.clone(),
                        partition: shard.partition,
                        born_with: i64::from(shard.capacity),
                        counts: StockCounts {
                            capacity: i64::from(shard.capacity),
                            available: i64::from(shard.capacity),
                            held: 0,
                            sold: 0,
                        },
                        adjustment: Adjustment::NONE,
                        is_untouched: true,
                    }));
                }
            }
            Step::SeedStock { epoch } => {
                if self.armed.is_none() && self.epoch() == *epoch {
                    self.armed = Some(*epoch);
                }
            }
            Step::AdjustStock {
                category, to, seen, ..
            } => self.adjust(category, *to, *seen),
            Step::RequireWarmUp { epoch } => {
                if let Some(row) = self.row.as_mut().filter(|row| row.epoch == *epoch) {
                    row.epoch = Epoch(epoch.0 + 1);
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
                self.lost.clear();
                self.adjustments.clear();
            }
            Step::ReleaseLanes { .. } => {
                self.lanes.left += self.lanes.leased;
                (self.lanes.leased, self.lanes.alone) = (0, 0);
            }
            Step::ReleaseEvent => self.is_owned = false,
            Step::Blocked { .. } => {}
        }
        self
    }

    /// As if the adjustment had been driven to its end: all that can be taken back is.
    fn adjust(&mut self, category: &CategoryName, to: u32, seen: Adjustment) {
        let newest = self.adjustment_of(category);
        if newest.map_or(Adjustment::NONE, |newest| newest.number) != seen {
            return;
        }
        let number = Adjustment(seen.0 + 1);
        let asked = ObservedAdjustment {
            category: category.clone(),
            number,
            wanted: to,
            source: StockSource::Spec,
            has_reseller_spoken: newest.is_some_and(|newest| newest.has_reseller_spoken),
        };
        self.adjustments.retain(|other| other.category != *category);
        self.adjustments.push(asked);
        let of_category = |shard: &&mut ObservedShard| shard.category == *category;
        let mut shards: Vec<&mut ObservedShard> =
            self.shards.iter_mut().filter(of_category).collect();
        let counts: Vec<StockCounts> = shards.iter().map(|shard| shard.counts).collect();
        for (shard, capacity) in shards.iter_mut().zip(share_anew(to, &counts)) {
            shard.counts.available += capacity - shard.counts.capacity;
            shard.counts.capacity = capacity;
            shard.adjustment = number;
            shard.is_untouched = false;
        }
        if let Some(topic) = &mut self.topic {
            topic.is_empty = false;
        }
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
