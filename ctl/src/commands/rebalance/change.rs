//! `approve`, `stop` and `resume`: each looks first, and refuses what would change nothing.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use ticket_crds::RebalancePhase;

use super::show::{Row, Shown};
use super::{api, get};
use crate::cli::{RebalanceApprove, RebalanceName};
use crate::clients::Clients;
use crate::commands::Ended;
use crate::commands::confirm::confirmed;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Who writes what people want, in `metadata.managedFields`.
pub(super) const FIELD_MANAGER: &str = "ticketctl";

pub(crate) async fn approve(
    flags: &RebalanceApprove,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let RebalanceApprove { name, confirm } = flags;
    let api = api(clients).await?;
    let object = get(&api, name, clients).await?;
    let row = Row::of(&object);
    match row.phase() {
        Some(RebalancePhase::Proposed) => {}
        Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) => {
            return Err(refused(&row, "is approved already"));
        }
        Some(RebalancePhase::Completed) => return Err(refused(&row, "is completed")),
        Some(RebalancePhase::Stopped) => {
            let next = format!("ticketctl rebalance resume {name}");
            return Err(refused(&row, "is stopped").but_next(next));
        }
        Some(RebalancePhase::Failed) => return Err(refused(&row, "has failed")),
        None => return Err(refused(&row, "is not planned yet")),
    }
    if !row.is_up_to_date() {
        return Err(refused(&row, "is being planned again"));
    }
    let spec = row.spec.as_ref();
    if spec.is_some_and(|spec| spec.force) && !clients.is_dry_run() {
        let hurts = "also moves what is on sale, and its buyers wait";
        confirmed(name, confirm.as_deref(), hurts, clients, output)?;
    }
    if clients.is_dry_run() {
        return would("approve", &object, output);
    }
    // An approval counts if it is newer than the plan: one that was there before is taken back first.
    let mut version = object.metadata.resource_version.clone();
    if spec.is_some_and(|spec| spec.approve) {
        let back = json!({ "approve": false });
        let taken = patch(&api, name, version.as_deref(), &back, clients).await?;
        version = taken.metadata.resource_version;
    }
    // With the version, what is approved is what was looked at just now.
    let wish = json!({ "approve": true, "stop": false });
    let object = patch(&api, name, version.as_deref(), &wish, clients).await?;
    output.show(&Shown(&object))?;
    output.word(&format!(
        "{name} is approved; `ticketctl rebalance status {name} -w` follows it"
    ));
    Ok(Exit::Ok)
}

pub(crate) async fn stop(
    flags: &RebalanceName,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let name = &flags.name;
    let api = api(clients).await?;
    let object = get(&api, name, clients).await?;
    let row = Row::of(&object);
    let is_wanted = row
        .spec
        .as_ref()
        .is_some_and(|spec| spec.approve && !spec.stop);
    match row.phase() {
        Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) => {}
        // Approved a moment ago; the operator has not begun.
        Some(RebalancePhase::Proposed) if is_wanted && !row.is_up_to_date() => {}
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Stopped
            | RebalancePhase::Completed
            | RebalancePhase::Failed,
        )
        | None => return Err(refused(&row, "is not under way: there is nothing to stop")),
    }
    if clients.is_dry_run() {
        return would("stop", &object, output);
    }
    let object = patch(&api, name, None, &json!({ "stop": true }), clients).await?;
    output.show(&Shown(&object))?;
    output.word(&format!(
        "{name} stops; `ticketctl rebalance resume {name}` goes on where it stood"
    ));
    Ok(Exit::Ok)
}

pub(crate) async fn resume(
    flags: &RebalanceName,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let name = &flags.name;
    let api = api(clients).await?;
    let object = get(&api, name, clients).await?;
    let row = Row::of(&object);
    let has_moves = !row.status.moves.is_empty();
    let is_asked = row.spec.as_ref().is_some_and(|spec| spec.stop);
    match row.phase() {
        Some(RebalancePhase::Stopped) => {}
        Some(RebalancePhase::Failed) if has_moves => {}
        // A stop that the operator has not met yet is taken back.
        Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) if is_asked => {}
        Some(RebalancePhase::Failed) => {
            let failure = refused(&row, "could not be planned: there is nothing to resume");
            return Err(failure.but_next("heal the cause, then plan again"));
        }
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Approved
            | RebalancePhase::Rebalancing
            | RebalancePhase::Completed,
        )
        | None => return Err(refused(&row, "is not stopped: there is nothing to resume")),
    }
    if clients.is_dry_run() {
        return would("resume", &object, output);
    }
    if row.phase() == Some(RebalancePhase::Failed) && !is_asked {
        // Only a spec that differs wakes one that has failed.
        patch(&api, name, None, &json!({ "stop": true }), clients).await?;
    }
    let wish = json!({ "approve": true, "stop": false });
    let object = patch(&api, name, None, &wish, clients).await?;
    output.show(&Shown(&object))?;
    output.word(&format!("{name} goes on"));
    Ok(Exit::Ok)
}

fn refused(row: &Row, what: &str) -> Failure {
    let name = &row.name;
    let (_, message) = row.reason();
    let message = if message.is_empty() {
        String::new()
    } else {
        format!(" ({message})")
    };
    let cause = anyhow::anyhow!("rebalance {name} {what}{message}; nothing was changed");
    Failure::new(Exit::Refused, cause).or_next(format!(
        "`ticketctl rebalance status {name}` shows how it stands"
    ))
}

fn would(what: &str, object: &DynamicObject, output: &mut Output<'_>) -> Ended {
    output.show(&Shown(object))?;
    let name = Row::of(object).name;
    output.word(&format!("dry run: would {what} {name}; nothing was done"));
    Ok(Exit::Ok)
}

/// Changes the spec; with a version only if nobody else was faster.
async fn patch(
    api: &Api<DynamicObject>,
    name: &str,
    version: Option<&str>,
    spec: &Value,
    clients: &Clients,
) -> Result<DynamicObject, Failure> {
    let metadata = match version {
        Some(version) => json!({ "resourceVersion": version }),
        None => json!({}),
    };
    let wish = json!({ "metadata": metadata, "spec": spec });
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let action = format!("change rebalance {name}");
    clients
        .ask(&action, api.patch(name, &params, &Patch::Merge(&wish)))
        .await
}
