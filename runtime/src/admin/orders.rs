//! Orders as an event manager sees them, and the two things that a manager may wish of one. A wish becomes a command on
//! the order log, exactly as a buyer's does.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use ticket_admin::{HistoryEntry, List, OrderView, buyer};
use ticket_core::machine::{Next, next};
use ticket_core::{
    Action, BuyerId, Code, Command, Money, OrderCommand, OrderRecord, OrderRef, Reason,
    State as OrderState, clock,
};
use ticket_ledger::{LedgerError, OrderFilter};
use ticket_stock::StoreRecord;
use ticket_telemetry::chain;
use tracing::warn;
use utoipa::IntoParams;

use super::document::{ListProblems, LookProblems, WishProblems};
use super::events::amount;
use super::{Admin, refusal};
use crate::catalog::ShardEntry;
use crate::commands;
use crate::openapi::one_of;
use crate::path::PathPart;
use crate::problem::Problem;

/// Orders on a page when nothing else is wanted.
const LIMIT_DEFAULT: u32 = 100;

/// Most orders on a page.
const LIMIT_MAX: u32 = 1_000;

/// `?state=&buyer=&limit=&cursor=`
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only orders in this state.
    #[param(schema_with = states)]
    state: Option<String>,
    /// Only orders of this buyer.
    buyer: Option<String>,
    /// Orders on a page; 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(get, path = "/admin/v1/events/{event}/orders", tag = "orders", operation_id = "listOrders",
    summary = "The orders of an event",
    params(("event" = String, Path, description = "`<namespace>.<name>`."), Wanted), security(("manager" = [])),
    responses((status = 200, description = "A page, in the order of their ids.", body = List<OrderView>), ListProblems))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<List<OrderView>>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::invalid("query", error.body_text()))?;
    let event = admin.event(&event).await?;
    let limit = wanted.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid(
            "limit",
            format!("expected 1 to {LIMIT_MAX}"),
        ));
    }
    let filter = OrderFilter {
        state: filled(wanted.state).map(|text| state(&text)).transpose()?,
        buyer: filled(wanted.buyer)
            .map(BuyerId::new)
            .transpose()
            .map_err(|error| Problem::invalid("buyer", error.why))?,
    };
    let cursor = filled(wanted.cursor);
    let page = admin
        .parts
        .ledger
        .list_orders(event.id(), &filter, limit, cursor.as_deref())
        .await;
    let page = page.map_err(|error| {
        if let LedgerError::Corrupt {
            what: "a cursor",
            cause,
        } = &error
        {
            return Problem::invalid("cursor", cause.why);
        }
        refusal::of_ledger(&error)
    })?;
    let snapshot = admin.parts.catalog.snapshot();
    let view = |(id, record): (OrderRef, OrderRecord)| {
        snapshot
            .shard(id.shard)
            .map(|shard| decided(id, &record, shard, false))
    };
    Ok(Json(List {
        items: page.items.into_iter().filter_map(view).collect(),
        next_cursor: page.next_cursor,
    }))
}

#[utoipa::path(get, path = "/admin/v1/orders/{id}", tag = "orders", operation_id = "getOrder",
    summary = "One order with its history", params(("id" = String, Path, description = "The order.")), security(("manager" = [])),
    responses((status = 200, description = "The order.", body = OrderView), LookProblems))]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    PathPart(id): PathPart,
) -> Result<Json<OrderView>, Problem> {
    let (id, shard) = find(&admin, &id).await?;
    order(&admin, id, &shard).await.map(|(_, view)| Json(view))
}

#[utoipa::path(post, path = "/admin/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    summary = "Cancel an unpaid order", params(("id" = String, Path, description = "The order.")), security(("manager" = [])),
    responses((status = 202, description = "The order as it was; it is cancelled a moment later.", body = OrderView), WishProblems))]
pub(super) async fn cancel(
    State(admin): State<Arc<Admin>>,
    PathPart(id): PathPart,
) -> Result<Response, Problem> {
    wish(
        &admin,
        &id,
        Action::Cancel {
            reason: Reason::ManagerRequest,
        },
    )
    .await
}

#[utoipa::path(post, path = "/admin/v1/orders/{id}/refund", tag = "orders", operation_id = "refundOrder",
    summary = "Refund a paid order", params(("id" = String, Path, description = "The order.")), security(("manager" = [])),
    responses((status = 202, description = "The order as it was; it is refunded a moment later.", body = OrderView), WishProblems))]
pub(super) async fn refund(
    State(admin): State<Arc<Admin>>,
    PathPart(id): PathPart,
) -> Result<Response, Problem> {
    wish(
        &admin,
        &id,
        Action::Refund {
            reason: Reason::ManagerRequest,
        },
    )
    .await
}

async fn wish(admin: &Admin, id: &str, action: Action) -> Result<Response, Problem> {
    let (id, shard) = find(admin, id).await?;
    let (state, view) = order(admin, id, &shard).await?;
    match next(state, action.verb()) {
        Next::Illegal => {
            return Err(Problem::new(
                Code::IllegalTransition,
                format!("the order is {state}"),
            ));
        }
        // Done already: the same answer again, and nothing to write.
        Next::Stay => {}
        Next::Move(_) | Next::Extend | Next::ExpireIfDue | Next::ClaimOrRefund | Next::Mark => {
            let at = clock::now();
            let command = OrderCommand {
                order: id.order,
                shard: id.shard,
                at,
                action,
            };
            let command = Command::Order(command);
            let sent = commands::send(&admin.parts.catalog, &admin.parts.log, &command).await;
            sent.map_err(|error| {
                warn!(error = %chain(&error), code = error.code(), "manager's wish not written");
                Problem::unavailable("the order log")
            })?;
        }
    }
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

/// Reads the reference and finds where it belongs.
async fn find(admin: &Admin, id: &str) -> Result<(OrderRef, ShardEntry), Problem> {
    let id: OrderRef = id.parse().map_err(|_| nobodys())?;
    let catalog = &admin.parts.catalog;
    if let Some(shard) = catalog.snapshot().shard(id.shard) {
        return Ok((id, shard.clone()));
    }
    catalog
        .refresh()
        .await
        .map_err(|error| refusal::of_ledger(&error))?;
    let shard = catalog
        .snapshot()
        .shard(id.shard)
        .cloned()
        .ok_or_else(nobodys)?;
    Ok((id, shard))
}

/// From the ledger, or from the stock store while it is still queued.
async fn order(
    admin: &Admin,
    id: OrderRef,
    shard: &ShardEntry,
) -> Result<(OrderState, OrderView), Problem> {
    let found = admin.parts.ledger.order(id).await;
    if let Some(record) = found.map_err(|error| refusal::of_ledger(&error))? {
        return Ok((record.state, decided(id, &record, shard, true)));
    }
    let record = admin.parts.stock.record(shard.event.id(), id.order).await;
    let record = record.map_err(|_| Problem::unavailable("the stock store"))?;
    let record = record.filter(|record| record.shard == id.shard && !record.voided);
    let record = record.ok_or_else(nobodys)?;
    let view = queued(id, &record, shard).ok_or(Code::Internal)?;
    Ok((OrderState::Queued, view))
}

fn decided(
    id: OrderRef,
    record: &OrderRecord,
    shard: &ShardEntry,
    with_history: bool,
) -> OrderView {
    let category = shard.category();
    let currency = category.price.currency;
    OrderView {
        id: id.to_string(),
        event: shard.event.name().to_string(),
        category: category.name.to_string(),
        buyer: record.buyer.to_string(),
        quantity: record.quantity,
        state: record.state.to_string(),
        reason: record.reason.map(|reason| reason.as_str().to_owned()),
        flags: record
            .passed
            .complaints()
            .map(|flag| flag.as_str().to_owned())
            .collect(),
        amount: amount(Money {
            currency,
            amount_minor: record.amount_minor,
        }),
        created_at: record.created_at,
        updated_at: record.updated_at,
        hold_expires_at: record.hold_expires_at,
        payment: record.payment.as_ref().map(|payment| buyer::Payment {
            provider: payment.provider.clone(),
            id: payment.id.clone(),
            client_secret: None,
        }),
        stock_shard_id: id.shard.get(),
        version: record.version,
        history: if with_history {
            history(record)
        } else {
            Vec::new()
        },
    }
}

fn queued(id: OrderRef, record: &StoreRecord, shard: &ShardEntry) -> Option<OrderView> {
    let category = shard.category();
    Some(OrderView {
        id: id.to_string(),
        event: shard.event.name().to_string(),
        category: category.name.to_string(),
        buyer: record.buyer.to_string(),
        quantity: record.quantity,
        state: OrderState::Queued.to_string(),
        reason: None,
        flags: Vec::new(),
        amount: amount(category.price.times(record.quantity)?),
        created_at: record.reserved_at,
        updated_at: record.reserved_at,
        hold_expires_at: None,
        payment: None,
        stock_shard_id: id.shard.get(),
        version: 0,
        history: vec![entry(OrderState::Queued, Some(record.reserved_at))],
    })
}

/// The only way through the states: money may come after an end without it, nothing comes before `reserved`.
const WAY: [OrderState; 9] = [
    OrderState::Rejected,
    OrderState::Reserved,
    OrderState::AwaitingPayment,
    OrderState::PaymentFailed,
    OrderState::Expired,
    OrderState::Cancelled,
    OrderState::Paid,
    OrderState::Refunding,
    OrderState::Refunded,
];

/// The states that an order has been in, oldest first, then its flags. The ledger keeps which, and the times of the first
/// and the last change.
fn history(record: &OrderRecord) -> Vec<HistoryEntry> {
    let mut entries = vec![entry(OrderState::Queued, Some(record.created_at))];
    for state in WAY {
        if state == record.state {
            entries.push(entry(state, Some(record.updated_at)));
        } else if record.passed.contains(state) {
            entries.push(entry(state, None));
        }
    }
    entries.extend(record.passed.complaints().map(|flag| HistoryEntry {
        flag: Some(flag.as_str().to_owned()),
        ..entry(record.state, None)
    }));
    entries
}

fn entry(state: OrderState, at: Option<jiff::Timestamp>) -> HistoryEntry {
    HistoryEntry {
        state: state.to_string(),
        flag: None,
        at,
    }
}

fn state(text: &str) -> Result<OrderState, Problem> {
    let known = OrderState::ALL
        .into_iter()
        .find(|state| state.as_str() == text);
    let names = || OrderState::ALL.map(OrderState::as_str).join(", ");
    known.ok_or_else(|| Problem::invalid("state", format!("expected one of {}", names())))
}

/// `?state=` is the same as no state.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// An empty one is the same as none.
fn states() -> utoipa::openapi::Schema {
    one_of(
        OrderState::ALL
            .map(OrderState::as_str)
            .into_iter()
            .chain([""]),
    )
}

fn nobodys() -> Problem {
    Problem::not_found("this order")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ticket_core::{OrderId, Passed};

    use super::*;

    #[test]
    fn the_history_ends_with_the_state_also_when_money_came_late() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let passed = [
            OrderState::Reserved,
            OrderState::AwaitingPayment,
            OrderState::Expired,
        ]
        .into_iter()
        .fold(Passed::default(), Passed::with);
        let record = OrderRecord {
            order: OrderId(uuid::Uuid::from_u128(1)),
            version: 9,
            state: OrderState::Paid,
            reason: None,
            passed: passed.with(OrderState::Paid),
            buyer: BuyerId::new("b").unwrap(),
            quantity: 1,
            amount_minor: 5,
            created_at: at(1),
            updated_at: at(9),
            hold_expires_at: None,
            payment: None,
        };
        let told: Vec<_> = history(&record)
            .into_iter()
            .map(|entry| (entry.state, entry.at))
            .collect();
        let expected = [
            ("queued", Some(at(1))),
            ("reserved", None),
            ("awaiting_payment", None),
            ("expired", None),
            ("paid", Some(at(9))),
        ];
        assert_eq!(told, expected.map(|(state, at)| (state.to_owned(), at)));
    }

    #[test]
    fn every_state_is_on_the_way_once() {
        let mut way = WAY.to_vec();
        way.push(OrderState::Queued);
        way.sort_unstable();
        assert_eq!(way, OrderState::ALL);
    }
}
