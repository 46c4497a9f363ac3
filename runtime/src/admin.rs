//! The admin API (CONTRACT section 3): what event managers and `ticketctl` look at, and the few things that they do. It
//! reads ledger, store and log and answers with the types of `ticket-admin`. Whoever may look is a viewer; whoever acts
//! is a manager, and every such call leaves a line in the log. It never changes stock itself: a wish becomes a command.

mod access;
mod audit;
mod events;
mod orders;
mod platform;
mod refusal;
mod stock;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use secrecy::SecretString;
use ticket_bus::{BusAdmin, BusConfig, Producer};
use ticket_core::EventName;
use ticket_core::names::TopicPrefix;
use ticket_ledger::Ledger;
use ticket_payments::StripeClient;
use ticket_stock::StockStore;
use ticket_telemetry::Health;
use ticket_telemetry::settings::Live;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::availability::AvailabilityCache;
use crate::catalog::{Catalog, EventEntry};
use crate::problem::{self, Problem};
use access::Tokens;
use stock::Snapshots;

/// After this long a request is given up. An audit of a large sale reads all of its orders, facts and payments.
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);

/// Audits that run at the same time; the next one waits. Each reads everything of an event.
const AUDITS_AT_ONCE_MAX: usize = 2;

/// What the admin API is made of.
pub struct AdminParts {
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Stock, orders, topology.
    pub ledger: Ledger,
    /// Redis.
    pub stock: StockStore,
    /// Carries managers' wishes.
    pub log: Producer,
    /// Lag and ends of topics.
    pub kafka: BusAdmin,
    /// Reads facts for the audit.
    pub bus: BusConfig,
    /// Names of topics and groups.
    pub prefix: TopicPrefix,
    /// Payments for the audit.
    pub provider: Arc<StripeClient>,
    /// The token of event managers.
    pub manager_token: Live<SecretString>,
    /// The token of viewers; an empty one opens nothing.
    pub viewer_token: Live<SecretString>,
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

/// All routes.
pub fn router(parts: AdminParts) -> Router {
    let health = parts.health.clone();
    let admin = Arc::new(Admin {
        tokens: Tokens::new(parts.manager_token.clone(), parts.viewer_token.clone()),
        availability: AvailabilityCache::new(parts.stock.clone()),
        snapshots: Snapshots::default(),
        audits: Semaphore::new(AUDITS_AT_ONCE_MAX),
        parts,
    });
    let viewer = Router::new()
        .route("/admin/v1/events", get(events::list))
        .route("/admin/v1/events/{event}", get(events::get))
        .route("/admin/v1/events/{event}/stock", get(stock::get))
        .route("/admin/v1/events/{event}/orders", get(orders::list))
        .route("/admin/v1/events/{event}/audit", post(audit::run))
        .route("/admin/v1/orders/{id}", get(orders::get))
        .route("/admin/v1/shards", get(platform::shards))
        .route("/admin/v1/lag", get(platform::lag))
        .route("/admin/v1/dependencies", get(platform::dependencies))
        .route_layer(middleware::from_fn_with_state(
            admin.clone(),
            access::viewer,
        ));
    let manager = Router::new()
        .route("/admin/v1/orders/{id}/cancel", post(orders::cancel))
        .route("/admin/v1/orders/{id}/refund", post(orders::refund))
        .route_layer(middleware::from_fn_with_state(
            admin.clone(),
            access::manager,
        ));
    viewer
        .merge(manager)
        .with_state(admin)
        .merge(ticket_telemetry::routes(health))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(deadline))
        .layer(middleware::from_fn(problem::render))
}

/// Serves until the parts' stop token, then lets requests finish; streams end by themselves.
///
/// # Errors
/// The listener's.
pub async fn serve(parts: AdminParts, listener: TcpListener) -> std::io::Result<()> {
    let stop = parts.stop.clone();
    let service = router(parts).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("a server that this request needs").into_response(),
    }
}

#[cfg(test)]
mod tests;
