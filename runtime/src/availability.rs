//! How much is left, in words that a public page may show. Read from the stock store, at most once a second per event, so
//! that a crowd that reloads the page costs nothing; while the store is refilled, from the ledger, which is what it becomes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use ticket_core::{CategoryName, Epoch, EventId};
use ticket_ledger::Ledger;
use ticket_stock::StockStore;
use ticket_telemetry::chain;
use tracing::debug;
use utoipa::ToSchema;

use crate::catalog::{CategoryEntry, EventEntry, Sale};

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
    ledger: Ledger,
    /// One reader of the ledger at a time: whoever comes after a loss, and that is everybody, waits for his answer.
    reading: tokio::sync::Mutex<()>,
    looks: Mutex<HashMap<EventId, (Instant, Arc<Look>)>>,
}

impl AvailabilityCache {
    /// Nothing looked at yet.
    #[must_use]
    pub(crate) fn new(stock: StockStore, ledger: Ledger) -> Self {
        Self {
            stock,
            ledger,
            reading: tokio::sync::Mutex::default(),
            looks: Mutex::default(),
        }
    }

    /// What is left of `event`, at most [`FRESH_FOR`] old. A store that does not answer is one that is warming up.
    pub(crate) async fn look(&self, event: &EventEntry) -> Arc<Look> {
        if let Some(look) = self.known(event.id()) {
            return look;
        }
        let armed: Option<Epoch> = self.stock.state(event.id()).await.ok().flatten();
        let is_armed = armed == Some(event.epoch());
        // What is over has nothing in the store, and nothing to sell.
        if is_armed || event.row.is_closed {
            let left = self.in_store(event).await;
            return self.keep(event, Look { is_armed, left });
        }
        let _one_at_a_time = self.reading.lock().await;
        if let Some(look) = self.known(event.id()) {
            return look;
        }
        let left = self.in_ledger(event).await;
        self.keep(event, Look { is_armed, left })
    }

    fn known(&self, event: EventId) -> Option<Arc<Look>> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|_, (at, _)| at.elapsed() < FRESH_FOR);
        looks.get(&event).map(|(_, look)| look.clone())
    }

    fn keep(&self, event: &EventEntry, look: Look) -> Arc<Look> {
        let look = Arc::new(look);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.insert(event.id(), (Instant::now(), look.clone()));
        look
    }

    async fn in_store(&self, event: &EventEntry) -> HashMap<CategoryName, Availability> {
        let mut left = HashMap::new();
        for CategoryEntry { name, .. } in &event.categories {
            let counts = self.stock.counts(event.id(), name).await;
            let units = counts
                .unwrap_or_default()
                .into_iter()
                .map(|(_, units)| units);
            left.insert(name.clone(), in_words(units, event.quantity(name)));
        }
        left
    }

    async fn in_ledger(&self, event: &EventEntry) -> HashMap<CategoryName, Availability> {
        let rows = self.ledger.stock(event.id()).await.unwrap_or_else(|error| {
            debug!(error = %chain(&error), event = %event.name(), "what is left is not known");
            Vec::new()
        });
        let of = |CategoryEntry { name, .. }: &CategoryEntry| {
            let mine = rows.iter().filter(|row| row.category == *name);
            let units = mine.map(|row| row.counts.available);
            (name.clone(), in_words(units, event.quantity(name)))
        };
        event.categories.iter().map(of).collect()
    }
}

fn in_words(units: impl Iterator<Item = i64>, capacity: u64) -> Availability {
    let left: i64 = units.map(|units| units.max(0)).sum();
    let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
    if left == 0 {
        Availability::SoldOut
    } else if left.saturating_mul(100) <= capacity.saturating_mul(FEW_LEFT_PERCENT) {
        Availability::FewLeft
    } else {
        Availability::Available
    }
}
