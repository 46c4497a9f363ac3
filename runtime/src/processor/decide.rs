//! From messages to decisions: sort a batch by stock shard, then one ledger call per stock shard, a second one where its
//! capacity is adjusted, and a third one where the marker of a warm-up lies in it. A marker is a barrier: what follows it on its
//! stock shard is work of the next round.

use std::time::Instant;

use metrics::{counter, histogram};
use ticket_bus::{Record, TopicPartition};
use ticket_core::{Adjust, Command, Epoch, FactBatch, OrderRef, StockShardId, clock};
use ticket_ledger::{Ledger, LedgerError, ShardBatch};
use ticket_telemetry::trace;
use tracing::{debug, warn};

use super::{ProcessError, Shared, facts};
use crate::catalog::ShardEntry;
use crate::traced::{self, Traces};

/// What the ledger shall decide on one stock shard.
pub(super) struct Work {
    shard: ShardEntry,
    batch: ShardBatch,
    traces: Traces,
    /// The newest adjustment; older ones of the same batch are done with it. Comes after all that moves orders, so that it
    /// takes back no unit that an order before it has a right to.
    adjust: Option<Adjust>,
    /// Comes after all that lies before it in the log, and before all that lies behind.
    marker: Option<Epoch>,
    /// How many markers of this stock shard lie before it in the batch.
    round: usize,
}

/// What one ledger call decided, and whose traces are kept.
pub struct Decided {
    /// What is told to everybody.
    pub facts: FactBatch,
    /// Goes with it.
    pub traces: Traces,
    /// Facts of a stock shard keep the order of their rounds.
    pub round: usize,
}

/// Sorts messages by stock shard; the order within a stock shard stays. Messages that cannot be read, or are about a stock
/// shard or an order that is not of this log, go to the dead letter and block nothing.
pub(super) async fn sort(
    shared: &Shared,
    source: &TopicPartition,
    records: &[Record],
) -> Result<Vec<Work>, ProcessError> {
    // One stock shard per partition is the usual layout: a list is faster than a map.
    let mut work: Vec<Work> = Vec::with_capacity(1);
    for record in records {
        let command = match Command::decode(&record.payload) {
            Ok(command) => command,
            Err(error) => {
                put_aside(shared, source, record, &error.to_string()).await?;
                continue;
            }
        };
        let id = command.shard();
        let known = work.iter().rposition(|work| work.batch.shard == id);
        let at = if let Some(at) = known {
            if work[at].marker.is_some() {
                let behind = Work::new(id, work[at].shard.clone(), work[at].round + 1);
                work.push(behind);
                work.len() - 1
            } else {
                at
            }
        } else if let Some(entry) = look_up(shared, source, id).await? {
            work.push(Work::new(id, entry, 0));
            work.len() - 1
        } else {
            put_aside(shared, source, record, "unknown stock shard").await?;
            continue;
        };
        // The ledger finds the orders of an event by the beginning of their ids.
        let event = work[at].shard.event.id();
        if command.order().is_some_and(|order| !order.may_be_of(event)) {
            put_aside(shared, source, record, "order of another event").await?;
            continue;
        }
        if let Some(order) = command.order()
            && let Some(trace) = traced::of_command(record)
        {
            work[at].traces.push(OrderRef { order, shard: id }, trace);
        }
        match command {
            Command::Place(place) => work[at].batch.places.push(place),
            Command::Order(command) => work[at].batch.commands.push(command),
            Command::Marker(marker) => work[at].marker = Some(marker.epoch),
            Command::Adjust(adjust) => {
                let known = &mut work[at].adjust;
                if known
                    .as_ref()
                    .is_none_or(|known| known.adjustment < adjust.adjustment)
                {
                    *known = Some(adjust);
                }
            }
        }
    }
    Ok(work)
}

impl Work {
    fn new(id: StockShardId, shard: ShardEntry, round: usize) -> Self {
        Self {
            batch: empty(id, &shard),
            shard,
            traces: Traces::default(),
            adjust: None,
            marker: None,
            round,
        }
    }
}

/// The last round that there is.
pub(super) fn last_round(work: &[Work]) -> usize {
    work.iter().map(|work| work.round).max().unwrap_or(0)
}

/// The work of one round, in its order, and what is left.
pub(super) fn of_round(work: Vec<Work>, round: usize) -> (Vec<Work>, Vec<Work>) {
    work.into_iter().partition(|work| work.round == round)
}

fn empty(shard: StockShardId, entry: &ShardEntry) -> ShardBatch {
    ShardBatch {
        shard,
        places: Vec::new(),
        commands: Vec::new(),
        hold_for_s: entry.event.row.hold_for_s,
        processing_for_s: entry.event.row.processing_for_s,
        now: clock::now(),
    }
}

/// The stock shard, if it belongs to this log.
async fn look_up(
    shared: &Shared,
    source: &TopicPartition,
    id: StockShardId,
) -> Result<Option<ShardEntry>, ProcessError> {
    let mine = |entry: &ShardEntry| entry.event.topic() == &*source.topic;
    if let Some(entry) = shared.catalog.snapshot().shard(id).cloned() {
        return Ok(Some(entry).filter(mine));
    }
    shared
        .catalog
        .refresh()
        .await
        .map_err(ProcessError::Lookup)?;
    Ok(shared.catalog.snapshot().shard(id).cloned().filter(mine))
}

async fn put_aside(
    shared: &Shared,
    source: &TopicPartition,
    record: &Record,
    reason: &str,
) -> Result<(), ProcessError> {
    warn!(%source, offset = record.offset, reason, "message put aside");
    counter!("ticket_dead_letters_total", "topic" => "orders").increment(1);
    shared
        .log
        .dead_letter(&source.topic, record, reason)
        .await
        .map(|_offset| ())
        .map_err(ProcessError::DeadLetter)
}

/// Has the ledger decide `work`; nothing if the stock shard is gone for good.
pub(super) async fn decide(shared: &Shared, work: Work) -> Result<Vec<Decided>, ProcessError> {
    match decide_all(&shared.ledger, work).await {
        Ok(decided) => Ok(decided),
        // The sale was deleted, log and all, while we read its last messages.
        Err(LedgerError::UnknownShard { shard }) => {
            warn!(%shard, "batch for a sale that is gone");
            Ok(Vec::new())
        }
        Err(error) => Err(ProcessError::Decide(error)),
    }
}

async fn decide_all(ledger: &Ledger, work: Work) -> Result<Vec<Decided>, LedgerError> {
    let mut decided = Vec::with_capacity(1);
    let (id, round, marker) = (work.batch.shard, work.round, work.marker);
    if !work.batch.places.is_empty() || !work.batch.commands.is_empty() {
        let begun = Instant::now();
        let (spans, traces) = spans(&work);
        let applied = ledger.apply(&work.batch).await;
        drop(spans);
        let applied = applied?;
        histogram!("ticket_ledger_batch_seconds").record(begun.elapsed());
        let only_flagged = facts::only_flagged(&work.batch);
        let facts = facts::facts(&work.shard, work.batch, applied);
        facts::count(&facts, &only_flagged);
        decided.push(Decided {
            facts,
            traces,
            round,
        });
    }
    if let Some(Adjust {
        adjustment,
        capacity,
        ..
    }) = work.adjust
    {
        let adjusted = ledger.adjust(id, adjustment, capacity).await?;
        decided.push(Decided {
            facts: facts::of_adjustment(&work.shard, id, &adjusted),
            traces: Traces::default(),
            round,
        });
    }
    if let Some(epoch) = marker {
        let at = ledger.mark(id, epoch).await?;
        debug!(shard = %id, marker = %epoch, epoch = %at, "marker met");
    }
    Ok(decided)
}

/// A span for each order whose trace is kept; they last as long as the ledger call that all share. What follows from the
/// decision goes on from them.
fn spans(work: &Work) -> (Vec<trace::Span>, Traces) {
    let mut spans = Vec::new();
    let mut onwards = Traces::default();
    for (order, from) in work.traces.iter() {
        let Some(mut span) = trace::child("ledger batch", *from) else {
            onwards.push(*order, *from);
            continue;
        };
        let orders = work.batch.places.len() + work.batch.commands.len();
        span.set("ticket.order", order.to_string());
        span.set("ticket.stock_shard", work.batch.shard.get());
        span.set(
            "ticket.batch_orders",
            i64::try_from(orders).unwrap_or(i64::MAX),
        );
        onwards.push(*order, span.parent());
        spans.push(span);
    }
    (spans, onwards)
}
