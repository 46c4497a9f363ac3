//! `GET /admin/v1/events` and `/admin/v1/events/{event}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::{StreamExt, TryStreamExt, stream};
use ticket_admin::{Amount, CategoryView, Counts, EventView, List};
use ticket_core::{Money, StockCounts, clock};
use ticket_ledger::StockShardRow;

use super::document::{LookProblems, ViewProblems};
use super::{Admin, refusal};
use crate::availability::SaleState;
use crate::catalog::EventEntry;
use crate::path::PathPart;
use crate::problem::Problem;

/// Events that are read at the same time for a list: a share of the ledger's connections.
const EVENTS_AT_ONCE: usize = 4;

#[utoipa::path(get, path = "/admin/v1/events", tag = "events", operation_id = "listEvents", summary = "All events",
    security(("manager" = [])),
    responses((status = 200, description = "By name, on one page.", body = List<EventView>), ViewProblems))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
) -> Result<Json<List<EventView>>, Problem> {
    let mut events: Vec<_> = admin.parts.catalog.snapshot().events().cloned().collect();
    events.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    let views = events.into_iter().map(|event| {
        let admin = admin.clone();
        async move { view(&admin, &event).await }
    });
    let items = stream::iter(views)
        .buffered(EVENTS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(Json(List::whole(items)))
}

#[utoipa::path(get, path = "/admin/v1/events/{event}", tag = "events", operation_id = "getEvent", summary = "One event",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), security(("manager" = [])),
    responses((status = 200, description = "The event.", body = EventView), LookProblems))]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
) -> Result<Json<EventView>, Problem> {
    let event = admin.event(&event).await?;
    view(&admin, &event).await.map(Json)
}

async fn view(admin: &Admin, event: &Arc<EventEntry>) -> Result<EventView, Problem> {
    let rows = admin.parts.ledger.stock(event.id()).await;
    let rows = rows.map_err(|error| refusal::of_ledger(&error))?;
    let look = admin.availability.look(event).await;
    // A store that does not answer is one that is warming up.
    let armed = admin.parts.stock.state(event.id()).await.ok().flatten();
    let row = &event.row;
    Ok(EventView {
        event: event.name().to_string(),
        event_id: event.id().to_string(),
        title: row.title.clone(),
        sale: sale(look.sale(event.sale(clock::now()))).to_owned(),
        opens_at: row.opens_at,
        closes_at: Some(row.closes_at),
        paused: row.paused,
        epoch: event.epoch().0,
        armed_epoch: armed.map(|epoch| epoch.0),
        topic: row.topic.clone(),
        partitions: row.partitions,
        max_per_buyer: row.max_per_buyer,
        admission_per_second: row.admission_per_second,
        hold_for_s: i64::from(row.hold_for_s),
        processing_for_s: i64::from(row.processing_for_s),
        stock: sum(rows.iter()),
        categories: event
            .categories
            .iter()
            .map(|category| CategoryView {
                name: category.name.to_string(),
                price: amount(category.price),
                stock_shards: u32::try_from(category.shards.len()).unwrap_or(u32::MAX),
                stock: sum(rows.iter().filter(|row| row.category == category.name)),
            })
            .collect(),
    })
}

const fn sale(state: SaleState) -> &'static str {
    match state {
        SaleState::Scheduled => "scheduled",
        SaleState::OnSale => "on_sale",
        SaleState::Paused => "paused",
        SaleState::SoldOut => "sold_out",
        SaleState::WarmingUp => "warming_up",
        SaleState::Closed => "closed",
    }
}

/// The sum over stock shards.
pub(super) fn sum<'a>(rows: impl Iterator<Item = &'a StockShardRow>) -> Counts {
    let mut total = StockCounts::default();
    for row in rows {
        total += row.counts;
    }
    counts(total)
}

/// On the wire.
pub(super) const fn counts(counts: StockCounts) -> Counts {
    let StockCounts {
        capacity,
        available,
        held,
        sold,
    } = counts;
    Counts {
        capacity,
        available,
        held,
        sold,
    }
}

/// On the wire.
pub(super) fn amount(money: Money) -> Amount {
    Amount {
        currency: money.currency.to_string(),
        amount_minor: money.amount_minor,
    }
}
