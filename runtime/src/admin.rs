//! The admin API (CONTRACT section 3): what event managers and `ticketctl` look at, and the few things that they do. It
//! reads ledger, store and log and answers with the types of `ticket-admin`. Whoever may look is a viewer; whoever acts
//! is a manager, and every such call leaves a line in the log. It never changes stock itself: a wish becomes a command.

mod access;
mod audit;
mod document;
mod events;
mod orders;
mod platform;
mod refusal;
mod stock;
mod warmup;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::SecretString;
use ticket_bus::{BusAdmin, BusConfig, Producer};
use ticket_core::EventName;
use ticket_core::names::TopicPrefix;
use ticket_ledger::Ledger;
use ticket_payments::StripeClient;
use ticket_stock::StockStore;
use ticket_telemetry::Health;
use ticket_telemetry::settings::Live;
use ticket_warmup::Warmer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::availability::AvailabilityCache;
use crate::catalog::{Catalog, EventEntry};
use crate::config::AdminSettings;
use crate::http::{self, Listen};
use crate::jwks::KeySet;
use crate::problem::{self, Problem};
use access::Tokens;
pub use document::text as openapi;
use stock::Snapshots;

/// After this long a request is given up. An audit of a large sale reads all of its orders, facts and payments.
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);

/// Audits that run at the same time; the next one waits. Each reads everything of an event.
const AUDITS_AT_ONCE_MAX: usize = 2;

/// What the admin API is made of.
pub(crate) struct AdminParts {
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Stock, orders, topology.
    pub ledger: Ledger,
    /// Redis.
    pub stock: StockStore,
    /// Carries managers' wishes.
    pub log: Producer,
    /// Warms events up.
    pub warmer: Warmer,
    /// Lag and ends of topics.
    pub kafka: BusAdmin,
    /// Reads facts for the audit.
    pub bus: BusConfig,
    /// Names of topics and groups.
    pub prefix: TopicPrefix,
    /// Payments for the audit.
    pub provider: Arc<StripeClient>,
    /// The token of event managers; an empty one opens nothing.
    pub manager_token: Live<SecretString>,
    /// The token of viewers; an empty one opens nothing.
    pub viewer_token: Live<SecretString>,
    /// The keys of the issuer of other tokens.
    pub keys: Option<Arc<KeySet>>,
    /// Limits, and who has which role.
    pub settings: AdminSettings,
    /// What is there and what is not.
    pub health: Health,
    /// Ends streams and the server.
    pub stop: CancellationToken,
}

/// What the handlers share.
struct Admin {
    parts: AdminParts,
    tokens: Tokens,
    availability: AvailabilityCache,
    snapshots: Snapshots,
    audits: Semaphore,
    streams: Arc<Semaphore>,
}

impl Admin {
    /// The event with this `<namespace>.<name>`. One that was made this very second is looked for in the ledger.
    async fn event(&self, name: &str) -> Result<Arc<EventEntry>, Problem> {
        let unknown = || Problem::not_found(&format!("event {name}"));
        let name: EventName = name.parse().map_err(|_| unknown())?;
        let catalog = &self.parts.catalog;
        if let Some(event) = catalog.snapshot().event(&name) {
            return Ok(event.clone());
        }
        catalog
            .refresh()
            .await
            .map_err(|error| refusal::of_ledger(&error))?;
        catalog.snapshot().event(&name).cloned().ok_or_else(unknown)
    }
}

/// What viewers may do, with what the document says of it.
fn viewers() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::with_openapi(document::empty())
        .routes(routes!(events::list))
        .routes(routes!(events::get))
        .routes(routes!(stock::get))
        .routes(routes!(warmup::get))
        .routes(routes!(orders::list))
        .routes(routes!(audit::run))
        .routes(routes!(orders::get))
        .routes(routes!(platform::shards))
        .routes(routes!(platform::lag))
        .routes(routes!(platform::dependencies))
}

/// What only managers may do.
fn managers() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::refund))
        .routes(routes!(warmup::run))
        .routes(routes!(warmup::lock))
        .routes(routes!(warmup::unlock))
}

/// All routes.
pub(crate) fn router(parts: AdminParts) -> Router {
    let health = parts.health.clone();
    let admin = Arc::new(Admin {
        tokens: Tokens::new(&parts),
        availability: AvailabilityCache::new(parts.stock.clone(), parts.ledger.clone()),
        snapshots: Snapshots::default(),
        audits: Semaphore::new(AUDITS_AT_ONCE_MAX),
        streams: Arc::new(Semaphore::new(parts.settings.admin_streams_max as usize)),
        parts,
    });
    let viewer = middleware::from_fn_with_state(admin.clone(), access::viewer);
    let manager = middleware::from_fn_with_state(admin.clone(), access::manager);
    let (viewers, _document) = viewers().route_layer(viewer).split_for_parts();
    let (managers, _document) = managers().route_layer(manager).split_for_parts();
    viewers
        .merge(managers)
        .with_state(admin)
        .route("/openapi.json", get(document::get))
        .merge(ticket_telemetry::routes(health))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(deadline))
        .layer(middleware::from_fn(problem::render))
}

/// Serves until the parts' stop token, then lets requests finish; streams end by themselves.
///
/// # Errors
/// None: what fails is a connection, and the next one may work.
pub(crate) async fn serve(parts: AdminParts, listener: TcpListener) -> std::io::Result<()> {
    let stop = parts.stop.clone();
    let listen = Listen {
        connections_max: parts.settings.admin_connections_max as usize,
        // The audit log names it.
        tell_peer: true,
    };
    http::serve(listener, router(parts), listen, stop).await;
    Ok(())
}

async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("a server that this request needs").into_response(),
    }
}

#[cfg(test)]
mod tests;
