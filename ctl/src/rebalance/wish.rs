//! Approve, stop, resume: each is refused where it would change nothing, and changes the spec otherwise.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use ticket_crds::{MoveStatus, RebalancePhase};

use super::{FIELD_MANAGER, Rebalance, make};
use crate::clients::Clients;
use crate::exit::{Exit, Failure};

/// What a person wants of a rebalance that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Carry out the moves that are shown.
    Approve,
    /// Break off what is under way.
    Stop,
    /// Go on after a stop or a failure.
    Resume,
}

impl Wish {
    /// As the command is called.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Stop => "stop",
            Self::Resume => "resume",
        }
    }

    /// Whether it would change anything.
    ///
    /// # Errors
    /// Exit 4 with how the rebalance stands: nothing would be changed.
    pub(crate) fn check(self, rebalance: &Rebalance) -> Result<(), Failure> {
        match self {
            Self::Approve => can_approve(rebalance),
            Self::Stop => can_stop(rebalance),
            Self::Resume => can_resume(rebalance),
        }
    }

    /// Checks and changes `seen`, which was looked at just now. What is approved is what was seen, and nothing newer.
    pub(crate) async fn carry_out(
        self,
        api: &Api<DynamicObject>,
        seen: &DynamicObject,
        clients: &Clients,
    ) -> Result<DynamicObject, Failure> {
        let rebalance = Rebalance::of(seen);
        self.check(&rebalance)?;
        let change = Change { api, clients };
        let name = &rebalance.name;
        match self {
            Self::Approve => change.approve(&rebalance).await,
            Self::Stop => change.spec(name, None, &json!({ "stop": true })).await,
            Self::Resume => {
                let is_asked = rebalance.spec.as_ref().is_some_and(|spec| spec.stop);
                if rebalance.phase() == Some(RebalancePhase::Failed) && !is_asked {
                    // Only a spec that differs wakes one that has failed.
                    change.spec(name, None, &json!({ "stop": true })).await?;
                }
                change.spec(name, None, &go_on()).await
            }
        }
    }
}

fn can_approve(rebalance: &Rebalance) -> Result<(), Failure> {
    match rebalance.phase() {
        Some(RebalancePhase::Proposed) => {}
        Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) => {
            return Err(refused(rebalance, "is approved already"));
        }
        Some(RebalancePhase::Completed) => return Err(refused(rebalance, "is completed")),
        Some(RebalancePhase::Stopped) => {
            let next = format!("ticketctl rebalance resume {}", rebalance.name);
            return Err(refused(rebalance, "is stopped").but_next(next));
        }
        Some(RebalancePhase::Failed) => return Err(refused(rebalance, "has failed")),
        None => return Err(refused(rebalance, "is not planned yet")),
    }
    if rebalance.is_up_to_date() {
        Ok(())
    } else {
        Err(refused(rebalance, "is being planned again"))
    }
}

fn can_stop(rebalance: &Rebalance) -> Result<(), Failure> {
    let spec = rebalance.spec.as_ref();
    let is_wanted = spec.is_some_and(|spec| spec.approve && !spec.stop);
    match rebalance.phase() {
        Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) => Ok(()),
        // Approved a moment ago; the operator has not begun.
        Some(RebalancePhase::Proposed) if is_wanted && !rebalance.is_up_to_date() => Ok(()),
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Stopped
            | RebalancePhase::Completed
            | RebalancePhase::Failed,
        )
        | None => Err(refused(
            rebalance,
            "is not under way: there is nothing to stop",
        )),
    }
}

fn can_resume(rebalance: &Rebalance) -> Result<(), Failure> {
    let has_moves = !rebalance.status.moves.is_empty();
    let is_asked = rebalance.spec.as_ref().is_some_and(|spec| spec.stop);
    match rebalance.phase() {
        Some(RebalancePhase::Stopped) => Ok(()),
        Some(RebalancePhase::Failed) if has_moves => Ok(()),
        // A stop that the operator has not met yet is taken back.
        Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) if is_asked => Ok(()),
        Some(RebalancePhase::Failed) => Err(refused(
            rebalance,
            "could not be planned: there is nothing to resume",
        )
        .but_next("heal the cause, then plan again")),
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Approved
            | RebalancePhase::Rebalancing
            | RebalancePhase::Completed,
        )
        | None => Err(refused(
            rebalance,
            "is not stopped: there is nothing to resume",
        )),
    }
}

fn refused(rebalance: &Rebalance, what: &str) -> Failure {
    let name = &rebalance.name;
    let (_, message) = rebalance.reason();
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

/// What lets the moves go on.
fn go_on() -> Value {
    json!({ "approve": true, "stop": false })
}

struct Change<'a> {
    api: &'a Api<DynamicObject>,
    clients: &'a Clients,
}

impl Change<'_> {
    async fn approve(&self, seen: &Rebalance) -> Result<DynamicObject, Failure> {
        let name = &seen.name;
        let version = seen.version.as_deref();
        if !seen.spec.as_ref().is_some_and(|spec| spec.approve) {
            return self.spec(name, version, &go_on()).await;
        }
        // An approval counts for a plan that was there before it. One that was given before is taken back, and the operator
        // plans once more: only if the moves are those that were seen they are approved.
        let back = json!({ "approve": false });
        self.spec(name, version, &back).await?;
        let again = make::planned(self.api.clone(), name).await?;
        let again = again.ok_or_else(|| make::not_planned(name))?;
        let again = Rebalance::of(&again);
        can_approve(&again)?;
        if !are_the_same(&again.status.moves, &seen.status.moves) {
            let what = "has other moves by now than those that were shown";
            return Err(refused(&again, what));
        }
        self.spec(name, again.version.as_deref(), &go_on()).await
    }

    /// Changes the spec; with a version only if nobody else was faster.
    async fn spec(
        &self,
        name: &str,
        version: Option<&str>,
        spec: &Value,
    ) -> Result<DynamicObject, Failure> {
        let metadata = match version {
            Some(version) => json!({ "resourceVersion": version }),
            None => json!({}),
        };
        let wish = Patch::Merge(json!({ "metadata": metadata, "spec": spec }));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let action = format!("change rebalance {name}");
        let patched = self.api.patch(name, &params, &wish);
        self.clients.ask(&action, patched).await
    }
}

/// The same shards by the same ways; sizes may differ.
fn are_the_same(some: &[MoveStatus], others: &[MoveStatus]) -> bool {
    fn way(one: &MoveStatus) -> (i32, i32, &str, &str) {
        (one.range.low, one.range.high, &one.from, &one.to)
    }
    some.iter().map(way).eq(others.iter().map(way))
}
