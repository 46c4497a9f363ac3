//! `ticketctl rebalance plan`: makes the resource, not approved, and shows what the operator plans for it.

use std::time::Duration;

use futures::TryStreamExt as _;
use kube::api::{Api, DynamicObject, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use ticket_crds::{RebalancePhase, ShardRebalance};

use super::change::FIELD_MANAGER;
use super::show::{Row, Shown};
use super::{api, dry_run};
use crate::cli::{RebalanceMode, RebalancePlan, TransferMode};
use crate::clients::Clients;
use crate::commands::Ended;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Longest wait for the operator's plan. It takes a few hundred milliseconds; nodes that are down make it slow.
const PROPOSAL_WAIT: Duration = Duration::from_secs(20);

pub(crate) async fn plan(
    flags: RebalancePlan,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let object = wanted(flags, clients).await?;
    let api = api(clients).await?;
    let params = PostParams {
        dry_run: clients.is_dry_run(),
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let made = clients
        .ask("make the rebalance", api.create(&params, &object))
        .await?;
    if clients.is_dry_run() {
        return dry_run::show(&made, clients, output).await;
    }
    let name = made.name_any();
    let Ok(planned) = tokio::time::timeout(PROPOSAL_WAIT, planned(api, &name)).await else {
        output.show(&Shown(&made))?;
        let what = format!("the operator has not planned {name} within {PROPOSAL_WAIT:?}");
        let next = "check that it runs: `ticketctl doctor`; then `ticketctl rebalance status`";
        return Err(Failure::timeout(what).or_next(next));
    };
    let planned = planned?;
    output.show(&Shown(&planned))?;
    let row = Row::of(&planned);
    match row.phase() {
        Some(RebalancePhase::Failed) => {
            let (_, message) = row.reason();
            let code = row.status.last_error.as_ref();
            let code = code.map(|error| error.code.clone()).unwrap_or_default();
            let next = code
                .parse::<ticket_core::Code>()
                .map_or_else(|()| String::new(), |code| code.next_step().to_owned());
            let cause = anyhow::anyhow!("{name} cannot be planned: {message} [{code}]");
            Err(Failure::new(Exit::Refused, cause).or_next(next))
        }
        Some(RebalancePhase::Completed) => {
            output.word("nothing has to move");
            Ok(Exit::Ok)
        }
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Approved
            | RebalancePhase::Rebalancing
            | RebalancePhase::Stopped,
        )
        | None => {
            output.word(&format!(
                "nothing moves yet; `ticketctl rebalance approve {name}` starts it"
            ));
            Ok(Exit::Ok)
        }
    }
}

/// The object that the flags ask for.
async fn wanted(flags: RebalancePlan, clients: &Clients) -> Result<DynamicObject, Failure> {
    let RebalancePlan {
        mode,
        node,
        events,
        force,
        timeout,
        transfer_mode,
        name,
    } = flags;
    let (mode, prefix) = match mode {
        RebalanceMode::Balance => ("Balance", "balance-"),
        RebalanceMode::DrainNode => ("DrainNode", "drain-"),
        RebalanceMode::PinEvents => ("PinEvents", "pin-"),
    };
    let transfer_mode = match transfer_mode {
        TransferMode::Auto => "Auto",
        TransferMode::BlockWrites => "BlockWrites",
        TransferMode::ForceLogical => "ForceLogical",
    };
    let namespace = clients.namespace().await;
    let events: Vec<String> = events
        .into_iter()
        .map(|event| {
            if event.contains('/') {
                event
            } else {
                format!("{namespace}/{event}")
            }
        })
        .collect();
    let mut spec = json!({ "mode": mode, "force": force, "transferMode": transfer_mode });
    if let Some(node) = node {
        set(&mut spec, "node", node.into());
    }
    if !events.is_empty() {
        set(&mut spec, "events", events.into());
    }
    if let Some(timeout) = timeout {
        set(&mut spec, "timeout", timeout.into());
    }
    let metadata = match name {
        Some(name) => json!({ "name": name }),
        None => json!({ "generateName": prefix }),
    };
    serde_json::from_value(json!({
        "apiVersion": ShardRebalance::api_version(&()),
        "kind": ShardRebalance::kind(&()),
        "metadata": metadata,
        "spec": spec,
    }))
    .map_err(|error| Failure::new(Exit::Error, error.into()))
}

fn set(spec: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = spec {
        fields.insert(key.to_owned(), value);
    }
}

/// Waits until the operator has said something about it.
async fn planned(api: Api<DynamicObject>, name: &str) -> Result<DynamicObject, Failure> {
    let changes = watcher::watch_object(api, name).default_backoff();
    let mut changes = std::pin::pin!(changes);
    loop {
        match changes.try_next().await {
            Ok(Some(Some(object))) if Row::of(&object).phase().is_some() => return Ok(object),
            // The watch begins again by itself after an error.
            Ok(Some(Some(_))) | Err(_) => {}
            Ok(Some(None)) => {
                let gone = anyhow::anyhow!("rebalance {name} was deleted meanwhile");
                return Err(Failure::new(Exit::NotFound, gone));
            }
            Ok(None) => {
                let ended = anyhow::anyhow!("the watch of the API server ended");
                return Err(Failure::new(Exit::Error, ended));
            }
        }
    }
}
