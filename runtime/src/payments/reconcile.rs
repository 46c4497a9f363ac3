//! Asks about payments of which nothing was heard: the webhook may be lost, or the process that had the errand is dead.
//! What it knows it reads from the ledger, for the stock shards whose facts this process handles; what it does are the
//! same errands that facts lead to. It keeps cursors and nothing that may not be lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use metrics::{counter, histogram};
use ticket_core::{EventId, OrderRecord, OrderRef, StockShardId, clock};
use ticket_ledger::{Ledger, LedgerError, OrderCursor};
use ticket_payments::Provider;
use ticket_telemetry::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::complaints::Complaints;
use super::desk::Desk;
use super::errand::Subject;
use crate::catalog::{EventEntry, Snapshot};
use crate::processor::partition_of;

/// How often the ledger is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So long before its hold ends the provider is asked about an order, at most half of the hold.
const ASK_BEFORE_END: SignedDuration = SignedDuration::from_secs(15);

/// Orders that have been awaiting their payment for so long are asked about, once per round. Together with the time between
/// two rounds this is how long a buyer waits at most whose webhook is lost: a minute.
const ASK_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// A round over all orders that await their payment begins at most so often.
const ROUND_EVERY: Duration = Duration::from_secs(30);

/// An order that is reserved or refunding, or that ended with a payment, is left alone for so long: facts come first.
const LEAVE_ALONE_FOR: SignedDuration = SignedDuration::from_secs(20);

/// How often all orders of an event are read for such orders, while the event changes.
const SCAN_EVERY: Duration = Duration::from_secs(30);

/// Orders of each kind that one scan takes up at most, whatever the provider's rate allows: half of what a desk holds.
const SCAN_ORDERS_MAX: u32 = 2_048;

/// How often they are read while the event does not change and a scan found nothing new: a transfer to an order that has ended
/// may be on its way for days, and reading all orders again will not hurry it.
const SCAN_WAITING_EVERY: Duration = Duration::from_mins(5);

/// An order that a scan has found is not taken up by another one for so long.
const AGAIN_AFTER: Duration = Duration::from_mins(2);

/// Who handles this partition of `order-events` asks about complaints: one process is enough, and a complaint does not say
/// whose stock shard it is about.
const COMPLAINTS_PARTITION: i32 = 0;

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
    scanned: Option<Scanned>,
    /// How far the scans are with the orders that ended; at the end they begin anew.
    ended: OrderCursor,
    found: HashMap<OrderRef, Instant>,
}

/// What the last scan saw.
struct Scanned {
    /// Versions of the stock shards.
    versions: i64,
    at: Instant,
    left: Left,
}

/// What a scan leaves to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Orders that it took up, or did not come to.
    Work,
    /// Only orders that ended and are being taken care of.
    Waiting,
    /// No order.
    Nothing,
    /// No order, for the second time: what was too young the first time was not the second time.
    NothingAgain,
}

impl Watch {
    fn new(shards: Vec<StockShardId>) -> Self {
        Self {
            shards,
            ending: OrderCursor::START,
            round: None,
            round_at: None,
            scan_at: None,
            scanned: None,
            ended: OrderCursor::START,
            found: HashMap::new(),
        }
    }

    /// Is there anything to be found by reading all orders of the event, whose stock shards have these versions?
    fn is_scan_worthwhile(&self, versions: i64) -> bool {
        let Some(scanned) = &self.scanned else {
            return true;
        };
        let is_same = scanned.versions == versions;
        match scanned.left {
            Left::NothingAgain if is_same => false,
            Left::Waiting if is_same => scanned.at.elapsed() >= SCAN_WAITING_EVERY,
            Left::NothingAgain | Left::Waiting | Left::Nothing | Left::Work => true,
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
    complaints: Complaints,
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
            complaints: Complaints::since_before(clock::now()),
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
            let partitions = self.partitions.now();
            if partitions.contains(&COMPLAINTS_PARTITION) {
                let looked = self.complaints.look(&self.desk, self.orders_per_look);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = looked => {}
                }
            }
            let begun = Instant::now();
            let mine = shards_of(&snapshot, &partitions);
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
            histogram!("ticket_reconcile_seconds", "kind" => "payments").record(begun.elapsed());
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
            | std::collections::btree_map::Entry::Vacant(_) => Watch::new(shards.to_vec()),
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

    /// Orders that facts should have dealt with long ago. An event that has not changed since scans found nothing is not read
    /// again. Orders that ended are asked about until their payment is closed, however long ago that was: whoever had that
    /// errand may have died with it, and a transfer may take days.
    async fn scan(
        &self,
        event: &EventEntry,
        watch: &mut Watch,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let stock = self.ledger.stock(event.id()).await?;
        let mine = stock.iter().filter(|row| watch.shards.contains(&row.id));
        let versions: i64 = mine.map(|row| row.version).sum();
        if !watch.is_scan_worthwhile(versions) {
            return Ok(());
        }
        let before = now.saturating_sub(LEAVE_ALONE_FOR).unwrap_or(now);
        // As many as the looks until the next scan could take.
        let looks = u32::try_from(SCAN_EVERY.as_secs()).unwrap_or(1);
        let limit = self
            .orders_per_look
            .saturating_mul(looks)
            .min(SCAN_ORDERS_MAX);
        let ledger = &self.ledger;
        watch.found.retain(|_, at| at.elapsed() < AGAIN_AFTER);
        let unsettled = ledger.unsettled(event.id(), &watch.shards, before, limit);
        let unsettled = unsettled.await?;
        let from = watch.ended;
        let ended = ledger.ended_unpaid(event.id(), &watch.shards, from, before, limit);
        let ended = ended.await?;
        let is_full = u32::try_from(ended.len()) == Ok(limit);
        let last = ended.last().filter(|_| is_full);
        watch.ended = last.map_or(OrderCursor::START, |(order, record)| {
            OrderCursor::after(record.updated_at, order.order)
        });
        let mut taken = 0_u32;
        for (order, record) in unsettled.iter().chain(&ended) {
            if !watch.found.contains_key(order) {
                watch.found.insert(*order, Instant::now());
                taken += u32::from(self.take(event, *order, record).await);
            }
        }
        if taken > 0 {
            info!(event = %event.name(), orders = taken, "took up orders that wait for the provider");
        }
        let is_empty = unsettled.is_empty() && ended.is_empty() && from == OrderCursor::START;
        let was_empty = watch.scanned.as_ref().is_some_and(|last| {
            last.versions == versions && matches!(last.left, Left::Nothing | Left::NothingAgain)
        });
        let left = match (is_empty, was_empty) {
            (true, true) => Left::NothingAgain,
            (true, false) => Left::Nothing,
            (false, _) if taken == 0 && !is_full && unsettled.is_empty() => Left::Waiting,
            (false, _) => Left::Work,
        };
        watch.scanned = Some(Scanned {
            versions,
            at: Instant::now(),
            left,
        });
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
        let hold_for = SignedDuration::from_secs(i64::from(event.row.hold_for_s));
        let Some(errand) = subject.overdue(hold_for) else {
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
