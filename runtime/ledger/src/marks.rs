//! One small row for each event that changes whenever the event or its stock does: how somebody who looks after thousands of
//! events finds those that are worth a look, in two statements for all.

use std::collections::HashMap;

use sqlx::FromRow;
use ticket_core::{EventId, EventName};
use uuid::Uuid;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// An event in short. Two marks that are equal mean: the ledger says the same of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMark {
    /// The event.
    pub event: EventId,
    /// Its name.
    pub name: EventName,
    /// Its order log; empty before the event was written.
    pub topic: String,
    /// Change number of the event's row.
    pub change: i64,
    /// Its stock.
    pub stock: StockMark,
    /// Names of the checks of its last audit that did not hold; `None` before the first audit.
    pub failed_checks: Option<Vec<String>>,
}

/// The stock of an event in short: sums over its stock shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StockMark {
    /// Stock shards that are there.
    pub shards: i64,
    /// Versions; one grows with every call that may change a counter.
    pub versions: i64,
    /// Units in all: changes that somebody made by hand show here.
    pub capacity: i64,
    /// Units nobody has.
    pub available: i64,
}

impl Ledger {
    /// A mark of every event, in no order.
    pub async fn event_marks(&self) -> Result<Vec<EventMark>> {
        let failed = |cause| LedgerError::Read {
            what: "marks of events",
            cause,
        };
        let mut connection = self.acquire().await?;
        let events: Vec<EventColumns> = sqlx::query_as(
            "SELECT e.event_id, e.namespace, e.name, coalesce(e.topic, '') AS topic, e.change, \
             a.failed_checks FROM events e \
             LEFT JOIN audits a ON a.event_id = e.event_id AND a.audited_at IS NOT NULL",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let stock: Vec<StockColumns> = sqlx::query_as(
            "SELECT event_id, count(*) AS shards, sum(version)::bigint AS versions, \
             sum(capacity)::bigint AS capacity, sum(available)::bigint AS available \
             FROM stock_shards GROUP BY event_id",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let mut stock: HashMap<Uuid, StockMark> = stock
            .into_iter()
            .map(|row| (row.event_id, row.into_mark()))
            .collect();
        let mark = |row: EventColumns| {
            Ok(EventMark {
                event: EventId(row.event_id),
                name: EventName::new(&row.namespace, &row.name)?,
                topic: row.topic,
                change: row.change,
                stock: stock.remove(&row.event_id).unwrap_or_default(),
                failed_checks: row.failed_checks,
            })
        };
        events
            .into_iter()
            .map(mark)
            .collect::<std::result::Result<_, _>>()
            .map_err(|cause| LedgerError::Corrupt {
                what: "an event's name",
                cause,
            })
    }
}

#[derive(FromRow)]
struct EventColumns {
    event_id: Uuid,
    namespace: String,
    name: String,
    topic: String,
    change: i64,
    failed_checks: Option<Vec<String>>,
}

#[derive(FromRow)]
struct StockColumns {
    event_id: Uuid,
    shards: i64,
    versions: i64,
    capacity: i64,
    available: i64,
}

impl StockColumns {
    const fn into_mark(self) -> StockMark {
        StockMark {
            shards: self.shards,
            versions: self.versions,
            capacity: self.capacity,
            available: self.available,
        }
    }
}
