//! The buyer API as a process, and events on sale in it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::StatusCode;
use ticket_core::CategoryName;
use ticket_testkit::Product;
use tokio::time::sleep;

use crate::ledger::rig::{Api, CATEGORY, HotEvent, Rig};
use crate::load::{self, Buyers, Orders, Target};
use crate::outside;

/// The API reads the catalog of events once a second; after this long it has failed.
const ON_SALE_WAIT_MAX: Duration = Duration::from_secs(15);

/// Between two looks at it.
const ON_SALE_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Stock shards of an event whose orders are accepted, each on a partition of its own: as when everything runs at once.
const SHARDS: u16 = 4;

/// Tickets of each: more than any round sells.
const UNITS: u32 = 10_000_000;

/// The buyer API, running.
pub(super) struct Shop<'a> {
    rig: &'a Rig,
    api: Api,
    pub(super) target: Target,
}

/// An event on sale, and how many orders for it were accepted.
pub(super) struct Stand {
    event: HotEvent,
    accepted: u64,
    /// Refused because there was too much to do. Redis may have answered too late to such a request: its tickets are taken
    /// until the reaper gives them back, and no reaper runs here.
    refused: u64,
}

impl<'a> Shop<'a> {
    pub(super) async fn open(rig: &'a Rig) -> anyhow::Result<Self> {
        Self::of(rig, rig.api().await?)
    }

    /// As [`Self::open`], with so many threads of the API.
    pub(super) async fn open_with_threads(rig: &'a Rig, threads: u32) -> anyhow::Result<Self> {
        Self::of(rig, rig.api_with_threads(threads).await?)
    }

    fn of(rig: &'a Rig, api: Api) -> anyhow::Result<Self> {
        let target = Target::new(([127, 0, 0, 1], api.port).into())?;
        Ok(Self { rig, api, target })
    }

    pub(super) const fn product(&self) -> &Product {
        &self.api.product
    }

    /// An event that never sells out.
    pub(super) async fn full(&self) -> anyhow::Result<Stand> {
        let event = self.rig.event(SHARDS, UNITS).await?;
        self.on_sale(&event).await?;
        Ok(Stand::new(event))
    }

    /// An event whose only ticket was just sold.
    pub(super) async fn sold_out(&self, buyers: &Buyers) -> anyhow::Result<Stand> {
        let event = self.rig.event(1, 1).await?;
        self.on_sale(&event).await?;
        let mut stand = Stand::new(event);
        // One request: the only one of a second that has one.
        let buying = self.orders(&stand, buyers)?;
        let bought = load::steady(&self.target, 1, 1, Duration::from_secs(1), &buying).await?;
        stand.accept(bought.all(StatusCode::ACCEPTED)?);
        Ok(stand)
    }

    /// Orders for `stand` that nobody has sent yet.
    pub(super) fn orders(
        &self,
        stand: &Stand,
        buyers: &Buyers,
    ) -> anyhow::Result<std::sync::Arc<Orders>> {
        let category = CategoryName::new(CATEGORY)?;
        let orders = Orders::new(&self.target, &stand.event.name, &category, buyers)?;
        Ok(orders.into())
    }

    /// Stops the API and compares: what was accepted is on the order log and was taken from the store, and nothing else, apart
    /// from tickets of orders that were refused in the middle.
    pub(super) async fn close(mut self, stands: &[Stand]) -> anyhow::Result<()> {
        self.api
            .product
            .stop()
            .await
            .context("the buyer API did not stop")?;
        for stand in stands {
            let Stand {
                event,
                accepted,
                refused,
            } = stand;
            let ends = self.rig.topics.end_offsets(&event.topic).await?;
            let logged = u64::try_from(ends.iter().sum::<i64>())?;
            let taken = self.rig.taken(event).await?;
            anyhow::ensure!(
                logged == *accepted && (*accepted..=accepted + refused).contains(&taken),
                "{accepted} orders were accepted and {refused} refused, the log has {logged}, the store gave {taken} tickets"
            );
        }
        let events: Vec<_> = stands.iter().map(|stand| stand.event.clone()).collect();
        self.rig.retire(&events).await
    }

    /// Waits until the API sells `event`.
    async fn on_sale(&self, event: &HotEvent) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/events/{}", self.target.address(), event.name);
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("could not make an HTTP client")?;
        let started = Instant::now();
        loop {
            let answer = http
                .get(&url)
                .send()
                .await
                .context("the buyer API does not answer")?;
            let status = answer.status();
            if status.is_success() {
                let event: outside::Event =
                    answer.json().await.context("an event is unreadable")?;
                if event.sale == "on_sale" {
                    return Ok(());
                }
            }
            let is_over = started.elapsed() > ON_SALE_WAIT_MAX;
            anyhow::ensure!(
                !is_over,
                "{url} is not on sale, the last answer was {status}"
            );
            sleep(ON_SALE_LOOK_EVERY).await;
        }
    }
}

impl Stand {
    const fn new(event: HotEvent) -> Self {
        Self {
            event,
            accepted: 0,
            refused: 0,
        }
    }

    /// `orders` more were refused.
    pub(super) const fn refuse(&mut self, orders: u64) {
        self.refused += orders;
    }

    /// `orders` more were accepted.
    pub(super) const fn accept(&mut self, orders: u64) {
        self.accepted += orders;
    }
}
