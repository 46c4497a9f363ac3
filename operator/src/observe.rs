//! Reads what is there for one Event, all at once. Nothing here changes anything.

use std::collections::{HashMap, HashSet};

use ticket_bus::TopicState;
use ticket_core::{CategoryName, EventId, StockShardId, clock};
use ticket_crds::Isolation;
use ticket_ledger::{Audited, EventRow, NewestAdjustment, StockShardRow};
use ticket_plan::{Observed, ObservedAdjustment, ObservedLanes, ObservedShard, ObservedTopic};

use crate::claim::Claim;
use crate::context::Context;
use crate::error::{Dependency, OperatorError, Result};
use crate::rows;

/// What is there: for the planner, and in full for the steps and the report.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) observed: Observed,
    pub(crate) row: Option<EventRow>,
    pub(crate) stock: Vec<StockShardRow>,
    /// What the last audit found, once there was one.
    pub(crate) audited: Option<Audited>,
    /// When it was read.
    pub(crate) at: jiff::Timestamp,
}

/// Everything. Lanes only of an Event that wants some.
pub(crate) async fn observe(
    context: &Context,
    claim: &Claim,
    topic: &str,
    isolation: Isolation,
) -> Result<Seen> {
    let (books, lanes, audited, armed, found) = tokio::join!(
        read_books(context, claim.event),
        read_lanes(context, claim.event, isolation),
        async {
            failed(
                "the last audit",
                context.ledger.last_audit(claim.event).await,
            )
        },
        async { failed("the stock store", context.stock.state(claim.event).await) },
        async { failed("the topic", context.bus.topic(topic).await) },
    );
    let (books, lanes, audited, armed, found) = (books?, lanes?, audited?, armed?, found?);
    let Books {
        row,
        stock,
        lost,
        adjustments,
    } = books;
    let topic = match found {
        None => None,
        // Only a store that is not armed makes it matter, and it costs a round trip.
        Some(state) if armed.is_none() => {
            let ends = failed("the end of the log", context.bus.end_offsets(topic).await)?;
            Some(observed_topic(&state, ends.iter().all(|end| *end == 0)))
        }
        Some(state) => Some(observed_topic(&state, false)),
    };
    let observed = Observed {
        is_owned: true,
        topic,
        row: row.as_ref().map(rows::observed),
        is_distributed: lanes.is_distributed,
        lanes: lanes.observed,
        shards: observed_shards(&stock, row.as_ref()),
        lost,
        adjustments: adjustments.into_iter().map(observed_adjustment).collect(),
        armed,
        is_fenced: false,
    };
    Ok(Seen {
        observed,
        row,
        stock,
        audited,
        at: clock::now(),
    })
}

/// What the ledger says.
struct Books {
    row: Option<EventRow>,
    stock: Vec<StockShardRow>,
    /// Categories of stock shards that are named, but not there.
    lost: Vec<CategoryName>,
    adjustments: Vec<NewestAdjustment>,
}

async fn read_books(context: &Context, event: EventId) -> Result<Books> {
    // Names first, stock second: a stock shard that is named is there from then on.
    let row = failed("the event row", context.ledger.event(event).await)?;
    let stock = failed("the stock shards", context.ledger.stock(event).await)?;
    let adjustments = context.ledger.newest_adjustments(event).await;
    let adjustments = failed("the adjustments", adjustments)?;
    let there: HashSet<StockShardId> = stock.iter().map(|shard| shard.id).collect();
    let named = row.iter().flat_map(|row| &row.shards);
    let lost = named
        .filter(|shard| !there.contains(&shard.id))
        .map(|shard| shard.category.clone())
        .collect();
    Ok(Books {
        row,
        stock,
        lost,
        adjustments,
    })
}

/// What there is for the isolation of an Event.
struct Lanes {
    is_distributed: bool,
    observed: ObservedLanes,
}

async fn read_lanes(context: &Context, event: EventId, isolation: Isolation) -> Result<Lanes> {
    let ledger = &context.ledger;
    let is_distributed = failed("the kind of the ledger", ledger.is_distributed().await)?;
    if !is_distributed || isolation == Isolation::Shared {
        return Ok(Lanes {
            is_distributed,
            observed: ObservedLanes::default(),
        });
    }
    let lanes = failed("the lanes", ledger.lanes(event).await)?;
    Ok(Lanes {
        is_distributed,
        observed: ObservedLanes {
            leased: lanes.len(),
            alone: lanes.iter().filter(|lane| lane.is_alone).count(),
            left: failed("the pool of lanes", ledger.lanes_left().await)?,
        },
    })
}

/// What a removal needs: the row, and if all shall go the topic and the lanes. A removal that keeps everything must not need
/// Kafka.
pub(crate) async fn observe_for_removal(
    context: &Context,
    event: EventId,
    topic: Option<&str>,
) -> Result<Seen> {
    let row = failed("the event row", context.ledger.event(event).await)?;
    let (topic, leased) = match topic {
        Some(topic) => {
            let lanes = failed("the lanes", context.ledger.lanes(event).await)?;
            let topic = failed("the topic", context.bus.topic(topic).await)?;
            (topic, lanes.len())
        }
        None => (None, 0),
    };
    let observed = Observed {
        is_owned: true,
        topic: topic.map(|state| observed_topic(&state, false)),
        row: row.as_ref().map(rows::observed),
        lanes: ObservedLanes {
            leased,
            ..ObservedLanes::default()
        },
        ..Observed::default()
    };
    Ok(Seen {
        observed,
        row,
        stock: Vec::new(),
        audited: None,
        at: clock::now(),
    })
}

fn observed_topic(state: &TopicState, is_empty: bool) -> ObservedTopic {
    ObservedTopic {
        partitions: state.partitions,
        replication_factor: state.replication,
        retention_ms: state
            .config
            .get("retention.ms")
            .and_then(|text| text.parse().ok()),
        is_empty,
    }
}

fn observed_shards(stock: &[StockShardRow], row: Option<&EventRow>) -> Vec<ObservedShard> {
    let named = row.iter().flat_map(|row| &row.shards);
    let born_with: HashMap<StockShardId, i64> =
        named.map(|shard| (shard.id, shard.born_with)).collect();
    let observed = |shard: &StockShardRow| {
        let counts = shard.counts;
        ObservedShard {
            category: shard.category.clone(),
            partition: u32::try_from(shard.partition).unwrap_or_default(),
            // Made since its name was read.
            born_with: born_with.get(&shard.id).copied().unwrap_or(counts.capacity),
            counts,
            adjustment: shard.adjustment,
            is_untouched: shard.version == 0 && counts.available == counts.capacity,
        }
    };
    stock.iter().map(observed).collect()
}

fn observed_adjustment(newest: NewestAdjustment) -> ObservedAdjustment {
    ObservedAdjustment {
        category: newest.category,
        number: newest.adjustment,
        wanted: newest.wanted,
        source: newest.source,
        has_reseller_spoken: newest.has_reseller_spoken,
    }
}

fn failed<T, E: Into<Dependency>>(
    what: &'static str,
    answer: std::result::Result<T, E>,
) -> Result<T> {
    answer.map_err(|cause| OperatorError::Observe {
        what,
        cause: Box::new(cause.into()),
    })
}
