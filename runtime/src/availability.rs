//! How much is left, in words that a public page may show. Read from the stock store, at most once a second per event, so
//! that a crowd that reloads the page costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use ticket_core::{CategoryName, Epoch, EventId};
use ticket_stock::StockStore;
use utoipa::ToSchema;

use crate::catalog::{EventEntry, Sale};

/// How old an answer may be.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// At or below this share of its capacity a category has only a few tickets left, percent.
const FEW_LEFT_PERCENT: i64 = 10;

/// How much of a category is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Availability {
    /// More than a few.
    Available,
    /// At most a tenth.
    FewLeft,
    /// None at the moment; holds that are not paid come back.
    SoldOut,
}

/// How a sale stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SaleState {
    /// Not yet.
    Scheduled,
    /// Orders are taken.
    OnSale,
    /// Not now, later again.
    Paused,
    /// Open, but nothing is left in any category.
    SoldOut,
    /// Open, but the stock store is being refilled.
    WarmingUp,
    /// Never again.
    Closed,
}

/// What was left at one look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    is_armed: bool,
    left: HashMap<CategoryName, Availability>,
}

impl Look {
    /// How much of `category` is left.
    #[must_use]
    pub(crate) fn of(&self, category: &CategoryName) -> Availability {
        self.left
            .get(category)
            .copied()
            .unwrap_or(Availability::SoldOut)
    }

    /// How the sale stands.
    #[must_use]
    pub(crate) fn sale(&self, sale: Sale) -> SaleState {
        match sale {
            Sale::Scheduled => SaleState::Scheduled,
            Sale::Paused => SaleState::Paused,
            Sale::Closed => SaleState::Closed,
            Sale::Open if !self.is_armed => SaleState::WarmingUp,
            Sale::Open
                if self
                    .left
                    .values()
                    .all(|left| *left == Availability::SoldOut) =>
            {
                SaleState::SoldOut
            }
            Sale::Open => SaleState::OnSale,
        }
    }
}

/// Looks at the stock store, at most once a second per event.
pub(crate) struct AvailabilityCache {
    stock: StockStore,
    looks: Mutex<HashMap<EventId, (Instant, Arc<Look>)>>,
}

impl AvailabilityCache {
    /// Nothing looked at yet.
    #[must_use]
    pub(crate) fn new(stock: StockStore) -> Self {
        Self {
            stock,
            looks: Mutex::default(),
        }
    }

    /// What is left of `event`, at most [`FRESH_FOR`] old. A store that does not answer is one that is warming up.
    pub(crate) async fn look(&self, event: &EventEntry) -> Arc<Look> {
        let known = {
            let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
            looks.retain(|_, (at, _)| at.elapsed() < FRESH_FOR);
            looks.get(&event.id()).map(|(_, look)| look.clone())
        };
        if let Some(look) = known {
            return look;
        }
        let look = Arc::new(self.read(event).await);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.insert(event.id(), (Instant::now(), look.clone()));
        look
    }

    async fn read(&self, event: &EventEntry) -> Look {
        let armed: Option<Epoch> = self.stock.state(event.id()).await.ok().flatten();
        let mut look = Look {
            is_armed: armed == Some(event.epoch()),
            left: HashMap::new(),
        };
        for category in &event.categories {
            let counts = self
                .stock
                .counts(event.id(), &category.name)
                .await
                .unwrap_or_default();
            let left: i64 = counts.iter().map(|(_, units)| (*units).max(0)).sum();
            let capacity = i64::try_from(event.quantity(&category.name)).unwrap_or(i64::MAX);
            let availability = if left == 0 {
                Availability::SoldOut
            } else if left.saturating_mul(100) <= capacity.saturating_mul(FEW_LEFT_PERCENT) {
                Availability::FewLeft
            } else {
                Availability::Available
            };
            look.left.insert(category.name.clone(), availability);
        }
        look
    }
}
