//! Watches the resources and hands them to the reconciler. Woken by what people change, not by our own status writes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::runtime::controller::{self, Controller};
use kube::runtime::{WatchStreamExt, predicates, reflector, watcher};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::reconcile::{Guarded, Shared, on_error, reconcile};
use super::turn::Turn;
use crate::context::Context;

/// Resources that are looked after at the same time. One moves shards; the others plan, wait and answer.
const CONCURRENCY: u16 = 4;

/// Changes of one object that come this close together are one.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Watches until `stop`. Only resources that fit `selector` (labels; empty: all).
pub(crate) async fn run(
    context: Arc<Context>,
    selector: String,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let api: Api<Guarded> = Api::all(context.client.clone());
    let (reader, writer) = reflector::store();
    let changed = watcher(api, watcher::Config::default().labels(&selector))
        .default_backoff()
        .modify(|object| kube::ResourceExt::managed_fields_mut(object).clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(
            predicates::generation,
            kube::runtime::PredicateConfig::default(),
        );
    let shared = Arc::new(Shared {
        context,
        all: reader.clone(),
        turn: Turn::default(),
        stop: stop.clone(),
    });
    let work = Controller::for_stream(changed, reader.clone())
        .with_config(
            controller::Config::default()
                .debounce(DEBOUNCE)
                .concurrency(CONCURRENCY),
        )
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, on_error, shared)
        .for_each(|done| async move {
            match done {
                Ok((object, _)) => debug!(%object, "looked after"),
                Err(
                    controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_),
                ) => {}
                Err(error) => warn!(%error, "rebalances cannot be watched, trying again"),
            }
        });
    let mut work = pin!(work);
    tokio::select! {
        () = &mut work => return Ok(()),
        // A controller that is told to stop before its first list came waits for that list for ever.
        () = stop.cancelled() => return Ok(()),
        _ = reader.wait_until_ready() => {}
    }
    work.await;
    Ok(())
}
