//! The payment sandbox alone: how many payments one core holds. It, its client, the buyers' browsers and the receiver of its
//! webhooks share one thread, so that the figure is about one core and is no better than the sandbox's own.

use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::routing::post;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::{self, StreamExt as _};
use secrecy::SecretString;
use ticket_core::{BuyerId, Currency, Money, OrderId, OrderRef, StockShardId};
use ticket_payments::sandbox::{Sandbox, SandboxConfig};
use ticket_payments::{NewPayment, Provider as _, StripeClient, StripeConfig};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ledger::rig::Rig;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Section, Table};

/// Payments on their way at once.
const AT_ONCE: usize = 32;

/// Payments per second of one core (issue 5).
const PER_SECOND_MIN: f64 = 2_000.0;

/// Starting and stopping it.
const AROUND: Duration = Duration::from_secs(1);

/// All measures of the sandbox.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    vec![Box::new(Payments {
        lasts: plan.seconds(4, 1),
        per_s: Vec::new(),
    })]
}

/// Payments that are made, confirmed and told.
struct Payments {
    lasts: Duration,
    per_s: Vec<f64>,
}

impl Payments {
    async fn pay(&mut self) -> anyhow::Result<()> {
        let lasts = self.lasts;
        let measured = spawn_blocking(move || {
            // A thread of its own, so that no worker of the suite helps out.
            thread::spawn(move || on_one_thread(lasts)).join()
        });
        let per_s = measured.await.context("the measure was ended")?;
        let per_s = per_s.map_err(|_| anyhow::anyhow!("the sandbox's thread panicked"))?;
        self.per_s.push(per_s?);
        Ok(())
    }
}

fn on_one_thread(lasts: Duration) -> anyhow::Result<f64> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("no event loop")?.block_on(payments(lasts))
}

/// Payments per second.
async fn payments(lasts: Duration) -> anyhow::Result<f64> {
    let receiver = Router::new().route("/hook", post(|| async {}));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let webhook_url = format!("http://{}/hook", listener.local_addr()?);
    let receiving = async move { axum::serve(listener, receiver).await };
    let stop = CancellationToken::new();
    let sandbox = Sandbox::bind(
        SandboxConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            webhook_url,
            webhook_secret: SecretString::from("whsec_bench"),
        },
        stop.clone(),
    )
    .await?;
    let url = format!("http://{}", sandbox.address());
    let client = StripeClient::new(StripeConfig {
        payments_per_second: NonZeroU32::MAX,
        ..StripeConfig::new(&url)
    })?;
    let browser = reqwest::Client::builder().no_proxy().build()?;
    let paying = async {
        let begun = Instant::now();
        let all = stream::repeat_with(|| one(&client, &browser, &url))
            .take_while(|_| futures::future::ready(begun.elapsed() < lasts));
        let mut all = std::pin::pin!(all.buffer_unordered(AT_ONCE));
        let mut paid = 0_u32;
        while let Some(done) = all.next().await {
            done?;
            paid += 1;
        }
        anyhow::Ok(f64::from(paid) / begun.elapsed().as_secs_f64())
    };
    tokio::select! {
        per_s = paying => {
            stop.cancel();
            per_s
        }
        ended = receiving => Err(anyhow::anyhow!("the receiver of webhooks ended: {ended:?}")),
        ended = sandbox.run() => Err(anyhow::anyhow!("the sandbox ended: {ended:?}")),
    }
}

/// A payment is made by the real client and confirmed as a browser does it.
async fn one(client: &StripeClient, browser: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let made = client.create(&wish()?).await?;
    let secret = made.client_secret.context("a payment without a secret")?;
    let form = [
        ("client_secret", secret.as_str()),
        ("payment_method", "pm_card_visa"),
    ];
    let confirm = format!("{url}/v1/payment_intents/{}/confirm", made.id);
    let answer = browser.post(confirm).form(&form).send().await?;
    answer.error_for_status()?.bytes().await?;
    Ok(())
}

fn wish() -> anyhow::Result<NewPayment> {
    Ok(NewPayment {
        order: OrderRef {
            order: OrderId(Uuid::new_v4()),
            shard: StockShardId::new(42)?,
        },
        amount: Money {
            currency: Currency::new("IDR")?,
            amount_minor: 1_200,
        },
        event: "default.coldplay".parse()?,
        buyer: BuyerId::new("auth0|ada")?,
    })
}

impl Measure for Payments {
    fn name(&self) -> &'static str {
        "payment sandbox on one core"
    }

    fn takes(&self) -> Duration {
        self.lasts + AROUND
    }

    fn round<'a>(
        &'a mut self,
        _rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.pay().boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let per_s = Spread::of(self.per_s.clone());
        let mut table = Table::new(["on one core", "payments/s"]);
        table.row(["made, confirmed and told".to_owned(), per_s.to_string()]);
        Section {
            title: "Payment sandbox".to_owned(),
            intro: vec![format!(
                "{AT_ONCE} payments on their way at once, each made by the real client over loopback, confirmed as a browser does \
                 it, and its webhook delivered. Sandbox, client, browsers and receiver are one thread."
            )],
            tables: vec![table],
            bars: vec![Bar::at_least(
                "the sandbox on one core",
                PER_SECOND_MIN,
                " payments/s",
                &per_s,
            )],
            ..Section::default()
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::json!({ "payments_per_s_on_one_core": Spread::of(self.per_s.clone()) })
    }
}
