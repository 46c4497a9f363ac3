//! Carries a plan out, step by step. Each step may be repeated, and asks again for what it presumes: whoever is slow does
//! no harm. A crash after any step leaves what the next look continues from.

use std::time::Instant;

use k8s_openapi::api::core::v1::ObjectReference;
use ticket_bus::{BusError, Replication, TopicSpec};
use ticket_core::Epoch;
use ticket_ledger::{LedgerError, NewStockShard};
use ticket_plan::{NewShard, Plan, Settings, Step};
use ticket_telemetry::metric;
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
        Step::CreateStockShards { category, shards } => {
            create_shards(context, claim, category, shards_seen, shards).await
        }
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

async fn create_shards(
    context: &Context,
    claim: &Claim,
    category: &ticket_core::CategoryName,
    seen: usize,
    shards: &[NewShard],
) -> StepResult {
    // Ids that are drawn and not used are lost, which is harmless.
    let ids = context.ledger.allocate_shard_ids(shards.len()).await?;
    let rows: Vec<NewStockShard> = ids
        .into_iter()
        .zip(shards)
        .map(|(id, shard)| NewStockShard {
            id,
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
