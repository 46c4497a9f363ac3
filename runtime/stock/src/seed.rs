//! Filling the store from the ledger: stage what is large in batches, then swap and arm in one atomic call. Also the
//! other end: closing an event.

use std::time::Duration;

use ticket_core::names::StockKeys;
use ticket_core::{CategoryName, Epoch, EventId, ShardStock};

use crate::error::StockError;
use crate::library;
use crate::record::{StoreRecord, micros};
use crate::reply;
use crate::store::{StockStore, fcall};

/// Orders in one call of stage: about 1 ms of the server.
pub const STAGE_BATCH_ORDERS: usize = 250;

/// What is staged and never seeded (the run died, or was fenced) is dropped by the server after this time. Longer than
/// any warm-up; each batch starts it anew.
pub const STAGED_KEEP: Duration = Duration::from_hours(1);

/// A category as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedCategory {
    /// Its name.
    pub name: CategoryName,
    /// Its stock shards; at least one. Whoever seeds a sale that is open reads the ledger again afterwards and calls
    /// [`StockStore::adjust`] for what was adjusted meanwhile: the store refuses adjustments while it is not armed.
    pub shards: Vec<ShardStock>,
}

/// All of an event's stock at one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The sale.
    pub event: EventId,
    /// The epoch to arm it with; newer than any that the store has seen.
    pub epoch: Epoch,
    /// Held and paid units that one buyer may have over all categories. 0 = no limit.
    pub max_per_buyer: u32,
    /// Every category of the event.
    pub categories: Vec<SeedCategory>,
    /// How many orders were staged for this epoch, by the caller's own count; 0 for a new event. The seed refuses if other
    /// ones are there. What [`StockStore::stage`] answered last is no such count: a server that has lost its data meanwhile
    /// counts from 0 again.
    pub staged: u64,
}

/// What became of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeded {
    /// The event sells with this epoch. Also the answer to a repeat, which changes nothing.
    Armed,
    /// The store has seen this epoch or a newer one; nothing changed.
    Fenced {
        /// The newest epoch that it has seen.
        by: Epoch,
    },
}

impl StockStore {
    /// Puts orders aside for the seed of `epoch`: live ones, whose units count for their buyers, and void ones that
    /// shall be remembered. An order that is staged already stays as it is, so a batch may be repeated. Answers how
    /// many orders are staged in all; `pending` of the records is not looked at.
    pub async fn stage(
        &self,
        event: EventId,
        epoch: Epoch,
        records: &[StoreRecord],
    ) -> Result<u64, StockError> {
        let failed = |cause| StockError::Stage {
            event,
            epoch,
            cause,
        };
        let [orders, buyers] = staged_keys(event, epoch);
        let mut staged = 0;
        for batch in records.chunks(STAGE_BATCH_ORDERS) {
            let mut call = fcall(library::STAGE, &[&orders, &buyers]);
            call.arg(STAGED_KEEP.as_secs());
            for record in batch {
                call.arg(if record.voided { "V" } else { "R" })
                    .arg(record.order.to_string())
                    .arg(record.category.as_str())
                    .arg(record.shard.get())
                    .arg(record.quantity)
                    .arg(record.epoch.0)
                    .arg(micros(record.reserved_at))
                    .arg(record.version)
                    .arg(record.buyer.as_str());
            }
            let reply = self.connection.call(&call).await.map_err(failed)?;
            let count = reply::whole(&reply).map_err(failed)?;
            staged = u64::try_from(count).map_err(|_| failed(reply::unexpected(&reply)))?;
        }
        Ok(staged)
    }

    /// Replaces all that the store knows of the event, and arms it, in one atomic call.
    pub async fn seed(&self, seed: &Seed) -> Result<Seeded, StockError> {
        let (event, epoch) = (seed.event, seed.epoch);
        let failed = |cause| StockError::Seed {
            event,
            epoch,
            cause,
        };
        let keys = StockKeys::new(event);
        let [staged_orders, staged_buyers] = staged_keys(event, epoch);
        let categories: Vec<String> = seed
            .categories
            .iter()
            .map(|category| keys.counts(&category.name))
            .collect();
        let (orders, pending, buyers) = (keys.orders(), keys.pending(), keys.buyers());
        let capacities = keys.capacities();
        let mut all = vec![
            orders.as_str(),
            pending.as_str(),
            buyers.as_str(),
            capacities.as_str(),
            staged_orders.as_str(),
            staged_buyers.as_str(),
        ];
        all.extend(categories.iter().map(String::as_str));
        let mut call = fcall(library::SEED, &all);
        call.arg(epoch.0).arg(seed.max_per_buyer).arg(seed.staged);
        for category in &seed.categories {
            call.arg(category.shards.len());
            for stock in &category.shards {
                call.arg(stock.shard.get())
                    .arg(stock.available)
                    .arg(stock.capacity)
                    .arg(stock.adjustment.0);
            }
        }
        let reply = self.connection.call(&call).await.map_err(failed)?;
        match reply::whole(&reply).map_err(failed)? {
            0 => Ok(Seeded::Armed),
            -1 => Err(StockError::StagedOrders {
                event,
                epoch,
                expected: seed.staged,
            }),
            by if by > 0 => Ok(Seeded::Fenced { by: Epoch(by) }),
            _ => Err(failed(reply::unexpected(&reply))),
        }
    }

    /// Nothing is sold by an epoch before `epoch` from now on: buyers hear at once that the store warms up, instead of being
    /// turned down behind the marker. Does nothing to this epoch and newer ones.
    pub async fn disarm(&self, event: EventId, epoch: Epoch) -> Result<(), StockError> {
        let failed = |cause| StockError::Seed {
            event,
            epoch,
            cause,
        };
        let mut call = fcall(library::DISARM, &[&StockKeys::new(event).orders()]);
        call.arg(epoch.0);
        self.connection.call(&call).await.map_err(failed)?;
        Ok(())
    }

    /// The end of a sale: disarms the event and drops what the store knows of it. Idempotent.
    pub async fn close(
        &self,
        event: EventId,
        categories: &[CategoryName],
    ) -> Result<(), StockError> {
        let keys = StockKeys::new(event);
        let counts: Vec<String> = categories
            .iter()
            .map(|category| keys.counts(category))
            .collect();
        let own = [
            keys.orders(),
            keys.pending(),
            keys.buyers(),
            keys.capacities(),
        ];
        let mut all: Vec<&str> = own.iter().map(String::as_str).collect();
        all.extend(counts.iter().map(String::as_str));
        self.connection
            .call(&fcall(library::CLOSE, &all))
            .await
            .map_err(|cause| StockError::Close { event, cause })?;
        Ok(())
    }
}

/// Where orders and buyers wait for the seed of `epoch`. Each epoch has keys of its own, so that a run that was fenced
/// does not mix its orders into those of the run that fenced it.
fn staged_keys(event: EventId, epoch: Epoch) -> [String; 2] {
    let keys = StockKeys::new(event);
    [
        keys.staged(&format!("o:{epoch}")),
        keys.staged(&format!("b:{epoch}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slot of a key in a Redis cluster: CRC-16/XMODEM of the part in braces, modulo 16384. Source: Redis cluster
    /// specification, "Hash tags".
    fn slot(key: &str) -> u16 {
        let tag = key
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map(|(tag, _)| tag)
            .filter(|tag| !tag.is_empty())
            .unwrap_or(key);
        let crc = tag.bytes().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
                if crc & 0x8000 == 0 {
                    crc << 1
                } else {
                    (crc << 1) ^ 0x1021
                }
            })
        });
        crc % 16384
    }

    #[test]
    fn the_slot_is_computed_as_redis_does() {
        // Check value of CRC-16/XMODEM: "123456789" gives 0x31c3.
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("foo{123456789}bar"), slot("123456789"));
    }

    #[test]
    fn all_keys_of_an_event_are_in_one_slot_and_no_two_are_the_same() {
        let event = EventId(uuid::Uuid::from_u128(0x1234));
        let keys = StockKeys::new(event);
        let names = ["o", "p", "b", "c", "vip", "h", "next"];
        let mut all = vec![
            keys.orders(),
            keys.pending(),
            keys.buyers(),
            keys.capacities(),
        ];
        all.extend(
            names
                .iter()
                .map(|name| keys.counts(&CategoryName::new(name).unwrap())),
        );
        all.extend(staged_keys(event, Epoch(1)));
        all.extend(staged_keys(event, Epoch(2)));
        let expected = slot(&keys.orders());
        for key in &all {
            assert_eq!(slot(key), expected, "{key}");
        }
        let distinct: std::collections::HashSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        let other = StockKeys::new(EventId(uuid::Uuid::from_u128(0x1235)));
        assert_ne!(slot(&other.orders()), expected);
    }
}
