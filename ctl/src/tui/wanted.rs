//! What the background tasks should ask for, as it follows from what is on the screen.

use super::reading::Topic;
use super::screens::Screen;
use super::state::State;

/// Orders on a page.
pub const PAGE_ORDERS: u32 = 200;

/// Orders that are looked through for those of one stock shard: the most that the admin API gives at once.
pub const SHARD_ORDERS_MAX: u32 = 1_000;

/// A question to be asked again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// [`Topic::Access`].
    Access,
    /// [`Topic::Events`].
    Events,
    /// [`Topic::Stock`], as a stream.
    Stock {
        /// `<namespace>.<name>`.
        event: String,
    },
    /// [`Topic::Shards`].
    Shards,
    /// [`Topic::Warmup`].
    Warmup {
        /// `<namespace>.<name>`.
        event: String,
    },
    /// [`Topic::Orders`].
    Orders {
        /// `<namespace>.<name>`.
        event: String,
        /// Where the page begins.
        cursor: Option<String>,
        /// Orders on the page.
        limit: u32,
    },
    /// [`Topic::Order`].
    Order {
        /// Its reference.
        id: String,
    },
    /// [`Topic::Lag`].
    Lag,
    /// [`Topic::Rebalances`].
    Rebalances,
}

impl Ask {
    /// What it is about.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Access => Topic::Access,
            Self::Events => Topic::Events,
            Self::Stock { .. } => Topic::Stock,
            Self::Shards => Topic::Shards,
            Self::Warmup { .. } => Topic::Warmup,
            Self::Orders { .. } => Topic::Orders,
            Self::Order { .. } => Topic::Order,
            Self::Lag => Topic::Lag,
            Self::Rebalances => Topic::Rebalances,
        }
    }
}

/// What should be asked for: at most one question per topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The questions.
    pub asks: Vec<Ask>,
    /// Another round: everything is asked at once.
    pub round: u64,
}

/// What `state` wants to know.
#[must_use]
pub fn wanted(state: &State) -> Wanted {
    let mut asks = vec![Ask::Access, Ask::Events];
    if let Some(event) = &state.event {
        let event = event.clone();
        // The bar shows the lock in every view.
        asks.push(Ask::Warmup {
            event: event.clone(),
        });
        // Also while somebody looks deeper: the rate needs snapshots without a gap.
        let is_stock = |screen: &Screen| matches!(screen, Screen::Categories);
        if state.stack.iter().any(|open| is_stock(&open.screen)) {
            asks.push(Ask::Stock {
                event: event.clone(),
            });
        }
        if let Screen::Orders { stock_shard } = state.screen() {
            asks.push(Ask::Orders {
                event,
                cursor: state.page.cursor.clone(),
                limit: stock_shard.map_or(PAGE_ORDERS, |_| SHARD_ORDERS_MAX),
            });
        }
    }
    match state.screen() {
        Screen::Order { id } => asks.push(Ask::Order { id: id.clone() }),
        Screen::Shards => asks.extend([Ask::Shards, Ask::Rebalances]),
        Screen::Rebalances | Screen::Rebalance { .. } => asks.push(Ask::Rebalances),
        Screen::Lag => asks.push(Ask::Lag),
        Screen::Events
        | Screen::Categories
        | Screen::StockShards { .. }
        | Screen::Warmup
        | Screen::Orders { .. } => {}
    }
    Wanted {
        asks,
        round: state.round,
    }
}
