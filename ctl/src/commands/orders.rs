//! `ticketctl orders list|get|refund|cancel`.

use ticket_admin::{AdminClient, Amount, List, OrderView, OrdersQuery};

use super::Ended;
use super::confirm::confirmed;
use super::watch::{self, Lines, Page, Rows};
use crate::cli::{OrdersChange, OrdersGet, OrdersList};
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::{Document, Output, Table, age};

pub(crate) async fn list(flags: OrdersList, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    let query = OrdersQuery {
        state: flags.state,
        buyer: flags.buyer,
        limit: Some(flags.limit),
        cursor: flags.cursor,
    };
    if flags.watch {
        return follow_list(&event, &query, clients, output).await;
    }
    let page = clients.admin().await?.orders(&event, &query).await?;
    if page.items.is_empty() {
        output.word("no such orders");
    }
    let next = page.next_cursor.clone();
    output.show(&Listed(page))?;
    if let Some(cursor) = next.filter(|_| output.is_for_people()) {
        output.word(&format!("there are more: --cursor {cursor}"));
    }
    Ok(Exit::Ok)
}

async fn follow_list(
    event: &str,
    query: &OrdersQuery,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let mut rows = Rows::new();
    let mut was_full = false;
    watch::poll(
        clients,
        async |admin| admin.orders(event, query).await,
        |page, output| {
            let is_full = page.next_cursor.is_some();
            rows.show(Listed(page), output)?;
            // Pages are by order id, and those of new orders are anywhere.
            if is_full && !was_full && output.is_for_people() {
                output.word("more orders are there than are watched: raise --limit, or choose with --state or --buyer");
            }
            was_full = is_full;
            Ok(())
        },
        output,
    )
    .await
}

pub(crate) async fn get(flags: &OrdersGet, clients: &Clients, output: &mut Output<'_>) -> Ended {
    spelled(&flags.order)?;
    if flags.watch {
        return follow_one(&flags.order, clients, output).await;
    }
    let order = clients.admin().await?.order(&flags.order).await?;
    output.show(&Order(order))?;
    Ok(Exit::Ok)
}

async fn follow_one(order: &str, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let mut page = Page::new();
    watch::poll(
        clients,
        async |admin| admin.order(order).await,
        |order, output| page.show(Order(order), output),
        output,
    )
    .await
}

pub(crate) async fn refund(
    flags: &OrdersChange,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let hurts = "takes tickets back from a buyer";
    let Some(admin) = of_event(flags, hurts, clients, output).await? else {
        return Ok(Exit::Ok);
    };
    let order = admin.refund_order(&flags.order).await?;
    output.show(&Order(order))?;
    output.word(&format!("{} is refunded in a moment", flags.order));
    Ok(Exit::Ok)
}

pub(crate) async fn cancel(
    flags: &OrdersChange,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let hurts = "takes tickets away from a buyer";
    let Some(admin) = of_event(flags, hurts, clients, output).await? else {
        return Ok(Exit::Ok);
    };
    let order = admin.cancel_order(&flags.order).await?;
    output.show(&Order(order))?;
    output.word(&format!("{} is cancelled in a moment", flags.order));
    Ok(Exit::Ok)
}

/// A client, after the name of the order's own event was confirmed: an order reference says nothing to a person. `None` when
/// nothing is to be done but to show it.
async fn of_event(
    flags: &OrdersChange,
    hurts: &str,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Result<Option<AdminClient>, Failure> {
    spelled(&flags.order)?;
    let admin = clients.admin().await?;
    let order = admin.order(&flags.order).await?;
    if clients.is_dry_run() {
        output.show(&Order(order))?;
        output.word(&format!("dry run: this {hurts}; nothing was done"));
        return Ok(None);
    }
    let event = order.event.split_once('.').map_or("", |(_, name)| name);
    confirmed(event, flags.confirm.as_deref(), hurts, clients, output)?;
    Ok(Some(admin))
}

/// A wrong spelling would be a 404 that leaves people searching.
fn spelled(order: &str) -> Result<(), Failure> {
    match order.parse::<ticket_core::OrderRef>() {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(Exit::Usage, error.into()).or_next(
            "`ticketctl orders list EVENT` shows references; buyers get theirs with the order",
        )),
    }
}

struct Listed(List<OrderView>);

impl Document for Listed {
    type Object = List<OrderView>;

    fn object(&self) -> &List<OrderView> {
        &self.0
    }

    fn table(&self, is_wide: bool) -> String {
        self.lines(is_wide).to_string()
    }

    fn names(&self) -> Vec<String> {
        self.0.items.iter().map(|order| order.id.clone()).collect()
    }
}

impl Lines for Listed {
    fn tables(&self, is_wide: bool) -> Vec<Table> {
        vec![self.lines(is_wide)]
    }
}

impl Listed {
    fn lines(&self, is_wide: bool) -> Table {
        let now = ticket_core::clock::now();
        let mut header = vec!["ORDER", "STATE", "CATEGORY", "QUANTITY", "BUYER", "AGE"];
        if is_wide {
            header.extend(["AMOUNT", "REASON", "STOCK-SHARD", "PAYMENT"]);
        }
        let mut table = Table::new(&header);
        for order in &self.0.items {
            let mut row = vec![
                order.id.clone(),
                order.state.clone(),
                order.category.clone(),
                order.quantity.to_string(),
                order.buyer.clone(),
                age(order.created_at, now),
            ];
            if is_wide {
                row.extend([
                    money(&order.amount),
                    order.reason.clone().unwrap_or_default(),
                    order.stock_shard_id.to_string(),
                    order
                        .payment
                        .as_ref()
                        .map(|it| it.id.clone())
                        .unwrap_or_default(),
                ]);
            }
            table.row(row);
        }
        table
    }
}

struct Order(OrderView);

impl Document for Order {
    type Object = OrderView;

    fn object(&self) -> &OrderView {
        &self.0
    }

    fn table(&self, _is_wide: bool) -> String {
        let order = &self.0;
        let mut lines = vec![
            ("Order", order.id.clone()),
            ("Event", order.event.clone()),
            ("State", order.state.clone()),
        ];
        lines.extend(order.reason.clone().map(|reason| ("Reason", reason)));
        lines.extend([
            (
                "Tickets",
                format!("{} x {}", order.quantity, order.category),
            ),
            ("Amount", money(&order.amount)),
            ("Buyer", order.buyer.clone()),
            ("Created", order.created_at.to_string()),
            ("Updated", order.updated_at.to_string()),
        ]);
        lines.extend(
            order
                .hold_expires_at
                .map(|at| ("Hold ends", at.to_string())),
        );
        lines.extend(
            order
                .payment
                .as_ref()
                .map(|it| ("Payment", format!("{} {}", it.provider, it.id))),
        );
        lines.push((
            "Stock shard",
            format!("{} (version {})", order.stock_shard_id, order.version),
        ));
        let lines = lines
            .iter()
            .map(|(name, value)| format!("{name:<12} {value}"));
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if !order.history.is_empty() {
            text.push_str("\n\nHistory");
        }
        for entry in &order.history {
            let at = entry.at.map(|at| at.to_string()).unwrap_or_default();
            text.push('\n');
            text.push_str(format!("  {:<18} {at}", entry.state).trim_end());
        }
        text
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.id.clone()]
    }
}

/// Amount in minor units: how many there are to one unit is the provider's business.
fn money(amount: &Amount) -> String {
    format!("{} {} (minor units)", amount.currency, amount.amount_minor)
}
