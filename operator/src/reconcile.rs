//! Looks after one Event: observe, validate, plan, apply, report.

use std::sync::Arc;
use std::time::Instant;

use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use ticket_core::names::TopicPrefix;
use ticket_core::{ErrorClass, clock};
use ticket_crds::{Management, Phase, TicketEvent, ValidatedEvent, validate};
use ticket_plan::{Desired, Plan, plan};
use ticket_telemetry::{chain, metric};
use tracing::warn;

use crate::apply::{self, Progress};
use crate::backoff;
use crate::claim::{Claim, claim};
use crate::context::Context;
use crate::error::{OperatorError, Result};
use crate::finalize;
use crate::kubernetes;
use crate::observe::{Seen, observe};
use crate::report::{self, Finding};

/// How often one reconciliation looks and plans. Two are normal (do, then see that it is done); more means that somebody
/// else changes the same things.
const LOOKS_MAX: usize = 5;

/// An Event, or what is left of one that cannot be read.
pub(crate) type Guarded = DeserializeGuard<TicketEvent>;

/// What a reconciliation knows when it ends, well or not.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) claim: Option<Claim>,
    pub(crate) desired: Option<Desired>,
    pub(crate) seen: Option<Seen>,
    pub(crate) plan: Plan,
}

pub(crate) async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action> {
    let began = Instant::now();
    let outcome = look_after(&object, &context).await;
    metrics::histogram!(metric::RECONCILE_SECONDS, "kind" => "Event")
        .record(began.elapsed().as_secs_f64());
    let result = if outcome.is_ok() { "ok" } else { "error" };
    metrics::counter!(metric::RECONCILE_TOTAL, "kind" => "Event", "result" => result).increment(1);
    outcome
}

/// How long to wait after a failure. Kept here and not in the object: it is about this process.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of an error policy"
)]
pub(crate) fn on_error(
    object: Arc<Guarded>,
    error: &OperatorError,
    context: Arc<Context>,
) -> Action {
    let failures = context.failed(object.meta().uid.as_deref().unwrap_or_default());
    let wait = backoff::after_failure(error.class(), failures);
    warn!(
        event = %name_of(&object), error = %chain(error), code = error.code(), failures,
        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        "event not reconciled, trying again"
    );
    Action::requeue(wait)
}

async fn look_after(object: &Guarded, context: &Context) -> Result<Action> {
    let meta = object.meta();
    if meta.deletion_timestamp.is_some() {
        finalize::finalize(context, object).await?;
        context.succeeded(meta.uid.as_deref().unwrap_or_default());
        return Ok(Action::await_change());
    }
    let event = match &object.0 {
        Ok(event) => event,
        Err(unreadable) => {
            let error = OperatorError::Malformed {
                why: unreadable.error.clone(),
            };
            report::unreadable(context, meta, &error).await?;
            return Err(error);
        }
    };
    let finding = match Management::of(meta.annotations.as_ref()) {
        Management::Unmanaged => Finding::Unmanaged,
        Management::Paused => Finding::Paused,
        Management::Managed => return manage(context, event).await,
    };
    report::report(context, event, finding, &Known::default()).await?;
    context.succeeded(meta.uid.as_deref().unwrap_or_default());
    Ok(Action::await_change())
}

async fn manage(context: &Context, event: &TicketEvent) -> Result<Action> {
    let mut known = Known::default();
    match Box::pin(settle(context, event, &mut known)).await {
        Ok(Settled::ForNow) => {
            report::report(context, event, Finding::Waiting, &known).await?;
            let failures = context.failed(event.uid().as_deref().unwrap_or_default());
            Ok(Action::requeue(backoff::after_failure(
                ErrorClass::Retry,
                failures,
            )))
        }
        Ok(Settled::Whole) => {
            report::report(context, event, Finding::Settled, &known).await?;
            context.succeeded(event.uid().as_deref().unwrap_or_default());
            let sales = &event.spec.sales;
            let timers = [sales.opens_at, sales.closes_at];
            Ok(Action::requeue(backoff::after_success(
                clock::now(),
                &timers,
            )))
        }
        // Somebody was faster: the watch brings the newer object, there is nothing to report about this one.
        Err(error @ OperatorError::Kubernetes { .. }) if error.class() == ErrorClass::Conflict => {
            Err(error)
        }
        Err(error) => {
            if let Err(second) =
                report::report(context, event, Finding::Failed(&error), &known).await
            {
                warn!(event = %event.name_any(), error = %chain(&second), "failure not reported");
            }
            Err(error)
        }
    }
}

/// How far it got.
enum Settled {
    /// Nothing is left, or the rest is blocked.
    Whole,
    /// Others have to do their part first.
    ForNow,
}

/// Does what is left to do, until nothing is, or the rest is blocked.
async fn settle(context: &Context, event: &TicketEvent, known: &mut Known) -> Result<Settled> {
    let spec = validate(event).map_err(|cause| OperatorError::Invalid { cause })?;
    kubernetes::add_finalizer(context, event).await?;
    let claim = claim(context, event.meta()).await?;
    same_event(event, &claim)?;
    let claim = known.claim.insert(claim).clone();
    let about = event.object_ref(&());
    let mut is_fenced = false;
    for look in 0..LOOKS_MAX {
        let (desired, seen, todo) = look_and_plan(context, &spec, &claim, is_fenced).await?;
        known.desired = Some(desired);
        known.plan.clone_from(&todo);
        let seen = known.seen.insert(seen).clone();
        if todo.next().is_none() {
            return Ok(Settled::Whole);
        }
        if look == 0 && report::is_news(event) {
            report::report(context, event, Finding::Working, known).await?;
        }
        let (progress, done) = apply::carry_out(context, &about, &claim, &seen, &todo).await?;
        if progress == Progress::Waiting {
            known.plan.steps.drain(..done);
            return Ok(Settled::ForNow);
        }
        is_fenced |= progress == Progress::Fenced;
    }
    let step = known.plan.next().map_or("none", ticket_plan::Step::name);
    Err(OperatorError::Unsettled {
        looks: LOOKS_MAX,
        step,
    })
}

/// Refuses a sale that the ledger has forgotten: what was sold under the identity that the status names would be sold again.
/// Before a sale nobody can have ordered, and it is made anew.
fn same_event(event: &TicketEvent, claim: &Claim) -> Result<()> {
    let Some(status) = &event.status else {
        return Ok(());
    };
    let has_begun = match status.phase.unwrap_or_default() {
        Phase::Pending | Phase::Scheduled => false,
        Phase::OnSale | Phase::Paused | Phase::Closed | Phase::Deleting => true,
    };
    match &status.event_id {
        Some(known) if has_begun && *known != claim.event.to_string() => {
            Err(OperatorError::Forgotten {
                known: known.clone(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

async fn look_and_plan(
    context: &Context,
    spec: &ValidatedEvent,
    claim: &Claim,
    is_fenced: bool,
) -> Result<(Desired, Seen, Plan)> {
    let prefix: &TopicPrefix = &context.prefix;
    let topic = prefix.order_log(&claim.name, claim.event);
    let mut seen = observe(context, claim, &topic, spec.isolation).await?;
    seen.observed.is_fenced = is_fenced;
    let desired = Desired::new(spec, claim.event, prefix, seen.at)
        .map_err(|cause| OperatorError::Name { cause })?;
    let todo = plan(&desired, &seen.observed);
    Ok((desired, seen, todo))
}

fn name_of(object: &Guarded) -> String {
    format!(
        "{}.{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}
