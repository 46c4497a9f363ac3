//! Everything together: who takes the next step, what breaks, how it heals, and the laws.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use ticket_core::machine::{Units, Verb};
use ticket_core::{BuyerId, OrderId, State, StockShardId};
use uuid::Uuid;

use super::Mutation;
use super::api::{Request, Then};
use super::consumer::Consumer;
use super::keeper::Keeper;
use super::ledger::Ledger;
use super::log::{Command, Entry, Log};
use super::store::{Data, LIMIT, Store};

/// Steps of a run before everything heals.
const STEPS: usize = 300;

/// Of a hundred steps at most so many are faults; each run has a number of its own.
const FAULTS_PERCENT_MAX: usize = 8;

/// Rounds within which everything must be quiet again when nothing breaks any more.
const HEAL_ROUNDS_MAX: usize = 400;

/// Units of each stock shard: few, so that buyers get in each other's way.
const UNITS: [i64; 2] = [5, 4];

/// Distinct orders: few, so that keys are repeated.
const ORDERS: u128 = 14;

/// Buyers.
const BUYERS: u128 = 4;

/// Requests under way at most.
const REQUESTS_MAX: usize = 4;

/// The reaper asks after an order that nobody decided for so long, ticks.
const PENDING_FOR: u64 = 3;

/// Zombies at most.
const ZOMBIES_MAX: usize = 3;

/// What all processes share.
pub(super) struct Parts {
    pub(super) mutation: Mutation,
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    pub(super) log: Log,
    pub(super) now: u64,
    rng: StdRng,
}

impl Parts {
    pub(super) fn coin(&mut self) -> bool {
        self.rng.random_bool(0.5)
    }

    /// 1 to `most`.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        self.rng.random_range(1..=most)
    }

    pub(super) fn any_shard(&mut self) -> StockShardId {
        let number = self.rng.random_range(1..=UNITS.len());
        shard(number)
    }

    pub(super) fn write(&mut self, shard: StockShardId, entry: Entry) {
        self.log.entry(shard).or_default().entries.push(entry);
    }
}

fn shard(number: usize) -> StockShardId {
    StockShardId::new(i64::try_from(number).unwrap_or(1)).unwrap()
}

pub(super) struct World {
    parts: Parts,
    says: bool,
    /// What each of two API processes knows of the epoch.
    known_epochs: [i64; 2],
    requests: Vec<Request>,
    consumers: BTreeMap<StockShardId, Consumer>,
    zombies: Vec<Consumer>,
    keepers: [Keeper; 2],
    /// Orders that the reaper has asked after.
    asked: BTreeMap<OrderId, u64>,
    snapshot: Data,
    acknowledged: BTreeSet<(OrderId, StockShardId)>,
}

impl World {
    pub(super) fn new(seed: u64, mutation: Mutation, says: bool) -> Self {
        let units: BTreeMap<_, _> = UNITS
            .iter()
            .enumerate()
            .map(|(at, units)| (shard(at + 1), *units))
            .collect();
        let mut parts = Parts {
            mutation,
            store: Store::new(mutation, units.clone()),
            ledger: Ledger::new(mutation, &units),
            log: units
                .keys()
                .map(|id| (*id, super::log::Partition::default()))
                .collect(),
            now: 1,
            rng: StdRng::seed_from_u64(seed),
        };
        let consumers = units
            .keys()
            .map(|id| (*id, Consumer::take(&mut parts, *id)))
            .collect();
        Self {
            snapshot: parts.store.data.clone(),
            parts,
            says,
            known_epochs: [1; 2],
            requests: Vec::new(),
            consumers,
            zombies: Vec::new(),
            keepers: [Keeper::new(0), Keeper::new(1)],
            asked: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
        }
    }

    /// Steps in a random order, with faults.
    pub(super) fn live(&mut self) -> Result<(), String> {
        // A warm-up heals much: where everything breaks all the time little is left to be seen.
        let faults = self.parts.up_to(FAULTS_PERCENT_MAX);
        for _ in 0..STEPS {
            if self.parts.rng.random_range(0..100) < faults {
                self.break_something();
                continue;
            }
            match self.parts.rng.random_range(0..94_u32) {
                0..18 => self.buy(),
                18..38 => self.answer(),
                38..60 => self.consume()?,
                60..74 => self.keep(),
                74..84 => self.act(),
                84..87 => {
                    self.reap();
                }
                87..91 => self.tick(),
                _ => self.refresh(),
            }
        }
        Ok(())
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.says {
            #[expect(
                clippy::print_stdout,
                reason = "a run that is repeated shows its steps"
            )]
            {
                println!("{:>3} {}", self.parts.now, what());
            }
        }
    }

    /// A buyer sends an order, perhaps once more.
    fn buy(&mut self) {
        if self.requests.len() >= REQUESTS_MAX {
            return;
        }
        let number = self.parts.rng.random_range(1..=ORDERS);
        let epoch = self.known_epochs[usize::from(self.parts.coin())];
        let (order, buyer) = (OrderId(Uuid::from_u128(number)), buyer(number % BUYERS));
        let quantity = if number.is_multiple_of(3) { 2 } else { 1 };
        self.say(|| format!("order {number} comes in at epoch {epoch}"));
        self.requests
            .push(Request::new(order, buyer, quantity, epoch));
    }

    /// Any request takes its next step.
    fn answer(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let at = self.parts.rng.random_range(0..self.requests.len());
        let request = self.requests.swap_remove(at);
        let order = request.order;
        match request.step(&mut self.parts) {
            Then::On(request) => self.requests.push(request),
            Then::Acknowledged(order, shard) => {
                self.say(|| format!("202 for order {order} on {shard}"));
                self.acknowledged.insert((order, shard));
            }
            Then::Refused => self.say(|| format!("order {order} is refused")),
        }
    }

    fn consume(&mut self) -> Result<(), String> {
        if !self.zombies.is_empty() && self.parts.rng.random_bool(0.1) {
            let at = self.parts.rng.random_range(0..self.zombies.len());
            let zombie = &mut self.zombies[at];
            zombie.step(&mut self.parts)?;
            if zombie.is_idle() {
                self.zombies.swap_remove(at);
            }
            return Ok(());
        }
        let shard = self.parts.any_shard();
        let consumer = self.consumers.get_mut(&shard).ok_or("no consumer")?;
        consumer.step(&mut self.parts)?;
        Ok(())
    }

    fn keep(&mut self) {
        let keeper = &mut self.keepers[usize::from(self.parts.coin())];
        if keeper.is_still {
            return;
        }
        keeper.step(&mut self.parts);
        let (epoch, armed) = (self.parts.ledger.epoch, self.parts.store.state());
        self.say(|| format!("a keeper steps: epoch {epoch}, armed {armed:?}"));
    }

    /// Buyers and the provider do something about an order that the ledger has; holds run out.
    fn act(&mut self) {
        let count = self.parts.ledger.orders.len();
        if count == 0 {
            return;
        }
        let at = self.parts.rng.random_range(0..count);
        let Some(((id, shard), order)) = self.parts.ledger.orders.iter().nth(at) else {
            return;
        };
        let (id, shard, state) = (*id, *shard, order.state);
        let verbs: &[Verb] = match state {
            State::Reserved => &[Verb::PaymentReady, Verb::PaymentReady, Verb::Cancel],
            State::AwaitingPayment => &[
                Verb::PaymentSucceeded,
                Verb::Expire,
                Verb::Cancel,
                Verb::PaymentFailed,
            ],
            State::Paid => &[Verb::Refund],
            State::Refunding => &[Verb::RefundSettled],
            // Money that is late.
            State::Expired | State::PaymentFailed | State::Cancelled => &[Verb::PaymentSucceeded],
            State::Queued | State::Refunded | State::Rejected => return,
        };
        let command = Command {
            order: id,
            verb: verbs[self.parts.rng.random_range(0..verbs.len())],
            buyer: order.buyer.clone(),
            quantity: order.quantity,
        };
        self.say(|| format!("{:?} for {id} on {shard}, which is {state}", command.verb));
        self.parts.write(shard, Entry::Order(command));
    }

    /// Asks after what nobody decided. Answers whether there was anything.
    fn reap(&mut self) -> bool {
        let now = self.parts.now;
        if !self.parts.store.state().is_ok_and(|armed| armed.is_some()) {
            return false;
        }
        let data = &self.parts.store.data;
        let is_old = |since: &u64| since + PENDING_FOR <= now;
        let was_asked = |order: &OrderId| self.asked.get(order).is_some_and(|at| at + 20 > now);
        let old = data
            .pending
            .iter()
            .find(|(id, since)| is_old(since) && !was_asked(id));
        let Some(order) = old.map(|(order, _)| *order) else {
            return false;
        };
        let Some(record) = data.orders.get(&order).cloned() else {
            return false;
        };
        self.asked.insert(order, now);
        self.say(|| format!("the reaper asks after {order}"));
        if self.parts.mutation == Mutation::ReaperCredits {
            let store = &mut self.parts.store;
            store.release(
                order,
                record.shard,
                record.quantity,
                &record.buyer,
                0,
                record.epoch,
            );
            return true;
        }
        let command = Command {
            order,
            verb: Verb::Void,
            buyer: record.buyer,
            quantity: u32::try_from(record.quantity).unwrap_or(1),
        };
        self.parts.write(record.shard, Entry::Order(command));
        true
    }

    fn tick(&mut self) {
        self.parts.now += 1;
        for keeper in self.keepers.iter_mut().filter(|keeper| !keeper.is_still) {
            keeper.heartbeat(&mut self.parts);
        }
    }

    fn refresh(&mut self) {
        let which = usize::from(self.parts.coin());
        self.known_epochs[which] = self.parts.ledger.epoch;
    }

    fn break_something(&mut self) {
        let store = &mut self.parts.store;
        let what = match self.parts.rng.random_range(0..18_u32) {
            0 | 1 => {
                store.restart(Data::default());
                "Redis was killed and is empty"
            }
            2 => {
                store.restart(self.snapshot.clone());
                "Redis was restored from an old file"
            }
            3 => {
                // The process lives on.
                store.data = Data::default();
                "Redis was flushed"
            }
            4 | 5 => {
                self.snapshot = store.data.clone();
                "Redis was saved"
            }
            6 => {
                store.is_up = false;
                "Redis is out of reach"
            }
            7 | 8 => {
                store.is_up = true;
                "Redis can be reached"
            }
            9 | 10 => {
                let shard = self.parts.any_shard();
                let new = Consumer::take(&mut self.parts, shard);
                self.consumers.insert(shard, new);
                "a consumer died"
            }
            11 | 12 => {
                let shard = self.parts.any_shard();
                let new = Consumer::take(&mut self.parts, shard);
                if let Some(old) = self.consumers.insert(shard, new)
                    && self.zombies.len() < ZOMBIES_MAX
                {
                    self.zombies.push(old);
                }
                "a consumer lost its partition and goes on"
            }
            13 => {
                self.keepers[usize::from(self.parts.coin())].die();
                "a keeper died"
            }
            14..17 => {
                let keeper = &mut self.keepers[usize::from(self.parts.coin())];
                keeper.is_still = !keeper.is_still;
                "a keeper stands still, or goes on"
            }
            _ => {
                // Reserved, perhaps written, and nobody was told.
                if !self.requests.is_empty() {
                    let at = self.parts.rng.random_range(0..self.requests.len());
                    self.requests.swap_remove(at);
                }
                "the API died in a request"
            }
        };
        self.say(|| what.to_owned());
    }

    /// Nothing breaks any more, and nobody buys: everything comes to rest.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.parts.store.is_up = true;
        self.say(|| "everything heals".to_owned());
        for _ in 0..HEAL_ROUNDS_MAX {
            let mut is_quiet = self.requests.is_empty() && self.zombies.is_empty();
            self.answer();
            for zombie in &mut self.zombies {
                zombie.step(&mut self.parts)?;
            }
            self.zombies.retain(|zombie| !zombie.is_idle());
            for consumer in self.consumers.values_mut() {
                is_quiet &= !consumer.step(&mut self.parts)?;
            }
            for keeper in &mut self.keepers {
                keeper.is_still = false;
                is_quiet &= !keeper.step(&mut self.parts) && keeper.is_idle();
            }
            is_quiet &= !self.reap() && self.parts.store.data.pending.is_empty();
            self.tick();
            if is_quiet && self.is_warm() {
                return Ok(());
            }
        }
        Err(format!("not quiet after {HEAL_ROUNDS_MAX} rounds"))
    }

    fn is_warm(&self) -> bool {
        let (is_held, is_finished) = self.parts.ledger.warmth(self.parts.now);
        let armed = self.parts.store.state();
        !is_held && is_finished && armed == Ok(Some(self.parts.ledger.epoch))
    }

    /// The laws.
    pub(super) fn judge(&self) -> Result<(), String> {
        let (ledger, store) = (&self.parts.ledger, &self.parts.store.data);
        if self.parts.store.went_back {
            return Err("the store took an older epoch than it had seen".to_owned());
        }
        for order in &self.acknowledged {
            if !ledger.orders.contains_key(order) {
                return Err(format!("acknowledged order {order:?} is lost"));
            }
        }
        for (shard, row) in &ledger.rows {
            let (available, left) = (row.counts.available, store.counts.get(shard).copied());
            if left != Some(available) {
                return Err(format!(
                    "stock shard {shard}: ledger {available}, store {left:?}"
                ));
            }
        }
        let mut units: BTreeMap<BuyerId, i64> = BTreeMap::new();
        for order in ledger.orders.values() {
            if order.state.units() != Units::Free {
                *units.entry(order.buyer.clone()).or_default() += i64::from(order.quantity);
            }
        }
        for buyer in (0..BUYERS).map(buyer) {
            let has = units.get(&buyer).copied().unwrap_or(0);
            let counted = store.buyers.get(&buyer).copied().unwrap_or(0);
            if has != counted {
                let mine = ledger
                    .orders
                    .iter()
                    .filter(|(_, order)| order.buyer == buyer);
                let mine: Vec<_> = mine
                    .map(|((id, shard), order)| (shard, order.state, store.orders.get(id)))
                    .collect();
                return Err(format!(
                    "{buyer:?}: ledger {has}, store {counted}: {mine:?}"
                ));
            }
            if has > LIMIT && !ledger.claimants.contains(buyer.as_str()) {
                return Err(format!("{buyer:?} has {has} of {LIMIT}"));
            }
        }
        Ok(())
    }
}

fn buyer(number: u128) -> BuyerId {
    BuyerId::new(format!("buyer-{number}")).unwrap()
}
