//! What is for sale: public, cacheable for a second. Availability comes from the stock store's counts, read at most once a
//! second per event.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use ticket_core::{Money, clock};
use utoipa::ToSchema;

use super::Api;
use super::buyer::Anybody;
use super::document::{AnybodysProblems, LookProblems};
use super::order_view::Amount;
use super::turns::Turn;
use crate::availability::{Availability, SaleState};
use crate::catalog::EventEntry;
use crate::path::PathPart;
use crate::problem::Problem;

/// An event that is sold, was sold or will be sold.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// `<namespace>.<name>`.
    event: String,
    /// For people.
    title: String,
    #[serde(rename = "opensAt")]
    opens_at: Timestamp,
    #[serde(rename = "closesAt")]
    closes_at: Timestamp,
    sale: SaleState,
    categories: Vec<CategoryView>,
}

/// A class of tickets with one price.
#[derive(Serialize, ToSchema)]
#[schema(as = Category)]
struct CategoryView {
    name: String,
    /// Of one ticket.
    #[schema(value_type = Amount)]
    price: Money,
    availability: Availability,
}

/// All events, by name.
#[derive(Serialize, ToSchema)]
#[schema(as = Events)]
pub(crate) struct Items {
    items: Vec<EventView>,
}

const CACHE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=1");

/// `GET /v1/events`
#[utoipa::path(get, path = "/v1/events", tag = "events", operation_id = "listEvents", summary = "All events",
    responses(
        (status = 200, description = "Cacheable for a second.", body = Items,
            headers(("Cache-Control" = String, description = "`public, max-age=1`."))),
        AnybodysProblems,
    ))]
pub(crate) async fn list(State(api): State<Arc<Api>>, _turn: Turn, _anybody: Anybody) -> Response {
    let mut events: Vec<_> = api.catalog.snapshot().events().cloned().collect();
    events.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    let mut items = Vec::with_capacity(events.len());
    for event in events {
        items.push(view(&api, &event).await);
    }
    ([CACHE], Json(Items { items })).into_response()
}

/// `GET /v1/events/{event}`
#[utoipa::path(get, path = "/v1/events/{event}", tag = "events", operation_id = "getEvent", summary = "One event",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")),
    responses(
        (status = 200, description = "Cacheable for a second.", body = EventView,
            headers(("Cache-Control" = String, description = "`public, max-age=1`."))),
        LookProblems,
    ))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    _turn: Turn,
    _anybody: Anybody,
    PathPart(event): PathPart,
) -> Result<Response, Problem> {
    let event = api.event(&event)?;
    Ok(([CACHE], Json(view(&api, &event).await)).into_response())
}

async fn view(api: &Api, event: &Arc<EventEntry>) -> EventView {
    let look = api.availability.look(event).await;
    let categories = event.categories.iter().map(|category| CategoryView {
        name: category.name.to_string(),
        price: category.price,
        availability: look.of(&category.name),
    });
    EventView {
        event: event.name().to_string(),
        title: event.row.title.clone(),
        opens_at: event.row.opens_at,
        closes_at: event.row.closes_at,
        sale: look.sale(event.sale(clock::now())),
        categories: categories.collect(),
    }
}
