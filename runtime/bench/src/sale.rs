//! One sale from the doors to the verdict: lets the crowd in, waits until the platform is quiet, collects what both sides
//! say, and compares. It does not start or stop anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use ticket_core::{EventName, State};
use tokio::time::sleep;

use crate::admin::Admin;
use crate::check::{self, Evidence, Verdict};
use crate::crowd::book::Book;
use crate::crowd::counters::Counters;
use crate::crowd::script::Ending;
use crate::crowd::{self, Invitation};
use crate::memory;
use crate::outside::{self, Audit, CategoryStock, Webhooks};
use crate::partner::Partner;
use crate::stack_env::StackEnv;
use crate::{provider, say, text};

/// How long the runtime may take to see an event that is open by its resource: it re-reads once a second.
const ON_SALE_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a complaint may stay unknown: the provider is asked every half minute, and a process may have been killed.
const COMPLAINTS_WAIT_MAX: Duration = Duration::from_secs(90);

/// Between two looks at all orders.
const ORDERS_EVERY: Duration = Duration::from_secs(1);

/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Which crowd comes to which event.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The event; it must be on sale.
    pub event: EventName,
    /// How many people come.
    pub buyers: u32,
    /// Which people.
    pub seed: u64,
    /// How the provider's webhooks misbehave meanwhile.
    pub faults: Faults,
}

/// What the provider does to its webhooks: the body of `POST /sandbox/faults`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Faults {
    /// Each waits this long, ms.
    pub late_ms: u64,
    /// Probability that one is sent twice.
    pub duplicate: f64,
    /// Probability that one is never sent.
    pub drop: f64,
    /// Probability that later ones overtake it.
    pub shuffle: f64,
}

/// What went wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misbehaviour {
    /// What the provider was told to do.
    pub faults: Faults,
    /// What it did during the sale.
    pub webhooks: Webhooks,
    /// Orders that had expired when their money came, and got their tickets again.
    pub reclaimed: usize,
}

/// What came of a sale.
pub struct Outcome {
    /// What both sides say.
    pub evidence: Evidence,
    /// What the comparison says.
    pub verdicts: Vec<Verdict>,
}

impl Outcome {
    /// Does everything add up?
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(Verdict::holds)
    }
}

/// How fast the crowd comes, and how long the platform may take afterwards.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The crowd comes evenly spread over this time; zero = all at once.
    pub over: Duration,
    /// How long the stock store may be behind the ledger after the last buyer has gone.
    pub quiet_wait_max: Duration,
}

impl Pace {
    /// Everybody comes at once, and nobody disturbs the platform afterwards.
    pub const RUSH: Self = Self {
        over: Duration::ZERO,
        quiet_wait_max: Duration::from_secs(30),
    };
}

/// Holds the sale and judges it.
///
/// # Errors
/// It could not be held or judged at all. What does not add up is a verdict, no error.
pub async fn hold(env: &StackEnv, sale: &Sale) -> anyhow::Result<Outcome> {
    Box::pin(hold_with(env, sale, None)).await
}

/// The same with a reseller who changes the stock meanwhile.
///
/// # Errors
/// As [`hold`].
pub async fn hold_with(
    env: &StackEnv,
    sale: &Sale,
    partner: Option<Partner>,
) -> anyhow::Result<Outcome> {
    let nothing = std::future::ready(());
    let held = hold_through(env, sale, Pace::RUSH, partner, nothing);
    let (outcome, ()) = Box::pin(held).await?;
    Ok(outcome)
}

/// The same at another pace while something else happens, and judged when both are over. `meanwhile` begins when the doors
/// open.
///
/// # Errors
/// As [`hold`].
pub async fn hold_through<T>(
    env: &StackEnv,
    sale: &Sale,
    pace: Pace,
    partner: Option<Partner>,
    meanwhile: impl Future<Output = T>,
) -> anyhow::Result<(Outcome, T)> {
    let admin = Admin::new(env)?;
    let announced = on_sale(env, &sale.event).await?;
    let quantity_max = admin.event(&sale.event).await?.max_per_buyer;
    let before = admin.stock(&sale.event).await?;
    let orders_before: BTreeSet<_> = admin
        .orders(&sale.event)
        .await?
        .into_iter()
        .map(|order| order.id)
        .collect();
    let units = announced.categories.iter().map(|category| {
        let stock = before.iter().find(|stock| stock.name == category.name);
        u64::try_from(stock.map_or(0, |stock| stock.capacity)).unwrap_or(0)
    });
    let invitation = Invitation {
        event: sale.event.clone(),
        units: units.collect(),
        categories: announced.categories.clone(),
        quantity_max,
        buyers: sale.buyers,
        over: pace.over,
        seed: sale.seed,
        api_url: env.api_url.clone(),
        payments_url: env.payments_url.clone(),
        jwt_secret: env.jwt_secret.clone(),
    };

    let webhooks_before = provider::webhooks(&env.payments_url).await?;
    provider::spoil(&env.payments_url, &sale.faults).await?;
    let counters = Arc::new(Counters::default());
    let (opened, shown) = (Instant::now(), Arc::clone(&counters));
    let line = move || progress_line(&shown, sale.buyers, opened.elapsed());
    let coming = say::while_showing(line, Box::pin(crowd::run(invitation, counters)));
    let mut partner = partner;
    let selling = async {
        match &mut partner {
            None => coming.await,
            Some(partner) => {
                let book = partner.trade_while(coming).await??;
                partner.last_words().await?;
                Ok(book)
            }
        }
    };
    let (book, other) = tokio::join!(selling, meanwhile);
    let book = book?;

    say::progress("everybody has gone; waiting until the platform is quiet");
    complaints_known(&admin, &sale.event, &book).await?;
    let partner = match partner {
        None => None,
        Some(partner) => Some(partner.books(&admin).await?),
    };
    let (after, audit) = quiet(&admin, &sale.event, pace.quiet_wait_max).await?;
    let is_news_sure = sale.faults == Faults::default();
    let misbehaviour = if is_news_sure {
        None
    } else {
        let webhooks = provider::webhooks(&env.payments_url).await?;
        Some(Misbehaviour {
            faults: sale.faults,
            webhooks: webhooks.since(&webhooks_before),
            reclaimed: reclaimed(&admin, &book).await?,
        })
    };
    let read_again = crowd::read_again(&book, &env.api_url, &env.jwt_secret).await?;
    let read_again: BTreeMap<_, _> = read_again
        .into_iter()
        .map(|(id, order)| (id, order.map_err(|error| format!("{error:#}"))))
        .collect();
    let evidence = Evidence {
        book,
        categories: announced
            .categories
            .into_iter()
            .map(|category| category.name)
            .collect(),
        quantity_max,
        is_news_sure,
        before,
        after,
        read_again,
        orders_before,
        orders: admin.orders(&sale.event).await?,
        money: provider::books(&env.payments_url, &sale.event).await?,
        audit,
        memory: memory::of_the_stack(&env.dir)?,
        misbehaviour,
        partner,
    };
    let verdicts = check::check(&evidence);
    Ok((Outcome { evidence, verdicts }, other))
}

/// Waits until every complaint about a payment is known, at most as long as one may take to be found of which nobody was
/// told.
async fn complaints_known(admin: &Admin, event: &EventName, book: &Book) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let orders = admin.orders(event).await?;
        let unknown = check::unknown_complaints(book.acknowledged(), &orders);
        if unknown.is_empty() || started.elapsed() >= COMPLAINTS_WAIT_MAX {
            return Ok(());
        }
        sleep(ORDERS_EVERY).await;
    }
}

/// Orders that were paid at the last moment, had expired when the money came, and got their tickets again.
async fn reclaimed(admin: &Admin, book: &Book) -> anyhow::Result<usize> {
    let mut found = 0;
    for (story, order) in book.acknowledged() {
        let may_be =
            story.script.ending == Ending::PaysAtTheLastMoment && order.last_state == State::Paid;
        if may_be && admin.has_been(order.id, State::Expired).await? {
            found += 1;
        }
    }
    Ok(found)
}

/// Waits until the API sells the event's tickets.
async fn on_sale(env: &StackEnv, event: &EventName) -> anyhow::Result<outside::Event> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(ON_SALE_WAIT_MAX)
        .build()
        .context("could not make an HTTP client")?;
    let url = format!("{}/v1/events/{event}", env.api_url);
    let started = Instant::now();
    loop {
        let answer = http
            .get(&url)
            .send()
            .await
            .with_context(|| format!("GET {url}"))?;
        let status = answer.status();
        let body = answer.text().await.with_context(|| format!("GET {url}"))?;
        let said = if status.is_success() {
            let announced: outside::Event = serde_json::from_str(&body)
                .with_context(|| format!("GET {url}: not what the contract says: {body:.500}"))?;
            if announced.sale == "on_sale" {
                return Ok(announced);
            }
            announced.sale
        } else {
            format!("{status}")
        };
        anyhow::ensure!(
            started.elapsed() < ON_SALE_WAIT_MAX,
            "{event} is not on sale after {} s: {said}",
            ON_SALE_WAIT_MAX.as_secs()
        );
        sleep(LOOK_EVERY).await;
    }
}

/// Waits until nothing is held and the stock store has caught up, then takes the last look and the audit. When that does
/// not come about in time, the last look is the evidence.
async fn quiet(
    admin: &Admin,
    event: &EventName,
    wait_max: Duration,
) -> anyhow::Result<(Vec<CategoryStock>, Audit)> {
    let started = Instant::now();
    loop {
        let stock = admin.stock(event).await?;
        let is_over = started.elapsed() >= wait_max;
        let is_quiet = stock
            .iter()
            .all(|stock| stock.held == 0 && stock.store_available == Some(stock.available));
        if is_quiet || is_over {
            let audit = admin.audit(event).await?;
            // A check that was skipped says that it is not quiet yet; one that fails is never asked again.
            if is_over || !audit.checks.iter().any(|check| check.skipped) {
                return Ok((stock, audit));
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

fn progress_line(counters: &Counters, buyers: u32, since: Duration) -> String {
    let now = counters.now();
    format!(
        "{:6.1} s  {} of {} buyers have gone, {} orders: {} paid, {} ended otherwise, {} open",
        since.as_secs_f64(),
        text::grouped(now.done),
        text::grouped(u64::from(buyers)),
        text::grouped(now.acknowledged),
        text::grouped(now.paid),
        text::grouped(now.ended_otherwise),
        text::grouped(now.open()),
    )
}
