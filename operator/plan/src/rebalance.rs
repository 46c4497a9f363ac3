//! Which Citus shards have to move to which node. Pure, as the rest of this package: the same cluster and the same goal
//! give the same moves, so that what a person approved can be compared with what would be done now. Carrying the moves
//! out leaves nothing to plan. It does not know how a shard is moved.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use ticket_core::{Code, EventName, StockShardId};
use ticket_crds::{MOVES_MAX, RebalanceMode, RebalanceSpec, TransferMode};

/// Events that a refusal names.
const EVENTS_NAMED_MAX: usize = 5;

/// What was measured on machines of two cores with `PostgreSQL` 15 and Citus 13.2.2. With one writer per stock shard and more to
/// do than the machine could (three runs each):
///
/// | `block_writes` | takes | its writers wait |
/// |---|---|---|
/// | 100 orders (0.1 MB) | 0.6-0.8 s | 0.36-0.49 s |
/// | 100,000 orders (21 MB) | 1.7-3.0 s | 1.3-2.6 s |
///
/// With eight writers at full speed, 60,000 orders a second together, on a faster machine (the test
/// `nothing_is_lost_or_sold_twice_while_eight_stock_shards_move`, seven moves, six runs):
///
/// | `force_logical` | takes | its writers wait |
/// |---|---|---|
/// | 30,000 to 150,000 orders | 0.7-2.1 s | 0.11-0.26 s |
///
/// Time of a move that blocks writers, whatever its size: locks, empty copies on the target, the commit on both nodes.
const BLOCKED_FIXED_MS: i64 = 600;
/// Bytes (rows and indexes) that such a move copies in a millisecond.
const BLOCKED_BYTES_PER_MS: i64 = 15_000;
/// How long its writers wait besides the copying.
const BLOCKED_STALL_MS: i64 = 400;
/// Time of a move that follows the changes of its shard, whatever its size: a slot, a subscription, catching up.
const LOGICAL_FIXED_MS: i64 = 700;
/// Bytes that such a move copies in a millisecond.
const LOGICAL_BYTES_PER_MS: i64 = 20_000;
/// How long its writers wait at the cutover, whatever its size.
const LOGICAL_STALL_MS: i64 = 300;

/// The ledger's nodes, and where its Citus shards are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Nodes, the coordinator too.
    pub nodes: Vec<ClusterNode>,
    /// Citus shards, empty ones too.
    pub shards: Vec<PlacedShard>,
}

/// A node of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// `host:port`.
    pub name: String,
    /// It answered just now.
    pub is_alive: bool,
    /// Shards may be put on it.
    pub takes_shards: bool,
}

/// A Citus shard. Known by its hashes: its number changes at every split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedShard {
    /// What it holds.
    pub range: HashRange,
    /// Its node.
    pub node: String,
    /// Its size; `None` when its node could not be asked.
    pub bytes: Option<i64>,
    /// Stock shards in it.
    pub stock: Vec<PlacedStock>,
}

/// A stock shard in a Citus shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedStock {
    /// Its id.
    pub id: StockShardId,
    /// Its event.
    pub event: EventName,
    /// Buyers can buy of it now.
    pub is_on_sale: bool,
}

/// A range of hashes, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct HashRange {
    /// The lowest.
    pub low: i32,
    /// The highest.
    pub high: i32,
}

/// What shall be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The same number of Citus shards with stock on every living node that takes shards, or one more.
    Balance,
    /// Nothing on the node.
    DrainNode {
        /// The node.
        node: String,
    },
    /// All stock of the events on the node.
    PinEvents {
        /// The node.
        node: String,
        /// The events.
        events: BTreeSet<EventName>,
    },
}

/// One Citus shard goes to another node. `from` is the precondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The Citus shard.
    pub range: HashRange,
    /// Stock shards in it.
    pub stock_shard_ids: Vec<StockShardId>,
    /// Node that it is on.
    pub from: String,
    /// Node that it goes to.
    pub to: String,
    /// Its size, if it is known.
    pub bytes: Option<i64>,
}

/// Why nothing is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "refusal")]
pub enum Refusal {
    /// The spec does not say what it must.
    #[error("{why}")]
    Invalid {
        /// Field and rule.
        why: String,
    },
    /// There is no such node.
    #[error("the ledger has no node {node}; it has {known}")]
    UnknownNode {
        /// As in the spec.
        node: String,
        /// Nodes that there are.
        known: String,
    },
    /// The node does not answer.
    #[error("node {node} does not answer: nothing can be moved from or to it")]
    NodeDown {
        /// The node.
        node: String,
    },
    /// No shard may be put there.
    #[error("node {node} takes no shards: it was drained, or is the coordinator")]
    TakesNoShards {
        /// The node.
        node: String,
    },
    /// Nowhere to go.
    #[error("no other living node takes shards")]
    NoTarget,
    /// Nothing of this event is in the ledger.
    #[error("event {event} has no stock in the ledger")]
    UnknownEvent {
        /// The event.
        event: EventName,
    },
    /// Buyers would wait.
    #[error("it would move stock of {events}, on sale now; its buyers would wait at each cutover")]
    OnSale {
        /// Names, the first of them when there are many.
        events: String,
    },
    /// More than one plan may have.
    #[error("it would take {moves} moves, and one plan has at most {MOVES_MAX}")]
    TooMany {
        /// How many.
        moves: usize,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidSpec,
            Self::UnknownNode { .. } => Code::NodeUnknown,
            Self::NodeDown { .. } => Code::NodeDown,
            Self::TakesNoShards { .. } | Self::NoTarget => Code::NoTargetNode,
            Self::UnknownEvent { .. } => Code::EventUnknown,
            Self::OnSale { .. } => Code::EventOnSale,
            Self::TooMany { .. } => Code::TooManyMoves,
        }
    }
}

impl Goal {
    /// What a spec asks for.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for what the API server's rules refuse too.
    pub fn of(spec: &RebalanceSpec) -> Result<Self, Refusal> {
        let node = || {
            spec.node.clone().ok_or_else(|| Refusal::Invalid {
                why: format!("{} needs spec.node", spec.mode.as_str()),
            })
        };
        match spec.mode {
            RebalanceMode::Balance => Ok(Self::Balance),
            RebalanceMode::DrainNode => Ok(Self::DrainNode { node: node()? }),
            RebalanceMode::PinEvents => {
                let events: Result<BTreeSet<EventName>, Refusal> =
                    spec.events.iter().map(|text| event_name(text)).collect();
                let (node, events) = (node()?, events?);
                if events.is_empty() {
                    return Err(Refusal::Invalid {
                        why: "PinEvents needs spec.events".to_owned(),
                    });
                }
                Ok(Self::PinEvents { node, events })
            }
        }
    }
}

fn event_name(text: &str) -> Result<EventName, Refusal> {
    let wrong = || Refusal::Invalid {
        why: format!("{text:?} in spec.events is not namespace/name"),
    };
    let (namespace, name) = text.split_once('/').ok_or_else(wrong)?;
    EventName::new(namespace, name).map_err(|_| wrong())
}

/// The moves that reach `goal`, in order; none when it is reached. With `is_forced` stock that is on sale is moved too.
///
/// # Errors
/// [`Refusal`]: nothing is moved, because the goal cannot be reached as a whole.
pub fn rebalance(goal: &Goal, is_forced: bool, cluster: &Cluster) -> Result<Vec<Move>, Refusal> {
    let mut layout = Layout::of(cluster);
    let moves = match goal {
        Goal::Balance => balance(&mut layout, is_forced)?,
        Goal::DrainNode { node } => drain(&mut layout, cluster, node, is_forced)?,
        Goal::PinEvents { node, events } => pin(cluster, node, events, is_forced)?,
    };
    if moves.len() > MOVES_MAX {
        return Err(Refusal::TooMany { moves: moves.len() });
    }
    Ok(moves)
}

/// How long one move of `bytes` is expected to take, milliseconds. Unknown sizes count as empty, `Auto` as what it is
/// where the workers can do it.
#[must_use]
pub fn expected_move_ms(mode: TransferMode, bytes: Option<i64>) -> i64 {
    let bytes = bytes.unwrap_or_default();
    match mode {
        TransferMode::BlockWrites => BLOCKED_FIXED_MS + bytes / BLOCKED_BYTES_PER_MS,
        TransferMode::Auto | TransferMode::ForceLogical => {
            LOGICAL_FIXED_MS + bytes / LOGICAL_BYTES_PER_MS
        }
    }
}

/// How long writers of the moved stock are expected to wait, milliseconds.
#[must_use]
pub fn expected_stall_ms(mode: TransferMode, bytes: Option<i64>) -> i64 {
    match mode {
        // From the first byte to the last.
        TransferMode::BlockWrites => {
            BLOCKED_STALL_MS + bytes.unwrap_or_default() / BLOCKED_BYTES_PER_MS
        }
        TransferMode::Auto | TransferMode::ForceLogical => LOGICAL_STALL_MS,
    }
}

/// Whether carrying out `one` now would move stock that is on sale; names its events.
#[must_use]
pub fn on_sale_in(cluster: &Cluster, one: HashRange) -> Option<Refusal> {
    let shard = cluster.shards.iter().find(|shard| shard.range == one)?;
    on_sale([shard])
}

impl Cluster {
    /// The cluster after these moves.
    #[must_use]
    pub fn after(&self, moves: &[Move]) -> Self {
        let mut next = self.clone();
        for one in moves {
            let mut shards = next.shards.iter_mut();
            if let Some(shard) = shards.find(|it| it.range == one.range) {
                shard.node.clone_from(&one.to);
            }
        }
        next
    }

    /// The node of this name, living or not.
    fn node(&self, name: &str) -> Result<&ClusterNode, Refusal> {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            Refusal::UnknownNode {
                node: name.to_owned(),
                known: known.join(", "),
            }
        })
    }
}

impl PlacedShard {
    fn move_to(&self, to: &str) -> Move {
        Move {
            range: self.range,
            stock_shard_ids: self.stock.iter().map(|stock| stock.id).collect(),
            from: self.node.clone(),
            to: to.to_owned(),
            bytes: self.bytes,
        }
    }

    fn is_on_sale(&self) -> bool {
        self.stock.iter().any(|stock| stock.is_on_sale)
    }

    /// The event whose stock alone is in it. Shards that several events share count as one group.
    fn group(&self) -> Option<&EventName> {
        let first = &self.stock.first()?.event;
        let is_alone = self.stock.iter().all(|stock| stock.event == *first);
        is_alone.then_some(first)
    }
}

/// Where the shards are while moves are planned, counted: shards with stock per node, and per node and group.
struct Layout<'a> {
    /// Living nodes that take shards, by name.
    targets: BTreeSet<&'a str>,
    /// Shards on living nodes, with the node that they are on by now.
    shards: Vec<(&'a PlacedShard, &'a str)>,
    with_stock: BTreeMap<&'a str, i64>,
    of_group: BTreeMap<(Option<&'a EventName>, &'a str), i64>,
    all: BTreeMap<&'a str, i64>,
}

impl<'a> Layout<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let alive: BTreeSet<&str> = cluster
            .nodes
            .iter()
            .filter(|node| node.is_alive)
            .map(|node| node.name.as_str())
            .collect();
        let targets = cluster.nodes.iter();
        let targets = targets.filter(|node| node.is_alive && node.takes_shards);
        let shards = cluster.shards.iter();
        let shards = shards.filter(|shard| alive.contains(shard.node.as_str()));
        let mut layout = Self {
            targets: targets.map(|node| node.name.as_str()).collect(),
            shards: shards.map(|shard| (shard, shard.node.as_str())).collect(),
            with_stock: BTreeMap::new(),
            of_group: BTreeMap::new(),
            all: BTreeMap::new(),
        };
        for at in 0..layout.shards.len() {
            layout.count(at, 1);
        }
        layout
    }

    /// Adds `by` to what is counted of the shard where it is now.
    fn count(&mut self, at: usize, by: i64) {
        let Some((shard, node)) = self.shards.get(at).copied() else {
            return;
        };
        *self.all.entry(node).or_default() += by;
        if !shard.stock.is_empty() {
            *self.with_stock.entry(node).or_default() += by;
            *self.of_group.entry((shard.group(), node)).or_default() += by;
        }
    }

    fn relocate(&mut self, at: usize, to: &'a str) {
        self.count(at, -1);
        if let Some(place) = self.shards.get_mut(at) {
            place.1 = to;
        }
        self.count(at, 1);
    }

    fn with_stock(&self, node: &str) -> i64 {
        self.with_stock.get(node).copied().unwrap_or_default()
    }

    fn of_group(&self, group: Option<&EventName>, node: &str) -> i64 {
        self.of_group
            .get(&(group, node))
            .copied()
            .unwrap_or_default()
    }
}

/// From the fullest node to the emptiest, until they differ by one at most. Each time the shard of the event that is most
/// unevenly spread over the two: an event that was spread evenly stays so.
fn balance(layout: &mut Layout<'_>, is_forced: bool) -> Result<Vec<Move>, Refusal> {
    if layout.targets.is_empty() {
        return Err(Refusal::NoTarget);
    }
    let mut moves = Vec::new();
    // Every step brings two nodes closer, and no shard is moved twice.
    for _ in 0..layout.shards.len() {
        let by_count = |node: &&&str| layout.with_stock(node);
        let fullest = layout.targets.iter().max_by_key(by_count).copied();
        let emptiest = layout.targets.iter().min_by_key(by_count).copied();
        let (Some(from), Some(to)) = (fullest, emptiest) else {
            break;
        };
        if layout.with_stock(from) - layout.with_stock(to) < 2 {
            break;
        }
        // There are at least two more on the one, so some group has at least one more there.
        let surplus = |shard: &PlacedShard| {
            let group = shard.group();
            layout.of_group(group, from) - layout.of_group(group, to)
        };
        let candidates = layout.shards.iter().enumerate();
        let candidates: Vec<_> = candidates
            .filter(|(_, (shard, node))| *node == from && !shard.stock.is_empty())
            .map(|(at, (shard, _))| (at, *shard, surplus(shard)))
            .filter(|(_, _, surplus)| *surplus >= 1)
            .collect();
        let allowed = candidates
            .iter()
            .filter(|(_, shard, _)| is_forced || !shard.is_on_sale());
        // What is not on sale first, also when on sale is allowed; then the most uneven; then the lowest hashes.
        let best =
            allowed.min_by_key(|(_, shard, surplus)| (shard.is_on_sale(), -*surplus, shard.range));
        let Some((at, shard, _)) = best else {
            let held = candidates.iter().map(|(_, shard, _)| *shard);
            return Err(on_sale(held).unwrap_or(Refusal::NoTarget));
        };
        moves.push(shard.move_to(to));
        let at = *at;
        layout.relocate(at, to);
    }
    Ok(moves)
}

/// Everything on the node goes where its event has least, and then where there is least at all.
fn drain(
    layout: &mut Layout<'_>,
    cluster: &Cluster,
    node: &str,
    is_forced: bool,
) -> Result<Vec<Move>, Refusal> {
    if !cluster.node(node)?.is_alive {
        return Err(Refusal::NodeDown {
            node: node.to_owned(),
        });
    }
    let there: Vec<usize> = (0..layout.shards.len())
        .filter(|at| layout.shards.get(*at).is_some_and(|it| it.1 == node))
        .collect();
    let held = there.iter().filter_map(|at| layout.shards.get(*at));
    if !is_forced && let Some(refusal) = on_sale(held.map(|(shard, _)| *shard)) {
        return Err(refusal);
    }
    layout.targets.remove(node);
    let mut moves = Vec::with_capacity(there.len());
    for at in there {
        let Some((shard, _)) = layout.shards.get(at).copied() else {
            continue;
        };
        let load = |target: &&&str| {
            let all = layout.all.get(**target).copied().unwrap_or_default();
            if shard.stock.is_empty() {
                return (0, 0, all);
            }
            let of_group = layout.of_group(shard.group(), target);
            (of_group, layout.with_stock(target), all)
        };
        let Some(to) = layout.targets.iter().min_by_key(load).copied() else {
            return Err(Refusal::NoTarget);
        };
        moves.push(shard.move_to(to));
        layout.relocate(at, to);
    }
    Ok(moves)
}

/// Every Citus shard with stock of the events goes to the node, with whatever else is in it.
fn pin(
    cluster: &Cluster,
    node: &str,
    events: &BTreeSet<EventName>,
    is_forced: bool,
) -> Result<Vec<Move>, Refusal> {
    let target = cluster.node(node)?;
    let down = |node: &str| Refusal::NodeDown {
        node: node.to_owned(),
    };
    if !target.is_alive {
        return Err(down(node));
    }
    if !target.takes_shards {
        return Err(Refusal::TakesNoShards {
            node: node.to_owned(),
        });
    }
    let holds = |shard: &&PlacedShard, event: &EventName| {
        let mut stock = shard.stock.iter();
        stock.any(|stock| stock.event == *event)
    };
    for event in events {
        if !cluster.shards.iter().any(|shard| holds(&shard, event)) {
            return Err(Refusal::UnknownEvent {
                event: event.clone(),
            });
        }
    }
    let wanted: Vec<&PlacedShard> = cluster
        .shards
        .iter()
        .filter(|shard| shard.node != node)
        .filter(|shard| events.iter().any(|event| holds(shard, event)))
        .collect();
    for shard in &wanted {
        if !cluster.node(&shard.node)?.is_alive {
            return Err(down(&shard.node));
        }
    }
    if !is_forced && let Some(refusal) = on_sale(wanted.iter().copied()) {
        return Err(refusal);
    }
    Ok(wanted.into_iter().map(|it| it.move_to(node)).collect())
}

/// The refusal that names what is on sale in `shards`, if anything is.
fn on_sale<'a>(shards: impl IntoIterator<Item = &'a PlacedShard>) -> Option<Refusal> {
    let stock = shards.into_iter().flat_map(|shard| &shard.stock);
    let names: BTreeSet<&EventName> = stock
        .filter(|stock| stock.is_on_sale)
        .map(|stock| &stock.event)
        .collect();
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(EVENTS_NAMED_MAX);
    let shown: Vec<String> = names
        .iter()
        .take(EVENTS_NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    let mut events = shown.join(", ");
    if more > 0 {
        events = format!("{events} and {more} more");
    }
    Some(Refusal::OnSale { events })
}
