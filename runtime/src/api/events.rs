//! What is for sale: public, cacheable for a second. Availability comes from the stock store's counts, read at most once a
//! second per event.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use ticket_core::{Money, clock};

use super::Api;
use crate::availability::{Availability, SaleState};
use crate::catalog::EventEntry;
use crate::problem::Problem;

#[derive(Serialize)]
struct EventView {
    event: String,
    title: String,
    #[serde(rename = "opensAt")]
    opens_at: Timestamp,
    #[serde(rename = "closesAt")]
    closes_at: Timestamp,
    sale: SaleState,
    categories: Vec<CategoryView>,
}

#[derive(Serialize)]
struct CategoryView {
    name: String,
    price: Money,
    availability: Availability,
}

#[derive(Serialize)]
struct Items {
    items: Vec<EventView>,
}

const CACHE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=1");

/// `GET /v1/events`
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Response {
    let mut events: Vec<_> = api.catalog.snapshot().events().cloned().collect();
    events.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    let mut items = Vec::with_capacity(events.len());
    for event in events {
        items.push(view(&api, &event).await);
    }
    ([CACHE], Json(Items { items })).into_response()
}

/// `GET /v1/events/{event}`
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    Path(event): Path<String>,
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
