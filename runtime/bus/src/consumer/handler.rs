//! What the user of a consumer brings along: a handler per partition, and its errors.

use std::error::Error;
use std::future::Future;

use ticket_core::ErrorClass;

use crate::error::BusError;
use crate::record::Record;

/// Handles the records of one partition, in two stages: [`Self::handle`] does what the next batch depends on,
/// [`Self::finish`] what follows from it. While a batch is finished the next one is handled already, so that what waits
/// for different servers waits at the same time. Each stage works on one batch at a time, in log order. Lives as long as
/// this member owns the partition.
pub trait BatchHandler: Send + Sync + 'static {
    /// What the first stage leaves for the second; `()` if there is only one.
    type Outcome: Send + Sync + 'static;

    /// Handles a batch: 1 to `max_batch` records in log order. The same records may come again after a crash or a change
    /// of the owner, also in other batches.
    ///
    /// An error of class `Retry`, `Ambiguous` or `Conflict` makes the same batch come again after a wait, for as long as
    /// the partition is owned. `Permanent` ends the consumer: a record that can never be handled must become a dead
    /// letter here, not an error.
    ///
    /// May be dropped at an await when the partition is taken away and the drain deadline has passed.
    fn handle(
        &self,
        batch: &[Record],
    ) -> impl Future<Output = Result<Self::Outcome, HandlerError>> + Send;

    /// Finishes a batch that was handled. Once it is Ok the batch counts as done and its offset is committed. Errors and
    /// cancellation as with [`Self::handle`]; the same outcome comes again.
    fn finish(
        &self,
        _outcome: &Self::Outcome,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Why a batch was not handled.
#[derive(Debug, thiserror::Error)]
#[error("batch not handled")]
pub struct HandlerError {
    class: ErrorClass,
    code: &'static str,
    #[source]
    cause: Box<dyn Error + Send + Sync>,
}

impl HandlerError {
    /// From any error, with its class and its stable code.
    pub fn new(
        class: ErrorClass,
        code: &'static str,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            class,
            code,
            cause: cause.into(),
        }
    }

    /// What is to be done with the batch.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The cause's stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl From<BusError> for HandlerError {
    fn from(error: BusError) -> Self {
        Self::new(error.class(), error.code(), error)
    }
}
