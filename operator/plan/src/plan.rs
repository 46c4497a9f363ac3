//! The planner. What is urgent comes first (ending the sale, holding it), what lets buyers in comes last.

use std::num::NonZeroU16;

use serde::Serialize;
use ticket_core::share::{shards_that_fit, share};
use ticket_core::{Adjustment, CategoryName, Epoch, StockSource};

use crate::desired::{Desired, DesiredCategory, DesiredTopic, Settings, Window};
use crate::lanes;
use crate::observed::{Observed, ObservedTopic};
use crate::step::{BlockReason, NewShard, Step};

/// What is left to do, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether all is as it is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The next step that can be carried out.
    #[must_use]
    pub fn next(&self) -> Option<&Step> {
        self.steps
            .first()
            .filter(|step| !matches!(step, Step::Blocked { .. }))
    }

    /// Why it stops, if it does.
    pub fn blocked(&self) -> impl Iterator<Item = &BlockReason> {
        self.steps.iter().filter_map(|step| match step {
            Step::Blocked { reason } => Some(reason),
            Step::CloseSales
            | Step::WriteEvent { .. }
            | Step::CreateTopic { .. }
            | Step::GrowPartitions { .. }
            | Step::SetTopicConfig { .. }
            | Step::LeaseLanes { .. }
            | Step::SplitShard { .. }
            | Step::CreateStockShards { .. }
            | Step::SeedStock { .. }
            | Step::AdjustStock { .. }
            | Step::RequireWarmUp { .. }
            | Step::OpenSales
            | Step::CloseStock
            | Step::DeleteTopic { .. }
            | Step::DeleteEvent
            | Step::ReleaseLanes { .. }
            | Step::ReleaseEvent => None,
        })
    }
}

/// What is left to do for one Event, in order. Carrying it out leaves nothing to plan, except what is blocked.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let mut steps = Vec::new();
    let mut blocked = Vec::new();
    let is_closed = observed.row.as_ref().is_some_and(|row| row.is_closed);
    let is_open = observed.row.as_ref().is_some_and(|row| row.is_open);

    let is_to_close = desired.window == Window::After && !is_closed;
    if is_to_close && observed.row.is_some() {
        steps.push(Step::CloseSales);
    }
    let partitions = partitions(desired, observed);
    let settings = settings(desired, observed, partitions);
    if observed.row.as_ref().and_then(|row| row.settings.as_ref()) != Some(&settings) {
        steps.push(Step::WriteEvent {
            settings: Box::new(settings),
        });
    }
    // A row that this plan makes.
    if is_to_close && observed.row.is_none() {
        steps.push(Step::CloseSales);
    }
    match &observed.topic {
        None => {
            if has_lost_orders(desired, observed) {
                steps.push(Step::RequireWarmUp {
                    epoch: observed.epoch(),
                });
            }
            steps.push(Step::CreateTopic {
                topic: desired.topic.name.clone(),
                partitions,
                replication_factor: desired.topic.replication_factor,
                retention_ms: desired.topic.retention_ms,
            });
        }
        Some(topic) => {
            change_topic(&desired.topic, topic, partitions, &mut steps, &mut blocked);
        }
    }
    // A number that nobody named is not worth a conflict. A topic that has to be made again gets the partitions that its stock
    // shards are on, which is the same conflict.
    if desired.topic.are_partitions_fixed && partitions != desired.topic.partitions {
        let found = observed.topic.as_ref().map(|topic| topic.partitions);
        blocked.push(BlockReason::Partitions {
            topic: desired.topic.name.clone(),
            found: found.unwrap_or(partitions),
            wanted: desired.topic.partitions,
        });
    }
    let is_stock_to_come = stock(desired, observed, partitions, &mut steps, &mut blocked);
    match observed.armed {
        // A store that is filled now would never get it.
        None if is_stock_to_come => {}
        Some(epoch) if epoch == observed.epoch() => {}
        None if may_seed(desired, observed) => {
            steps.push(Step::SeedStock {
                epoch: observed.epoch(),
            });
        }
        // Armed with another epoch: a warm-up is under way.
        Some(_) | None => {
            blocked.push(BlockReason::WarmUpNeeded {
                epoch: observed.epoch(),
            });
        }
    }

    // After the first filling: a command in the log would leave it to a warm-up.
    quantities(desired, observed, &mut steps, &mut blocked);

    let is_let_in = is_open && !is_closed;
    let is_hindered = blocked.iter().any(BlockReason::hinders_opening);
    if desired.window != Window::After && !is_let_in && !is_hindered {
        steps.push(Step::OpenSales);
    }
    steps.extend(blocked.into_iter().map(|reason| Step::Blocked { reason }));
    Plan { steps }
}

/// What becomes of everything outside when the resource goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Removal {
    /// End the sale and keep topic, orders and stock for whoever takes the name again.
    Retain,
    /// Remove all.
    Delete,
}

/// What is left to do before the resource may go. `topic` is the name of the order log.
#[must_use]
pub fn plan_removal(removal: Removal, topic: &str, observed: &Observed) -> Plan {
    if !observed.is_owned {
        // All gone, or somebody else's.
        return Plan::default();
    }
    let mut steps = Vec::new();
    if observed.row.as_ref().is_some_and(|row| !row.is_closed) {
        steps.push(Step::CloseSales);
    }
    match removal {
        Removal::Retain => steps.push(Step::ReleaseEvent),
        Removal::Delete => {
            // Even if it is not armed: stale keys may be there.
            steps.push(Step::CloseStock);
            if observed.topic.is_some() {
                steps.push(Step::DeleteTopic {
                    topic: topic.to_owned(),
                });
            }
            steps.push(Step::DeleteEvent);
            if observed.lanes.leased > 0 {
                steps.push(Step::ReleaseLanes {
                    lanes: observed.lanes.leased,
                });
            }
        }
    }
    Plan { steps }
}

/// Whether the topic is gone with orders that the store has let in and nobody has decided. Before the window nobody orders, and
/// of a sale that is over nothing is sold any more. A store that is not armed with the ledger's epoch is filled again anyway.
fn has_lost_orders(desired: &Desired, observed: &Observed) -> bool {
    let is_over = observed.row.as_ref().is_none_or(|row| row.is_closed);
    observed.topic.is_none()
        && desired.window == Window::Open
        && !is_over
        && observed.is_in_use()
        && observed.armed == Some(observed.epoch())
}

/// Whether partitions may still be added: nobody can have ordered yet.
fn is_before_sale(desired: &Desired, observed: &Observed) -> bool {
    let is_open = observed.row.as_ref().is_some_and(|row| row.is_open);
    desired.window == Window::Before || !is_open
}

/// Partitions that the topic shall have. Never fewer than it has or than stock shards were told to use.
fn partitions(desired: &Desired, observed: &Observed) -> u32 {
    let used = observed
        .shards
        .iter()
        .map(|shard| shard.partition + 1)
        .max()
        .unwrap_or(1);
    let found = observed.topic.as_ref().map_or(0, |topic| topic.partitions);
    let written = observed.row.as_ref().and_then(|row| row.settings.as_ref());
    // A topic that was lost comes back as it was.
    let known = written.map_or(0, |settings| settings.partitions).max(found);
    if known > 0 && !is_before_sale(desired, observed) {
        return known.max(used);
    }
    desired.topic.partitions.max(found).max(used)
}

/// What the services shall read: tickets as the spec says, or as the reseller has made them.
fn settings(desired: &Desired, observed: &Observed, partitions: u32) -> Settings {
    let mut settings = desired.settings.clone();
    settings.partitions = partitions;
    settings
        .categories
        .retain(|category| !comes_too_late(observed, &category.name));
    for category in &mut settings.categories {
        if let Some(capacity) = observed.capacity_of(&category.name)
            && !is_ours(desired, observed, &category.name)
        {
            category.quantity = u32::try_from(capacity).unwrap_or(u32::MAX);
        }
    }
    // Orders of a category that the spec lost still have to be carried to their end.
    let written = observed.row.iter().filter_map(|row| row.settings.as_ref());
    let lost = written
        .flat_map(|written| &written.categories)
        .filter(|category| {
            observed.capacity_of(&category.name).is_some()
                && !desired
                    .categories
                    .iter()
                    .any(|wanted| wanted.name == category.name)
        });
    settings.categories.extend(lost.cloned());
    settings
}

/// Whether a category without stock can no longer get any: the store is filled as a whole, and only once per epoch.
fn comes_too_late(observed: &Observed, category: &CategoryName) -> bool {
    observed.armed.is_some()
        && observed.capacity_of(category).is_none()
        && !observed.lost.contains(category)
}

fn change_topic(
    desired: &DesiredTopic,
    found: &ObservedTopic,
    partitions: u32,
    steps: &mut Vec<Step>,
    blocked: &mut Vec<BlockReason>,
) {
    let topic = || desired.name.clone();
    if found.partitions < partitions {
        steps.push(Step::GrowPartitions {
            topic: topic(),
            from: found.partitions,
            to: partitions,
        });
    }
    if found.retention_ms != Some(desired.retention_ms) {
        steps.push(Step::SetTopicConfig {
            topic: topic(),
            retention_ms: desired.retention_ms,
        });
    }
    if let Some(wanted) = desired.replication_factor
        && wanted != found.replication_factor
    {
        let found = found.replication_factor;
        blocked.push(BlockReason::Replication {
            topic: topic(),
            found,
            wanted,
        });
    }
}

/// Plans stock that is missing. Answers whether some of it has to wait for what is blocked.
fn stock(
    desired: &Desired,
    observed: &Observed,
    partitions: u32,
    steps: &mut Vec<Step>,
    blocked: &mut Vec<BlockReason>,
) -> bool {
    let to_make = desired
        .categories
        .iter()
        .filter(|category| is_to_be_made(observed, &category.name))
        .map(|category| usize::from(category.shards.get()))
        .sum();
    let lanes = lanes::prepare(desired, observed, to_make, steps, blocked);
    // Stock shard n of the event belongs to partition n mod partitions, counted over everything that was ever made.
    let mut number = observed.named();
    for category in &desired.categories {
        if comes_too_late(observed, &category.name) {
            blocked.push(BlockReason::CategoryAdded {
                category: category.name.clone(),
            });
            continue;
        }
        let lost = observed.lost.iter().filter(|lost| **lost == category.name);
        let lost = lost.count();
        if lost > 0 {
            blocked.push(BlockReason::StockLost {
                category: category.name.clone(),
                shards: lost,
            });
            continue;
        }
        let Some(units) = observed.units_of(&category.name) else {
            let Some(lanes) = lanes else { continue };
            let shards = new_shards(category.quantity, category.shards, number, partitions);
            let first_lane = (number + shards.len() <= lanes).then_some(number);
            number += shards.len();
            steps.push(Step::CreateStockShards {
                category: category.name.clone(),
                shards,
                first_lane,
            });
            continue;
        };
        let found = observed.shards_of(&category.name).count();
        let wanted = shards_of(category, units.born_with);
        if found < usize::from(wanted.get()) {
            blocked.push(BlockReason::Shards {
                category: category.name.clone(),
                found,
                wanted: wanted.get(),
            });
        }
    }
    let is_named = |shard: &&crate::ObservedShard| {
        desired
            .categories
            .iter()
            .any(|category| category.name == shard.category)
    };
    let mut lost: Vec<_> = observed
        .shards
        .iter()
        .filter(|s| !is_named(s))
        .map(|s| s.category.clone())
        .collect();
    lost.sort();
    lost.dedup();
    blocked.extend(
        lost.into_iter()
            .map(|category| BlockReason::CategoryMissing { category }),
    );
    lanes.is_none()
}

/// Whether a category has no stock and can still get some.
fn is_to_be_made(observed: &Observed, category: &CategoryName) -> bool {
    observed.capacity_of(category).is_none()
        && !observed.lost.contains(category)
        && !comes_too_late(observed, category)
}

/// Stock shards that a category should have that was made with `born_with` tickets. More tickets that came later found the
/// stock shards that there are, and are welcome there.
fn shards_of(category: &DesiredCategory, born_with: i64) -> NonZeroU16 {
    let born_with = u32::try_from(born_with).unwrap_or(u32::MAX);
    shards_that_fit(category.quantity.min(born_with), category.shards_asked)
}

/// Tickets of categories whose stock is made.
fn quantities(
    desired: &Desired,
    observed: &Observed,
    steps: &mut Vec<Step>,
    blocked: &mut Vec<BlockReason>,
) {
    for category in &desired.categories {
        let Some(units) = observed.units_of(&category.name) else {
            continue;
        };
        // What is missing must not be made up for by others.
        if observed.lost.contains(&category.name) || !is_ours(desired, observed, &category.name) {
            continue;
        }
        let wanted = i64::from(category.quantity);
        // What is under way ends before anything is as it is wanted: a command of an older adjustment may still come.
        if units.capacity != wanted.max(units.taken) || observed.is_under_way(&category.name) {
            let newest = observed.adjustment_of(&category.name);
            steps.push(Step::AdjustStock {
                category: category.name.clone(),
                from: units.capacity,
                to: category.quantity,
                seen: newest.map_or(Adjustment::NONE, |newest| newest.number),
            });
        }
        if units.taken > wanted {
            blocked.push(BlockReason::BelowSold {
                category: category.name.clone(),
                taken: units.taken,
                wanted: category.quantity,
            });
        }
    }
}

/// Whether the spec says how many tickets a category has. The reseller does once it has spoken.
fn is_ours(desired: &Desired, observed: &Observed, category: &CategoryName) -> bool {
    let has_reseller_spoken = observed
        .adjustment_of(category)
        .is_some_and(|newest| newest.has_reseller_spoken);
    desired.settings.stock_source == StockSource::Spec || !has_reseller_spoken
}

fn new_shards(
    units: u32,
    shards: NonZeroU16,
    first_number: usize,
    partitions: u32,
) -> Vec<NewShard> {
    let partition_of =
        |number: usize| u32::try_from(number % partitions.max(1) as usize).unwrap_or_default();
    share(units, shards)
        .into_iter()
        .enumerate()
        .map(|(at, capacity)| NewShard {
            partition: partition_of(first_number + at),
            capacity,
        })
        .collect()
}

/// Whether the first filling may be done here. Whoever ordered before, in whatever way, is in a log, a row or a store
/// that is gone; then only a warm-up knows what is left.
fn may_seed(desired: &Desired, observed: &Observed) -> bool {
    let is_log_empty = observed.topic.as_ref().is_none_or(|topic| topic.is_empty);
    observed.epoch() == Epoch::FIRST
        && !observed.is_fenced
        && is_log_empty
        && observed.shards.iter().all(|shard| shard.is_untouched)
        && is_before_sale(desired, observed)
}
