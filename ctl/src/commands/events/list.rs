//! `ticketctl events list`.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams, ObjectList};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use ticket_admin::{Counts, EventView};

use super::{Row, api, resource_name};
use crate::cli::EventsList;
use crate::clients::Clients;
use crate::commands::Ended;
use crate::exit::{Exit, Failure};
use crate::output::{Document, Output, Table};

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
    if flags.watch && !output.is_for_people() {
        return watch(&api, flags, output).await;
    }
    let live = if output.is_for_people() {
        live(clients, output).await
    } else {
        HashMap::new()
    };
    let has_namespace = flags.all_namespaces;
    output.show(&Listed {
        objects: &objects,
        live,
        has_namespace,
    })?;
    if flags.watch {
        watch(&api, flags, output).await
    } else {
        Ok(Exit::Ok)
    }
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

async fn watch(api: &Api<DynamicObject>, flags: &EventsList, output: &mut Output<'_>) -> Ended {
    let is_silent = output.is_for_people();
    let changes = watcher(api.clone(), watcher::Config::default()).default_backoff();
    let mut changes = std::pin::pin!(changes);
    // What is there already was shown as a table; programs get it again as the first objects of the stream.
    let mut was_listed = false;
    loop {
        match changes.try_next().await {
            Ok(Some(watcher::Event::InitApply(object))) if !is_silent || was_listed => {
                show_change(&object, "", flags, output)?;
            }
            Ok(Some(watcher::Event::InitApply(_) | watcher::Event::Init)) => {}
            Ok(Some(watcher::Event::InitDone)) => was_listed = true,
            Ok(Some(watcher::Event::Apply(object))) => show_change(&object, "", flags, output)?,
            Ok(Some(watcher::Event::Delete(object))) => {
                show_change(&object, "Deleted", flags, output)?;
            }
            Ok(None) => return Ok(Exit::Ok),
            Err(error) => output.word(&format!("the watch broke off, starting again: {error}")),
        }
    }
}

fn show_change(
    object: &DynamicObject,
    phase: &str,
    flags: &EventsList,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if !output.is_for_people() {
        return Ok(output.stream(object)?);
    }
    let row = Row::of(object);
    let mut cells = cells(&row, None, output.is_wide(), ticket_core::clock::now());
    if !phase.is_empty()
        && let Some(cell) = cells.get_mut(1)
    {
        phase.clone_into(cell);
    }
    if flags.all_namespaces {
        cells.insert(0, row.namespace);
    }
    Ok(output.text(&cells.join("   "))?)
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
        if is_wide {
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
        let mut table = Table::new(&header);
        let now = ticket_core::clock::now();
        for row in self.objects.items.iter().map(Row::of) {
            let live = self.live.get(&row.event_name()).copied();
            let mut cells = cells(&row, live, is_wide, now);
            if self.has_namespace {
                cells.insert(0, row.namespace);
            }
            table.row(cells);
        }
        table.to_string()
    }

    fn names(&self) -> Vec<String> {
        self.objects
            .items
            .iter()
            .map(|it| resource_name(&Row::of(it).name))
            .collect()
    }
}

fn cells(row: &Row, live: Option<Counts>, is_wide: bool, now: Timestamp) -> Vec<String> {
    let stock = live.or(row.stock);
    let units = |of: fn(&Counts) -> i64| {
        stock
            .as_ref()
            .map_or_else(|| "-".to_owned(), |stock| of(stock).to_string())
    };
    let mut cells = vec![
        row.name.clone(),
        row.phase(),
        row.ready(),
        units(|stock| stock.capacity),
        units(|stock| stock.available),
        units(|stock| stock.held),
        units(|stock| stock.sold),
        row.age(now),
    ];
    if is_wide {
        let status = row.status.as_ref();
        let topic = status.and_then(|status| status.topic.as_ref());
        let sales = row.spec.as_ref().map(|spec| &spec.sales);
        cells.extend([
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
        ]);
    }
    cells
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
}
