//! One buyer's life, from the first request to the end of the order. A buyer believes what the platform says, writes it
//! down, and notes as a fault whatever the contract does not allow to be said.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::RequestBuilder;
use serde_json::json;
use ticket_core::{OrderRef, State, clock};
use ticket_payments::sandbox::BANK_TRANSFER;
use tokio::time::sleep;

use crate::crowd::Grounds;
use crate::crowd::book::{Acknowledged, Deed, Request, Story};
use crate::crowd::client::Answer;
use crate::crowd::script::{Ending, Errand, Repeat, Script, Wrong};
use crate::outside::{Order, Payment, PaymentIntent};

/// First wait between two looks at an order.
const LOOK_WAIT_MIN: Duration = Duration::from_millis(20);

/// Longest wait between two looks at an order.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long an order may take to its end: hold, expiry, a server that was killed and came back.
const END_WAIT_MAX: Duration = Duration::from_mins(2);

/// Who pays, cancels or is blocked with so much of the hold left must not find the order expired. The command stands in the
/// order log before any expiry then, whoever is killed meanwhile; the margin is for the provider's webhook.
const IN_TIME: SignedDuration = SignedDuration::from_secs(5);

/// Who pays at the last moment does so with so much of the hold left.
const LAST_MOMENT: SignedDuration = SignedDuration::from_millis(300);

/// Nobody waits for longer for the last moment: holds of real sales last minutes.
const LAST_MOMENT_WAIT_MAX: Duration = Duration::from_secs(30);

/// `Prefer: wait` of those who use it, seconds.
const PREFER_WAIT_S: u32 = 10;

/// One buyer at work.
pub(super) struct Buyer<'a> {
    grounds: &'a Grounds,
    script: Script,
    id: String,
    token: String,
    is_decided: bool,
    faults: Vec<String>,
}

/// What came of asking for tickets.
enum Asked {
    /// The order is the buyer's.
    Got(Box<Order>, Instant),
    SoldOut,
    /// Tickets are left, but not this many together.
    NotTogether,
    /// Refused for good, or a fault that was noted.
    No,
}

impl<'a> Buyer<'a> {
    pub(super) fn new(grounds: &'a Grounds, script: Script) -> anyhow::Result<Self> {
        let id = format!("buyer-{}-{:06}", grounds.run, script.number);
        let token = grounds.tokens.valid(&id)?;
        Ok(Self {
            grounds,
            script,
            id,
            token,
            is_decided: false,
            faults: Vec::new(),
        })
    }

    /// The whole life. `first_answer` is called once, when the first request was answered.
    pub(super) async fn live(mut self, first_answer: impl FnOnce()) -> Story {
        let acknowledged = match self.script.errand {
            Errand::Wrong(wrong) => {
                self.ask_wrongly(wrong).await;
                first_answer();
                None
            }
            Errand::BuyTooMany => {
                self.ask_for_too_many().await;
                first_answer();
                None
            }
            Errand::Buy => {
                let first = self.ask(1, self.script.quantity).await;
                first_answer();
                match self.insist(first).await {
                    Asked::Got(order, since) => Some(self.see_through(*order, since).await),
                    Asked::SoldOut | Asked::NotTogether | Asked::No => None,
                }
            }
        };
        Story {
            script: self.script,
            buyer: self.id,
            acknowledged,
            faults: self.faults,
        }
    }

    /// After the first answer: asks for fewer tickets, or comes back later, at most once.
    async fn insist(&mut self, first: Asked) -> Asked {
        match first {
            Asked::NotTogether if self.script.quantity > 1 => self.ask(2, 1).await,
            Asked::SoldOut => {
                let Some(wait) = self.script.comes_back_after else {
                    return first;
                };
                sleep(wait).await;
                self.ask(1, self.script.quantity).await
            }
            Asked::Got(..) | Asked::NotTogether | Asked::No => first,
        }
    }

    /// Asks for tickets; twice at the same time if the script says so.
    async fn ask(&mut self, attempt: u32, quantity: u32) -> Asked {
        let key = self.key(attempt);
        let request = self.order(&key, &self.payload(quantity));
        let (first, second) = if self.script.repeat == Repeat::AtOnce {
            let again = self.order(&key, &self.payload(quantity));
            let client = &self.grounds.client;
            let both = tokio::join!(
                client.send(Request::Order, request),
                client.send(Request::Repeat, again)
            );
            (both.0, Some(both.1))
        } else {
            (
                self.grounds.client.send(Request::Order, request).await,
                None,
            )
        };
        let since = Instant::now();
        let first = self.understand(first, since);
        let Some(second) = second else { return first };
        match (first, self.understand(second, since)) {
            (Asked::Got(one, since), Asked::Got(other, _)) => {
                if one.id != other.id {
                    self.fault(format!(
                        "two clicks with one key are {} and {}",
                        one.id, other.id
                    ));
                }
                Asked::Got(one, since)
            }
            // A unit came back between the two.
            (Asked::Got(order, since), _) | (_, Asked::Got(order, since)) => {
                Asked::Got(order, since)
            }
            (answer, _) => answer,
        }
    }

    /// What an answer to a first request means.
    fn understand(&mut self, answer: anyhow::Result<Answer>, at: Instant) -> Asked {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.fault(format!("order: {error:#}"));
                return Asked::No;
            }
        };
        let opened = self.grounds.opened;
        match (answer.status, answer.code.as_str()) {
            (201 | 202, _) => match answer.read::<Order>() {
                Ok(order) => Asked::Got(Box::new(order), at),
                Err(error) => {
                    self.fault(format!("order: {error:#}"));
                    Asked::No
                }
            },
            (409, "sold-out") => {
                let category = self.script.category;
                self.grounds.client.note(|tally| {
                    let since_opened = at.duration_since(opened);
                    let first = tally.first_sold_out.entry(category).or_insert(since_opened);
                    *first = since_opened.min(*first);
                });
                Asked::SoldOut
            }
            (409, "no-shard-fits") => Asked::NotTogether,
            (status, code) => {
                self.fault(format!("order: unexpected answer {status} {code}"));
                Asked::No
            }
        }
    }

    /// From the acknowledgement to the end of the order.
    async fn see_through(&mut self, order: Order, since: Instant) -> Acknowledged {
        let mut seen = Acknowledged {
            id: order.id,
            quantity: order.quantity,
            after: since.duration_since(self.grounds.opened),
            last_state: order.state,
            last_reason: order.reason,
            deed: Deed::Nothing,
            was_in_time: false,
        };
        self.grounds.counters.acknowledged();
        self.compare(&order);
        self.repeat(&order).await;

        let is_ready = |order: &Order| !matches!(order.state, State::Queued | State::Reserved);
        let order = if is_ready(&order) {
            self.decided(since);
            order
        } else {
            match self.look_until(order.id, since, is_ready).await {
                Some(order) => order,
                None => return seen,
            }
        };
        (seen.last_state, seen.last_reason) = (order.state, order.reason);
        if order.state == State::AwaitingPayment {
            self.end(&order, &mut seen).await;
        }
        // An expired order whose money came late is not at its end: it gets its tickets again, or the money goes back.
        let deed = seen.deed;
        let is_over = |order: &Order| match deed {
            Deed::Paid | Deed::PaidThenCancelled => {
                matches!(order.state, State::Paid | State::Refunded)
            }
            Deed::Nothing | Deed::Blocked | Deed::Cancelled => order.state.is_final(),
        };
        if let Some(order) = self.look_until(order.id, since, is_over).await {
            if order.state == State::Paid {
                self.grounds
                    .client
                    .note(|tally| tally.paid.record(since.elapsed()));
            }
            (seen.last_state, seen.last_reason) = (order.state, order.reason);
            self.grounds.counters.ended(order.state);
        }
        seen
    }

    /// What was ordered must be what is acknowledged, and cost what was announced.
    fn compare(&mut self, order: &Order) {
        let category = &self.grounds.categories[self.script.category];
        let price = category.price.times(order.quantity);
        if order.category != category.name {
            self.fault(format!(
                "{} is for {}, not {}",
                order.id, order.category, category.name
            ));
        }
        if price != Some(order.amount) {
            self.fault(format!(
                "{} costs {:?}, expected {price:?}",
                order.id, order.amount
            ));
        }
    }

    /// The same key again: the same order for the same payload, a refusal for another.
    async fn repeat(&mut self, order: &Order) {
        // The second attempt after `no-shard-fits` has a key of its own; its quantity tells which one it was.
        let attempt = if order.quantity == self.script.quantity {
            1
        } else {
            2
        };
        let key = self.key(attempt);
        let payload = match self.script.repeat {
            Repeat::Never | Repeat::AtOnce => return,
            Repeat::Later => self.payload(order.quantity),
            Repeat::OtherPayload => self.payload(order.quantity % self.grounds.quantity_max + 1),
        };
        let request = self.order(&key, &payload);
        let answer = match self.grounds.client.send(Request::Repeat, request).await {
            Ok(answer) => answer,
            Err(error) => return self.fault(format!("repeat of {}: {error:#}", order.id)),
        };
        let got = || format!("{} {}", answer.status, answer.code);
        if self.script.repeat == Repeat::OtherPayload {
            if (answer.status, answer.code.as_str()) != (422, "idempotency-key-reused") {
                self.fault(format!(
                    "{} with another payload under its key got {}",
                    order.id,
                    got()
                ));
            }
            return;
        }
        match (answer.status, answer.read::<Order>()) {
            (200..=202, Ok(again)) if again.id == order.id => {}
            (200..=202, Ok(again)) => {
                self.fault(format!("the repeat of {} is {}", order.id, again.id));
            }
            _ => self.fault(format!("the repeat of {} got {}", order.id, got())),
        }
    }

    /// What the buyer does with an order that can be paid.
    async fn end(&mut self, order: &Order, seen: &mut Acknowledged) {
        let Some(payment) = &order.payment else {
            return self.fault(format!(
                "{} awaits its payment and does not say where",
                order.id
            ));
        };
        let begun = Instant::now();
        let deed = match self.script.ending {
            Ending::NeverPays => Deed::Nothing,
            Ending::Cancels => self.cancel(order.id).await,
            Ending::Pays => self.pay(payment, "pm_card_visa").await.deed(Deed::Nothing),
            Ending::PaysByTransfer => self
                .pay(payment, "pm_bank_transfer")
                .await
                .deed(Deed::Nothing),
            Ending::PaysAtTheLastMoment => {
                self.wait_for_the_last_moment(order).await;
                self.pay(payment, "pm_card_visa").await.deed(Deed::Nothing)
            }
            Ending::PaysAndIsWarnedOf => self
                .pay(payment, "pm_card_createIssuerFraudRecord")
                .await
                .deed(Deed::Nothing),
            Ending::PaysAndDisputes => self
                .pay(payment, "pm_card_createDispute")
                .await
                .deed(Deed::Nothing),
            Ending::TransfersAndCancels => match self.pay(payment, "pm_bank_transfer").await {
                Paid::Yes => match self.cancel(order.id).await {
                    Deed::Cancelled => Deed::PaidThenCancelled,
                    // The order was paid, or had ended, before the wish came.
                    Deed::Nothing | Deed::Paid | Deed::Blocked | Deed::PaidThenCancelled => {
                        Deed::Paid
                    }
                },
                other @ (Paid::Declined | Paid::No) => other.deed(Deed::Nothing),
            },
            Ending::PaysAfterDecline => match self.pay(payment, "pm_card_chargeDeclined").await {
                Paid::Declined => self.pay(payment, "pm_card_visa").await.deed(Deed::Nothing),
                other @ (Paid::Yes | Paid::No) => other.deed(Deed::Nothing),
            },
            Ending::DeclinedForGood => self
                .pay(payment, "pm_card_chargeDeclined")
                .await
                .deed(Deed::Nothing),
            Ending::Blocked => self
                .pay(payment, "pm_card_radarBlock")
                .await
                .deed(Deed::Blocked),
        };
        seen.deed = deed;
        // Looked at after the answer: what took long is judged by when it was done.
        let in_time = |ends| clock::now().duration_until(ends) >= IN_TIME;
        // A wish to cancel that was answered later may stand behind the news of the money: then the order is paid.
        let is_first = deed != Deed::PaidThenCancelled || begun.elapsed() < BANK_TRANSFER;
        seen.was_in_time = is_first && order.hold_expires_at.is_some_and(in_time);
    }

    async fn wait_for_the_last_moment(&self, order: &Order) {
        let Some(ends) = order.hold_expires_at else {
            return;
        };
        let left = clock::now()
            .duration_until(ends)
            .saturating_sub(LAST_MOMENT);
        if let Ok(wait) = Duration::try_from(left) {
            sleep(wait.min(LAST_MOMENT_WAIT_MAX)).await;
        }
    }

    async fn pay(&mut self, payment: &Payment, method: &str) -> Paid {
        let url = format!(
            "{}/v1/payment_intents/{}/confirm",
            self.grounds.payments_url, payment.id
        );
        let form = [
            ("client_secret", payment.client_secret.as_str()),
            ("payment_method", method),
        ];
        let request = self.grounds.client.http().post(url).form(&form);
        let answer = match self.grounds.client.send(Request::Pay, request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.fault(format!("pay {}: {error:#}", payment.id));
                return Paid::No;
            }
        };
        match (answer.status, answer.read::<PaymentIntent>()) {
            // A transfer that is on its way arrives.
            (200, Ok(intent)) if matches!(intent.status.as_str(), "succeeded" | "processing") => {
                Paid::Yes
            }
            (402, _) => Paid::Declined,
            // The hold ended, so that the payment was given up meanwhile.
            (400, _) => Paid::No,
            _ => {
                self.fault(format!(
                    "pay {}: answer {} {}",
                    payment.id, answer.status, answer.code
                ));
                Paid::No
            }
        }
    }

    async fn cancel(&mut self, order: OrderRef) -> Deed {
        let url = format!("{}/v1/orders/{order}/cancel", self.grounds.api_url);
        let request = self
            .grounds
            .client
            .http()
            .post(url)
            .bearer_auth(&self.token);
        match self.grounds.client.send(Request::Cancel, request).await {
            Ok(answer) if matches!(answer.status, 200 | 202) => Deed::Cancelled,
            // The hold ended first.
            Ok(answer) if answer.code == "illegal-transition" => Deed::Nothing,
            Ok(answer) => {
                self.fault(format!(
                    "cancel {order}: answer {} {}",
                    answer.status, answer.code
                ));
                Deed::Nothing
            }
            Err(error) => {
                self.fault(format!("cancel {order}: {error:#}"));
                Deed::Nothing
            }
        }
    }

    /// Looks at the order until `enough`. `None`, and a fault, when that takes longer than [`END_WAIT_MAX`].
    async fn look_until(
        &mut self,
        id: OrderRef,
        since: Instant,
        enough: impl Fn(&Order) -> bool,
    ) -> Option<Order> {
        let started = Instant::now();
        let mut wait = LOOK_WAIT_MIN;
        loop {
            let order = match self.grounds.look(&self.token, id).await {
                Ok(order) => order,
                Err(error) => {
                    self.fault(format!("{error:#}"));
                    return None;
                }
            };
            if order.state != State::Queued {
                self.decided(since);
            }
            if enough(&order) {
                return Some(order);
            }
            if started.elapsed() + wait > END_WAIT_MAX {
                let waited = END_WAIT_MAX.as_secs();
                self.fault(format!("{id} is still {} after {waited} s", order.state));
                return None;
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(LOOK_WAIT_MAX);
        }
    }

    /// The first look that showed a decision; later calls say nothing new.
    fn decided(&mut self, since: Instant) {
        if !self.is_decided {
            self.is_decided = true;
            self.grounds
                .client
                .note(|tally| tally.decided.record(since.elapsed()));
        }
    }

    async fn ask_for_too_many(&mut self) {
        let key = self.key(1);
        let request = self.order(&key, &self.payload(self.grounds.quantity_max + 1));
        // Sold out is true as well, and an answer that costs less.
        self.expect(request, "more than one may have", |status, code| {
            status == 409 && matches!(code, "buyer-limit" | "sold-out" | "no-shard-fits")
        })
        .await;
    }

    async fn ask_wrongly(&mut self, wrong: Wrong) {
        let (key, good) = (self.key(1), self.payload(self.script.quantity));
        let post = || self.grounds.client.http().post(&self.grounds.orders_url);
        let keyed = || post().header("Idempotency-Key", &key);
        let signed = || keyed().bearer_auth(&self.token);
        let request = match wrong {
            Wrong::NoToken => keyed().json(&good),
            Wrong::ExpiredToken => match self.grounds.tokens.expired(&self.id) {
                Ok(token) => keyed().bearer_auth(token).json(&good),
                Err(error) => return self.fault(format!("{error:#}")),
            },
            Wrong::Malformed => signed()
                .header("Content-Type", "application/json")
                .body("{\"category\":"),
            Wrong::ZeroQuantity => signed().json(&self.payload(0)),
            Wrong::UnknownCategory => {
                signed().json(&json!({ "category": "no-such-category", "quantity": 1 }))
            }
            Wrong::NoKey => post().bearer_auth(&self.token).json(&good),
        };
        self.expect(request, &format!("{wrong:?}"), |status, code| match wrong {
            Wrong::NoToken | Wrong::ExpiredToken => (status, code) == (401, "unauthenticated"),
            Wrong::Malformed | Wrong::ZeroQuantity | Wrong::NoKey => {
                (status, code) == (400, "invalid-request")
            }
            Wrong::UnknownCategory => {
                matches!(
                    (status, code),
                    (400, "invalid-request") | (404, "not-found")
                )
            }
        })
        .await;
    }

    /// Sends what must be refused in a certain way.
    async fn expect(
        &mut self,
        request: RequestBuilder,
        what: &str,
        is_right: impl Fn(u16, &str) -> bool,
    ) {
        match self.grounds.client.send(Request::Wrong, request).await {
            Ok(answer) if is_right(answer.status, &answer.code) => {}
            Ok(answer) => {
                self.fault(format!(
                    "{what}: unexpected answer {} {}",
                    answer.status, answer.code
                ));
            }
            Err(error) => self.fault(format!("{what}: {error:#}")),
        }
    }

    fn key(&self, attempt: u32) -> String {
        format!("{}-{attempt}", self.id)
    }

    fn payload(&self, quantity: u32) -> serde_json::Value {
        let category = self.grounds.categories[self.script.category].name.as_str();
        json!({ "category": category, "quantity": quantity })
    }

    fn order(&self, key: &str, payload: &serde_json::Value) -> RequestBuilder {
        let request = self
            .grounds
            .client
            .http()
            .post(&self.grounds.orders_url)
            .header("Idempotency-Key", key)
            .bearer_auth(&self.token)
            .json(payload);
        if self.script.prefers_wait {
            request.header("Prefer", format!("wait={PREFER_WAIT_S}"))
        } else {
            request
        }
    }

    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }
}

/// What the provider said to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paid {
    Yes,
    /// The card was refused.
    Declined,
    /// Too late, or a fault that was noted.
    No,
}

impl Paid {
    /// What the buyer has done with it; `declined` is what a refusal amounts to.
    const fn deed(self, declined: Deed) -> Deed {
        match self {
            Self::Yes => Deed::Paid,
            Self::Declined => declined,
            Self::No => Deed::Nothing,
        }
    }
}
