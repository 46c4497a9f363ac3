//! Webhooks of the sandbox: signed, sent at least once, tried again for about a minute, and spoiled as
//! [`Faults`] say. The number that waits is bounded: whoever causes one takes its place first.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use crate::error::{ConfigureFault, PaymentError};
use crate::sandbox::fault::Fault;
use crate::sandbox::faults::{Faults, Spoiled, SpoiledCounters};
use crate::sandbox::{now_s, random_id};
use crate::signature;
use crate::stripe::objects::{API_VERSION, Event, EventData};
use crate::stripe::{check_url, http_client};

/// Webhooks that wait or are being sent, about 2 KB each. At 2,000 payments/s this bridges a receiver that is down for
/// half a minute; beyond it confirmations are refused with 429.
pub const WEBHOOKS_PENDING_MAX: usize = 65_536;

/// Webhooks that are being sent at one time.
pub const DELIVERIES_AT_ONCE_MAX: usize = 64;

/// Tries of one webhook. With the waits below they span about a minute, longer than any restart in a test.
pub const WEBHOOK_ATTEMPTS_MAX: u32 = 14;

/// Wait after the first try that failed; it doubles up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Longest wait for a connection to the receiver, and for its answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    url: String,
    secret: SecretString,
    pending: Arc<Semaphore>,
    deliveries: Semaphore,
    faults: RwLock<Faults>,
    spoiled: SpoiledCounters,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Places for webhooks, taken before what they tell happens.
#[derive(Debug)]
pub(super) struct Slots(OwnedSemaphorePermit);

/// A webhook on its way.
struct Letter {
    event: String,
    body: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Outbox {
    pub(super) fn new(
        url: String,
        secret: SecretString,
        stop: CancellationToken,
    ) -> Result<Self, PaymentError> {
        check_url(&url)?;
        if secret.expose_secret().is_empty() {
            return Err(PaymentError::Configure {
                cause: ConfigureFault::EmptySecret,
            });
        }
        Ok(Self(Arc::new(Inner {
            http: http_client(CONNECT_TIMEOUT, ANSWER_TIMEOUT)?,
            url,
            secret,
            pending: Arc::new(Semaphore::new(WEBHOOKS_PENDING_MAX)),
            deliveries: Semaphore::new(DELIVERIES_AT_ONCE_MAX),
            faults: RwLock::new(Faults::default()),
            spoiled: SpoiledCounters::default(),
            tasks: TaskTracker::new(),
            stop,
        })))
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        *self
            .0
            .faults
            .write()
            .unwrap_or_else(PoisonError::into_inner) = faults;
    }

    pub(super) fn faults(&self) -> Faults {
        *self.0.faults.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of the faults so far.
    pub(super) fn spoiled(&self) -> Spoiled {
        self.0.spoiled.now()
    }

    /// Room for `count` webhooks.
    pub(super) fn reserve(&self, count: u32) -> Result<Slots, Fault> {
        let places = Arc::clone(&self.0.pending).try_acquire_many_owned(count);
        places.map(Slots).map_err(|_| {
            Fault::busy(format!(
                "{WEBHOOKS_PENDING_MAX} webhooks wait for their receiver."
            ))
        })
    }

    /// Sends `object` as it is now, after `delay`, in one of the places of `slots`.
    pub(super) fn send(
        &self,
        slots: &mut Slots,
        kind: &'static str,
        object: &impl Serialize,
        delay: Duration,
    ) {
        let event = Event {
            id: random_id("evt_"),
            object: "event".to_owned(),
            api_version: Some(API_VERSION.to_owned()),
            created: now_s(),
            data: EventData { object },
            livemode: false,
            kind: kind.to_owned(),
        };
        let body = match serde_json::to_vec(&event) {
            Ok(body) => Bytes::from(body),
            Err(cause) => {
                error!(error = %cause, kind, "sandbox webhook could not be written");
                return;
            }
        };
        let fate = self
            .0
            .faults
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .fate();
        self.0.spoiled.count(&fate);
        if fate.copies == 0 {
            debug!(event = event.id, kind, "sandbox webhook is lost on purpose");
            return;
        }
        let letter = Letter {
            event: event.id,
            body,
            _place: slots.0.split(1),
        };
        let inner = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            if inner.pause(delay + fate.delay).await.is_err() {
                return;
            }
            for _ in 0..fate.copies {
                inner.deliver(&letter).await;
            }
        });
    }

    /// Does `work` after `delay`, unless the sandbox stops before.
    pub(super) fn after(&self, delay: Duration, work: impl FnOnce() + Send + 'static) {
        let inner = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            if inner.pause(delay).await.is_ok() {
                work();
            }
        });
    }

    /// Waits until nothing is being sent any more, at most `deadline`.
    pub(super) async fn drain(&self, deadline: Duration) {
        self.0.tasks.close();
        if tokio::time::timeout(deadline, self.0.tasks.wait())
            .await
            .is_err()
        {
            let lost = self.0.tasks.len();
            warn!(lost, "sandbox webhooks were cut off");
        }
    }
}

/// The sandbox stops.
struct Stopped;

impl Inner {
    async fn pause(&self, delay: Duration) -> Result<(), Stopped> {
        if delay.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.stop.cancelled() => Err(Stopped),
        }
    }

    /// Tries until the receiver says 2xx, as Stripe does: any other answer is a no.
    async fn deliver(&self, letter: &Letter) {
        let mut backoff = BACKOFF_MIN;
        for attempt in 1..=WEBHOOK_ATTEMPTS_MAX {
            match self.post(letter).await {
                Ok(status) if status.is_success() => return,
                Ok(status) => {
                    debug!(event = letter.event, %status, attempt, "sandbox webhook was refused");
                }

                Err(cause) => {
                    debug!(event = letter.event, error = %cause, attempt, "sandbox webhook did not arrive");
                }
            }
            if self.pause(backoff).await.is_err() {
                return;
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        warn!(
            event = letter.event,
            attempts = WEBHOOK_ATTEMPTS_MAX,
            "sandbox webhook was given up"
        );
    }

    async fn post(&self, letter: &Letter) -> Result<reqwest::StatusCode, Undelivered> {
        let _turn = self
            .deliveries
            .acquire()
            .await
            .map_err(|_| Undelivered::Closed)?;
        // Signed anew for each try: the receiver refuses an old time.
        let signature = signature::sign(&self.secret, ticket_core::clock::now(), &letter.body)
            .map_err(Undelivered::Sign)?;
        let answer = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(signature::HEADER, signature)
            .body(letter.body.clone())
            .send()
            .await
            .map_err(Undelivered::Send)?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        answer.bytes().await.map_err(Undelivered::Send)?;
        Ok(status)
    }
}

/// Why a try did not arrive.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("the outbox is closed")]
    Closed,
    #[error("the webhook could not be signed")]
    Sign(#[source] PaymentError),
    #[error("no answer from the receiver")]
    Send(#[source] reqwest::Error),
}
