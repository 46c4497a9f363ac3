//! Commands: what the order log carries. All commands of a stock shard are on one partition, in order.
//! Every command is idempotent; delivery is at least once.

use jiff::Timestamp;

use crate::fact::Payment;
use crate::ids::{Adjustment, BuyerId, Epoch, OrderId, OrderRef, StockShardId};
use crate::machine::{Flag, Reason, Verb};
use crate::wire::{self, DecodeError};

/// Longest encoded command, bytes. A place is about 70 bytes plus the buyer's id.
pub const COMMAND_BYTES_MAX: usize = 4 * 1024;

/// A message on the order log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A buyer's order that the stock store has reserved.
    Place(Place),
    /// Something that happened to an order.
    Order(OrderCommand),
    /// A stock shard shall have more or fewer units.
    Adjust(Adjust),
    /// A warm-up begins here.
    Marker(Marker),
}

/// A buyer's order that the stock store has reserved: take `quantity` units of `shard` in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The order.
    pub order: OrderId,
    /// The stock shard that the stock store picked.
    pub shard: StockShardId,
    /// The epoch of the reservation. The ledger refuses older ones than its row's.
    pub epoch: Epoch,
    /// Who buys.
    pub buyer: BuyerId,
    /// Tickets, at least 1.
    pub quantity: u32,
    /// What the buyer was told that it costs, minor units of the category's currency.
    pub amount_minor: i64,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
}

/// A stock shard shall have `capacity` units. The number is absolute and the adjustment grows, so that a repeat changes
/// nothing and an older one is dropped, in whatever order they come. Never below what is held and sold: what could not
/// be taken back stays, and the fact says how many units there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjust {
    /// The stock shard.
    pub shard: StockShardId,
    /// Which adjustment of the category this is part of. The ledger drops it unless its row has met older ones only.
    pub adjustment: Adjustment,
    /// Units that the stock shard shall have.
    pub capacity: u32,
    /// When it was decided.
    pub at: Timestamp,
}

/// A warm-up of the event begins here. What lies before it in the log was decided for the epoch before; a place of an older
/// epoch that comes after it is refused. One for each stock shard, so that a command belongs to a stock shard without
/// exception and the order of a partition is all the barrier that is needed. A repeat changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The stock shard.
    pub shard: StockShardId,
    /// The epoch that the ledger's row moves to, never back.
    pub epoch: Epoch,
    /// When it was sent.
    pub at: Timestamp,
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderCommand {
    /// The order.
    pub order: OrderId,
    /// Where it lives.
    pub shard: StockShardId,
    /// When it happened, by the clock of whom noticed it.
    pub at: Timestamp,
    /// What happened.
    pub action: Action,
}

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The provider made the payment. The hold's clock starts when the ledger hears of it: what waits on the log during an
    /// outage costs the buyer nothing.
    PaymentReady {
        /// Where the buyer pays.
        payment: Payment,
    },
    /// The money is on its way: the hold lasts `processingFor` from the command's time. From that and not from the
    /// ledger's, because providers repeat their news for days.
    PaymentProcessing,
    /// The money is there.
    PaymentSucceeded,
    /// The payment failed for good.
    PaymentFailed {
        /// [`Reason::Declined`] or [`Reason::Fraud`].
        reason: Reason,
    },
    /// The hold may be over; sent by the partition's owner.
    Expire,
    /// Give the units back, unpaid.
    Cancel {
        /// [`Reason::BuyerRequest`] or [`Reason::ManagerRequest`].
        reason: Reason,
    },
    /// Give units and money back.
    Refund {
        /// [`Reason::BuyerRequest`], [`Reason::ManagerRequest`], [`Reason::Fraud`] ...
        reason: Reason,
    },
    /// The money is back.
    RefundSettled,
    /// The order was reserved in the stock store long ago and may never have reached the log: it shall never exist.
    Void {
        /// Who wanted to buy.
        buyer: BuyerId,
        /// How many units.
        quantity: u32,
    },
    /// Something speaks against the payment.
    Flag {
        /// What.
        flag: Flag,
    },
}

impl Action {
    /// What it wants, without its details: the order machine's input.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::PaymentReady { .. } => Verb::PaymentReady,
            Self::PaymentProcessing => Verb::PaymentProcessing,
            Self::PaymentSucceeded => Verb::PaymentSucceeded,
            Self::PaymentFailed { .. } => Verb::PaymentFailed,
            Self::Expire => Verb::Expire,
            Self::Cancel { .. } => Verb::Cancel,
            Self::Refund { .. } => Verb::Refund,
            Self::RefundSettled => Verb::RefundSettled,
            Self::Void { .. } => Verb::Void,
            Self::Flag { .. } => Verb::Flag,
        }
    }
}

impl Command {
    /// The stock shard that the command is about; it decides the partition.
    #[must_use]
    pub const fn shard(&self) -> StockShardId {
        match self {
            Self::Place(place) => place.shard,
            Self::Order(command) => command.shard,
            Self::Adjust(adjust) => adjust.shard,
            Self::Marker(marker) => marker.shard,
        }
    }

    /// The order that the command is about, if it is about one.
    #[must_use]
    pub const fn order(&self) -> Option<OrderId> {
        match self {
            Self::Place(place) => Some(place.order),
            Self::Order(command) => Some(command.order),
            Self::Adjust(_) | Self::Marker(_) => None,
        }
    }

    /// Key of its message: what the outside calls the order, or the stock shard. For people; the partition is the stock
    /// shard's.
    #[must_use]
    pub fn key(&self) -> String {
        let shard = self.shard();
        match self.order() {
            Some(order) => OrderRef { order, shard }.to_string(),
            None => shard.to_string(),
        }
    }

    /// One version byte, then Protocol Buffers. See [`crate::wire`] for why.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::command::encode(self)
    }

    /// # Errors
    /// [`DecodeError`] if the version is unknown, the bytes are torn, or a value breaks a rule of its type.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::command::decode(bytes)
    }
}
