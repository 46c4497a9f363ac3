//! What the stock store remembers of an order, and how it is written there.

use jiff::Timestamp;
use redis::{RedisError, Value};
use ticket_core::{BuyerId, CategoryName, Epoch, OrderId, StockShardId};

use crate::reply;

/// What the stock store remembers of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRecord {
    /// The order.
    pub order: OrderId,
    /// The category that it was reserved in.
    pub category: CategoryName,
    /// The stock shard that its units are of.
    pub shard: StockShardId,
    /// Tickets.
    pub quantity: u32,
    /// Who buys.
    pub buyer: BuyerId,
    /// The epoch of the reservation. A seeded record keeps it.
    pub epoch: Epoch,
    /// When it was reserved, by the clock of the API; to the microsecond.
    pub reserved_at: Timestamp,
    /// Version of the ledger's newest decision that the store has met; 0 before the first.
    pub version: i64,
    /// Nobody said yet that the ledger decided it.
    pub pending: bool,
    /// The ledger decided that it does not have its units (any more).
    pub voided: bool,
}

impl StoreRecord {
    /// Reads the array of record and pending flag that functions answer for a known order.
    pub(crate) fn read(order: OrderId, value: &Value) -> Result<Self, RedisError> {
        let [record, pending] = reply::list(value)? else {
            return Err(reply::unexpected(value));
        };
        let is_pending = reply::whole(pending)? == 1;
        Self::parse(order, reply::text(record)?, is_pending).ok_or_else(|| reply::unexpected(value))
    }

    /// Reads `mark|category|shard|quantity|epoch|time|version|buyer`. The buyer may contain `|`.
    pub(crate) fn parse(order: OrderId, text: &str, pending: bool) -> Option<Self> {
        let mut words = text.splitn(8, '|');
        let voided = match words.next()? {
            "R" => false,
            "V" => true,
            _ => return None,
        };
        Some(Self {
            order,
            category: CategoryName::new(words.next()?).ok()?,
            shard: StockShardId::new(words.next()?.parse().ok()?).ok()?,
            quantity: words.next()?.parse().ok()?,
            epoch: Epoch(words.next()?.parse().ok()?),
            reserved_at: Timestamp::from_microsecond(words.next()?.parse().ok()?).ok()?,
            version: words.next()?.parse().ok()?,
            buyer: BuyerId::new(words.next()?).ok()?,
            pending,
            voided,
        })
    }
}

/// Microseconds since 1970, as records and the pending list keep times.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond().max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_with_bars_in_the_buyer() {
        let order = OrderId(uuid::Uuid::from_u128(1));
        let record =
            StoreRecord::parse(order, "R|vip|7|2|3|1700000000000001|9|google|a|b", true).unwrap();
        assert_eq!(record.buyer.as_str(), "google|a|b");
        assert_eq!(record.category.as_str(), "vip");
        assert_eq!(
            (record.shard.get(), record.quantity, record.epoch),
            (7, 2, Epoch(3))
        );
        assert_eq!(record.reserved_at.as_microsecond(), 1_700_000_000_000_001);
        assert_eq!(record.version, 9);
        assert!(record.pending && !record.voided);
    }

    #[test]
    fn a_torn_record_is_no_record() {
        let order = OrderId(uuid::Uuid::from_u128(1));
        for text in [
            "",
            "R",
            "X|vip|7|2|3|0|0|b",
            "R|VIP|7|2|3|0|0|b",
            "R|vip|0|2|3|0|0|b",
            "R|vip|7|-2|3|0|0|b",
            "R|vip|7|2|3|0|x|b",
            "R|vip|7|2|3|0|0|",
            "R|vip|7|2|3|0|0",
        ] {
            assert_eq!(StoreRecord::parse(order, text, false), None, "{text}");
        }
    }
}
