//! The custom resources of the platform: types, defaults, rules that the API server enforces, names of conditions and
//! annotations, and the check that turns a spec into typed values. `event.yaml` and `shardrebalance.yaml` beside this package are
//! made from here.
//! It does not know the ledger, the log or the store, and it talks to nobody.

pub mod annotation;
pub mod condition;
mod duration;
mod event;
mod rebalance;
mod status;
mod validate;

pub use annotation::{FINALIZER, Management};
pub use condition::{ConditionType, set_condition};
pub use duration::{DurationText, InvalidDuration};
pub use event::{
    Category, DeletionPolicy, EventSpec, Isolation, Placement, Price, Queue, Sales, StockSource,
    TicketEvent,
};
pub use rebalance::{
    MOVE_MESSAGE_CHARS_MAX, MOVE_STOCK_SHARDS_MAX, MOVES_MAX, MoveState, MoveStatus, Progress,
    RangeStatus, RebalanceMode, RebalancePhase, RebalanceSpec, RebalanceStatus, ShardRebalance,
    TransferMode,
};
pub use status::{CategoryStock, EventStatus, LastError, Phase, StockShardStatus, TopicStatus};
pub use validate::{Invalid, ValidatedCategory, ValidatedEvent, validate};
