//! The cheap way to say "sold out". When the stock store has said that no unit of a category is left, the API believes it
//! for a moment and asks only whether the order is known already: a repeat of an `Idempotency-Key` finds its order for
//! ever, also after the last ticket. That question is asked for many requests in one call, so that a crowd that comes too
//! late costs the stock store next to nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ticket_core::{CategoryName, Epoch, EventId, OrderId};
use ticket_stock::{KNOWN_ORDERS_MAX, StockStore};
use tokio_util::sync::CancellationToken;

use super::gather::Gather;
use super::per_category::PerCategory;

/// How long the word of the stock store is believed: so long may units that came back stay unseen.
const BELIEVED_FOR: Duration = Duration::from_millis(200);

/// Questions for the stock store that are under way at once. It answers in a moment, and one after the other in any case.
const BATCHES_AT_ONCE: usize = 1;

/// Not sold out, as far as is known.
const OPEN: u64 = 0;

/// Which categories are sold out, for the moment.
pub(crate) struct SoldOut {
    began: Instant,
    /// Until when, in microseconds since `began`; [`OPEN`] if not.
    until: PerCategory<AtomicU64>,
    known: Gather<(EventId, Epoch, OrderId), bool>,
}

impl SoldOut {
    /// Nothing is sold out yet. Ends with `stop`.
    pub(crate) fn start(stock: &StockStore, stop: &CancellationToken) -> Self {
        let stock = stock.clone();
        let ask = move |questions| {
            let stock = stock.clone();
            async move { which_are_known(&stock, questions).await }
        };
        Self {
            began: Instant::now(),
            until: PerCategory::default(),
            known: Gather::start(KNOWN_ORDERS_MAX, BATCHES_AT_ONCE, stop, ask),
        }
    }

    /// Is the category sold out, and is this a new order? Otherwise the stock store must be asked itself, which one
    /// request in [`BELIEVED_FOR`] does in any case.
    pub(crate) async fn turns_away(
        &self,
        event: EventId,
        epoch: Epoch,
        category: &CategoryName,
        order: OrderId,
    ) -> bool {
        self.is_believed(event, category) && !self.may_know(event, epoch, order).await
    }

    /// Does the stock store know the order? In doubt: yes.
    pub(crate) async fn may_know(&self, event: EventId, epoch: Epoch, order: OrderId) -> bool {
        let is_known = self.known.ask((event, epoch, order)).await;
        is_known.unwrap_or(true)
    }

    /// The stock store has said so.
    pub(crate) fn note(&self, event: EventId, category: &CategoryName) {
        let until = self.micros(BELIEVED_FOR);
        self.until
            .of(event, category)
            .store(until, Ordering::Relaxed);
    }

    /// The stock store has given units of it.
    pub(crate) fn clear(&self, event: EventId, category: &CategoryName) {
        self.until
            .of(event, category)
            .store(OPEN, Ordering::Relaxed);
    }

    fn is_believed(&self, event: EventId, category: &CategoryName) -> bool {
        let noted = self.until.of(event, category);
        let until = noted.load(Ordering::Relaxed);
        if until == OPEN {
            return false;
        }
        if self.micros(Duration::ZERO) < until {
            return true;
        }
        // Over: the first who comes looks again, the others believe it until they are told otherwise.
        let later = self.micros(BELIEVED_FOR);
        let is_first = noted.compare_exchange(until, later, Ordering::Relaxed, Ordering::Relaxed);
        is_first.is_err()
    }

    fn micros(&self, ahead: Duration) -> u64 {
        u64::try_from((self.began.elapsed() + ahead).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Unknown events, other epochs and a store that does not answer: known, so that the long way is taken.
async fn which_are_known(
    stock: &StockStore,
    questions: Vec<(EventId, Epoch, OrderId)>,
) -> Vec<bool> {
    let mut by_event: HashMap<(EventId, Epoch), Vec<usize>> = HashMap::with_capacity(1);
    for (at, (event, epoch, _)) in questions.iter().enumerate() {
        by_event.entry((*event, *epoch)).or_default().push(at);
    }
    let mut answers = vec![true; questions.len()];
    for ((event, epoch), places) in by_event {
        let orders: Vec<OrderId> = places.iter().map(|at| questions[*at].2).collect();
        let known = stock.known(event, epoch, &orders).await;
        if let Ok(Some(known)) = known {
            for (at, is_known) in places.into_iter().zip(known) {
                answers[at] = is_known;
            }
        }
    }
    answers
}
