//! What every test needs: a sandbox and a webhook receiver of its own on free ports, and a client.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use secrecy::SecretString;
use serde_json::Value;
use ticket_core::{BuyerId, Currency, Money, OrderId, OrderRef, StockShardId};
use ticket_payments::sandbox::{Sandbox, SandboxConfig};
use ticket_payments::webhook::ProviderEvent;
use ticket_payments::{
    NewPayment, Payment, Provider, StripeClient, StripeConfig, signature, webhook,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Longest wait for a webhook that must come.
const WEBHOOK_DEADLINE: Duration = Duration::from_secs(20);

/// A webhook that arrived with a good signature.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) event: ProviderEvent,
    pub(crate) body: Value,
    pub(crate) arrived: Instant,
}

/// A sandbox, its receiver and a client. All ends with the test.
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) client: StripeClient,
    pub(crate) http: reqwest::Client,
    pub(crate) refuse_next: Arc<AtomicU32>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Receiver {
    secret: SecretString,
    arrived: mpsc::UnboundedSender<Delivery>,
    refuse_next: Arc<AtomicU32>,
}

/// An answer of the sandbox.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

impl Answer {
    /// Status, `error.code` and `error.param`.
    pub(crate) fn fault(&self) -> (u16, &str, &str) {
        let text = |field: &str| self.body["error"][field].as_str().unwrap_or("-");
        assert!(
            self.body["error"]["type"].is_string(),
            "no error object: {self:?}"
        );
        assert!(
            self.body["error"]["message"].is_string(),
            "no message: {self:?}"
        );
        (self.status, text("code"), text("param"))
    }
}

/// The TLS library needs its cryptography named once per process.
pub(crate) fn install_crypto() {
    // The second call finds it installed, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Serves `router` until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

pub(crate) fn client_for(url: &str) -> StripeClient {
    install_crypto();
    let per_second = NonZeroU32::new(10_000).unwrap();
    StripeClient::new(StripeConfig {
        payments_per_second: per_second,
        ..StripeConfig::new(url)
    })
    .unwrap()
}

/// An order that no other call has made.
pub(crate) fn new_payment(amount_minor: i64) -> NewPayment {
    NewPayment {
        order: OrderRef {
            order: OrderId(Uuid::new_v4()),
            shard: StockShardId::new(42).unwrap(),
        },
        amount: Money {
            currency: Currency::new("IDR").unwrap(),
            amount_minor,
        },
        event: "default.coldplay".parse().unwrap(),
        buyer: BuyerId::new("auth0|ada").unwrap(),
    }
}

impl Stage {
    pub(crate) async fn open() -> Self {
        install_crypto();
        let secret = SecretString::from("whsec_test");
        let (arrived, deliveries) = mpsc::unbounded_channel();
        let refuse_next = Arc::new(AtomicU32::new(0));
        let receiver = Receiver {
            secret: secret.clone(),
            arrived,
            refuse_next: Arc::clone(&refuse_next),
        };
        let router = Router::new()
            .route("/hook", post(receive))
            .with_state(receiver);
        let webhook_url = format!("{}/hook", serve(router).await);

        let stop = CancellationToken::new();
        let config = SandboxConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            webhook_url,
            webhook_secret: secret,
        };
        let sandbox = Sandbox::bind(config, stop.clone()).await.unwrap();
        let url = format!("http://{}", sandbox.address());
        tokio::spawn(sandbox.run());
        Self {
            client: client_for(&url),
            url,
            http: reqwest::Client::new(),
            refuse_next,
            deliveries,
            _stop: stop.drop_guard(),
        }
    }

    /// A payment that was just made.
    pub(crate) async fn payment(&self, amount_minor: i64) -> Payment {
        self.client
            .create(&new_payment(amount_minor))
            .await
            .unwrap()
    }

    /// A payment that was made and confirmed with `method`.
    pub(crate) async fn paid_with(&self, method: &str) -> Payment {
        let payment = self.payment(1200).await;
        self.confirm(&payment, method).await;
        payment
    }

    /// As a browser does it.
    pub(crate) async fn confirm(&self, payment: &Payment, method: &str) -> Answer {
        let secret = payment.client_secret.as_deref().unwrap();
        let path = format!("/v1/payment_intents/{}/confirm", payment.id);
        self.post(
            &path,
            &[("client_secret", secret), ("payment_method", method)],
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(self.http.post(format!("{}{path}", self.url)).form(form))
            .await
    }

    pub(crate) async fn post_with_key(
        &self,
        path: &str,
        form: &[(&str, &str)],
        key: &str,
    ) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url)).form(form);
        self.send(request.header("Idempotency-Key", key)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.url)))
            .await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        let bytes = answer.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            status,
            replayed,
            body,
        }
    }

    pub(crate) async fn set_faults(&self, faults: Value) {
        let request = self
            .http
            .post(format!("{}/sandbox/faults", self.url))
            .json(&faults);
        assert_eq!(self.send(request).await.status, 200);
    }

    /// The next webhook.
    pub(crate) async fn webhook(&mut self) -> Delivery {
        let next = tokio::time::timeout(WEBHOOK_DEADLINE, self.deliveries.recv());
        next.await.expect("no webhook came in time").unwrap()
    }

    /// The next webhook must be of this type and about this payment.
    pub(crate) async fn webhook_of(&mut self, event_type: &str, payment: &Payment) -> Delivery {
        let delivery = self.webhook().await;
        assert_eq!(delivery.body["type"], event_type);
        assert_eq!(
            delivery.event.payment_id.as_deref(),
            Some(payment.id.as_str())
        );
        delivery
    }

    /// No webhook is waiting to be looked at.
    pub(crate) fn assert_no_webhook(&mut self) {
        if let Ok(delivery) = self.deliveries.try_recv() {
            panic!("unexpected webhook {delivery:?}");
        }
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let refuse = |count: u32| count.checked_sub(1);
    if receiver
        .refuse_next
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse)
        .is_ok()
    {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let header = headers[signature::HEADER].to_str().unwrap();
    let secrets = [receiver.secret];
    signature::verify(&secrets, header, &body, ticket_core::clock::now()).unwrap();
    let delivery = Delivery {
        event: webhook::parse(&body).unwrap(),
        body: serde_json::from_slice(&body).unwrap(),
        arrived: Instant::now(),
    };
    receiver.arrived.send(delivery).unwrap();
    StatusCode::OK
}
