//! The command line: every flag, argument and help text. Nothing is done here.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;

use crate::access::Role;
use crate::completion::{events, rebalances};
use crate::output::Format;
use crate::tui::action::Place;

/// Help with the examples first: most people look for a line to copy. The blanks before them are those of the first line, which
/// a continued literal loses; clap puts an empty line behind them.
const HELP: &str = "\
{about-with-newline}
Examples:
  {before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Look at ticket sales and steer them.
#[derive(Debug, Parser)]
#[command(
    name = "ticketctl",
    version,
    help_template = HELP,
    before_help = "\
  ticketctl events list -A                              what is on sale, everywhere
  ticketctl events wait demo --for ready --timeout 2m   wait until it can be sold
  ticketctl stock demo -w                               watch it being sold
  ticketctl audit demo                                  does everything add up?
  ticketctl doctor                                      what is wrong, and what to do",
    after_help = "\
Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 refused by a lock or precondition, 5 timeout.
EVENT is a name in the namespace of -n. Data goes to standard output, words go to standard error."
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flags of every command")]
pub struct Global {
    /// Namespace. Default: the one of the kubeconfig's context.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig. Default: the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig. Default: what KUBECONFIG names, else ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How data is shown.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    #[arg(help = "How data is shown: table, wide, json, yaml or name")]
    pub output: Format,
    /// Namespace of the platform: the admin API is found there when no address is given.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "TICKET_PLATFORM_NAMESPACE",
        default_value = "ticket-platform"
    )]
    pub platform_namespace: String,
    /// Address of the admin API. Default: the one that Kubernetes leads to, by port-forward.
    #[arg(long, global = true, value_name = "URL", env = "TICKET_ADMIN_URL")]
    pub admin_url: Option<String>,
    /// File with the token of the admin API. Wins over the environment's token. Without either one is asked for in the cluster.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Token of the admin API: from the environment, since a command line is seen by everybody on the machine.
    #[arg(
        long,
        global = true,
        env = "TICKET_ADMIN_TOKEN",
        hide = true,
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Longest wait for one answer, e.g. 10s.
    #[arg(long, global = true, value_name = "DURATION")]
    pub request_timeout: Option<Span>,
    /// Longest time for all of it, e.g. 5m; exit code 5 after it. Default: none, and 60s for `events wait`.
    #[arg(long, global = true, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// Shows what would be changed and changes nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Never asks: what hurts is refused without --confirm.
    #[arg(long, global = true)]
    pub no_input: bool,
    /// No colours. The environment's `NO_COLOR` does the same.
    #[arg(
        long,
        global = true,
        env = "NO_COLOR",
        hide_env = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        hide = true
    )]
    pub no_color: Option<String>,
}

impl Global {
    /// Colours only on a terminal, and only if nobody minds (an empty `NO_COLOR` means nothing).
    #[must_use]
    pub fn is_coloured(&self, is_terminal: bool) -> bool {
        is_terminal && self.no_color.as_deref().unwrap_or_default().is_empty()
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Events: the sales that the platform knows.
    #[command(subcommand, help_template = HELP, before_help = "\
  ticketctl events list -A                    what is on sale, everywhere
  ticketctl events get demo                   how it stands and what hinders it
  ticketctl events wait demo --for on-sale    until it can be bought")]
    Events(Events),
    /// What would happen to an event, before it happens.
    #[command(help_template = HELP, before_help = "\
  ticketctl plan -f event.yaml    checks the file with the API server's rules and shows the steps
  ticketctl plan demo             what the operator has left to do")]
    Plan(Plan),
    /// Where every ticket of an event is, now.
    #[command(help_template = HELP, before_help = "\
  ticketctl stock demo               one line per category
  ticketctl stock demo -o wide       one line per stock shard
  ticketctl stock demo -w            a line for every change, with tickets sold per second
  ticketctl stock demo -w -o json    a JSON object per line for every snapshot")]
    Stock(Stock),
    /// The warm-up of an event: its lock, its epochs, and what was.
    #[command(subcommand, help_template = HELP, before_help = "\
  ticketctl warmup status demo -w              who holds the sale, and every change
  ticketctl warmup run demo                    refills the stock store
  ticketctl warmup lock demo --confirm=demo    holds the sale
  ticketctl warmup unlock demo                 lets it go on")]
    Warmup(Warmup),
    /// Orders of an event.
    #[command(subcommand, help_template = HELP, before_help = "\
  ticketctl orders list demo --buyer b-17           what became of a buyer
  ticketctl orders get ord_...                      one order with its history
  ticketctl orders refund ord_... --confirm=demo    gives the money back")]
    Orders(Orders),
    /// Ledger nodes and where the stock shards live.
    #[command(subcommand, help_template = HELP, before_help = "\
  ticketctl shards list       nodes, and the Citus shards that hold stock
  ticketctl shards list -w    and every change")]
    Shards(Shards),
    /// Moves of shards between ledger nodes: planned first, carried out once approved.
    #[command(subcommand, help_template = HELP, before_help = "\
  ticketctl rebalance plan --mode balance         shows the moves; nothing moves yet
  ticketctl rebalance approve balance-x7k2p       starts them
  ticketctl rebalance status balance-x7k2p -w     how far they are
  ticketctl rebalance stop balance-x7k2p          breaks off; resume goes on")]
    Rebalance(Rebalance),
    /// How far each consumer is behind.
    #[command(help_template = HELP, before_help = "\
  ticketctl lag            one line per topic
  ticketctl lag -o wide    one line per partition
  ticketctl lag -w         and a line for every change")]
    Lag(Watch),
    /// Checks that everything adds up: stock, orders, store, facts, payments.
    #[command(help_template = HELP, before_help = "\
  ticketctl audit demo             exit code 1 when something does not add up
  ticketctl audit demo -o json     for a program")]
    Audit(EventArg),
    /// Checks everything from the kubeconfig to consumer lag; each finding has a next step.
    #[command(help_template = HELP, before_help = "\
  ticketctl doctor             exit code 1 when something is wrong
  ticketctl doctor -o json     for a program")]
    Doctor,
    /// What an error code means and what to do.
    #[command(help_template = HELP, before_help = "\
  ticketctl explain sold-out      kebab-case, as in problems and logs
  ticketctl explain SoldOut       PascalCase, as in Kubernetes conditions
  ticketctl explain               all codes")]
    Explain(Explain),
    /// The cockpit: events, live stock, shards, warm-up, orders and lag on one screen.
    #[command(help_template = HELP, before_help = "\
  ticketctl tui                       all events; ? shows the keys
  ticketctl tui demo                  live stock of an event
  ticketctl tui demo --view orders    another view
  ticketctl tui demo --write          may also lock, warm up, cancel and refund")]
    Tui(Tui),
    /// Completions for a shell.
    #[command(help_template = HELP, before_help = "\
  source <(ticketctl completions bash)
  ticketctl completions zsh > ~/.zfunc/_ticketctl")]
    Completions(Completions),
    /// Manual pages.
    #[command(help_template = HELP, before_help = "\
  ticketctl man | man -l -                       the page of ticketctl
  ticketctl man stock | man -l -                 the page of a command
  ticketctl man --dir ~/.local/share/man/man1    writes all pages")]
    Man(Man),
}

impl Command {
    /// It does nothing but wait, and keeps the time of `--timeout` itself.
    pub(crate) const fn is_a_wait(&self) -> bool {
        matches!(self, Self::Events(Events::Wait(_)))
    }

    /// The role at the admin API that it needs.
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Warmup(Warmup::Run(_) | Warmup::Lock(_) | Warmup::Unlock(_))
            | Self::Orders(Orders::Refund(_) | Orders::Cancel(_)) => Role::Manager,
            Self::Tui(flags) if flags.write => Role::Manager,
            Self::Events(_)
            | Self::Plan(_)
            | Self::Stock(_)
            | Self::Warmup(Warmup::Status(_))
            | Self::Orders(Orders::List(_) | Orders::Get(_))
            | Self::Shards(_)
            | Self::Rebalance(_)
            | Self::Lag(_)
            | Self::Audit(_)
            | Self::Doctor
            | Self::Explain(_)
            | Self::Tui(_)
            | Self::Completions(_)
            | Self::Man(_) => Role::Viewer,
        }
    }
}

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

/// An event.
#[derive(Debug, Clone, Args)]
pub struct EventArg {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
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

/// Flags of what takes no other.
#[derive(Debug, Clone, Copy, Args)]
pub struct Watch {
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
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

/// A duration as people write it: `90s`, `5m`, `1h 30m`. More than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a duration like 90s, 5m or 1h".to_owned();
        let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        let duration = Duration::try_from(duration).map_err(|_| wrong())?;
        if duration.is_zero() {
            Err(wrong())
        } else {
            Ok(Self(duration))
        }
    }
}

/// Flags of `plan`.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// File with an Event; - is standard input.
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE",
        conflicts_with = "event"
    )]
    pub file: Option<PathBuf>,
    /// Name of an event in the namespace of -n.
    #[arg(value_name = "EVENT", required_unless_present = "file", add = ArgValueCompleter::new(events))]
    pub event: Option<String>,
}

/// Flags of `stock`.
#[derive(Debug, Clone, Args)]
pub struct Stock {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: String,
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
}

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

/// Shards.
#[derive(Debug, Subcommand)]
pub enum Shards {
    /// Lists the ledger's nodes and shards.
    #[command(help_template = HELP, before_help = "\
  ticketctl shards list            one line per Citus shard that holds stock
  ticketctl shards list -o wide    all Citus shards
  ticketctl shards list -w         and a line for every change")]
    List(Watch),
}

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
        required_if_eq_any([("mode", "drain-node"), ("mode", "pin-events")])
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

/// Flags of `explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// A code in either spelling. Without one all are listed.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// Flags of `tui`.
#[derive(Debug, Clone, Args)]
pub struct Tui {
    /// Event to begin with: its name in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(events))]
    pub event: Option<String>,
    /// View to begin with: events, stock, shards, warmup, orders, lag or rebalances.
    #[arg(long, value_enum, value_name = "VIEW", hide_possible_values = true)]
    pub view: Option<Place>,
    /// Allows what changes something. Before what hurts a name has to be typed.
    #[arg(long)]
    pub write: bool,
}

/// Flags of `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// bash, elvish, fish, powershell or zsh.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Debug, Clone, Args)]
pub struct Man {
    /// Words of a command, e.g. `events list`. Without one the page of ticketctl.
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub command: Vec<String>,
    /// Folder to write all pages to.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn usage_error(line: &[&str]) -> i32 {
        Cli::try_parse_from(line).unwrap_err().exit_code()
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_and_wrong_values_are_usage_errors() {
        assert_eq!(usage_error(&["ticketctl"]), 2);
        assert_eq!(usage_error(&["ticketctl", "nonsense"]), 2);
        assert_eq!(usage_error(&["ticketctl", "stock"]), 2);
        assert_eq!(
            usage_error(&["ticketctl", "events", "wait", "demo", "--for", "fun"]),
            2
        );
        assert_eq!(
            usage_error(&["ticketctl", "events", "wait", "demo", "--timeout", "-5s"]),
            2
        );
        assert_eq!(usage_error(&["ticketctl", "--help"]), 0);
    }

    #[test]
    fn what_is_waited_for_is_spelled_as_the_help_says() {
        for word in [
            "ready",
            "scheduled",
            "on-sale",
            "paused",
            "sold-out",
            "closed",
            "deleted",
        ] {
            assert!(word.parse::<Until>().is_ok(), "{word}");
        }
        assert_eq!("condition=X".parse(), Ok(Until::Condition("X".to_owned())));
        assert!("condition=".parse::<Until>().is_err());
        assert_eq!("90s".parse(), Ok(Span(Duration::from_secs(90))));
        assert!("0s".parse::<Span>().is_err());
    }

    /// Every command with its own name, as it is typed.
    fn all(command: &clap::Command, before: &str) -> Vec<(String, clap::Command)> {
        let name = format!("{before} {}", command.get_name()).trim().to_owned();
        let own = command.get_subcommands().flat_map(|it| all(it, &name));
        let mut all: Vec<_> = own.collect();
        all.push((name, command.clone()));
        all
    }

    #[test]
    fn help_of_every_command_shows_examples_before_flags() {
        let all = all(&Cli::command(), "");
        assert!(all.len() > 30, "{}", all.len());
        for (name, mut command) in all {
            let help = command.render_long_help().to_string();
            let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{name}: {help}"));
            assert!(at("Examples:") < at("Usage:"), "{name}: {help}");
            let flags = help.find("Commands:").or_else(|| help.find("Options:"));
            assert!(
                flags.is_none_or(|at_flags| at("Usage:") < at_flags),
                "{name}: {help}"
            );
        }
    }

    /// The words of an example: what is behind two blanks is a comment, what is behind a bar or an arrow the shell's.
    fn words(example: &str) -> Vec<String> {
        let ends = ["  ", " | ", " > "].iter();
        let end = ends.filter_map(|end| example.find(end)).min();
        let line = &example[..end.unwrap_or(example.len())];
        let parts = line.split('\'').enumerate();
        let words = parts.flat_map(|(number, part)| {
            let is_quoted = number % 2 == 1;
            if is_quoted {
                vec![part]
            } else {
                part.split_whitespace().collect()
            }
        });
        words.map(str::to_owned).collect()
    }

    #[test]
    fn every_example_is_a_line_that_is_understood() {
        let mut examples = 0;
        for (name, command) in all(&Cli::command(), "") {
            let text = command.get_before_help().unwrap().to_string();
            let lines = text.lines().map(str::trim_start);
            for example in lines.filter(|line| line.starts_with("ticketctl")) {
                examples += 1;
                let read = Cli::try_parse_from(words(example));
                assert!(read.is_ok(), "{name}: {example}: {:?}", read.err());
            }
        }
        assert!(examples > 60, "{examples}");
    }

    #[test]
    fn what_is_read_can_be_watched() {
        for line in [
            "events list",
            "events get demo",
            "stock demo",
            "warmup status demo",
            "orders list demo",
            "orders get ord_1",
            "shards list",
            "rebalance status",
            "rebalance status balance-1",
            "lag",
        ] {
            for flag in ["-w", "--watch"] {
                let words = std::iter::once("ticketctl").chain(line.split(' '));
                let read = Cli::try_parse_from(words.chain([flag, "--timeout", "5s"]));
                assert!(read.is_ok(), "{line}: {:?}", read.err());
            }
        }
        // Nothing changes by itself, or looking again would cost as much as the first time.
        for line in [
            "doctor",
            "audit demo",
            "explain",
            "plan demo",
            "warmup run demo",
        ] {
            let words = std::iter::once("ticketctl").chain(line.split(' '));
            let words: Vec<&str> = words.chain(["-w"]).collect();
            assert_eq!(usage_error(&words), 2, "{line}");
        }
    }

    #[test]
    fn colours_need_a_terminal_and_nobody_who_minds() {
        let global = |line: &[&str]| Cli::try_parse_from(line).unwrap().global;
        assert!(!global(&["ticketctl", "doctor"]).is_coloured(false));
        assert!(!global(&["ticketctl", "doctor", "--no-color"]).is_coloured(true));
    }
}
