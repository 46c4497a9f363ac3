//! Flags of `orders`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::HELP;
use crate::completion::events;

/// Orders.
#[derive(Debug, Subcommand)]
pub enum Orders {
    /// Lists orders of an event.
    #[command(help_template = HELP, before_help = "\
  ticketctl orders list demo --state paid --limit 50
  ticketctl orders list demo --buyer b-17 -o name
  ticketctl orders list demo --state reserved -w    and a line for every change")]
    List(OrdersList),
    /// Shows an order with its history.
    #[command(help_template = HELP, before_help = "\
  ticketctl orders get ord_...
  ticketctl orders get ord_... -w    and again with every change")]
    Get(OrdersGet),
    /// Refunds a paid order.
    #[command(help_template = HELP, before_help = "\
  ticketctl orders refund ord_... --confirm=demo")]
    Refund(OrdersChange),
    /// Cancels an order that is not paid.
    #[command(help_template = HELP, before_help = "\
  ticketctl orders cancel ord_... --confirm=demo")]
    Cancel(OrdersChange),
}

/// Flags of `orders list`.
#[derive(Debug, Clone, Args)]
pub struct OrdersList {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
    /// Only orders in this state, e.g. paid.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Only orders of this buyer.
    #[arg(long, value_name = "BUYER")]
    pub buyer: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Goes on where the page before ended.
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// Goes on with every change of the page.
    #[arg(short, long)]
    pub watch: bool,
}

/// Flags of `orders get`.
#[derive(Debug, Clone, Args)]
pub struct OrdersGet {
    /// Order reference: `ord_` and 46 hex digits.
    #[arg(value_name = "ORDER")]
    pub order: String,
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
}

/// Flags of `orders refund` and `orders cancel`.
#[derive(Debug, Clone, Args)]
pub struct OrdersChange {
    /// Order reference: `ord_` and 46 hex digits.
    #[arg(value_name = "ORDER")]
    pub order: String,
    /// Name of the order's event: a buyer is hurt.
    #[arg(long, value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub confirm: Option<String>,
}
