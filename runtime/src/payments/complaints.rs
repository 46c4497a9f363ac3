//! Asks the provider for fraud warnings and disputes: one whose webhook was lost would never be learnt of. What it finds are
//! the same flags that webhooks lead to, so that telling one twice changes nothing. It keeps what it has told in memory; a
//! process that begins asks for the last days again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use ticket_core::{ErrorClass, Flag, clock};
use ticket_payments::{Complaint, ComplaintKind, PaymentError, Provider};
use ticket_telemetry::chain;
use tracing::{info, warn};

use super::desk::Desk;
use crate::commands::SendError;

/// How often the provider is asked: two lists, a page each as a rule.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// Complaints that are younger than this when a process begins are asked for. Webhooks are repeated for three days; whoever
/// was away for longer looks at the provider's dashboard.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(3 * 24);

/// The provider's lists may be so much behind, and its clock.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// Pages of one list in one round: 10,000 complaints in three days. Whoever has more has a person who looks at them.
const PAGES_MAX: usize = 100;

/// Why a round was not finished.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the payment provider did not answer")]
    Provider(#[from] PaymentError),
    #[error("a complaint could not be written to the order log")]
    Send(#[from] SendError),
}

impl LookError {
    fn code(&self) -> &'static str {
        match self {
            Self::Provider(cause) => cause.code(),
            Self::Send(cause) => cause.code(),
        }
    }
}

/// How far the questions are.
pub(super) struct Complaints {
    /// Everything that is older is told.
    since: Timestamp,
    /// Told, by the provider's id; with the moment at which it was made, to forget it by.
    told: HashMap<String, Timestamp>,
    asked_at: Option<Instant>,
    is_failing: bool,
}

impl Complaints {
    /// Begins [`LOOK_BACK`] before `now`.
    pub(super) fn since_before(now: Timestamp) -> Self {
        Self {
            since: now.saturating_sub(LOOK_BACK).unwrap_or(now),
            told: HashMap::new(),
            asked_at: None,
            is_failing: false,
        }
    }

    /// Asks if it is time to, and tells at most `limit` complaints, each of which costs a call.
    pub(super) async fn look<P: Provider + 'static>(&mut self, desk: &Arc<Desk<P>>, limit: u32) {
        if self.asked_at.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return;
        }
        match self.round(desk, limit).await {
            // There is more to tell: go on at the next look.
            Ok(is_done) => {
                self.asked_at = is_done.then(Instant::now);
                self.is_failing = false;
            }
            Err(error) => {
                self.asked_at = Some(Instant::now());
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!(error = %chain(&error), code = error.code(), "complaints not looked at");
                }
            }
        }
    }

    /// Are all told?
    async fn round<P: Provider + 'static>(
        &mut self,
        desk: &Arc<Desk<P>>,
        limit: u32,
    ) -> Result<bool, LookError> {
        let begun = clock::now();
        let mut left = limit;
        for kind in ComplaintKind::ALL {
            let mut after = None;
            for _ in 0..PAGES_MAX {
                let provider = desk.provider();
                let page = provider.list_complaints(kind, self.since, after.as_deref());
                let page = page.await?;
                for complaint in page.items {
                    if self.told.contains_key(&complaint.id) {
                        continue;
                    }
                    if left == 0 {
                        return Ok(false);
                    }
                    left -= 1;
                    tell(desk, &complaint).await?;
                    self.told.insert(complaint.id, complaint.created_at);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            if after.is_some() {
                warn!(?kind, pages = PAGES_MAX, "more complaints than are read");
            }
        }
        // Everything up to the beginning of this round is told. What may still appear is younger than the overlap.
        let since = begun.saturating_sub(OVERLAP).unwrap_or(self.since);
        self.since = self.since.max(since);
        self.told.retain(|_, created_at| *created_at >= since);
        Ok(true)
    }
}

/// Flags the order of a complaint, if it is one of ours.
async fn tell<P: Provider + 'static>(
    desk: &Arc<Desk<P>>,
    complaint: &Complaint,
) -> Result<(), LookError> {
    let Some(payment) = &complaint.payment else {
        return Ok(());
    };
    let order = match desk.provider().get(payment).await {
        Ok(payment) => payment.order,
        // A payment that the provider does not know is nobody's.
        Err(error) if error.class() == ErrorClass::Permanent => None,
        Err(error) => return Err(error.into()),
    };
    let Some(order) = order else {
        return Ok(());
    };
    let (flag, result) = match complaint.kind {
        ComplaintKind::FraudWarning => (Flag::FraudWarning, "fraud-warning"),
        ComplaintKind::Dispute => (Flag::Disputed, "dispute"),
    };
    desk.flag(order, flag).await?;
    info!(%order, complaint = complaint.id, kind = result, "complaint told");
    counter!("ticket_reconcile_total", "kind" => "payments", "result" => result).increment(1);
    Ok(())
}
