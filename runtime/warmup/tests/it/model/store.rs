//! The stock store: what `stock.lua` does, without its checks of arguments.

use std::collections::BTreeMap;

use ticket_core::{BuyerId, OrderId, StockShardId};
use ticket_stock::Changes;

use super::Mutation;

/// Units that one buyer may have.
pub(super) const LIMIT: i64 = 3;

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreachable;

/// What the store knows of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) is_void: bool,
    pub(super) shard: StockShardId,
    pub(super) quantity: i64,
    pub(super) epoch: i64,
    pub(super) version: i64,
    pub(super) buyer: BuyerId,
}

/// What lies in Redis, and in a snapshot of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    epoch: Option<i64>,
    pub(super) counts: BTreeMap<StockShardId, i64>,
    pub(super) orders: BTreeMap<OrderId, Record>,
    /// Since when nobody has decided it.
    pub(super) pending: BTreeMap<OrderId, u64>,
    pub(super) buyers: BTreeMap<BuyerId, i64>,
    /// Of each epoch what waits for its seed.
    staged: BTreeMap<i64, BTreeMap<OrderId, Record>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reserved {
    Fresh(StockShardId),
    Known { record: Record, is_pending: bool },
    Refused,
    OtherEpoch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seeded {
    Armed,
    Fenced,
    OtherStaged,
}

/// Redis.
pub(super) struct Store {
    mutation: Mutation,
    pub(super) is_up: bool,
    /// Lives in the process, not in the data.
    armed: Option<i64>,
    /// It was seeded with an older epoch than it had seen.
    pub(super) went_back: bool,
    pub(super) data: Data,
}

impl Store {
    /// Seeded for a new event at epoch 1.
    pub(super) fn new(mutation: Mutation, counts: BTreeMap<StockShardId, i64>) -> Self {
        Self {
            mutation,
            is_up: true,
            armed: Some(1),
            went_back: false,
            data: Data {
                epoch: Some(1),
                counts,
                ..Data::default()
            },
        }
    }

    /// Another process, with this data.
    pub(super) fn restart(&mut self, data: Data) {
        let survives = self.mutation == Mutation::ArmedSurvives;
        self.armed = data.epoch.filter(|_| survives);
        self.data = data;
        self.is_up = true;
    }

    /// The epoch that it sells with.
    pub(super) fn state(&self) -> Result<Option<i64>, Unreachable> {
        self.reach()?;
        Ok(self.armed.filter(|epoch| self.data.epoch == Some(*epoch)))
    }

    pub(super) fn reserve(
        &mut self,
        epoch: i64,
        order: OrderId,
        buyer: &BuyerId,
        quantity: i64,
        shards: [StockShardId; 2],
        now: u64,
    ) -> Result<Reserved, Unreachable> {
        match self.state()? {
            Some(armed) if armed == epoch => {}
            Some(_) => return Ok(Reserved::OtherEpoch),
            None if self.armed.is_some_and(|armed| armed != epoch) => {
                return Ok(Reserved::OtherEpoch);
            }
            None => return Ok(Reserved::Refused),
        }
        let data = &mut self.data;
        if let Some(record) = data.orders.get(&order) {
            return Ok(Reserved::Known {
                record: record.clone(),
                is_pending: data.pending.contains_key(&order),
            });
        }
        let left = |shard: &StockShardId| data.counts.get(shard).copied().unwrap_or(0);
        let fuller = shards.into_iter().max_by_key(left);
        let Some(shard) = fuller.filter(|shard| left(shard) >= quantity) else {
            return Ok(Reserved::Refused);
        };
        let has = data.buyers.entry(buyer.clone()).or_default();
        if *has + quantity > LIMIT {
            return Ok(Reserved::Refused);
        }
        *has += quantity;
        *data.counts.entry(shard).or_default() -= quantity;
        data.pending.insert(order, now);
        let record = Record {
            is_void: false,
            shard,
            quantity,
            epoch,
            version: 0,
            buyer: buyer.clone(),
        };
        data.orders.insert(order, record);
        Ok(Reserved::Fresh(shard))
    }

    /// Tells the store of decisions of `epoch`, that of the ledger's row. What another epoch says is left to a seed.
    pub(super) fn tell(&mut self, epoch: i64, changes: &Changes) -> Result<(), Unreachable> {
        if self.state()? != Some(epoch) {
            return Ok(());
        }
        for order in &changes.settled {
            self.data.pending.remove(order);
        }
        for one in &changes.released {
            let quantity = i64::from(one.quantity);
            self.release(
                one.order,
                one.shard,
                quantity,
                &one.buyer,
                one.version,
                epoch,
            );
        }
        for one in &changes.claimed {
            let record = Record {
                is_void: false,
                shard: one.shard,
                quantity: one.quantity.into(),
                epoch,
                version: one.version,
                buyer: one.buyer.clone(),
            };
            self.claim(one.order, record);
        }
        Ok(())
    }

    pub(super) fn release(
        &mut self,
        order: OrderId,
        shard: StockShardId,
        quantity: i64,
        buyer: &BuyerId,
        version: i64,
        epoch: i64,
    ) {
        let blind = self.mutation == Mutation::CreditWithoutRecord;
        let takes_old = self.mutation == Mutation::VersionsAreIgnored;
        let data = &mut self.data;
        let mut has_units = blind;
        if let Some(record) = data.orders.get_mut(&order) {
            if !blind && (record.shard != shard || record.version > version && !takes_old) {
                return;
            }
            has_units |= !record.is_void;
            record.is_void = true;
            record.version = version;
        } else {
            // Meets a reservation that is still on its way.
            let tombstone = Record {
                is_void: true,
                shard,
                quantity,
                epoch,
                version,
                buyer: buyer.clone(),
            };
            data.orders.insert(order, tombstone);
        }
        data.pending.remove(&order);
        if has_units {
            *data.counts.entry(shard).or_default() += quantity;
            *data.buyers.entry(buyer.clone()).or_default() -= quantity;
        }
    }

    fn claim(&mut self, order: OrderId, new: Record) {
        let takes_old = self.mutation == Mutation::VersionsAreIgnored;
        let data = &mut self.data;
        let (shard, quantity, buyer) = (new.shard, new.quantity, new.buyer.clone());
        let had_units = if let Some(record) = data.orders.get_mut(&order) {
            if record.shard != shard || record.version > new.version && !takes_old {
                return;
            }
            let had_units = !record.is_void;
            record.is_void = false;
            record.version = new.version;
            had_units
        } else {
            data.orders.insert(order, new);
            false
        };
        data.pending.remove(&order);
        if !had_units {
            *data.counts.entry(shard).or_default() -= quantity;
            *data.buyers.entry(buyer).or_default() += quantity;
        }
    }

    pub(super) fn disarm(&mut self, epoch: i64) -> Result<(), Unreachable> {
        self.reach()?;
        self.armed = self.armed.filter(|armed| *armed >= epoch);
        Ok(())
    }

    /// Answers with the number of orders that are staged.
    pub(super) fn stage(
        &mut self,
        epoch: i64,
        records: Vec<(OrderId, Record)>,
    ) -> Result<usize, Unreachable> {
        self.reach()?;
        let staged = self.data.staged.entry(epoch).or_default();
        for (order, record) in records {
            staged.entry(order).or_insert(record);
        }
        Ok(staged.len())
    }

    pub(super) fn seed(
        &mut self,
        epoch: i64,
        counts: &BTreeMap<StockShardId, i64>,
        staged: usize,
    ) -> Result<Seeded, Unreachable> {
        if self.state()? == Some(epoch) {
            return Ok(Seeded::Armed);
        }
        let newest = self.armed.max(self.data.epoch).unwrap_or(0);
        if newest >= epoch && self.mutation != Mutation::SeedIsUnfenced {
            return Ok(Seeded::Fenced);
        }
        let orders = self.data.staged.get(&epoch).cloned().unwrap_or_default();
        if orders.len() != staged {
            return Ok(Seeded::OtherStaged);
        }
        self.data.staged.remove(&epoch);
        let mut buyers = BTreeMap::new();
        for record in orders.values().filter(|record| !record.is_void) {
            *buyers.entry(record.buyer.clone()).or_default() += record.quantity;
        }
        self.data = Data {
            epoch: Some(epoch),
            counts: counts.clone(),
            orders,
            pending: BTreeMap::new(),
            buyers,
            staged: std::mem::take(&mut self.data.staged),
        };
        self.armed = Some(epoch);
        self.went_back |= newest >= epoch;
        Ok(Seeded::Armed)
    }

    fn reach(&self) -> Result<(), Unreachable> {
        if self.is_up { Ok(()) } else { Err(Unreachable) }
    }
}
