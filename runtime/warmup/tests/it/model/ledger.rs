//! The ledger: what `apply_batch`, `mark_stock` and the warm-up lock do.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use ticket_core::machine::{Next, Units, Verb, next};
use ticket_core::{OrderId, OrderRecord, Passed, Reason, State, StockCounts, StockShardId};

use super::Mutation;
use super::log::{Command, Place};

/// A hold lasts so long, ticks.
const HOLD: u64 = 6;

/// A lock lasts so long unless it is extended, ticks.
const LEASE: u64 = 4;

/// A stock shard.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) epoch: i64,
    pub(super) version: i64,
    pub(super) counts: StockCounts,
}

/// What one call decided.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) shard: StockShardId,
    pub(super) epoch: i64,
    pub(super) orders: Vec<OrderRecord>,
}

/// A warm-up.
#[derive(Debug)]
struct Warmup {
    holder: usize,
    expires_at: u64,
    /// Whether it was finished as `armed`.
    ended: Option<bool>,
}

pub(super) struct Ledger {
    mutation: Mutation,
    pub(super) epoch: i64,
    pub(super) rows: BTreeMap<StockShardId, Row>,
    pub(super) orders: BTreeMap<(OrderId, StockShardId), OrderRecord>,
    /// Buyers whose late money took units again: their limit is not asked.
    pub(super) claimants: HashSet<String>,
    warmups: BTreeMap<i64, Warmup>,
}

impl Ledger {
    pub(super) fn new(mutation: Mutation, shards: &BTreeMap<StockShardId, i64>) -> Self {
        let row = |capacity: i64| Row {
            epoch: 1,
            version: 0,
            counts: StockCounts {
                capacity,
                available: capacity,
                ..StockCounts::default()
            },
        };
        Self {
            mutation,
            epoch: 1,
            rows: shards
                .iter()
                .map(|(id, units)| (*id, row(*units)))
                .collect(),
            orders: BTreeMap::new(),
            claimants: HashSet::new(),
            warmups: BTreeMap::new(),
        }
    }

    /// Places first, in their order, then the commands.
    pub(super) fn apply(
        &mut self,
        shard: StockShardId,
        places: &[Place],
        commands: &[Command],
        now: u64,
    ) -> Result<Facts, String> {
        let row = self.rows.get_mut(&shard).ok_or("an unknown stock shard")?;
        row.version += 1;
        let (epoch, version) = (row.epoch, row.version);
        let mut asked = Vec::new();
        for place in places {
            if !asked.contains(&place.order) {
                asked.push(place.order);
            }
            self.place(shard, place, version, now)?;
        }
        for command in commands {
            if self.command(shard, command, version, now) && !asked.contains(&command.order) {
                asked.push(command.order);
            }
        }
        let counts = &self.rows[&shard].counts;
        if !counts.is_conserved() || *counts != self.counted(shard) {
            return Err(format!("law 1 on stock shard {shard}: {counts:?}"));
        }
        let orders = asked
            .iter()
            .map(|order| self.orders[&(*order, shard)].clone());
        Ok(Facts {
            shard,
            epoch,
            orders: orders.collect(),
        })
    }

    fn place(
        &mut self,
        shard: StockShardId,
        place: &Place,
        version: i64,
        now: u64,
    ) -> Result<(), String> {
        let id = (place.order, shard);
        if self.orders.contains_key(&id) {
            return Ok(());
        }
        let row = &self.rows[&shard];
        let is_stale = place.epoch < row.epoch && self.mutation != Mutation::StaleIsAccepted;
        let fits = i64::from(place.quantity) <= row.counts.available;
        let (state, reason) = match (is_stale, fits) {
            (true, _) => (State::Rejected, Some(Reason::StaleEpoch)),
            (false, false) => (State::Rejected, Some(Reason::SoldOut)),
            (false, true) => (State::Reserved, None),
        };
        if state == State::Reserved && self.was_accepted(place.order) {
            return Err(format!("order {} was accepted twice", place.order));
        }
        self.orders.insert(
            id,
            new_order(place.order, place, version, state, reason, now),
        );
        self.count(shard, State::Queued, state, place.quantity);
        Ok(())
    }

    /// Was it accepted on any stock shard?
    fn was_accepted(&self, order: OrderId) -> bool {
        let mut rows = self.orders.iter().filter(|((id, _), _)| *id == order);
        rows.any(|(_, row)| row.passed.contains(State::Reserved))
    }

    /// False if there is nothing to act on.
    fn command(&mut self, shard: StockShardId, command: &Command, version: i64, now: u64) -> bool {
        let id = (command.order, shard);
        let available = self.rows[&shard].counts.available;
        let Some(order) = self.orders.get_mut(&id) else {
            if command.verb != Verb::Void {
                return false;
            }
            let place = Place {
                order: command.order,
                epoch: 0,
                buyer: command.buyer.clone(),
                quantity: command.quantity,
            };
            let reason = Some(Reason::Void);
            let void = new_order(command.order, &place, version, State::Rejected, reason, now);
            self.orders.insert(id, void);
            return true;
        };
        let from = order.state;
        let is_due = order.hold_expires_at.is_some_and(|end| end <= time(now));
        let to = match next(from, command.verb) {
            Next::Move(to) => to,
            Next::ExpireIfDue if is_due => State::Expired,
            Next::ClaimOrRefund if i64::from(order.quantity) <= available => State::Paid,
            Next::ClaimOrRefund => State::Refunding,
            Next::Stay | Next::Extend | Next::ExpireIfDue | Next::Mark | Next::Illegal => {
                return true;
            }
        };
        if from.units() == Units::Free && to == State::Paid {
            self.claimants.insert(order.buyer.as_str().to_owned());
        }
        order.state = to;
        order.passed = order.passed.with(to);
        order.version = version;
        order.hold_expires_at = (to == State::AwaitingPayment).then(|| time(now + HOLD));
        let quantity = order.quantity;
        self.count(shard, from, to, quantity);
        true
    }

    fn count(&mut self, shard: StockShardId, from: State, to: State, quantity: u32) {
        let quantity = i64::from(quantity);
        if let Some(row) = self.rows.get_mut(&shard) {
            for (state, units) in [(from, -quantity), (to, quantity)] {
                let counter = match state.units() {
                    Units::Free => &mut row.counts.available,
                    Units::Held => &mut row.counts.held,
                    Units::Sold => &mut row.counts.sold,
                };
                *counter += units;
            }
        }
    }

    /// The counters as the orders say.
    fn counted(&self, shard: StockShardId) -> StockCounts {
        let capacity = self.rows[&shard].counts.capacity;
        let mut counts = StockCounts {
            capacity,
            available: capacity,
            ..StockCounts::default()
        };
        for ((_, of), order) in &self.orders {
            let quantity = i64::from(order.quantity);
            if *of == shard && order.state.units() != Units::Free {
                counts.available -= quantity;
                match order.state.units() {
                    Units::Held => counts.held += quantity,
                    Units::Sold => counts.sold += quantity,
                    Units::Free => {}
                }
            }
        }
        counts
    }

    pub(super) fn mark(&mut self, shard: StockShardId, epoch: i64) {
        if let Some(row) = self.rows.get_mut(&shard) {
            row.epoch = row.epoch.max(epoch);
        }
    }

    /// Whether somebody holds the lock, and whether the store was filled at this epoch.
    pub(super) fn warmth(&self, now: u64) -> (bool, bool) {
        let newest = self.warmups.get(&self.epoch);
        let is_finished = self.epoch == 1 || newest.is_some_and(|one| one.ended == Some(true));
        (self.live(now).is_some(), is_finished)
    }

    fn live(&self, now: u64) -> Option<i64> {
        let mut live = self.warmups.iter();
        let live = live.find(|(_, one)| one.ended.is_none() && one.expires_at > now);
        live.map(|(epoch, _)| *epoch)
    }

    /// The new epoch, unless somebody holds the lock or the event is not at `seen` any more.
    pub(super) fn lock(&mut self, holder: usize, seen: i64, now: u64) -> Option<i64> {
        if self.epoch != seen || self.live(now).is_some() {
            return None;
        }
        for one in self.warmups.values_mut().filter(|one| one.ended.is_none()) {
            one.ended = Some(false);
        }
        self.epoch += 1;
        let warmup = Warmup {
            holder,
            expires_at: now + LEASE,
            ended: None,
        };
        self.warmups.insert(self.epoch, warmup);
        Some(self.epoch)
    }

    /// False if the lock was lost.
    pub(super) fn extend(&mut self, holder: usize, epoch: i64, now: u64) -> bool {
        match self.warmups.get_mut(&epoch) {
            Some(one) if one.holder == holder && one.ended.is_none() && one.expires_at > now => {
                one.expires_at = now + LEASE;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn finish(&mut self, holder: usize, epoch: i64, is_armed: bool) {
        if let Some(one) = self.warmups.get_mut(&epoch)
            && one.holder == holder
            && one.ended.is_none()
        {
            one.ended = Some(is_armed);
        }
    }

    /// The store missed something: a warm-up will come.
    pub(super) fn need_warmup(&mut self, now: u64) {
        let newest = self.warmups.get(&self.epoch);
        if newest.is_some_and(|one| one.ended == Some(false)) {
            return;
        }
        if let Some(epoch) = self.live(now)
            && let Some(one) = self.warmups.get_mut(&epoch)
        {
            one.ended = Some(false);
        }
        self.epoch += 1;
        let warmup = Warmup {
            holder: usize::MAX,
            expires_at: now,
            ended: Some(false),
        };
        self.warmups.insert(self.epoch, warmup);
    }
}

/// Model time as a clock would show it.
fn time(tick: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(tick).unwrap_or(i64::MAX)).unwrap()
}

fn new_order(
    id: OrderId,
    place: &Place,
    version: i64,
    state: State,
    reason: Option<Reason>,
    now: u64,
) -> OrderRecord {
    OrderRecord {
        order: id,
        version,
        state,
        reason,
        passed: Passed::default().with(state),
        buyer: place.buyer.clone(),
        quantity: place.quantity,
        amount_minor: 0,
        created_at: time(now),
        updated_at: time(now),
        hold_expires_at: None,
        payment: None,
    }
}
