//! What the background tasks bring: readings of the admin API, and how deeds ended.

use jiff::Timestamp;
use ticket_admin::{
    DependenciesView, EventView, LagEntry, List, OrderView, ShardsView, StockView, WarmupView,
};

use super::action::Deed;

/// What can be asked for. One reading of each is kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Who the asker is, and what the platform needs.
    Access,
    /// All events.
    Events,
    /// Stock of the chosen event.
    Stock,
    /// Ledger nodes and shards.
    Shards,
    /// Warm-up of the chosen event.
    Warmup,
    /// A page of orders.
    Orders,
    /// One order.
    Order,
    /// Consumer lag.
    Lag,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Access,
        Self::Events,
        Self::Stock,
        Self::Shards,
        Self::Warmup,
        Self::Orders,
        Self::Order,
        Self::Lag,
    ];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "platform",
            Self::Events => "events",
            Self::Stock => "stock",
            Self::Shards => "shards",
            Self::Warmup => "warm-up",
            Self::Orders => "orders",
            Self::Order => "order",
            Self::Lag => "lag",
        }
    }
}

/// An answer of the admin API.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Of [`Topic::Access`].
    Access(DependenciesView),
    /// Of [`Topic::Events`].
    Events(Vec<EventView>),
    /// Of [`Topic::Stock`].
    Stock(StockView),
    /// Of [`Topic::Shards`].
    Shards(ShardsView),
    /// Of [`Topic::Warmup`].
    Warmup(WarmupView),
    /// Of [`Topic::Orders`], with the event that they are of.
    Orders(String, List<OrderView>),
    /// Of [`Topic::Order`].
    Order(Box<OrderView>),
    /// Of [`Topic::Lag`].
    Lag(Vec<LagEntry>),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What and why, on one line, with its code.
    pub what: String,
    /// What to do.
    pub next: Option<String>,
}

/// An answer, or why there is none.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was asked.
    pub topic: Topic,
    /// When the answer came.
    pub at: Timestamp,
    /// The answer.
    pub result: Result<Answer, Trouble>,
}

/// A deed with what it is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What.
    pub deed: Deed,
    /// `<namespace>.<name>`.
    pub event: String,
    /// Of deeds on an order.
    pub order: Option<String>,
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = super::action::Action::Do(self.deed).help();
        match &self.order {
            Some(order) => write!(f, "{what} {order}"),
            None => write!(f, "{what} of {}", self.event),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which.
    pub command: Command,
    /// What it brought about, in a few words.
    pub result: Result<String, Trouble>,
}
