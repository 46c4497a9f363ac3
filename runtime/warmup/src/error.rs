//! Why a warm-up did not come to its end.

use std::time::Duration;

use ticket_bus::BusError;
use ticket_core::{Code, ErrorClass, EventId};
use ticket_ledger::LedgerError;
use ticket_stock::StockError;

use crate::phase::IllegalEvent;

/// A step of a warm-up that failed.
#[derive(Debug, thiserror::Error)]
pub enum WarmupError {
    /// The ledger.
    #[error("the ledger failed a warm-up")]
    Ledger(#[from] LedgerError),
    /// The stock store.
    #[error("the stock store failed a warm-up")]
    Store(#[from] StockError),
    /// A marker did not get into the log.
    #[error("a marker could not be sent")]
    Marker(#[source] BusError),
    /// The markers were not met, or the servers were too slow.
    #[error("the warm-up took longer than {limit:?}")]
    TooLong {
        /// The limit.
        limit: Duration,
    },
    /// The event is gone.
    #[error("event {event} is gone")]
    Gone {
        /// The event.
        event: EventId,
    },
    /// A bug.
    #[error("a warm-up went wrong")]
    Illegal(#[from] IllegalEvent),
}

impl WarmupError {
    /// What the caller may do. A run that failed is never continued: the next one begins anew.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Ledger(cause) => cause.class(),
            Self::Store(cause) => cause.class(),
            Self::Marker(cause) => cause.class(),
            Self::TooLong { .. } => ErrorClass::Retry,
            Self::Gone { .. } | Self::Illegal(_) => ErrorClass::Permanent,
        }
    }

    /// Stable name for metrics and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(cause) => cause.code(),
            Self::Store(cause) => cause.code(),
            Self::Marker(cause) => cause.code(),
            Self::TooLong { .. } => Code::WarmingUp.as_str(),
            Self::Gone { .. } => Code::NotFound.as_str(),
            Self::Illegal(_) => Code::Internal.as_str(),
        }
    }
}
