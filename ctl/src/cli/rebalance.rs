//! Flags of `rebalance`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::HELP;
use crate::completion::{events, nodes, rebalances};

/// Rebalances.
#[derive(Debug, Subcommand)]
pub enum Rebalance {
    /// Plans moves and shows them; nothing moves until they are approved.
    #[command(help_template = HELP, before_help = "\
  ticketctl rebalance plan --mode balance                            the same number of shards on every worker
  ticketctl rebalance plan --mode drain-node --node worker-2:5432    empties a worker
  ticketctl rebalance plan --mode pin-events --node worker-1:5432 --event demo
  ticketctl rebalance plan --mode balance --dry-run                  only shows what it would move")]
    Plan(RebalancePlan),
    /// Starts the moves that were planned.
    #[command(help_template = HELP, before_help = "\
  ticketctl rebalance approve balance-x7k2p
  ticketctl rebalance approve balance-x7k2p --confirm=balance-x7k2p    one that was planned with --force")]
    Approve(RebalanceGo),
    /// Breaks off what is under way; what was moved stays where it is.
    #[command(help_template = HELP, before_help = "\
  ticketctl rebalance stop balance-x7k2p")]
    Stop(RebalanceName),
    /// Goes on after a stop or a failure, where it stood.
    #[command(help_template = HELP, before_help = "\
  ticketctl rebalance resume balance-x7k2p
  ticketctl rebalance resume balance-x7k2p --confirm=balance-x7k2p    one that was planned with --force")]
    Resume(RebalanceGo),
    /// Shows all rebalances, or one with its moves.
    #[command(help_template = HELP, before_help = "\
  ticketctl rebalance status                     all
  ticketctl rebalance status -w                  and a line for every change
  ticketctl rebalance status balance-x7k2p       one, with its moves
  ticketctl rebalance status balance-x7k2p -w    until it ends")]
    Status(RebalanceStatus),
}

/// What a rebalance shall reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RebalanceMode {
    /// Every living worker has the same number of Citus shards with stock, or one more.
    Balance,
    /// Nothing is left on a node.
    DrainNode,
    /// All stock of some events is on a node.
    PinEvents,
}

/// How a shard is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TransferMode {
    /// What stalls buyers least at usual sizes.
    Auto,
    /// Writers of the shard wait until it is copied.
    BlockWrites,
    /// Writers wait at the cutover only; the workers need `wal_level=logical`.
    ForceLogical,
}

/// Flags of `rebalance plan`.
#[derive(Debug, Clone, Args)]
pub struct RebalancePlan {
    /// balance, drain-node or pin-events.
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = true)]
    pub mode: RebalanceMode,
    /// The node to empty or to fill: host:port, as `shards list` shows it.
    #[arg(
        long,
        value_name = "NODE",
        required_if_eq_any([("mode", "drain-node"), ("mode", "pin-events")]),
        add = ArgValueCompleter::new(nodes)
    )]
    pub node: Option<String>,
    /// An event whose stock goes to the node, as NAME in the namespace of -n or as NAMESPACE/NAME. Can be repeated.
    #[arg(long = "event", value_name = "EVENT", required_if_eq("mode", "pin-events"), add = ArgValueCompleter::new(events))]
    pub events: Vec<String>,
    /// Also moves stock that is on sale: its buyers wait at each cutover.
    #[arg(long)]
    pub force: bool,
    /// Longest time of one move: a number and one of s, m, h.
    #[arg(long, value_name = "DURATION")]
    pub move_timeout: Option<String>,
    /// auto, block-writes or force-logical.
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub transfer_mode: TransferMode,
    /// Name of the resource. Default: one is made up.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// A rebalance.
#[derive(Debug, Clone, Args)]
pub struct RebalanceName {
    /// Name of the rebalance.
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(rebalances))]
    pub name: String,
}

/// Flags of `rebalance approve` and `rebalance resume`.
#[derive(Debug, Clone, Args)]
pub struct RebalanceGo {
    /// Name of the rebalance.
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(rebalances))]
    pub name: String,
    /// Its name once more, if it was planned with --force: buyers of what is on sale wait.
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(rebalances))]
    pub confirm: Option<String>,
}

/// Flags of `rebalance status`.
#[derive(Debug, Clone, Args)]
pub struct RebalanceStatus {
    /// Name of the rebalance. Without one all are listed.
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(rebalances))]
    pub name: Option<String>,
    /// Goes on with every change; of one, until it ends.
    #[arg(short, long)]
    pub watch: bool,
}
