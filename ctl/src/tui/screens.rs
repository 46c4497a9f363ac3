//! The views: what each shows, as rows, columns and lines. How they are drawn is `view`'s business, and nothing here changes
//! anything.

mod events;
mod lag;
mod orders;
mod rebalances;
mod shards;
mod stock;
mod warmup;

use ratatui::text::Line;

use super::action::Place;
use super::grid::{Column, Grid};
use super::reading::Topic;
use super::state::State;

pub(super) use rebalances::find as rebalance;

/// A view with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Screen {
    /// All events.
    Events,
    /// Categories of the chosen event.
    Categories,
    /// Stock shards of a category.
    StockShards {
        /// Its name.
        category: String,
    },
    /// Ledger nodes and Citus shards.
    Shards,
    /// Warm-up of the chosen event.
    Warmup,
    /// Orders of the chosen event.
    Orders {
        /// Only those of this stock shard.
        stock_shard: Option<i64>,
    },
    /// One order.
    Order {
        /// Its reference.
        id: String,
    },
    /// Consumer lag.
    Lag,
    /// Rebalances of the ledger.
    Rebalances,
    /// One rebalance with its moves.
    Rebalance {
        /// Its name.
        name: String,
    },
}

impl Screen {
    /// Where `place` begins.
    #[must_use]
    pub const fn of(place: Place) -> Self {
        match place {
            Place::Events => Self::Events,
            Place::Stock => Self::Categories,
            Place::Shards => Self::Shards,
            Place::Warmup => Self::Warmup,
            Place::Orders => Self::Orders { stock_shard: None },
            Place::Lag => Self::Lag,
            Place::Rebalances => Self::Rebalances,
        }
    }

    /// What its numbers come from.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Events => Topic::Events,
            Self::Categories | Self::StockShards { .. } => Topic::Stock,
            Self::Shards => Topic::Shards,
            Self::Warmup => Topic::Warmup,
            Self::Orders { .. } => Topic::Orders,
            Self::Order { .. } => Topic::Order,
            Self::Lag => Topic::Lag,
            Self::Rebalances | Self::Rebalance { .. } => Topic::Rebalances,
        }
    }

    /// Its columns; of one order none.
    #[must_use]
    pub const fn columns(&self) -> &'static [Column] {
        match self {
            Self::Events => events::COLUMNS,
            Self::Categories => stock::CATEGORIES,
            Self::StockShards { .. } => stock::SHARDS,
            Self::Shards => shards::COLUMNS,
            Self::Warmup => warmup::COLUMNS,
            Self::Orders { .. } => orders::COLUMNS,
            Self::Order { .. } => &[],
            Self::Lag => lag::COLUMNS,
            Self::Rebalances => rebalances::COLUMNS,
            Self::Rebalance { .. } => rebalances::MOVES,
        }
    }

    /// Its name in the line of views that led here.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Events => "events".to_owned(),
            Self::Categories => "stock".to_owned(),
            Self::StockShards { category } => format!("stock shards of {category}"),
            Self::Shards => "ledger shards".to_owned(),
            Self::Warmup => "warm-up".to_owned(),
            Self::Orders { stock_shard: None } => "orders".to_owned(),
            Self::Orders {
                stock_shard: Some(shard),
            } => format!("orders of stock shard {shard}"),
            Self::Order { id } => id.clone(),
            Self::Lag => "consumer lag".to_owned(),
            Self::Rebalances => "rebalances".to_owned(),
            Self::Rebalance { name } => name.clone(),
        }
    }

    /// For tests over all views.
    #[cfg(test)]
    pub(super) fn one_of_each() -> Vec<Self> {
        vec![
            Self::Events,
            Self::Categories,
            Self::StockShards {
                category: "vip".to_owned(),
            },
            Self::Shards,
            Self::Warmup,
            Self::Orders { stock_shard: None },
            Self::Orders {
                stock_shard: Some(7),
            },
            Self::Order {
                id: "ord_1".to_owned(),
            },
            Self::Lag,
            Self::Rebalances,
            Self::Rebalance {
                name: "drain-1".to_owned(),
            },
        ]
    }
}

/// The rows of the view that is seen, filtered and sorted.
#[must_use]
pub fn grid(state: &State) -> Grid<'_> {
    let screen = state.screen();
    let rows = match screen {
        Screen::Events => events::rows(state),
        Screen::Categories => stock::categories(state),
        Screen::StockShards { category } => stock::shards(state, category),
        Screen::Shards => shards::rows(state),
        Screen::Warmup => warmup::rows(state),
        Screen::Orders { stock_shard } => orders::rows(state, *stock_shard),
        Screen::Order { .. } => Vec::new(),
        Screen::Lag => lag::rows(state),
        Screen::Rebalances => rebalances::rows(state),
        Screen::Rebalance { name } => rebalances::moves(state, name),
    };
    let mut grid = Grid::new(screen.columns(), rows);
    if let Some(list) = state.list() {
        grid.filter(&list.filter);
        if let Some(sort) = list.sort {
            grid.sort(sort);
        }
    }
    grid
}

/// The lines above the rows of the view that is seen.
#[must_use]
pub fn header(state: &State) -> Vec<Line<'static>> {
    match state.screen() {
        Screen::Events | Screen::Lag | Screen::Rebalances => Vec::new(),
        Screen::Categories | Screen::StockShards { .. } => stock::header(state),
        Screen::Shards => shards::header(state),
        Screen::Warmup => warmup::header(state),
        Screen::Orders { stock_shard } => orders::header(state, *stock_shard),
        Screen::Order { .. } => orders::details(state),
        Screen::Rebalance { name } => rebalances::header(state, name),
    }
}

/// A label and what it says, for the lines above the rows.
fn field(state: &State, label: &'static str, text: impl Into<String>) -> Line<'static> {
    Line::from(vec![
        ratatui::text::Span::styled(format!("{label:<12} "), state.theme.dim()),
        ratatui::text::Span::raw(text.into()),
    ])
}
