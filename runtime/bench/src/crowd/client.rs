//! A buyer's browser: sends a request until somebody really answers it, politely. It knows HTTP, waiting and repeating; it
//! does not know what the answers mean to an order.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::crowd::book::{AnswerKind, Request, Tally};
use crate::outside;

/// Longest wait for one answer. `Prefer: wait` asks for less.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

/// Longest wait for a connection.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a buyer repeats a request that nobody answers or that is answered "later", all tries together. A server that
/// was killed is back before that.
const PATIENCE: Duration = Duration::from_secs(90);

/// Wait after no answer at all.
const NO_ANSWER_WAIT: Duration = Duration::from_millis(500);

/// Longest `Retry-After` that is honoured in full; a longer one is cut to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// Wait when a "later" comes without `Retry-After`, which is a fault.
const RETRY_AFTER_MISSING: Duration = Duration::from_secs(1);

/// New orders on their way at the same time, and with it connections: the crowd pushes as hard as this many impatient
/// fingers, whatever its size. Latency is measured from the sending, not from the queue in front of it.
pub const ORDERS_IN_FLIGHT_MAX: usize = 128;

/// Everything else on its way at the same time. A lane of its own: an accepted buyer must not stand behind 20,000 others,
/// else the hold ends before the payment begins.
pub const FOLLOW_UPS_IN_FLIGHT_MAX: usize = 64;

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The problem's or the provider's code; empty if it has none.
    pub code: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as `T`.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).with_context(|| {
            let body = String::from_utf8_lossy(&self.body);
            format!(
                "answer {} is not what the contract says: {body:.300}",
                self.status
            )
        })
    }
}

/// Sends the crowd's requests and counts the answers.
pub struct Client {
    http: reqwest::Client,
    orders: Semaphore,
    follow_ups: Semaphore,
    tally: Mutex<Tally>,
}

impl Client {
    /// A client with keep-alive connections, at most one per request in flight.
    pub fn new() -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WAIT_MAX)
            .timeout(ANSWER_WAIT_MAX)
            .pool_max_idle_per_host(ORDERS_IN_FLIGHT_MAX + FOLLOW_UPS_IN_FLIGHT_MAX)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .context("could not make an HTTP client")?;
        Ok(Self {
            http,
            orders: Semaphore::new(ORDERS_IN_FLIGHT_MAX),
            follow_ups: Semaphore::new(FOLLOW_UPS_IN_FLIGHT_MAX),
            tally: Mutex::default(),
        })
    }

    /// For building requests.
    #[must_use]
    pub const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Writes something down.
    pub fn note<T>(&self, write: impl FnOnce(&mut Tally) -> T) -> T {
        write(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends `request` until it is answered with something else than "later" (429, 503). Every try counts.
    ///
    /// # Errors
    /// Nobody answered within [`PATIENCE`].
    pub async fn send(&self, kind: Request, request: RequestBuilder) -> anyhow::Result<Answer> {
        let started = Instant::now();
        loop {
            let again = request
                .try_clone()
                .context("a request's body cannot be sent twice")?;
            let (wait, last) = match self.send_once(kind, again).await {
                Ok((answer, None)) => return Ok(answer),
                Ok((answer, Some(wait))) => (wait, format!("{} {}", answer.status, answer.code)),
                Err(error) => (NO_ANSWER_WAIT, format!("{error:#}")),
            };
            anyhow::ensure!(
                started.elapsed() + wait < PATIENCE,
                "no answer for {} s, the last try got: {last}",
                PATIENCE.as_secs()
            );
            sleep(wait).await;
        }
    }

    /// The answer, and how long to wait before the same request is sent again, if the answer was "later".
    async fn send_once(
        &self,
        kind: Request,
        request: RequestBuilder,
    ) -> anyhow::Result<(Answer, Option<Duration>)> {
        let lane = match kind {
            Request::Order | Request::Wrong => &self.orders,
            Request::Repeat | Request::Read | Request::Cancel | Request::Pay => &self.follow_ups,
        };
        let permit = lane.acquire().await.context("the crowd's lane is closed")?;
        let sent = Instant::now();
        let answered = receive(request).await;
        let took = sent.elapsed();
        drop(permit);

        let (status, code) = answered.as_ref().map_or((0, String::new()), |(answer, _)| {
            (answer.status, answer.code.clone())
        });
        self.note(|tally| {
            *tally
                .answers
                .entry(AnswerKind {
                    request: kind,
                    status,
                    code,
                })
                .or_default() += 1;
            match kind {
                Request::Order => tally.order.record(took),
                Request::Read => tally.read.record(took),
                Request::Repeat | Request::Wrong | Request::Cancel | Request::Pay => {}
            }
        });
        answered
    }
}

async fn receive(request: RequestBuilder) -> anyhow::Result<(Answer, Option<Duration>)> {
    let response = request.send().await?;
    let status = response.status();
    let is_later = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let wait = is_later.then(|| {
        let seconds = response.headers().get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        seconds
            .map_or(RETRY_AFTER_MISSING, Duration::from_secs)
            .min(RETRY_AFTER_MAX)
    });
    let body = response.bytes().await?.to_vec();
    let code = if status.is_success() {
        String::new()
    } else {
        code_of(&body)
    };
    Ok((
        Answer {
            status: status.as_u16(),
            code,
            body,
        },
        wait,
    ))
}

/// The code of a problem document, or of the provider's error object.
fn code_of(body: &[u8]) -> String {
    if let Ok(problem) = serde_json::from_slice::<outside::Problem>(body) {
        return problem.code;
    }
    let refusal = serde_json::from_slice::<outside::PaymentRefusal>(body);
    refusal
        .ok()
        .and_then(|refusal| refusal.error.code.or(refusal.error.kind))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_problems_and_in_the_providers_errors() {
        assert_eq!(
            code_of(br#"{"type":"x","status":409,"code":"sold-out"}"#),
            "sold-out"
        );
        assert_eq!(
            code_of(br#"{"error":{"type":"card_error","code":"card_declined"}}"#),
            "card_declined"
        );
        assert_eq!(
            code_of(br#"{"error":{"type":"invalid_request_error"}}"#),
            "invalid_request_error"
        );
        assert_eq!(code_of(b"<html>"), "");
    }
}
