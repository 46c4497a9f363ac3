//! Facts as bytes. It knows field numbers; the meaning stands in [`crate::fact`].

use jiff::Timestamp;

use super::command::PaymentBody;
use super::{DecodeError, Id128, read, time, write};
use crate::fact::{FactBatch, MoveKind, OrderRecord, StockCounts, StockMove};
use crate::ids::{Adjustment, BuyerId, CategoryName, Epoch, EventId, OrderId, StockShardId};
use crate::machine::{Passed, Reason, State};
use crate::money::Currency;

#[derive(Clone, PartialEq, prost::Message)]
struct Batch {
    #[prost(message, optional, tag = "1")]
    event: Option<Id128>,
    #[prost(string, tag = "2")]
    event_name: String,
    #[prost(string, tag = "3")]
    category: String,
    #[prost(string, tag = "4")]
    currency: String,
    #[prost(int64, tag = "5")]
    shard: i64,
    #[prost(int64, tag = "6")]
    epoch: i64,
    #[prost(int64, tag = "7")]
    version: i64,
    #[prost(int64, tag = "8")]
    capacity: i64,
    #[prost(int64, tag = "9")]
    available: i64,
    #[prost(int64, tag = "10")]
    held: i64,
    #[prost(int64, tag = "11")]
    sold: i64,
    #[prost(message, repeated, tag = "12")]
    orders: Vec<Order>,
    #[prost(message, repeated, tag = "13")]
    moves: Vec<Move>,
    /// Not there: the call was about no adjustment.
    #[prost(int64, optional, tag = "14")]
    adjustment: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Move {
    #[prost(message, optional, tag = "1")]
    order: Option<Id128>,
    #[prost(uint32, tag = "2")]
    quantity: u32,
    /// 1 sold, 2 claimed, 3 returned.
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(int64, tag = "4")]
    version: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
#[expect(
    clippy::struct_field_names,
    reason = "an order's id is `order` everywhere"
)]
struct Order {
    #[prost(message, optional, tag = "1")]
    order: Option<Id128>,
    #[prost(int64, tag = "2")]
    version: i64,
    #[prost(int32, tag = "3")]
    state: i32,
    #[prost(int32, tag = "4")]
    reason: i32,
    #[prost(int32, tag = "5")]
    passed: i32,
    #[prost(string, tag = "6")]
    buyer: String,
    #[prost(uint32, tag = "7")]
    quantity: u32,
    #[prost(int64, tag = "8")]
    amount_minor: i64,
    #[prost(int64, tag = "9")]
    created_us: i64,
    #[prost(int64, tag = "10")]
    updated_us: i64,
    /// 0: no hold runs.
    #[prost(int64, tag = "11")]
    hold_expires_us: i64,
    #[prost(message, optional, tag = "12")]
    payment: Option<PaymentBody>,
}

pub(crate) fn encode(batch: &FactBatch) -> Vec<u8> {
    write(&Batch {
        event: Some(batch.event.0.into()),
        event_name: batch.event_name.to_string(),
        category: batch.category.to_string(),
        currency: batch.currency.to_string(),
        shard: batch.shard.get(),
        epoch: batch.epoch.0,
        version: batch.version,
        capacity: batch.stock.capacity,
        available: batch.stock.available,
        held: batch.stock.held,
        sold: batch.stock.sold,
        orders: batch.orders.iter().map(encode_order).collect(),
        moves: batch.moves.iter().map(encode_move).collect(),
        adjustment: batch.adjustment.map(|adjustment| adjustment.0),
    })
}

fn encode_move(units: &StockMove) -> Move {
    Move {
        order: Some(units.order.0.into()),
        quantity: units.quantity,
        kind: match units.kind {
            MoveKind::Sold => 1,
            MoveKind::Claimed => 2,
            MoveKind::Returned => 3,
        },
        version: units.version,
    }
}

fn decode_move(units: Move) -> Result<StockMove, DecodeError> {
    Ok(StockMove {
        order: OrderId(units.order.ok_or(DecodeError::Missing("order id"))?.into()),
        quantity: units.quantity,
        kind: match units.kind {
            1 => MoveKind::Sold,
            2 => MoveKind::Claimed,
            3 => MoveKind::Returned,
            number => {
                return Err(DecodeError::Unknown {
                    what: "move of units",
                    number: i64::from(number),
                });
            }
        },
        version: units.version,
    })
}

fn encode_order(order: &OrderRecord) -> Order {
    Order {
        order: Some(order.order.0.into()),
        version: order.version,
        state: i32::from(order.state.number()),
        reason: order.reason.map_or(0, |reason| i32::from(reason.number())),
        passed: i32::from(order.passed.0),
        buyer: order.buyer.as_str().to_owned(),
        quantity: order.quantity,
        amount_minor: order.amount_minor,
        created_us: order.created_at.as_microsecond(),
        updated_us: order.updated_at.as_microsecond(),
        hold_expires_us: order.hold_expires_at.map_or(0, Timestamp::as_microsecond),
        payment: order.payment.as_ref().map(Into::into),
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<FactBatch, DecodeError> {
    let batch: Batch = read(bytes)?;
    Ok(FactBatch {
        event: EventId(batch.event.ok_or(DecodeError::Missing("event id"))?.into()),
        event_name: batch.event_name.parse()?,
        category: CategoryName::new(&batch.category)?,
        currency: Currency::new(&batch.currency)?,
        shard: StockShardId::new(batch.shard)?,
        epoch: Epoch(batch.epoch),
        version: batch.version,
        stock: StockCounts {
            capacity: batch.capacity,
            available: batch.available,
            held: batch.held,
            sold: batch.sold,
        },
        orders: batch
            .orders
            .into_iter()
            .map(decode_order)
            .collect::<Result<_, _>>()?,
        moves: batch
            .moves
            .into_iter()
            .map(decode_move)
            .collect::<Result<_, _>>()?,
        adjustment: batch.adjustment.map(Adjustment),
    })
}

fn decode_order(order: Order) -> Result<OrderRecord, DecodeError> {
    let unknown = |what, number: i32| DecodeError::Unknown {
        what,
        number: i64::from(number),
    };
    let short = |what, number: i32| i16::try_from(number).map_err(|_| unknown(what, number));
    let reason = match order.reason {
        0 => None,
        number => Some(
            Reason::from_number(short("reason", number)?)
                .ok_or_else(|| unknown("reason", number))?,
        ),
    };
    let hold_expires_at = match order.hold_expires_us {
        0 => None,
        us => Some(time(us)?),
    };
    Ok(OrderRecord {
        order: OrderId(order.order.ok_or(DecodeError::Missing("order id"))?.into()),
        version: order.version,
        state: State::from_number(short("state", order.state)?)
            .ok_or_else(|| unknown("state", order.state))?,
        reason,
        passed: Passed(short("passed", order.passed)?),
        buyer: BuyerId::new(order.buyer)?,
        quantity: order.quantity,
        amount_minor: order.amount_minor,
        created_at: time(order.created_us)?,
        updated_at: time(order.updated_us)?,
        hold_expires_at,
        payment: order.payment.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::fact::Payment;

    fn order() -> impl Strategy<Value = OrderRecord> {
        let words = ("[^\\pC]{1,40}", proptest::option::of("[a-z_0-9]{1,30}"));
        let numbers = (
            any::<u128>(),
            any::<i64>(),
            0..1_024_i16,
            1..99_u32,
            any::<i64>(),
        );
        let times = (
            1..4_000_000_000_000_000_i64,
            proptest::option::of(1..4_000_000_000_000_000_i64),
        );
        let state = proptest::sample::select(State::ALL.to_vec());
        let reason = proptest::option::of(proptest::sample::select(Reason::ALL.to_vec()));
        (words, numbers, times, state, reason).prop_map(|(words, numbers, times, state, reason)| {
            let (buyer, payment) = words;
            let (id, version, passed, quantity, amount_minor) = numbers;
            let (at, hold) = times;
            OrderRecord {
                order: OrderId(Uuid::from_u128(id)),
                version,
                state,
                reason,
                passed: Passed(passed),
                buyer: BuyerId::new(buyer).unwrap(),
                quantity,
                amount_minor,
                created_at: time(at).unwrap(),
                updated_at: time(at).unwrap(),
                hold_expires_at: hold.map(|us| time(us).unwrap()),
                payment: payment.map(|id| Payment {
                    provider: "stripe".to_owned(),
                    client_secret: format!("{id}_secret"),
                    id,
                }),
            }
        })
    }

    fn units() -> impl Strategy<Value = StockMove> {
        let kinds = [MoveKind::Sold, MoveKind::Claimed, MoveKind::Returned];
        let kind = proptest::sample::select(kinds.to_vec());
        (any::<u128>(), any::<u32>(), kind, any::<i64>()).prop_map(
            |(id, quantity, kind, version)| StockMove {
                order: OrderId(Uuid::from_u128(id)),
                quantity,
                kind,
                version,
            },
        )
    }

    proptest! {
        #[test]
        fn a_fact_reads_back_as_it_was_written(
            orders in proptest::collection::vec(order(), 0..8),
            moves in proptest::collection::vec(units(), 0..4),
            adjustment in proptest::option::of(any::<i64>()),
            version in any::<i64>(),
        ) {
            let batch = FactBatch {
                event: EventId(Uuid::from_u128(77)),
                event_name: "default.demo".parse().unwrap(),
                category: CategoryName::new("vip").unwrap(),
                currency: Currency::new("IDR").unwrap(),
                shard: StockShardId::new(42).unwrap(),
                epoch: Epoch(3),
                version,
                stock: StockCounts { capacity: 10, available: 5, held: 3, sold: 2 },
                orders,
                moves,
                adjustment: adjustment.map(Adjustment),
            };
            prop_assert_eq!(FactBatch::decode(&batch.encode()).unwrap(), batch);
        }

        #[test]
        fn foreign_bytes_are_an_error_and_never_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(batch) = FactBatch::decode(&bytes) {
                prop_assert_eq!(FactBatch::decode(&batch.encode()).unwrap(), batch);
            }
        }
    }
}
