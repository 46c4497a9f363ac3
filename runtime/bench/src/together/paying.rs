//! How long buyers wait in a sale in which everybody pays: from the 202 to the decision, and from the provider's webhook to
//! `paid`. The load generator places orders and, as soon as one is decided, says as the provider does that its money is
//! there: a signed webhook. So every order goes twice through API, log, ledger and facts. First as fast as it goes, which
//! finds the highest rate, then at half of it, which is what the latencies are told for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use ticket_core::{OrderRef, clock};
use ticket_payments::{METADATA_ORDER, signature};

use super::follow::{Counted, Follow, Followed};
use super::stand::{CONNECTIONS, Stand};
use crate::ledger::rig::{Rig, WEBHOOK_SECRET};
use crate::load::{self, Answer, Outcome, Request, Script, Target};
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::section::{Section, Table};
use crate::text::short;

const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");

/// How long the search for the highest rate lasts, in parts of the measured time.
const SEARCH_PART: u32 = 2;

/// Requests per second that nothing here reaches: room for the orders among them is made at once.
const ROOM_PER_SECOND: u64 = 30_000;

/// How long the last payments may take after a load.
const PAID_MAX: Duration = Duration::from_mins(1);

/// Between two looks at what was paid.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Start, warm-up and comparison of a round, beside its loads.
const AROUND: Duration = Duration::from_secs(5);

/// Orders, and webhooks for those that are decided; a webhook goes first.
struct Till {
    orders: Arc<Followed>,
    follow: Arc<Follow>,
    uri: Uri,
    host: HeaderValue,
    secret: SecretString,
}

impl Till {
    fn new(stand: &Stand, target: &Target) -> Self {
        Self {
            orders: stand.script.clone(),
            follow: stand.follow.clone(),
            uri: Uri::from_static("/v1/webhooks/stripe"),
            host: target.host().clone(),
            secret: WEBHOOK_SECRET.into(),
        }
    }

    /// `payment_intent.succeeded`, as the provider sends it.
    fn webhook(&self, order: OrderRef) -> anyhow::Result<Request> {
        let now = clock::now();
        let intent = format!("pi_{}", order.order);
        let body = json!({
            "id": format!("evt_{}", order.order),
            "object": "event",
            "created": now.as_second(),
            "type": "payment_intent.succeeded",
            "data": { "object": {
                "id": intent,
                "object": "payment_intent",
                "amount": 100,
                "amount_received": 100,
                "created": now.as_second(),
                "currency": "idr",
                "metadata": { METADATA_ORDER: order.to_string() },
                "status": "succeeded",
            }},
        })
        .to_string();
        let signature = signature::sign(&self.secret, now, body.as_bytes())?;
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(SIGNATURE, HeaderValue::try_from(signature)?);
        Ok(request)
    }
}

impl Script for Till {
    fn request(&self) -> Request {
        let to_pay = self.follow.next_to_pay();
        // A webhook that cannot be written leaves its order unpaid, which `all_paid` does not let pass.
        let webhook = to_pay.and_then(|order| self.webhook(order).ok());
        webhook.unwrap_or_else(|| self.orders.request())
    }

    fn answered(&self, answer: &Answer) {
        self.orders.answered(answer);
    }
}

/// What a load reached.
#[derive(Debug, Clone, Copy, Serialize)]
struct Reached {
    orders_per_s: f64,
    webhooks_per_s: f64,
    decided_p50_ms: f64,
    decided_p99_ms: f64,
    paid_p50_ms: f64,
    paid_p99_ms: f64,
}

impl Reached {
    fn of(outcome: &Outcome, counted: &Counted) -> Self {
        let per_s = |status| {
            let answers = u32::try_from(outcome.of(status)).unwrap_or(u32::MAX);
            f64::from(answers) / outcome.took.as_secs_f64().max(f64::EPSILON)
        };
        Self {
            orders_per_s: per_s(StatusCode::ACCEPTED),
            webhooks_per_s: per_s(StatusCode::OK),
            decided_p50_ms: counted.decided_after_ms(50.0),
            decided_p99_ms: counted.decided_after_ms(99.0),
            paid_p50_ms: counted.paid_after_ms(50.0),
            paid_p99_ms: counted.paid_after_ms(99.0),
        }
    }
}

/// A round: as fast as it goes, and at half of that.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    highest: Reached,
    half: Reached,
}

/// The measure.
pub(super) struct Paying {
    lasts: Duration,
    rounds: Vec<Round>,
}

impl Paying {
    pub(super) const fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            rounds: Vec::new(),
        }
    }

    fn search(&self) -> Duration {
        self.lasts / SEARCH_PART
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let seconds = (self.lasts + self.search()).as_secs().max(1);
        let room = usize::try_from(seconds * ROOM_PER_SECOND)?;
        let stand = Stand::paying(rig, room).await?;
        let till = Arc::new(Till::new(&stand, &stand.target));
        // The stand's own warm-up has left decided orders behind; they are paid here.
        let warm = load::closed(&stand.target, CONNECTIONS, self.search() / 2, &till).await?;
        settled(&stand, &warm).await?;
        stand.follow.begin();
        let fast = load::closed(&stand.target, CONNECTIONS, self.search(), &till).await?;
        settled(&stand, &fast).await?;
        let highest = Reached::of(&fast, &stand.follow.counted());

        stand.follow.begin();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate of a few ten thousand"
        )]
        let half = (fast.per_second() / 2.0) as u32;
        let outcome = load::steady(&stand.target, CONNECTIONS, half, self.lasts, &till).await?;
        settled(&stand, &outcome).await?;
        let half = Reached::of(&outcome, &stand.follow.counted());
        stand.finish(rig).await?;
        say::progress(&format!(
            "paying: {:.0} orders and {:.0} webhooks a second; at half of it 202 to decided {:.0}/{:.0} ms, webhook to \
             paid {:.0}/{:.0} ms",
            highest.orders_per_s,
            highest.webhooks_per_s,
            half.decided_p50_ms,
            half.decided_p99_ms,
            half.paid_p50_ms,
            half.paid_p99_ms,
        ));
        self.rounds.push(Round { highest, half });
        Ok(())
    }
}

/// Only 202 and 200 came, every order is decided, and every webhook made its order `paid`.
async fn settled(stand: &Stand, outcome: &Outcome) -> anyhow::Result<()> {
    outcome.only(&[StatusCode::ACCEPTED, StatusCode::OK])?;
    stand.all_decided().await?;
    let started = Instant::now();
    while stand.follow.payments().0 > 0 {
        stand.follow.checked()?;
        let (waiting, paid) = stand.follow.payments();
        anyhow::ensure!(
            started.elapsed() < PAID_MAX,
            "{waiting} webhooks of {paid} more made no order paid within {PAID_MAX:?}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    stand.follow.checked().context("the facts are wrong")
}

impl Measure for Paying {
    fn name(&self) -> &'static str {
        "paying"
    }

    fn takes(&self) -> Duration {
        self.lasts + self.search() + self.search() / 2 + AROUND
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.measure(rig).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut table = Table::new([
            "",
            "orders/s",
            "webhooks/s",
            "202 to decided p50, ms",
            "p99, ms",
            "webhook to paid p50, ms",
            "p99, ms",
        ]);
        let mut row = |label: &str, of: fn(&Round) -> &Reached| {
            let spread = |value: fn(&Reached) -> f64| {
                Spread::of(self.rounds.iter().map(|round| value(of(round))).collect())
            };
            let rate = |spread: &Spread| format!("{:.0}", spread.median);
            table.row([
                label.to_owned(),
                rate(&spread(|it| it.orders_per_s)),
                rate(&spread(|it| it.webhooks_per_s)),
                spread(|it| it.decided_p50_ms).to_string(),
                spread(|it| it.decided_p99_ms).to_string(),
                spread(|it| it.paid_p50_ms).to_string(),
                spread(|it| it.paid_p99_ms).to_string(),
            ]);
        };
        row("as fast as it goes", |round| &round.highest);
        row("half of that", |round| &round.half);
        Section {
            title: "Everybody pays".to_owned(),
            intro: vec![format!(
                "Orders over {CONNECTIONS} connections, and for each that is decided a signed webhook of the provider over the \
                 same ones, {}: both go through API, log, ledger and facts. From the 202 (or from the moment the webhook was \
                 sent) to the fact at a reader. Each order that was told of became `paid`, and the ledger has sold as many \
                 tickets.",
                short(self.lasts)
            )],
            tables: vec![table],
            plots: Vec::new(),
            bars: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::to_value(&self.rounds).unwrap_or_default()
    }
}
