//! `POST /v1/events/{event}/orders`: one call to the stock store, one produce, 202.
//!
//! A reservation is never undone here: whether a message reached the log cannot be known for sure, so an order that was
//! reserved and perhaps not written stays pending. The same request again writes it again (the ledger drops repeats); if
//! nobody asks again, the keeper's reaper closes it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use ticket_core::{Code, Command, Money, OrderId, OrderRef, Place, clock};
use ticket_stock::{Reserve, Reserved, StoreRecord};
use tracing::warn;

use super::Api;
use super::body::JsonBody;
use super::buyer::Buyer;
use super::order_view::OrderView;
use super::wants::Wants;
use crate::catalog::{CategoryEntry, EventEntry, Sale, ShardEntry};
use crate::problem::Problem;

/// Most tickets of one order, whatever the event's limit per buyer says.
const QUANTITY_MAX: i64 = 1_000;

/// The body.
#[derive(Debug, Deserialize)]
pub(crate) struct PlaceRequest {
    category: String,
    quantity: i64,
}

/// Takes an order.
pub(crate) async fn place(
    State(api): State<Arc<Api>>,
    Path(event): Path<String>,
    Buyer(buyer): Buyer,
    Wants { key, wait }: Wants,
    JsonBody(request): JsonBody<PlaceRequest>,
) -> Result<Response, Problem> {
    let now = clock::now();
    let event = api.event(&event)?;
    let key = key?;
    let category = event
        .category(&request.category)
        .ok_or_else(|| Problem::not_found("category: this category of the event"))?;
    let (quantity, amount) = price(category, request.quantity)?;
    on_sale(&event, now)?;

    let order = OrderId::derive(event.id(), &buyer, &key);
    let (of_event, epoch) = (event.id(), event.epoch());
    if api
        .sold_out
        .turns_away(of_event, epoch, &category.name, order)
        .await
    {
        return Err(Code::SoldOut.into());
    }
    // Listen before the order exists, so that no decision is missed.
    let waiter = wait.map(|wait| (wait, api.waiters.subscribe(order)));
    let Some(offer) = api.picker.offer(of_event, &category.name, &category.shards) else {
        return Err(Code::WarmingUp.into());
    };
    let reserve = Reserve {
        event: of_event,
        category: &category.name,
        epoch,
        order,
        buyer: &buyer,
        quantity,
        shards: offer.shards,
        now,
        admission_per_second: event.row.admission_per_second,
    };
    let shard = match api.reserve(&event, reserve).await? {
        Reserved::Fresh { shard } => {
            api.sold_out.clear(of_event, &category.name);
            api.picker.took(of_event, &category.name, offer, shard);
            shard
        }
        Reserved::Known(record) => {
            if record.category != category.name || record.quantity != quantity {
                return Err(Code::IdempotencyKeyReused.into());
            }
            if !record.pending
                && let Some(answer) = Box::pin(api.known(order, &record)).await?
            {
                return Ok(answer);
            }
            record.shard
        }
        Reserved::SoldOut => {
            api.sold_out.note(of_event, &category.name);
            return Err(Code::SoldOut.into());
        }
        Reserved::NoShardFits => return Err(Code::NoShardFits.into()),
        Reserved::BuyerLimit => return Err(buyer_limit(&event)),
        Reserved::TooFast => return Err(Code::TooManyRequests.into()),
        Reserved::WarmingUp | Reserved::OtherEpoch => return Err(Code::WarmingUp.into()),
    };

    let id = OrderRef { order, shard };
    let entry = api.shard(shard)?;
    let command = Command::Place(Place {
        order,
        shard,
        epoch: event.epoch(),
        buyer,
        quantity,
        amount_minor: amount.amount_minor,
        accepted_at: now,
    });
    let offset = api.write(&entry, &command).await?;

    if let Some((wait, mut waiter)) = waiter
        && let Ok(Some(decided)) = tokio::time::timeout(wait, waiter.next()).await
    {
        let view = OrderView::decided(id, decided, &entry);
        return Ok(answer(StatusCode::CREATED, id, &view));
    }
    let position = api.positions.before(event.topic(), entry.partition, offset);
    let view = OrderView::queued(id, quantity, now, position, &entry)
        .ok_or_else(|| Problem::from(Code::Internal))?;
    Ok(answer(StatusCode::ACCEPTED, id, &view))
}

impl Api {
    /// Reserves; a runtime that is behind the ledger's epoch looks again once. What is rare is boxed here and below: the
    /// future of a handler is moved several times, with everything that might happen in it.
    async fn reserve(&self, event: &EventEntry, reserve: Reserve<'_>) -> Result<Reserved, Problem> {
        let reserved = self.stock.reserve(&reserve).await;
        let unreachable = |error: ticket_stock::StockError| {
            warn!(error = %ticket_telemetry::chain(&error), code = error.code(), "not reserved");
            Problem::unavailable("the stock store")
        };
        let reserved = reserved.map_err(unreachable)?;
        if !matches!(reserved, Reserved::OtherEpoch) {
            return Ok(reserved);
        }
        if Box::pin(self.catalog.refresh()).await.is_err() {
            return Ok(reserved);
        }
        match self.catalog.snapshot().event(event.name()) {
            Some(newer) if newer.epoch() > event.epoch() => {
                let reserve = Reserve {
                    epoch: newer.epoch(),
                    ..reserve
                };
                Box::pin(self.stock.reserve(&reserve))
                    .await
                    .map_err(unreachable)
            }
            Some(_) | None => Ok(reserved),
        }
    }

    /// The answer for an order that was decided before; `None` if the ledger does not know it (yet).
    async fn known(
        &self,
        order: OrderId,
        record: &StoreRecord,
    ) -> Result<Option<Response>, Problem> {
        let id = OrderRef {
            order,
            shard: record.shard,
        };
        let Some(decided) = self.reads.get(id).await? else {
            return Ok(None);
        };
        let view = OrderView::decided(id, decided, &self.shard(record.shard)?);
        Ok(Some(answer(StatusCode::ACCEPTED, id, &view)))
    }

    /// Writes `command` to the order log of its stock shard. Returns its offset.
    pub(super) async fn write(
        &self,
        shard: &ShardEntry,
        command: &Command,
    ) -> Result<i64, Problem> {
        let key = command.key();
        let payload = command.encode();
        self.log
            .send(shard.event.topic(), shard.partition, key.as_bytes(), &payload)
            .await
            .map_err(|error| {
                warn!(error = %ticket_telemetry::chain(&error), code = error.code(), order = key, "command not written");
                Problem::unavailable("the order log")
            })
    }
}

fn answer(status: StatusCode, id: OrderRef, view: &OrderView) -> Response {
    let mut response = (status, Json(view)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/orders/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn price(category: &CategoryEntry, quantity: i64) -> Result<(u32, Money), Problem> {
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Problem::invalid(
            "quantity",
            format!("expected 1 to {QUANTITY_MAX}"),
        ));
    }
    let quantity =
        u32::try_from(quantity).map_err(|_| Problem::invalid("quantity", "is too large"))?;
    let amount = category
        .price
        .times(quantity)
        .ok_or_else(|| Problem::invalid("quantity", "too much"))?;
    Ok((quantity, amount))
}

fn on_sale(event: &EventEntry, now: Timestamp) -> Result<(), Problem> {
    match event.sale(now) {
        Sale::Open => Ok(()),
        Sale::Scheduled => Err(Code::SaleNotOpen.into()),
        Sale::Paused => Err(Code::SalePaused.into()),
        Sale::Closed => Err(Code::SaleClosed.into()),
    }
}

fn buyer_limit(event: &EventEntry) -> Problem {
    let limit = event.row.max_per_buyer;
    Problem::new(
        Code::BuyerLimit,
        format!("the limit per buyer of this event is {limit}"),
    )
}
