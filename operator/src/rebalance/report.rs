//! What is said about a rebalance, as status. Pure but for the write at the end.

use jiff::{SignedDuration, Timestamp};
use kube::Resource;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use ticket_core::{Code, clock};
use ticket_crds::condition::{MESSAGE_CHARS_MAX, Said};
use ticket_crds::{
    ConditionType, LastError, MOVE_STOCK_SHARDS_MAX, MoveState, MoveStatus, Progress, RangeStatus,
    RebalancePhase, RebalanceStatus, ShardRebalance, TransferMode, set_condition,
};
use ticket_plan::{Move, expected_move_ms, expected_stall_ms};

use crate::context::Context;
use crate::error::{OperatorError, Result, reason_of, status_code};
use crate::kubernetes::{self, FIELD_MANAGER};

/// Something that is no error, and that people should know.
pub(super) struct Note {
    code: Code,
    message: String,
}

impl Note {
    pub(super) const fn new(code: Code, message: String) -> Self {
        Self { code, message }
    }
}

/// A move that was planned.
pub(super) fn planned(one: &Move) -> MoveStatus {
    let ids = one.stock_shard_ids.iter().map(|id| id.get());
    MoveStatus {
        stock_shard_ids: ids.take(MOVE_STOCK_SHARDS_MAX).collect(),
        range: RangeStatus {
            low: one.range.low,
            high: one.range.high,
        },
        from: one.from.clone(),
        to: one.to.clone(),
        bytes: one.bytes,
        state: MoveState::Pending,
        retries: 0,
        message: None,
        took_ms: None,
    }
}

/// What is moved, for people: stock shards are known by their ids everywhere, an empty Citus shard only by its hashes.
pub(super) fn named(one: &MoveStatus) -> String {
    match one.stock_shard_ids.as_slice() {
        [] => format!(
            "the empty Citus shard {}..{}",
            one.range.low, one.range.high
        ),
        [id] => format!("stock shard {id}"),
        [id, more @ ..] => format!("stock shard {id} and {} more", more.len()),
    }
}

pub(super) fn error(code: &str, message: &str) -> LastError {
    LastError {
        code: code.to_owned(),
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
        step: None,
    }
}

/// How a shard is copied. `Auto` was resolved to `mode` by what the workers can do; a shard without stock has no writers that
/// could wait, and blocking them is faster.
pub(super) fn copied(wanted: TransferMode, mode: TransferMode, one: &MoveStatus) -> TransferMode {
    match wanted {
        TransferMode::Auto if one.stock_shard_ids.is_empty() => TransferMode::BlockWrites,
        TransferMode::Auto => mode,
        TransferMode::BlockWrites | TransferMode::ForceLogical => wanted,
    }
}

/// Fills in everything that follows from phase, moves and error. `generation` is the spec that was acted upon; without a
/// `mode` nobody knows how shards would be copied, and what was expected stays.
pub(super) fn conclude(
    status: &mut RebalanceStatus,
    object: &ShardRebalance,
    generation: Option<i64>,
    mode: Option<TransferMode>,
    note: Option<Note>,
) {
    let now = clock::now();
    status.observed_generation = generation;
    status.progress = Some(progress(&status.moves));
    if let Some(mode) = mode {
        let wanted = object.spec.transfer_mode;
        // Nobody writes to a shard without stock.
        let felt = status.moves.iter();
        let felt = felt.filter(|one| !one.stock_shard_ids.is_empty());
        let stalls = felt.map(|one| {
            let mode = copied(wanted, mode, one);
            expected_stall_ms(mode, one.bytes)
        });
        status.expected_stall_ms = stalls.max();
        status.eta = Some(eta(&status.moves, wanted, mode, now));
    }
    if status.phase != Some(RebalancePhase::Rebalancing) {
        status.eta = None;
    }
    let (ready, is_working) = standing(status, object, note);
    let degraded = match &status.last_error {
        Some(error) => Said {
            is: Some(true),
            reason: reason_of(&error.code),
            message: error.message.clone(),
        },
        None => Said {
            is: Some(false),
            reason: ready.reason.clone(),
            message: String::new(),
        },
    };
    let working = Said {
        is: Some(is_working),
        ..ready.clone()
    };
    for (which, said) in [
        (ConditionType::Ready, ready),
        (ConditionType::Reconciling, working),
        (ConditionType::Degraded, degraded),
    ] {
        set_condition(&mut status.conditions, which, said, generation, now);
    }
}

/// Condition `Ready`, and whether the operator has work left.
fn standing(status: &RebalanceStatus, object: &ShardRebalance, note: Option<Note>) -> (Said, bool) {
    let spec = &object.spec;
    let not = |code: Code, message: String| Said {
        is: Some(false),
        reason: code.reason().to_owned(),
        message,
    };
    let Progress { done, total, .. } = status.progress.unwrap_or_default();
    let is_working = matches!(
        status.phase,
        Some(RebalancePhase::Approved | RebalancePhase::Rebalancing) | None
    );
    let said = match (status.phase, &status.last_error) {
        (Some(RebalancePhase::Completed), _) => Said {
            is: Some(true),
            reason: Code::Ready.reason().to_owned(),
            message: if total == 0 {
                "nothing has to move".to_owned()
            } else {
                format!("{done} of {total} moves are done")
            },
        },
        (_, Some(error)) => Said {
            is: Some(false),
            reason: reason_of(&error.code),
            message: error.message.clone(),
        },
        (Some(RebalancePhase::Proposed), None) if spec.stop => not(
            Code::NothingToStop,
            "nothing is under way that could be stopped".to_owned(),
        ),
        (Some(RebalancePhase::Proposed), None) if spec.approve => not(
            Code::AwaitingApproval,
            format!(
                "{total} moves; approve was set before they were planned: look at them, set it to false and to true again"
            ),
        ),
        (Some(RebalancePhase::Proposed), None) => not(
            Code::AwaitingApproval,
            format!("{total} moves wait for approval"),
        ),
        (Some(RebalancePhase::Stopped), None) => not(
            Code::RebalanceStopped,
            format!("stopped after {done} of {total} moves"),
        ),
        (
            Some(RebalancePhase::Approved | RebalancePhase::Rebalancing | RebalancePhase::Failed)
            | None,
            None,
        ) => match note {
            Some(note) => not(note.code, note.message),
            None => not(
                Code::Progressing,
                format!("{done} of {total} moves are done"),
            ),
        },
    };
    (said, is_working)
}

fn progress(moves: &[MoveStatus]) -> Progress {
    let count = |moves: &mut dyn Iterator<Item = &MoveStatus>| {
        i32::try_from(moves.count()).unwrap_or(i32::MAX)
    };
    let is_done = |one: &&MoveStatus| one.state == MoveState::Done;
    Progress {
        done: count(&mut moves.iter().filter(is_done)),
        total: count(&mut moves.iter()),
        bytes: moves.iter().filter_map(|one| one.bytes).sum(),
        bytes_done: moves
            .iter()
            .filter(is_done)
            .filter_map(|one| one.bytes)
            .sum(),
    }
}

/// What is left by the expectation, corrected by how wrong it was for the moves that are done.
fn eta(
    moves: &[MoveStatus],
    wanted: TransferMode,
    mode: TransferMode,
    now: Timestamp,
) -> Timestamp {
    let expected = |one: &MoveStatus| expected_move_ms(copied(wanted, mode, one), one.bytes);
    let timed = moves.iter().filter(|one| one.took_ms.is_some());
    let (mut took, mut thought) = (0_i64, 0_i64);
    for one in timed {
        took = took.saturating_add(one.took_ms.unwrap_or_default());
        thought = thought.saturating_add(expected(one));
    }
    let left: i64 = moves
        .iter()
        .filter(|one| one.state != MoveState::Done)
        .map(expected)
        .sum();
    let left = if thought > 0 {
        left.saturating_mul(took) / thought
    } else {
        left
    };
    // Whole seconds, as everything in a status.
    let seconds = left.saturating_add(999) / 1_000;
    let at = now
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(now);
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Writes the whole status. All fields, always: what is left out would be deleted.
pub(super) async fn write(
    context: &Context,
    object: &ShardRebalance,
    status: &RebalanceStatus,
) -> Result<()> {
    context.faults.before_effect().await;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let api = kube::Api::<ShardRebalance>::all(context.client.clone());
    let patch = json!({
        "apiVersion": ShardRebalance::api_version(&()),
        "kind": ShardRebalance::kind(&()),
        // The uid keeps a slow write from an object of the same name that came later.
        "metadata": { "name": name, "uid": object.metadata.uid },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(patch);
    let written = api.patch_status(name, &params, &patch);
    match kubernetes::call("write the status", written).await {
        // Gone meanwhile: nobody is left to read it.
        Err(OperatorError::Kubernetes { cause, .. })
            if matches!(status_code(&cause), Some(404)) =>
        {
            Ok(())
        }
        other => other.map(|_| ()),
    }
}
