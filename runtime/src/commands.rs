//! Sending a command to the partition that its stock shard belongs to: what payments, keeper, expiry and sync share.

use ticket_bus::{BusError, Outgoing, Producer};
use ticket_core::{Command, StockShardId};
use ticket_ledger::LedgerError;
use ticket_telemetry::trace;

use crate::catalog::Catalog;
use crate::traced;

/// Why a command was not written.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The catalog does not know the stock shard, and could not be read again.
    #[error("could not look up stock shard {shard}")]
    Lookup {
        /// The stock shard.
        shard: StockShardId,
        /// Why.
        #[source]
        cause: LedgerError,
    },
    /// Kafka did not take it.
    #[error("could not write a command to {topic}")]
    Write {
        /// The order log.
        topic: String,
        /// Why.
        #[source]
        cause: BusError,
    },
}

impl SendError {
    /// The cause's stable code.
    #[must_use]
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Lookup { cause, .. } => cause.code(),
            Self::Write { cause, .. } => cause.code(),
        }
    }
}

/// Writes `command` and waits until Kafka has it. A stock shard that even a fresh look does not know belongs to a sale
/// that was deleted; a command for it has nobody to tell.
///
/// # Errors
/// [`SendError`]; the same command may be sent again.
pub(crate) async fn send(
    catalog: &Catalog,
    log: &Producer,
    command: &Command,
) -> Result<(), SendError> {
    let shard = command.shard();
    let mut entry = catalog.snapshot().shard(shard).cloned();
    if entry.is_none() {
        catalog
            .refresh()
            .await
            .map_err(|cause| SendError::Lookup { shard, cause })?;
        entry = catalog.snapshot().shard(shard).cloned();
    }
    let Some(entry) = entry else {
        tracing::warn!(%shard, key = command.key(), "command for a sale that is gone");
        return Ok(());
    };
    let key = command.key();
    let topic = entry.event.topic();
    let header = trace::outgoing().map(traced::header);
    let payload = command.encode();
    let record = Outgoing {
        topic,
        partition: entry.partition,
        key: key.as_bytes(),
        payload: &payload,
        headers: header.as_slice(),
    };
    log.send_record(&record)
        .await
        .map(|_| ())
        .map_err(|cause| SendError::Write {
            topic: topic.to_owned(),
            cause,
        })
}
