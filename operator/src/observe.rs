//! Reads what is there for one Event, all at once. Nothing here changes anything.

use ticket_bus::TopicState;
use ticket_core::{EventId, clock};
use ticket_ledger::{Audited, EventRow, StockShardRow};
use ticket_plan::{Observed, ObservedShard, ObservedTopic};

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

/// Everything.
pub(crate) async fn observe(context: &Context, claim: &Claim, topic: &str) -> Result<Seen> {
    let (row, stock, audited, armed, found) = tokio::join!(
        async { failed("the event row", context.ledger.event(claim.event).await) },
        async { failed("the stock shards", context.ledger.stock(claim.event).await) },
        async {
            failed(
                "the last audit",
                context.ledger.last_audit(claim.event).await,
            )
        },
        async { failed("the stock store", context.stock.state(claim.event).await) },
        async { failed("the topic", context.bus.topic(topic).await) },
    );
    let (row, stock, audited, armed, found) = (row?, stock?, audited?, armed?, found?);
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
        shards: stock.iter().map(observed_shard).collect(),
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

/// What a removal needs: the row, and the topic if it shall go. A removal that keeps everything must not need Kafka.
pub(crate) async fn observe_for_removal(
    context: &Context,
    event: EventId,
    topic: Option<&str>,
) -> Result<Seen> {
    let row = failed("the event row", context.ledger.event(event).await)?;
    let topic = match topic {
        Some(topic) => failed("the topic", context.bus.topic(topic).await)?,
        None => None,
    };
    let observed = Observed {
        is_owned: true,
        topic: topic.map(|state| observed_topic(&state, false)),
        row: row.as_ref().map(rows::observed),
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

fn observed_shard(row: &StockShardRow) -> ObservedShard {
    ObservedShard {
        category: row.category.clone(),
        partition: u32::try_from(row.partition).unwrap_or_default(),
        capacity: row.counts.capacity,
        is_untouched: row.version == 0 && row.counts.available == row.counts.capacity,
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
