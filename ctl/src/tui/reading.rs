//! What the background tasks bring: readings of the platform, and how deeds ended.

use jiff::Timestamp;
use ticket_admin::{
    DependenciesView, EventView, LagEntry, List, OrderView, ShardsView, StockView, WarmupView,
};

use super::action::Deed;
use crate::rebalance::Rebalance;

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
    /// Rebalances of the ledger.
    Rebalances,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Access,
        Self::Events,
        Self::Stock,
        Self::Shards,
        Self::Warmup,
        Self::Orders,
        Self::Order,
        Self::Lag,
        Self::Rebalances,
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
            Self::Rebalances => "rebalances",
        }
    }
}

/// An answer of the admin API, of rebalances one of Kubernetes.
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
    /// Of [`Topic::Rebalances`], the newest first.
    Rebalances(Vec<Rebalance>),
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

/// What a deed is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An event, `<namespace>.<name>`.
    Event(String),
    /// An order.
    Order {
        /// Its reference.
        id: String,
        /// Its event, `<namespace>.<name>`.
        event: String,
    },
    /// All of the ledger.
    Ledger,
    /// A ledger node, `host:port`.
    Node(String),
    /// An event's stock and a node for it.
    Pin {
        /// `<namespace>.<name>`.
        event: String,
        /// `host:port`.
        node: String,
    },
    /// A rebalance as it was shown.
    Rebalance {
        /// Its name.
        name: String,
        /// Its version.
        version: Option<String>,
    },
}

impl Target {
    /// What it is, and the name that has to be typed before it is hurt: of an event without its namespace, as for `--confirm`.
    #[must_use]
    pub fn typed(&self) -> (&'static str, &str) {
        match self {
            Self::Event(event) | Self::Order { event, .. } | Self::Pin { event, .. } => {
                let name = event
                    .split_once('.')
                    .map_or(event.as_str(), |(_, name)| name);
                ("event", name)
            }
            Self::Ledger => ("command", "ledger"),
            Self::Node(node) => ("node", node),
            Self::Rebalance { name, .. } => ("rebalance", name),
        }
    }
}

/// A deed with what it is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What.
    pub deed: Deed,
    /// To what.
    pub target: Target,
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = super::action::Action::Do(self.deed).help();
        match &self.target {
            Target::Event(event) => write!(f, "{what} of {event}"),
            Target::Order { id, .. } => write!(f, "{what} {id}"),
            Target::Ledger => f.write_str(what),
            Target::Node(node) => write!(f, "{what} {node}"),
            Target::Pin { event, node } => write!(f, "{what} {event} to {node}"),
            Target::Rebalance { name, .. } => write!(f, "{what} {name}"),
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
