//! Commands as bytes. It knows field numbers; the meaning stands in [`crate::command`].

use super::{DecodeError, Id128, read, time, write};
use crate::command::{Action, Adjust, Command, Marker, OrderCommand, Place};
use crate::fact::Payment;
use crate::ids::{Adjustment, BuyerId, Epoch, OrderId, StockShardId};
use crate::machine::{Flag, Reason};

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    /// Not there in a command about stock alone.
    #[prost(message, optional, tag = "1")]
    order: Option<Id128>,
    #[prost(int64, tag = "2")]
    shard: i64,
    /// `accepted_at` of a place, `at` of all others; microseconds since 1970.
    #[prost(int64, tag = "3")]
    at_us: i64,
    #[prost(oneof = "Body", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "4")]
    Place(PlaceBody),
    #[prost(message, tag = "5")]
    PaymentReady(PaymentBody),
    #[prost(message, tag = "6")]
    PaymentProcessing(Empty),
    #[prost(message, tag = "7")]
    PaymentSucceeded(Empty),
    #[prost(message, tag = "8")]
    PaymentFailed(ReasonBody),
    #[prost(message, tag = "9")]
    Expire(Empty),
    #[prost(message, tag = "10")]
    Cancel(ReasonBody),
    #[prost(message, tag = "11")]
    Refund(ReasonBody),
    #[prost(message, tag = "12")]
    RefundSettled(Empty),
    #[prost(message, tag = "13")]
    Void(VoidBody),
    #[prost(message, tag = "14")]
    Adjust(AdjustBody),
    #[prost(message, tag = "15")]
    Flag(FlagBody),
    #[prost(message, tag = "16")]
    Marker(MarkerBody),
}

#[derive(Clone, PartialEq, prost::Message)]
struct PlaceBody {
    #[prost(int64, tag = "1")]
    epoch: i64,
    #[prost(string, tag = "2")]
    buyer: String,
    #[prost(uint32, tag = "3")]
    quantity: u32,
    #[prost(int64, tag = "4")]
    amount_minor: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct AdjustBody {
    #[prost(int64, tag = "1")]
    adjustment: i64,
    #[prost(uint32, tag = "2")]
    capacity: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct MarkerBody {
    #[prost(int64, tag = "1")]
    epoch: i64,
}

/// Of a payment, here and in facts.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PaymentBody {
    #[prost(string, tag = "1")]
    provider: String,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(string, tag = "3")]
    client_secret: String,
}

impl From<&Payment> for PaymentBody {
    fn from(payment: &Payment) -> Self {
        let Payment {
            provider,
            id,
            client_secret,
        } = payment.clone();
        Self {
            provider,
            id,
            client_secret,
        }
    }
}

impl From<PaymentBody> for Payment {
    fn from(body: PaymentBody) -> Self {
        let PaymentBody {
            provider,
            id,
            client_secret,
        } = body;
        Self {
            provider,
            id,
            client_secret,
        }
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ReasonBody {
    #[prost(int32, tag = "1")]
    reason: i32,
}

impl From<Reason> for ReasonBody {
    fn from(reason: Reason) -> Self {
        Self {
            reason: i32::from(reason.number()),
        }
    }
}

impl ReasonBody {
    fn reason(self) -> Result<Reason, DecodeError> {
        let unknown = DecodeError::Unknown {
            what: "reason",
            number: i64::from(self.reason),
        };
        i16::try_from(self.reason)
            .ok()
            .and_then(Reason::from_number)
            .ok_or(unknown)
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct FlagBody {
    #[prost(int32, tag = "1")]
    flag: i32,
}

impl FlagBody {
    fn flag(self) -> Result<Flag, DecodeError> {
        let unknown = DecodeError::Unknown {
            what: "flag",
            number: i64::from(self.flag),
        };
        i16::try_from(self.flag)
            .ok()
            .and_then(Flag::from_number)
            .ok_or(unknown)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct VoidBody {
    #[prost(string, tag = "1")]
    buyer: String,
    #[prost(uint32, tag = "2")]
    quantity: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Empty {}

pub(crate) fn encode(command: &Command) -> Vec<u8> {
    let (order, shard, at, body) = match command {
        Command::Place(place) => {
            let Place {
                order,
                shard,
                epoch,
                buyer,
                quantity,
                amount_minor,
                accepted_at,
            } = place;
            let body = PlaceBody {
                epoch: epoch.0,
                buyer: buyer.as_str().to_owned(),
                quantity: *quantity,
                amount_minor: *amount_minor,
            };
            (Some(order), shard, accepted_at, Body::Place(body))
        }
        Command::Order(OrderCommand {
            order,
            shard,
            at,
            action,
        }) => (Some(order), shard, at, action_body(action)),
        Command::Adjust(Adjust {
            shard,
            adjustment,
            capacity,
            at,
        }) => {
            let body = AdjustBody {
                adjustment: adjustment.0,
                capacity: *capacity,
            };
            (None, shard, at, Body::Adjust(body))
        }
        Command::Marker(Marker { shard, epoch, at }) => {
            let body = MarkerBody { epoch: epoch.0 };
            (None, shard, at, Body::Marker(body))
        }
    };
    write(&Message {
        order: order.map(|order| order.0.into()),
        shard: shard.get(),
        at_us: at.as_microsecond(),
        body: Some(body),
    })
}

fn action_body(action: &Action) -> Body {
    match action {
        Action::PaymentReady { payment } => Body::PaymentReady(payment.into()),
        Action::PaymentProcessing => Body::PaymentProcessing(Empty {}),
        Action::PaymentSucceeded => Body::PaymentSucceeded(Empty {}),
        Action::PaymentFailed { reason } => Body::PaymentFailed((*reason).into()),
        Action::Expire => Body::Expire(Empty {}),
        Action::Cancel { reason } => Body::Cancel((*reason).into()),
        Action::Refund { reason } => Body::Refund((*reason).into()),
        Action::RefundSettled => Body::RefundSettled(Empty {}),
        Action::Void { buyer, quantity } => Body::Void(VoidBody {
            buyer: buyer.as_str().to_owned(),
            quantity: *quantity,
        }),
        Action::Flag { flag } => Body::Flag(FlagBody {
            flag: i32::from(flag.number()),
        }),
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Command, DecodeError> {
    let Message {
        order,
        shard,
        at_us,
        body,
    } = read(bytes)?;
    let shard = StockShardId::new(shard)?;
    let at = time(at_us)?;
    let order = order.map(|order| OrderId(order.into()));
    let order = order.ok_or(DecodeError::Missing("order id"));
    let action = match body.ok_or(DecodeError::Missing("body"))? {
        Body::Adjust(AdjustBody {
            adjustment,
            capacity,
        }) => {
            return Ok(Command::Adjust(Adjust {
                shard,
                adjustment: Adjustment(adjustment),
                capacity,
                at,
            }));
        }
        Body::Marker(MarkerBody { epoch }) => {
            return Ok(Command::Marker(Marker {
                shard,
                epoch: Epoch(epoch),
                at,
            }));
        }
        Body::Place(PlaceBody {
            epoch,
            buyer,
            quantity,
            amount_minor,
        }) => {
            return Ok(Command::Place(Place {
                order: order?,
                shard,
                epoch: Epoch(epoch),
                buyer: BuyerId::new(buyer)?,
                quantity: at_least_one(quantity)?,
                amount_minor: not_negative(amount_minor)?,
                accepted_at: at,
            }));
        }
        Body::PaymentReady(payment) => Action::PaymentReady {
            payment: payment.into(),
        },
        Body::PaymentProcessing(Empty {}) => Action::PaymentProcessing,
        Body::PaymentSucceeded(Empty {}) => Action::PaymentSucceeded,
        Body::PaymentFailed(body) => Action::PaymentFailed {
            reason: body.reason()?,
        },
        Body::Expire(Empty {}) => Action::Expire,
        Body::Cancel(body) => Action::Cancel {
            reason: body.reason()?,
        },
        Body::Refund(body) => Action::Refund {
            reason: body.reason()?,
        },
        Body::RefundSettled(Empty {}) => Action::RefundSettled,
        Body::Void(VoidBody { buyer, quantity }) => Action::Void {
            buyer: BuyerId::new(buyer)?,
            quantity: at_least_one(quantity)?,
        },
        Body::Flag(body) => Action::Flag { flag: body.flag()? },
    };
    Ok(Command::Order(OrderCommand {
        order: order?,
        shard,
        at,
        action,
    }))
}

fn not_negative(amount_minor: i64) -> Result<i64, DecodeError> {
    let unknown = DecodeError::Unknown {
        what: "amount",
        number: amount_minor,
    };
    (amount_minor >= 0).then_some(amount_minor).ok_or(unknown)
}

fn at_least_one(quantity: u32) -> Result<u32, DecodeError> {
    let known = quantity >= 1 && i32::try_from(quantity).is_ok();
    known.then_some(quantity).ok_or(DecodeError::Unknown {
        what: "quantity",
        number: i64::from(quantity),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn reason() -> impl Strategy<Value = Reason> {
        proptest::sample::select(Reason::ALL.to_vec())
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            ("[a-z]{1,9}", "[a-z0-9_]{0,40}", "[a-z0-9_]{0,60}").prop_map(
                |(provider, id, client_secret)| Action::PaymentReady {
                    payment: Payment {
                        provider,
                        id,
                        client_secret
                    },
                }
            ),
            Just(Action::PaymentProcessing),
            Just(Action::PaymentSucceeded),
            reason().prop_map(|reason| Action::PaymentFailed { reason }),
            Just(Action::Expire),
            reason().prop_map(|reason| Action::Cancel { reason }),
            reason().prop_map(|reason| Action::Refund { reason }),
            Just(Action::RefundSettled),
            proptest::sample::select(Flag::ALL.to_vec()).prop_map(|flag| Action::Flag { flag }),
            ("[^\\pC]{1,40}", 1..9_u32).prop_map(|(buyer, quantity)| Action::Void {
                buyer: BuyerId::new(buyer).unwrap(),
                quantity,
            }),
        ]
    }

    fn command() -> impl Strategy<Value = Command> {
        let shard =
            (1..crate::ids::STOCK_SHARD_ID_END).prop_map(|id| StockShardId::new(id).unwrap());
        let at = (0..4_000_000_000_000_000_i64).prop_map(|us| time(us).unwrap());
        let order = any::<u128>().prop_map(|id| OrderId(Uuid::from_u128(id)));
        let place = ("[^\\pC]{1,60}", 1..=i32::MAX, (any::<i64>(), 0..i64::MAX));
        prop_oneof![
            (order.clone(), shard.clone(), at.clone(), place).prop_map(
                |(order, shard, accepted_at, (buyer, quantity, (epoch, amount_minor)))| {
                    Command::Place(Place {
                        order,
                        shard,
                        epoch: Epoch(epoch),
                        buyer: BuyerId::new(buyer).unwrap(),
                        quantity: quantity.unsigned_abs(),
                        amount_minor,
                        accepted_at,
                    })
                }
            ),
            (order, shard.clone(), at.clone(), action()).prop_map(|(order, shard, at, action)| {
                Command::Order(OrderCommand {
                    order,
                    shard,
                    at,
                    action,
                })
            }),
            (shard.clone(), at.clone(), any::<i64>()).prop_map(|(shard, at, epoch)| {
                Command::Marker(Marker {
                    shard,
                    epoch: Epoch(epoch),
                    at,
                })
            }),
            (shard, at, any::<i64>(), any::<u32>()).prop_map(|(shard, at, number, capacity)| {
                Command::Adjust(Adjust {
                    shard,
                    adjustment: Adjustment(number),
                    capacity,
                    at,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_command_reads_back_as_it_was_written(command in command()) {
            let bytes = command.encode();
            prop_assert!(bytes.len() <= crate::command::COMMAND_BYTES_MAX);
            prop_assert_eq!(Command::decode(&bytes).unwrap(), command);
        }

        #[test]
        fn torn_or_foreign_bytes_are_an_error_and_never_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            // Some random bytes may happen to read; then they must keep the rules of their types.
            if let Ok(command) = Command::decode(&bytes) {
                prop_assert_eq!(Command::decode(&command.encode()).unwrap(), command);
            }
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        assert!(matches!(
            Command::decode(&[9, 1, 2]),
            Err(DecodeError::Version(9))
        ));
        assert!(matches!(Command::decode(&[]), Err(DecodeError::Empty)));
    }
}
