//! Failed reads as problems: an event manager learns which server failed, the whole story stands in the log.

use ticket_core::{Code, ErrorClass};
use ticket_ledger::LedgerError;
use ticket_telemetry::chain;
use tracing::warn;

use crate::problem::Problem;

/// The ledger did not answer, or not as it should.
pub(super) fn of_ledger(error: &LedgerError) -> Problem {
    warn!(error = %chain(error), code = error.code(), "admin request failed");
    match error.class() {
        ErrorClass::Retry | ErrorClass::Ambiguous => Problem::unavailable("the ledger"),
        ErrorClass::Permanent | ErrorClass::Conflict => Code::Internal.into(),
    }
}
