//! Between the ledger's event row and the planner's settings. Neither knows the other.

use ticket_core::{Epoch, EventId, EventName};
use ticket_ledger::{CategoryRow, EventRow};
use ticket_plan::{CategorySettings, ObservedRow, Settings};

/// What is there, for the planner.
pub(crate) fn observed(row: &EventRow) -> ObservedRow {
    ObservedRow {
        settings: Some(Settings {
            title: row.title.clone(),
            opens_at: row.opens_at,
            closes_at: row.closes_at,
            is_paused: row.paused,
            hold_for_s: row.hold_for_s,
            processing_for_s: row.processing_for_s,
            max_per_buyer: row.max_per_buyer,
            admission_per_second: row.admission_per_second,
            stock_source: row.stock_source,
            topic: row.topic.clone(),
            partitions: row.partitions,
            categories: row
                .categories
                .iter()
                .map(|category| CategorySettings {
                    name: category.name.clone(),
                    price: category.price,
                    quantity: u32::try_from(category.quantity).unwrap_or(u32::MAX),
                })
                .collect(),
        }),
        is_open: row.is_open,
        is_closed: row.is_closed,
        epoch: row.epoch,
    }
}

/// A row to write: what the planner wants, and the flags as they are.
pub(crate) fn row(
    id: EventId,
    name: &EventName,
    owner_uid: &str,
    settings: &Settings,
    there: Option<&EventRow>,
) -> EventRow {
    EventRow {
        id,
        name: name.clone(),
        owner_uid: Some(owner_uid.to_owned()),
        title: settings.title.clone(),
        topic: settings.topic.clone(),
        partitions: settings.partitions,
        opens_at: settings.opens_at,
        closes_at: settings.closes_at,
        paused: settings.is_paused,
        is_open: there.is_some_and(|row| row.is_open),
        is_closed: there.is_some_and(|row| row.is_closed),
        hold_for_s: settings.hold_for_s,
        processing_for_s: settings.processing_for_s,
        max_per_buyer: settings.max_per_buyer,
        admission_per_second: settings.admission_per_second,
        stock_source: settings.stock_source,
        // The ledger does not write the rest.
        epoch: Epoch::FIRST,
        change: 0,
        categories: settings
            .categories
            .iter()
            .map(|category| CategoryRow {
                name: category.name.clone(),
                price: category.price,
                quantity: u64::from(category.quantity),
            })
            .collect(),
        shards: Vec::new(),
    }
}
