//! `ticketctl rebalance plan|approve|stop|resume|status`. Everything goes through the `ShardRebalance` resource: the
//! operator plans and moves, this shows it and says what a person wants.

mod change;
mod dry_run;
mod plan;
mod show;

use kube::api::{Api, ApiResource, DynamicObject, ListParams, ObjectList};
use kube::runtime::{WatchStreamExt, watcher};
use ticket_crds::{RebalancePhase, ShardRebalance};

use self::show::{Listed, Row, Shown};
use super::Ended;
use crate::cli::RebalanceStatus;
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) use change::{approve, resume, stop};
pub(crate) use plan::plan;

/// Rebalances of one list; people make a few in a cluster's life.
const LIST_OBJECTS_MAX: u32 = 1_000;

/// Untyped, so that `-o json` prints what is there and not what this program knows of it.
pub(super) async fn api(clients: &Clients) -> Result<Api<DynamicObject>, Failure> {
    let resource = ApiResource::erase::<ShardRebalance>(&());
    Ok(Api::all_with(clients.kube().await?, &resource))
}

pub(super) async fn all(
    api: &Api<DynamicObject>,
    clients: &Clients,
) -> Result<ObjectList<DynamicObject>, Failure> {
    let params = ListParams::default().limit(LIST_OBJECTS_MAX);
    clients.ask("list rebalances", api.list(&params)).await
}

async fn get(
    api: &Api<DynamicObject>,
    name: &str,
    clients: &Clients,
) -> Result<DynamicObject, Failure> {
    let action = format!("get rebalance {name}");
    let found = clients.ask(&action, api.get(name)).await;
    found.map_err(|failure| match failure {
        failure @ Failure::Failed {
            exit: Exit::NotFound,
            ..
        } => failure.but_next("`ticketctl rebalance status` shows what there is"),
        failure @ (Failure::ReaderGone | Failure::Failed { .. }) => failure,
    })
}

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
                        output.text(&Row::of(&object).line())?;
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
    let row = Row::of(object);
    if !row.is_up_to_date() {
        return None;
    }
    match row.phase()? {
        RebalancePhase::Completed | RebalancePhase::Stopped => Some(Exit::Ok),
        RebalancePhase::Failed => Some(Exit::Error),
        RebalancePhase::Proposed | RebalancePhase::Approved | RebalancePhase::Rebalancing => None,
    }
}
