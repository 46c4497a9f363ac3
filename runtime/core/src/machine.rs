//! The order machine: which command moves an order from which state to which. One table; the ledger's SQL function
//! `order_next` is held equal to it by a test. It knows nothing of stock counts, time or messages.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of an order. The numbers are stored in the ledger and sent in facts: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum State {
    /// In the order log, not decided yet. Never stored in the ledger.
    Queued = 0,
    /// The ledger holds the units; the payment is being made.
    Reserved = 1,
    /// The buyer can pay; the hold's clock runs.
    AwaitingPayment = 2,
    /// Paid: the units are sold.
    Paid = 3,
    /// The units are back, the money is on its way to the buyer.
    Refunding = 4,
    /// The money is back.
    Refunded = 5,
    /// The ledger said no.
    Rejected = 6,
    /// The payment failed for good.
    PaymentFailed = 7,
    /// Nobody paid while the hold lasted.
    Expired = 8,
    /// Given back before it was paid.
    Cancelled = 9,
}

/// Where the units of an order are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// In nobody's hand: they are available, or never were taken.
    Free,
    /// Counted in `held`.
    Held,
    /// Counted in `sold`.
    Sold,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Reserved,
        Self::AwaitingPayment,
        Self::Paid,
        Self::Refunding,
        Self::Refunded,
        Self::Rejected,
        Self::PaymentFailed,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The state with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The number that the ledger stores.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// `snake_case`, as in the buyer API and as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Reserved => "reserved",
            Self::AwaitingPayment => "awaiting_payment",
            Self::Paid => "paid",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
            Self::Rejected => "rejected",
            Self::PaymentFailed => "payment_failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Where the order's units are. Law 1 sums over this.
    #[must_use]
    pub const fn units(self) -> Units {
        match self {
            Self::Reserved | Self::AwaitingPayment => Units::Held,
            Self::Paid => Units::Sold,
            Self::Queued
            | Self::Refunding
            | Self::Refunded
            | Self::Rejected
            | Self::PaymentFailed
            | Self::Expired
            | Self::Cancelled => Units::Free,
        }
    }

    /// Final for waiting and for event streams. `Paid` is: a later refund is a new wish.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Paid
            | Self::Rejected
            | Self::PaymentFailed
            | Self::Expired
            | Self::Cancelled
            | Self::Refunded => true,
            Self::Queued | Self::Reserved | Self::AwaitingPayment | Self::Refunding => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a command wants of an order that the ledger knows, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Verb {
    /// The provider made the payment; the hold's clock starts.
    PaymentReady = 1,
    /// The money is on its way (bank transfer): the hold lasts longer.
    PaymentProcessing = 2,
    /// The money is there.
    PaymentSucceeded = 3,
    /// The payment failed for good.
    PaymentFailed = 4,
    /// The hold is over. Counts only if it is over by the ledger's own row.
    Expire = 5,
    /// Give the units back, unpaid.
    Cancel = 6,
    /// Give units and money back.
    Refund = 7,
    /// The money is back.
    RefundSettled = 8,
    /// This order was reserved in the stock store and may never have reached the log: it shall never exist.
    Void = 9,
    /// Something is to be remembered about its payment: a [`Flag`].
    Flag = 10,
}

impl Verb {
    /// Every verb, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::PaymentReady,
        Self::PaymentProcessing,
        Self::PaymentSucceeded,
        Self::PaymentFailed,
        Self::Expire,
        Self::Cancel,
        Self::Refund,
        Self::RefundSettled,
        Self::Void,
        Self::Flag,
    ];

    /// The number that the ledger's function takes.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }
}

/// What a command does to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// The order is in this state from now on.
    Move(State),
    /// A repeat, or news that came too late to matter: nothing changes and nobody is told off.
    Stay,
    /// The hold lasts longer; the state stays.
    Extend,
    /// The order expires if its hold is over by the ledger's row, else nothing changes.
    ExpireIfDue,
    /// Money came after the hold had ended: paid if the units are still there, else refunding.
    ClaimOrRefund,
    /// The flag is remembered; the state stays.
    Mark,
    /// Nobody may do this now: a caller gets `illegal-transition`, on the log it is counted and dropped.
    Illegal,
}

/// The order machine.
#[must_use]
#[expect(
    clippy::match_same_arms,
    reason = "a table is read by state, not by answer"
)]
pub const fn next(state: State, verb: Verb) -> Next {
    use Next::{ClaimOrRefund, ExpireIfDue, Extend, Illegal, Mark, Move, Stay};
    use State as S;
    use Verb as V;
    match (state, verb) {
        // Not in the ledger yet. Void is how the reaper closes the door before a late place.
        (S::Queued, V::Void) => Move(S::Rejected),
        (S::Queued, V::Cancel | V::Refund) => Illegal,
        (
            S::Queued,
            V::PaymentReady
            | V::PaymentProcessing
            | V::PaymentSucceeded
            | V::PaymentFailed
            | V::Expire
            | V::RefundSettled
            | V::Flag,
        ) => Illegal,

        (S::Reserved, V::PaymentReady) => Move(S::AwaitingPayment),
        (S::AwaitingPayment, V::PaymentReady) => Stay,
        // Webhooks overtake our own command: the provider's word counts.
        (S::Reserved, V::PaymentProcessing) => Move(S::AwaitingPayment),
        (S::AwaitingPayment, V::PaymentProcessing) => Extend,
        (S::Reserved | S::AwaitingPayment, V::PaymentSucceeded) => Move(S::Paid),
        (S::Reserved | S::AwaitingPayment, V::PaymentFailed) => Move(S::PaymentFailed),
        (S::AwaitingPayment, V::Expire) => ExpireIfDue,
        (S::Reserved, V::Expire) => Stay,
        (S::Reserved | S::AwaitingPayment, V::Cancel) => Move(S::Cancelled),
        (S::Reserved | S::AwaitingPayment, V::Refund | V::RefundSettled) => Illegal,

        (S::Paid, V::Refund) => Move(S::Refunding),
        // Refunded at the provider's own dashboard.
        (S::Paid, V::RefundSettled) => Move(S::Refunded),
        (S::Paid, V::Cancel) => Illegal,
        (S::Refunding, V::RefundSettled) => Move(S::Refunded),
        (S::Refunding | S::Refunded, V::Refund) | (S::Refunded, V::RefundSettled) => Stay,
        (S::Refunding | S::Refunded, V::Cancel) => Illegal,

        (S::PaymentFailed | S::Expired, V::PaymentSucceeded) => ClaimOrRefund,
        // Somebody said that the order is not wanted any more, while the money was on its way: it only goes back.
        (S::Cancelled, V::PaymentSucceeded) => Move(S::Refunding),
        (S::Cancelled, V::Cancel) => Stay,
        (S::PaymentFailed | S::Expired, V::Cancel) => Illegal,
        (S::PaymentFailed | S::Expired | S::Cancelled, V::Refund | V::RefundSettled) => Illegal,
        // A rejected order never had a payment.
        (S::Rejected, V::Cancel | V::Refund | V::PaymentSucceeded | V::RefundSettled | V::Flag) => {
            Illegal
        }

        // Also before the money is known of: warnings overtake the news that they are about.
        (
            S::Reserved
            | S::AwaitingPayment
            | S::Paid
            | S::Refunding
            | S::Refunded
            | S::PaymentFailed
            | S::Expired
            | S::Cancelled,
            V::Flag,
        ) => Mark,

        // News that came too late: success is final, and so is an end.
        (
            S::Paid
            | S::Refunding
            | S::Refunded
            | S::Rejected
            | S::PaymentFailed
            | S::Expired
            | S::Cancelled,
            V::PaymentReady | V::PaymentProcessing | V::PaymentFailed | V::Expire,
        )
        | (S::Paid | S::Refunding | S::Refunded, V::PaymentSucceeded)
        | (
            S::Reserved
            | S::AwaitingPayment
            | S::Paid
            | S::Refunding
            | S::Refunded
            | S::Rejected
            | S::PaymentFailed
            | S::Expired
            | S::Cancelled,
            V::Void,
        ) => Stay,
    }
}

/// Why an order is in its state. The numbers are stored: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i16)]
pub enum Reason {
    /// The ledger had no units left.
    SoldOut = 1,
    /// Reserved before a warm-up and decided after it: that reservation is void.
    StaleEpoch = 2,
    /// Never acknowledged; the reaper closed it.
    Void = 3,
    /// The provider declined the payment for good.
    Declined = 4,
    /// The provider blocked the payment as fraud.
    Fraud = 5,
    /// Nobody paid while the hold lasted.
    HoldExpired = 6,
    /// The buyer wanted it.
    BuyerRequest = 7,
    /// An event manager wanted it.
    ManagerRequest = 8,
    /// Money came after the hold had ended and the units were gone, or after the order was cancelled.
    LateMoney = 9,
    /// The provider says so: refunded or cancelled at its own dashboard.
    Provider = 10,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::SoldOut,
        Self::StaleEpoch,
        Self::Void,
        Self::Declined,
        Self::Fraud,
        Self::HoldExpired,
        Self::BuyerRequest,
        Self::ManagerRequest,
        Self::LateMoney,
        Self::Provider,
    ];

    /// The reason with this number; 0 and unknown numbers are none.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.number() == number)
    }

    /// The number that the ledger stores.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// `kebab-case`, as in the buyer API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SoldOut => "sold-out",
            Self::StaleEpoch => "stale-epoch",
            Self::Void => "void",
            Self::Declined => "declined",
            Self::Fraud => "fraud",
            Self::HoldExpired => "hold-expired",
            Self::BuyerRequest => "buyer-request",
            Self::ManagerRequest => "manager-request",
            Self::LateMoney => "late-money",
            Self::Provider => "provider",
        }
    }
}

/// What is remembered about the payment of an order beside its state. A flag changes no state by itself: whether the money
/// goes back after a complaint is the platform's policy. The numbers are stored: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i16)]
pub enum Flag {
    /// The buyer's bank suspects fraud.
    FraudWarning = 1,
    /// The buyer wants the money back through the bank.
    Disputed = 2,
    /// The provider said that the payment can never be paid any more: no late money is to be looked for. It is nobody's
    /// news, so the order keeps its version.
    PaymentClosed = 3,
}

impl Flag {
    /// Every flag, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::FraudWarning, Self::Disputed, Self::PaymentClosed];

    /// The flag with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.number() == number)
    }

    /// The number that commands carry.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// `kebab-case`, as in the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FraudWarning => "fraud-warning",
            Self::Disputed => "disputed",
            Self::PaymentClosed => "payment-closed",
        }
    }

    /// Does it speak against the payment? The others are for our own books.
    #[must_use]
    pub const fn is_complaint(self) -> bool {
        match self {
            Self::FraudWarning | Self::Disputed => true,
            Self::PaymentClosed => false,
        }
    }

    /// Its bit in [`Passed`]: from the top down, where states come from below. The sign bit stays free.
    const fn bit(self) -> i16 {
        1 << (15 - self.number())
    }
}

/// What an order has been through: the states that it has been in, and its flags. A fact carries it, so that a consumer
/// that saw only the last of several facts (a crash between ledger and facts) still knows what happened on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Passed(pub i16);

impl Passed {
    /// The set with `state` added.
    #[must_use]
    pub const fn with(self, state: State) -> Self {
        Self(self.0 | 1 << state.number())
    }

    /// Was the order in `state` at any time?
    #[must_use]
    pub const fn contains(self, state: State) -> bool {
        self.0 & 1 << state.number() != 0
    }

    /// The set with `flag` added.
    #[must_use]
    pub const fn with_flag(self, flag: Flag) -> Self {
        Self(self.0 | flag.bit())
    }

    /// Does the order have `flag`?
    #[must_use]
    pub const fn has_flag(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// The flags of the order.
    pub fn flags(self) -> impl Iterator<Item = Flag> {
        Flag::ALL
            .into_iter()
            .filter(move |flag| self.has_flag(*flag))
    }

    /// The flags that speak against its payment.
    pub fn complaints(self) -> impl Iterator<Item = Flag> {
        self.flags().filter(|flag| flag.is_complaint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(state));
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason.number()), Some(reason));
        }
        for flag in Flag::ALL {
            assert_eq!(Flag::from_number(flag.number()), Some(flag));
        }
        assert_eq!(Flag::from_number(0), None);
        assert_eq!(State::from_number(10), None);
        assert_eq!(Reason::from_number(0), None);
    }

    #[test]
    fn units_leave_free_only_by_a_claim_or_a_place() {
        for state in State::ALL {
            for verb in Verb::ALL {
                let Next::Move(to) = next(state, verb) else {
                    continue;
                };
                let from_free = state.units() == Units::Free;
                assert!(
                    !from_free || to.units() == Units::Free,
                    "{state} {verb:?} -> {to}"
                );
            }
        }
    }

    #[test]
    fn every_command_is_idempotent() {
        for state in State::ALL {
            for verb in Verb::ALL {
                let Next::Move(to) = next(state, verb) else {
                    continue;
                };
                // `processing` lengthens a hold; it may do so twice.
                let again = next(to, verb);
                assert!(
                    matches!(again, Next::Stay | Next::Extend),
                    "{state} {verb:?} -> {to} {verb:?} -> {again:?}"
                );
            }
        }
    }

    #[test]
    fn passed_remembers() {
        let passed = Passed::default().with(State::Reserved).with(State::Paid);
        assert!(passed.contains(State::Reserved) && passed.contains(State::Paid));
        assert!(!passed.contains(State::Refunded));
        assert_eq!(passed.flags().count(), 0);
    }

    #[test]
    fn flags_and_states_never_share_a_bit() {
        let states = State::ALL.into_iter().fold(Passed::default(), Passed::with);
        assert_eq!(states.flags().count(), 0);
        let flags = Flag::ALL
            .into_iter()
            .fold(Passed::default(), Passed::with_flag);
        assert_eq!(flags.flags().collect::<Vec<_>>(), Flag::ALL);
        assert!(flags.0 > 0, "the sign bit is free");
        for state in State::ALL {
            assert!(!flags.contains(state), "{state}");
        }
    }
}
