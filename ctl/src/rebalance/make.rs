//! Makes a rebalance, not approved, and waits for what the operator plans for it.

use std::time::Duration;

use futures::TryStreamExt as _;
use kube::Resource;
use kube::api::{Api, DynamicObject, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use ticket_core::Code;
use ticket_crds::ShardRebalance;

use super::{FIELD_MANAGER, Rebalance};
use crate::cli::{RebalanceMode, RebalancePlan, TransferMode};
use crate::clients::Clients;
use crate::exit::{Exit, Failure};

/// Longest wait for the operator's plan. It takes a few hundred milliseconds; nodes that are down make it slow.
pub(crate) const PROPOSAL_WAIT: Duration = Duration::from_secs(20);

/// Makes the object that the flags ask for; with `--dry-run` the API server only says what it would be.
pub(crate) async fn create(
    api: &Api<DynamicObject>,
    flags: RebalancePlan,
    clients: &Clients,
) -> Result<DynamicObject, Failure> {
    let object = wanted(flags, clients).await?;
    let params = PostParams {
        dry_run: clients.is_dry_run(),
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    clients
        .ask("make the rebalance", api.create(&params, &object))
        .await
}

async fn wanted(flags: RebalancePlan, clients: &Clients) -> Result<DynamicObject, Failure> {
    let RebalancePlan {
        mode,
        node,
        events,
        force,
        move_timeout,
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
    if let Some(limit) = move_timeout {
        set(&mut spec, "timeout", limit.into());
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
    .map_err(|error| {
        let next = "compare the flags with `ticketctl rebalance plan --help`";
        Failure::new(Exit::Error, error.into()).or_next(next)
    })
}

fn set(spec: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = spec {
        fields.insert(key.to_owned(), value);
    }
}

/// Waits until the operator has planned for the newest spec; `None` if it has not within [`PROPOSAL_WAIT`].
pub(crate) async fn planned(
    api: Api<DynamicObject>,
    name: &str,
) -> Result<Option<DynamicObject>, Failure> {
    let planned = async {
        let changes = watcher::watch_object(api, name).default_backoff();
        let mut changes = std::pin::pin!(changes);
        loop {
            match changes.try_next().await {
                Ok(Some(Some(object))) => {
                    let rebalance = Rebalance::of(&object);
                    if rebalance.phase().is_some() && rebalance.is_up_to_date() {
                        return Ok(object);
                    }
                }
                // The watch begins again by itself after an error.
                Err(_) => {}
                Ok(Some(None)) => {
                    let gone = anyhow::anyhow!("rebalance {name} was deleted meanwhile");
                    return Err(Failure::new(Exit::NotFound, gone).or_next("plan it again"));
                }
                Ok(None) => {
                    let ended = anyhow::anyhow!("the watch of the API server ended");
                    let next =
                        format!("`ticketctl rebalance status {name}` shows what was planned");
                    return Err(Failure::new(Exit::Error, ended).or_next(next));
                }
            }
        }
    };
    match tokio::time::timeout(PROPOSAL_WAIT, planned).await {
        Ok(planned) => planned.map(Some),
        Err(_) => Ok(None),
    }
}

/// The operator was silent for too long.
pub(crate) fn not_planned(name: &str) -> Failure {
    let what = format!("the operator has not planned {name} within {PROPOSAL_WAIT:?}");
    let next = "check that it runs: `ticketctl doctor`; then `ticketctl rebalance status`";
    Failure::timeout(what).or_next(next)
}

/// The operator said no: its code, its words, and what to do.
pub(crate) fn cannot_be_planned(rebalance: &Rebalance) -> Failure {
    let name = &rebalance.name;
    let (_, message) = rebalance.reason();
    let code = rebalance.status.last_error.as_ref();
    let code = code.map(|error| error.code.clone()).unwrap_or_default();
    let next = code.parse::<Code>().map_or_else(
        |()| format!("`ticketctl rebalance status {name}` shows all that the operator says"),
        |code| code.next_step().to_owned(),
    );
    let cause = anyhow::anyhow!("{name} cannot be planned: {message} [{code}]");
    Failure::new(Exit::Refused, cause).or_next(next)
}
