//! Kind `ShardRebalance`: moves of Citus shards that a person looks at, approves, stops and resumes. What shall be moved
//! never changes once it is written; what may change is whether and how it is done.

#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function body"
)]

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::DurationText;
use crate::status::LastError;

/// Events that one `PinEvents` names.
pub const PINNED_EVENTS_MAX: usize = 64;
/// Moves of one plan: its status stays far below what the API server stores of an object (1.5 MB).
pub const MOVES_MAX: usize = 1_024;
/// Stock shards that are listed of one move; a Citus shard that many events share may hold more.
pub const MOVE_STOCK_SHARDS_MAX: usize = 64;
/// Longest message of a move, characters.
pub const MOVE_MESSAGE_CHARS_MAX: usize = 256;

/// Which Citus shards shall lie on which node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "ticketctl.io",
    version = "v1alpha1",
    kind = "ShardRebalance",
    root = "ShardRebalance",
    plural = "shardrebalances",
    shortname = "tksr",
    category = "ticketing",
    status = "RebalanceStatus",
    derive = "PartialEq",
    doc = "Moves of Citus shards of the ledger: planned first, carried out once approved.",
    cel,
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Done", type_ = "integer", json_path = ".status.progress.done"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.progress.total"),
    printcolumn(name = "ETA", type_ = "string", json_path = ".status.eta"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node", priority = 1),
    printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.progress.bytes", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name may have at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode == oldSelf.mode")
        .message("mode never changes; make another ShardRebalance")
        .field_path(".mode"),
    validation = Rule::new("has(self.node) == has(oldSelf.node) && (!has(self.node) || self.node == oldSelf.node)")
        .message("node never changes; make another ShardRebalance"),
    validation = Rule::new("has(self.events) == has(oldSelf.events) && (!has(self.events) || self.events == oldSelf.events)")
        .message("events never change; make another ShardRebalance"),
    validation = Rule::new("(self.mode == 'Balance') != has(self.node)")
        .message("DrainNode and PinEvents need node, the name of a ledger node as host:port; Balance has none"),
    validation = Rule::new("(self.mode == 'PinEvents') == (has(self.events) && self.events.size() > 0)")
        .message("PinEvents needs events, as namespace/name; the other modes have none"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('24h')")
        .message("timeout may be at most 24h")
        .field_path(".timeout")
)]
pub struct RebalanceSpec {
    /// What shall be reached.
    pub mode: RebalanceMode,

    /// The ledger node that is emptied or that the events go to: `host:port`, as `ticketctl shards list` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(min = 3, max = 260),
        pattern("^[^:/ ]+:[0-9]{1,5}$")
    )]
    pub node: Option<String>,

    /// Events whose stock goes to `node`: `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = PINNED_EVENTS_MAX),
        inner(length(min = 3, max = 127), pattern("^[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9.]*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub events: Vec<String>,

    /// Carry out the moves that the status shows. Counts for the plan that was there when it was set.
    #[serde(default)]
    pub approve: bool,

    /// End after what is under way was broken off; `false` again goes on from where it stood.
    #[serde(default)]
    pub stop: bool,

    /// Also moves stock of events that are on sale: their buyers wait while a shard is cut over.
    #[serde(default)]
    pub force: bool,

    /// Longest time of one move: `90s`, `10m`. After it the move is broken off, and tried again.
    #[serde(default = "timeout")]
    pub timeout: DurationText,

    /// How a shard is copied.
    #[serde(default)]
    pub transfer_mode: TransferMode,
}

/// What shall be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RebalanceMode {
    /// Every living worker has the same number of Citus shards with stock, or one more.
    Balance,
    /// Nothing is left on `node`, and nothing new is put there.
    DrainNode,
    /// All stock of `events` is on `node`.
    PinEvents,
}

impl RebalanceMode {
    /// As in `spec.mode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balance => "Balance",
            Self::DrainNode => "DrainNode",
            Self::PinEvents => "PinEvents",
        }
    }
}

/// How a shard is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TransferMode {
    /// What stalls writers least: as `ForceLogical` where every worker has `wal_level=logical`, else as `BlockWrites`. Shards
    /// without stock are always copied the faster way.
    #[default]
    Auto,
    /// Writers of the shard wait until it is copied.
    BlockWrites,
    /// Writers wait at the cutover only; needs `wal_level=logical` on every worker.
    ForceLogical,
}

/// Where a rebalance stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RebalancePhase {
    /// The moves are planned and wait for approval.
    Proposed,
    /// Approved; waits for its turn.
    Approved,
    /// Moves are under way.
    Rebalancing,
    /// Stopped; goes on where it stood.
    Stopped,
    /// All moves are done.
    Completed,
    /// It cannot go on by itself: `lastError` says why.
    Failed,
}

impl RebalancePhase {
    /// As in `status.phase`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "Proposed",
            Self::Approved => "Approved",
            Self::Rebalancing => "Rebalancing",
            Self::Stopped => "Stopped",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }
}

/// What the operator planned and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,

    /// `metadata.generation` at which the moves were planned: an approval counts if it is newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub proposed_generation: Option<i64>,

    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RebalancePhase")]
    pub phase: Option<RebalancePhase>,

    /// The moves, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOVES_MAX))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub moves: Vec<MoveStatus>,

    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Progress")]
    pub progress: Option<Progress>,

    /// When the last move is expected to be done. Only while moves are under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64))]
    pub eta: Option<Timestamp>,

    /// How long writers of one stock shard are expected to wait, milliseconds: that of the largest move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub expected_stall_ms: Option<i64>,

    /// `Ready` (all moves are done), `Reconciling`, `Degraded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// What went wrong last. Absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LastError")]
    pub last_error: Option<LastError>,
}

/// One Citus shard that goes to another node. Known by its hash range: its own number changes at every split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoveStatus {
    /// Stock shards in it; the first of them when there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOVE_STOCK_SHARDS_MAX))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stock_shard_ids: Vec<i64>,
    /// The hashes that it holds.
    pub range: RangeStatus,
    /// Node that it is on.
    #[schemars(length(max = 260))]
    pub from: String,
    /// Node that it goes to.
    #[schemars(length(max = 260))]
    pub to: String,
    /// Its size when it was planned; absent when a node could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub bytes: Option<i64>,
    /// How far it is.
    pub state: MoveState,
    /// How often it was tried again.
    #[serde(default)]
    pub retries: i32,
    /// Why it was tried again or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = MOVE_MESSAGE_CHARS_MAX))]
    pub message: Option<String>,
    /// How long it took, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub took_ms: Option<i64>,
}

/// A range of hashes, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RangeStatus {
    /// The lowest.
    pub low: i32,
    /// The highest.
    pub high: i32,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MoveState {
    /// Not begun, or broken off: the shard is where it was.
    Pending,
    /// Under way.
    Moving,
    /// The shard is where it shall be.
    Done,
    /// Given up.
    Failed,
}

impl MoveState {
    /// As in `status.moves[].state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Moving => "Moving",
            Self::Done => "Done",
            Self::Failed => "Failed",
        }
    }
}

/// How far a rebalance is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Moves that are done.
    pub done: i32,
    /// Moves in all.
    pub total: i32,
    /// Bytes of all moves together, as far as they are known.
    pub bytes: i64,
    /// Bytes of the moves that are done.
    pub bytes_done: i64,
}

/// A move of 100,000 orders takes seconds. Longer than this something is stuck, and the shard would be locked for others.
fn timeout() -> DurationText {
    "5m".into()
}
