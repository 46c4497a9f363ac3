//! The store against a model in memory: random strings of calls, restarts and losses. After each step the answer, the
//! counts, the records and the pending orders are what the model says, and no unit is lost or made:
//! seeded + adjusted = counts + live orders.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use redis::aio::MultiplexedConnection;
use ticket_core::{Adjustment, Epoch, ShardStock};
use ticket_stock::{
    Claimed, Readjusted, Released, Reserved, Seed, SeedCategory, Seeded, StockConfig, StockStore,
};
use ticket_testkit::{Persistence, RedisServer};
use tokio::runtime::Runtime;

use crate::fixture::{Wish, category, raw, reserve, server, shard, stock, vip_seed, wish};

const CASES: u32 = 48;
const STEPS_MAX: usize = 70;
const ORDERS: u8 = 14;
const LIMIT: i64 = 6;
const CATEGORIES: [(&str, [i64; 3]); 2] = [("vip", [1, 2, 3]), ("standing", [11, 12, 13])];
/// Few, so that strings of a few dozen calls sell out.
const UNITS_PER_SHARD: i64 = 3;

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        order: u8,
        pair: (u8, u8),
        epoch: i64,
    },
    /// The ledger's word of some version, mostly about the stock shard that the store knows. Versions are few, so that older
    /// ones come late.
    Release {
        order: u8,
        elsewhere: bool,
        version: i64,
        epoch: i64,
    },
    Claim {
        order: u8,
        elsewhere: bool,
        version: i64,
        epoch: i64,
    },
    Settle {
        order: u8,
        epoch: i64,
    },
    /// The ledger gave a stock shard so many units. Numbers are few, so that older ones come late.
    Adjust {
        category: usize,
        shard: usize,
        capacity: i64,
        number: i64,
        epoch: i64,
    },
    /// A warm-up with an epoch that much above the newest; 0 and below must be fenced.
    Seed {
        above: i64,
    },
    Close,
    Flush,
    LibraryLost,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let order = 0..ORDERS;
    // Mostly the epoch that the event is at.
    let epoch = prop_oneof![18 => Just(0_i64), 1 => Just(-1_i64), 1 => Just(1_i64)];
    let step = prop_oneof![
        50 => (order.clone(), (0..3_u8, 0..3_u8), epoch.clone())
            .prop_map(|(order, pair, epoch)| Step::Reserve { order, pair, epoch }),
        25 => (order.clone(), prop::bool::weighted(0.1), 1..6_i64, epoch.clone()).prop_map(
            |(order, elsewhere, version, epoch)| Step::Release { order, elsewhere, version, epoch }
        ),
        12 => (order.clone(), prop::bool::weighted(0.1), 1..6_i64, epoch.clone()).prop_map(
            |(order, elsewhere, version, epoch)| Step::Claim { order, elsewhere, version, epoch }
        ),
        10 => (order, epoch.clone()).prop_map(|(order, epoch)| Step::Settle { order, epoch }),
        8 => ((0..2_usize, 0..3_usize), 0..6_i64, 1..5_i64, epoch).prop_map(
            |((category, shard), capacity, number, epoch)| Step::Adjust {
                category,
                shard,
                capacity,
                number,
                epoch,
            }
        ),
        6 => prop_oneof![4 => Just(1_i64), 1 => Just(0_i64), 1 => Just(-1_i64)]
            .prop_map(|above| Step::Seed { above }),
        1 => Just(Step::Close),
        1 => Just(Step::Flush),
        1 => Just(Step::LibraryLost),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..STEPS_MAX)
}

/// Everything about an order follows from its number, as the ledger would have it.
fn wish_of(order: u8) -> Wish {
    let (name, _) = CATEGORIES[usize::from(order % 2)];
    wish(u128::from(order))
        .of(name)
        .by(&format!("buyer|{}", order % 4))
        .units(u32::from(order % 3) + 1)
}

fn shards_of(order: u8) -> [i64; 3] {
    CATEGORIES[usize::from(order % 2)].1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    shard: i64,
    is_live: bool,
    is_pending: bool,
    epoch: i64,
    version: i64,
}

#[derive(Debug, Default)]
struct Model {
    /// What the process remembers; lost with process or library.
    armed: Option<i64>,
    /// The epoch that the data carries; lost with the data.
    data: Option<i64>,
    counts: BTreeMap<i64, i64>,
    orders: BTreeMap<u8, Order>,
    /// Units of live orders that a seed at an older epoch did not stage.
    withheld: BTreeMap<i64, i64>,
    /// Adjustment and capacity that each count contains.
    capacities: BTreeMap<i64, (i64, i64)>,
    /// Units that adjustments have added since the seed.
    added: BTreeMap<i64, i64>,
    /// The newest epoch of the ledger.
    newest: i64,
}

impl Model {
    fn epoch(&self) -> Option<i64> {
        self.armed.filter(|epoch| self.data == Some(*epoch))
    }

    fn forget_data(&mut self) {
        self.data = None;
        self.counts.clear();
        self.orders.clear();
        self.withheld.clear();
        self.capacities.clear();
        self.added.clear();
    }

    fn units_of_buyer(&self, order: u8) -> i64 {
        let live = |(number, known): &(&u8, &Order)| known.is_live && *number % 4 == order % 4;
        self.orders
            .iter()
            .filter(live)
            .map(|(number, _)| i64::from(wish_of(*number).quantity))
            .sum()
    }

    fn refusal<T>(&self, epoch: i64, not_armed: T, newer: T, older: T) -> Option<T> {
        match self.epoch() {
            None => Some(not_armed),
            Some(armed) if armed > epoch => Some(newer),
            Some(armed) if armed < epoch => Some(older),
            Some(_) => None,
        }
    }

    /// Law: no unit is lost or made.
    fn conserved(&self) -> bool {
        self.epoch().is_none()
            || self.counts.iter().all(|(shard, count)| {
                let live = self
                    .orders
                    .iter()
                    .filter(|(_, one)| one.is_live && one.shard == *shard);
                let live: i64 = live
                    .map(|(number, _)| i64::from(wish_of(*number).quantity))
                    .sum();
                let of = |units: &BTreeMap<i64, i64>| units.get(shard).copied().unwrap_or(0);
                count + live + of(&self.withheld) == UNITS_PER_SHARD + of(&self.added)
            })
    }
}

/// One run: the model and the real thing.
struct Run {
    model: Model,
    event: ticket_core::EventId,
    store: StockStore,
    connection: MultiplexedConnection,
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), TestCaseError> {
    if holds {
        Ok(())
    } else {
        Err(TestCaseError::fail(what()))
    }
}

impl Run {
    async fn step(&mut self, server: &mut RedisServer, step: &Step) -> Result<(), TestCaseError> {
        let at = |offset: i64, model: &Model| (model.newest + offset).max(1);
        match *step {
            Step::Reserve { order, pair, epoch } => {
                let epoch = at(epoch, &self.model);
                self.reserve(order, pair, epoch).await
            }
            Step::Release {
                order,
                elsewhere,
                version,
                epoch,
            } => {
                let epoch = at(epoch, &self.model);
                self.release(order, elsewhere, version, epoch).await
            }
            Step::Claim {
                order,
                elsewhere,
                version,
                epoch,
            } => {
                let epoch = at(epoch, &self.model);
                self.claim(order, elsewhere, version, epoch).await
            }
            Step::Settle { order, epoch } => {
                let epoch = at(epoch, &self.model);
                let ids = [wish_of(order).order];
                self.store
                    .settle(self.event, Epoch(epoch), &ids)
                    .await
                    .unwrap();
                if self.model.epoch() == Some(epoch)
                    && let Some(known) = self.model.orders.get_mut(&order)
                {
                    known.is_pending = false;
                }
                Ok(())
            }
            Step::Adjust {
                category,
                shard,
                capacity,
                number,
                epoch,
            } => {
                let epoch = at(epoch, &self.model);
                self.adjust((category, shard), capacity, number, epoch)
                    .await
            }
            Step::Seed { above } => {
                let epoch = at(above, &self.model);
                self.seed(epoch).await
            }
            Step::Close => {
                let names = CATEGORIES.map(|(name, _)| category(name));
                self.store.close(self.event, &names).await.unwrap();
                self.model.armed = None;
                self.model.forget_data();
                Ok(())
            }
            Step::Flush => {
                redis::cmd("FLUSHALL")
                    .exec_async(&mut self.connection)
                    .await
                    .unwrap();
                self.model.forget_data();
                Ok(())
            }
            Step::LibraryLost => {
                let mut flush = redis::cmd("FUNCTION");
                flush
                    .arg("FLUSH")
                    .exec_async(&mut self.connection)
                    .await
                    .unwrap();
                self.model.armed = None;
                Ok(())
            }
            Step::Restart => {
                server.kill().await.unwrap();
                server.restart().await.unwrap();
                // A call that was on its way is another test's matter.
                self.store = StockStore::connect(&StockConfig::new(server.url()))
                    .await
                    .unwrap();
                self.connection = raw(server).await;
                self.model.armed = None;
                Ok(())
            }
        }
    }

    async fn reserve(
        &mut self,
        order: u8,
        pair: (u8, u8),
        epoch: i64,
    ) -> Result<(), TestCaseError> {
        let shards = shards_of(order);
        let pair = [shards[usize::from(pair.0)], shards[usize::from(pair.1)]];
        let one = wish_of(order).on(pair).at(epoch);
        let quantity = i64::from(one.quantity);
        let answer = reserve(&self.store, self.event, &one).await;
        let model = &mut self.model;
        let most = shards
            .iter()
            .filter_map(|id| model.counts.get(id))
            .copied()
            .max()
            .unwrap_or(0);
        let fits = match &answer {
            Reserved::WarmingUp => {
                model.armed.is_none() || (model.armed == Some(epoch) && model.data != Some(epoch))
            }
            Reserved::OtherEpoch => model.armed.is_some_and(|armed| armed != epoch),
            _ if model.epoch() != Some(epoch) => false,
            Reserved::Known(record) => model.orders.get(&order).is_some_and(|known| {
                record.shard.get() == known.shard
                    && record.voided != known.is_live
                    && record.pending == known.is_pending
                    && record.epoch == Epoch(known.epoch)
                    && record.version == known.version
                    && record.buyer == one.buyer
                    && record.quantity == one.quantity
                    && record.category == one.category
            }),
            _ if model.orders.contains_key(&order) => false,
            Reserved::SoldOut => most <= 0,
            Reserved::NoShardFits => most > 0 && most < quantity,
            _ if most < quantity => false,
            Reserved::BuyerLimit => model.units_of_buyer(order) + quantity > LIMIT,
            Reserved::Fresh { shard } => {
                model.units_of_buyer(order) + quantity <= LIMIT
                    && shards.contains(&shard.get())
                    && model.counts[&shard.get()] >= quantity
            }
            Reserved::TooFast => false,
        };
        check(fits, || format!("{one:?} answered {answer:?} in {model:?}"))?;
        if let Reserved::Fresh { shard } = answer {
            let shard = shard.get();
            *model.counts.entry(shard).or_default() -= quantity;
            model.orders.insert(
                order,
                Order {
                    shard,
                    is_live: true,
                    is_pending: true,
                    epoch,
                    version: 0,
                },
            );
        }
        Ok(())
    }

    /// The stock shard that the ledger speaks of: the one that the store knows, or another one of the category.
    fn by_ledger(&self, order: u8, elsewhere: bool) -> i64 {
        let shards = shards_of(order);
        let known = self.model.orders.get(&order).map(|known| known.shard);
        let other = shards.into_iter().find(|id| Some(*id) != known);
        let known = known.unwrap_or(shards[0]);
        if elsewhere {
            other.unwrap_or(known)
        } else {
            known
        }
    }

    async fn release(
        &mut self,
        order: u8,
        elsewhere: bool,
        version: i64,
        epoch: i64,
    ) -> Result<(), TestCaseError> {
        let one = wish_of(order);
        let quantity = i64::from(one.quantity);
        let by_ledger = self.by_ledger(order, elsewhere);
        let releases = [one.release(by_ledger, version)];
        let answer = self
            .store
            .release(self.event, &one.category, Epoch(epoch), &releases)
            .await
            .unwrap();
        let model = &mut self.model;
        let known = model.orders.get(&order).copied();
        let refused = model.refusal(
            epoch,
            Released::NotArmed,
            Released::StoreNewer,
            Released::StoreOlder,
        );
        let is_heard =
            known.is_none_or(|known| known.shard == by_ledger && known.version <= version);
        let expected = refused.unwrap_or(match known {
            Some(Order { is_live: true, .. }) if is_heard => Released::Credited,
            Some(_) => Released::AlreadyVoid,
            None => Released::Tombstoned,
        });
        check(answer == [expected], || {
            format!("release {one:?}: {answer:?}, not {expected:?}")
        })?;
        if refused.is_some() || !is_heard {
            return Ok(());
        }
        let void = Order {
            shard: by_ledger,
            is_live: false,
            is_pending: false,
            epoch: known.map_or(epoch, |was| was.epoch),
            version,
        };
        model.orders.insert(order, void);
        if expected == Released::Credited {
            *model.counts.entry(void.shard).or_default() += quantity;
        }
        Ok(())
    }

    async fn claim(
        &mut self,
        order: u8,
        elsewhere: bool,
        version: i64,
        epoch: i64,
    ) -> Result<(), TestCaseError> {
        let one = wish_of(order);
        let quantity = i64::from(one.quantity);
        let by_ledger = self.by_ledger(order, elsewhere);
        let claims = [one.claim(by_ledger, version)];
        let answer = self
            .store
            .claim(self.event, &one.category, Epoch(epoch), &claims)
            .await
            .unwrap();
        let model = &mut self.model;
        let known = model.orders.get(&order).copied();
        let refused = model.refusal(
            epoch,
            Claimed::NotArmed,
            Claimed::StoreNewer,
            Claimed::StoreOlder,
        );
        let is_heard =
            known.is_none_or(|known| known.shard == by_ledger && known.version <= version);
        let has_them = known.is_some_and(|known| known.is_live);
        let expected = refused.unwrap_or(if has_them || !is_heard {
            Claimed::HasThem
        } else {
            Claimed::Taken
        });
        check(answer == [expected], || {
            format!("claim {one:?}: {answer:?}, not {expected:?}")
        })?;
        if refused.is_some() || !is_heard {
            return Ok(());
        }
        let live = Order {
            shard: by_ledger,
            is_live: true,
            is_pending: false,
            epoch: known.map_or(epoch, |was| was.epoch),
            version,
        };
        model.orders.insert(order, live);
        if expected == Claimed::Taken {
            *model.counts.entry(live.shard).or_default() -= quantity;
        }
        Ok(())
    }

    async fn adjust(
        &mut self,
        at: (usize, usize),
        capacity: i64,
        number: i64,
        epoch: i64,
    ) -> Result<(), TestCaseError> {
        let (name, shards) = CATEGORIES[at.0];
        let id = shards[at.1];
        let adjusted = ShardStock {
            capacity,
            adjustment: Adjustment(number),
            ..stock(id, 0)
        };
        let answer = self
            .store
            .adjust(self.event, &category(name), Epoch(epoch), &[adjusted])
            .await
            .unwrap();
        let model = &mut self.model;
        let refused = model.refusal(
            epoch,
            Readjusted::NotArmed,
            Readjusted::StoreNewer,
            Readjusted::StoreOlder,
        );
        let (known, before) = model.capacities.get(&id).copied().unwrap_or((0, 0));
        let expected = match refused {
            Some(refused) => refused,
            None if number > known => Readjusted::Counted,
            None => Readjusted::Nothing,
        };
        check(answer == [expected], || {
            format!("adjust {id}: {answer:?}, not {expected:?}")
        })?;
        if expected == Readjusted::Counted {
            *model.counts.entry(id).or_default() += capacity - before;
            *model.added.entry(id).or_default() += capacity - before;
            model.capacities.insert(id, (number, capacity));
        }
        Ok(())
    }

    /// A warm-up: the ledger has every live order that fits, and the rest is available.
    async fn seed(&mut self, epoch: i64) -> Result<(), TestCaseError> {
        let mut counts: BTreeMap<i64, i64> = CATEGORIES
            .iter()
            .flat_map(|(_, shards)| shards.iter().map(|id| (*id, UNITS_PER_SHARD)))
            .collect();
        let mut orders = BTreeMap::new();
        for (number, known) in &self.model.orders {
            let left = counts.entry(known.shard).or_default();
            let quantity = i64::from(wish_of(*number).quantity);
            if !known.is_live {
                orders.insert(
                    *number,
                    Order {
                        is_pending: false,
                        ..*known
                    },
                );
            } else if *left >= quantity {
                *left -= quantity;
                orders.insert(
                    *number,
                    Order {
                        is_pending: false,
                        ..*known
                    },
                );
            }
        }
        let records: Vec<_> = orders
            .iter()
            .map(|(number, known)| {
                let record = wish_of(*number).record(known.shard, known.epoch);
                ticket_stock::StoreRecord {
                    voided: !known.is_live,
                    version: known.version,
                    ..record
                }
            })
            .collect();
        let is_next = epoch > self.model.newest;
        let staged = if is_next {
            self.store
                .stage(self.event, Epoch(epoch), &records)
                .await
                .unwrap()
        } else {
            0
        };
        let categories = CATEGORIES.iter().map(|(name, shards)| SeedCategory {
            name: category(name),
            shards: shards.iter().map(|id| stock(*id, counts[id])).collect(),
        });
        let seed = Seed {
            max_per_buyer: u32::try_from(LIMIT).unwrap(),
            staged,
            categories: categories.collect(),
            ..vip_seed(self.event, epoch, &[])
        };
        let answer = self.store.seed(&seed).await.unwrap();
        let model = &mut self.model;
        let newest_seen = model.armed.max(model.data).unwrap_or(0);
        let expected = if model.epoch() == Some(epoch) || newest_seen < epoch {
            Seeded::Armed
        } else {
            Seeded::Fenced {
                by: Epoch(newest_seen),
            }
        };
        check(answer == expected, || {
            format!("seed {epoch}: {answer:?}, not {expected:?}")
        })?;
        if newest_seen < epoch {
            model.newest = model.newest.max(epoch);
            model.armed = Some(epoch);
            model.data = Some(epoch);
            model.capacities = counts
                .iter()
                .map(|(id, units)| (*id, (0, *units)))
                .collect();
            model.added.clear();
            model.counts = counts;
            // An older epoch after a loss of everything was staged with nothing.
            model.orders = if is_next { orders } else { BTreeMap::new() };
            model.withheld.clear();
            if !is_next {
                // Then nobody has the units of the live orders that were not staged.
                let missing = model.counts.clone();
                for (id, count) in missing {
                    model.withheld.insert(id, UNITS_PER_SHARD - count);
                }
            }
        }
        Ok(())
    }

    /// All that can be looked at is as the model says.
    async fn compare(&self) -> Result<(), TestCaseError> {
        let model = &self.model;
        check(model.conserved(), || {
            format!("units lost or made: {model:?}")
        })?;
        let epoch = self.store.state(self.event).await.unwrap();
        check(epoch == model.epoch().map(Epoch), || {
            format!("at {epoch:?}, not as {model:?}")
        })?;
        for (name, shards) in CATEGORIES {
            let counts = self
                .store
                .counts(self.event, &category(name))
                .await
                .unwrap();
            let mut expected: Vec<_> = shards
                .iter()
                .filter_map(|id| Some((shard(*id), *model.counts.get(id)?)))
                .collect();
            if model.epoch().is_none() {
                expected.clear();
            }
            check(counts == expected, || {
                format!("{name} has {counts:?}, not as {model:?}")
            })?;
        }
        let pending = self.store.pending_count(self.event).await.unwrap();
        let expected = model.orders.values().filter(|one| one.is_pending).count();
        let expected = if model.epoch().is_some() {
            expected as u64
        } else {
            0
        };
        check(pending == expected, || {
            format!("{pending} pending, not as {model:?}")
        })?;
        for order in 0..ORDERS {
            let record = self
                .store
                .record(self.event, wish_of(order).order)
                .await
                .unwrap();
            let known = model.orders.get(&order);
            let is_same = match (&record, known) {
                (None, None) => true,
                (Some(record), Some(known)) => {
                    record.shard.get() == known.shard
                        && record.voided != known.is_live
                        && record.version == known.version
                }
                (Some(_), None) | (None, Some(_)) => false,
            };
            check(is_same, || {
                format!("order {order} is {record:?}, not {known:?}")
            })?;
        }
        Ok(())
    }
}

async fn run(server: &mut RedisServer, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut run = Run {
        model: Model::default(),
        event: ticket_core::EventId::random(),
        store: StockStore::connect(&StockConfig::new(server.url()))
            .await
            .unwrap(),
        connection: raw(server).await,
    };
    run.seed(1).await?;
    for step in steps {
        run.step(server, step).await?;
        run.compare().await?;
    }
    Ok(())
}

#[test]
fn whatever_happens_the_store_is_as_the_model_says_and_no_unit_is_lost_or_made() {
    let runtime = Runtime::new().unwrap();
    // Data that survives is the harder case: what must not be sold from is still there.
    let mut server = runtime.block_on(server("model", Persistence::EveryWrite));
    let server = std::cell::RefCell::new(&mut server);
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&steps(), |steps| {
        runtime.block_on(run(&mut server.borrow_mut(), &steps))
    });
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
}
