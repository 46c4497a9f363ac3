//! The crowd: simulated buyers who all come at once, each with a script of his own. It knows the buyer API and the
//! provider's, as the contract has them; it does not know Kafka, Redis, the ledger or how the platform is started.
//!
//! - [`script`]: what a buyer is going to do, from a seed.
//! - [`client`]: requests, repeated politely.
//! - `buyer`: a life.
//! - [`book`]: what the buyers were told.

pub mod book;
mod buyer;
pub mod client;
pub mod counters;
pub mod script;
pub mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_core::{EventName, OrderRef};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::outside::{Category, Order};
use book::{Book, Request};
use buyer::Buyer;
use client::{Client, ORDERS_IN_FLIGHT_MAX};
use counters::Counters;
use script::Script;
use token::Tokens;

/// Who comes, and to what.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The sale.
    pub event: EventName,
    /// Its categories as the API announces them.
    pub categories: Vec<Category>,
    /// Tickets of each category, so that a larger one draws more people.
    pub units: Vec<u64>,
    /// Most tickets of one buyer (`maxPerBuyer`).
    pub quantity_max: u32,
    /// How many people.
    pub buyers: u32,
    /// They come evenly spread over this time; zero = all at once, as fast as the door lets them in.
    pub over: Duration,
    /// Which crowd: the same seed is the same people.
    pub seed: u64,
    /// `TICKET_API_URL`.
    pub api_url: String,
    /// `TICKET_PAYMENTS_URL`.
    pub payments_url: String,
    /// `TICKET_BUYER_JWT_SECRET`.
    pub jwt_secret: String,
}

/// What all buyers share.
pub(crate) struct Grounds {
    client: Client,
    tokens: Tokens,
    counters: Arc<Counters>,
    categories: Vec<Category>,
    quantity_max: u32,
    /// Different in every run, so that a second run with the same seed brings new buyers with new keys.
    run: String,
    orders_url: String,
    api_url: String,
    payments_url: String,
    opened: Instant,
}

impl Grounds {
    /// Reads an order as its buyer.
    async fn look(&self, token: &str, id: OrderRef) -> anyhow::Result<Order> {
        let url = format!("{}/v1/orders/{id}", self.api_url);
        let request = self.client.http().get(url).bearer_auth(token);
        let answer = self.client.send(Request::Read, request).await?;
        anyhow::ensure!(
            answer.status == 200,
            "read {id}: unexpected answer {} {}",
            answer.status,
            answer.code
        );
        answer.read::<Order>().with_context(|| format!("read {id}"))
    }
}

/// Lets the crowd in and waits until everybody has gone. `counters` may be watched meanwhile.
pub async fn run(invitation: Invitation, counters: Arc<Counters>) -> anyhow::Result<Book> {
    anyhow::ensure!(
        !invitation.categories.is_empty(),
        "the event has no categories"
    );
    anyhow::ensure!(
        invitation.categories.len() == invitation.units.len(),
        "tickets of {} categories are known, the event has {}",
        invitation.units.len(),
        invitation.categories.len()
    );
    let Invitation {
        event,
        categories,
        units,
        quantity_max,
        buyers,
        over,
        seed,
        api_url,
        payments_url,
        jwt_secret,
    } = invitation;
    let grounds = Arc::new(Grounds {
        client: Client::new()?,
        tokens: Tokens::new(&jwt_secret),
        counters,
        categories,
        quantity_max: quantity_max.max(1),
        run: Uuid::new_v4().simple().to_string()[..8].to_owned(),
        orders_url: format!("{api_url}/v1/events/{event}/orders"),
        api_url,
        payments_url,
        opened: Instant::now(),
    });

    // Only buyers at the door and buyers with something to do exist: 20,000 waiting futures would cost memory for nothing.
    let door = Arc::new(Semaphore::new(ORDERS_IN_FLIGHT_MAX));
    let mut inside = JoinSet::new();
    let mut book = Book::default();
    for number in 0..buyers {
        let comes_after = over.saturating_mul(number) / buyers;
        sleep(comes_after.saturating_sub(grounds.opened.elapsed())).await;
        let place = Arc::clone(&door)
            .acquire_owned()
            .await
            .context("the door is closed")?;
        let script = Script::new(seed, number, &units);
        let grounds = Arc::clone(&grounds);
        inside.spawn(async move {
            let buyer = Buyer::new(&grounds, script)?;
            let story = Box::pin(buyer.live(move || drop(place))).await;
            grounds.counters.done();
            anyhow::Ok(story)
        });
        while let Some(done) = inside.try_join_next() {
            book.stories.push(done.context("a buyer panicked")??);
        }
    }
    let at_the_door = u32::try_from(ORDERS_IN_FLIGHT_MAX).unwrap_or(u32::MAX);
    drop(
        door.acquire_many(at_the_door)
            .await
            .context("the door is closed")?,
    );
    book.rush = grounds.opened.elapsed();
    while let Some(done) = inside.join_next().await {
        book.stories.push(done.context("a buyer panicked")??);
    }
    book.lasted = grounds.opened.elapsed();
    book.stories.sort_by_key(|story| story.script.number);
    book.tally = grounds.client.note(std::mem::take);
    Ok(book)
}

/// Reads every acknowledged order once more, as its buyer: what is final stays final.
pub async fn read_again(
    book: &Book,
    api_url: &str,
    jwt_secret: &str,
) -> anyhow::Result<Vec<(OrderRef, anyhow::Result<Order>)>> {
    let client = Client::new()?;
    let tokens = Tokens::new(jwt_secret);
    let mut read = Vec::new();
    let reading = futures::StreamExt::buffer_unordered(
        futures::stream::iter(book.acknowledged().map(|(story, order)| {
            let (client, tokens) = (&client, &tokens);
            async move {
                let look = async {
                    let token = tokens.valid(&story.buyer)?;
                    let url = format!("{api_url}/v1/orders/{}", order.id);
                    let request = client.http().get(url).bearer_auth(token);
                    let answer = client.send(Request::Read, request).await?;
                    anyhow::ensure!(
                        answer.status == 200,
                        "answer {} {}",
                        answer.status,
                        answer.code
                    );
                    answer.read::<Order>()
                };
                (order.id, look.await)
            }
        })),
        client::FOLLOW_UPS_IN_FLIGHT_MAX,
    );
    let mut reading = std::pin::pin!(reading);
    while let Some(one) = futures::StreamExt::next(&mut reading).await {
        read.push(one);
    }
    Ok(read)
}
