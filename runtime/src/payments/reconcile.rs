//! Asks about payments of which nothing was heard: the webhook may be lost, or the process that had the errand is dead.
//! What it knows it reads from the ledger, for the stock shards whose facts this process handles; what it does are the
//! same errands that facts lead to. It keeps cursors and nothing that may not be lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use ticket_core::{EventId, OrderRecord, OrderRef, StockShardId, clock};
use ticket_ledger::{Ledger, LedgerError, OrderCursor};
use ticket_payments::Provider;
use ticket_telemetry::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::desk::Desk;
use super::errand::Subject;
use crate::catalog::{EventEntry, Snapshot};
use crate::processor::partition_of;

/// How often the ledger is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So long before its hold ends the provider is asked about an order, at most half of the hold.
const ASK_BEFORE_END: SignedDuration = SignedDuration::from_secs(15);

/// Orders that have been awaiting their payment for so long are asked about, once per round.
const ASK_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// A round over all orders that await their payment begins at most so often.
const ROUND_EVERY: Duration = Duration::from_mins(1);

/// An order that is reserved or refunding, or that ended with a payment, is left alone for so long: facts come first.
const LEAVE_ALONE_FOR: SignedDuration = SignedDuration::from_secs(20);

/// How often all orders of an event are read for such orders, while the event changes.
const SCAN_EVERY: Duration = Duration::from_secs(30);

/// An order that a scan has found is not taken up by another one for so long.
const AGAIN_AFTER: Duration = Duration::from_mins(2);

/// Orders that ended so long before this process began to look are asked about once more: whoever had that errand may have
/// died with it.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(15);

/// Partitions of `order-events` that this process handles. Their stock shards are its to look at.
#[derive(Debug, Default)]
pub(crate) struct Partitions(Mutex<HashSet<i32>>);

/// Ownership of a partition; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Owned {
    partitions: Arc<Partitions>,
    partition: i32,
}

impl Partitions {
    pub(super) fn own(self: &Arc<Self>, partition: i32) -> Owned {
        let mut owned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owned.insert(partition);
        Owned {
            partitions: Arc::clone(self),
            partition,
        }
    }

    fn now(&self) -> HashSet<i32> {
        let owned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owned.clone()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let mut owned = self
            .partitions
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        owned.remove(&self.partition);
    }
}

/// How far the looks at one event are.
struct Watch {
    shards: Vec<StockShardId>,
    /// Every order whose hold ends up to here was asked about.
    ending: OrderCursor,
    /// The round over all that await their payment: how far it is, and when it began.
    round: Option<OrderCursor>,
    round_at: Option<Instant>,
    scan_at: Option<Instant>,
    /// Versions of the stock shards at the last scan, and whether it found nothing.
    scanned: Option<(i64, bool)>,
    /// Every order that ended up to here was asked about.
    ended: OrderCursor,
    found: HashMap<OrderRef, Instant>,
}

impl Watch {
    fn new(shards: Vec<StockShardId>, now: Timestamp) -> Self {
        let since = now.saturating_sub(LOOK_BACK).unwrap_or(now);
        Self {
            shards,
            ending: OrderCursor::START,
            round: None,
            round_at: None,
            scan_at: None,
            scanned: None,
            ended: OrderCursor::since(since),
            found: HashMap::new(),
        }
    }
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= every)
}

/// Looks for overdue orders.
pub(crate) struct Reconciler<P> {
    desk: Arc<Desk<P>>,
    ledger: Ledger,
    partitions: Arc<Partitions>,
    /// Orders of each kind in one look at one event: what bounds the calls that this adds to those of facts.
    orders_per_look: u32,
    watches: BTreeMap<EventId, Watch>,
}

impl<P: Provider + 'static> Reconciler<P> {
    pub(super) fn new(
        desk: Arc<Desk<P>>,
        ledger: Ledger,
        partitions: Arc<Partitions>,
        orders_per_look: u32,
    ) -> Self {
        Self {
            desk,
            ledger,
            partitions,
            orders_per_look: orders_per_look.max(1),
            watches: BTreeMap::new(),
        }
    }

    /// Looks until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let snapshot = self.desk.catalog().snapshot();
            let mine = shards_of(&snapshot, &self.partitions.now());
            self.watches.retain(|event, _| mine.contains_key(event));
            for event in snapshot.events() {
                let Some(shards) = mine.get(&event.id()) else {
                    continue;
                };
                let now = clock::now();
                let looked = tokio::select! {
                    () = stop.cancelled() => return,
                    looked = self.look(event, shards, now) => looked,
                };
                if let Err(error) = looked {
                    warn!(error = %chain(&error), code = error.code(), event = %event.name(), "overdue payments not looked at");
                }
            }
        }
    }

    async fn look(
        &mut self,
        event: &EventEntry,
        shards: &[StockShardId],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let watch = self.watches.entry(event.id());
        let mut watch = match watch {
            std::collections::btree_map::Entry::Occupied(known) if known.get().shards == shards => {
                known.remove()
            }
            // Another share of the event: begin anew.
            std::collections::btree_map::Entry::Occupied(_)
            | std::collections::btree_map::Entry::Vacant(_) => Watch::new(shards.to_vec(), now),
        };
        let looked = self.look_with(event, &mut watch, now).await;
        self.watches.insert(event.id(), watch);
        looked
    }

    async fn look_with(
        &self,
        event: &EventEntry,
        watch: &mut Watch,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.ask_before_the_end(event, watch, now).await?;
        if watch.round.is_none() && is_due(watch.round_at, ROUND_EVERY) {
            watch.round = Some(OrderCursor::START);
            watch.round_at = Some(Instant::now());
        }
        if let Some(at) = watch.round {
            watch.round = self.ask_all_that_wait(event, watch, at, now).await?;
        }
        if is_due(watch.scan_at, SCAN_EVERY) {
            watch.scan_at = Some(Instant::now());
            self.scan(event, watch, now).await?;
        }
        Ok(())
    }

    /// The last chance to learn of money before the hold is over.
    async fn ask_before_the_end(
        &self,
        event: &EventEntry,
        watch: &mut Watch,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let half = SignedDuration::from_secs(i64::from(event.row.hold_for_s)) / 2;
        let until = now
            .saturating_add(ASK_BEFORE_END.min(half))
            .unwrap_or(Timestamp::MAX);
        let (ledger, limit) = (&self.ledger, self.orders_per_look);
        let ending = ledger.awaiting_payment(&watch.shards, watch.ending, until, limit);
        for (order, record) in ending.await? {
            if let Some(ends_at) = record.hold_expires_at {
                watch.ending = OrderCursor::after(ends_at, order.order);
            }
            self.take(event, order, &record).await;
        }
        Ok(())
    }

    /// A part of a round; answers where the next part begins, `None` at the end.
    async fn ask_all_that_wait(
        &self,
        event: &EventEntry,
        watch: &Watch,
        at: OrderCursor,
        now: Timestamp,
    ) -> Result<Option<OrderCursor>, LedgerError> {
        let (ledger, limit) = (&self.ledger, self.orders_per_look);
        let waiting = ledger.awaiting_payment(&watch.shards, at, Timestamp::MAX, limit);
        let waiting = waiting.await?;
        for (order, record) in &waiting {
            if now.duration_since(record.updated_at) >= ASK_AFTER {
                self.take(event, *order, record).await;
            }
        }
        let is_full = u32::try_from(waiting.len()) == Ok(limit);
        let last = waiting.last().filter(|_| is_full);
        Ok(last.and_then(|(order, record)| {
            Some(OrderCursor::after(record.hold_expires_at?, order.order))
        }))
    }

    /// Orders that facts should have dealt with long ago. An event that has not changed since a scan found nothing is
    /// not read again.
    async fn scan(
        &self,
        event: &EventEntry,
        watch: &mut Watch,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let stock = self.ledger.stock(event.id()).await?;
        let mine = stock.iter().filter(|row| watch.shards.contains(&row.id));
        let versions: i64 = mine.map(|row| row.version).sum();
        if watch.scanned == Some((versions, true)) {
            return Ok(());
        }
        let before = now.saturating_sub(LEAVE_ALONE_FOR).unwrap_or(now);
        let (ledger, limit) = (&self.ledger, self.orders_per_look);
        watch.found.retain(|_, at| at.elapsed() < AGAIN_AFTER);
        let unsettled = ledger.unsettled(event.id(), &watch.shards, before, limit);
        let unsettled = unsettled.await?;
        let mut taken = 0_u32;
        for (order, record) in &unsettled {
            if !watch.found.contains_key(order) {
                watch.found.insert(*order, Instant::now());
                taken += u32::from(self.take(event, *order, record).await);
            }
        }
        let ended = ledger.ended_unpaid(event.id(), &watch.shards, watch.ended, before, limit);
        let ended = ended.await?;
        for (order, record) in &ended {
            watch.ended = OrderCursor::after(record.updated_at, order.order);
            self.take(event, *order, record).await;
        }
        if taken > 0 {
            info!(event = %event.name(), orders = taken, "took up orders that wait for the provider");
        }
        // Found nothing twice in a row at the same versions: what was too young the first time was not the second time.
        let is_quiet = unsettled.is_empty() && ended.is_empty();
        let is_same = watch.scanned.is_some_and(|(before, _)| before == versions);
        watch.scanned = Some((versions, is_quiet && is_same));
        Ok(())
    }

    /// Was there something to do?
    async fn take(&self, event: &EventEntry, order: OrderRef, record: &OrderRecord) -> bool {
        let catalog = self.desk.catalog().snapshot();
        let Some(shard) = catalog.shard(order.shard) else {
            return false;
        };
        let subject = Subject {
            order,
            record,
            event: event.name(),
            currency: shard.category().price.currency,
        };
        let Some(errand) = subject.overdue() else {
            return false;
        };
        let task = errand.task.as_str();
        let is_taken = self.desk.take(errand, None).await.is_some();
        if is_taken {
            counter!("ticket_reconcile_total", "kind" => "payments", "result" => task).increment(1);
        }
        is_taken
    }
}

/// The stock shards whose facts are on these partitions, by event, in the order of their ids.
fn shards_of(
    snapshot: &Snapshot,
    partitions: &HashSet<i32>,
) -> BTreeMap<EventId, Vec<StockShardId>> {
    let mut shards: BTreeMap<EventId, Vec<StockShardId>> = BTreeMap::new();
    for (id, entry) in snapshot.shards() {
        if partitions.contains(&partition_of(id)) {
            shards.entry(entry.event.id()).or_default().push(id);
        }
    }
    for ids in shards.values_mut() {
        ids.sort_unstable();
    }
    shards
}
