//! Does an order cost the same when there are many events, stock shards or partitions? The same load, drained from a full log
//! by one processor, over a row of sizes; everything else stays as it is.

mod row;

use crate::suite::measure::Measure;
use crate::suite::plan::Plan;
use row::{Row, Size};

/// Partitions at most: more stock shards than this share partitions.
const PARTITIONS_MAX: u16 = 16;

/// Why a size may cost more, and what it would take; the report shows it where a row missed its bar.
mod causes {
    /// More events.
    pub(super) const EVENTS: &str = "Every event is a log of its own, so the same load is divided into smaller ledger calls \
        (see orders per ledger call), each with a commit, a fact message and an offset of its own; the broker and the group \
        member also look after one partition per event, whether or not it has orders. It would take a log that several \
        small events share.";

    /// More stock shards.
    pub(super) const SHARDS: &str = "A batch of a partition with several stock shards is one ledger call per stock shard, \
        so calls get smaller (see orders per ledger call): one stock shard per partition is the best layout. It would take \
        a ledger call that decides several stock shards, which on Citus would leave the one node that makes it cheap.";

    /// Fewer partitions than stock shards, or more partitions to look after.
    pub(super) const PARTITIONS: &str = "With fewer partitions than stock shards a batch is divided between stock shards \
        and its ledger calls are smaller; with more partitions each fetch and each batch is smaller (see orders per ledger \
        call). It would take larger batches where a partition carries several stock shards.";
}

/// The rows of sizes, in the order of the report.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    rows(
        plan.pick(300_000, 40_000),
        plan.pick(&[1, 10, 100, 1_000], &[1, 100]),
        plan.pick(&[1, 4, 16, 64], &[1, 16]),
        plan.pick(&[1, 4, 16], &[1, 16]),
    )
}

/// Rows over so many events, stock shards and partitions, each size with the same number of `orders` in all.
#[must_use]
pub fn rows(
    orders: u32,
    events: &[usize],
    shards: &[u16],
    partitions: &[u16],
) -> Vec<Box<dyn Measure>> {
    let events = events.iter().map(|count| Size {
        of: u32::try_from(*count).unwrap_or(u32::MAX),
        events: *count,
        shards: 1,
        partitions: 1,
    });
    let shards = shards.iter().map(|count| Size {
        of: (*count).into(),
        events: 1,
        shards: *count,
        partitions: (*count).min(PARTITIONS_MAX),
    });
    let partitions = partitions.iter().map(|count| Size {
        of: (*count).into(),
        events: 1,
        shards: PARTITIONS_MAX,
        partitions: *count,
    });
    vec![
        Box::new(Row::new(
            "events",
            "one stock shard on one partition each",
            orders,
            events.collect(),
            causes::EVENTS,
        )),
        Box::new(Row::new(
            "stock shards",
            "of one event, on as many partitions up to 16",
            orders,
            shards.collect(),
            causes::SHARDS,
        )),
        Box::new(Row::new(
            "partitions",
            "of one event with 16 stock shards",
            orders,
            partitions.collect(),
            causes::PARTITIONS,
        )),
    ]
}
