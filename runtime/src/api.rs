//! The buyer API (CONTRACT section 2). It checks, asks the stock store once, writes one command to the order log and
//! answers. It never decides that an order exists, and it never writes to the ledger.

mod body;
mod buyer;
mod events;
mod gather;
mod health;
mod observe;
mod order_view;
mod orders;
mod per_category;
mod pick;
mod place;
mod positions;
mod reads;
mod sold_out;
mod sse;
mod waiters;
mod wants;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use jsonwebtoken::DecodingKey;
use secrecy::SecretString;
use ticket_bus::Producer;
use ticket_ledger::Ledger;
use ticket_stock::StockStore;
use ticket_telemetry::Health;
use ticket_telemetry::settings::Live;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::availability::AvailabilityCache;
use crate::catalog::Catalog;
use crate::problem;
use buyer::Tokens;
use pick::Picker;
pub use positions::Positions;
pub use reads::OrderReads;
use sold_out::SoldOut;
pub use waiters::Waiters;

/// After this long a request is given up, whatever it waits for. Longer than the longest `Prefer: wait`.
const REQUEST_DEADLINE: Duration = Duration::from_secs(40);

/// What the handlers share.
pub struct Api {
    catalog: Arc<Catalog>,
    stock: StockStore,
    reads: OrderReads,
    log: Producer,
    tokens: Tokens,
    webhook_secrets: Live<Vec<SecretString>>,
    waiters: Arc<Waiters>,
    positions: Arc<Positions>,
    availability: AvailabilityCache,
    sold_out: SoldOut,
    picker: Picker,
    health: Health,
    stop: CancellationToken,
}

/// What [`Api::new`] needs.
pub struct ApiParts {
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Redis.
    pub stock: StockStore,
    /// Reads of orders.
    pub ledger: Ledger,
    /// Kafka.
    pub log: Producer,
    /// Checks buyers' tokens.
    pub buyer_jwt_key: Live<DecodingKey>,
    /// Sign the provider's webhooks; several while one is being replaced.
    pub webhook_secrets: Live<Vec<SecretString>>,
    /// Who waits for decisions.
    pub waiters: Arc<Waiters>,
    /// How far the processors are.
    pub positions: Arc<Positions>,
    /// What is there and what is not.
    pub health: Health,
    /// Ends streams.
    pub stop: CancellationToken,
}

impl Api {
    /// The API over its parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Arc<Self> {
        let ApiParts {
            catalog,
            stock,
            ledger,
            log,
            buyer_jwt_key,
            ..
        } = parts;
        let ApiParts {
            webhook_secrets,
            waiters,
            positions,
            health,
            stop,
            ..
        } = parts;
        Arc::new(Self {
            catalog,
            availability: AvailabilityCache::new(stock.clone()),
            sold_out: SoldOut::start(&stock, &stop),
            picker: Picker::new(),
            stock,
            reads: OrderReads::start(&ledger, &stop),
            log,
            tokens: Tokens::new(buyer_jwt_key),
            webhook_secrets,
            waiters,
            positions,
            health,
            stop,
        })
    }
}

/// All routes.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/events", get(events::list))
        .route("/v1/events/{event}", get(events::get))
        .route("/v1/events/{event}/orders", post(place::place))
        .route("/v1/orders/{id}", get(orders::get))
        .route("/v1/orders/{id}/events", get(sse::follow))
        .route("/v1/orders/{id}/cancel", post(orders::cancel))
        .route("/v1/orders/{id}/refund", post(orders::refund))
        .route("/v1/webhooks/{provider}", post(webhooks::receive))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(observe::around))
        .with_state(api)
}

/// Serves until `stop`, then lets requests finish; streams end by themselves.
///
/// # Errors
/// The listener's.
pub async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    // Without it an answer waits for the previous segment's acknowledgement. A socket that is gone already fails later.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "socket keeps its delay");
        }
    });
    axum::serve(listener, router(api))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}
