//! What an order needs of the payment provider, as a fact or the ledger's row says it. Pure: no call, no clock.

use jiff::{SignedDuration, Timestamp};
use ticket_core::{Currency, EventName, Flag, Money, OrderRecord, OrderRef, Reason, State};
use ticket_payments::NewPayment;

use crate::config::ComplaintPolicy;

/// Facts of reserved orders that are older are not acted on: a provider forgets idempotency keys after a day, and the same
/// fact could make a second payment. The reconciler looks at the order's row instead.
const KEYS_LIVE_FOR: SignedDuration = SignedDuration::from_hours(20);

/// One thing to do at the provider for one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errand {
    /// Whose.
    pub(super) order: OrderRef,
    /// What.
    pub(super) task: Task,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// Make the payment, or find the one that was made.
    Make(NewPayment),
    /// Give the money back.
    Refund {
        /// The provider's id of the payment.
        payment: String,
        /// All of it.
        amount: Money,
        /// Why.
        reason: Reason,
    },
    /// Make sure that an order which has ended cannot be paid any more, and learn of money that is there already. The ledger
    /// remembers when that is done; until then the order is looked at again.
    Close {
        /// The provider's id of the payment.
        payment: String,
    },
    /// Ask how the payment stands: its webhook may be lost.
    Ask {
        /// The provider's id of the payment.
        payment: String,
        /// The money was on its way: a payment that is open again has failed, and nobody waits for another try.
        was_on_its_way: bool,
    },
    /// Something speaks against the payment, and the policy says refund.
    TakeBack,
}

impl Task {
    /// Metric label and log field: a closed set.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Make(_) => "make",
            Self::Refund { .. } => "refund",
            Self::Close { .. } => "close",
            Self::Ask { .. } => "ask",
            Self::TakeBack => "take-back",
        }
    }
}

/// An order and what its record does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// The order.
    pub(super) order: OrderRef,
    /// As the ledger has it, or had it when the fact was made.
    pub(super) record: &'a OrderRecord,
    /// Its sale.
    pub(super) event: &'a EventName,
    /// Of its category.
    pub(super) currency: Currency,
}

impl Subject<'_> {
    /// What follows from the fact of a decision, at `now`.
    pub(super) fn after_fact(&self, policy: ComplaintPolicy, now: Timestamp) -> Option<Errand> {
        let record = self.record;
        let payment = record.payment.as_ref().map(|payment| payment.id.clone());
        let task = match (record.state, payment) {
            (State::Reserved, _) if now.duration_since(record.updated_at) > KEYS_LIVE_FOR => None,
            (State::Reserved, _) => Some(self.make()),
            (State::Refunding, Some(payment)) => Some(self.refund(payment)),
            (State::Expired | State::Cancelled | State::PaymentFailed, Some(payment)) => {
                self.close(payment)
            }
            (State::Paid, _) if policy == ComplaintPolicy::Refund => {
                let is_flagged = record.passed.complaints().next().is_some();
                is_flagged.then_some(Task::TakeBack)
            }
            (
                State::Queued
                | State::AwaitingPayment
                | State::Paid
                | State::Refunding
                | State::Refunded
                | State::Rejected
                | State::PaymentFailed
                | State::Expired
                | State::Cancelled,
                _,
            ) => None,
        };
        task.map(|task| self.errand(task))
    }

    /// What an order needs whose news from the provider is overdue. `hold_for` is an ordinary hold of its sale.
    pub(super) fn overdue(&self, hold_for: SignedDuration) -> Option<Errand> {
        let record = self.record;
        let payment = record.payment.as_ref().map(|payment| payment.id.clone());
        let task = match (record.state, payment) {
            // News overtook the payment's details: making it again finds it, and the ledger learns them.
            (State::Reserved, _) | (State::AwaitingPayment | State::Refunding, None) => {
                Some(self.make())
            }
            (State::AwaitingPayment, Some(payment)) => Some(Task::Ask {
                payment,
                was_on_its_way: self.is_hold_longer_than(hold_for),
            }),
            (State::Refunding, Some(payment)) => Some(self.refund(payment)),
            (State::Expired | State::Cancelled | State::PaymentFailed, Some(payment)) => {
                self.close(payment)
            }
            (
                State::Queued
                | State::Paid
                | State::Refunded
                | State::Rejected
                | State::PaymentFailed
                | State::Expired
                | State::Cancelled,
                _,
            ) => None,
        };
        task.map(|task| self.errand(task))
    }

    /// The fact of a payment's end comes round once more when the ledger has learnt of that end.
    fn close(&self, payment: String) -> Option<Task> {
        let is_closed = self.record.passed.has_flag(Flag::PaymentClosed);
        (!is_closed).then_some(Task::Close { payment })
    }

    /// Only a payment that is on its way makes a hold last longer than an ordinary one that began at the last change.
    fn is_hold_longer_than(&self, hold_for: SignedDuration) -> bool {
        let record = self.record;
        let ordinary = record.updated_at.saturating_add(hold_for);
        let ordinary = ordinary.unwrap_or(Timestamp::MAX);
        record.hold_expires_at.is_some_and(|ends| ends > ordinary)
    }

    fn errand(&self, task: Task) -> Errand {
        Errand {
            order: self.order,
            task,
        }
    }

    fn amount(&self) -> Money {
        Money {
            currency: self.currency,
            amount_minor: self.record.amount_minor,
        }
    }

    fn make(&self) -> Task {
        Task::Make(NewPayment {
            order: self.order,
            amount: self.amount(),
            event: self.event.clone(),
            buyer: self.record.buyer.clone(),
        })
    }

    fn refund(&self, payment: String) -> Task {
        Task::Refund {
            payment,
            amount: self.amount(),
            reason: self.record.reason.unwrap_or(Reason::BuyerRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use ticket_core::{BuyerId, OrderId, Passed, Payment, StockShardId};

    use super::*;

    const NOW_S: i64 = 1_800_000_000;
    const HOLD_FOR_S: i64 = 600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(NOW_S + second).unwrap()
    }

    fn record(state: State, has_payment: bool) -> OrderRecord {
        let payment = Payment {
            provider: "stripe".to_owned(),
            id: "pi_1".to_owned(),
            client_secret: "s".to_owned(),
        };
        OrderRecord {
            order: OrderId(uuid::Uuid::from_u128(1)),
            version: 1,
            state,
            reason: None,
            passed: Passed::default().with(state),
            buyer: BuyerId::new("b").unwrap(),
            quantity: 1,
            amount_minor: 500,
            created_at: at(0),
            updated_at: at(0),
            hold_expires_at: None,
            payment: has_payment.then_some(payment),
        }
    }

    fn subject<'a>(record: &'a OrderRecord, event: &'a EventName) -> Subject<'a> {
        Subject {
            order: OrderRef {
                order: record.order,
                shard: StockShardId::new(7).unwrap(),
            },
            record,
            event,
            currency: Currency::new("IDR").unwrap(),
        }
    }

    /// What follows from the fact, and what when nothing comes of it for long.
    fn tasks(record: &OrderRecord, policy: ComplaintPolicy, now: i64) -> [&'static str; 2] {
        let event = "default.demo".parse().unwrap();
        let subject = subject(record, &event);
        let hold_for = SignedDuration::from_secs(HOLD_FOR_S);
        [
            subject.after_fact(policy, at(now)),
            subject.overdue(hold_for),
        ]
        .map(|errand| errand.map_or("-", |errand| errand.task.as_str()))
    }

    #[test]
    fn every_state_has_its_errand() {
        let of = |state, has_payment| tasks(&record(state, has_payment), ComplaintPolicy::Flag, 1);
        assert_eq!(of(State::Reserved, false), ["make", "make"]);
        assert_eq!(of(State::AwaitingPayment, true), ["-", "ask"]);
        assert_eq!(of(State::AwaitingPayment, false), ["-", "make"]);
        assert_eq!(of(State::Refunding, true), ["refund", "refund"]);
        assert_eq!(of(State::Refunding, false), ["-", "make"]);
        for ended in [State::Expired, State::Cancelled, State::PaymentFailed] {
            assert_eq!(of(ended, true), ["close", "close"]);
            assert_eq!(of(ended, false), ["-", "-"]);
            // Else closing it would lead to a fact that leads to closing it.
            let mut closed = record(ended, true);
            closed.passed = closed.passed.with_flag(Flag::PaymentClosed);
            assert_eq!(tasks(&closed, ComplaintPolicy::Flag, 1), ["-", "-"]);
        }
        for over in [State::Paid, State::Refunded, State::Rejected] {
            assert_eq!(of(over, true), ["-", "-"]);
        }
    }

    #[test]
    fn an_old_fact_makes_no_second_payment() {
        let reserved = record(State::Reserved, false);
        let day = 24 * 3_600;
        assert_eq!(tasks(&reserved, ComplaintPolicy::Flag, day), ["-", "make"]);
    }

    #[test]
    fn only_a_flagged_order_is_taken_back_and_only_if_the_policy_says_so() {
        let mut paid = record(State::Paid, true);
        assert_eq!(tasks(&paid, ComplaintPolicy::Refund, 1)[0], "-");
        paid.passed = paid.passed.with_flag(Flag::PaymentClosed);
        assert_eq!(tasks(&paid, ComplaintPolicy::Refund, 1)[0], "-");
        paid.passed = paid.passed.with_flag(Flag::Disputed);
        assert_eq!(tasks(&paid, ComplaintPolicy::Flag, 1)[0], "-");
        assert_eq!(tasks(&paid, ComplaintPolicy::Refund, 1)[0], "take-back");
    }
    #[test]
    fn a_hold_that_was_made_longer_tells_that_money_was_on_its_way() {
        let event = "default.demo".parse().unwrap();
        let was_on_its_way = |hold_s: i64, changed_s: i64| {
            let mut waiting = record(State::AwaitingPayment, true);
            waiting.hold_expires_at = Some(at(hold_s));
            waiting.updated_at = at(changed_s);
            let hold_for = SignedDuration::from_secs(HOLD_FOR_S);
            match subject(&waiting, &event).overdue(hold_for).unwrap().task {
                Task::Ask { was_on_its_way, .. } => was_on_its_way,
                other => panic!("{other:?}"),
            }
        };
        assert!(!was_on_its_way(HOLD_FOR_S, 0));
        // Its payment's details came later: the hold began before.
        assert!(!was_on_its_way(HOLD_FOR_S, 30));
        assert!(was_on_its_way(24 * 3_600, 30));
    }
}
