//! Rebalances: asked for and changed in Kubernetes, as the commands do it.

use std::cmp::Reverse;

use kube::ResourceExt;
use ticket_crds::RebalancePhase;

use super::super::grid::binary;
use super::super::reading::Target;
use super::not_named;
use crate::cli::{RebalanceMode, RebalancePlan, TransferMode};
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::rebalance::wish::Wish;
use crate::rebalance::{Rebalance, api, get, make};

/// All of them, the newest first.
pub(super) async fn all(clients: &Clients) -> Result<Vec<Rebalance>, Failure> {
    let objects = crate::rebalance::all(&api(clients).await?, clients).await?;
    let mut all: Vec<Rebalance> = objects.items.iter().map(Rebalance::of).collect();
    all.sort_by_key(|it| Reverse(it.created));
    Ok(all)
}

/// Makes a plan that waits for approval.
pub(super) async fn plan(clients: &Clients, target: &Target) -> Result<String, Failure> {
    let (mode, node, events) = match target {
        Target::Node(node) => (RebalanceMode::DrainNode, Some(node.clone()), Vec::new()),
        Target::Pin { event, node } => {
            let event = event.replacen('.', "/", 1);
            (RebalanceMode::PinEvents, Some(node.clone()), vec![event])
        }
        Target::Ledger => (RebalanceMode::Balance, None, Vec::new()),
        Target::Event(_) | Target::Order { .. } | Target::Rebalance { .. } => {
            return Err(not_named("node"));
        }
    };
    let flags = RebalancePlan {
        mode,
        node,
        events,
        force: false,
        move_timeout: None,
        transfer_mode: TransferMode::Auto,
        name: None,
    };
    let api = api(clients).await?;
    let name = make::create(&api, flags, clients).await?.name_any();
    let planned = make::planned(api, &name).await?;
    let planned = Rebalance::of(&planned.ok_or_else(|| make::not_planned(&name))?);
    match planned.phase() {
        Some(RebalancePhase::Failed) => Err(make::cannot_be_planned(&planned)),
        Some(RebalancePhase::Completed) => Ok("nothing has to move".to_owned()),
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Approved
            | RebalancePhase::Rebalancing
            | RebalancePhase::Stopped,
        )
        | None => {
            let bytes = planned.status.progress.unwrap_or_default().bytes;
            let (moves, bytes) = (planned.status.moves.len(), binary(bytes));
            Ok(format!(
                "{name} waits for approval: moves: {moves}, {bytes}"
            ))
        }
    }
}

/// Approves, stops or resumes. What is approved is the version that was shown.
pub(super) async fn change(
    clients: &Clients,
    wish: Wish,
    target: &Target,
) -> Result<String, Failure> {
    let Target::Rebalance { name, version } = target else {
        return Err(not_named("rebalance"));
    };
    let api = api(clients).await?;
    let seen = get(&api, name, clients).await?;
    if wish == Wish::Approve && seen.metadata.resource_version != *version {
        wish.check(&Rebalance::of(&seen))?;
        let changed =
            anyhow::anyhow!("{name} has changed since it was shown; nothing was approved");
        return Err(Failure::new(Exit::Refused, changed).or_next("look at its moves again"));
    }
    wish.carry_out(&api, &seen, clients).await?;
    Ok(match wish {
        Wish::Approve => "its moves begin",
        Wish::Stop => "it stops",
        Wish::Resume => "it goes on",
    }
    .to_owned())
}
