//! Orders of an event, and one order.

use ratatui::text::{Line, Span};
use ticket_admin::{Amount, OrderView};

use super::super::grid::{Column, Mark, Row, Value, column, ranked};
use super::super::state::State;
use super::super::wanted::SHARD_ORDERS_MAX;
use crate::output::age;

pub(super) const COLUMNS: &[Column] = &[
    column("ORDER", 'I'),
    column("STATE", 'S'),
    column("CATEGORY", 'C'),
    column("QTY", 'Q'),
    ranked("BUYER", 'B', 1),
    ranked("AGE", 'A', 2),
    ranked("REASON", 'R', 4),
    ranked("FLAGS", 'F', 3),
    ranked("AMOUNT", 'M', 5),
    ranked("STOCK-SHARD", 'N', 6),
];

pub(super) fn rows(state: &State, stock_shard: Option<i64>) -> Vec<Row<'_>> {
    let orders = state.data.orders.value.as_ref();
    let orders = orders.map_or(&[][..], |orders| &orders.items);
    let is_wanted =
        |order: &&OrderView| stock_shard.is_none_or(|shard| order.stock_shard_id == shard);
    orders.iter().filter(is_wanted).map(row).collect()
}

fn row(order: &OrderView) -> Row<'_> {
    Row {
        key: order.id.as_str().into(),
        values: vec![
            Value::text(order.id.as_str()),
            Value::text(order.state.as_str()),
            Value::text(order.category.as_str()),
            Value::Number(order.quantity.into()),
            Value::text(order.buyer.as_str()),
            Value::Age(order.created_at),
            Value::text(order.reason.as_deref().unwrap_or_default()),
            Value::text(order.flags.join(",")),
            Value::Number(order.amount.amount_minor),
            Value::Id(order.stock_shard_id),
        ],
        mark: mark(order),
    }
}

fn mark(order: &OrderView) -> Mark {
    if !order.flags.is_empty() {
        return Mark::Bad;
    }
    match order.state.as_str() {
        "payment_failed" | "refunding" => Mark::Warn,
        "rejected" | "expired" | "cancelled" | "refunded" => Mark::Dim,
        _ => Mark::Plain,
    }
}

pub(super) fn header(state: &State, stock_shard: Option<i64>) -> Vec<Line<'static>> {
    let Some(orders) = &state.data.orders.value else {
        return Vec::new();
    };
    let more = if orders.next_cursor.is_some() {
        "there are more"
    } else {
        "the last one"
    };
    let page = format!("{} of orders by id, {more}", state.page.before + 1);
    let mut lines = vec![super::field(state, "page", page)];
    if stock_shard.is_some() {
        let text = format!(
            "the admin API lists by event: these are among {} orders (at most {SHARD_ORDERS_MAX} a page)",
            orders.items.len()
        );
        lines.push(super::field(state, "searched", text));
    }
    lines
}

pub(super) fn details(state: &State) -> Vec<Line<'static>> {
    let Some(order) = &state.data.order.value else {
        return Vec::new();
    };
    let field = |label, text: String| super::field(state, label, text);
    let mut lines = vec![
        field("order", order.id.clone()),
        field("event", order.event.clone()),
        Line::from(vec![
            Span::styled(format!("{:<12} ", "state"), state.theme.dim()),
            Span::styled(order.state.clone(), state.theme.title()),
        ]),
    ];
    lines.extend(order.reason.clone().map(|reason| field("reason", reason)));
    if !order.flags.is_empty() {
        lines.push(Line::from(vec![
            Span::styled(format!("{:<12} ", "FLAGS"), state.theme.dim()),
            Span::styled(order.flags.join(", "), state.theme.bad()),
        ]));
    }
    let Amount {
        currency,
        amount_minor,
    } = &order.amount;
    lines.extend([
        field(
            "tickets",
            format!("{} x {}", order.quantity, order.category),
        ),
        field("amount", format!("{currency} {amount_minor} (minor units)")),
        field("buyer", order.buyer.clone()),
        field(
            "created",
            format!(
                "{} ({} ago)",
                order.created_at,
                age(order.created_at, state.now)
            ),
        ),
        field("updated", order.updated_at.to_string()),
    ]);
    let hold = order.hold_expires_at;
    lines.extend(hold.map(|at| field("hold ends", at.to_string())));
    let payment = order.payment.as_ref();
    lines.extend(payment.map(|it| field("payment", format!("{} {}", it.provider, it.id))));
    lines.push(field(
        "stock shard",
        format!("{} (version {})", order.stock_shard_id, order.version),
    ));
    lines.push(Line::default());
    lines.push(Line::styled("HISTORY", state.theme.heading()));
    for entry in &order.history {
        let at = entry.at.map(|at| at.to_string()).unwrap_or_default();
        let what = entry.flag.as_ref().unwrap_or(&entry.state);
        lines.push(Line::raw(format!("{what:<18} {at}")));
    }
    lines
}
