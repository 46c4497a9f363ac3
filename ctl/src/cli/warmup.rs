//! Flags of `warmup`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::HELP;
use crate::completion::events;

/// Warm-ups.
#[derive(Debug, Subcommand)]
pub enum Warmup {
    /// Shows who holds the lock, the epochs, and what was.
    #[command(help_template = HELP, before_help = "\
  ticketctl warmup status demo
  ticketctl warmup status demo -w         and every change
  ticketctl warmup status demo -o json    for a program")]
    Status(WarmupStatus),
    /// Refills the stock store from the ledger, and waits until it sells.
    #[command(help_template = HELP, before_help = "\
  ticketctl warmup run demo
  ticketctl warmup run demo --reason 'restored from a backup'")]
    Run(WarmupLock),
    /// Holds the sale: nobody sells or warms up until it is unlocked.
    #[command(help_template = HELP, before_help = "\
  ticketctl warmup lock demo --reason 'wrong prices' --confirm=demo")]
    Lock(WarmupLock),
    /// Gives the lock back; a keeper then warms up by itself.
    #[command(help_template = HELP, before_help = "\
  ticketctl warmup unlock demo                           your own lock
  ticketctl warmup unlock demo --force --confirm=demo    anybody's")]
    Unlock(WarmupUnlock),
}

/// Flags of `warmup status`.
#[derive(Debug, Clone, Args)]
pub struct WarmupStatus {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
}

/// Flags of `warmup run` and `warmup lock`.
#[derive(Debug, Clone, Args)]
pub struct WarmupLock {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
    /// Why: shown to everybody who looks.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The event's name once more: `lock` stops the sale, and asks for it.
    #[arg(long, value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub confirm: Option<String>,
}

/// Flags of `warmup unlock`.
#[derive(Debug, Clone, Args)]
pub struct WarmupUnlock {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
    /// Breaks the lock, whoever holds it.
    #[arg(long)]
    pub force: bool,
    /// With --force: the event's name once more.
    #[arg(long, value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub confirm: Option<String>,
}
