//! Carries a plan out, step by step. Each step may be repeated, and asks again for what it presumes: whoever is slow does
//! no harm. A crash after any step leaves what the next look continues from.

use std::time::Instant;

use k8s_openapi::api::core::v1::ObjectReference;
use ticket_bus::{BusError, Replication, TopicSpec};
use ticket_core::{Epoch, StockShardId};
use ticket_ledger::{LaneSplit, LedgerError, NewStockShard};
use ticket_plan::{NewShard, Plan, Settings, Step};
use ticket_telemetry::{chain, metric};
use ticket_warmup::{FirstSeed, first_seed};
use tracing::{info, warn};

use crate::adjust::{self, Wanted};
use crate::claim::Claim;
use crate::context::Context;
use crate::error::{Dependency, OperatorError, Result};
use crate::notify;
use crate::observe::Seen;
use crate::rows;

/// The one setting of an order log that an Event decides.
pub(crate) const RETENTION: &str = "retention.ms";

/// Who asks for warm-ups here, as their history shows it.
const WARM_UP_HOLDER: &str = concat!("operator/", env!("CARGO_PKG_VERSION"));

/// How carrying out went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All that could be done.
    Done,
    /// Something was not as it was presumed: look again.
    Stale,
    /// The store has seen this epoch: only a warm-up can fill it.
    Fenced,
    /// Others have to do their part first.
    Waiting,
}

/// Does the steps of a plan in order, up to the first one that is blocked, stale, waits or fails. Answers with how many are
/// done, too.
pub(crate) async fn carry_out(
    context: &Context,
    about: &ObjectReference,
    claim: &Claim,
    seen: &Seen,
    plan: &Plan,
) -> Result<(Progress, usize)> {
    let mut done = 0;
    let mut shards_seen = seen.row.as_ref().map_or(0, |row| row.shards.len());
    for step in &plan.steps {
        if matches!(step, Step::Blocked { .. }) {
            break;
        }
        context.faults.before_effect().await;
        let name = step.name();
        let progress = one(context, claim, seen, shards_seen, step)
            .await
            .map_err(|cause| OperatorError::Step {
                step: name,
                cause: Box::new(cause),
            })?;
        if progress != Progress::Done {
            info!(event = %claim.name, step = name, ?progress, "step not carried out, looking again");
            return Ok((progress, done));
        }
        done += 1;
        if let Step::CreateStockShards { shards, .. } = step {
            shards_seen += shards.len();
        }
        info!(event = %claim.name, id = %claim.event, step = name, "step carried out");
        notify::done(context, about, step).await;
    }
    Ok((Progress::Done, done))
}

type StepResult = std::result::Result<Progress, Dependency>;

async fn one(
    context: &Context,
    claim: &Claim,
    seen: &Seen,
    shards_seen: usize,
    step: &Step,
) -> StepResult {
    match step {
        Step::WriteEvent { settings } => write_event(context, claim, seen, settings).await,
        Step::CreateTopic {
            topic,
            partitions,
            replication_factor,
            retention_ms,
        } => {
            let copies = replication_factor.map_or(Replication::BrokerDefault, Replication::Copies);
            let spec = TopicSpec::new(topic, *partitions, copies)
                .with(RETENTION, retention_ms.to_string());
            stale_on_conflict(context.bus.create_topic(&spec).await.map(|_| ()))
        }
        Step::GrowPartitions { topic, from, to } => {
            stale_on_conflict(context.bus.grow_partitions(topic, *from, *to).await)
        }
        Step::SetTopicConfig {
            topic,
            retention_ms,
        } => {
            let config = [(RETENTION.to_owned(), retention_ms.to_string())].into();
            stale_on_conflict(context.bus.set_config(topic, &config).await)
        }
        Step::LeaseLanes { lanes, seen } => {
            match context.ledger.lease_lanes(claim.event, *seen, *lanes).await {
                Ok(()) => Ok(Progress::Done),
                // Another operator was faster: its lanes are the ones.
                Err(LedgerError::LaneConflict { .. }) => Ok(Progress::Stale),
                Err(cause) => Err(cause.into()),
            }
        }
        Step::SplitShard { .. } => split_shards(context, claim).await,
        Step::CreateStockShards {
            category,
            shards,
            first_lane,
        } => {
            let Some(ids) = shard_ids(context, claim, shards.len(), *first_lane).await? else {
                return Ok(Progress::Stale);
            };
            create_shards(context, claim, category, shards_seen, &ids, shards).await
        }
        Step::ReleaseLanes { .. } => match context.ledger.release_lanes(claim.event).await? {
            Some(_) => Ok(Progress::Done),
            None => Ok(Progress::Stale),
        },
        Step::SeedStock { epoch } => seed(context, claim, *epoch).await,
        Step::AdjustStock {
            category,
            to,
            seen: newest,
            ..
        } => {
            let wanted = Wanted {
                category,
                quantity: *to,
                seen: *newest,
            };
            adjust::adjust(context, claim, seen, wanted).await
        }
        Step::RequireWarmUp { epoch } => require_warm_up(context, claim, *epoch).await,
        Step::OpenSales => set_open(context, claim, true).await,
        Step::CloseSales => set_open(context, claim, false).await,
        Step::CloseStock => {
            let categories: Vec<_> = seen
                .row
                .iter()
                .flat_map(|row| row.categories.iter().map(|category| category.name.clone()))
                .collect();
            context.stock.close(claim.event, &categories).await?;
            Ok(Progress::Done)
        }
        Step::DeleteTopic { topic } => {
            context.bus.delete_topic(topic).await?;
            Ok(Progress::Done)
        }
        Step::DeleteEvent => {
            context
                .ledger
                .delete_event(claim.event, &claim.owner)
                .await?;
            Ok(Progress::Done)
        }
        Step::ReleaseEvent => {
            context
                .ledger
                .release_event(claim.event, &claim.owner)
                .await?;
            Ok(Progress::Done)
        }
        Step::Blocked { .. } => Ok(Progress::Done),
    }
}

async fn write_event(
    context: &Context,
    claim: &Claim,
    seen: &Seen,
    settings: &Settings,
) -> StepResult {
    // Read again: a step before this one may have changed a flag.
    let there = match &seen.row {
        Some(_) => context.ledger.event(claim.event).await?,
        None => None,
    };
    let row = rows::row(
        claim.event,
        &claim.name,
        &claim.owner,
        settings,
        there.as_ref(),
    );
    context.ledger.write_event(&row).await?;
    Ok(Progress::Done)
}

async fn set_open(context: &Context, claim: &Claim, is_open: bool) -> StepResult {
    let Some(mut row) = context.ledger.event(claim.event).await? else {
        return Ok(Progress::Stale);
    };
    if is_open {
        row.is_open = true;
    }
    row.is_closed = !is_open;
    row.owner_uid = Some(claim.owner.clone());
    context.ledger.write_event(&row).await?;
    Ok(Progress::Done)
}

/// Splits what is to be split. A split takes seconds and is not broken off with us: who comes after waits for its end.
async fn split_shards(context: &Context, claim: &Claim) -> StepResult {
    match context.ledger.split_lanes(claim.event).await {
        Ok(LaneSplit::Alone { splits }) => {
            info!(event = %claim.name, splits, "every lane is alone in its citus shard");
            Ok(Progress::Done)
        }
        Ok(LaneSplit::GivenUp { lanes }) => {
            info!(event = %claim.name, lanes, "stock is on sale where lanes were to be made, leasing others");
            Ok(Progress::Stale)
        }
        Err(busy @ LedgerError::ShardsBusy { .. }) => {
            info!(event = %claim.name, reason = %chain(&busy), "split has to wait");
            Ok(Progress::Waiting)
        }
        Err(cause) => Err(cause.into()),
    }
}

/// Ids for new stock shards: lanes of the event from the given one on, or new ones. `None` if a lane is not what the plan took it
/// for.
async fn shard_ids(
    context: &Context,
    claim: &Claim,
    count: usize,
    first_lane: Option<usize>,
) -> std::result::Result<Option<Vec<StockShardId>>, Dependency> {
    let Some(first) = first_lane else {
        // Ids that are drawn and not used are lost, which is harmless.
        return Ok(Some(context.ledger.allocate_shard_ids(count).await?));
    };
    let lanes = context.ledger.lanes(claim.event).await?;
    let lanes = lanes.get(first..first.saturating_add(count));
    let lanes = lanes.filter(|lanes| lanes.iter().all(|lane| lane.is_alone));
    Ok(lanes.map(|lanes| lanes.iter().map(|lane| lane.id).collect()))
}

async fn create_shards(
    context: &Context,
    claim: &Claim,
    category: &ticket_core::CategoryName,
    seen: usize,
    ids: &[StockShardId],
    shards: &[NewShard],
) -> StepResult {
    let rows: Vec<NewStockShard> = ids
        .iter()
        .zip(shards)
        .map(|(id, shard)| NewStockShard {
            id: *id,
            category: category.clone(),
            partition: i32::try_from(shard.partition).unwrap_or(i32::MAX),
            capacity: shard.capacity,
        })
        .collect();
    match context
        .ledger
        .create_stock_shards(claim.event, seen, &rows)
        .await
    {
        Ok(()) => Ok(Progress::Done),
        // Another operator was faster: its shards are the ones.
        Err(LedgerError::ShardConflict { .. }) => Ok(Progress::Stale),
        Err(cause) => Err(cause.into()),
    }
}

async fn seed(context: &Context, claim: &Claim, epoch: Epoch) -> StepResult {
    let begun = Instant::now();
    let seeded = first_seed(&context.ledger, &context.stock, claim.event, epoch).await;
    // The first filling of an event is its first warm-up.
    metrics::histogram!(metric::WARMUP_SECONDS).record(begun.elapsed());
    let result = match &seeded {
        Ok(FirstSeed::Armed) => "armed",
        Ok(FirstSeed::Fenced | FirstSeed::Stale) => "fenced",
        Err(_) => "failed",
    };
    metrics::counter!(metric::WARMUP_TOTAL, "result" => result).increment(1);
    match seeded? {
        FirstSeed::Armed => Ok(Progress::Done),
        FirstSeed::Fenced => Ok(Progress::Fenced),
        FirstSeed::Stale => Ok(Progress::Stale),
    }
}

async fn require_warm_up(context: &Context, claim: &Claim, epoch: Epoch) -> StepResult {
    let row = context.ledger.event(claim.event).await?;
    if row.is_none_or(|row| row.epoch != epoch) {
        return Ok(Progress::Stale);
    }
    let reason = "the order log was gone while its sale was open";
    context
        .ledger
        .need_warmup(claim.event, WARM_UP_HOLDER, reason)
        .await?;
    warn!(event = %claim.name, %epoch, "order log lost during the sale, the stock store will be filled again");
    Ok(Progress::Done)
}

fn stale_on_conflict(answer: std::result::Result<(), BusError>) -> StepResult {
    match answer {
        Ok(()) => Ok(Progress::Done),
        Err(BusError::TopicConflict { .. } | BusError::TopicMissing { .. }) => Ok(Progress::Stale),
        Err(cause) => Err(cause.into()),
    }
}
