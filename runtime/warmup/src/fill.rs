//! Filling the store from the ledger: all orders of the event are staged, then counts are seeded that fit to them.

use std::collections::HashMap;

use ticket_core::machine::Units;
use ticket_core::{
    CategoryName, Epoch, EventId, OrderRecord, OrderRef, ShardStock, State, StockShardId,
};
use ticket_ledger::{EventRow, Ledger, PAGE_ORDERS_MAX, StockShardRow};
use ticket_stock::{Changes, Seed, SeedCategory, Seeded, StockStore, StoreRecord};

use crate::error::WarmupError;

/// Orders in one read of the ledger, all that it gives at once: about 40 ms of it, and some megabytes here. A shorter page is
/// the last one, so this may not be more.
const PAGE_ORDERS: u32 = PAGE_ORDERS_MAX;

/// What became of the first seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstSeed {
    /// The event sells with this epoch.
    Armed,
    /// The store has seen this epoch: only a warm-up with a newer one helps.
    Fenced,
    /// The event is not as it was presumed.
    Stale,
}

/// Fills the store for a new event at its first epoch. It needs no markers and no second look: its rows are born at this
/// epoch and its log is empty.
///
/// # Errors
/// Those of ledger and store; the same call may be repeated.
pub async fn first_seed(
    ledger: &Ledger,
    stock: &StockStore,
    event: EventId,
    epoch: Epoch,
) -> Result<FirstSeed, WarmupError> {
    let Some(row) = ledger.event(event).await? else {
        return Ok(FirstSeed::Stale);
    };
    let shards = ledger.stock(event).await?;
    let is_settled = shards.iter().all(|shard| shard.epoch >= epoch);
    if row.epoch != epoch || shards.is_empty() || !is_settled {
        return Ok(FirstSeed::Stale);
    }
    match fill(ledger, stock, &row, epoch).await?.1 {
        Seeded::Armed => Ok(FirstSeed::Armed),
        Seeded::Fenced { .. } => Ok(FirstSeed::Fenced),
    }
}

/// What the fill has read: version of each stock shard before its orders were read.
pub(crate) type SeenVersions = Vec<(StockShardId, i64)>;

/// Stages and seeds. Every stock shard is at `epoch`.
pub(crate) async fn fill(
    ledger: &Ledger,
    stock: &StockStore,
    row: &EventRow,
    epoch: Epoch,
) -> Result<(SeenVersions, Seeded), WarmupError> {
    let event = row.id;
    // Rows first, orders second: what changes in between has a newer version than what is noted here.
    let shards = ledger.stock(event).await?;
    let seen = shards
        .iter()
        .map(|shard| (shard.id, shard.version))
        .collect();
    let categories: HashMap<StockShardId, &CategoryName> = shards
        .iter()
        .map(|shard| (shard.id, &shard.category))
        .collect();
    let mut taken: HashMap<StockShardId, i64> = HashMap::new();
    // Counted here: a store that dies between two pages counts only what came after, and would be armed with a part.
    let mut staged = 0;
    let mut after = None;
    let mut read = Vec::new();
    loop {
        let page = ledger.event_orders(event, after, PAGE_ORDERS).await?;
        // Few orders are one read, and not a second one that finds nothing: small events are many.
        let is_end = u32::try_from(page.len()).is_ok_and(|orders| orders < PAGE_ORDERS);
        after = page.last().map(|(last, _)| *last);
        read.extend(page);
        let records: Vec<StoreRecord> = one_row_each(&mut read, is_end)
            .iter()
            .filter_map(|(id, order)| Some(record(*id, order, categories.get(&id.shard)?, epoch)))
            .collect();
        for record in records.iter().filter(|record| !record.voided) {
            *taken.entry(record.shard).or_default() += i64::from(record.quantity);
        }
        if !records.is_empty() {
            stock.stage(event, epoch, &records).await?;
            staged += u64::try_from(records.len()).unwrap_or(u64::MAX);
        }
        if is_end {
            break;
        }
    }
    let filled = Seed {
        event,
        epoch,
        max_per_buyer: row.max_per_buyer,
        categories: by_category(row, &shards, &taken),
        staged,
    };
    Ok((seen, stock.seed(&filled).await?))
}

/// Takes out of `read`, which is in the order of ids, one row of each order. An order has a second row on another stock shard
/// if its place was written so late that a warm-up had passed, and its key was repeated meanwhile: the late place is rejected,
/// and the row that counts is the other. The rows of the last order may go on in the next page, unless this `is_end`.
fn one_row_each(
    read: &mut Vec<(OrderRef, OrderRecord)>,
    is_end: bool,
) -> Vec<(OrderRef, OrderRecord)> {
    let last = read.last().map(|(id, _)| id.order);
    let whole = match last {
        Some(last) if !is_end => read.partition_point(|(id, _)| id.order < last),
        Some(_) | None => read.len(),
    };
    let mut rows: Vec<(OrderRef, OrderRecord)> = Vec::with_capacity(whole);
    for (id, order) in read.drain(..whole) {
        match rows.last_mut() {
            Some(known) if known.0.order == id.order => {
                if known.1.state == State::Rejected {
                    *known = (id, order);
                }
            }
            Some(_) | None => rows.push((id, order)),
        }
    }
    rows
}

/// The count is what the staged orders leave of the capacity, and not the row's own: an order that was decided between the two
/// reads would be in one and not in the other.
fn by_category(
    row: &EventRow,
    shards: &[StockShardRow],
    taken: &HashMap<StockShardId, i64>,
) -> Vec<SeedCategory> {
    let stock_of = |shard: &StockShardRow| ShardStock {
        available: shard.counts.capacity - taken.get(&shard.id).copied().unwrap_or(0),
        ..shard.to_stock()
    };
    let seeds = row.categories.iter().map(|category| SeedCategory {
        name: category.name.clone(),
        shards: shards
            .iter()
            .filter(|shard| shard.category == category.name)
            .map(stock_of)
            .collect(),
    });
    seeds.filter(|seed| !seed.shards.is_empty()).collect()
}

/// Also orders that ended are remembered: the same key shall find its order for ever, and never a second one.
fn record(id: OrderRef, order: &OrderRecord, category: &CategoryName, epoch: Epoch) -> StoreRecord {
    StoreRecord {
        order: id.order,
        category: category.clone(),
        shard: id.shard,
        quantity: order.quantity,
        buyer: order.buyer.clone(),
        // The ledger knows the order, so that it is asked and the epoch decides nothing any more; the row does not keep it.
        epoch: Epoch(epoch.0 - 1).max(Epoch::FIRST),
        reserved_at: order.created_at,
        version: order.version,
        pending: false,
        voided: order.state.units() == Units::Free,
    }
}

/// Tells the armed store again what it may have missed: what changed since the versions that [`fill`] has seen. It drops what
/// it knows.
pub(crate) async fn catch_up(
    ledger: &Ledger,
    stock: &StockStore,
    event: EventId,
    epoch: Epoch,
    seen: &SeenVersions,
) -> Result<(), WarmupError> {
    let shards = ledger.stock(event).await?;
    let categories: HashMap<StockShardId, &CategoryName> = shards
        .iter()
        .map(|shard| (shard.id, &shard.category))
        .collect();
    let mut after = None;
    loop {
        let page = ledger
            .orders_changed_since(event, seen, after, PAGE_ORDERS)
            .await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        let mut by_shard: HashMap<StockShardId, Vec<OrderRecord>> = HashMap::new();
        for (id, order) in page {
            by_shard.entry(id.shard).or_default().push(order);
        }
        for (shard, orders) in by_shard {
            let Some(category) = categories.get(&shard) else {
                continue;
            };
            let changes = Changes::of_all(shard, &orders);
            if !changes.released.is_empty() {
                stock
                    .release(event, category, epoch, &changes.released)
                    .await?;
            }
            if !changes.claimed.is_empty() {
                stock
                    .claim(event, category, epoch, &changes.claimed)
                    .await?;
            }
        }
    }
    let mut adjusted: HashMap<&CategoryName, Vec<ShardStock>> = HashMap::new();
    for shard in shards.iter().filter(|shard| shard.adjustment.0 > 0) {
        let of_category = adjusted.entry(&shard.category).or_default();
        of_category.push(shard.to_stock());
    }
    for (category, shards) in adjusted {
        stock.adjust(event, category, epoch, &shards).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ticket_core::{BuyerId, OrderId, Passed};
    use uuid::Uuid;

    use super::*;

    fn row(order: u128, shard: i64, state: State) -> (OrderRef, OrderRecord) {
        let order = OrderId(Uuid::from_u128(order));
        let shard = StockShardId::new(shard).unwrap();
        let record = OrderRecord {
            order,
            version: 1,
            state,
            reason: None,
            passed: Passed::default().with(state),
            buyer: BuyerId::new("ann").unwrap(),
            quantity: 1,
            amount_minor: 0,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            hold_expires_at: None,
            payment: None,
        };
        (OrderRef { order, shard }, record)
    }

    fn shards(rows: &[(OrderRef, OrderRecord)]) -> Vec<i64> {
        rows.iter().map(|(id, _)| id.shard.get()).collect()
    }

    #[test]
    fn of_two_rows_of_an_order_the_one_that_was_not_turned_down_counts() {
        let (rejected, expired, paid) = (State::Rejected, State::Expired, State::Paid);
        let mut read = vec![
            row(1, 1, rejected),
            row(2, 1, rejected),
            row(2, 2, expired),
            row(3, 2, paid),
            row(3, 3, rejected),
            row(4, 4, rejected),
        ];
        // The last order may go on.
        assert_eq!(shards(&one_row_each(&mut read, false)), [1, 2, 2]);
        assert_eq!(shards(&read), [4]);
        read.push(row(4, 5, paid));
        assert_eq!(shards(&one_row_each(&mut read, false)), [0; 0]);
        assert_eq!(shards(&one_row_each(&mut read, true)), [5]);
        assert!(one_row_each(&mut read, true).is_empty());
    }
}
