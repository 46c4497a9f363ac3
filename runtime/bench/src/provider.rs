//! The provider's own books: what each order was charged and what went back, from its lists. It reads the provider's API
//! as the contract has it; it does not know the platform.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use ticket_core::{EventName, OrderRef};

use crate::outside::{DisputeEntry, FaultsView, IntentEntry, ProviderPage, RefundEntry, Webhooks};
use crate::sale::Faults;

/// Longest wait for one page.
const PAGE_WAIT_MAX: Duration = Duration::from_secs(20);

/// Entries on a page; the provider's maximum.
const PAGE_ENTRIES: &str = "100";

/// Pages that are read at most: a million payments.
const PAGES_MAX: usize = 10_000;

/// What the provider has of an order, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charged {
    /// Payments that have succeeded.
    pub payments: u32,
    /// Money that came.
    pub received: i64,
    /// Money that went back.
    pub given_back: i64,
}

/// Everything that the provider at `url` has of the orders of `event`.
pub async fn books(url: &str, event: &EventName) -> anyhow::Result<BTreeMap<OrderRef, Charged>> {
    let event = event.to_string();
    let http = reqwest::Client::builder()
        .timeout(PAGE_WAIT_MAX)
        .no_proxy()
        .build()
        .context("could not make an HTTP client")?;
    let mut books: BTreeMap<OrderRef, Charged> = BTreeMap::new();
    let mut orders: BTreeMap<String, OrderRef> = BTreeMap::new();
    let intents: Vec<IntentEntry> = all(&http, &format!("{url}/v1/payment_intents")).await?;
    for intent in intents {
        let Some(order) = intent.metadata.order_id else {
            continue;
        };
        if intent.metadata.event.as_ref() != Some(&event) {
            continue;
        }
        orders.insert(intent.id, order);
        let entry = books.entry(order).or_default();
        if intent.amount_received > 0 {
            entry.payments += 1;
            entry.received += intent.amount_received;
        }
    }
    let refunds: Vec<RefundEntry> = all(&http, &format!("{url}/v1/refunds")).await?;
    for refund in refunds {
        let order = refund.metadata.order_id;
        if let Some(entry) = order.and_then(|order| books.get_mut(&order)) {
            entry.given_back += refund.amount;
        }
    }
    // What the buyer's bank has taken back for good.
    let disputes: Vec<DisputeEntry> = all(&http, &format!("{url}/v1/disputes")).await?;
    for dispute in disputes.iter().filter(|dispute| dispute.status == "lost") {
        let order = orders.get(&dispute.payment_intent);
        if let Some(entry) = order.and_then(|order| books.get_mut(order)) {
            entry.given_back += dispute.amount;
        }
    }
    Ok(books)
}

/// What the sandbox has done to its webhooks so far.
pub async fn webhooks(url: &str) -> anyhow::Result<Webhooks> {
    let url = format!("{url}/sandbox/faults");
    let http = reqwest::Client::builder().timeout(PAGE_WAIT_MAX).no_proxy();
    let http = http.build().context("could not make an HTTP client")?;
    let answer = http.get(&url).send().await;
    let answer = answer.with_context(|| format!("GET {url}"))?;
    let view: FaultsView = answer.json().await.with_context(|| format!("GET {url}"))?;
    Ok(view.webhooks)
}

/// Has the sandbox spoil its webhooks from now on.
pub async fn spoil(url: &str, faults: &Faults) -> anyhow::Result<()> {
    let url = format!("{url}/sandbox/faults");
    let http = reqwest::Client::builder().timeout(PAGE_WAIT_MAX).no_proxy();
    let http = http.build().context("could not make an HTTP client")?;
    let answer = http.post(&url).json(faults).send().await;
    let answer = answer.with_context(|| format!("POST {url}"))?;
    anyhow::ensure!(
        answer.status().is_success(),
        "POST {url}: {}",
        answer.status()
    );
    Ok(())
}

async fn all<T: DeserializeOwned + HasId>(
    http: &reqwest::Client,
    url: &str,
) -> anyhow::Result<Vec<T>> {
    let mut entries: Vec<T> = Vec::new();
    for _ in 0..PAGES_MAX {
        let mut query = vec![("limit", PAGE_ENTRIES.to_owned())];
        query.extend(
            entries
                .last()
                .map(|last| ("starting_after", last.id().to_owned())),
        );
        let answer = http.get(url).query(&query).send().await;
        let answer = answer.with_context(|| format!("GET {url}"))?;
        anyhow::ensure!(
            answer.status().is_success(),
            "GET {url}: {}",
            answer.status()
        );
        let page: ProviderPage<T> = answer.json().await.with_context(|| format!("GET {url}"))?;
        entries.extend(page.data);
        if !page.has_more {
            return Ok(entries);
        }
    }
    anyhow::bail!("{url} does not end after {PAGES_MAX} pages")
}

trait HasId {
    fn id(&self) -> &str;
}

impl HasId for IntentEntry {
    fn id(&self) -> &str {
        &self.id
    }
}

impl HasId for RefundEntry {
    fn id(&self) -> &str {
        &self.id
    }
}

impl HasId for DisputeEntry {
    fn id(&self) -> &str {
        &self.id
    }
}
