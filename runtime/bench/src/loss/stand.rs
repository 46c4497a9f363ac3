//! A sale with everything that is needed to go on after a loss: the buyer API, a processor and a keeper as processes of their
//! own, buyers who try whatever they are told, and the comparison that shows that nothing was lost.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper::StatusCode;
use ticket_core::{CategoryName, OrderRef};
use ticket_testkit::Product;
use tokio::time::sleep;

use crate::ledger::drain;
use crate::ledger::rig::{Api, CATEGORY, HotEvent, Rig};
use crate::load::{self, Answer, Orders, Outcome, Request, Script, Target};

/// Connections of the buyers.
pub(super) const CONNECTIONS: u32 = 64;

/// Buyers who go on trying come in waves of so long, until nobody wants them to any more.
const WAVE: Duration = Duration::from_secs(1);

/// How long it may take until nothing is under way: the reaper asks after an order that nobody decided when it is 15 s old.
const QUIET_WAIT_MAX: Duration = Duration::from_mins(1);

/// Between two looks at what is under way.
const QUIET_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Orders that are looked up in one question.
const ORDERS_PER_LOOK: usize = 1_000;

/// Events that are compared at the same time.
const EVENTS_AT_ONCE: usize = 8;

/// What buyers are told when something is not there. Anything else is a fault.
const EXPECTED: [StatusCode; 2] = [StatusCode::ACCEPTED, StatusCode::SERVICE_UNAVAILABLE];

/// Our processes, running.
pub(super) struct Stand {
    pub(super) api: Api,
    pub(super) processor: Product,
    pub(super) keeper: Product,
    pub(super) target: Target,
}

impl Stand {
    pub(super) async fn open(rig: &Rig) -> anyhow::Result<Self> {
        let (api, processor, keeper) =
            tokio::try_join!(rig.api(), rig.default_processor(), rig.keeper())?;
        let target = Target::new(([127, 0, 0, 1], api.port).into())?;
        Ok(Self {
            api,
            processor,
            keeper,
            target,
        })
    }

    /// Buyers of `event`.
    pub(super) async fn buyers(&self, rig: &Rig, event: &HotEvent) -> anyhow::Result<Arc<Told>> {
        let category = CategoryName::new(CATEGORY)?;
        let orders = Orders::new(&self.target, &event.name, &category, rig.buyers().await?)?;
        Ok(Arc::new(Told::new(orders)))
    }

    /// Buyers try `per_second` times a second until `course` is done. Answers with what it has come to, and with the answers
    /// that buyers got by status.
    pub(super) async fn while_buying<T>(
        &self,
        buyers: &Arc<Told>,
        per_second: u32,
        course: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Answers)> {
        let answers = RefCell::new(Answers::default());
        let is_over = Cell::new(false);
        let course = async {
            let done = course.await;
            is_over.set(true);
            done
        };
        let buying = async {
            while !is_over.get() {
                let wave = load::steady(&self.target, CONNECTIONS, per_second, WAVE, buyers).await;
                answers.borrow_mut().add(&wave?);
            }
            anyhow::Ok(())
        };
        let (done, ()) = tokio::try_join!(course, buying)?;
        Ok((done, answers.into_inner()))
    }

    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        for (name, product) in [
            ("API", &mut self.api.product),
            ("processor", &mut self.processor),
            ("keeper", &mut self.keeper),
        ] {
            let stopped = product.stop().await;
            stopped.with_context(|| format!("the {name} did not stop"))?;
        }
        Ok(())
    }
}

/// How many answers there were.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct Answers {
    pub(super) accepted: u64,
    pub(super) turned_away: u64,
    /// Requests that were due and that no connection was free for.
    pub(super) unsent: u64,
}

impl Answers {
    fn add(&mut self, wave: &Outcome) {
        self.accepted += wave.of(StatusCode::ACCEPTED);
        self.turned_away += wave.of(StatusCode::SERVICE_UNAVAILABLE);
        self.unsent += wave.unsent;
    }
}

/// Remembers what buyers were told.
pub(super) struct Told {
    orders: Orders,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Orders that got 202.
    acknowledged: Vec<OrderRef>,
    /// When they were sent, and when the answer was there.
    times: Vec<(Instant, Instant)>,
    /// Other answers than those that are expected, the first body of each status.
    wrong: BTreeMap<u16, String>,
}

impl Told {
    fn new(orders: Orders) -> Self {
        Self {
            orders,
            book: Mutex::default(),
        }
    }

    /// When the first order had its 202 that was sent after `sent`, and not before `from`.
    pub(super) fn first_accepted(&self, sent: Instant, from: Instant) -> Option<Instant> {
        let book = self.book();
        let times = book.times.iter().rev().take_while(|(_, at)| *at >= from);
        let of_new = times.filter(|(due, _)| *due >= sent);
        of_new.map(|(_, at)| *at).min()
    }

    /// Orders that got 202 so far; they are handed out once.
    pub(super) fn take_acknowledged(&self) -> anyhow::Result<Vec<OrderRef>> {
        let mut book = self.book();
        let wrong = book.wrong.iter().next();
        anyhow::ensure!(
            wrong.is_none(),
            "buyers were told what nobody expects: {wrong:?}"
        );
        book.times.clear();
        Ok(std::mem::take(&mut book.acknowledged))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script for Told {
    fn request(&self) -> Request {
        self.orders.request()
    }

    fn answered(&self, answer: &Answer) {
        let mut book = self.book();
        let order = answer.order();
        match order {
            Some(order) if answer.status == StatusCode::ACCEPTED => {
                book.acknowledged.push(order);
                book.times.push((answer.due, answer.at));
            }
            Some(_) | None => {
                if answer.status == StatusCode::ACCEPTED || !EXPECTED.contains(&answer.status) {
                    let body = String::from_utf8_lossy(&answer.body).into_owned();
                    book.wrong.entry(answer.status.as_u16()).or_insert(body);
                }
            }
        }
    }
}

/// Waits until nothing is under way, and compares: every acknowledged order is decided, law 1 holds, and the stock store has
/// what the ledger has, on every stock shard, to the unit.
pub(super) async fn is_exact(
    rig: &Rig,
    events: &[HotEvent],
    acknowledged: &[OrderRef],
) -> anyhow::Result<()> {
    drain::all_committed(rig, events).await?;
    for orders in acknowledged.chunks(ORDERS_PER_LOOK) {
        let found = rig.ledger.orders(orders).await?.len();
        anyhow::ensure!(
            found == orders.len(),
            "of {} acknowledged orders the ledger has {found}",
            orders.len()
        );
    }
    let (_, is_conserved) = rig.taken_units(events).await?;
    anyhow::ensure!(is_conserved, "law 1 does not hold");
    let started = Instant::now();
    stream::iter(events)
        .map(|event| equals(rig, event, started))
        .buffer_unordered(EVENTS_AT_ONCE)
        .try_collect()
        .await
}

async fn equals(rig: &Rig, event: &HotEvent, started: Instant) -> anyhow::Result<()> {
    let category = CategoryName::new(CATEGORY)?;
    let mut last = "nothing was compared".to_owned();
    while started.elapsed() < QUIET_WAIT_MAX {
        match compare(rig, event, &category).await {
            Ok(None) => return Ok(()),
            Ok(Some(differs)) => last = differs,
            // A client that has not met the new Redis yet says so once.
            Err(error) => last = format!("{error:#}"),
        }
        sleep(QUIET_LOOK_EVERY).await;
    }
    anyhow::bail!("{}: {last}", event.name)
}

/// What differs, or is under way.
async fn compare(
    rig: &Rig,
    event: &HotEvent,
    category: &CategoryName,
) -> anyhow::Result<Option<String>> {
    let pending = rig.stock.pending_count(event.id).await?;
    if pending > 0 {
        return Ok(Some(format!("{pending} orders are undecided")));
    }
    let store = rig.stock.counts(event.id, category).await?;
    let mut ledger: Vec<_> = rig.ledger.stock(event.id).await?;
    ledger.sort_unstable_by_key(|row| row.id);
    let ledger: Vec<_> = ledger
        .iter()
        .map(|row| (row.id, row.counts.available))
        .collect();
    Ok((store != ledger).then(|| format!("the store has {store:?}, the ledger {ledger:?}")))
}
