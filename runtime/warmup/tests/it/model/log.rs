//! The order log: one partition for each stock shard.

use std::collections::BTreeMap;

use ticket_core::machine::Verb;
use ticket_core::{BuyerId, OrderId, StockShardId};

/// A command.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Place(Place),
    Order(Command),
    Marker(i64),
}

#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) order: OrderId,
    pub(super) epoch: i64,
    pub(super) buyer: BuyerId,
    pub(super) quantity: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) order: OrderId,
    pub(super) verb: Verb,
    /// For a void of an order that the ledger does not know.
    pub(super) buyer: BuyerId,
    pub(super) quantity: u32,
}

/// A partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) entries: Vec<Entry>,
    pub(super) committed: usize,
    /// Whoever has another generation commits nothing.
    pub(super) generation: u32,
}

pub(super) type Log = BTreeMap<StockShardId, Partition>;
