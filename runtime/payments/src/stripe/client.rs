//! The client for Stripe's API, and for everything that speaks it. One call is one request; retries are the caller's.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use ticket_core::{ErrorClass, Money, OrderRef, Reason};
use tokio::time::Instant;

use crate::error::{ConfigureFault, PaymentError};
use crate::provider::{
    self, ComplaintKind, NewPayment, Page, Payment, PaymentStatus, Provider, Refund, RefundStatus,
};
use crate::stripe::error::{
    ALREADY_REFUNDED, CHARGE_DISPUTED, CallFault, RETRY_AFTER_MAX, Refusal, UNEXPECTED_STATE,
};
use crate::stripe::form::{self, Form};
use crate::stripe::objects::{
    API_VERSION, Complaint, DisputeStands, ErrorBody, List, PaymentIntent, RefundObject,
};
use crate::{METADATA_EVENT, METADATA_ORDER, STRIPE};

/// Longest wait for a connection, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest wait for a whole answer. Stripe's own libraries wait 80 s; a hold of ten minutes cannot.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Calls per second that the provider allows, unless the settings say otherwise. 100 is Stripe's usual limit for a live
/// account; a sale of this size has a higher one agreed.
pub const PAYMENTS_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

/// Longest wait for a turn under the own rate limit.
const RATE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Part of a second's calls that may go out at once.
const BURST_PART: u32 = 10;

/// Longest answer, bytes: a page of 100 payments is about 300 KB.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Payments or refunds on one page; Stripe's maximum.
const PAGE_ITEMS: u32 = 100;

/// Idle connections that are kept (a sale makes some hundred payments at once), and for how long. Shorter than what servers keep, so that a request rarely meets a
/// connection that is just being closed.
const IDLE_CONNECTIONS_MAX: usize = 512;
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of a [`StripeClient`].
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// `https://api.stripe.com`, or the sandbox.
    pub url: String,
    /// The account's secret key. The sandbox asks for none.
    pub secret_key: Option<SecretString>,
    /// Calls per second that the provider allows this process.
    pub payments_per_second: NonZeroU32,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a whole answer.
    pub request_timeout: Duration,
}

impl StripeConfig {
    /// The provider at `url` without a key and with the named limits of this module.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret_key: None,
            payments_per_second: PAYMENTS_PER_SECOND,
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// A client for Stripe's API. One per process: it holds the connections and the rate limit.
#[derive(Debug)]
pub struct StripeClient {
    http: reqwest::Client,
    /// Without a slash at the end.
    url: String,
    secret_key: Option<SecretString>,
    turns: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
    /// The provider wants to be left alone until then.
    not_before: Mutex<Option<Instant>>,
}

impl StripeClient {
    /// Sends nothing yet: the provider may be down.
    ///
    /// # Errors
    /// [`PaymentError::Configure`].
    pub fn new(config: StripeConfig) -> Result<Self, PaymentError> {
        let StripeConfig {
            url,
            secret_key,
            payments_per_second,
            connect_timeout,
            request_timeout,
        } = config;
        let http = http_client(connect_timeout, request_timeout)?;
        check_url(&url)?;
        let burst =
            NonZeroU32::new(payments_per_second.get() / BURST_PART).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(payments_per_second).allow_burst(burst);
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            secret_key,
            turns: RateLimiter::direct(quota),
            not_before: Mutex::new(None),
        })
    }

    /// Waits until the provider may be called: its own wish first, our rate limit second.
    async fn turn(&self) -> Result<(), CallFault> {
        let turn = async {
            while let Some(until) = self.pause_ends() {
                tokio::time::sleep_until(until).await;
            }
            self.turns.until_ready().await;
        };
        tokio::time::timeout(RATE_WAIT_MAX, turn)
            .await
            .map_err(|_| CallFault::RateLimit {
                waited: RATE_WAIT_MAX,
            })
    }

    fn pause_ends(&self) -> Option<Instant> {
        let until = *self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    /// "Too fast" and "not now" are about the account and not about one call: everybody waits.
    fn pause(&self, fault: &CallFault) {
        if let CallFault::Refused(refusal) = fault
            && let (429 | 503, Some(wait)) = (refusal.status, refusal.retry_after)
        {
            let mut until = self
                .not_before
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *until = (*until).max(Some(Instant::now() + wait));
        }
    }

    /// One request and its answer. Waits for its turn first.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        idempotency_key: Option<&str>,
    ) -> Result<T, CallFault> {
        self.turn().await?;
        let mut request = self.request(method, path);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, form::CONTENT_TYPE).body(body);
        }
        let answer = request.send().await.map_err(CallFault::from_send)?;
        read_answer(answer)
            .await
            .inspect_err(|fault| self.pause(fault))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .header("Stripe-Version", API_VERSION);
        match &self.secret_key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    async fn create_intent(&self, payment: &NewPayment) -> Result<Payment, CallFault> {
        let order = payment.order.to_string();
        let form = Form::new()
            .with("amount", &payment.amount.amount_minor.to_string())
            .with(
                "currency",
                &payment.amount.currency.as_str().to_ascii_lowercase(),
            )
            .with_key("automatic_payment_methods", "enabled", "true")
            .with_key("metadata", METADATA_ORDER, &order)
            .with_key("metadata", METADATA_EVENT, &payment.event.to_string())
            .with_key("metadata", "buyer", payment.buyer.as_str())
            .finish();
        let intent: PaymentIntent = self
            .call(
                Method::POST,
                "/v1/payment_intents",
                Some(form),
                Some(&order),
            )
            .await?;
        intent.into_payment()
    }

    async fn cancel_intent(&self, payment: &str) -> Result<Payment, CallFault> {
        let path = format!("/v1/payment_intents/{}/cancel", segment(payment));
        let form = Form::new()
            .with("cancellation_reason", "abandoned")
            .finish();
        match self
            .call::<PaymentIntent>(Method::POST, &path, Some(form), None)
            .await
        {
            Ok(intent) => intent.into_payment(),
            Err(CallFault::Refused(refusal)) if is_cancelled_already(&refusal) => {
                refusal.payment.ok_or(CallFault::Strange {
                    field: "payment_intent",
                })
            }
            Err(fault) => Err(fault),
        }
    }

    async fn refund_intent(
        &self,
        order: OrderRef,
        payment: &str,
        amount: Money,
        reason: Reason,
    ) -> Result<Refund, CallFault> {
        let wish = RefundWish {
            order,
            payment,
            amount,
            reason,
        };
        match self.make_refund(&wish, "refund").await {
            Err(fault) if fault.stripe_code() == Some(CHARGE_DISPUTED) => {
                self.concede(&wish, fault).await
            }
            // Somebody gave it back at the provider's own dashboard, all or a part; or the key was forgotten after a day.
            Err(fault) if is_refusal(&fault) => self.make_up(&wish, fault).await,
            made => made,
        }
    }

    async fn make_refund(&self, wish: &RefundWish<'_>, word: &str) -> Result<Refund, CallFault> {
        let order = wish.order.to_string();
        let form = Form::new()
            .with("payment_intent", wish.payment)
            .with("amount", &wish.amount.amount_minor.to_string())
            .with_some("reason", stripe_reason(wish.reason))
            .with_key("metadata", METADATA_ORDER, &order)
            .with_key("metadata", "reason", wish.reason.as_str())
            .finish();
        let key = format!("{order}:{word}");
        let made: RefundObject = self
            .call(Method::POST, "/v1/refunds", Some(form), Some(&key))
            .await?;
        made.into_refund()
    }

    /// The rest of a refund of which a part went back by another way. Its key differs from the whole one's: the same key with
    /// another amount is an error.
    async fn refund_rest(
        &self,
        wish: &RefundWish<'_>,
        back_minor: i64,
    ) -> Result<Refund, CallFault> {
        let amount = Money {
            amount_minor: wish.amount.amount_minor - back_minor,
            ..wish.amount
        };
        let rest = RefundWish { amount, ..*wish };
        self.make_refund(&rest, "refund-rest").await
    }

    /// After `fault`, which refused to give all of it back: what went back already counts, and the rest follows.
    async fn make_up(&self, wish: &RefundWish<'_>, fault: CallFault) -> Result<Refund, CallFault> {
        let query = Form::new()
            .with("payment_intent", wish.payment)
            .with("limit", &PAGE_ITEMS.to_string())
            .finish();
        let path = format!("/v1/refunds?{query}");
        let list: List<RefundObject> = match self.call(Method::GET, &path, None, None).await {
            Ok(list) => list,
            // There is no such payment: the first refusal says it better.
            Err(again) if is_refusal(&again) => return Err(fault),
            Err(failed) => return Err(failed),
        };
        let made: Result<Vec<Refund>, _> = list
            .data
            .into_iter()
            .map(RefundObject::into_refund)
            .collect();
        let mut made = made?;
        made.retain(|refund| refund.status != RefundStatus::Failed);
        let back: i64 = made.iter().map(|refund| refund.amount.amount_minor).sum();
        if back == 0 {
            return Err(fault);
        }
        let is_all_back = fault.stripe_code() == Some(ALREADY_REFUNDED);
        if back < wish.amount.amount_minor && !is_all_back {
            return self.refund_rest(wish, back).await;
        }
        let pending = |refund: &Refund| refund.status == RefundStatus::Pending;
        let at = made.iter().position(pending).unwrap_or(0);
        Ok(made.swap_remove(at))
    }

    /// After `fault`, which refused because the buyer wants the money back through the bank: the bank has taken it from us
    /// already. Whoever gives an order back does not contest that, so a dispute that still runs is given up, and the buyer
    /// keeps what the bank gave.
    async fn concede(&self, wish: &RefundWish<'_>, fault: CallFault) -> Result<Refund, CallFault> {
        let query = Form::new()
            .with("payment_intent", wish.payment)
            .with("limit", &PAGE_ITEMS.to_string())
            .finish();
        let path = format!("/v1/disputes?{query}");
        let list: List<Complaint> = self.call(Method::GET, &path, None, None).await?;
        let is_against_us = |dispute: &Complaint| dispute.stands() != DisputeStands::Over;
        let Some(dispute) = list.data.into_iter().find(is_against_us) else {
            return Err(fault);
        };
        let dispute = if dispute.stands() == DisputeStands::Open {
            let path = format!("/v1/disputes/{}/close", segment(&dispute.id));
            // Stripe wants every change to be a form, also an empty one.
            let nothing = Some(Form::new().finish());
            self.call(Method::POST, &path, nothing, None).await?
        } else {
            dispute
        };
        let taken = dispute.amount.unwrap_or(wish.amount.amount_minor);
        if dispute.stands() != DisputeStands::Lost {
            return Err(fault);
        }
        if taken < wish.amount.amount_minor {
            return self.refund_rest(wish, taken).await;
        }
        let dispute = dispute.into_complaint(ComplaintKind::Dispute)?;
        Ok(Refund {
            id: dispute.id,
            payment: Some(wish.payment.to_owned()),
            order: Some(wish.order),
            amount: wish.amount,
            status: RefundStatus::Succeeded,
            created_at: dispute.created_at,
        })
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        since: Option<Timestamp>,
        after: Option<&str>,
    ) -> Result<List<T>, CallFault> {
        let since = since.map(|since| since.as_second().max(0).to_string());
        let query = Form::new()
            .with("limit", &PAGE_ITEMS.to_string())
            .with_some("created[gte]", since.as_deref())
            .with_some("starting_after", after)
            .finish();
        self.call(Method::GET, &format!("{path}?{query}"), None, None)
            .await
    }
}

impl Provider for StripeClient {
    fn name(&self) -> &'static str {
        STRIPE
    }

    async fn create(&self, payment: &NewPayment) -> Result<Payment, PaymentError> {
        let done = self.create_intent(payment).await;
        count("created", &done);
        done.map_err(|cause| PaymentError::Create {
            order: payment.order,
            cause,
        })
    }

    async fn cancel(&self, payment: &str) -> Result<Payment, PaymentError> {
        let done = self.cancel_intent(payment).await;
        count("cancelled", &done);
        done.map_err(|cause| PaymentError::Cancel {
            payment: payment.to_owned(),
            cause,
        })
    }

    async fn refund(
        &self,
        order: OrderRef,
        payment: &str,
        amount: Money,
        reason: Reason,
    ) -> Result<Refund, PaymentError> {
        let done = self.refund_intent(order, payment, amount, reason).await;
        count("refunded", &done);
        done.map_err(|cause| PaymentError::Refund { order, cause })
    }

    async fn get(&self, payment: &str) -> Result<Payment, PaymentError> {
        let path = format!("/v1/payment_intents/{}", segment(payment));
        self.call::<PaymentIntent>(Method::GET, &path, None, None)
            .await
            .and_then(PaymentIntent::into_payment)
            .map_err(|cause| PaymentError::Read {
                payment: payment.to_owned(),
                cause,
            })
    }

    async fn list(&self, after: Option<&str>) -> Result<Page<Payment>, PaymentError> {
        self.page::<PaymentIntent>("/v1/payment_intents", None, after)
            .await
            .and_then(|list| page(list, |item| item.id.clone(), PaymentIntent::into_payment))
            .map_err(|cause| PaymentError::List {
                what: "payments",
                cause,
            })
    }

    async fn list_refunds(&self, after: Option<&str>) -> Result<Page<Refund>, PaymentError> {
        self.page::<RefundObject>("/v1/refunds", None, after)
            .await
            .and_then(|list| page(list, |item| item.id.clone(), RefundObject::into_refund))
            .map_err(|cause| PaymentError::List {
                what: "refunds",
                cause,
            })
    }

    async fn list_complaints(
        &self,
        kind: ComplaintKind,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<provider::Complaint>, PaymentError> {
        let (what, path) = match kind {
            ComplaintKind::FraudWarning => ("fraud warnings", "/v1/radar/early_fraud_warnings"),
            ComplaintKind::Dispute => ("disputes", "/v1/disputes"),
        };
        let read = |complaint: Complaint| complaint.into_complaint(kind);
        self.page::<Complaint>(path, Some(since), after)
            .await
            .and_then(|list| page(list, |item| item.id.clone(), read))
            .map_err(|cause| PaymentError::List { what, cause })
    }
}

/// A refund that shall be made.
#[derive(Clone, Copy)]
struct RefundWish<'a> {
    order: OrderRef,
    payment: &'a str,
    amount: Money,
    reason: Reason,
}

/// The provider said no, and the same again would get the same answer.
fn is_refusal(fault: &CallFault) -> bool {
    matches!(fault.class(), ErrorClass::Permanent | ErrorClass::Conflict)
}

/// A client with every default that decides about time or size written out.
pub(crate) fn http_client(
    connect_timeout: Duration,
    request_timeout: Duration,
) -> Result<reqwest::Client, PaymentError> {
    // Without this look the builder panics.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(PaymentError::Configure {
            cause: ConfigureFault::NoCryptoProvider,
        });
    }
    reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .timeout(request_timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|cause| PaymentError::Configure {
            cause: ConfigureFault::Client(cause),
        })
}

/// Refuses what is no http(s) URL.
pub(crate) fn check_url(url: &str) -> Result<(), PaymentError> {
    let is_http = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if is_http {
        Ok(())
    } else {
        let cause = ConfigureFault::Url {
            url: url.to_owned(),
        };
        Err(PaymentError::Configure { cause })
    }
}

async fn read_answer<T: DeserializeOwned>(mut answer: Response) -> Result<T, CallFault> {
    let status = answer.status().as_u16();
    let is_success = answer.status().is_success();
    let retry_after = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(CallFault::NoAnswer)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(CallFault::TooLong {
                limit: ANSWER_BYTES_MAX,
            });
        }
        body.extend_from_slice(&part);
    }
    if is_success {
        serde_json::from_slice(&body).map_err(|cause| CallFault::Unreadable { status, cause })
    } else {
        // A proxy on the way answers without an error object.
        let error = serde_json::from_slice::<ErrorBody>(&body)
            .ok()
            .map(|body| body.error);
        Err(CallFault::refused(status, error, retry_after))
    }
}

fn page<T, U>(
    list: List<T>,
    id: impl Fn(&T) -> String,
    read: impl Fn(T) -> Result<U, CallFault>,
) -> Result<Page<U>, CallFault> {
    let next = list.data.last().filter(|_| list.has_more).map(id);
    let items = list.data.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}

/// A repeat of a cancellation: the error shows the payment, and it is cancelled.
fn is_cancelled_already(refusal: &Refusal) -> bool {
    let is_cancelled = |payment: &Payment| payment.status == PaymentStatus::Canceled;
    refusal.code.as_deref() == Some(UNEXPECTED_STATE)
        && refusal.payment.as_ref().is_some_and(is_cancelled)
}

/// Stripe's reason, where it has one. Ours goes along as metadata.
fn stripe_reason(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Fraud => Some("fraudulent"),
        Reason::BuyerRequest => Some("requested_by_customer"),
        Reason::SoldOut
        | Reason::StaleEpoch
        | Reason::Void
        | Reason::Declined
        | Reason::HoldExpired
        | Reason::ManagerRequest
        | Reason::LateMoney
        | Reason::Provider => None,
    }
}

/// An id as one path segment, whatever is in it.
fn segment(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

fn count<T>(done_as: &'static str, result: &Result<T, CallFault>) {
    let result = match result {
        Ok(_) => done_as,
        Err(fault) => fault.code(),
    };
    metrics::counter!("ticket_payments_total", "provider" => STRIPE, "result" => result)
        .increment(1);
}
