//! Answers of the admin API, in its own form, as they lie in `answers/`.

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use ticket_admin::{EventView, LagEntry, List, OrderView, StockView};
use ticketctl::rebalance::Rebalance;
use ticketctl::tui::reading::{Answer, Reading, Topic};

/// When the sale was looked at.
pub(crate) fn noon() -> Timestamp {
    "2026-03-01T12:00:16Z".parse().unwrap()
}

macro_rules! answer {
    ($name:literal) => {
        parsed(include_str!(concat!("../answers/", $name, ".json")))
    };
}

fn parsed<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

fn reading(topic: Topic, answer: Answer) -> Reading {
    Reading {
        topic,
        at: noon(),
        result: Ok(answer),
    }
}

pub(crate) fn access(role: &str) -> Reading {
    let mut access: ticket_admin::DependenciesView = answer!("dependencies");
    role.clone_into(&mut access.role);
    reading(Topic::Access, Answer::Access(access))
}

pub(crate) fn events() -> Reading {
    let list: List<EventView> = answer!("events");
    reading(Topic::Events, Answer::Events(list.items))
}

/// A snapshot for each of sixteen seconds.
pub(crate) fn stock() -> Vec<Reading> {
    let snapshots: Vec<StockView> = answer!("stock");
    let stock = |stock| reading(Topic::Stock, Answer::Stock(stock));
    snapshots.into_iter().map(stock).collect()
}

pub(crate) fn shards() -> Reading {
    reading(Topic::Shards, Answer::Shards(answer!("shards")))
}

pub(crate) fn warmup() -> Reading {
    reading(Topic::Warmup, Answer::Warmup(answer!("warmup")))
}

pub(crate) fn warmup_locked() -> Reading {
    reading(Topic::Warmup, Answer::Warmup(answer!("warmup-locked")))
}

pub(crate) fn orders() -> Reading {
    let list: List<OrderView> = answer!("orders");
    reading(
        Topic::Orders,
        Answer::Orders("default.coldplay".to_owned(), list),
    )
}

pub(crate) fn order() -> Reading {
    reading(Topic::Order, Answer::Order(answer!("order")))
}

pub(crate) fn lag() -> Reading {
    let list: List<LagEntry> = answer!("lag");
    reading(Topic::Lag, Answer::Lag(list.items))
}

/// One that waits for approval, one under way, one that has failed.
pub(crate) fn rebalances() -> Reading {
    let objects: Vec<DynamicObject> = answer!("rebalances");
    let rebalances = objects.iter().map(Rebalance::of).collect();
    reading(Topic::Rebalances, Answer::Rebalances(rebalances))
}
