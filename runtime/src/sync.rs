//! The sync role: keeps the reseller's books and ours equal, both ways.
//!
//! - In (`reseller`): a message on `reseller-stock` says how many tickets a category has. It is written down as an adjustment
//!   in the ledger, sent as commands to the category's stock shards, and answered on `stock-changes` once all have met it.
//! - Out (`relay`, `changes`): every fact's counters go to `stock-facts`, where a category is one partition. Who owns that
//!   partition is the one writer of the category's `stock.changed` messages: it counts facts in the order of the log and
//!   numbers what they changed. The same log gives the same numbers, whoever reads it and however often.
//!
//! It changes nothing in the ledger's stock: only commands do.

mod changes;
mod feed;
mod relay;
mod reseller;

pub use changes::ChangesHandler;
pub use relay::RelayHandler;
pub use reseller::ResellerHandler;

use std::sync::Arc;

use metrics::counter;
use ticket_bus::{BusError, HandlerError, Producer, Record};
use ticket_core::{CategoryName, ErrorClass, EventName};
use ticket_ledger::{Ledger, LedgerError};
use tracing::warn;

use crate::catalog::Catalog;
use crate::cloudevents::Outlet;
use crate::commands::SendError;

/// Why a batch was not finished. The same batch comes again: every step is idempotent.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The events could not be read.
    #[error("could not look up an event")]
    Lookup(#[source] LedgerError),
    /// An adjustment could not be written down, read or ended.
    #[error("could not keep an adjustment in the ledger")]
    Adjustment(#[source] LedgerError),
    /// A command was not written.
    #[error("could not write an adjustment to the order log")]
    Command(#[source] SendError),
    /// The stock shards have not met an adjustment in time.
    #[error("{waiting} stock shards of {event}/{category} have not met their adjustment yet")]
    NotMet {
        /// The event.
        event: EventName,
        /// The category.
        category: CategoryName,
        /// How many have not.
        waiting: usize,
    },
    /// What was told of a category could not be read or noted.
    #[error("could not keep what was told of a category")]
    Feed(#[source] LedgerError),
    /// A message did not get out.
    #[error("could not publish a message")]
    Publish(#[source] BusError),
    /// A bad message did not get out of the way.
    #[error("a message that cannot be read could not be put aside")]
    DeadLetter(#[source] BusError),
}

impl SyncError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Lookup(cause) | Self::Adjustment(cause) | Self::Feed(cause) => cause.class(),
            Self::Publish(cause) | Self::DeadLetter(cause) => cause.class(),
            Self::Command(_) | Self::NotMet { .. } => ErrorClass::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Lookup(cause) | Self::Adjustment(cause) | Self::Feed(cause) => cause.code(),
            Self::Publish(cause) | Self::DeadLetter(cause) => cause.code(),
            Self::Command(cause) => cause.code(),
            Self::NotMet { .. } => ticket_core::Code::LogUnreachable.as_str(),
        }
    }
}

impl From<SyncError> for HandlerError {
    fn from(error: SyncError) -> Self {
        Self::new(error.class(), error.code(), error)
    }
}

/// What a handler of this role works with. Clones are the same servers.
#[derive(Clone)]
pub struct SyncParts {
    /// Adjustments, and what was told.
    pub ledger: Ledger,
    /// The events.
    pub catalog: Arc<Catalog>,
    /// Takes messages and commands.
    pub log: Producer,
    /// `stock-changes`.
    pub topic: String,
    /// Partitions that it has.
    pub partitions: u32,
}

/// A handler's place between one partition of a topic and `stock-changes`.
struct Post {
    ledger: Ledger,
    catalog: Arc<Catalog>,
    /// To `stock-changes`.
    outlet: Outlet,
    /// What is read.
    source: Arc<str>,
}

impl Post {
    fn new(parts: SyncParts, source: Arc<str>) -> Self {
        let SyncParts {
            ledger,
            catalog,
            log,
            topic,
            partitions,
        } = parts;
        Self {
            ledger,
            catalog,
            outlet: Outlet {
                log,
                topic,
                partitions,
            },
            source,
        }
    }

    /// A message that nobody can follow goes out of the way of the next ones.
    async fn put_aside(&self, record: &Record, reason: &str) -> Result<(), SyncError> {
        let offset = record.offset;
        warn!(offset, reason, topic = %self.source, "message put aside");
        told("dead_letter");
        self.outlet
            .log
            .dead_letter(&self.source, record, reason)
            .await
            .map(|_offset| ())
            .map_err(SyncError::DeadLetter)
    }
}

/// Counts what became of a message that was read.
fn told(result: &'static str) {
    counter!("ticket_sync_messages_total", "result" => result).increment(1);
}

/// Key of a category's messages.
fn key_of(event: &EventName, category: &CategoryName) -> String {
    format!("{event}/{category}")
}
