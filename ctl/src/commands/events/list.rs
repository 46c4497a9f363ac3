//! `ticketctl events list`.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams, ObjectList};
use ticket_admin::{Counts, EventView};

use super::get::Event;
use super::{Row, api, resource_name};
use crate::cli::EventsList;
use crate::clients::Clients;
use crate::commands::watch::{self, Change};
use crate::commands::{DELETED, Ended};
use crate::exit::{Exit, Failure};
use crate::output::{Document, Growing, Output, Table};

/// Objects per page of a list.
const PAGE_OBJECTS: u32 = 500;

/// Longest wait for the live numbers: they are an extra, the list is there without them.
const LIVE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn list(flags: &EventsList, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let namespace = if flags.all_namespaces {
        None
    } else {
        Some(clients.namespace().await)
    };
    let api = api(clients, namespace.as_deref()).await?;
    let objects = all(&api, clients).await?;
    if objects.items.is_empty() && !flags.watch {
        let place = namespace
            .map(|it| format!(" in namespace {it}"))
            .unwrap_or_default();
        output.word(&format!("no events{place}"));
    }
    let live = if output.is_for_people() {
        live(clients, output).await
    } else {
        HashMap::new()
    };
    let listed = Listed {
        objects: &objects,
        live,
        has_namespace: flags.all_namespaces,
    };
    if flags.watch {
        return follow(api, &listed, output).await;
    }
    output.show(&listed)?;
    Ok(Exit::Ok)
}

/// All pages.
pub(crate) async fn all(
    api: &Api<DynamicObject>,
    clients: &Clients,
) -> Result<ObjectList<DynamicObject>, Failure> {
    let mut params = ListParams::default().limit(PAGE_OBJECTS);
    let mut whole = clients.ask("list events", api.list(&params)).await?;
    while let Some(token) = whole
        .metadata
        .continue_
        .clone()
        .filter(|token| !token.is_empty())
    {
        params = params.continue_token(&token);
        let page = clients.ask("list events", api.list(&params)).await?;
        whole.items.extend(page.items);
        whole.metadata = page.metadata;
    }
    Ok(whole)
}

/// The newest numbers by event; empty with a word on it when they cannot be had.
async fn live(clients: &Clients, output: &mut Output<'_>) -> HashMap<String, Counts> {
    if !clients.knows_admin() {
        return HashMap::new();
    }
    let Ok(admin) = clients.admin().await else {
        return HashMap::new();
    };
    match tokio::time::timeout(LIVE_TIMEOUT, admin.events()).await {
        Ok(Ok(list)) => {
            let stock = |event: EventView| (event.event, event.stock);
            list.items.into_iter().map(stock).collect()
        }
        Ok(Err(error)) => {
            output.word(&format!("showing the numbers of the status: {error}"));
            HashMap::new()
        }
        Err(_) => {
            output.word("showing the numbers of the status: the admin API does not answer in time");
            HashMap::new()
        }
    }
}

/// Programs get an object at a time from the beginning, people lines under those that are there.
async fn follow(api: Api<DynamicObject>, listed: &Listed<'_>, output: &mut Output<'_>) -> Ended {
    if !output.is_for_people() {
        return watch::list(
            api,
            &[],
            |object, _, output| Ok(output.stream(&Event::of(object))?),
            output,
        )
        .await;
    }
    let columns = Columns {
        has_namespace: listed.has_namespace,
        is_wide: output.is_wide(),
    };
    let mut growing = Growing::default();
    output.text(&growing.lines(&listed.lines(columns.is_wide)))?;
    watch::list(
        api,
        &listed.objects.items,
        |object, change, output| {
            let now = ticket_core::clock::now();
            let mut line = columns.table();
            line.row(columns.cells(&Row::of(object), None, change, now));
            Ok(output.text(&growing.lines(&line))?)
        },
        output,
    )
    .await
}

struct Listed<'a> {
    objects: &'a ObjectList<DynamicObject>,
    live: HashMap<String, Counts>,
    has_namespace: bool,
}

impl Document for Listed<'_> {
    type Object = ObjectList<DynamicObject>;

    fn object(&self) -> &Self::Object {
        self.objects
    }

    fn table(&self, is_wide: bool) -> String {
        if self.objects.items.is_empty() {
            return String::new();
        }
        self.lines(is_wide).to_string()
    }

    fn names(&self) -> Vec<String> {
        self.objects
            .items
            .iter()
            .map(|it| resource_name(&Row::of(it).name))
            .collect()
    }
}

impl Listed<'_> {
    fn lines(&self, is_wide: bool) -> Table {
        let columns = Columns {
            has_namespace: self.has_namespace,
            is_wide,
        };
        let mut table = columns.table();
        let now = ticket_core::clock::now();
        for row in self.objects.items.iter().map(Row::of) {
            let live = self.live.get(&row.event_name()).copied();
            table.row(columns.cells(&row, live, Change::Made, now));
        }
        table
    }
}

/// Which columns there are.
#[derive(Debug, Clone, Copy)]
struct Columns {
    has_namespace: bool,
    is_wide: bool,
}

impl Columns {
    fn table(self) -> Table {
        let mut header = vec![
            "NAME",
            "PHASE",
            "READY",
            "CAPACITY",
            "AVAILABLE",
            "HELD",
            "SOLD",
            "AGE",
        ];
        if self.is_wide {
            header.extend([
                "OPENS",
                "CLOSES",
                "TOPIC",
                "PARTITIONS",
                "EPOCH",
                "EVENT-ID",
            ]);
        }
        if self.has_namespace {
            header.insert(0, "NAMESPACE");
        }
        Table::new(&header)
    }

    fn cells(self, row: &Row, live: Option<Counts>, change: Change, now: Timestamp) -> Vec<String> {
        let stock = live.or(row.stock);
        let units = |of: fn(&Counts) -> i64| {
            stock
                .as_ref()
                .map_or_else(|| "-".to_owned(), |stock| of(stock).to_string())
        };
        let phase = match change {
            Change::Made => row.phase(),
            Change::Deleted => DELETED.to_owned(),
        };
        let mut cells = vec![
            row.name.clone(),
            phase,
            row.ready(),
            units(|stock| stock.capacity),
            units(|stock| stock.available),
            units(|stock| stock.held),
            units(|stock| stock.sold),
            row.age(now),
        ];
        if self.is_wide {
            cells.extend(wide_cells(row));
        }
        if self.has_namespace {
            cells.insert(0, row.namespace.clone());
        }
        cells
    }
}

fn wide_cells(row: &Row) -> [String; 6] {
    let status = row.status.as_ref();
    let topic = status.and_then(|status| status.topic.as_ref());
    let sales = row.spec.as_ref().map(|spec| &spec.sales);
    [
        sales
            .map(|sales| sales.opens_at.to_string())
            .unwrap_or_default(),
        sales
            .map(|sales| sales.closes_at.to_string())
            .unwrap_or_default(),
        topic.map(|topic| topic.name.clone()).unwrap_or_default(),
        topic
            .map(|topic| topic.partitions.to_string())
            .unwrap_or_default(),
        status
            .and_then(|status| status.epoch)
            .map(|it| it.to_string())
            .unwrap_or_default(),
        status
            .and_then(|status| status.event_id.clone())
            .unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::row::tests::{object, ready};
    use super::*;

    #[test]
    fn live_numbers_win_over_those_of_the_status() {
        let status = json!({
            "phase": "OnSale", "conditions": [ready("True", "Ready", 1)],
            "stock": [{"category": "vip", "capacity": 9, "available": 9, "held": 0, "sold": 0}],
        });
        let objects: ObjectList<DynamicObject> = serde_json::from_value(json!({
            "apiVersion": "ticketctl.io/v1alpha1", "kind": "EventList", "metadata": {},
            "items": [object(1, &status)],
        }))
        .unwrap();
        let mut listed = Listed {
            objects: &objects,
            live: HashMap::new(),
            has_namespace: true,
        };
        insta::assert_snapshot!(listed.table(false), @r"
        NAMESPACE   NAME   PHASE    READY   CAPACITY   AVAILABLE   HELD   SOLD   AGE
        default     demo   OnSale   True    9          9           0      0      -
        ");
        let sold = Counts {
            capacity: 9,
            available: 2,
            held: 3,
            sold: 4,
        };
        listed.live.insert("default.demo".to_owned(), sold);
        insta::assert_snapshot!(listed.table(false), @r"
        NAMESPACE   NAME   PHASE    READY   CAPACITY   AVAILABLE   HELD   SOLD   AGE
        default     demo   OnSale   True    9          2           3      4      -
        ");
        assert_eq!(listed.names(), ["event.ticketctl.io/demo"]);
    }

    #[test]
    fn a_watch_says_what_was_deleted() {
        let columns = Columns {
            has_namespace: false,
            is_wide: false,
        };
        let row = Row::of(&object(1, &json!({"phase": "OnSale"})));
        let now = Timestamp::from_second(1_767_225_660).unwrap();
        let cells = |change| columns.cells(&row, None, change, now)[1].clone();
        assert_eq!(cells(Change::Made), "OnSale");
        assert_eq!(cells(Change::Deleted), "Deleted");
    }
}
