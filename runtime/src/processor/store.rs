//! Brings the stock store in line with what the ledger decided. Invariant, per stock shard: units in the store =
//! available in the ledger - units of orders that are reserved but not decided. So an order that the ledger keeps is
//! settled (no longer pending), one that it turned down or gave back is released, and one whose late money claimed its
//! units again takes them back; a changed capacity changes both sides by as much. Each is idempotent, by the order's
//! record or the adjustment's number, and fenced by the epoch of the ledger's row.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ticket_core::{FactBatch, ShardStock};
use ticket_ledger::LedgerError;
use ticket_stock::{Changes, Claimed, Readjusted, Released, StockError, StockStore};
use ticket_telemetry::chain;
use tracing::{debug, info, warn};

use super::{Decided, Shared};

/// How long a batch waits for a stock store that has just gone away: as long as a connection needs to be made again. What is
/// longer is an outage, and in an outage orders are still decided.
const STORE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Between two tries within that time.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Whether the stock store answered last. While it does not, batches do not wait for it: each tries once.
#[derive(Debug, Default)]
pub struct StoreHealth {
    is_down: AtomicBool,
}

/// A dead stock store stops no decision: what it could not be told within [`STORE_WAIT_MAX`] becomes the need of a warm-up in
/// the ledger, before the batch counts as done. So nothing is lost when the store was only out of reach and comes back with
/// all its data: it is refilled all the same.
///
/// # Errors
/// The ledger's, if that could not be written down. The same batch comes again.
pub(super) async fn bring_in_line(shared: &Shared, decided: &[Decided]) -> Result<(), LedgerError> {
    let health = &shared.store;
    let begun = Instant::now();
    let mut done = 0;
    loop {
        let Err(error) = tell(&shared.stock, decided, &mut done).await else {
            health.is_down.store(false, Ordering::Relaxed);
            return Ok(());
        };
        let was_down = health.is_down.load(Ordering::Relaxed);
        if !was_down && begun.elapsed() < STORE_WAIT_MAX {
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
            continue;
        }
        health.is_down.store(true, Ordering::Relaxed);
        if !was_down {
            warn!(error = %chain(&error), code = error.code(), "the stock store misses decisions and will be refilled");
        }
        let events: HashSet<_> = decided[done..].iter().map(|one| one.facts.event).collect();
        for event in events {
            let holder = concat!("processor/", env!("CARGO_PKG_VERSION"));
            let reason = "the stock store did not answer while orders were decided";
            if shared.ledger.need_warmup(event, holder, reason).await? {
                info!(%event, "warm-up needed");
            }
        }
        return Ok(());
    }
}

/// Tells the store what was decided; `done` counts what it has heard.
async fn tell(stock: &StockStore, decided: &[Decided], done: &mut usize) -> Result<(), StockError> {
    while let Some(Decided { facts, .. }) = decided.get(*done) {
        tell_one(stock, facts).await?;
        *done += 1;
    }
    Ok(())
}

async fn tell_one(stock: &StockStore, facts: &FactBatch) -> Result<(), StockError> {
    let changes = Changes::of(facts.shard, &facts.orders);
    let (event, category, epoch) = (facts.event, &facts.category, facts.epoch);
    // Only takes them off the reaper's list: if it fails, the reaper asks, and they are settled then.
    if !changes.settled.is_empty()
        && let Err(error) = stock.settle(event, epoch, &changes.settled).await
    {
        debug!(error = %chain(&error), "orders not settled");
    }
    if !changes.released.is_empty() {
        for outcome in stock
            .release(event, category, epoch, &changes.released)
            .await?
        {
            report_release(facts, outcome);
        }
    }
    if !changes.claimed.is_empty() {
        for outcome in stock
            .claim(event, category, epoch, &changes.claimed)
            .await?
        {
            report_claim(facts, outcome);
        }
    }
    if let Some(adjustment) = facts.adjustment {
        let stock_shard = ShardStock {
            shard: facts.shard,
            available: facts.stock.available,
            capacity: facts.stock.capacity,
            adjustment,
        };
        for outcome in stock.adjust(event, category, epoch, &[stock_shard]).await? {
            report_adjustment(facts, outcome);
        }
    }
    Ok(())
}

fn report_release(facts: &FactBatch, outcome: Released) {
    match outcome {
        Released::Credited | Released::Tombstoned | Released::AlreadyVoid => {}
        // Not armed or older: the seed that comes counts the ledger as it is now. Newer: it has.
        Released::NotArmed | Released::StoreOlder | Released::StoreNewer => {
            debug!(shard = %facts.shard, ?outcome, "release left to a seed");
        }
    }
}

fn report_claim(facts: &FactBatch, outcome: Claimed) {
    match outcome {
        Claimed::Taken | Claimed::HasThem => {}
        Claimed::NotArmed | Claimed::StoreOlder | Claimed::StoreNewer => {
            debug!(shard = %facts.shard, ?outcome, "claim left to a seed");
        }
    }
}

fn report_adjustment(facts: &FactBatch, outcome: Readjusted) {
    match outcome {
        Readjusted::Counted | Readjusted::Nothing => {}
        Readjusted::NotArmed | Readjusted::StoreOlder | Readjusted::StoreNewer => {
            debug!(shard = %facts.shard, ?outcome, "adjustment left to a seed");
        }
    }
}
