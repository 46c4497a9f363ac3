//! `GET /v1/orders/{id}`, cancel and refund. An order is its buyer's alone: for everybody else it does not exist.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ticket_core::machine::{Next, next};
use ticket_core::{
    Action, BuyerId, Code, Command, EventName, OrderCommand, OrderRef, Reason, State as OrderState,
    StockShardId, clock,
};

use super::Api;
use super::buyer::Buyer;
use super::document::{OrderProblems, WishProblems};
use super::order_view::OrderView;
use super::turns::Turn;
use crate::catalog::{EventEntry, ShardEntry};
use crate::path::PathPart;
use crate::problem::Problem;

/// `GET /v1/orders/{id}`
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", operation_id = "getOrder", summary = "One's own order",
    params(("id" = String, Path, description = "The order.", pattern = "^ord_[0-9a-f]{46}$")),
    security(("buyer" = [])),
    responses((status = 200, description = "The order.", body = OrderView), OrderProblems))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    _turn: Turn,
    PathPart(id): PathPart,
    Buyer(buyer): Buyer,
) -> Result<Json<OrderView>, Problem> {
    let id = parse(&id)?;
    let shard = api.shard(id.shard).map_err(|_| nobodys())?;
    api.order_of(id, &shard, &buyer).await.map(Json)
}

/// `POST /v1/orders/{id}/cancel`
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    summary = "Give an unpaid order back",
    params(("id" = String, Path, description = "The order.", pattern = "^ord_[0-9a-f]{46}$")),
    security(("buyer" = [])),
    responses((status = 202, description = "The order as it was; it is cancelled a moment later.", body = OrderView),
        WishProblems))]
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    _turn: Turn,
    PathPart(id): PathPart,
    Buyer(buyer): Buyer,
) -> Result<Response, Problem> {
    api.wish(
        &id,
        &buyer,
        Action::Cancel {
            reason: Reason::BuyerRequest,
        },
    )
    .await
}

/// `POST /v1/orders/{id}/refund`
#[utoipa::path(post, path = "/v1/orders/{id}/refund", tag = "orders", operation_id = "refundOrder",
    summary = "Give a paid order back",
    params(("id" = String, Path, description = "The order.", pattern = "^ord_[0-9a-f]{46}$")),
    security(("buyer" = [])),
    responses((status = 202, description = "The order as it was; it is refunded a moment later.", body = OrderView),
        WishProblems))]
pub(crate) async fn refund(
    State(api): State<Arc<Api>>,
    _turn: Turn,
    PathPart(id): PathPart,
    Buyer(buyer): Buyer,
) -> Result<Response, Problem> {
    api.wish(
        &id,
        &buyer,
        Action::Refund {
            reason: Reason::BuyerRequest,
        },
    )
    .await
}

impl Api {
    /// The event with this `<namespace>.<name>`.
    pub(super) fn event(&self, name: &str) -> Result<Arc<EventEntry>, Problem> {
        let unknown = || Problem::not_found("this event");
        let name: EventName = name.parse().map_err(|_| unknown())?;
        self.catalog
            .snapshot()
            .event(&name)
            .cloned()
            .ok_or_else(unknown)
    }

    /// Where a stock shard belongs. Unknown to us but not to the caller: we are behind by less than a second.
    pub(super) fn shard(&self, id: StockShardId) -> Result<ShardEntry, Problem> {
        let known = self.catalog.snapshot().shard(id).cloned();
        known.ok_or_else(|| Problem::unavailable("the catalog of events"))
    }

    /// The buyer's order: from the ledger, or from the stock store while it is still queued.
    pub(super) async fn order_of(
        &self,
        id: OrderRef,
        shard: &ShardEntry,
        buyer: &BuyerId,
    ) -> Result<OrderView, Problem> {
        if let Some(order) = self.reads.get(id).await? {
            if order.buyer != *buyer {
                return Err(nobodys());
            }
            return Ok(OrderView::decided(id, order, shard));
        }
        let event = shard.event.id();
        let record = self.stock.record(event, id.order).await;
        match record.map_err(|_| Problem::unavailable("the stock store"))? {
            Some(record) if record.buyer == *buyer && record.shard == id.shard => {
                let position = self.positions.waiting(shard.event.topic(), shard.partition);
                let quantity = record.quantity;
                OrderView::queued(id, quantity, record.reserved_at, position, shard)
                    .ok_or_else(|| Code::Internal.into())
            }
            Some(_) => Err(nobodys()),
            // The order may be in the log although the store has lost it: only an armed store may say no.
            None => match self.stock.state(event).await {
                Ok(Some(_)) => Err(nobodys()),
                Ok(None) | Err(_) => Err(Code::WarmingUp.into()),
            },
        }
    }

    /// A buyer's wish becomes a command, if the order machine may grant it.
    async fn wish(&self, id: &str, buyer: &BuyerId, action: Action) -> Result<Response, Problem> {
        let id = parse(id)?;
        let shard = self.shard(id.shard).map_err(|_| nobodys())?;
        let order = self.order_of(id, &shard, buyer).await?;
        match next(order.state, action.verb()) {
            Next::Illegal => return Err(illegal(order.state)),
            // Done already: the same answer again, and nothing to write.
            Next::Stay => {}
            Next::Move(_) | Next::Extend | Next::ExpireIfDue | Next::ClaimOrRefund | Next::Mark => {
                let command = OrderCommand {
                    order: id.order,
                    shard: id.shard,
                    at: clock::now(),
                    action,
                };
                self.write(&shard, &Command::Order(command)).await?;
            }
        }
        Ok((StatusCode::ACCEPTED, Json(order)).into_response())
    }
}

fn parse(id: &str) -> Result<OrderRef, Problem> {
    id.parse().map_err(|_| nobodys())
}

fn nobodys() -> Problem {
    Problem::not_found("this order")
}

fn illegal(state: OrderState) -> Problem {
    Problem::new(Code::IllegalTransition, format!("the order is {state}"))
}
