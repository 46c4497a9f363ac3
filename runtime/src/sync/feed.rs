//! What a category's facts changed, numbered: the arithmetic of `stock.changed`. No I/O, no clock: the same facts in the same
//! order give the same changes, numbers and totals, and a fact that was counted gives nothing.

use std::collections::VecDeque;

use ticket_core::{FactBatch, MoveKind, OrderId, OrderRef, StockCounts, StockMove, StockShardId};
use ticket_ledger::{FeedShard, StockFeed};

/// A change of a category's stock that the outside is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Its number in the category, from 1.
    pub(super) sequence: i64,
    /// What happened.
    pub(super) kind: ChangeKind,
    /// Units. Of an adjustment: below zero if some were taken back.
    pub(super) quantity: i64,
    /// Whose units, unless it is an adjustment.
    pub(super) order: Option<OrderRef>,
    /// The category's counters after it.
    pub(super) totals: StockCounts,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChangeKind {
    /// An order was paid.
    Sold,
    /// Sold units came back.
    Returned,
    /// There are more or fewer units.
    Adjusted,
}

/// A step between the counters of one fact and the next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Move(StockMove),
    Adjust(i64),
}

impl Step {
    const fn order(&self) -> Option<OrderId> {
        match self {
            Self::Move(units) => Some(units.order),
            Self::Adjust(_) => None,
        }
    }

    /// What it does to the counters; `sign` -1 undoes it.
    fn apply(self, counts: &mut StockCounts, sign: i64) {
        match self {
            Self::Move(units) => {
                let quantity = sign * i64::from(units.quantity);
                match units.kind {
                    MoveKind::Sold => {
                        counts.held -= quantity;
                        counts.sold += quantity;
                    }
                    MoveKind::Claimed => {
                        counts.available -= quantity;
                        counts.sold += quantity;
                    }
                    MoveKind::Returned => {
                        counts.sold -= quantity;
                        counts.available += quantity;
                    }
                }
            }
            Self::Adjust(units) => {
                counts.capacity += sign * units;
                counts.available += sign * units;
            }
        }
    }
}

/// Counts `facts` of the feed's category. Empty if they were counted before, or changed nothing that is told.
pub(super) fn count(feed: &mut StockFeed, facts: &FactBatch) -> Vec<Change> {
    let place = feed.shards.iter().position(|shard| shard.id == facts.shard);
    let at = place.unwrap_or(feed.shards.len());
    if place.is_none() {
        // Made after the feed began: it comes with what it has now.
        feed.shards.push(FeedShard {
            id: facts.shard,
            version: 0,
            counts: facts.stock,
        });
    }
    let known = feed.shards[at];
    if facts.version <= known.version {
        return Vec::new();
    }
    let mut others = StockCounts::default();
    for shard in feed.shards.iter().filter(|shard| shard.id != facts.shard) {
        others += shard.counts;
    }
    let mut changes = Vec::new();
    let steps = steps(&known, facts);
    // Everything that is not told (orders that took units, holds that ended) comes before what is.
    let mut counts = facts.stock;
    for step in &steps {
        step.apply(&mut counts, -1);
    }
    for step in in_a_possible_order(steps, counts) {
        step.apply(&mut counts, 1);
        let mut totals = others;
        totals += counts;
        feed.sequence += 1;
        changes.push(change(feed.sequence, step, facts.shard, totals));
    }
    feed.shards[at] = FeedShard {
        id: facts.shard,
        version: facts.version,
        counts: facts.stock,
    };
    changes
}

/// What is news in `facts` for who has counted `known`.
fn steps(known: &FeedShard, facts: &FactBatch) -> VecDeque<Step> {
    let is_news = |units: &&StockMove| units.version > known.version;
    let moves = facts.moves.iter().filter(is_news);
    let mut steps: VecDeque<Step> = moves.copied().map(Step::Move).collect();
    // Only an adjustment changes the capacity, so one whose own fact was lost shows in the next.
    match facts.stock.capacity - known.counts.capacity {
        0 => {}
        more if more > 0 => steps.push_front(Step::Adjust(more)),
        fewer => steps.push_back(Step::Adjust(fewer)),
    }
    steps
}

/// The steps in an order in which no counter falls below zero on the way. One call may give units back and sell them
/// again, and lists its orders in the order of their commands. An order's own steps keep theirs.
fn in_a_possible_order(mut steps: VecDeque<Step>, mut counts: StockCounts) -> Vec<Step> {
    let mut ordered = Vec::with_capacity(steps.len());
    while !steps.is_empty() {
        let may_be_next = |at: &usize| {
            let mut after = counts;
            steps[*at].apply(&mut after, 1);
            let order = steps[*at].order();
            let mut earlier = steps.iter().take(*at);
            after.is_conserved() && !earlier.any(|step| order.is_some() && step.order() == order)
        };
        // If none fits, which no ledger has decided, they come as they are.
        let next = (0..steps.len()).find(may_be_next).unwrap_or(0);
        if let Some(step) = steps.remove(next) {
            step.apply(&mut counts, 1);
            ordered.push(step);
        }
    }
    ordered
}

fn change(sequence: i64, step: Step, shard: StockShardId, totals: StockCounts) -> Change {
    let (kind, quantity, order) = match step {
        Step::Move(units) => {
            let kind = match units.kind {
                MoveKind::Sold | MoveKind::Claimed => ChangeKind::Sold,
                MoveKind::Returned => ChangeKind::Returned,
            };
            let order = OrderRef {
                order: units.order,
                shard,
            };
            (kind, i64::from(units.quantity), Some(order))
        }
        Step::Adjust(units) => (ChangeKind::Adjusted, units, None),
    };
    Change {
        sequence,
        kind,
        quantity,
        order,
        totals,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ticket_core::{CategoryName, Currency, Epoch, EventId};
    use uuid::Uuid;

    use super::*;

    pub(in crate::sync) fn facts(
        shard: i64,
        version: i64,
        [capacity, available, held, sold]: [i64; 4],
        moves: Vec<StockMove>,
    ) -> FactBatch {
        FactBatch {
            event: EventId(Uuid::from_u128(7)),
            event_name: "default.demo".parse().unwrap(),
            category: CategoryName::new("vip").unwrap(),
            currency: Currency::new("IDR").unwrap(),
            shard: StockShardId::new(shard).unwrap(),
            epoch: Epoch::FIRST,
            version,
            stock: StockCounts {
                capacity,
                available,
                held,
                sold,
            },
            orders: Vec::new(),
            moves,
            adjustment: None,
        }
    }

    fn moved(kind: MoveKind, order: u128, quantity: u32, version: i64) -> StockMove {
        StockMove {
            order: OrderId(Uuid::from_u128(order)),
            quantity,
            kind,
            version,
        }
    }

    pub(in crate::sync) fn sold(order: u128, quantity: u32, version: i64) -> StockMove {
        moved(MoveKind::Sold, order, quantity, version)
    }

    fn feed(shards: &[(i64, i64)]) -> StockFeed {
        let shards = shards.iter().map(|(id, capacity)| FeedShard {
            id: StockShardId::new(*id).unwrap(),
            version: 0,
            counts: StockCounts {
                capacity: *capacity,
                available: *capacity,
                held: 0,
                sold: 0,
            },
        });
        StockFeed {
            sequence: 0,
            shards: shards.collect(),
        }
    }

    /// Sequence, kind, quantity, and totals as capacity, available, held, sold.
    fn told(changes: &[Change]) -> Vec<(i64, ChangeKind, i64, [i64; 4])> {
        let row = |change: &Change| {
            let StockCounts {
                capacity,
                available,
                held,
                sold,
            } = change.totals;
            assert!(change.totals.is_conserved(), "{change:?}");
            let totals = [capacity, available, held, sold];
            (change.sequence, change.kind, change.quantity, totals)
        };
        changes.iter().map(row).collect()
    }

    #[test]
    fn totals_run_over_all_stock_shards_and_each_change_has_the_next_number() {
        use ChangeKind::{Adjusted, Returned, Sold};
        let mut feed = feed(&[(1, 10), (2, 5)]);
        assert!(count(&mut feed, &facts(1, 1, [10, 7, 3, 0], vec![])).is_empty());
        let two = facts(1, 2, [10, 6, 1, 3], vec![sold(1, 1, 2), sold(2, 2, 2)]);
        let changes = count(&mut feed, &two);
        assert_eq!(
            told(&changes),
            [(1, Sold, 1, [15, 11, 3, 1]), (2, Sold, 2, [15, 11, 1, 3])]
        );
        assert!(count(&mut feed, &two).is_empty(), "a repeat");
        let back = vec![sold(1, 1, 2), moved(MoveKind::Returned, 1, 1, 3)];
        let changes = count(&mut feed, &facts(1, 3, [10, 7, 1, 2], back));
        assert_eq!(told(&changes), [(3, Returned, 1, [15, 12, 1, 2])]);
        let changes = count(&mut feed, &facts(2, 1, [2, 2, 0, 0], vec![]));
        assert_eq!(told(&changes), [(4, Adjusted, -3, [12, 9, 1, 2])]);
        let changes = count(&mut feed, &facts(2, 4, [9, 9, 0, 0], vec![]));
        assert_eq!(told(&changes), [(5, Adjusted, 7, [19, 16, 1, 2])]);
        assert_eq!(feed.sequence, 5);
    }

    #[test]
    fn facts_that_were_lost_are_made_up_for_by_the_next() {
        use ChangeKind::{Adjusted, Returned, Sold};
        let mut feed = feed(&[(1, 4)]);
        // Reserved, adjusted by 2, sold, returned, and its units sold to another: one fact tells it all.
        let moves = vec![
            moved(MoveKind::Claimed, 2, 6, 5),
            sold(1, 6, 3),
            moved(MoveKind::Returned, 1, 6, 4),
        ];
        let changes = count(&mut feed, &facts(1, 5, [6, 0, 0, 6], moves));
        assert_eq!(
            told(&changes),
            [
                (1, Adjusted, 2, [6, 0, 6, 0]),
                (2, Sold, 6, [6, 0, 0, 6]),
                (3, Returned, 6, [6, 6, 0, 0]),
                (4, Sold, 6, [6, 0, 0, 6]),
            ]
        );
    }

    #[test]
    fn a_stock_shard_that_came_later_is_counted_from_its_first_fact() {
        let mut feed = feed(&[(1, 4)]);
        let changes = count(&mut feed, &facts(9, 2, [8, 7, 0, 1], vec![sold(3, 1, 2)]));
        assert_eq!(told(&changes), [(1, ChangeKind::Sold, 1, [12, 11, 0, 1])]);
    }
}
