//! More or fewer tickets of a category whose stock is made. What is wanted is written down in the ledger first, with a target
//! for each stock shard; then each is told its target by a command on its partition of the order log, so that whoever decides
//! about orders is the only one who changes stock. Targets are absolute and numbered, so a repeat changes nothing and an older
//! one is dropped:
//!
//! - A crash before the commands, or between them, leaves targets that are not met: the next look sends the same ones again.
//! - A second change while the first is on its way gets the next number and its own targets; the first one's commands come
//!   too late then, wherever they are.
//! - A stock shard that sells while units are taken back keeps what it has sold; the rest is shared over the others anew.
//! - Epochs do not matter: a command is about the ledger's row, which outlives every warm-up, and a warm-up reads capacities.

use std::time::Duration;

use futures::future::try_join_all;
use ticket_bus::{BusError, Outgoing};
use ticket_core::{Adjust, Adjustment, CategoryName, Command, StockShardId, clock};
use ticket_ledger::{AdjustmentAsked, AdjustmentPlan, AdjustmentSource, ShardLevel};
use tokio::time::Instant;

use crate::apply::Progress;
use crate::claim::Claim;
use crate::context::Context;
use crate::error::Dependency;
use crate::observe::Seen;

/// Sets of targets in one go. A hot sale needs two or three; what is left then is the next look's.
const ROUNDS_MAX: u32 = 5;

/// How long stock shards may take to meet their targets before this Event waits for its next turn. A processor that runs takes
/// some tens of milliseconds; while none does, other Events need our attention more.
const MET_WITHIN: Duration = Duration::from_secs(2);

/// First wait between two looks at the stock shards; doubles up to the longest.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(10);

/// Longest wait between two looks.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(250);

/// What a category shall have.
pub(crate) struct Wanted<'a> {
    pub(crate) category: &'a CategoryName,
    pub(crate) quantity: u32,
    /// The newest adjustment that the plan knows of.
    pub(crate) seen: Adjustment,
}

/// Drives the adjustment of one category as far as it gets now.
pub(crate) async fn adjust(
    context: &Context,
    claim: &Claim,
    seen: &Seen,
    wanted: Wanted<'_>,
) -> Result<Progress, Dependency> {
    let Wanted {
        category, quantity, ..
    } = wanted;
    let source = AdjustmentSource::Spec {
        owner: claim.owner.clone(),
        generation: claim.generation,
        seen: wanted.seen,
    };
    let ledger = &context.ledger;
    let asked = ledger.ask_adjustment(claim.event, category, quantity, &source);
    let mut plan = match asked.await? {
        AdjustmentAsked::Open(plan) => plan,
        AdjustmentAsked::Done | AdjustmentAsked::Older => return Ok(Progress::Stale),
    };
    for _ in 0..ROUNDS_MAX {
        context.faults.before_effect().await;
        if !command(context, seen, &plan).await? {
            return Ok(Progress::Stale);
        }
        let met = match until_met(context, &plan).await? {
            Met::All(levels) => levels,
            Met::Newer => return Ok(Progress::Stale),
            Met::NotYet => return Ok(Progress::Waiting),
        };
        let capacity: i64 = met.iter().map(|level| level.counts.capacity).sum();
        let available: i64 = met.iter().map(|level| level.counts.available).sum();
        let is_short = capacity < i64::from(quantity);
        if capacity == i64::from(quantity) || (!is_short && available == 0) {
            return Ok(Progress::Done);
        }
        context.faults.before_effect().await;
        let anew = ledger.share_adjustment_anew(claim.event, category, &plan);
        match anew.await? {
            Some(anew) => plan = anew,
            None => return Ok(Progress::Stale),
        }
    }
    Ok(Progress::Stale)
}

/// Tells every stock shard its target; false if one of them was not there when we looked.
async fn command(context: &Context, seen: &Seen, plan: &AdjustmentPlan) -> Result<bool, BusError> {
    let Some(row) = &seen.row else {
        return Ok(false);
    };
    let at = clock::now();
    let mut sends = Vec::with_capacity(plan.targets.len());
    for (shard, capacity) in &plan.targets {
        let Some(stock) = seen.stock.iter().find(|stock| stock.id == *shard) else {
            return Ok(false);
        };
        let command = Command::Adjust(Adjust {
            shard: *shard,
            adjustment: plan.adjustment,
            capacity: *capacity,
            at,
        });
        let partition = stock.partition;
        sends.push(async move {
            let key = command.key();
            let payload = command.encode();
            let record = Outgoing {
                topic: &row.topic,
                partition,
                key: key.as_bytes(),
                payload: &payload,
                headers: &[],
            };
            context.log.send_record(&record).await
        });
    }
    try_join_all(sends).await?;
    Ok(true)
}

enum Met {
    /// Every stock shard has met it; how they stand.
    All(Vec<ShardLevel>),
    /// One has met a newer one.
    Newer,
    /// Nobody has decided yet.
    NotYet,
}

async fn until_met(context: &Context, plan: &AdjustmentPlan) -> Result<Met, Dependency> {
    let shards: Vec<StockShardId> = plan.targets.iter().map(|(shard, _)| *shard).collect();
    let until = Instant::now() + MET_WITHIN;
    let mut wait = LOOK_AGAIN_MIN;
    loop {
        let levels = context.ledger.levels(&shards).await?;
        if levels
            .iter()
            .any(|level| level.adjustment > plan.adjustment)
        {
            return Ok(Met::Newer);
        }
        if levels.len() == shards.len()
            && levels
                .iter()
                .all(|level| level.adjustment == plan.adjustment)
        {
            return Ok(Met::All(levels));
        }
        if Instant::now() >= until {
            return Ok(Met::NotYet);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LOOK_AGAIN_MAX);
    }
}
