//! `POST /v1/events/{event}/orders`: one call to the stock store, one produce, 202.
//!
//! A reservation is never undone here: whether a message reached the log cannot be known for sure, so an order that was
//! reserved and perhaps not written stays pending. The same request again writes it again (the ledger drops repeats); if
//! nobody asks again, the keeper's reaper closes it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use ticket_bus::Outgoing;
use ticket_core::{
    BuyerId, CategoryName, Code, Command, Epoch, Money, OrderId, OrderRecord, OrderRef, Place,
    State as OrderState, clock,
};
use ticket_stock::{Reserve, Reserved, StoreRecord};
use ticket_telemetry::trace;
use tracing::warn;
use utoipa::ToSchema;

use super::Api;
use super::buyer::Buyer;
use super::document::PlaceProblems;
use super::order_view::OrderView;
use super::turns::{Room, Turn};
use super::waiters::Waiter;
use super::wants::Wants;
use crate::body::JsonBody;
use crate::catalog::{CategoryEntry, EventEntry, Sale, ShardEntry};
use crate::path::PathPart;
use crate::problem::Problem;
use crate::traced;

/// Most tickets of one order, whatever the event's limit per buyer says.
const QUANTITY_MAX: i64 = 1_000;

/// Says which preference was honoured (RFC 7240).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What somebody wants to buy.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewOrder)]
pub(crate) struct PlaceRequest {
    /// A category of the event.
    category: String,
    /// Tickets.
    #[schema(minimum = 1, maximum = 1000)]
    #[serde(deserialize_with = "whole")]
    quantity: i64,
}

/// A whole number, also as `2.0`: to JSON that is the same number.
fn whole<'de, D: Deserializer<'de>>(number: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(i64),
        Float(f64),
    }
    let expected = || D::Error::custom("expected a whole number");
    match Number::deserialize(number).map_err(|_| expected())? {
        Number::Whole(number) => Ok(number),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is cut off is far outside of what is sold, and stays so"
        )]
        Number::Float(number) if number.fract() == 0.0 => Ok(number as i64),
        Number::Float(_) => Err(expected()),
    }
}

/// Takes an order.
#[utoipa::path(post, path = "/v1/events/{event}/orders", tag = "orders", operation_id = "placeOrder",
    summary = "Order tickets",
    params(
        ("event" = String, Path, description = "`<namespace>.<name>`."),
        ("Idempotency-Key" = String, Header, description = "The same key and body are the same order, for ever. \
            Visible ASCII and spaces; those around it do not count, as in any header.",
            min_length = 1, max_length = 255, pattern = r"^[\t -~]*[!-~][\t -~]*$"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30, for the decision."),
    ),
    request_body = PlaceRequest,
    security(("buyer" = [])),
    responses(
        (status = 201, description = "The order is decided: only with `Prefer: wait`.", body = OrderView,
            headers(("Location" = String, description = "The order."), ("Preference-Applied" = String, description = "`wait=N`."))),
        (status = 202, description = "The order is accepted and will be decided.", body = OrderView,
            headers(("Location" = String, description = "The order."))),
        PlaceProblems,
    ))]
pub(crate) async fn place(
    State(api): State<Arc<Api>>,
    _room: Room,
    PathPart(event): PathPart,
    Buyer(buyer): Buyer,
    Wants { key, wait }: Wants,
    JsonBody(request): JsonBody<PlaceRequest>,
) -> Result<Response, Problem> {
    let turn = api.turns.take()?;
    let now = clock::now();
    let key = key?;
    let event = api.event(&event)?;
    let category = event
        .category(&request.category)
        .ok_or_else(|| Problem::not_found("category: this category of the event"))?;
    let (quantity, amount) = price(category, request.quantity)?;
    let order = OrderId::derive(event.id(), &buyer, &key);
    if let Err(refusal) = on_sale(&event, now) {
        let wish = Wish {
            order,
            category: &category.name,
            quantity,
            wait,
        };
        return match Box::pin(api.taken_before(&event, wish)).await? {
            Some(answer) => Ok(answer),
            None => Err(refusal),
        };
    }
    if api
        .sold_out
        .turns_away(event.id(), event.epoch(), &category.name, order)
        .await
    {
        return Err(Code::SoldOut.into());
    }
    let wanted = Wanted {
        event: &event,
        category,
        order,
        buyer,
        quantity,
        amount,
        now,
        wait,
    };
    // Boxed: most of those who come find nothing left, and the handler's future is moved several times.
    Box::pin(api.take(wanted, turn)).await
}

/// An order that may be taken.
struct Wanted<'a> {
    event: &'a EventEntry,
    category: &'a CategoryEntry,
    order: OrderId,
    buyer: BuyerId,
    quantity: u32,
    amount: Money,
    now: Timestamp,
    wait: Option<Duration>,
}

/// An order that somebody wants while nothing is sold.
struct Wish<'a> {
    order: OrderId,
    category: &'a CategoryName,
    quantity: u32,
    wait: Option<Duration>,
}

impl Api {
    /// Takes units and writes the order down. `turn` ends with the work: whoever only waits is no load.
    async fn take(&self, wanted: Wanted<'_>, turn: Turn) -> Result<Response, Problem> {
        let Wanted {
            event,
            category,
            order,
            buyer,
            quantity,
            amount,
            now,
            wait,
        } = wanted;
        let epoch = event.epoch();
        // Listen before the order exists, so that no decision is missed.
        let waiter = wait.map(|wait| (wait, self.waiters.subscribe(order)));
        self.window.join().await;
        let Some(offer) = self
            .picker
            .offer(event.id(), &category.name, &category.shards)
        else {
            return Err(Code::WarmingUp.into());
        };
        let reserve = Reserve {
            event: event.id(),
            category: &category.name,
            epoch,
            order,
            buyer: &buyer,
            quantity,
            shards: offer.shards,
            now,
            admission_per_second: event.row.admission_per_second,
        };
        let (reserved, epoch) = self.reserve(event, reserve).await?;
        // The ledger counts an order by the epoch that its units were taken with, whatever the newest one is.
        let (shard, epoch) = match reserved {
            Reserved::Fresh { shard } => {
                self.sold_out.clear(event.id(), &category.name);
                self.picker.took(event.id(), &category.name, offer, shard);
                (shard, epoch)
            }
            Reserved::Known(record) => {
                if record.category != category.name || record.quantity != quantity {
                    return Err(Code::IdempotencyKeyReused.into());
                }
                if (!record.pending || wait.is_some())
                    && let Some(answer) = Box::pin(self.known(order, &record, wait)).await?
                {
                    return Ok(answer);
                }
                (record.shard, record.epoch)
            }
            Reserved::SoldOut => {
                self.sold_out.note(event.id(), &category.name);
                return Err(Code::SoldOut.into());
            }
            Reserved::NoShardFits => return Err(Code::NoShardFits.into()),
            Reserved::BuyerLimit => return Err(buyer_limit(event)),
            Reserved::TooFast => return Err(Code::TooManyRequests.into()),
            Reserved::WarmingUp | Reserved::OtherEpoch => return Err(Code::WarmingUp.into()),
        };

        let id = OrderRef { order, shard };
        let entry = self.shard(shard)?;
        let command = Command::Place(Place {
            order,
            shard,
            epoch,
            buyer,
            quantity,
            amount_minor: amount.amount_minor,
            accepted_at: now,
        });
        let offset = self.write(&entry, &command).await?;
        drop(turn);

        if let Some((wait, waiter)) = waiter
            && let Some(decided) = Box::pin(self.decision(id, wait, waiter)).await
        {
            return Ok(decided_answer(id, decided, &entry, Some(wait)));
        }
        let position = self
            .positions
            .before(event.topic(), entry.partition, offset);
        let view = OrderView::queued(id, quantity, now, position, &entry)
            .ok_or_else(|| Problem::from(Code::Internal))?;
        Ok(answer(StatusCode::ACCEPTED, id, &view, wait))
    }

    /// Reserves, and says with which epoch; a runtime that is behind the ledger's epoch looks again once. What is rare is
    /// boxed here and below: the future of a handler is moved several times, with everything that might happen in it.
    async fn reserve(
        &self,
        event: &EventEntry,
        reserve: Reserve<'_>,
    ) -> Result<(Reserved, Epoch), Problem> {
        let reserved = self.stock.reserve(&reserve).await;
        let unreachable = |error: ticket_stock::StockError| {
            warn!(error = %ticket_telemetry::chain(&error), code = error.code(), "not reserved");
            Problem::unavailable("the stock store")
        };
        let reserved = reserved.map_err(unreachable)?;
        if !matches!(reserved, Reserved::OtherEpoch) {
            return Ok((reserved, reserve.epoch));
        }
        if Box::pin(self.catalog.refresh()).await.is_err() {
            return Ok((reserved, reserve.epoch));
        }
        match self.catalog.snapshot().event(event.name()) {
            Some(newer) if newer.epoch() > event.epoch() => {
                let reserve = Reserve {
                    epoch: newer.epoch(),
                    ..reserve
                };
                let reserved = Box::pin(self.stock.reserve(&reserve)).await;
                Ok((reserved.map_err(unreachable)?, reserve.epoch))
            }
            Some(_) | None => Ok((reserved, reserve.epoch)),
        }
    }

    /// The answer for an order that was decided before; `None` if the ledger does not know it (yet).
    async fn known(
        &self,
        order: OrderId,
        record: &StoreRecord,
        wait: Option<Duration>,
    ) -> Result<Option<Response>, Problem> {
        let id = OrderRef {
            order,
            shard: record.shard,
        };
        let Some(decided) = self.reads.get(id).await? else {
            return Ok(None);
        };
        let entry = self.shard(record.shard)?;
        Ok(Some(decided_answer(id, decided, &entry, wait)))
    }

    /// The same key and payload are the same order for ever, also while nothing is sold (any more). `None` if no such order
    /// was taken. The stock store says no for many requests in one call; in doubt the ledger is asked on every stock
    /// shard of the event.
    async fn taken_before(
        &self,
        event: &EventEntry,
        wish: Wish<'_>,
    ) -> Result<Option<Response>, Problem> {
        let Wish {
            order,
            category,
            quantity,
            wait,
        } = wish;
        if !self
            .sold_out
            .may_know(event.id(), event.epoch(), order)
            .await
        {
            return Ok(None);
        }
        let same = |of: &CategoryName, units: u32| of == category && units == quantity;
        let reused = || Problem::from(Code::IdempotencyKeyReused);
        let record = self.stock.record(event.id(), order).await.ok().flatten();
        let shards: Vec<_> = match &record {
            Some(record) => vec![record.shard],
            None => event.row.shards.iter().map(|shard| shard.id).collect(),
        };
        let reads = shards.into_iter().map(|shard| async move {
            let id = OrderRef { order, shard };
            self.reads.get(id).await.map(|decided| (id, decided))
        });
        for read in futures::future::join_all(reads).await {
            let (id, Some(decided)) = read? else {
                continue;
            };
            let entry = self.shard(id.shard)?;
            if !same(&entry.category().name, decided.quantity) {
                return Err(reused());
            }
            return Ok(Some(decided_answer(id, decided, &entry, wait)));
        }
        // Taken a moment ago and not decided yet.
        let Some(record) = record else {
            return Ok(None);
        };
        if !same(&record.category, record.quantity) {
            return Err(reused());
        }
        let id = OrderRef {
            order,
            shard: record.shard,
        };
        let entry = self.shard(record.shard)?;
        let view = OrderView::queued(id, quantity, record.reserved_at, None, &entry)
            .ok_or_else(|| Problem::from(Code::Internal))?;
        Ok(Some(answer(StatusCode::ACCEPTED, id, &view, wait)))
    }

    /// The decision, if it falls within `wait`; `None` also when the process is about to end.
    async fn decision(
        &self,
        id: OrderRef,
        wait: Duration,
        mut waiter: Waiter,
    ) -> Option<OrderRecord> {
        tokio::select! {
            () = tokio::time::sleep(wait) => None,
            () = self.stop.cancelled() => None,
            fact = waiter.next() => match fact {
                Some(decided) => Some(decided),
                // Some facts were missed: the ledger has the newest.
                None => self.reads.get(id).await.ok().flatten(),
            },
        }
    }

    /// Writes `command` to the order log of its stock shard. Returns its offset.
    pub(super) async fn write(
        &self,
        shard: &ShardEntry,
        command: &Command,
    ) -> Result<i64, Problem> {
        let key = command.key();
        let payload = command.encode();
        // Only a request whose trace is kept has a header.
        let header = trace::outgoing().map(traced::header);
        self.log
            .send_record(&Outgoing {
                topic: shard.event.topic(),
                partition: shard.partition,
                key: key.as_bytes(),
                payload: &payload,
                headers: header.as_slice(),
            })
            .await
            .map_err(|error| {
                warn!(error = %ticket_telemetry::chain(&error), code = error.code(), order = key, "command not written");
                Problem::unavailable("the order log")
            })
    }
}

/// 201 for whoever wanted to wait for the decision, 202 for everybody else.
fn decided_answer(
    id: OrderRef,
    decided: OrderRecord,
    shard: &ShardEntry,
    wait: Option<Duration>,
) -> Response {
    let is_decided = decided.state != OrderState::Queued;
    let status = if wait.is_some() && is_decided {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    };
    let view = OrderView::decided(id, decided, shard);
    answer(status, id, &view, wait)
}

fn answer(status: StatusCode, id: OrderRef, view: &OrderView, wait: Option<Duration>) -> Response {
    let mut response = (status, Json(view)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/orders/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(wait) = wait
        && let Ok(applied) = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))
    {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
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
