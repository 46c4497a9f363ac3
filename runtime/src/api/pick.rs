//! Which stock shards an order is offered. For a moment all orders of a category go to the same stock shard: its partition
//! then gets few large batches instead of all partitions many small ones, which halves what an order costs the broker and
//! the ledger (Kafka's own producers choose partitions for records without a key in the same way). With each new moment the
//! stock store takes the fuller of two at random, so the shards drain alike. Only a hint: the stock store decides.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use ticket_bus::FETCH_WAIT_MAX;
use ticket_core::{CategoryName, EventId, StockShardId};

use super::per_category::PerCategory;

/// How long a stock shard is kept: as long as a broker holds a fetch of the processor back, so that in a quiet sale a fetch
/// brings one batch and not several small ones.
const KEPT_FOR: Duration = FETCH_WAIT_MAX;

/// Orders after which the next one is taken all the same: more would drain the shards unevenly.
const KEPT_FOR_ORDERS: u32 = 200;

/// Picks stock shards.
pub(crate) struct Picker {
    began: Instant,
    kept: PerCategory<Kept>,
}

/// The stock shard that is used at the moment.
#[derive(Default)]
struct Kept {
    /// 0, which no stock shard has, before the first.
    shard: AtomicI64,
    /// Microseconds since the picker began.
    until: AtomicU64,
    /// Orders that were offered it.
    offered: AtomicU32,
}

/// What the stock store is offered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    /// It takes the fuller one.
    pub(crate) shards: [StockShardId; 2],
    /// Its answer is what the next orders are offered.
    is_new: bool,
}

impl Picker {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            kept: PerCategory::default(),
        }
    }

    /// Two of `shards`; `None` if there are none.
    pub(crate) fn offer(
        &self,
        event: EventId,
        category: &CategoryName,
        shards: &[StockShardId],
    ) -> Option<Offer> {
        let kept = self.kept.of(event, category);
        if let Some(shard) = self.still_kept(&kept) {
            return Some(Offer {
                shards: [shard, shard],
                is_new: false,
            });
        }
        let mut random = rand::rng();
        let mut pick = || {
            let at = random.random_range(0..shards.len().max(1));
            shards.get(at).copied()
        };
        Some(Offer {
            shards: [pick()?, pick()?],
            is_new: true,
        })
    }

    /// The stock store has given units of `shard`.
    pub(crate) fn took(
        &self,
        event: EventId,
        category: &CategoryName,
        offer: Offer,
        shard: StockShardId,
    ) {
        // Another one than was offered: what was offered is nearly empty.
        if offer.is_new || !offer.shards.contains(&shard) {
            let kept = self.kept.of(event, category);
            kept.shard.store(shard.get(), Ordering::Relaxed);
        }
    }

    /// The shard that is used, unless it is time for another: then only the first who comes gets `None`.
    fn still_kept(&self, kept: &Kept) -> Option<StockShardId> {
        let shard = StockShardId::new(kept.shard.load(Ordering::Relaxed)).ok()?;
        let now = micros(self.began.elapsed());
        let until = kept.until.load(Ordering::Relaxed);
        let offered = kept.offered.fetch_add(1, Ordering::Relaxed);
        if now < until && offered < KEPT_FOR_ORDERS {
            return Some(shard);
        }
        let next = now + micros(KEPT_FOR);
        let is_first = kept
            .until
            .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if is_first {
            kept.offered.store(0, Ordering::Relaxed);
            return None;
        }
        Some(shard)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_shard_is_kept_for_some_orders_and_all_get_their_turn() {
        let picker = Picker::new();
        let event = EventId::random();
        let category = CategoryName::new("vip").unwrap();
        let shards: Vec<_> = (1..=4).map(|id| StockShardId::new(id).unwrap()).collect();
        assert!(picker.offer(event, &category, &[]).is_none());

        let mut left: HashMap<StockShardId, i32> = shards.iter().map(|id| (*id, 10_000)).collect();
        let mut changes = 0;
        let mut last = None;
        for _ in 0..20_000 {
            let offer = picker.offer(event, &category, &shards).unwrap();
            let [one, other] = offer.shards;
            let taken = if left[&other] > left[&one] {
                other
            } else {
                one
            };
            *left.get_mut(&taken).unwrap() -= 1;
            picker.took(event, &category, offer, taken);
            changes += u32::from(last.replace(taken) != Some(taken));
        }
        assert!((20..400).contains(&changes), "{changes} changes");
        // Half of the tickets are sold; no shard is far from the others.
        assert!(
            left.values().all(|left| (4_000..6_000).contains(left)),
            "{left:?}"
        );
    }

    #[test]
    fn what_the_store_gave_instead_is_offered_next() {
        let picker = Picker::new();
        let event = EventId::random();
        let category = CategoryName::new("vip").unwrap();
        let shard = |id| StockShardId::new(id).unwrap();
        let offer = picker.offer(event, &category, &[shard(1)]).unwrap();
        picker.took(event, &category, offer, shard(1));
        // The first after the start opens the moment.
        let offer = picker.offer(event, &category, &[shard(1)]).unwrap();
        picker.took(event, &category, offer, shard(1));
        let offer = picker.offer(event, &category, &[shard(1)]).unwrap();
        picker.took(event, &category, offer, shard(2));
        let offer = picker.offer(event, &category, &[shard(1)]).unwrap();
        assert_eq!(offer.shards, [shard(2), shard(2)]);
    }
}
