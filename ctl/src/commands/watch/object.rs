//! One object of Kubernetes.

use futures::TryStreamExt;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};

use crate::commands::Ended;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Shows every change of `shown`, which people see already, until `show` says how it ended. `what` names it in words.
pub(crate) async fn object(
    api: Api<DynamicObject>,
    what: &str,
    shown: &DynamicObject,
    mut show: impl FnMut(&DynamicObject, &mut Output<'_>) -> Result<Option<Exit>, Failure>,
    output: &mut Output<'_>,
) -> Ended {
    let mut version = shown.metadata.resource_version.clone();
    let changes = watcher::watch_object(api, &shown.name_any()).default_backoff();
    let mut changes = std::pin::pin!(changes);
    loop {
        match changes.try_next().await {
            // The watch begins with what was shown already.
            Ok(Some(Some(object))) if object.metadata.resource_version == version => {}
            Ok(Some(Some(object))) => {
                version.clone_from(&object.metadata.resource_version);
                if let Some(exit) = show(&object, output)? {
                    return Ok(exit);
                }
            }
            Ok(Some(None)) => {
                output.word(&format!("{what} is gone"));
                return Ok(Exit::NotFound);
            }
            Ok(None) => return Ok(Exit::Ok),
            Err(error) => output.word(&format!("the watch broke off, starting again: {error}")),
        }
    }
}
