//! A payment provider for tests, load and local use: a server that speaks the part of Stripe's API that the platform
//! uses, and signs the same webhooks. It asks for no API key, keeps everything in memory, forgets it when it ends, and
//! refuses new payments when it is full. Stripe's test payment methods decide what becomes of a payment.
//!
//! It shares the shapes of Stripe's objects with the client and nothing else; it knows no order.

mod archive;
mod complaints;
mod fault;
mod faults;
mod idempotency;
mod intents;
mod methods;
mod params;
mod refunds;
mod routes;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::PaymentError;
use archive::Archive;
use complaints::{Dispute, Warning};
use idempotency::Keys;
use intents::Intent;
use refunds::Refund;
use webhooks::Outbox;

pub use faults::{Faults, FaultsView, LATE_MS_MAX, Spoiled};
pub use intents::BANK_TRANSFER;
pub use webhooks::{DELIVERIES_AT_ONCE_MAX, WEBHOOK_ATTEMPTS_MAX, WEBHOOKS_PENDING_MAX};

/// Payments that the sandbox remembers, about 0.5 KB each. One more is refused with 503: forgetting old ones would make
/// the audit wrong without a word.
pub const PAYMENTS_MAX: usize = 1_000_000;

/// Fraud warnings, and disputes, that it remembers. A list of them is made by reading them all.
pub const COMPLAINTS_MAX: usize = 100_000;

/// Idempotency keys that it remembers, about 0.3 KB each: one for a payment and one for its refund.
pub const KEYS_MAX: usize = 2 * PAYMENTS_MAX;

/// Longest wait for open requests and webhooks after the stop.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(3);

/// Settings of the sandbox.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where it listens; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where webhooks go.
    pub webhook_url: String,
    /// What they are signed with.
    pub webhook_secret: SecretString,
}

/// A sandbox that listens and does not answer yet.
#[derive(Debug)]
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    provider: Arc<FakeStripe>,
}

/// Everything that the handlers share.
#[derive(Debug)]
struct FakeStripe {
    intents: Archive<Intent>,
    refunds: Archive<Refund>,
    warnings: Archive<Warning>,
    disputes: Archive<Dispute>,
    keys: Keys,
    outbox: Outbox,
    stop: CancellationToken,
}

/// Listens and serves until `stop`.
///
/// # Errors
/// [`PaymentError::Configure`] or [`PaymentError::Serve`].
pub async fn serve(config: SandboxConfig, stop: CancellationToken) -> Result<(), PaymentError> {
    Sandbox::bind(config, stop).await?.run().await
}

impl Sandbox {
    /// Listens. The address is known from here on, which a test needs.
    ///
    /// # Errors
    /// [`PaymentError::Configure`] or [`PaymentError::Serve`].
    pub async fn bind(
        config: SandboxConfig,
        stop: CancellationToken,
    ) -> Result<Self, PaymentError> {
        let SandboxConfig {
            listen,
            webhook_url,
            webhook_secret,
        } = config;
        let outbox = Outbox::new(webhook_url, webhook_secret, stop.clone())?;
        let failed = |cause| PaymentError::Serve { listen, cause };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let provider = Arc::new(FakeStripe {
            intents: Archive::new(PAYMENTS_MAX),
            refunds: Archive::new(PAYMENTS_MAX),
            warnings: Archive::new(COMPLAINTS_MAX),
            disputes: Archive::new(COMPLAINTS_MAX),
            keys: Keys::new(KEYS_MAX),
            outbox,
            stop,
        });
        Ok(Self {
            listener,
            address,
            provider,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the stop token; then gives open requests and webhooks [`DRAIN_DEADLINE`].
    ///
    /// # Errors
    /// [`PaymentError::Serve`].
    pub async fn run(self) -> Result<(), PaymentError> {
        let Self {
            listener,
            address,
            provider,
        } = self;
        info!(%address, "sandbox listens");
        let stop = provider.stop.clone();
        let serving = axum::serve(listener, routes::router(Arc::clone(&provider)))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN_DEADLINE).await;
        };
        let served = tokio::select! {
            served = serving => served,
            () = overdue => {
                warn!("sandbox requests were cut off");
                Ok(())
            }
        };
        provider.outbox.drain(DRAIN_DEADLINE).await;
        served.map_err(|cause| PaymentError::Serve {
            listen: address,
            cause,
        })
    }
}

/// Characters of a random id after its prefix: 24 of 62 are 143 bits.
const ID_CHARACTERS: usize = 24;

/// An id in Stripe's manner: `pi_` and 24 letters and digits.
fn random_id(prefix: &str) -> String {
    let mut rng = rand::rng();
    let random = (0..ID_CHARACTERS).map(|_| char::from(rng.sample(rand::distr::Alphanumeric)));
    prefix.chars().chain(random).collect()
}

/// Now, unix seconds.
fn now_s() -> i64 {
    ticket_core::clock::now().as_second()
}
