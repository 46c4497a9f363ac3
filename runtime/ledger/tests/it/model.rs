//! The ledger in memory, on top of `ticket_core::machine`, and the real one side by side: random batches, every answer and
//! every counter compared, law 1 checked after each step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use ticket_core::machine::{Next, Units, next};
use ticket_core::{
    Action, Adjustment, Epoch, Flag, MoveKind, OrderCommand, OrderId, OrderRecord, Passed, Place,
    Reason, State, StockCounts, StockMove, StockShardId,
};
use ticket_ledger::{Adjusted, Applied, PlaceOutcome, ShardBatch};

use crate::fixture::{
    self, Kind, TestLedger, batch, command, payment_ready, place, second, seconds,
};

/// Cases; each is a stock shard of its own and up to eight calls. Fewer on Citus, which runs the same function, only slower.
const CASES_PLAIN: u32 = 150;
const CASES_CITUS: u32 = 50;

/// Epoch of the stock shards here: places carry 1 (stale), 2 or 3 (newer).
const EPOCH: Epoch = Epoch(2);

/// Orders that a case knows: few, so that they meet often.
const ORDERS: u128 = 6;

#[test]
fn random_batches_are_decided_as_by_the_model_plain() {
    compare(Kind::Plain, CASES_PLAIN);
}

#[test]
fn random_batches_are_decided_as_by_the_model_citus() {
    compare(Kind::Citus, CASES_CITUS);
}

fn compare(kind: Kind, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let Some(db) = runtime.block_on(TestLedger::together(kind)) else {
        eprintln!("skipped: this PostgreSQL has no Citus");
        return;
    };
    let event = runtime
        .block_on(db.event(&ticket_testkit::unique("model")))
        .id;
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    // An adjustment to so many units, under this number, after some of the calls.
    let adjust = proptest::option::of((0_i64..5, 0_u32..12));
    let case = (0_u32..12, vec((steps(), any::<bool>(), adjust), 1..5));
    let run = |(capacity, calls): (u32, Vec<Call>)| {
        runtime.block_on(async {
            let shard = db.more_stock(event, capacity).await;
            let mut sql = db.sql().await;
            sqlx::query("UPDATE stock_shards SET epoch = $2 WHERE stock_shard_id = $1")
                .bind(shard.get())
                .bind(EPOCH.0)
                .execute(&mut sql)
                .await
                .unwrap();
            let mut model = Model::new(capacity);
            for (steps, is_delivered_twice, adjust) in calls {
                let batch = steps.batch(shard);
                for _ in 0..=u32::from(is_delivered_twice) {
                    let mut real = db.ledger.apply(&batch).await.unwrap();
                    real.touched.sort_by_key(|order| order.order);
                    real.moves.sort_by_key(|units| (units.order, units.version));
                    let expected = model.apply(&batch);
                    prop_assert_eq!(&real, &expected);
                    prop_assert!(real.stock.is_conserved(), "{:?}", real.stock);
                    prop_assert_eq!(real.stock, model.sums());
                }
                let Some((number, capacity)) = adjust else {
                    continue;
                };
                for _ in 0..=u32::from(is_delivered_twice) {
                    let number = Adjustment(number);
                    let real = db.ledger.adjust(shard, number, capacity).await.unwrap();
                    prop_assert_eq!(real, model.adjust(number, capacity));
                    prop_assert!(real.stock.is_conserved(), "{:?}", real.stock);
                }
            }
            Ok::<(), TestCaseError>(())
        })
    };
    TestRunner::new(config).run(&case, run).unwrap();
    // And all of them together add up.
    let view = runtime
        .block_on(db.ledger.audit_view(event, second(0)))
        .unwrap();
    assert!(view.shards.iter().all(ticket_ledger::AuditShard::adds_up));
}

/// A batch, whether it comes twice, and an adjustment after it: number and capacity.
type Call = (Steps, bool, Option<(i64, u32)>);

/// What a call holds, before the stock shard is known.
#[derive(Debug, Clone)]
struct Steps {
    places: Vec<(u128, u32, i64)>,
    commands: Vec<(u128, i64, Action)>,
}

impl Steps {
    fn batch(&self, shard: StockShardId) -> ShardBatch {
        let places = self.places.iter().map(|&(number, quantity, epoch)| Place {
            epoch: Epoch(epoch),
            ..place(shard, number, quantity)
        });
        let commands = self.commands.iter();
        let commands =
            commands.map(|(number, at, action)| command(shard, *number, *at, action.clone()));
        batch(shard, places.collect(), commands.collect())
    }
}

fn steps() -> impl Strategy<Value = Steps> {
    let place = (
        0..ORDERS,
        1_u32..4,
        prop_oneof![1 => Just(1_i64), 8 => Just(2), 1 => Just(3)],
    );
    // Times around the end of a hold (600 s after the decision, which is at 100 s) and of a slow payment (86,400 s).
    let at = prop_oneof![
        Just(0_i64),
        Just(1),
        Just(699),
        Just(700),
        Just(701),
        Just(90_000)
    ];
    let command = (0..ORDERS, at, action());
    (vec(place, 0..5), vec(command, 0..7)).prop_map(|(places, commands)| Steps { places, commands })
}

fn action() -> impl Strategy<Value = Action> {
    let failed = prop_oneof![Just(Reason::Declined), Just(Reason::Fraud)];
    let wish = || prop_oneof![Just(Reason::BuyerRequest), Just(Reason::ManagerRequest)];
    prop_oneof![
        3 => (0_u128..3).prop_map(payment_ready),
        2 => Just(Action::PaymentProcessing),
        3 => Just(Action::PaymentSucceeded),
        1 => failed.prop_map(|reason| Action::PaymentFailed { reason }),
        2 => Just(Action::Expire),
        2 => wish().prop_map(|reason| Action::Cancel { reason }),
        2 => wish().prop_map(|reason| Action::Refund { reason }),
        1 => Just(Action::RefundSettled),
        2 => proptest::sample::select(Flag::ALL.to_vec()).prop_map(|flag| Action::Flag { flag }),
        1 => (1_u32..4).prop_map(|quantity| Action::Void { buyer: fixture::buyer(9), quantity }),
    ]
}

struct Model {
    version: i64,
    capacity: i64,
    adjustment: Adjustment,
    orders: BTreeMap<OrderId, OrderRecord>,
    moves: Vec<StockMove>,
}

impl Model {
    fn new(capacity: u32) -> Self {
        Self {
            version: 0,
            capacity: i64::from(capacity),
            adjustment: Adjustment::NONE,
            orders: BTreeMap::new(),
            moves: Vec::new(),
        }
    }

    /// The counters, from the orders alone.
    fn sums(&self) -> StockCounts {
        let of = |units: Units| -> i64 {
            let orders = self
                .orders
                .values()
                .filter(|order| order.state.units() == units);
            orders.map(|order| i64::from(order.quantity)).sum()
        };
        let (held, sold) = (of(Units::Held), of(Units::Sold));
        StockCounts {
            capacity: self.capacity,
            available: self.capacity - held - sold,
            held,
            sold,
        }
    }

    fn adjust(&mut self, adjustment: Adjustment, capacity: u32) -> Adjusted {
        if adjustment > self.adjustment {
            let StockCounts { held, sold, .. } = self.sums();
            self.version += 1;
            self.adjustment = adjustment;
            self.capacity = i64::from(capacity).max(held + sold);
        }
        Adjusted {
            epoch: EPOCH,
            version: self.version,
            stock: self.sums(),
            adjustment: self.adjustment,
        }
    }

    fn apply(&mut self, batch: &ShardBatch) -> Applied {
        self.version += 1;
        let decided: Vec<_> = batch
            .places
            .iter()
            .enumerate()
            .map(|(at, place)| self.place(batch, at, place))
            .collect();
        let mut illegal = 0;
        let mut rest: Vec<&OrderCommand> = batch.commands.iter().collect();
        while !rest.is_empty() {
            // A round: the first command of each order that is left.
            let mut round: Vec<&OrderCommand> = Vec::new();
            rest.retain(|command| {
                let is_next = !round.iter().any(|taken| taken.order == command.order);
                if is_next {
                    round.push(command);
                }
                !is_next
            });
            illegal += self.round(batch, &round);
        }
        // Known places are answered with the row as it is after the call.
        let places = decided.into_iter().map(|outcome| match outcome {
            PlaceOutcome::Known(order) => PlaceOutcome::Known(self.orders[&order.order].clone()),
            other @ (PlaceOutcome::Fresh { .. } | PlaceOutcome::Repeated) => other,
        });
        let places: Vec<_> = places.collect();
        let asked = batch.commands.iter().map(|command| command.order);
        let asked: std::collections::BTreeSet<_> = asked.collect();
        let known = places.iter().filter_map(|outcome| match outcome {
            PlaceOutcome::Known(order) => Some(order.order),
            PlaceOutcome::Fresh { .. } | PlaceOutcome::Repeated => None,
        });
        let read: std::collections::BTreeSet<_> = asked.iter().copied().chain(known).collect();
        let moves = self
            .moves
            .iter()
            .filter(|units| read.contains(&units.order));
        let mut moves: Vec<_> = moves.copied().collect();
        moves.sort_by_key(|units| (units.order, units.version));
        Applied {
            epoch: EPOCH,
            version: self.version,
            places,
            stock: self.sums(),
            touched: asked
                .iter()
                .filter_map(|order| self.orders.get(order).cloned())
                .collect(),
            moves,
            illegal,
        }
    }

    fn place(&mut self, batch: &ShardBatch, at: usize, place: &Place) -> PlaceOutcome {
        if batch.places[..at]
            .iter()
            .any(|earlier| earlier.order == place.order)
        {
            return PlaceOutcome::Repeated;
        }
        if let Some(order) = self.orders.get(&place.order) {
            return PlaceOutcome::Known(order.clone());
        }
        let fits = i64::from(place.quantity) <= self.sums().available;
        let (state, reason) = if place.epoch < EPOCH {
            (State::Rejected, Some(Reason::StaleEpoch))
        } else if fits {
            (State::Reserved, None)
        } else {
            (State::Rejected, Some(Reason::SoldOut))
        };
        let order = OrderRecord {
            order: place.order,
            version: self.version,
            state,
            reason,
            passed: Passed::default().with(state),
            buyer: place.buyer.clone(),
            quantity: place.quantity,
            amount_minor: place.amount_minor,
            created_at: place.accepted_at,
            updated_at: batch.now,
            hold_expires_at: None,
            payment: None,
        };
        self.orders.insert(place.order, order);
        PlaceOutcome::Fresh { state, reason }
    }

    /// All but late money first, then late money in order. Answers how many commands were illegal.
    fn round(&mut self, batch: &ShardBatch, round: &[&OrderCommand]) -> u32 {
        let mut illegal = 0;
        let mut late = Vec::new();
        for command in round {
            let Some(order) = self.orders.get(&command.order) else {
                if let Action::Void { buyer, quantity } = &command.action {
                    let order = voided(batch, command, self.version, buyer.clone(), *quantity);
                    self.orders.insert(command.order, order);
                } else {
                    illegal += 1;
                }
                continue;
            };
            match next(order.state, command.action.verb()) {
                Next::Illegal => illegal += 1,
                Next::ClaimOrRefund => late.push(*command),
                Next::Move(to) => self.change(batch, command, to, None),
                Next::ExpireIfDue => {
                    let is_due = order.hold_expires_at.is_some_and(|end| end <= command.at);
                    let to = if is_due { State::Expired } else { order.state };
                    self.change(batch, command, to, None);
                }
                Next::Stay | Next::Extend | Next::Mark => {
                    let to = order.state;
                    self.change(batch, command, to, None);
                }
            }
        }
        for command in late {
            let wanted = i64::from(self.orders[&command.order].quantity);
            if wanted <= self.sums().available {
                self.change(batch, command, State::Paid, None);
            } else {
                self.change(batch, command, State::Refunding, Some(Reason::LateMoney));
            }
        }
        illegal
    }

    fn change(
        &mut self,
        batch: &ShardBatch,
        command: &OrderCommand,
        to: State,
        because: Option<Reason>,
    ) {
        let order = self.orders.get_mut(&command.order).unwrap();
        let before = order.clone();
        if let Action::PaymentReady { payment } = &command.action {
            order.payment.get_or_insert_with(|| payment.clone());
        }
        if let Action::Flag { flag } = command.action {
            order.passed = order.passed.with_flag(flag);
        }
        order.hold_expires_at = hold(batch, command, &before, to);
        if to != before.state {
            order.reason = because.or_else(|| reason(&command.action, &before, to));
            order.state = to;
            order.passed = order.passed.with(to);
        }
        if *order != before {
            let closed = Flag::PaymentClosed;
            if !matches!(command.action, Action::Flag { flag } if flag == closed) {
                order.version = self.version;
            }
            if !matches!(command.action, Action::Flag { .. }) {
                order.updated_at = batch.now;
            }
        }
        let was_over =
            [State::Expired, State::Cancelled, State::PaymentFailed].contains(&before.state);
        let kind = match (before.state.units(), to.units()) {
            (Units::Sold, Units::Free) => MoveKind::Returned,
            (Units::Free, Units::Sold) if was_over => MoveKind::Claimed,
            (Units::Held, Units::Sold) => MoveKind::Sold,
            _ => return,
        };
        self.moves.push(StockMove {
            order: command.order,
            quantity: before.quantity,
            kind,
            version: self.version,
        });
    }
}

fn hold(
    batch: &ShardBatch,
    command: &OrderCommand,
    before: &OrderRecord,
    to: State,
) -> Option<Timestamp> {
    if to != State::AwaitingPayment {
        return None;
    }
    if matches!(command.action, Action::PaymentProcessing) {
        let end = command.at + seconds(batch.processing_for_s);
        before.hold_expires_at.max(Some(end))
    } else if before.state == State::Reserved {
        Some(batch.now + seconds(batch.hold_for_s))
    } else {
        before.hold_expires_at
    }
}

fn reason(action: &Action, before: &OrderRecord, to: State) -> Option<Reason> {
    match (action, to) {
        (_, State::Paid | State::AwaitingPayment) => None,
        (_, State::Refunded) if before.state == State::Paid => Some(Reason::Provider),
        (_, State::Refunded) => before.reason,
        (_, State::Expired) => Some(Reason::HoldExpired),
        (Action::PaymentSucceeded, State::Refunding) => Some(Reason::LateMoney),
        (
            Action::Cancel { reason }
            | Action::Refund { reason }
            | Action::PaymentFailed { reason },
            _,
        ) => Some(*reason),
        _ => None,
    }
}

fn voided(
    batch: &ShardBatch,
    command: &OrderCommand,
    version: i64,
    buyer: ticket_core::BuyerId,
    quantity: u32,
) -> OrderRecord {
    OrderRecord {
        order: command.order,
        version,
        state: State::Rejected,
        reason: Some(Reason::Void),
        passed: Passed::default().with(State::Rejected),
        buyer,
        quantity,
        amount_minor: 0,
        created_at: command.at,
        updated_at: batch.now,
        hold_expires_at: None,
        payment: None,
    }
}
