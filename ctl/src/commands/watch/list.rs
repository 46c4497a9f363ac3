//! A list of objects of Kubernetes.

use std::collections::HashMap;

use futures::TryStreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};

use crate::commands::Ended;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new, or differs.
    Made,
    /// It was deleted.
    Deleted,
}

/// Hands every change to `show`, and first what is not in `shown`.
pub(crate) async fn list(
    api: Api<DynamicObject>,
    shown: &[DynamicObject],
    mut show: impl FnMut(&DynamicObject, Change, &mut Output<'_>) -> Result<(), Failure>,
    output: &mut Output<'_>,
) -> Ended {
    // By the server's own names and versions of objects: a watch lists all of them when it begins, and again after a break.
    let mut versions: HashMap<Option<String>, Option<String>> = shown
        .iter()
        .map(|object| (object.metadata.uid.clone(), version(object)))
        .collect();
    let changes = watcher(api, watcher::Config::default()).default_backoff();
    let mut changes = std::pin::pin!(changes);
    loop {
        match changes.try_next().await {
            Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => {
                let version = version(&object);
                let before = versions.insert(object.metadata.uid.clone(), version.clone());
                if before != Some(version) {
                    show(&object, Change::Made, output)?;
                }
            }
            Ok(Some(watcher::Event::Delete(object))) => {
                versions.remove(&object.metadata.uid);
                show(&object, Change::Deleted, output)?;
            }
            Ok(Some(watcher::Event::Init | watcher::Event::InitDone)) => {}
            Ok(None) => return Ok(Exit::Ok),
            Err(error) => output.word(&format!("the watch broke off, starting again: {error}")),
        }
    }
}

fn version(object: &DynamicObject) -> Option<String> {
    object.metadata.resource_version.clone()
}
