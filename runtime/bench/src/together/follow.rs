//! Joins answers and facts: every order that a buyer was told of with 202 must come as a fact, once or more often, and the
//! time between the two is what a buyer waits for. Where orders are paid, the word of the provider and the fact that follows
//! are joined in the same way. Knows no HTTP and no Kafka.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_bus::Tail;
use ticket_core::{EventId, FactBatch, OrderId, OrderRef, State};
use tokio::task::JoinHandle;

use crate::latency::Latency;
use crate::load::{Answer, Orders, Request, Script};

/// What is known of an order.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Answered(Instant),
    Decided(Instant),
    Both,
}

/// What was counted since [`Follow::begin`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    /// From the 202 to the fact at a reader.
    pub(crate) decided_after: Latency,
    /// Orders that were decided.
    pub(crate) decided: u32,
    /// Ledger calls that decided something new.
    pub(crate) calls: u32,
    /// From the moment the provider's word was sent to the fact `paid` at a reader.
    pub(crate) paid_after: Latency,
    first_answer: Option<Instant>,
    last_fact: Option<Instant>,
}

impl Counted {
    /// Decided orders per second, from the first answer to the last fact.
    pub(crate) fn per_second(&self) -> f64 {
        let (Some(first), Some(last)) = (self.first_answer, self.last_fact) else {
            return 0.0;
        };
        let took = last.saturating_duration_since(first).as_secs_f64();
        f64::from(self.decided) / took.max(f64::EPSILON)
    }

    /// Decided orders per ledger call.
    pub(crate) fn orders_per_call(&self) -> f64 {
        f64::from(self.decided) / f64::from(self.calls.max(1))
    }

    /// The latency that `percent` of all orders did not exceed, milliseconds; 0 without orders.
    pub(crate) fn decided_after_ms(&self, percent: f64) -> f64 {
        ms(&self.decided_after, percent)
    }

    /// The same from the provider's word to the fact `paid`.
    pub(crate) fn paid_after_ms(&self, percent: f64) -> f64 {
        ms(&self.paid_after, percent)
    }
}

fn ms(latency: &Latency, percent: f64) -> f64 {
    let latency = latency.percentile(percent);
    latency.unwrap_or_default().as_secs_f64() * 1_000.0
}

#[derive(Debug, Default)]
struct Book {
    orders: HashMap<OrderId, Seen>,
    answered: u32,
    decided: u32,
    /// Decided orders that nobody has paid, the oldest first; stays empty where nobody pays.
    unpaid: VecDeque<OrderRef>,
    /// When the provider's word for an order was sent; its fact is awaited.
    told: HashMap<OrderId, Instant>,
    paid: u32,
    counted: Counted,
    /// The first thing that must not be.
    wrong: Option<String>,
}

/// The orders of one event, from both sides.
#[derive(Debug)]
pub(crate) struct Follow {
    event: EventId,
    /// Whether decided orders are kept for somebody who pays them.
    are_paid: bool,
    book: Mutex<Book>,
}

impl Follow {
    /// Follows orders of `event`. `room` is the number of orders to expect: a table that grows would stop everybody.
    pub(crate) fn new(event: EventId, room: usize) -> Arc<Self> {
        Arc::new(Self::with(event, room, false))
    }

    /// The same, and decided orders are handed out by [`Follow::next_to_pay`].
    pub(crate) fn paying(event: EventId, room: usize) -> Arc<Self> {
        Arc::new(Self::with(event, room, true))
    }

    fn with(event: EventId, room: usize, are_paid: bool) -> Self {
        let book = Book {
            orders: HashMap::with_capacity(room),
            ..Book::default()
        };
        Self {
            event,
            are_paid,
            book: Mutex::new(book),
        }
    }

    /// The decided order that has waited longest for its money, if there is one. From now on its fact is awaited.
    pub(crate) fn next_to_pay(&self) -> Option<OrderRef> {
        let mut book = self.book();
        let order = book.unpaid.pop_front()?;
        book.told.insert(order.order, Instant::now());
        Some(order)
    }

    /// Orders whose payment was told of and that have no fact of it yet, and those that have.
    pub(crate) fn payments(&self) -> (usize, u32) {
        let book = self.book();
        (book.told.len(), book.paid)
    }

    /// Orders that buyers were told of.
    pub(crate) fn answered(&self) -> u32 {
        self.book().answered
    }

    /// Orders that were decided.
    pub(crate) fn decided(&self) -> u32 {
        self.book().decided
    }

    /// Counts from 0 again.
    pub(crate) fn begin(&self) {
        self.book().counted = Counted::default();
    }

    /// What was counted since [`Follow::begin`].
    pub(crate) fn counted(&self) -> Counted {
        self.book().counted.clone()
    }

    /// # Errors
    /// Something was seen that must not be, such as an order that was turned down although there was room.
    pub(crate) fn checked(&self) -> anyhow::Result<()> {
        match &self.book().wrong {
            None => Ok(()),
            Some(wrong) => anyhow::bail!("{wrong}"),
        }
    }

    /// Reads facts until the returned task is aborted or fails.
    pub(crate) fn read(self: &Arc<Self>, mut facts: Tail) -> JoinHandle<anyhow::Result<()>> {
        let me = self.clone();
        tokio::spawn(async move {
            while let Some(record) = facts.next().await {
                let record = record.context("could not read facts")?;
                me.see_facts(&FactBatch::decode(&record.payload)?, Instant::now());
            }
            anyhow::bail!("the facts ended")
        })
    }

    fn see_answer(&self, order: OrderId, at: Instant) {
        let mut book = self.book();
        book.counted.first_answer.get_or_insert(at);
        let took = match book.orders.entry(order) {
            Entry::Vacant(entry) => {
                entry.insert(Seen::Answered(at));
                None
            }
            Entry::Occupied(mut entry) => match entry.insert(Seen::Both) {
                // The fact was read before the answer.
                Seen::Decided(decided) => Some(decided.saturating_duration_since(at)),
                Seen::Answered(_) | Seen::Both => {
                    let wrong = format!("order {order} was accepted for two requests");
                    book.wrong.get_or_insert(wrong);
                    return;
                }
            },
        };
        book.answered += 1;
        if let Some(took) = took {
            book.counted.decided_after.record(took);
        }
    }

    fn see_facts(&self, facts: &FactBatch, now: Instant) {
        if facts.event != self.event {
            return;
        }
        let mut book = self.book();
        let mut fresh = 0;
        for order in &facts.orders {
            if order.state == State::Paid {
                // A repeat finds nothing.
                if let Some(told) = book.told.remove(&order.order) {
                    book.paid += 1;
                    book.counted
                        .paid_after
                        .record(now.saturating_duration_since(told));
                }
                continue;
            }
            if order.state != State::Reserved {
                let (id, state) = (order.order, order.state);
                let wrong = format!("order {id} is {state}, there was room for all");
                book.wrong.get_or_insert(wrong);
            }
            let took = match book.orders.entry(order.order) {
                Entry::Vacant(entry) => {
                    entry.insert(Seen::Decided(now));
                    None
                }
                Entry::Occupied(mut entry) => match *entry.get() {
                    Seen::Answered(at) => {
                        entry.insert(Seen::Both);
                        Some(now.saturating_duration_since(at))
                    }
                    // A repeat.
                    Seen::Decided(_) | Seen::Both => continue,
                },
            };
            fresh += 1;
            if self.are_paid {
                let (order, shard) = (order.order, facts.shard);
                book.unpaid.push_back(OrderRef { order, shard });
            }
            if let Some(took) = took {
                book.counted.decided_after.record(took);
            }
        }
        if fresh > 0 {
            book.decided += fresh;
            book.counted.decided += fresh;
            book.counted.calls += 1;
            book.counted.last_fact = Some(now);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Orders whose answers are followed.
pub(crate) struct Followed {
    orders: Orders,
    follow: Arc<Follow>,
}

impl Followed {
    pub(crate) fn new(orders: Orders, follow: &Arc<Follow>) -> Arc<Self> {
        Arc::new(Self {
            orders,
            follow: follow.clone(),
        })
    }
}

impl Script for Followed {
    fn request(&self) -> Request {
        self.orders.request()
    }

    fn answered(&self, answer: &Answer) {
        // Other answers are counted by the load, which nobody accepts with them.
        if answer.status != hyper::StatusCode::ACCEPTED {
            return;
        }
        if let Some(id) = answer.order() {
            self.follow.see_answer(id.order, answer.at);
        } else {
            let wrong = "a 202 does not say where its order is".to_owned();
            self.follow.book().wrong.get_or_insert(wrong);
        }
    }
}

/// Waits until every order that buyers were told of is decided.
pub(crate) async fn all_decided(follow: &Follow, within: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        follow.checked()?;
        let (answered, decided) = (follow.answered(), follow.decided());
        if decided >= answered {
            return Ok(());
        }
        let is_over = started.elapsed() > within;
        anyhow::ensure!(
            !is_over,
            "of {answered} accepted orders only {decided} were decided within {within:?}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Between two looks at what was decided.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use ticket_core::{
        BuyerId, CategoryName, Currency, Epoch, EventName, OrderRecord, Passed, StockCounts,
        StockShardId, clock,
    };

    use super::*;

    fn order(event: EventId, number: u32) -> OrderId {
        OrderId::derive(event, &BuyerId::new("ann").unwrap(), &number.to_string())
    }

    fn facts(event: EventId, numbers: &[u32], state: State) -> FactBatch {
        let now = clock::now();
        let orders = numbers.iter().map(|number| OrderRecord {
            order: order(event, *number),
            version: 1,
            state,
            reason: None,
            passed: Passed::default().with(state),
            buyer: BuyerId::new("ann").unwrap(),
            quantity: 1,
            amount_minor: 100,
            created_at: now,
            updated_at: now,
            hold_expires_at: None,
            payment: None,
        });
        FactBatch {
            event,
            event_name: EventName::new("bench", "e").unwrap(),
            category: CategoryName::new("vip").unwrap(),
            currency: Currency::new("IDR").unwrap(),
            shard: StockShardId::new(1).unwrap(),
            epoch: Epoch::FIRST,
            version: 1,
            stock: StockCounts::default(),
            orders: orders.collect(),
            moves: Vec::new(),
            adjustment: None,
        }
    }

    #[test]
    fn an_order_is_decided_once_whichever_side_comes_first() {
        let event = EventId::random();
        let follow = Follow::new(event, 10);
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        follow.see_answer(order(event, 1), begun);
        follow.see_facts(&facts(event, &[1, 2], State::Reserved), after(10));
        follow.see_facts(&facts(event, &[1], State::Reserved), after(15));
        follow.see_facts(&facts(EventId::random(), &[3], State::Reserved), after(15));
        follow.see_answer(order(event, 2), after(20));
        follow.checked().unwrap();
        let counted = follow.counted();
        assert_eq!((follow.answered(), follow.decided()), (2, 2));
        assert_eq!((counted.decided, counted.calls), (2, 1));
        assert!((counted.per_second() - 200.0).abs() < 1e-6);
        assert!((counted.orders_per_call() - 2.0).abs() < f64::EPSILON);
        assert_eq!(counted.decided_after.count(), 2);
        assert!((counted.decided_after_ms(100.0) - 10.0).abs() < 0.1);
        follow.begin();
        assert_eq!((follow.decided(), follow.counted().decided), (2, 0));
    }

    #[test]
    fn an_order_that_was_turned_down_or_accepted_twice_is_noticed() {
        let event = EventId::random();
        let follow = Follow::new(event, 1);
        follow.see_facts(&facts(event, &[1], State::Rejected), Instant::now());
        assert!(follow.checked().unwrap_err().to_string().contains("room"));

        let follow = Follow::new(event, 1);
        follow.see_answer(order(event, 1), Instant::now());
        follow.see_answer(order(event, 1), Instant::now());
        assert!(follow.checked().unwrap_err().to_string().contains("two"));
    }

    #[test]
    fn a_decided_order_is_paid_once_and_its_fact_is_timed() {
        let event = EventId::random();
        let follow = Follow::paying(event, 2);
        assert_eq!(follow.next_to_pay(), None);
        follow.see_answer(order(event, 1), Instant::now());
        follow.see_facts(&facts(event, &[1], State::Reserved), Instant::now());
        assert_eq!(follow.next_to_pay().unwrap().order, order(event, 1));
        assert_eq!(follow.next_to_pay(), None);
        assert_eq!(follow.payments(), (1, 0));
        let later = Instant::now() + Duration::from_millis(30);
        follow.see_facts(&facts(event, &[1], State::Paid), later);
        follow.see_facts(&facts(event, &[1], State::Paid), later);
        assert_eq!(follow.payments(), (0, 1));
        follow.checked().unwrap();
        assert!((25.0..=31.0).contains(&follow.counted().paid_after_ms(100.0)));
        assert_eq!((follow.answered(), follow.decided()), (1, 1));
    }

    #[tokio::test]
    async fn an_order_without_a_fact_is_missed() {
        let event = EventId::random();
        let follow = Follow::new(event, 1);
        follow.see_answer(order(event, 1), Instant::now());
        let missed = all_decided(&follow, Duration::ZERO).await.unwrap_err();
        assert!(missed.to_string().contains("of 1 accepted orders only 0"));
    }
}
