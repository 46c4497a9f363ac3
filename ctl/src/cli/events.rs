//! Flags of `events`.

use std::str::FromStr;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::HELP;
use crate::completion::events;

/// Events.
#[derive(Debug, Subcommand)]
pub enum Events {
    /// Lists events.
    #[command(help_template = HELP, before_help = "\
  ticketctl events list                 in the namespace of -n or of the context
  ticketctl events list -A -o wide      everywhere, with topic, epoch and event id
  ticketctl events list -w              and every change")]
    List(EventsList),
    /// Shows an event: its phase, categories, conditions and what hinders it.
    #[command(help_template = HELP, before_help = "\
  ticketctl events get demo
  ticketctl events get demo -w          and again with every change
  ticketctl events get demo -o yaml     the Kubernetes object")]
    Get(EventsGet),
    /// Waits until an event is as wanted.
    #[command(help_template = HELP, before_help = "\
  ticketctl events wait demo                              until it is Ready
  ticketctl events wait demo --for on-sale --timeout 5m
  ticketctl events wait demo --for condition=TopicReady
  ticketctl events wait demo --for deleted
  ticketctl events wait demo -o json                      and shows it then")]
    Wait(EventsWait),
}

/// Flags of `events list`.
#[derive(Debug, Clone, Args)]
pub struct EventsList {
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
}

/// Flags of `events get`.
#[derive(Debug, Clone, Args)]
pub struct EventsGet {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
}

/// Flags of `events wait`.
#[derive(Debug, Clone, Args)]
pub struct EventsWait {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
    /// ready, scheduled, on-sale, paused, sold-out, closed, deleted or condition=TYPE.
    #[arg(long = "for", value_name = "WHAT", default_value = "ready")]
    pub until: Until,
}

/// What `events wait` waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// Condition `Ready` is true for the newest spec.
    Ready,
    /// `status.phase` is this.
    Phase(ticket_crds::Phase),
    /// No ticket is available.
    SoldOut,
    /// The resource is gone.
    Deleted,
    /// A condition of this type is true for the newest spec.
    Condition(String),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use ticket_crds::Phase;
        Ok(match text {
            "ready" => Self::Ready,
            "scheduled" => Self::Phase(Phase::Scheduled),
            "on-sale" => Self::Phase(Phase::OnSale),
            "paused" => Self::Phase(Phase::Paused),
            "closed" => Self::Phase(Phase::Closed),
            "sold-out" => Self::SoldOut,
            "deleted" => Self::Deleted,
            _ => match text.strip_prefix("condition=") {
                Some(kind) if !kind.is_empty() => Self::Condition(kind.to_owned()),
                Some(_) | None => {
                    return Err(
                        "expected ready, scheduled, on-sale, paused, sold-out, closed, deleted or condition=TYPE"
                            .to_owned(),
                    );
                }
            },
        })
    }
}
