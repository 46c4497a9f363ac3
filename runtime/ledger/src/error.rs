//! What can go wrong with the ledger, and what a caller may do about it.

use ticket_core::{Code, ErrorClass, EventId, EventName, InvalidId, OrderId, StockShardId};

pub(crate) type Result<T> = std::result::Result<T, LedgerError>;

/// An action on the ledger that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The address is one of another kind of server. It is not shown: it may hold a password.
    #[error("the database address does not begin with postgres://")]
    Scheme,
    /// The address cannot be understood.
    #[error("the database address is not valid")]
    Settings {
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// No connection: the server is down or busy. Nothing was sent.
    #[error("could not reach the ledger")]
    Connect {
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("could not migrate the ledger")]
    Migrate {
        /// Why.
        #[source]
        cause: sqlx::migrate::MigrateError,
    },
    /// Something could not be read.
    #[error("could not read {what}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// Something could not be written.
    #[error("could not write {what}")]
    Write {
        /// What was to be written.
        what: &'static str,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// A batch was not applied, or we do not know. The same batch again is safe.
    #[error("could not apply {places} places and {commands} commands to stock shard {shard}")]
    Apply {
        /// The stock shard.
        shard: StockShardId,
        /// Places in the batch.
        places: usize,
        /// Commands in the batch.
        commands: usize,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// The capacity of a stock shard was not changed, or we do not know. The same adjustment again is safe.
    #[error("could not adjust stock shard {shard}")]
    Adjust {
        /// The stock shard.
        shard: StockShardId,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// A Citus shard was not moved; it is where it was.
    #[error("could not move the Citus shard {low}..{high} from {from} to {to}")]
    Move {
        /// Its lowest hash.
        low: i32,
        /// Its highest.
        high: i32,
        /// Where it is.
        from: String,
        /// Where it was to go.
        to: String,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// The ledger is plain `PostgreSQL`: there is one node, and no Citus shard to split or move.
    #[error("the ledger is plain PostgreSQL: splitting and moving shards needs Citus")]
    NeedsCitus,
    /// There is no such stock shard, also by the catalog: it was deleted, or never was.
    #[error("stock shard {shard} is unknown")]
    UnknownShard {
        /// The stock shard.
        shard: StockShardId,
    },
    /// A place or command that no table row can hold. It must not come again.
    #[error("order {order} cannot be stored: {why}")]
    Unstorable {
        /// The order.
        order: OrderId,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The event belongs to another living resource, which is older.
    #[error("event {event} belongs to resource {owner}")]
    NotOwner {
        /// The event.
        event: EventName,
        /// Uid of the resource that owns it; empty if nobody does.
        owner: String,
    },
    /// The event has other stock shards by now than whoever planned new ones had seen.
    #[error("event {event} has {found} stock shards, the plan knew {seen}")]
    ShardConflict {
        /// The event.
        event: EventId,
        /// Stock shards in the plan's view.
        seen: usize,
        /// Stock shards there are.
        found: usize,
    },
    /// The event has other lanes by now than whoever planned more had seen.
    #[error("event {event} has {found} lanes, the plan knew {seen}")]
    LaneConflict {
        /// The event.
        event: EventId,
        /// Lanes in the plan's view.
        seen: usize,
        /// Lanes there are.
        found: usize,
    },
    /// The pool of lanes is at its limit.
    #[error("the pool can give {left} more lanes, {wanted} are wanted")]
    LanesExhausted {
        /// New lanes that are wanted.
        wanted: usize,
        /// New lanes that there may be.
        left: usize,
    },
    /// Every hash range of a worker is too narrow, or holds stock of an event that is on sale.
    #[error("no hash range of worker {node} may be split for new lanes now")]
    LanesWithoutRoom {
        /// The worker.
        node: String,
    },
    /// A node does not answer, and what is to be done needs all of them.
    #[error("ledger node {node} does not answer, and a split of Citus shards needs every node")]
    NodeDown {
        /// `host:port`.
        node: String,
    },
    /// Somebody else splits or moves Citus shards, or what an earlier one left behind is still being cleaned up. Nothing was
    /// done.
    #[error("Citus shards are being split, moved or cleaned up by somebody else")]
    ShardsBusy {
        /// What Citus said; `None` if it was seen before anything was tried.
        #[source]
        cause: Option<sqlx::Error>,
    },
    /// A Citus shard was not split, or we do not know. The same again is safe.
    #[error("could not split a Citus shard for {lanes} lanes")]
    Split {
        /// Lanes that it holds.
        lanes: usize,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// The event was never written, or is gone.
    #[error("event {event} is unknown")]
    UnknownEvent {
        /// The event.
        event: EventId,
    },
    /// A row holds a value that the words of the platform do not allow.
    #[error("{what} in the ledger breaks a rule")]
    Corrupt {
        /// What was read.
        what: &'static str,
        /// Why.
        #[source]
        cause: InvalidId,
    },
    /// The answer has another shape than this program expects: the function is of another version.
    #[error("the ledger's answer cannot be understood: {why}")]
    Answer {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl LedgerError {
    /// What the caller may do.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Connect { cause } => match classify(cause) {
                // A wrong password or a missing database stays wrong; all else is a server that is not there yet.
                ErrorClass::Permanent if cause.as_database_error().is_some() => {
                    ErrorClass::Permanent
                }
                ErrorClass::Retry
                | ErrorClass::Permanent
                | ErrorClass::Conflict
                | ErrorClass::Ambiguous => ErrorClass::Retry,
            },
            // A read has no outcome that could be unknown.
            Self::Read { cause, .. } => match classify(cause) {
                ErrorClass::Ambiguous => ErrorClass::Retry,
                class @ (ErrorClass::Retry | ErrorClass::Permanent | ErrorClass::Conflict) => class,
            },
            Self::Write { cause, .. } | Self::Apply { cause, .. } | Self::Adjust { cause, .. } => {
                classify(cause)
            }
            Self::NodeDown { .. } | Self::ShardsBusy { .. } => ErrorClass::Retry,
            Self::Migrate { cause } => {
                if let sqlx::migrate::MigrateError::Execute(cause)
                | sqlx::migrate::MigrateError::ExecuteMigration(cause, _) = cause
                {
                    classify(cause)
                } else {
                    ErrorClass::Permanent
                }
            }
            Self::Move { cause, .. } | Self::Split { cause, .. } => classify_move(cause),
            Self::NotOwner { .. } | Self::ShardConflict { .. } | Self::LaneConflict { .. } => {
                ErrorClass::Conflict
            }
            Self::Scheme
            | Self::Settings { .. }
            | Self::UnknownShard { .. }
            | Self::UnknownEvent { .. }
            | Self::NeedsCitus
            | Self::LanesExhausted { .. }
            | Self::LanesWithoutRoom { .. }
            | Self::Unstorable { .. }
            | Self::Corrupt { .. }
            | Self::Answer { .. } => ErrorClass::Permanent,
        }
    }

    /// Stable name for metrics, problems and `ticketctl explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        let code = match self {
            Self::Connect { .. } => Code::LedgerUnreachable,
            Self::NotOwner { .. } => Code::ResourceConflict,
            Self::Move { .. } => Code::MoveFailed,
            Self::UnknownShard { .. } | Self::UnknownEvent { .. } => Code::NotFound,
            Self::NeedsCitus => Code::NeedsCitus,
            Self::LanesExhausted { .. } => Code::LanesExhausted,
            Self::LanesWithoutRoom { .. } => Code::LanesWithoutRoom,
            Self::NodeDown { .. } => Code::NodeDown,
            Self::ShardsBusy { .. } => Code::ShardsBusy,
            Self::Scheme
            | Self::Settings { .. }
            | Self::Migrate { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Apply { .. }
            | Self::Adjust { .. }
            | Self::Unstorable { .. }
            | Self::ShardConflict { .. }
            | Self::LaneConflict { .. }
            | Self::Split { .. }
            | Self::Corrupt { .. }
            | Self::Answer { .. } => Code::LedgerFailed,
        };
        code.as_str()
    }

    /// Somebody else moves or splits a shard of the same tables just now: one at a time, so wait.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        if let Self::Move { cause, .. } | Self::Split { cause, .. } = self {
            return is_busy(cause);
        }
        matches!(self, Self::ShardsBusy { .. })
    }
}

/// Whether it was kept out by whoever moves or splits, or by a lock.
pub(crate) fn is_busy(cause: &sqlx::Error) -> bool {
    cause.as_database_error().is_some_and(|error| {
        let says = |text: &&str| error.message().contains(*text);
        error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) || BUSY_TEXTS.iter().any(says)
    })
}

/// A lock was waited for as long as is allowed.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// `stock shard .. is not here` of `apply_batch`, and whatever else a repetition may heal.
pub(crate) const SERIALIZATION_FAILURE: &str = "40001";

/// SQLSTATE classes and codes that say "not now": a serialization failure or deadlock (40), too little of something
/// (53: connections, memory, disk), a server that stops or starts (57P), a lock that others hold (55P03), a primary
/// that became a replica (25006).
const RETRY_STATES: [&str; 5] = ["40", "53", "57P", "55P03", "25006"];

/// Outcome unknown: the connection broke (08; Citus says it of its connections between nodes too), or the statement
/// was broken off by its timeout (57014), which on Citus may come after a worker's commit.
const AMBIGUOUS_STATES: [&str; 2] = ["08", "57014"];

/// XX000 alone says nothing. A session says the first of itself when its server was killed under it, perhaps while it
/// committed, and Citus the second of a session of its own with another node.
const AMBIGUOUS_TEXTS: [&str; 2] = [
    "postmaster was shut down",
    "server closed the connection unexpectedly",
];

/// XX000 alone says nothing; these texts come at the cutover of a move or split, and everything was rolled back.
const RETRY_TEXTS: [&str; 5] = [
    "could not find valid entry for shard",
    "could not find the intermediate result file",
    "could not acquire the lock required to",
    "A rebalance is already running",
    "tuple concurrently updated",
];

/// These come while another shard of the same tables is moved or split.
const BUSY_TEXTS: [&str; 2] = [
    "could not acquire the lock required to",
    "A rebalance is already running",
];

/// What no repetition of a move heals: a wrong statement or right (42), something that Citus cannot do (0A), a setting
/// that is missing on a node, as `wal_level` (55000).
const FATAL_MOVE_STATES: [&str; 3] = ["42", "0A", "55000"];

/// A move is one transaction, and whether it was committed is read from the catalogue: whatever broke it off, the same again
/// is safe. Only what is known to fail again is permanent.
fn classify_move(cause: &sqlx::Error) -> ErrorClass {
    let state = cause
        .as_database_error()
        .and_then(|error| error.code().map(std::borrow::Cow::into_owned))
        .unwrap_or_default();
    classify_move_state(&state)
}

fn classify_move_state(state: &str) -> ErrorClass {
    let is_fatal = FATAL_MOVE_STATES
        .iter()
        .any(|fatal| state.starts_with(fatal));
    if is_fatal {
        ErrorClass::Permanent
    } else {
        ErrorClass::Retry
    }
}

/// What sqlx's error means for a statement that may have been sent.
fn classify(cause: &sqlx::Error) -> ErrorClass {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
    if let Some(error) = cause.as_database_error() {
        return classify_state(&error.code().unwrap_or_default(), error.message());
    }
    if matches!(cause, PoolTimedOut | PoolClosed | WorkerCrashed) {
        return ErrorClass::Retry;
    }
    if matches!(cause, Io(_) | Tls(_) | Protocol(_)) {
        return ErrorClass::Ambiguous;
    }
    ErrorClass::Permanent
}

fn classify_state(state: &str, message: &str) -> ErrorClass {
    let starts = |prefix: &&str| state.starts_with(*prefix);
    let is_cutover = || RETRY_TEXTS.iter().any(|text| message.contains(text));
    if RETRY_STATES.iter().any(starts) || state == "XX000" && is_cutover() {
        ErrorClass::Retry
    } else if AMBIGUOUS_STATES.iter().any(starts)
        || state == "XX000" && AMBIGUOUS_TEXTS.iter().any(|text| message.contains(text))
    {
        ErrorClass::Ambiguous
    } else {
        ErrorClass::Permanent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_what_to_do() {
        let of = |state, message| classify_state(state, message);
        for state in [
            "40001", "40P01", "53300", "57P01", "57P03", "55P03", "25006",
        ] {
            assert_eq!(of(state, "whatever"), ErrorClass::Retry, "{state}");
        }
        for state in ["08006", "08003", "57014"] {
            assert_eq!(of(state, "whatever"), ErrorClass::Ambiguous, "{state}");
        }
        // A broken rule, a missing function, a wrong password, an internal error that nobody knows.
        for state in ["23514", "42883", "28P01", "XX000", ""] {
            assert_eq!(of(state, "whatever"), ErrorClass::Permanent, "{state}");
        }
        for state in ["42501", "0A000", "55000"] {
            assert_eq!(classify_move_state(state), ErrorClass::Permanent, "{state}");
        }
        // A lock of others, a node that died, a limit that ran out.
        for state in ["XX000", "08006", "57014", "55P03", ""] {
            assert_eq!(classify_move_state(state), ErrorClass::Retry, "{state}");
        }
        let cutover = "could not find valid entry for shard 102008";
        assert_eq!(of("XX000", cutover), ErrorClass::Retry);
        for killed in [
            "postmaster was shut down, exiting",
            "server closed the connection unexpectedly\n\tThis probably means",
        ] {
            assert_eq!(of("XX000", killed), ErrorClass::Ambiguous);
        }
    }
}
