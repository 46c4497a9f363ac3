//! The resource goes. What becomes of everything outside is the deletion policy's choice; the finalizer goes last, so a
//! crash anywhere repeats what is left.

use kube::Resource;
use ticket_crds::{DeletionPolicy, FINALIZER, Management};
use ticket_plan::{Removal, plan_removal};
use ticket_telemetry::chain;
use tracing::{info, warn};

use crate::apply;
use crate::claim::claim;
use crate::context::Context;
use crate::error::{OperatorError, Result};
use crate::kubernetes;
use crate::observe::observe_for_removal;
use crate::reconcile::{Guarded, Known};
use crate::report::{self, Finding};

pub(crate) async fn finalize(context: &Context, object: &Guarded) -> Result<()> {
    let meta = object.meta();
    if !meta
        .finalizers
        .iter()
        .flatten()
        .any(|found| found == FINALIZER)
    {
        return Ok(());
    }
    // Nothing of an unmanaged resource is touched, not even to put it away.
    if Management::of(meta.annotations.as_ref()) != Management::Unmanaged {
        let mut known = Known::default();
        match remove(context, object, &mut known).await {
            // Put away, or never ours.
            Ok(()) | Err(OperatorError::Owned { .. } | OperatorError::Name { .. }) => {}
            Err(error) => {
                if let Ok(event) = &object.0
                    && let Err(second) =
                        report::report(context, event, Finding::NotRemoved(&error), &known).await
                {
                    warn!(error = %chain(&second), "failure not reported");
                }
                return Err(error);
            }
        }
    }
    kubernetes::remove_finalizer(context, meta).await
}

async fn remove(context: &Context, object: &Guarded, known: &mut Known) -> Result<()> {
    let meta = object.meta();
    let claim = known.claim.insert(claim(context, meta).await?).clone();
    let removal = match &object.0 {
        // Nothing was ever made: do not leave behind what the claim has just made.
        _ if claim.is_fresh => Removal::Delete,
        Ok(event) => match event.spec.deletion_policy {
            DeletionPolicy::Delete => Removal::Delete,
            DeletionPolicy::Retain => Removal::Retain,
        },
        // Whoever cannot be read gets the harmless way.
        Err(_) => Removal::Retain,
    };
    let topic = context.prefix.order_log(&claim.name, claim.event);
    let wanted = (removal == Removal::Delete).then_some(topic.as_str());
    let seen = observe_for_removal(context, claim.event, wanted).await?;
    let todo = plan_removal(removal, &topic, &seen.observed);
    apply::carry_out(context, &object.object_ref(&()), &claim, &seen, &todo).await?;
    info!(event = %claim.name, id = %claim.event, ?removal, "event put away");
    Ok(())
}
