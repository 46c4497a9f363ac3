//! The event manager's eyes: reads stock, orders and audit through the admin API, with a viewer's token.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use ticket_core::{EventName, OrderRef, State};
use tokio::time::sleep;

use crate::outside::{Audit, CategoryStock, ManagedEvent, ManagedOrder, OrderHistory, Page, Stock};
use crate::stack_env::StackEnv;

/// Longest wait for one answer. An audit reads every order.
const ANSWER_WAIT_MAX: Duration = Duration::from_mins(1);

/// How long a question is repeated that nobody answers, or that is answered "later" (503): a server that was killed is back
/// before that.
const PATIENCE: Duration = Duration::from_secs(30);

/// Wait between two tries.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// Orders on a page of the list.
const PAGE_ORDERS: usize = 500;

/// Pages that are read at most: five million orders.
const PAGES_MAX: usize = 10_000;

/// Reads the admin API.
pub struct Admin {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Admin {
    /// Of a running stack.
    pub fn new(env: &StackEnv) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WAIT_MAX)
            .no_proxy()
            .build()
            .context("could not make an HTTP client")?;
        Ok(Self {
            http,
            url: env.admin_url.clone(),
            token: env.viewer_token.clone(),
        })
    }

    /// The event's settings.
    pub async fn event(&self, event: &EventName) -> anyhow::Result<ManagedEvent> {
        self.read(self.http.get(self.path(event, ""))).await
    }

    /// The counters of each category.
    pub async fn stock(&self, event: &EventName) -> anyhow::Result<Vec<CategoryStock>> {
        let stock: Stock = self.read(self.http.get(self.path(event, "/stock"))).await?;
        Ok(stock.categories)
    }

    /// Every order of the event.
    pub async fn orders(&self, event: &EventName) -> anyhow::Result<Vec<ManagedOrder>> {
        let mut orders = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("limit", PAGE_ORDERS.to_string())];
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let request = self.http.get(self.path(event, "/orders")).query(&query);
            let page: Page<ManagedOrder> = self.read(request).await?;
            orders.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(orders);
            }
        }
        anyhow::bail!("the list of orders does not end after {PAGES_MAX} pages")
    }

    /// Has the order been in `state`?
    pub async fn has_been(&self, order: OrderRef, state: State) -> anyhow::Result<bool> {
        let url = format!("{}/admin/v1/orders/{order}", self.url);
        let order: OrderHistory = self.read(self.http.get(url)).await?;
        Ok(order.history.iter().any(|step| step.state == state))
    }

    /// Runs the audit.
    pub async fn audit(&self, event: &EventName) -> anyhow::Result<Audit> {
        self.read(self.http.post(self.path(event, "/audit"))).await
    }

    fn path(&self, event: &EventName, rest: &str) -> String {
        format!("{}/admin/v1/events/{event}{rest}", self.url)
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let request = request
            .bearer_auth(&self.token)
            .build()
            .context("no request")?;
        let what = format!("{} {}", request.method(), request.url().path());
        let started = Instant::now();
        let answer = loop {
            let again = request.try_clone();
            let again = again.with_context(|| format!("{what}: cannot be asked twice"))?;
            let answer = self.http.execute(again).await;
            let is_later = match &answer {
                Ok(answer) => answer.status() == StatusCode::SERVICE_UNAVAILABLE,
                Err(_) => true,
            };
            if !is_later || started.elapsed() + TRY_EVERY > PATIENCE {
                break answer.with_context(|| what.clone())?;
            }
            sleep(TRY_EVERY).await;
        };
        let status = answer.status();
        let body = answer.bytes().await.with_context(|| what.clone())?;
        let text = String::from_utf8_lossy(&body);
        anyhow::ensure!(status.is_success(), "{what}: {status}: {text:.500}");
        serde_json::from_slice(&body)
            .with_context(|| format!("{what}: not what the contract says: {text:.500}"))
    }
}
