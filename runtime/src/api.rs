//! The buyer API (CONTRACT section 2). It checks, asks the stock store once, writes one command to the order log and
//! answers. It never decides that an order exists, and it never writes to the ledger.

mod batch_window;
mod buyer;
mod cors;
mod document;
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
mod rates;
mod reads;
mod sold_out;
mod sse;
mod streams;
mod turns;
mod waiters;
mod wants;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jsonwebtoken::DecodingKey;
use secrecy::SecretString;
use ticket_bus::Producer;
use ticket_ledger::Ledger;
use ticket_payments::StripeClient;
use ticket_stock::StockStore;
use ticket_telemetry::Health;
use ticket_telemetry::settings::Live;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::availability::AvailabilityCache;
use crate::catalog::Catalog;
use crate::config::BuyerSettings;
use crate::http::{self, Listen};
use crate::jwks::KeySet;
use crate::problem;
use batch_window::BatchWindow;
use buyer::Tokens;
pub use document::text as openapi;
use pick::Picker;
pub use positions::Positions;
use rates::Rate;
pub use reads::OrderReads;
use sold_out::SoldOut;
use streams::Streams;
use turns::Turns;
pub use waiters::Waiters;

/// After this long a request is given up, whatever it waits for. Longer than the longest `Prefer: wait`.
const REQUEST_DEADLINE: Duration = Duration::from_secs(40);

/// What the handlers share.
pub struct Api {
    catalog: Arc<Catalog>,
    stock: StockStore,
    reads: OrderReads,
    log: Producer,
    window: BatchWindow,
    tokens: Tokens,
    webhook_secrets: Live<Vec<SecretString>>,
    provider: Option<Arc<StripeClient>>,
    waiters: Arc<Waiters>,
    positions: Arc<Positions>,
    availability: AvailabilityCache,
    sold_out: SoldOut,
    picker: Picker,
    turns: Turns,
    streams: Arc<Streams>,
    buyer_rate: Rate,
    address_rate: Rate,
    settings: BuyerSettings,
    health: Health,
    stop: CancellationToken,
}

/// What [`Api::new`] needs.
pub(crate) struct ApiParts {
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Redis.
    pub stock: StockStore,
    /// Reads of orders.
    pub ledger: Ledger,
    /// Kafka.
    pub log: Producer,
    /// Checks buyers' tokens that are signed with the secret, if there is one.
    pub buyer_jwt_key: Option<Live<DecodingKey>>,
    /// The keys of buyers' tokens that are not signed with the secret.
    pub buyer_keys: Option<Arc<KeySet>>,
    /// Limits, and what else is set for the buyer API alone.
    pub settings: BuyerSettings,
    /// Sign the provider's webhooks; several while one is being replaced.
    pub webhook_secrets: Live<Vec<SecretString>>,
    /// Knows the orders behind fraud warnings and disputes.
    pub provider: Option<Arc<StripeClient>>,
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
    pub(crate) fn new(parts: ApiParts) -> Arc<Self> {
        let tokens = Tokens::new(&parts);
        let ApiParts {
            catalog,
            stock,
            ledger,
            log,
            settings,
            ..
        } = parts;
        let ApiParts {
            webhook_secrets,
            provider,
            waiters,
            positions,
            health,
            stop,
            ..
        } = parts;
        Arc::new(Self {
            catalog,
            availability: AvailabilityCache::new(stock.clone(), ledger.clone()),
            sold_out: SoldOut::start(&stock, &stop),
            picker: Picker::new(),
            stock,
            reads: OrderReads::start(&ledger, &stop),
            log,
            window: BatchWindow::start(&stop),
            tokens,
            turns: Turns::start(settings.api_in_flight_max as usize, &stop),
            streams: Streams::new(
                settings.api_streams_max as usize,
                settings.api_buyer_streams_max as usize,
            ),
            buyer_rate: Rate::new(settings.api_buyer_per_second, settings.api_buyer_burst),
            address_rate: Rate::new(settings.api_address_per_second, settings.api_address_burst),
            settings,
            webhook_secrets,
            provider,
            waiters,
            positions,
            health,
            stop,
        })
    }
}

/// All routes, with what the document says of them.
fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(document::empty())
        .routes(routes!(events::list))
        .routes(routes!(events::get))
        .routes(routes!(place::place))
        .routes(routes!(orders::get))
        .routes(routes!(sse::follow))
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::refund))
        .routes(routes!(webhooks::receive))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(document::get))
}

/// All routes, and what happens around each of them.
pub fn router(api: Arc<Api>) -> Router {
    let cors = cors::layer(&api.settings.api_cors_origins);
    let (routes, _document) = routes().split_for_parts();
    let all = routes
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(observe::Observe)
        .with_state(api);
    match cors {
        Some(cors) => all.layer(cors),
        None => all,
    }
}

/// Serves until `stop`, then lets requests finish; streams end by themselves.
///
/// # Errors
/// None: what fails is a connection, and the next one may work.
pub async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listen = Listen {
        connections_max: api.settings.api_connections_max as usize,
        tell_peer: api.address_rate.is_on(),
    };
    http::serve(listener, router(api), listen, stop).await;
    Ok(())
}
