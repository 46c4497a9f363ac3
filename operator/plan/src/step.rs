//! The steps of a plan. Each is idempotent and carries what must still hold when it is carried out.

use serde::Serialize;
use ticket_core::{Adjustment, CategoryName, Code, Epoch};

use crate::desired::Settings;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step")]
pub enum Step {
    /// The sale is over: no more orders, whatever else is to be done.
    CloseSales,
    /// The services read these settings. The first time, this makes the row.
    WriteEvent {
        /// Boxed, because it is far larger than any other step.
        settings: Box<Settings>,
    },
    /// Only if there is none.
    CreateTopic {
        /// Its name.
        topic: String,
        /// Partitions.
        partitions: u32,
        /// Copies; `None`: as the brokers are set.
        replication_factor: Option<u16>,
        /// How long records are kept, milliseconds.
        retention_ms: i64,
    },
    /// Only before the sale opens. `from` is the precondition.
    GrowPartitions {
        /// The topic.
        topic: String,
        /// Partitions it must have.
        from: u32,
        /// Partitions it gets.
        to: u32,
    },
    /// Somebody changed the topic, or the spec did.
    SetTopicConfig {
        /// The topic.
        topic: String,
        /// How long records are kept, milliseconds.
        retention_ms: i64,
    },
    /// Lanes for stock shards that are to be made: one each, spread evenly over the workers. Only on Citus, and never for an Event
    /// that has stock. `seen` is the precondition.
    LeaseLanes {
        /// Lanes that it shall have in all.
        lanes: usize,
        /// Lanes that it has.
        seen: usize,
    },
    /// Citus shards are split until each lane is alone in one; nothing if free lanes were leased, which are. What is to be
    /// split is looked up when it is done.
    SplitShard {
        /// Lanes that may not be alone yet.
        lanes: usize,
    },
    /// Only if the category has no stock shard. All of a category at once, so that its units never are there in part.
    CreateStockShards {
        /// The category.
        category: CategoryName,
        /// In order.
        shards: Vec<NewShard>,
        /// The lane of the first of them; each other one takes the next. `None`: they fall where their hash puts them.
        #[serde(skip_serializing_if = "Option::is_none")]
        first_lane: Option<usize>,
    },
    /// The first filling of the store. Only while nothing was ever sold and the store is not armed.
    SeedStock {
        /// Epoch that the ledger must have.
        epoch: Epoch,
    },
    /// More or fewer tickets, by commands on the order log, so that whoever decides about orders changes the stock too. Never
    /// below what is held and sold. `seen` is the precondition: the newest adjustment of the category (0 = none).
    AdjustStock {
        /// The category.
        category: CategoryName,
        /// Tickets that it has.
        from: i64,
        /// Tickets that it shall have.
        to: u32,
        /// The newest adjustment.
        seen: Adjustment,
    },
    /// Records of the order log are gone with their topic, so the store counts orders that nobody will decide any more: it has
    /// to be filled again. Comes before the topic is made: a crash in between leaves it missing, and this is done again.
    RequireWarmUp {
        /// Epoch that the ledger must have.
        epoch: Epoch,
    },
    /// Nothing below this step runs until a person, the clock or another step removes the reason.
    Blocked {
        /// Why.
        reason: BlockReason,
    },
    /// Buyers are let in as soon as the clock allows it.
    OpenSales,
    /// Disarm the store and drop its keys.
    CloseStock,
    /// Remove the order log.
    DeleteTopic {
        /// The topic.
        topic: String,
    },
    /// Remove rows, orders and stock. After all else, because they name it.
    DeleteEvent,
    /// The lanes are free for the next event. After the rows: a crash in between leaves the lease of an event that is gone,
    /// which counts as none.
    ReleaseLanes {
        /// How many.
        lanes: usize,
    },
    /// Give the event up: the same name may adopt it again.
    ReleaseEvent,
}

/// A stock shard to make. Its id comes from the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewShard {
    /// Partition that carries its commands.
    pub partition: u32,
    /// Units in all.
    pub capacity: u32,
}

impl Step {
    /// As in `status.plan` and `status.lastError.step`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CloseSales => "CloseSales",
            Self::WriteEvent { .. } => "WriteEvent",
            Self::CreateTopic { .. } => "CreateTopic",
            Self::GrowPartitions { .. } => "GrowPartitions",
            Self::SetTopicConfig { .. } => "SetTopicConfig",
            Self::LeaseLanes { .. } => "LeaseLanes",
            Self::SplitShard { .. } => "SplitShard",
            Self::CreateStockShards { .. } => "CreateStockShards",
            Self::SeedStock { .. } => "SeedStock",
            Self::AdjustStock { .. } => "AdjustStock",
            Self::RequireWarmUp { .. } => "RequireWarmUp",
            Self::Blocked { .. } => "Blocked",
            Self::OpenSales => "OpenSales",
            Self::CloseStock => "CloseStock",
            Self::DeleteTopic { .. } => "DeleteTopic",
            Self::DeleteEvent => "DeleteEvent",
            Self::ReleaseLanes { .. } => "ReleaseLanes",
            Self::ReleaseEvent => "ReleaseEvent",
        }
    }
}

/// Why a plan stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason")]
pub enum BlockReason {
    /// The partitions can no longer change.
    #[error(
        "topic {topic} has {found} partitions, the Event wants {wanted}: they never shrink, and grow only before the sale opens"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// What is there.
        found: u32,
        /// What is wanted.
        wanted: u32,
    },
    /// The copies of a topic are not changed.
    #[error(
        "topic {topic} has {found} copies of a partition, the Event wants {wanted}: reassign its partitions, or change the Event"
    )]
    Replication {
        /// The topic.
        topic: String,
        /// What is there.
        found: u16,
        /// What is wanted.
        wanted: u16,
    },
    /// More tickets are held and sold than the spec allows.
    #[error(
        "category {category} shall have {wanted} tickets, but {taken} are held and sold: it keeps {taken} and sells no more; raise the quantity, or refund orders"
    )]
    BelowSold {
        /// The category.
        category: CategoryName,
        /// Tickets that are held and sold.
        taken: i64,
        /// Tickets that are wanted.
        wanted: u32,
    },
    /// The ledger knows stock shards whose rows are gone.
    #[error(
        "the ledger has lost the stock of {shards} stock shards of category {category}: restore it from a backup; orders wait meanwhile, and nothing is made anew, which could sell tickets twice"
    )]
    StockLost {
        /// The category.
        category: CategoryName,
        /// How many.
        shards: usize,
    },
    /// The pool of lanes is at its limit.
    #[error(
        "the Event asks for {wanted} more lanes, and the pool can give {left}: ask for fewer stock shards or for `isolation: Shared`, or delete an event that leases lanes"
    )]
    LanesExhausted {
        /// Lanes that are missing.
        wanted: usize,
        /// Lanes that can be leased.
        left: usize,
    },
    /// The stock shards of a category are made and differ.
    #[error(
        "category {category} has {found} stock shards, the Event asks for {wanted}: the number is fixed once the stock is made"
    )]
    Shards {
        /// The category.
        category: CategoryName,
        /// What is there.
        found: usize,
        /// What is wanted.
        wanted: u16,
    },
    /// A category that came when the store was already filled.
    #[error(
        "category {category} was added after the stock store was filled: it can be sold from the next warm-up on, which is not carried out yet"
    )]
    CategoryAdded {
        /// The category.
        category: CategoryName,
    },
    /// The ledger has stock that the spec no longer names.
    #[error("category {category} has stock in the ledger, but is not in the Event: add it again")]
    CategoryMissing {
        /// The category.
        category: CategoryName,
    },
    /// The store lost its stock, or follows a warm-up. Filling it again at an old epoch could sell twice.
    #[error(
        "the stock store is not armed with epoch {epoch}: it is filled again by a warm-up with a new epoch, which the keeper runs"
    )]
    WarmUpNeeded {
        /// Epoch of the ledger.
        epoch: Epoch,
    },
}

impl BlockReason {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Partitions { .. } | Self::Replication { .. } => Code::TopicConflict,
            Self::BelowSold { .. } => Code::QuantityBelowSold,
            Self::StockLost { .. } => Code::StockLost,
            Self::LanesExhausted { .. } => Code::LanesExhausted,
            Self::Shards { .. } | Self::CategoryAdded { .. } | Self::CategoryMissing { .. } => {
                Code::StockDiffers
            }
            Self::WarmUpNeeded { .. } => Code::WarmingUp,
        }
    }

    /// Whether buyers must not be let in because of it. A store that is not filled turns them away by itself, and the keeper
    /// fills it only for a sale that is open; a category that has too many orders has nothing left to sell.
    #[must_use]
    pub const fn hinders_opening(&self) -> bool {
        match self {
            Self::WarmUpNeeded { .. } | Self::BelowSold { .. } => false,
            Self::Partitions { .. }
            | Self::Replication { .. }
            | Self::StockLost { .. }
            | Self::LanesExhausted { .. }
            | Self::Shards { .. }
            | Self::CategoryAdded { .. }
            | Self::CategoryMissing { .. } => true,
        }
    }
}
