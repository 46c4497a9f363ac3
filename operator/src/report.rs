//! What the operator found, as status. Pure but for the write at the end, which happens only when something changed.

use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::DynamicObject;
use kube::core::ObjectMeta;
use kube::{Api, Resource};
use ticket_core::{Code, ErrorClass, clock};
use ticket_crds::condition::{MESSAGE_CHARS_MAX, Said};
use ticket_crds::{
    CategoryStock, ConditionType, EventStatus, Isolation, LastError, Phase, StockShardStatus,
    TicketEvent, TopicStatus, set_condition,
};
use ticket_ledger::StockShardRow;
use ticket_plan::{BlockReason, Desired, Plan, Step, Window};
use ticket_telemetry::chain;

use crate::context::Context;
use crate::error::{OperatorError, Result, reason_of};
use crate::kubernetes;
use crate::notify;
use crate::observe::Seen;
use crate::reconcile::Known;

/// Steps that are listed; a plan for the largest Event is shorter.
const PLAN_STEPS_MAX: usize = 64;

/// What a change of stock waits for.
const WAITING_FOR_PROCESSORS: &str =
    "; the commands are on the order log, and the processors have not met them yet";

/// What a split waits for.
const WAITING_FOR_SHARDS: &str = "; Citus shards are being split, moved or cleaned up by somebody else, which only one can at a time";

/// How a reconciliation ended.
pub(crate) enum Finding<'a> {
    /// Nothing is left that can be done now.
    Settled,
    /// Steps are about to be carried out.
    Working,
    /// Others have to do their part first: commands are on the order log, or Citus shards are being changed.
    Waiting,
    /// It broke off.
    Failed(&'a OperatorError),
    /// The resource shall go and cannot yet.
    NotRemoved(&'a OperatorError),
    /// An annotation says: not now.
    Paused,
    /// An annotation says: not yours.
    Unmanaged,
}

/// Whether this generation was never reported.
pub(crate) fn is_news(event: &TicketEvent) -> bool {
    event
        .status
        .as_ref()
        .and_then(|status| status.observed_generation)
        != event.metadata.generation
}

/// Writes the status if it says something new, and tells people once about what is newly wrong.
pub(crate) async fn report(
    context: &Context,
    event: &TicketEvent,
    finding: Finding<'_>,
    known: &Known,
) -> Result<()> {
    let previous = event.status.clone().unwrap_or_default();
    let isolation = event.spec.placement.isolation;
    let next = status(
        &previous,
        event.metadata.generation,
        isolation,
        &finding,
        known,
        clock::now(),
    );
    tell(context, event, &previous, &next).await;
    if next == previous {
        return Ok(());
    }
    kubernetes::write_status(context, event.meta(), &next).await
}

/// The same for an object that cannot be read as an Event: what its status says besides is kept.
pub(crate) async fn unreadable(
    context: &Context,
    meta: &ObjectMeta,
    error: &OperatorError,
) -> Result<()> {
    let resource = kube::core::ApiResource::erase::<TicketEvent>(&());
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), namespace, &resource);
    let found = api.get_opt(meta.name.as_deref().unwrap_or_default());
    let Some(object) = kubernetes::call("read the Event", found).await? else {
        return Ok(());
    };
    let previous: EventStatus = object
        .data
        .get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok())
        .unwrap_or_default();
    let known = Known::default();
    let next = status(
        &previous,
        object.meta().generation,
        Isolation::default(),
        &Finding::Failed(error),
        &known,
        clock::now(),
    );
    if next == previous {
        return Ok(());
    }
    kubernetes::write_status(context, meta, &next).await
}

async fn tell(context: &Context, event: &TicketEvent, previous: &EventStatus, next: &EventStatus) {
    let Some(error) = &next.last_error else {
        return;
    };
    if previous.last_error.as_ref().map(|e| &e.code) == Some(&error.code) {
        return;
    }
    let about = event.object_ref(&());
    notify::failed(context, &about, &reason_of(&error.code), &error.message).await;
}

/// The status after `finding`. What is not known now stays as it was said before.
fn status(
    previous: &EventStatus,
    generation: Option<i64>,
    isolation: Isolation,
    finding: &Finding<'_>,
    known: &Known,
    now: Timestamp,
) -> EventStatus {
    let mut next = previous.clone();
    if let Some(claim) = &known.claim {
        next.event_id = Some(claim.event.to_string());
    }
    if let Some(seen) = &known.seen {
        facts(&mut next, seen);
    }
    next.plan = step_names(&known.plan);
    let about = match finding {
        // The spec was not acted upon.
        Finding::Paused | Finding::Unmanaged => previous.observed_generation,
        Finding::Settled
        | Finding::Working
        | Finding::Waiting
        | Finding::Failed(_)
        | Finding::NotRemoved(_) => generation,
    };
    next.observed_generation = about;
    next.phase = Some(phase(previous, finding, known));
    next.last_error = match finding {
        Finding::Failed(error) | Finding::NotRemoved(error) => Some(last_error(error)),
        Finding::Settled => known.plan.blocked().next().map(|reason| LastError {
            code: reason.code().as_str().to_owned(),
            message: reason.to_string(),
            step: Some("Blocked".to_owned()),
        }),
        // Whatever it was, it is over.
        Finding::Waiting => None,
        // Not known to be over.
        Finding::Working | Finding::Paused | Finding::Unmanaged => previous.last_error.clone(),
    };
    let mut say = |which, said| set_condition(&mut next.conditions, which, said, about, now);
    if let (Some(desired), Some(seen)) = (&known.desired, &known.seen) {
        parts(&mut say, desired, seen, &known.plan, isolation);
    }
    overall(&mut say, finding, &known.plan, &previous.conditions);
    next
}

/// What was read goes into the status as it is.
fn facts(next: &mut EventStatus, seen: &Seen) {
    next.epoch = seen.row.as_ref().map(|row| row.epoch.0);
    next.topic = seen.observed.topic.as_ref().and_then(|topic| {
        Some(TopicStatus {
            name: seen.row.as_ref()?.topic.clone(),
            partitions: i32::try_from(topic.partitions).unwrap_or(i32::MAX),
        })
    });
    let first = seen.stock.first().map(|shard| &shard.node);
    let is_distributed = seen.observed.is_distributed;
    let has_nodes = seen.stock.iter().any(|shard| Some(&shard.node) != first);
    next.stock_shards = seen
        .stock
        .iter()
        .map(|shard| StockShardStatus {
            id: shard.id.get(),
            category: shard.category.to_string(),
            node: has_nodes.then(|| shard.node.clone()),
            lane: is_distributed.then_some(shard.lane),
            capacity: shard.counts.capacity,
        })
        .collect();
    next.stock = totals(&seen.stock);
}

/// Units per category, in the order in which categories were made.
fn totals(shards: &[StockShardRow]) -> Vec<CategoryStock> {
    let mut totals: Vec<CategoryStock> = Vec::new();
    for shard in shards {
        let name = shard.category.as_str();
        let at = totals
            .iter()
            .position(|total| total.category == name)
            .unwrap_or_else(|| {
                totals.push(CategoryStock {
                    category: name.to_owned(),
                    capacity: 0,
                    available: 0,
                    held: 0,
                    sold: 0,
                });
                totals.len() - 1
            });
        if let Some(total) = totals.get_mut(at) {
            total.capacity += shard.counts.capacity;
            total.available += shard.counts.available;
            total.held += shard.counts.held;
            total.sold += shard.counts.sold;
        }
    }
    totals
}

fn step_names(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| Step::name(step).to_owned())
        .take(PLAN_STEPS_MAX)
        .collect()
}

fn phase(previous: &EventStatus, finding: &Finding<'_>, known: &Known) -> Phase {
    if matches!(finding, Finding::NotRemoved(_)) {
        return Phase::Deleting;
    }
    let unknown = previous.phase.unwrap_or_default();
    let (Some(desired), Some(seen)) = (&known.desired, &known.seen) else {
        return unknown;
    };
    let Some(row) = &seen.row else { return unknown };
    if row.is_closed || desired.window == Window::After {
        // Closed from an earlier life of this name, and about to be opened again.
        return if desired.window == Window::After {
            Phase::Closed
        } else {
            unknown
        };
    }
    match (row.is_open, desired.window) {
        (false, _) => Phase::Pending,
        (true, Window::Before) => Phase::Scheduled,
        (true, _) if row.paused => Phase::Paused,
        (true, _) => Phase::OnSale,
    }
}

fn last_error(error: &OperatorError) -> LastError {
    LastError {
        code: error.code().to_owned(),
        message: chain(error)
            .to_string()
            .chars()
            .take(MESSAGE_CHARS_MAX)
            .collect(),
        step: error.step().map(str::to_owned),
    }
}

/// Conditions of the single parts.
fn parts(
    say: &mut impl FnMut(ConditionType, Said),
    desired: &Desired,
    seen: &Seen,
    plan: &Plan,
    isolation: Isolation,
) {
    let blocked_as = |code: Code| plan.blocked().find(|reason| reason.code() == code);
    let topic = match (&seen.observed.topic, blocked_as(Code::TopicConflict)) {
        (_, Some(reason)) => blocked(reason),
        (Some(topic), None) => yes(&format!(
            "{} with {} partitions",
            desired.topic.name, topic.partitions
        )),
        (None, None) => no(Code::Progressing, "the topic is not there yet"),
    };
    say(ConditionType::TopicReady, topic);

    let is_made = desired
        .categories
        .iter()
        .all(|c| seen.observed.capacity_of(&c.name).is_some());
    let stock = [
        Code::StockLost,
        Code::StockDiffers,
        Code::QuantityBelowSold,
        Code::LanesExhausted,
    ];
    let shards = match stock.into_iter().find_map(blocked_as) {
        Some(reason) => blocked(reason),
        None if is_made => yes(&made_stock(seen, isolation)),
        None => no(Code::Progressing, &missing_stock(seen, isolation)),
    };
    say(ConditionType::ShardsReady, shards);

    let epoch = seen.observed.epoch();
    let seeded = match blocked_as(Code::WarmingUp) {
        Some(reason) => blocked(reason),
        None if seen.observed.armed == Some(epoch) => yes(&format!("armed with epoch {epoch}")),
        None => no(Code::Progressing, "the stock store is not filled yet"),
    };
    say(ConditionType::StockSeeded, seeded);

    // Before the first audit nothing is said. No times here: what is said twice must be the same.
    if let Some(audited) = &seen.audited {
        let failed = audited.failed_checks.join(", ");
        let said = if failed.is_empty() {
            Said {
                reason: Code::AuditPassed.reason().to_owned(),
                ..yes("every check holds")
            }
        } else {
            no(Code::AuditFailed, &failed)
        };
        say(ConditionType::Audited, said);
    }
}

/// How the stock shards that are made are isolated.
fn made_stock(seen: &Seen, isolation: Isolation) -> String {
    let shards = seen.stock.len();
    let lanes = seen.stock.iter().filter(|shard| shard.lane).count();
    let nodes: HashSet<&str> = seen.stock.iter().map(|shard| shard.node.as_str()).collect();
    match isolation {
        Isolation::Dedicated if !seen.observed.is_distributed => {
            format!("{shards} stock shards on one node: there are no lanes without Citus")
        }
        Isolation::Dedicated if lanes == shards => format!(
            "{shards} stock shards in lanes of their own on {} workers",
            nodes.len()
        ),
        Isolation::Dedicated => format!(
            "{shards} stock shards, {lanes} of them in lanes of their own: isolation does not change once stock is made"
        ),
        Isolation::Shared => format!("{shards} stock shards"),
    }
}

/// How far the way to stock is.
fn missing_stock(seen: &Seen, isolation: Isolation) -> String {
    let lanes = seen.observed.lanes;
    if isolation == Isolation::Shared || lanes.leased == 0 {
        return "stock shards are missing".to_owned();
    }
    format!(
        "stock shards are missing; {} lanes are leased, {} of them are alone in their Citus shards",
        lanes.leased, lanes.alone
    )
}

/// Conditions of the whole.
fn overall(
    say: &mut impl FnMut(ConditionType, Said),
    finding: &Finding<'_>,
    plan: &Plan,
    previous: &[Condition],
) {
    use ConditionType::{Degraded, Paused, Ready, Reconciling};
    let is_first = !previous
        .iter()
        .any(|condition| condition.type_ == Ready.as_str());
    match finding {
        Finding::Settled => match plan.blocked().next() {
            None => {
                say(Ready, yes("all is as the Event wants it"));
                say(Reconciling, no(Code::Ready, ""));
                say(Degraded, no(Code::Ready, ""));
            }
            Some(reason) => {
                let all: Vec<String> = plan.blocked().map(ToString::to_string).collect();
                let said = Said {
                    message: all.join("; "),
                    ..blocked(reason)
                };
                say(Ready, said.clone());
                say(
                    Reconciling,
                    Said {
                        is: Some(false),
                        ..said.clone()
                    },
                );
                say(
                    Degraded,
                    Said {
                        is: Some(true),
                        ..said
                    },
                );
            }
        },
        Finding::Working => under_way(say, plan, ""),
        Finding::Waiting => {
            // It was not an error that kept it from being done.
            say(Degraded, no(Code::Progressing, ""));
            let waiting_for = match plan.next() {
                Some(Step::SplitShard { .. }) => WAITING_FOR_SHARDS,
                Some(_) | None => WAITING_FOR_PROCESSORS,
            };
            under_way(say, plan, waiting_for);
        }
        Finding::Failed(error) | Finding::NotRemoved(error) => {
            let message = chain(*error).to_string();
            let said = Said {
                is: Some(false),
                reason: reason_of(error.code()),
                message,
            };
            let is_permanent = error.class() == ErrorClass::Permanent;
            say(Ready, said.clone());
            say(
                Reconciling,
                Said {
                    is: Some(!is_permanent),
                    ..said.clone()
                },
            );
            say(
                Degraded,
                Said {
                    is: Some(true),
                    ..said
                },
            );
        }
        Finding::Paused | Finding::Unmanaged => {
            let code = if matches!(finding, Finding::Paused) {
                Code::Paused
            } else {
                Code::Unmanaged
            };
            let said = no(code, code.title());
            if is_first || code == Code::Unmanaged {
                // Nobody looks, so nobody knows.
                say(
                    Ready,
                    Said {
                        is: None,
                        ..said.clone()
                    },
                );
            }
            say(Reconciling, said.clone());
            say(
                Paused,
                Said {
                    is: Some(true),
                    ..said
                },
            );
            return;
        }
    }
    say(Paused, no(Code::Ready, ""));
}

/// There is work left, and it is being done.
fn under_way(say: &mut impl FnMut(ConditionType, Said), plan: &Plan, more: &str) {
    let message = format!("left to do: {}{more}", step_names(plan).join(", "));
    let said = no(Code::Progressing, &message);
    say(ConditionType::Ready, said.clone());
    say(
        ConditionType::Reconciling,
        Said {
            is: Some(true),
            ..said
        },
    );
}

fn yes(message: &str) -> Said {
    Said {
        is: Some(true),
        reason: Code::Ready.reason().to_owned(),
        message: message.to_owned(),
    }
}

fn no(code: Code, message: &str) -> Said {
    Said {
        is: Some(false),
        reason: code.reason().to_owned(),
        message: message.to_owned(),
    }
}

fn blocked(reason: &BlockReason) -> Said {
    no(reason.code(), &reason.to_string())
}
