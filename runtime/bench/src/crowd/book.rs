//! The buyers' own book: what each of them was told, written down as it was said. The checker compares it with what the
//! platform says afterwards. Nothing in here asks the platform anything.

use std::collections::BTreeMap;
use std::time::Duration;

use ticket_core::{OrderRef, Reason, State};

use crate::crowd::script::Script;
use crate::latency::Latency;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// The first request of an order.
    Order,
    /// The same request once more, or another payload under its key.
    Repeat,
    /// A request that must be refused.
    Wrong,
    /// Reading an order.
    Read,
    /// Giving an order back.
    Cancel,
    /// Paying at the provider.
    Pay,
}

impl Request {
    /// In words of the report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Repeat => "order again",
            Self::Wrong => "wrong order",
            Self::Read => "read order",
            Self::Cancel => "cancel order",
            Self::Pay => "pay",
        }
    }
}

/// What a request got: status and code, or status 0 when nobody answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerKind {
    /// What was asked.
    pub request: Request,
    /// HTTP status; 0 = no answer.
    pub status: u16,
    /// The problem's or the provider's code; empty if it has none.
    pub code: String,
}

/// What a buyer did about an order, as far as it was confirmed to him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Nothing that counts: went away, or was declined.
    Nothing,
    /// The provider said that the money is there, or on its way.
    Paid,
    /// The provider said that it blocks the payment for good.
    Blocked,
    /// The API took the wish to cancel.
    Cancelled,
    /// The provider said that the money is on its way, and then the API took the wish to cancel.
    PaidThenCancelled,
}

/// An order that was acknowledged to a buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The order.
    pub id: OrderRef,
    /// Tickets asked for.
    pub quantity: u32,
    /// When it was acknowledged, since the doors opened.
    pub after: Duration,
    /// The state that the buyer saw last, and why.
    pub last_state: State,
    /// Why.
    pub last_reason: Option<Reason>,
    /// What the buyer did about it.
    pub deed: Deed,
    /// The buyer had done that while the hold was certain to last, and had cancelled before the news of the money could be there:
    /// what was done must count.
    pub was_in_time: bool,
}

/// What one buyer was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What the buyer came for.
    pub script: Script,
    /// The buyer's id.
    pub buyer: String,
    /// The order, if one was acknowledged.
    pub acknowledged: Option<Acknowledged>,
    /// What was answered against the contract, in words.
    pub faults: Vec<String>,
}

/// What one buyer counted and measured; added up over all.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests by answer.
    pub answers: BTreeMap<AnswerKind, u64>,
    /// From sending an order to its answer.
    pub order: Latency,
    /// From sending a request to read an order to its answer.
    pub read: Latency,
    /// From the acknowledgement to the first read that showed a decision.
    pub decided: Latency,
    /// From the acknowledgement to the first read that showed the order paid.
    pub paid: Latency,
    /// First `sold-out` answer of each category, since the doors opened.
    pub first_sold_out: BTreeMap<usize, Duration>,
}

/// Everything that the crowd was told.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// One entry per buyer.
    pub stories: Vec<Story>,
    /// The sum over all buyers.
    pub tally: Tally,
    /// From the first request to the last buyer's first answer.
    pub rush: Duration,
    /// From the first request to the last answer.
    pub lasted: Duration,
}

impl Book {
    /// Every acknowledged order with its story.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Story, &Acknowledged)> {
        self.stories
            .iter()
            .filter_map(|story| Some((story, story.acknowledged.as_ref()?)))
    }
}
