//! A keeper: looks, takes the lock, and carries a warm-up out along the real phases, a step at a time.

use std::collections::{BTreeMap, VecDeque};

use ticket_core::machine::Units;
use ticket_core::{OrderId, OrderRecord, State, StockCounts, StockShardId};
use ticket_stock::Changes;
use ticket_warmup::{Event, Phase};

use super::Mutation;
use super::log::Entry;
use super::store::{Record, Seeded, Unreachable};
use super::world::Parts;

/// Orders in one read of the ledger, with all of their rows.
const PAGE: usize = 2;

/// Something is not there; the run ends and another one begins anew.
struct Failed;

impl From<Unreachable> for Failed {
    fn from(_: Unreachable) -> Self {
        Self
    }
}

/// A warm-up under way.
struct Run {
    epoch: i64,
    phase: Phase,
    /// Whether the store was disarmed, and the stock shards whose marker is still to be sent.
    is_disarmed: bool,
    unmarked: VecDeque<StockShardId>,
    /// Of the rows, before any order was read: version and capacity.
    rows: Option<BTreeMap<StockShardId, (i64, i64)>>,
    available: BTreeMap<StockShardId, i64>,
    after: Option<OrderId>,
    staged: usize,
    /// What is read and not told yet.
    missed: Option<VecDeque<(StockShardId, Vec<OrderRecord>)>>,
}

pub(super) struct Keeper {
    name: usize,
    /// It saw a cold store at this epoch.
    seen: Option<i64>,
    run: Option<Run>,
    /// It stands still, and believes that it holds its lock when it goes on.
    pub(super) is_still: bool,
}

impl Keeper {
    pub(super) const fn new(name: usize) -> Self {
        Self {
            name,
            seen: None,
            run: None,
            is_still: false,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.seen.is_none() && self.run.is_none()
    }

    /// Dies; its lock stays until it runs out. A new one looks again.
    pub(super) fn die(&mut self) {
        (self.seen, self.run, self.is_still) = (None, None, false);
    }

    /// Extends the lock. A run that has lost it ends.
    pub(super) fn heartbeat(&mut self, parts: &mut Parts) {
        if let Some(run) = &mut self.run
            && !parts.ledger.extend(self.name, run.epoch, parts.now)
        {
            run.phase = run
                .phase
                .next(Event::NewerEpochSeen)
                .unwrap_or(Phase::Fenced);
        }
    }

    /// One step; false if there is nothing to do.
    pub(super) fn step(&mut self, parts: &mut Parts) -> bool {
        if let Some(run) = &mut self.run {
            let epoch = run.epoch;
            match run.step(parts) {
                Ok(false) => {}
                ended => {
                    let is_armed = ended.is_ok() && run.phase == Phase::Armed;
                    parts.ledger.finish(self.name, epoch, is_armed);
                    self.run = None;
                }
            }
            return true;
        }
        if let Some(seen) = self.seen.take() {
            if let Some(epoch) = parts.ledger.lock(self.name, seen, parts.now) {
                self.run = Some(Run::new(epoch, parts));
            }
            return true;
        }
        let (is_held, is_finished) = parts.ledger.warmth(parts.now);
        let epoch = parts.ledger.epoch;
        let is_cold = |armed: Option<i64>| armed != Some(epoch) || !is_finished;
        if !is_held && parts.store.state().is_ok_and(is_cold) {
            self.seen = Some(epoch);
            return true;
        }
        false
    }
}

impl Run {
    fn new(epoch: i64, parts: &Parts) -> Self {
        Self {
            epoch,
            phase: Phase::Locked,
            is_disarmed: false,
            unmarked: parts.log.keys().copied().collect(),
            rows: None,
            available: BTreeMap::new(),
            after: None,
            staged: 0,
            missed: None,
        }
    }

    /// True at its end.
    fn step(&mut self, parts: &mut Parts) -> Result<bool, Failed> {
        let happened = match self.phase {
            Phase::Locked => self.mark(parts)?,
            Phase::Marking => self.wait(parts),
            Phase::Seeding => self.fill(parts)?,
            Phase::CatchingUp => self.catch_up(parts)?,
            Phase::Armed | Phase::Fenced => return Ok(true),
        };
        if let Some(event) = happened {
            self.phase = self.phase.next(event).map_err(|_| Failed)?;
        }
        Ok(false)
    }

    fn mark(&mut self, parts: &mut Parts) -> Result<Option<Event>, Failed> {
        if !self.is_disarmed {
            parts.store.disarm(self.epoch)?;
            self.is_disarmed = true;
        } else if let Some(shard) = self.unmarked.pop_front() {
            parts.write(shard, Entry::Marker(self.epoch));
        } else {
            return Ok(Some(Event::MarkersSent));
        }
        Ok(None)
    }

    fn wait(&self, parts: &Parts) -> Option<Event> {
        let mut rows = parts.ledger.rows.values();
        let are_marked = rows.all(|row| row.epoch >= self.epoch)
            || parts.mutation == Mutation::MarkersAreNotAwaited;
        are_marked.then_some(Event::AllRowsAtEpoch)
    }

    /// Rows, then orders page by page, then the seed.
    fn fill(&mut self, parts: &mut Parts) -> Result<Option<Event>, Failed> {
        if self.rows.is_none() {
            if parts.ledger.epoch != self.epoch {
                return Ok(Some(Event::NewerEpochSeen));
            }
            let rows = &parts.ledger.rows;
            let seen = rows
                .iter()
                .map(|(id, row)| (*id, (row.version, row.counts.capacity)));
            self.rows = Some(seen.collect());
            let is_row_counted = parts.mutation == Mutation::RowIsCounted;
            let units = |counts: &StockCounts| {
                if is_row_counted {
                    counts.available
                } else {
                    counts.capacity
                }
            };
            let units = rows.iter().map(|(id, row)| (*id, units(&row.counts)));
            self.available = units.collect();
            return Ok(None);
        }
        let rows = parts.ledger.orders.iter();
        let rows = rows.filter(|((id, _), _)| Some(*id) > self.after);
        // All rows of an order are read at once, and the one that was not turned down counts.
        let is_first_staged = parts.mutation == Mutation::FirstRowIsStaged;
        let mut page: Vec<((OrderId, StockShardId), OrderRecord)> = Vec::new();
        for (id, order) in rows {
            let is_full = page.len() == PAGE;
            match page.last_mut() {
                Some(known) if known.0.0 == id.0 => {
                    if known.1.state == State::Rejected && !is_first_staged {
                        *known = (*id, order.clone());
                    }
                }
                Some(_) if is_full => break,
                Some(_) | None => page.push((*id, order.clone())),
            }
        }
        if let Some(((last, _), _)) = page.last() {
            self.after = Some(*last);
            let records = page
                .iter()
                .map(|((id, shard), order)| (*id, self.record(*shard, order)));
            let records: Vec<_> = records.collect();
            if parts.mutation != Mutation::RowIsCounted {
                for (_, record) in records.iter().filter(|(_, record)| !record.is_void) {
                    *self.available.entry(record.shard).or_default() -= record.quantity;
                }
            }
            let count = records.len();
            let answered = parts.store.stage(self.epoch, records)?;
            self.staged = if parts.mutation == Mutation::StoreIsBelieved {
                answered
            } else {
                self.staged + count
            };
            return Ok(None);
        }
        match parts.store.seed(self.epoch, &self.available, self.staged)? {
            Seeded::Armed => Ok(Some(Event::Seeded)),
            Seeded::Fenced => Ok(Some(Event::NewerEpochSeen)),
            Seeded::OtherStaged => Err(Failed),
        }
    }

    fn record(&self, shard: StockShardId, order: &OrderRecord) -> Record {
        Record {
            is_void: order.state.units() == Units::Free,
            shard,
            quantity: order.quantity.into(),
            epoch: (self.epoch - 1).max(1),
            version: order.version,
            buyer: order.buyer.clone(),
        }
    }

    /// What changed since the rows were read, told one stock shard after the other.
    fn catch_up(&mut self, parts: &mut Parts) -> Result<Option<Event>, Failed> {
        if parts.mutation == Mutation::NoSecondLook {
            return Ok(Some(Event::CaughtUp));
        }
        if let Some(missed) = &mut self.missed {
            let Some((shard, orders)) = missed.pop_front() else {
                return Ok(Some(Event::CaughtUp));
            };
            parts
                .store
                .tell(self.epoch, &Changes::of_all(shard, &orders))?;
            return Ok(None);
        }
        let seen = self.rows.clone().unwrap_or_default();
        let of = |shard: &StockShardId, (version, _): &(i64, i64)| {
            let orders = parts.ledger.orders.iter();
            let changed = orders.filter(|((_, of), order)| of == shard && order.version > *version);
            (*shard, changed.map(|(_, order)| order.clone()).collect())
        };
        self.missed = Some(seen.iter().map(|(shard, seen)| of(shard, seen)).collect());
        Ok(None)
    }
}
