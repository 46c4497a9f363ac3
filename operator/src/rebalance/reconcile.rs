//! Looks after one `ShardRebalance`: decide, do, report, until there is nothing to do for now. While moves are under way
//! it stays with the resource, and reads what people want by now before each of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use ticket_core::{Code, ErrorClass};
use ticket_crds::{
    MOVE_MESSAGE_CHARS_MAX, MOVES_MAX, MoveState, MoveStatus, RebalanceMode, RebalancePhase,
    RebalanceStatus, ShardRebalance, TransferMode,
};
use ticket_ledger::{LedgerError, Moved, ShardMove, Transfer};
use ticket_plan::{Cluster, Goal, HashRange, Refusal, on_sale_in, rebalance};
use ticket_telemetry::{chain, metric};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::decide::{Act, decide};
use super::observe;
use super::report::{self, Note};
use super::turn::Turn;
use crate::backoff;
use crate::context::Context;
use crate::error::{OperatorError, Result};
use crate::kubernetes;
use crate::notify;

/// A resource, or what is left of one that cannot be read.
pub(super) type Guarded = DeserializeGuard<ShardRebalance>;

/// How often one move is tried again. With the waits in between about two minutes: a worker that restarts is back by then.
const RETRIES_MAX: i32 = 10;

/// How often it is looked whether a move that is under way shall be broken off.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often one that waits for its turn looks.
const TURN_LOOK_EVERY: Duration = Duration::from_secs(2);

/// Acts of one look: every move of the largest plan, and what comes before and after.
const ACTS_MAX: usize = MOVES_MAX + 8;

/// Used when the spec's time limit cannot be read, which the API server's rules prevent.
const MOVE_LIMIT: Duration = Duration::from_mins(5);

/// What all looks share.
pub(super) struct Shared {
    pub(super) context: Arc<Context>,
    /// All resources, as the watch has them.
    pub(super) all: Store<Guarded>,
    pub(super) turn: Turn,
    /// The process shall end.
    pub(super) stop: CancellationToken,
}

pub(super) async fn reconcile(object: Arc<Guarded>, shared: Arc<Shared>) -> Result<Action> {
    let began = Instant::now();
    let outcome = look_after(&object, &shared).await;
    metrics::histogram!(metric::RECONCILE_SECONDS, "kind" => "ShardRebalance")
        .record(began.elapsed().as_secs_f64());
    let result = if outcome.is_ok() { "ok" } else { "error" };
    metrics::counter!(metric::RECONCILE_TOTAL, "kind" => "ShardRebalance", "result" => result)
        .increment(1);
    outcome
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of an error policy"
)]
pub(super) fn on_error(object: Arc<Guarded>, error: &OperatorError, shared: Arc<Shared>) -> Action {
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    let failures = shared.context.failed(uid);
    let wait = backoff::after_failure(error.class(), failures);
    warn!(
        rebalance = %object.name_any(), error = %chain(error), code = error.code(), failures,
        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        "rebalance not reconciled, trying again"
    );
    Action::requeue(wait)
}

async fn look_after(object: &Guarded, shared: &Shared) -> Result<Action> {
    // The watch may be behind our own last write, and a step would be repeated.
    let api = kube::Api::<ShardRebalance>::all(shared.context.client.clone());
    let name = object.name_any();
    let found = kubernetes::call("read the ShardRebalance", api.get_opt(&name)).await?;
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    let Some(found) = found.filter(|it| it.metadata.deletion_timestamp.is_none()) else {
        shared.context.succeeded(uid);
        return Ok(Action::await_change());
    };
    let mut look = Look {
        shared,
        status: found.status.clone().unwrap_or_default(),
        written: found.status.clone().unwrap_or_default(),
        object: found,
        mode: None,
    };
    let done = look.go().await;
    match done {
        Ok(action) => {
            shared.context.succeeded(uid);
            Ok(action)
        }
        // Somebody was faster: the watch brings the newer object.
        Err(error @ OperatorError::Kubernetes { .. }) if error.class() == ErrorClass::Conflict => {
            Err(error)
        }
        Err(error) => look.broke_off(error).await,
    }
}

/// What goes on after an act.
enum Next {
    /// At once.
    Go,
    /// Later.
    Wait(Duration),
}

/// One look at a resource.
struct Look<'a> {
    shared: &'a Shared,
    object: ShardRebalance,
    /// What is to be said.
    status: RebalanceStatus,
    /// What was said last.
    written: RebalanceStatus,
    /// How shards with stock are copied; known once the ledger was looked at.
    mode: Option<TransferMode>,
}

impl Look<'_> {
    async fn go(&mut self) -> Result<Action> {
        for _ in 0..ACTS_MAX {
            let generation = self.object.metadata.generation;
            let next = match decide(&self.status, &self.object.spec, generation) {
                Act::Propose => self.propose(None).await?,
                Act::Begin => self.begin().await?,
                Act::Resume => self.resume().await?,
                Act::Move => self.step().await?,
                Act::Stop => self.stopped().await?,
                Act::Rest => {
                    self.say(None).await?;
                    return Ok(Action::await_change());
                }
            };
            match next {
                Next::Wait(wait) => return Ok(Action::requeue(wait)),
                Next::Go if self.shared.stop.is_cancelled() => return Ok(Action::await_change()),
                Next::Go => {}
            }
            if !self.refresh() {
                return Ok(Action::await_change());
            }
        }
        Ok(Action::requeue(TURN_LOOK_EVERY))
    }

    /// Where shards are, and how they would be copied.
    async fn observe(&mut self) -> Result<Cluster> {
        let ledger = &self.shared.context.ledger;
        let cluster = observe::cluster(ledger).await?;
        self.mode = Some(observe::mode(ledger, self.object.spec.transfer_mode).await?);
        Ok(cluster)
    }

    /// Plans, and shows the moves. `stale`: why the moves that were shown before are not.
    async fn propose(&mut self, stale: Option<String>) -> Result<Next> {
        let cluster = self.observe().await?;
        self.propose_for(&cluster, stale).await
    }

    async fn propose_for(&mut self, cluster: &Cluster, stale: Option<String>) -> Result<Next> {
        let planned = self.plan(cluster);
        self.status.proposed_generation = self.object.metadata.generation;
        let moves = match planned {
            Ok(moves) => moves,
            Err(refusal) => return self.refused(&refusal).await,
        };
        self.status.moves = moves;
        self.status.last_error = stale.map(|why| report::error(Code::PlanStale.as_str(), &why));
        // Nothing to approve: it is as wanted. A node that shall be emptied is also closed, which is an act.
        let is_done =
            self.status.moves.is_empty() && self.object.spec.mode != RebalanceMode::DrainNode;
        if is_done {
            self.status.phase = Some(RebalancePhase::Completed);
            self.tell("RebalanceCompleted", "nothing has to move").await;
        } else {
            self.status.phase = Some(RebalancePhase::Proposed);
            let note = format!("{} moves wait for approval", self.status.moves.len());
            self.tell("RebalanceProposed", &note).await;
        }
        self.say(None).await?;
        Ok(Next::Go)
    }

    /// Approved: only what was shown is carried out.
    async fn begin(&mut self) -> Result<Next> {
        let cluster = self.observe().await?;
        let planned = match self.plan(&cluster) {
            Ok(planned) => planned,
            Err(refusal) => {
                self.status.moves.clear();
                return self.refused(&refusal).await;
            }
        };
        if !is_the_same(&planned, &self.status.moves) {
            let why = "shards are not where they were when the moves were planned; look at the new plan and approve it";
            return self.propose_for(&cluster, Some(why.to_owned())).await;
        }
        self.status.phase = Some(RebalancePhase::Approved);
        self.status.last_error = None;
        self.say(None).await?;
        Ok(Next::Go)
    }

    /// Goes on after a stop or a failure; what was given up is tried afresh.
    async fn resume(&mut self) -> Result<Next> {
        for one in &mut self.status.moves {
            if one.state != MoveState::Done {
                one.state = MoveState::Pending;
                one.retries = 0;
            }
        }
        self.status.phase = Some(RebalancePhase::Approved);
        self.status.last_error = None;
        self.say(None).await?;
        Ok(Next::Go)
    }

    async fn stopped(&mut self) -> Result<Next> {
        self.clean_up().await;
        for one in &mut self.status.moves {
            if one.state == MoveState::Moving {
                one.state = MoveState::Pending;
            }
        }
        self.status.phase = Some(RebalancePhase::Stopped);
        self.status.last_error = None;
        self.tell("RebalanceStopped", "stopped; what was moved stays")
            .await;
        self.say(None).await?;
        Ok(Next::Go)
    }

    /// The next move, if it is our turn.
    async fn step(&mut self) -> Result<Next> {
        let shared = self.shared;
        let all = shared.all.state();
        let all = all.iter().filter_map(|object| object.0.as_ref().ok());
        let has_begun = self.status.phase == Some(RebalancePhase::Rebalancing);
        let turn = match shared.turn.take(&self.object, has_begun, all) {
            Ok(turn) => turn,
            Err(other) => {
                let note = Note::new(
                    Code::AwaitingTurn,
                    format!("waits for ShardRebalance {other}, whose moves are under way"),
                );
                self.say(Some(note)).await?;
                return Ok(Next::Wait(TURN_LOOK_EVERY));
            }
        };
        let next = self.advance().await;
        drop(turn);
        next
    }

    async fn advance(&mut self) -> Result<Next> {
        let cluster = self.observe().await?;
        if self.status.phase != Some(RebalancePhase::Rebalancing) {
            self.status.phase = Some(RebalancePhase::Rebalancing);
            self.tell("RebalanceStarted", "moves are under way").await;
        }
        if let RebalanceMode::DrainNode = self.object.spec.mode
            && let Some(node) = self.object.spec.node.clone()
        {
            self.close(&cluster, &node).await?;
        }
        let open = |one: &MoveStatus| one.state != MoveState::Done;
        let Some(at) = self.status.moves.iter().position(open) else {
            return self.completed().await;
        };
        if let Some(node) = cluster.nodes.iter().find(|node| !node.is_alive) {
            let why = format!("node {} does not answer: every node must be up", node.name);
            return self.again(at, Code::NodeDown.as_str(), &why).await;
        }
        let Some(one) = self.status.moves.get(at).cloned() else {
            return Ok(Next::Go);
        };
        let range = HashRange {
            low: one.range.low,
            high: one.range.high,
        };
        if !self.object.spec.force
            && let Some(refusal) = on_sale_in(&cluster, range)
        {
            return self
                .gave_up(at, refusal.code().as_str(), &refusal.to_string())
                .await;
        }
        self.carry_out(at, one).await
    }

    async fn carry_out(&mut self, at: usize, one: MoveStatus) -> Result<Next> {
        if one.state == MoveState::Moving || one.retries > 0 {
            self.clean_up().await;
        }
        // Before the call: a crash from here on leaves a move that may have been made, and the next look asks.
        self.set(at, |one| one.state = MoveState::Moving);
        self.status.last_error = None;
        self.say(None).await?;
        let wish = self.wish(&one);
        let context = &self.shared.context;
        context.faults.before_effect().await;
        let moved = context.ledger.move_shard(&wish, self.break_off());
        let moved = Box::pin(moved).await;
        let result = match &moved {
            Ok(Moved::Now { took }) => {
                metrics::histogram!(metric::SHARD_MOVE_SECONDS).record(took.as_secs_f64());
                "moved"
            }
            Ok(Moved::Before) => "before",
            Ok(Moved::Stale { .. }) => "stale",
            Ok(Moved::Stopped) => "stopped",
            Err(_) => "failed",
        };
        metrics::counter!(metric::SHARD_MOVES_TOTAL, "result" => result).increment(1);
        match moved {
            Ok(Moved::Now { took }) => {
                let took_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
                info!(rebalance = %self.object.name_any(), from = one.from, to = one.to, took_ms, "shard moved");
                let note = format!(
                    "moved {} to {} in {took_ms} ms",
                    report::named(&one),
                    one.to
                );
                self.tell("ShardMoved", &note).await;
                self.set(at, |one| {
                    one.state = MoveState::Done;
                    one.took_ms = Some(took_ms);
                    one.message = None;
                });
                self.say(None).await?;
                Ok(Next::Go)
            }
            Ok(Moved::Before) => {
                self.set(at, |one| {
                    one.state = MoveState::Done;
                    one.message = None;
                });
                self.say(None).await?;
                Ok(Next::Go)
            }
            Ok(Moved::Stale { found }) => {
                let where_ = found.map_or_else(
                    || "is split by now".to_owned(),
                    |node| format!("is on {node} by now"),
                );
                let why = format!(
                    "{} {where_}; look at the new plan and approve it",
                    report::named(&one)
                );
                self.propose(Some(why)).await
            }
            // Whoever broke it off is told by the next act: people by `Stop`, the end of the process by the next process.
            Ok(Moved::Stopped) => {
                self.clean_up().await;
                self.set(at, |one| one.state = MoveState::Pending);
                Ok(Next::Go)
            }
            Err(error) => self.move_failed(at, &error).await,
        }
    }

    async fn move_failed(&mut self, at: usize, error: &LedgerError) -> Result<Next> {
        let why = chain(error).to_string();
        self.clean_up().await;
        if error.class() == ErrorClass::Permanent {
            return self.gave_up(at, error.code(), &why).await;
        }
        self.again(at, error.code(), &why).await
    }

    /// Later again, unless it was tried too often.
    async fn again(&mut self, at: usize, code: &str, why: &str) -> Result<Next> {
        let retries = self.status.moves.get(at).map_or(0, |one| one.retries);
        if retries >= RETRIES_MAX {
            return self.gave_up(at, code, why).await;
        }
        warn!(rebalance = %self.object.name_any(), code, error = why, retries, "shard not moved, trying again");
        self.set(at, |one| {
            one.state = MoveState::Pending;
            one.retries += 1;
            one.message = Some(cut(why));
        });
        self.status.last_error = Some(report::error(code, why));
        self.say(None).await?;
        let failures = u32::try_from(retries).unwrap_or_default();
        Ok(Next::Wait(backoff::after_failure(
            ErrorClass::Retry,
            failures,
        )))
    }

    async fn gave_up(&mut self, at: usize, code: &str, why: &str) -> Result<Next> {
        self.set(at, |one| {
            one.state = MoveState::Failed;
            one.message = Some(cut(why));
        });
        self.failed(code, why).await
    }

    async fn completed(&mut self) -> Result<Next> {
        // The old copies are of no use any more, and a node that shall go must not keep them.
        self.clean_up().await;
        self.status.phase = Some(RebalancePhase::Completed);
        self.status.last_error = None;
        let note = format!("{} shards moved", self.status.moves.len());
        self.tell("RebalanceCompleted", &note).await;
        self.say(None).await?;
        Ok(Next::Go)
    }

    async fn refused(&mut self, refusal: &Refusal) -> Result<Next> {
        self.status.moves.clear();
        self.failed(refusal.code().as_str(), &refusal.to_string())
            .await
    }

    async fn failed(&mut self, code: &str, why: &str) -> Result<Next> {
        self.status.phase = Some(RebalancePhase::Failed);
        self.status.last_error = Some(report::error(code, why));
        let is_new = self.written.phase != self.status.phase
            || self.written.last_error != self.status.last_error;
        if is_new {
            let reason = crate::error::reason_of(code);
            notify::failed(&self.shared.context, &self.about(), &reason, why).await;
        }
        self.say(None).await?;
        Ok(Next::Go)
    }

    /// Something around it failed. What only a person can heal ends it; all else is tried again, and the phase stays.
    async fn broke_off(&mut self, error: OperatorError) -> Result<Action> {
        let why = chain(&error).to_string();
        if error.class() == ErrorClass::Permanent {
            self.failed(error.code(), &why).await?;
            return Ok(Action::await_change());
        }
        self.status.last_error = Some(report::error(error.code(), &why));
        // The newest spec was not acted upon: the next look has to.
        let acted_upon = self.written.observed_generation;
        if let Err(second) = self.say_about(acted_upon, None).await {
            warn!(error = %chain(&second), "failure not reported");
        }
        Err(error)
    }

    fn plan(&self, cluster: &Cluster) -> std::result::Result<Vec<MoveStatus>, Refusal> {
        let spec = &self.object.spec;
        let moves = rebalance(&Goal::of(spec)?, spec.force, cluster)?;
        Ok(moves.iter().map(report::planned).collect())
    }

    /// A node that shall be emptied takes nothing new.
    async fn close(&self, cluster: &Cluster, node: &str) -> Result<()> {
        let mut nodes = cluster.nodes.iter();
        if !nodes.any(|it| it.name == node && it.takes_shards) {
            return Ok(());
        }
        let context = &self.shared.context;
        context.faults.before_effect().await;
        context
            .ledger
            .close_node(node)
            .await
            .map_err(observe::failed)
    }

    /// What is left stays in Citus' own list and is tried again, by it and by the next move.
    async fn clean_up(&self) {
        let context = &self.shared.context;
        context.faults.before_effect().await;
        match context.ledger.clean_up_moves().await {
            Ok(0) => {}
            Ok(left) => info!(left, "leftovers of moves are still in use"),
            Err(error) => warn!(error = %chain(&error), "leftovers of moves not cleaned up yet"),
        }
    }

    fn wish(&self, one: &MoveStatus) -> ShardMove {
        let spec = &self.object.spec;
        let limit = spec.timeout.parse().ok();
        let limit = limit.and_then(|limit| Duration::try_from(limit).ok());
        ShardMove {
            low: one.range.low,
            high: one.range.high,
            from: one.from.clone(),
            to: one.to.clone(),
            transfer: match report::copied(
                spec.transfer_mode,
                self.mode.unwrap_or(TransferMode::BlockWrites),
                one,
            ) {
                TransferMode::Auto | TransferMode::BlockWrites => Transfer::BlockWrites,
                TransferMode::ForceLogical => Transfer::ForceLogical,
            },
            limit: limit.unwrap_or(MOVE_LIMIT),
        }
    }

    /// Ends when what is under way shall be broken off.
    async fn break_off(&self) {
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = tokio::time::sleep(STOP_LOOK_EVERY) => {}
            }
            let Some(newest) = self.newest() else { return };
            if !newest.spec.approve || newest.spec.stop {
                return;
            }
        }
    }

    /// The object as the watch has it, unless ours is newer; `None`: it is gone.
    fn newest(&self) -> Option<ShardRebalance> {
        let reference = ObjectRef::new(&self.object.name_any());
        let found = self.shared.all.get(&reference)?;
        let found = found.0.as_ref().ok()?;
        if found.uid() != self.object.uid() || found.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let newer = if found.metadata.generation < self.object.metadata.generation {
            &self.object
        } else {
            found
        };
        Some(newer.clone())
    }

    /// Takes over what people want by now. `false`: the resource is gone.
    fn refresh(&mut self) -> bool {
        let Some(newest) = self.newest() else {
            return false;
        };
        self.object = newest;
        true
    }

    fn set(&mut self, at: usize, change: impl FnOnce(&mut MoveStatus)) {
        if let Some(one) = self.status.moves.get_mut(at) {
            change(one);
        }
    }

    fn about(&self) -> ObjectReference {
        self.object.object_ref(&())
    }

    async fn tell(&self, reason: &str, note: &str) {
        notify::said(&self.shared.context, &self.about(), reason, note).await;
    }

    /// Writes the status if it says something new.
    async fn say(&mut self, note: Option<Note>) -> Result<()> {
        self.say_about(self.object.metadata.generation, note).await
    }

    async fn say_about(&mut self, generation: Option<i64>, note: Option<Note>) -> Result<()> {
        report::conclude(&mut self.status, &self.object, generation, self.mode, note);
        if self.status == self.written {
            return Ok(());
        }
        report::write(&self.shared.context, &self.object, &self.status).await?;
        self.written = self.status.clone();
        Ok(())
    }
}

/// Whether these are the moves that were shown. Sizes may differ.
fn is_the_same(planned: &[MoveStatus], shown: &[MoveStatus]) -> bool {
    let key = |one: &MoveStatus| (one.range, one.from.clone(), one.to.clone());
    planned.iter().map(key).eq(shown.iter().map(key))
}

fn cut(text: &str) -> String {
    text.chars().take(MOVE_MESSAGE_CHARS_MAX).collect()
}
