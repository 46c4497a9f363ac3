//! Facts: what the ledger decided. One message on `order-events` for each ledger call: the stock shard's new version and
//! counts, and every order that the call touched, whole. A repeat carries the same versions.

use jiff::Timestamp;

use crate::ids::{
    Adjustment, BuyerId, CategoryName, Epoch, EventId, EventName, OrderId, OrderRef, StockShardId,
};
use crate::machine::{Passed, Reason, State};
use crate::money::{Currency, Money};
use crate::wire::{self, DecodeError};

/// Where a buyer pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// `stripe`.
    pub provider: String,
    /// The provider's id: `pi_...`.
    pub id: String,
    /// What the buyer's browser needs to confirm it.
    pub client_secret: String,
}

/// An order as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// The order.
    pub order: OrderId,
    /// Version of the stock shard when the order last changed. Grows; a consumer drops what is not newer.
    pub version: i64,
    /// Its state; never `Queued`.
    pub state: State,
    /// Why, where there is something to say.
    pub reason: Option<Reason>,
    /// Every state that it has been in.
    pub passed: Passed,
    /// Who buys.
    pub buyer: BuyerId,
    /// Tickets.
    pub quantity: u32,
    /// Minor units of the category's currency.
    pub amount_minor: i64,
    /// When the API accepted it.
    pub created_at: Timestamp,
    /// When it last changed; a flag does not count.
    pub updated_at: Timestamp,
    /// When the hold ends, while there is one that runs.
    pub hold_expires_at: Option<Timestamp>,
    /// Where the buyer pays, once the provider made the payment.
    pub payment: Option<Payment>,
}

/// The counters of one stock shard or the sum over several. `capacity = available + held + sold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct StockCounts {
    /// Units there are.
    pub capacity: i64,
    /// Units nobody has.
    pub available: i64,
    /// Units of orders that are not paid yet.
    pub held: i64,
    /// Units of paid orders.
    pub sold: i64,
}

impl StockCounts {
    /// Law 1.
    #[must_use]
    pub const fn is_conserved(&self) -> bool {
        self.available >= 0
            && self.held >= 0
            && self.sold >= 0
            && self.capacity == self.available + self.held + self.sold
    }
}

/// A stock shard as the stock store has to know it, read from the ledger in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardStock {
    /// The stock shard.
    pub shard: StockShardId,
    /// Units nobody has.
    pub available: i64,
    /// Units there are.
    pub capacity: i64,
    /// The newest adjustment that the capacity contains.
    pub adjustment: Adjustment,
}

/// Units that changed between sold and not sold. An order has one of `Sold` and `Claimed` in its life, and then at most
/// one `Returned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockMove {
    /// The order.
    pub order: OrderId,
    /// Its tickets.
    pub quantity: u32,
    /// Which way.
    pub kind: MoveKind,
    /// Version of the stock shard in the call that did it. Who has seen that version has counted it.
    pub version: i64,
}

/// Which way units moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveKind {
    /// Paid while they were held.
    Sold,
    /// Paid when the hold was over: taken from what was available.
    Claimed,
    /// Sold before, available now.
    Returned,
}

impl std::ops::AddAssign for StockCounts {
    fn add_assign(&mut self, other: Self) {
        self.capacity += other.capacity;
        self.available += other.available;
        self.held += other.held;
        self.sold += other.sold;
    }
}

/// What one ledger call decided on one stock shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactBatch {
    /// The sale.
    pub event: EventId,
    /// Its name, so that no reader needs a look-up.
    pub event_name: EventName,
    /// The category that the stock shard belongs to.
    pub category: CategoryName,
    /// Currency of all amounts.
    pub currency: Currency,
    /// The stock shard.
    pub shard: StockShardId,
    /// Epoch of the stock shard's row in that transaction.
    pub epoch: Epoch,
    /// Version of the stock shard after the call.
    pub version: i64,
    /// Its counters after the call.
    pub stock: StockCounts,
    /// Every order that the call touched or was asked about.
    pub orders: Vec<OrderRecord>,
    /// What became of the units of these orders once they were sold, in this call or an earlier one.
    pub moves: Vec<StockMove>,
    /// The newest adjustment that the stock shard has met, if the call was about one.
    pub adjustment: Option<Adjustment>,
}

impl FactBatch {
    /// What the outside calls `order`.
    #[must_use]
    pub const fn reference(&self, order: &OrderRecord) -> OrderRef {
        OrderRef {
            order: order.order,
            shard: self.shard,
        }
    }

    /// What `order` costs.
    #[must_use]
    pub const fn amount(&self, order: &OrderRecord) -> Money {
        Money {
            currency: self.currency,
            amount_minor: order.amount_minor,
        }
    }

    /// One version byte, then Protocol Buffers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::fact::encode(self)
    }

    /// # Errors
    /// [`DecodeError`] if the version is unknown, the bytes are torn, or a value breaks a rule of its type.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::fact::decode(bytes)
    }
}
