//! `ticketctl rebalance plan|approve|stop|resume|status`. Everything goes through the `ShardRebalance` resource: the
//! operator plans and moves, this shows it and says what a person wants.

mod change;
mod dry_run;
mod plan;
mod show;

use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use ticket_crds::RebalancePhase;

use self::show::{Listed, Shown, line};
use super::Ended;
use crate::cli::RebalanceStatus;
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::Output;
use crate::rebalance::{Rebalance, all, api, get};

pub(crate) use change::{approve, resume, stop};
pub(crate) use plan::plan;

pub(crate) async fn status(
    flags: &RebalanceStatus,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let api = api(clients).await?;
    let Some(name) = &flags.name else {
        let objects = all(&api, clients).await?;
        if objects.items.is_empty() {
            output.word("no rebalances");
        }
        output.show(&Listed(&objects))?;
        return Ok(Exit::Ok);
    };
    let object = get(&api, name, clients).await?;
    output.show(&Shown(&object))?;
    if !flags.watch {
        return Ok(Exit::Ok);
    }
    watch(api, name, &object, output).await
}

/// Shows every change until nothing changes by itself any more.
async fn watch(
    api: Api<DynamicObject>,
    name: &str,
    first: &DynamicObject,
    output: &mut Output<'_>,
) -> Ended {
    use futures::TryStreamExt as _;
    let mut shown = first.metadata.resource_version.clone();
    if let Some(exit) = ended(first) {
        return Ok(exit);
    }
    let changes = watcher::watch_object(api, name).default_backoff();
    let mut changes = std::pin::pin!(changes);
    loop {
        match changes.try_next().await {
            Ok(Some(Some(object))) => {
                if object.metadata.resource_version != shown {
                    shown.clone_from(&object.metadata.resource_version);
                    if output.is_for_people() {
                        output.text(&line(&Rebalance::of(&object)))?;
                    } else {
                        output.stream(&object)?;
                    }
                }
                if let Some(exit) = ended(&object) {
                    return Ok(exit);
                }
            }
            Ok(Some(None)) => {
                output.word(&format!("rebalance {name} is gone"));
                return Ok(Exit::NotFound);
            }
            Ok(None) => return Ok(Exit::Ok),
            Err(error) => output.word(&format!("the watch broke off, starting again: {error}")),
        }
    }
}

/// How it ended, if it has, and about the newest spec.
fn ended(object: &DynamicObject) -> Option<Exit> {
    let rebalance = Rebalance::of(object);
    if !rebalance.is_up_to_date() {
        return None;
    }
    match rebalance.phase()? {
        RebalancePhase::Completed | RebalancePhase::Stopped => Some(Exit::Ok),
        RebalancePhase::Failed => Some(Exit::Error),
        RebalancePhase::Proposed | RebalancePhase::Approved | RebalancePhase::Rebalancing => None,
    }
}
