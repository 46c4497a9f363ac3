//! `ticketctl events get EVENT`.

use jiff::Timestamp;
use kube::api::DynamicObject;

use super::{Row, api, resource_name};
use crate::cli::EventsGet;
use crate::clients::Clients;
use crate::commands::{Ended, watch};
use crate::exit::Exit;
use crate::output::{Document, Output, Table, age};

pub(crate) async fn get(flags: &EventsGet, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let namespace = clients.namespace().await;
    let api = api(clients, Some(&namespace)).await?;
    let action = format!("get event {}", flags.event);
    let object = clients.ask(&action, api.get(&flags.event)).await?;
    if !flags.watch {
        output.show(&Event::of(&object))?;
        return Ok(Exit::Ok);
    }
    output.stream(&Event::of(&object))?;
    let what = format!("event {}", flags.event);
    watch::object(
        api,
        &what,
        &object,
        |object, output| {
            watch::again(&Event::of(object), output)?;
            Ok(None)
        },
        output,
    )
    .await
}

/// An event on a page of its own.
pub(super) struct Event<'a> {
    object: &'a DynamicObject,
    row: Row,
    now: Timestamp,
}

impl<'a> Event<'a> {
    pub(super) fn of(object: &'a DynamicObject) -> Self {
        Self {
            object,
            row: Row::of(object),
            now: ticket_core::clock::now(),
        }
    }
}

impl Document for Event<'_> {
    type Object = DynamicObject;

    fn object(&self) -> &DynamicObject {
        self.object
    }

    fn table(&self, _is_wide: bool) -> String {
        let row = &self.row;
        let mut parts = vec![self.head()];
        if let Some(spec) = &row.spec {
            let mut table = Table::new(&[
                "CATEGORY",
                "PRICE",
                "QUANTITY",
                "AVAILABLE",
                "HELD",
                "SOLD",
                "SHARDS",
            ]);
            for category in &spec.categories {
                let stock = row.status.iter().flat_map(|status| &status.stock);
                let stock = stock
                    .into_iter()
                    .find(|stock| stock.category == category.name);
                let units = stock.map(|it| [it.available, it.held, it.sold].map(|n| n.to_string()));
                let price = &category.price;
                let head = [
                    category.name.clone(),
                    format!("{} {}", price.currency, price.amount_minor),
                    category.quantity.to_string(),
                ];
                let shards = category.stock_shards.to_string();
                table.row(
                    head.into_iter()
                        .chain(units.unwrap_or_default())
                        .chain([shards]),
                );
            }
            parts.push(table.to_string());
        }
        if let Some(status) = row
            .status
            .as_ref()
            .filter(|status| !status.conditions.is_empty())
        {
            let mut table = Table::new(&["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"]);
            for condition in &status.conditions {
                table.row([
                    condition.type_.clone(),
                    row.condition(&condition.type_),
                    condition.reason.clone(),
                    age(condition.last_transition_time.0, self.now),
                    condition.message.clone(),
                ]);
            }
            parts.push(table.to_string());
        }
        parts.join("\n\n")
    }

    fn names(&self) -> Vec<String> {
        vec![resource_name(&self.row.name)]
    }
}

impl Event<'_> {
    fn head(&self) -> String {
        let row = &self.row;
        let mut lines = vec![("Event", row.event_name())];
        if let Some(spec) = &row.spec {
            lines.push(("Title", spec.title.clone()));
        }
        lines.extend([("Phase", row.phase()), ("Ready", row.ready())]);
        if let Some(spec) = &row.spec {
            let sales = &spec.sales;
            lines.push(("Sale", format!("{} to {}", sales.opens_at, sales.closes_at)));
        }
        if let Some(status) = &row.status {
            lines.extend(status.event_id.clone().map(|id| ("Event id", id)));
            lines.extend(status.epoch.map(|epoch| ("Epoch", epoch.to_string())));
            let topic = status.topic.as_ref();
            lines.extend(topic.map(|it| {
                (
                    "Topic",
                    format!("{} ({} partitions)", it.name, it.partitions),
                )
            }));
            if !status.plan.is_empty() {
                lines.push(("Steps left", status.plan.join(", ")));
            }
            if let Some(error) = &status.last_error {
                let step = error.step.as_ref().map(|step| format!(" in {step}"));
                let step = step.unwrap_or_default();
                lines.push((
                    "Last error",
                    format!("{} [{}]{step}", error.message, error.code),
                ));
            }
        }
        let age = row.age(self.now);
        if !age.is_empty() {
            lines.push(("Age", age));
        }
        let lines: Vec<String> = lines
            .iter()
            .map(|(name, value)| format!("{name:<11} {value}"))
            .collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::row::tests::{object, ready};
    use super::*;

    #[test]
    fn what_hinders_an_event_is_in_plain_sight() {
        let status = json!({
            "observedGeneration": 1, "phase": "Pending", "plan": ["CreateTopic", "SeedStock"],
            "conditions": [ready("False", "LogUnreachable", 1)],
            "lastError": {"code": "log-unreachable", "message": "no broker answers", "step": "CreateTopic"},
        });
        let object = object(1, &status);
        let now = Timestamp::from_second(1_767_225_660).unwrap();
        let event = Event {
            object: &object,
            row: Row::of(&object),
            now,
        };
        insta::assert_snapshot!(event.table(false), @r"
        Event       default.demo
        Title       Demo
        Phase       Pending
        Ready       False (LogUnreachable)
        Sale        2025-01-01T00:00:00Z to 2099-01-01T00:00:00Z
        Steps left  CreateTopic, SeedStock
        Last error  no broker answers [log-unreachable] in CreateTopic

        CATEGORY   PRICE   QUANTITY   AVAILABLE   HELD   SOLD   SHARDS
        vip        IDR 5   9          -           -      -      1

        CONDITION   STATUS   REASON           SINCE   MESSAGE
        Ready       False    LogUnreachable   60s     as it is
        ");
    }
}
