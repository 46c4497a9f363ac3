//! The warm-up of an event: who holds its lock, with which epoch it is sold, what was; and what a manager may do about it. A
//! lock that a manager takes holds the sale until it is given back. A run that a manager asks for is the keeper's own, carried
//! out here: whoever asked hears how it ended, and if he goes away half way the lock runs out and a keeper begins anew.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use ticket_admin::{LockRequest, LockView, UnlockRequest, WarmupRun, WarmupView};
use ticket_core::{Code, EventId};
use ticket_ledger::{LedgerError, LockAnswer, LockWish, Warmup, WarmupKind};
use ticket_telemetry::chain;
use ticket_warmup::{HOLD_FOR, Outcome, WarmupError};
use tracing::{info, warn};

use super::access::Who;
use super::document::{LockProblems, LookProblems};
use super::{Admin, refusal};
use crate::body::OptionalJsonBody;
use crate::catalog::EventEntry;
use crate::path::PathPart;
use crate::problem::Problem;

/// Warm-ups that are shown.
const HISTORY_MAX: u32 = 20;

/// Longest reason, characters.
const REASON_CHARS_MAX: usize = 200;

/// What stands in the history when nobody said more.
const BY_HAND: &str = "asked for by a manager";

#[utoipa::path(get, path = "/admin/v1/events/{event}/warmup", tag = "warmup", operation_id = "getWarmup",
    summary = "The warm-up lock and the epochs of an event",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), security(("manager" = [])),
    responses((status = 200, description = "How it stands.", body = WarmupView), LookProblems))]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
) -> Result<Json<WarmupView>, Problem> {
    let event = admin.event(&event).await?;
    view(&admin, &event).await.map(Json)
}

#[utoipa::path(post, path = "/admin/v1/events/{event}/warmup/run", tag = "warmup", operation_id = "runWarmup",
    summary = "Refill the stock store from the ledger",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), request_body = Option<LockRequest>,
    security(("manager" = [])),
    responses((status = 200, description = "It is refilled and sells.", body = WarmupView), LockProblems))]
pub(super) async fn run(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
    Extension(Who(who)): Extension<Who>,
    OptionalJsonBody(LockRequest { reason }): OptionalJsonBody<LockRequest>,
) -> Result<Json<WarmupView>, Problem> {
    let reason = checked(reason)?;
    let event = admin.event(&event).await?;
    let reason = reason.as_deref().unwrap_or(BY_HAND);
    let run = admin.parts.warmer.warm_up(event.id(), &who, reason, None);
    match Box::pin(run).await {
        Ok(Outcome::Armed(_)) => {}
        Ok(Outcome::Held(by)) => return Err(locked(&by)),
        Ok(Outcome::Fenced(epoch) | Outcome::Newer(epoch)) => {
            let detail = format!("somebody else warms the event up, newer than epoch {epoch}");
            return Err(Problem::new(Code::WarmupLocked, detail));
        }
        Ok(Outcome::Closed) => return Err(Code::SaleClosed.into()),
        Err(error) => return Err(failed(&error)),
    }
    view(&admin, &event).await.map(Json)
}

#[utoipa::path(post, path = "/admin/v1/events/{event}/warmup/lock", tag = "warmup", operation_id = "lockWarmup",
    summary = "Hold the sale",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), request_body = Option<LockRequest>,
    security(("manager" = [])),
    responses((status = 200, description = "Nothing is sold until it is unlocked.", body = WarmupView), LockProblems))]
pub(super) async fn lock(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
    Extension(Who(who)): Extension<Who>,
    OptionalJsonBody(LockRequest { reason }): OptionalJsonBody<LockRequest>,
) -> Result<Json<WarmupView>, Problem> {
    let reason = checked(reason)?;
    let event = admin.event(&event).await?;
    let wish = LockWish {
        kind: WarmupKind::Hold,
        holder: &who,
        reason: reason.as_deref(),
        lasts: HOLD_FOR,
        seen: None,
    };
    let held = match admin.parts.ledger.lock_warmup(event.id(), &wish).await {
        Ok(LockAnswer::Taken(held)) => held,
        Ok(LockAnswer::Held(by)) => return Err(locked(&by)),
        Ok(LockAnswer::Newer(_)) => return Err(Code::WarmupLocked.into()),
        Ok(LockAnswer::Closed) => return Err(Code::SaleClosed.into()),
        Err(error) => return Err(of_ledger(&error, event.id())),
    };
    // At once, where the epoch alone would need a second to reach everybody. If it fails, that second has to do.
    if let Err(error) = admin.parts.stock.disarm(event.id(), held.epoch).await {
        warn!(error = %chain(&error), code = error.code(), event = %event.name(), "store not disarmed");
    }
    info!(event = %event.name(), epoch = %held.epoch, holder = who, "sale held");
    view(&admin, &event).await.map(Json)
}

#[utoipa::path(post, path = "/admin/v1/events/{event}/warmup/unlock", tag = "warmup", operation_id = "unlockWarmup",
    summary = "Give the warm-up lock back, or break it",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), request_body = Option<UnlockRequest>,
    security(("manager" = [])),
    responses((status = 200, description = "Nobody holds it; a keeper refills the store.", body = WarmupView), LockProblems))]
pub(super) async fn unlock(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
    Extension(Who(who)): Extension<Who>,
    OptionalJsonBody(UnlockRequest { force, confirm }): OptionalJsonBody<UnlockRequest>,
) -> Result<Json<WarmupView>, Problem> {
    let event = admin.event(&event).await?;
    if confirm.is_some_and(|name| name != event.name().to_string()) {
        let rule = format!("is not {}", event.name());
        return Err(Problem::invalid("confirm", rule));
    }
    let ledger = &admin.parts.ledger;
    let held = ledger.warmup_lock(event.id()).await;
    // Nobody holds it: what was wanted is so.
    if let Some(held) = held.map_err(|error| refusal::of_ledger(&error))? {
        let done = if force {
            ledger.break_warmup(&held).await
        } else if held.holder == who && held.kind == WarmupKind::Hold {
            ledger.finish_warmup(&held, "released").await
        } else {
            return Err(locked(&held));
        };
        let is_done = done.map_err(|error| refusal::of_ledger(&error))?;
        info!(event = %event.name(), epoch = %held.epoch, holder = held.holder, force, is_done, "warm-up unlocked");
    }
    view(&admin, &event).await.map(Json)
}

/// A store that does not answer is not armed, as far as anybody can know: the lock must be visible then, too.
async fn view(admin: &Admin, event: &EventEntry) -> Result<WarmupView, Problem> {
    let ledger = &admin.parts.ledger;
    let (row, history, lock, armed) = tokio::join!(
        ledger.event(event.id()),
        ledger.warmup_history(event.id(), HISTORY_MAX),
        ledger.warmup_lock(event.id()),
        admin.parts.stock.state(event.id()),
    );
    let row = row.map_err(|error| refusal::of_ledger(&error))?;
    let history = history.map_err(|error| refusal::of_ledger(&error))?;
    let lock = lock.map_err(|error| refusal::of_ledger(&error))?;
    let epoch = row.map_or(event.epoch(), |row| row.epoch);
    Ok(WarmupView {
        event: event.name().to_string(),
        epoch: epoch.0,
        armed_epoch: armed.ok().flatten().map(|epoch| epoch.0),
        lock: lock.map(|held| LockView {
            holder: held.holder,
            reason: held.reason,
            acquired_at: held.acquired_at,
            expires_at: held.expires_at,
        }),
        history: history.into_iter().map(entry).collect(),
    })
}

fn entry(warmup: Warmup) -> WarmupRun {
    WarmupRun {
        epoch: warmup.epoch.0,
        holder: warmup.holder,
        reason: warmup.reason,
        started_at: warmup.acquired_at,
        finished_at: warmup.finished_at,
        result: warmup.result,
    }
}

fn checked(reason: Option<String>) -> Result<Option<String>, Problem> {
    let is_long = |reason: &String| reason.chars().count() > REASON_CHARS_MAX;
    if reason.as_ref().is_some_and(is_long) {
        let rule = format!("expected at most {REASON_CHARS_MAX} characters");
        return Err(Problem::invalid("reason", rule));
    }
    // PostgreSQL's text has none.
    Ok(reason.map(|reason| reason.replace('\0', "")))
}

fn locked(by: &Warmup) -> Problem {
    let detail = format!("{} holds the lock until {}", by.holder, by.expires_at);
    Problem::new(Code::WarmupLocked, detail)
}

fn of_ledger(error: &LedgerError, event: EventId) -> Problem {
    if matches!(error, LedgerError::UnknownEvent { .. }) {
        return Problem::not_found(&format!("event {event}"));
    }
    refusal::of_ledger(error)
}

fn failed(error: &WarmupError) -> Problem {
    match error {
        WarmupError::Ledger(cause @ LedgerError::UnknownEvent { event }) => {
            of_ledger(cause, *event)
        }
        WarmupError::Gone { event } => Problem::not_found(&format!("event {event}")),
        WarmupError::Ledger(cause) => refusal::of_ledger(cause),
        WarmupError::Store(_) => Problem::unavailable("the stock store"),
        WarmupError::Marker(_) => Problem::unavailable("the order log"),
        WarmupError::TooLong { .. } => Problem::unavailable("a server that a warm-up needs"),
        WarmupError::Illegal(_) => Code::Internal.into(),
    }
}
