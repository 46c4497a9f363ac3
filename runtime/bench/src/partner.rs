//! The reseller of a sale: changes the event's stock in both directions while the crowd is inside, repeats itself, is
//! overtaken by its own messages, and compares its books with the platform's at the end. It knows the testkit's reference
//! reseller and when to speak; the messages and the books are the reseller's.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ticket_core::{CategoryName, EventName};
use ticket_testkit::{Book, Reseller, StockMessage, TestkitError, create_database};
use tokio::time::sleep;
use uuid::Uuid;

use crate::admin::Admin;
use crate::stack_env::StackEnv;

/// Between two changes.
const CHANGE_EVERY: Duration = Duration::from_millis(400);

/// Largest change, as a part of the tickets: one in twenty.
const CHANGE_PART: u32 = 20;

/// Of a hundred messages, so many are told twice, and so many are told after the next one.
const TWICE_PERCENT: u32 = 25;
const OVERTAKEN_PERCENT: u32 = 25;

/// How long after the last order the platform may tell of its last change.
const EQUAL_WAIT_MAX: Duration = Duration::from_mins(1);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A reseller at work.
pub struct Partner {
    reseller: Reseller,
    event: EventName,
    category: CategoryName,
    /// Tickets that it lists; changes go around this.
    tickets: u32,
    dice: StdRng,
    held_back: Option<StockMessage>,
    told: Told,
    last: Option<StockMessage>,
}

/// What the reseller told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Changes to more tickets than before.
    pub up: u32,
    /// Changes to fewer.
    pub down: u32,
    /// Messages that were told twice.
    pub twice: u32,
    /// Messages that came after a newer one.
    pub overtaken: u32,
}

/// The reseller's books at the end, beside what it wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerBooks {
    /// What is resold.
    pub category: CategoryName,
    /// What it told.
    pub told: Told,
    /// Number and quantity of its last message.
    pub last: (i64, i64),
    /// Tickets that could not be taken back, when fewer were wanted than were sold.
    pub shortfall_seen: i64,
    /// Its book.
    pub book: Book,
    /// What it could not accept: a change that is missing, totals that are not its own.
    pub refused: Option<String>,
}

impl Partner {
    /// Opens the reseller's books in a database of its own and lists `tickets`, with which the event starts.
    ///
    /// # Errors
    /// A server does not do its part.
    pub async fn open(
        env: &StackEnv,
        event: &EventName,
        category: &CategoryName,
        tickets: u32,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let name = format!("reseller_{}", Uuid::new_v4().simple());
        let database = create_database(&env.database_url, &name)
            .await
            .context("could not make the reseller's database")?;
        let reseller = Reseller::open(&database, &env.kafka_brokers, &env.kafka_prefix).await?;
        reseller
            .list(&event.to_string(), category.as_str(), tickets)
            .await?;
        Ok(Self {
            reseller,
            event: event.clone(),
            category: category.clone(),
            tickets,
            dice: StdRng::seed_from_u64(seed),
            held_back: None,
            told: Told::default(),
            last: None,
        })
    }

    /// Changes the stock up and down until `sale` is over; answers with what it answers.
    ///
    /// # Errors
    /// A server does not do its part.
    pub async fn trade_while<T>(&mut self, sale: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut sale = std::pin::pin!(sale);
        loop {
            tokio::select! {
                over = &mut sale => return Ok(over),
                () = sleep(CHANGE_EVERY) => {}
            }
            let size = self
                .dice
                .random_range(1..=(self.tickets / CHANGE_PART).max(1));
            let quantity = if self.told.up <= self.told.down {
                self.tickets.saturating_add(size)
            } else {
                self.tickets.saturating_sub(size)
            };
            // Whole: a change that is decided and not told would be one that nobody answers.
            let change = self.change(quantity);
            let mut change = std::pin::pin!(change);
            tokio::select! {
                over = &mut sale => {
                    change.await?;
                    return Ok(over);
                }
                changed = &mut change => changed?,
            }
        }
    }

    /// One message; some are told twice, and some only after the next one.
    async fn change(&mut self, quantity: u32) -> anyhow::Result<()> {
        let event = self.event.to_string();
        let category = self.category.as_str();
        let message = self.reseller.decide(&event, category, quantity).await?;
        if quantity > self.tickets {
            self.told.up += 1;
        } else {
            self.told.down += 1;
        }
        self.last = Some(message.clone());
        if self.held_back.is_none() && self.dice.random_range(0..100) < OVERTAKEN_PERCENT {
            self.held_back = Some(message);
            return Ok(());
        }
        self.reseller.tell(&message).await?;
        if self.dice.random_range(0..100) < TWICE_PERCENT {
            self.reseller.tell(&message).await?;
            self.told.twice += 1;
        }
        if let Some(older) = self.held_back.take() {
            self.reseller.tell(&older).await?;
            self.told.overtaken += 1;
        }
        Ok(())
    }

    /// The last words, when everybody has gone: fewer tickets than are sold, which cannot be, then as many as at first.
    ///
    /// # Errors
    /// A server does not do its part.
    pub async fn last_words(&mut self) -> anyhow::Result<()> {
        let (event, category) = (self.event.to_string(), self.category.to_string());
        if let Some(older) = self.held_back.take() {
            self.reseller.tell(&older).await?;
        }
        for quantity in [0, self.tickets] {
            let message = self.reseller.change(&event, &category, quantity).await?;
            self.last = Some(message);
        }
        Ok(())
    }

    /// Reads what the platform told until both books are equal; whatever they are when the time is up is the evidence.
    ///
    /// # Errors
    /// A server does not do its part.
    pub async fn books(self, admin: &Admin) -> anyhow::Result<PartnerBooks> {
        let (event, category) = (self.event.to_string(), self.category.as_str());
        let last = self
            .last
            .as_ref()
            .map_or((0, 0), |last| (last.version, i64::from(last.quantity)));
        let started = Instant::now();
        loop {
            let refused = match self.reseller.read().await {
                Ok(()) => None,
                Err(TestkitError::Books { found }) => Some(found),
                Err(failed) => return Err(failed).context("the reseller could not read"),
            };
            let book = self.reseller.book(&event, category).await?;
            let book = book.context("the reseller lost its book")?;
            let stock = admin.stock(&self.event).await?;
            let ours = stock.iter().find(|stock| stock.name == self.category);
            let is_equal = ours.is_some_and(|ours| {
                let is_answered = book.answered.is_some_and(|(version, _)| version == last.0);
                ours.capacity == book.capacity && ours.sold == book.sold && is_answered
            });
            if is_equal || refused.is_some() || started.elapsed() >= EQUAL_WAIT_MAX {
                return Ok(PartnerBooks {
                    shortfall_seen: self.reseller.shortfall_max(&event, category).await?,
                    category: self.category,
                    told: self.told,
                    last,
                    book,
                    refused,
                });
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
