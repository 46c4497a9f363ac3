//! Calls to the API server, each with a deadline of ours: the client repeats some failures by itself, up to minutes.

use std::future::Future;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use ticket_crds::{EventStatus, FINALIZER, TicketEvent};

use crate::context::Context;
use crate::error::{OperatorError, Result, status_code};

/// Owns what the operator writes.
pub(crate) const FIELD_MANAGER: &str = "ticket-operator";

/// Longest wait for the API server.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// Events of the namespace that `of` lives in.
pub(crate) fn api(context: &Context, namespace: Option<&str>) -> Api<TicketEvent> {
    Api::namespaced(context.client.clone(), namespace.unwrap_or_default())
}

pub(crate) async fn call<T>(
    action: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(cause)) => Err(OperatorError::Kubernetes {
            action,
            cause: Box::new(cause),
        }),
        Err(_) => Err(OperatorError::KubernetesDeadline {
            action,
            after: CALL_DEADLINE,
        }),
    }
}

/// Puts the finalizer on. Before anything outside is made: else a deletion in between would leave it behind.
pub(crate) async fn add_finalizer(context: &Context, event: &TicketEvent) -> Result<()> {
    if event.finalizers().iter().any(|found| found == FINALIZER) {
        return Ok(());
    }
    let mut finalizers = event.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    let version = event.resource_version();
    set_finalizers(
        context,
        event.meta(),
        version,
        finalizers,
        "add the finalizer",
    )
    .await
}

/// Takes the finalizer off. The object may be gone a moment later.
pub(crate) async fn remove_finalizer(
    context: &Context,
    meta: &kube::core::ObjectMeta,
) -> Result<()> {
    let name = meta.name.as_deref().unwrap_or_default();
    let api = api(context, meta.namespace.as_deref());
    // Ours may be older than our own last write.
    let Some(newest) = call("read the Event", api.get_metadata_opt(name)).await? else {
        return Ok(());
    };
    if newest.uid() != meta.uid {
        return Ok(());
    }
    let left: Vec<String> = newest
        .finalizers()
        .iter()
        .filter(|found| *found != FINALIZER)
        .cloned()
        .collect();
    if left.len() == newest.finalizers().len() {
        return Ok(());
    }
    set_finalizers(
        context,
        meta,
        newest.resource_version(),
        left,
        "remove the finalizer",
    )
    .await
}

async fn set_finalizers(
    context: &Context,
    meta: &kube::core::ObjectMeta,
    resource_version: Option<String>,
    finalizers: Vec<String>,
    action: &'static str,
) -> Result<()> {
    context.faults.before_effect().await;
    // The version makes the API server refuse a list that was made from an older object.
    let patch =
        json!({ "metadata": { "resourceVersion": resource_version, "finalizers": finalizers } });
    let name = meta.name.as_deref().unwrap_or_default();
    let api = api(context, meta.namespace.as_deref());
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    call(
        action,
        api.patch_metadata(name, &params, &Patch::Merge(patch)),
    )
    .await?;
    Ok(())
}

/// Writes the whole status. All fields, always: what is left out would be deleted.
pub(crate) async fn write_status(
    context: &Context,
    meta: &kube::core::ObjectMeta,
    status: &EventStatus,
) -> Result<()> {
    context.faults.before_effect().await;
    let name = meta.name.as_deref().unwrap_or_default();
    let api = api(context, meta.namespace.as_deref());
    let patch = json!({
        "apiVersion": TicketEvent::api_version(&()),
        "kind": TicketEvent::kind(&()),
        // The uid keeps a slow write from an object of the same name that came later.
        "metadata": { "name": name, "uid": meta.uid },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = call(
        "write the status",
        api.patch_status(name, &params, &Patch::Apply(patch)),
    )
    .await;
    match written {
        // Gone meanwhile: nobody is left to read it.
        Err(OperatorError::Kubernetes { cause, .. })
            if matches!(status_code(&cause), Some(404)) =>
        {
            Ok(())
        }
        other => other.map(|_| ()),
    }
}
