//! The words of the platform: ids, money, names of topics and keys, commands, facts, the order machine and the clock.
//! Everything that two packages must agree on stands here. No I/O, no async, no client library.

pub mod clock;
pub mod code;
pub mod command;
pub mod fact;
pub mod ids;
pub mod machine;
pub mod money;
pub mod names;
pub mod setting;
pub mod share;
pub mod source;
mod wire;

pub use code::{Code, ErrorClass};
pub use command::{Action, Adjust, Command, Marker, OrderCommand, Place};
pub use fact::{FactBatch, MoveKind, OrderRecord, Payment, ShardStock, StockCounts, StockMove};
pub use ids::{
    Adjustment, BuyerId, CategoryName, Epoch, EventId, EventName, InvalidId, OrderId, OrderRef,
    StockShardId,
};
pub use machine::{Flag, Passed, Reason, State};
pub use money::{Currency, Money};
pub use setting::{SettingProblem, TlsFiles};
pub use source::StockSource;
pub use wire::DecodeError;
