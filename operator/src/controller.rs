//! Watches Events and hands them to the reconciler: bounded in number at a time, woken by what people change (spec,
//! annotations, finalizers, deletion) and by what a survey finds, and not by our own status writes. One object that cannot be
//! read stops nobody.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::runtime::controller::{self, Controller};
use kube::runtime::{PredicateConfig, WatchStreamExt, reflector, watcher};
use kube::{Api, Resource, ResourceExt};
use ticket_crds::FINALIZER;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::context::Context;
use crate::reconcile::{Guarded, on_error, reconcile};
use crate::survey::{self, Survey};

/// Events that are looked after at the same time. Each holds a few small calls in flight.
const CONCURRENCY: u16 = 16;

/// Changes of one object that come this close together are one. Far below what a person would notice.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Objects per page of the first list.
const LIST_PAGE_OBJECTS: u32 = 500;

pub(crate) async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let survey = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        survey = Survey::first(&context) => survey,
    };
    let (found, changed_outside) = survey::channel();
    let changed_outside = stream::unfold(changed_outside, |mut changed| async move {
        changed.recv().await.map(|event| (event, changed))
    });
    let client = context.client.clone();
    let api: Api<Guarded> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let (reader, writer) = reflector::store();
    let changed = watcher(api, watcher::Config::default().page_size(LIST_PAGE_OBJECTS))
        .default_backoff()
        // Field ownership is most of an object's size and nothing here reads it.
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(what_people_change, PredicateConfig::default());
    let listed = reader.clone();
    let surveys = survey::watch(survey, context.clone(), reader.clone(), found, stop.clone());
    let work = Controller::for_stream(changed, reader)
        .with_config(
            controller::Config::default()
                .debounce(DEBOUNCE)
                .concurrency(CONCURRENCY),
        )
        .reconcile_on(changed_outside)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, on_error, context)
        .for_each(|done| async move {
            match done {
                Ok((event, _)) => debug!(%event, "looked after"),
                // Told by the error policy, or an object that went away while it was queued.
                Err(
                    controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_),
                ) => {}
                Err(error) => warn!(%error, "events cannot be watched, trying again"),
            }
        });
    let mut work = pin!(work);
    tokio::select! {
        () = &mut work => return Ok(()),
        // A controller that is told to stop before its first list came waits for that list for ever. Nothing is under
        // way by then, so nothing has to be waited for.
        () = stop.cancelled() => return Ok(()),
        _ = listed.wait_until_ready() => {}
    }
    // Surveys end when told to, the work when what is under way is done.
    tokio::join!(work, surveys);
    Ok(())
}

/// Changes when somebody else than our status writes changed the object.
#[expect(clippy::unnecessary_wraps, reason = "the signature of a predicate")]
fn what_people_change(object: &Guarded) -> Option<u64> {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    meta.generation.hash(&mut hasher);
    meta.annotations.hash(&mut hasher);
    // Ours is put on in passing; if somebody takes it off, the drift check puts it on again.
    let foreign = meta
        .finalizers
        .iter()
        .flatten()
        .filter(|finalizer| *finalizer != FINALIZER);
    foreign.collect::<Vec<_>>().hash(&mut hasher);
    meta.deletion_timestamp
        .as_ref()
        .map(|time| time.0)
        .hash(&mut hasher);
    Some(hasher.finish())
}
