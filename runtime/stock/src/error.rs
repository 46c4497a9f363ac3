//! What can go wrong with the stock store, and what a caller may do about it.

use std::path::PathBuf;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use ticket_core::{Code, Epoch, ErrorClass, EventId, OrderId};

/// An action on the stock store that failed.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// The URL is not one of a Redis server, or asks for TLS that this build lacks.
    #[error("the address of the stock store is not valid")]
    Address {
        /// What is wrong with it.
        #[source]
        cause: RedisError,
    },
    /// A file that TLS needs.
    #[error("could not read the certificate {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// No answer to the simplest question.
    #[error("the stock store does not answer")]
    Ping {
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// The units of one order.
    #[error("could not reserve units for order {order}")]
    Reserve {
        /// The order.
        order: OrderId,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// Units that the ledger took from orders.
    #[error("could not release {orders} orders of event {event}")]
    Release {
        /// The sale.
        event: EventId,
        /// How many orders the call was about.
        orders: usize,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// Units that the ledger gave back to orders.
    #[error("could not claim units for {orders} orders of event {event}")]
    Claim {
        /// The sale.
        event: EventId,
        /// How many orders the call was about.
        orders: usize,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// Capacities that the ledger changed.
    #[error("could not adjust stock of event {event}")]
    Adjust {
        /// The sale.
        event: EventId,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// Orders that are decided.
    #[error("could not settle {orders} orders of event {event}")]
    Settle {
        /// The sale.
        event: EventId,
        /// How many orders the call was about.
        orders: usize,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// The record of one order.
    #[error("could not read the record of order {order}")]
    Record {
        /// The order.
        order: OrderId,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// Epoch, counts or pending orders of an event.
    #[error("could not read the stock of event {event}")]
    Read {
        /// The sale.
        event: EventId,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// Records for the next seed.
    #[error("could not stage orders for epoch {epoch} of event {event}")]
    Stage {
        /// The sale.
        event: EventId,
        /// The epoch that they are staged for.
        epoch: Epoch,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// The swap to a new epoch.
    #[error("could not seed event {event} with epoch {epoch}")]
    Seed {
        /// The sale.
        event: EventId,
        /// The epoch.
        epoch: Epoch,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
    /// Other orders are staged than the seed counts on: they ran out of time, or the store lost them. Nothing changed.
    #[error("not {expected} orders are staged for epoch {epoch} of event {event}")]
    StagedOrders {
        /// The sale.
        event: EventId,
        /// The epoch.
        epoch: Epoch,
        /// How many the seed counts on.
        expected: u64,
    },
    /// The end of a sale.
    #[error("could not close event {event}")]
    Close {
        /// The sale.
        event: EventId,
        /// What the client or the server said.
        #[source]
        cause: RedisError,
    },
}

impl StockError {
    /// What the caller may do. Every call is idempotent, so `Ambiguous` is answered by the same call again.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match (self, self.cause()) {
            (_, Some(cause)) => classify(cause),
            (Self::Certificate { .. }, None) => ErrorClass::Permanent,
            (_, None) => ErrorClass::Conflict,
        }
    }

    /// Never changes once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match (self, self.class()) {
            (Self::Address { .. }, _) => Code::StoreAddressInvalid.as_str(),
            (Self::Certificate { .. }, _) => Code::StoreCertificateMissing.as_str(),
            (Self::StagedOrders { .. }, _) => Code::StagedOrdersMissing.as_str(),
            (_, ErrorClass::Retry | ErrorClass::Ambiguous) => Code::StoreUnreachable.as_str(),
            (_, ErrorClass::Permanent | ErrorClass::Conflict) => Code::StoreFailed.as_str(),
        }
    }

    const fn cause(&self) -> Option<&RedisError> {
        match self {
            Self::Address { cause }
            | Self::Ping { cause }
            | Self::Reserve { cause, .. }
            | Self::Release { cause, .. }
            | Self::Claim { cause, .. }
            | Self::Adjust { cause, .. }
            | Self::Settle { cause, .. }
            | Self::Record { cause, .. }
            | Self::Read { cause, .. }
            | Self::Stage { cause, .. }
            | Self::Seed { cause, .. }
            | Self::Close { cause, .. } => Some(cause),
            Self::StagedOrders { .. } | Self::Certificate { .. } => None,
        }
    }
}

/// The server refused the call before it ran, and says so with one of these words.
const REFUSED_FOR_NOW: [&str; 4] = ["OOM", "MISCONF", "BUSY", "NOREPLICAS"];

fn classify(cause: &RedisError) -> ErrorClass {
    // Only an attempt to connect is refused, so the call was never sent.
    if cause.is_connection_refusal() {
        return ErrorClass::Retry;
    }
    // Sent perhaps: timed out, connection broken, or the answer is torn.
    if matches!(cause.kind(), ErrorKind::Io | ErrorKind::Parse) {
        return ErrorClass::Ambiguous;
    }
    let is_unable_now = matches!(
        cause.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        )
    );
    if is_unable_now
        || cause
            .code()
            .is_some_and(|code| REFUSED_FOR_NOW.contains(&code))
    {
        return ErrorClass::Retry;
    }
    ErrorClass::Permanent
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn ping(cause: impl Into<RedisError>) -> StockError {
        StockError::Ping {
            cause: cause.into(),
        }
    }

    #[test]
    fn what_was_perhaps_sent_is_ambiguous_and_what_surely_was_not_is_not() {
        for kind in [
            io::ErrorKind::TimedOut,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionReset,
        ] {
            let error = ping(io::Error::from(kind));
            assert_eq!(error.class(), ErrorClass::Ambiguous, "{kind}");
            assert_eq!(error.code(), "store-unreachable");
        }
        let refused = ping(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(refused.class(), ErrorClass::Retry);
        assert_eq!(refused.code(), "store-unreachable");
    }

    #[test]
    fn a_server_that_cannot_now_may_be_able_later() {
        let loading = (ErrorKind::Server(ServerErrorKind::BusyLoading), "loading");
        assert_eq!(ping(loading).class(), ErrorClass::Retry);
        let full = redis::make_extension_error("OOM".to_owned(), None);
        assert_eq!(ping(full).class(), ErrorClass::Retry);
        let bad = redis::make_extension_error("BADARG".to_owned(), Some("quantity".to_owned()));
        assert_eq!(ping(bad.clone()).class(), ErrorClass::Permanent);
        assert_eq!(ping(bad).code(), "store-failed");
    }

    #[test]
    fn an_error_does_not_print_its_cause() {
        let error = ping(io::Error::other("the cause"));
        assert!(!error.to_string().contains("the cause"));
        assert!(std::error::Error::source(&error).is_some());
    }
}
