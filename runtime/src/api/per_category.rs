//! Something small for each category of each event, made when it is first asked for. Its number is that of categories.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ticket_core::{CategoryName, EventId};

/// A `T` for each category.
#[derive(Default)]
pub(crate) struct PerCategory<T> {
    all: RwLock<HashMap<EventId, HashMap<CategoryName, Arc<T>>>>,
}

impl<T: Default> PerCategory<T> {
    /// The one of this category.
    pub(crate) fn of(&self, event: EventId, category: &CategoryName) -> Arc<T> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&event).and_then(|event| event.get(category)) {
            return known.clone();
        }
        drop(all);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let of_event = all.entry(event).or_default();
        of_event.entry(category.clone()).or_default().clone()
    }
}
