//! The command line: every flag, argument and help text. Nothing is done here.

mod events;
mod orders;
mod rebalance;
mod span;
mod warmup;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;

pub use events::{Events, EventsGet, EventsList, EventsWait, Until};
pub use orders::{Orders, OrdersChange, OrdersGet, OrdersList};
pub use rebalance::{
    Rebalance, RebalanceGo, RebalanceMode, RebalanceName, RebalancePlan, RebalanceStatus,
    TransferMode,
};
pub use span::Span;
pub use warmup::{Warmup, WarmupLock, WarmupStatus, WarmupUnlock};

use crate::access::Role;
use crate::completion;
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
  ticketctl stock demo -w -o wide    the same per stock shard
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

/// An event.
#[derive(Debug, Clone, Args)]
pub struct EventArg {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(completion::events))]
    pub event: String,
}

/// Flags of what takes no other.
#[derive(Debug, Clone, Copy, Args)]
pub struct Watch {
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
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
    #[arg(value_name = "EVENT", required_unless_present = "file", add = ArgValueCompleter::new(completion::events))]
    pub event: Option<String>,
}

/// Flags of `stock`.
#[derive(Debug, Clone, Args)]
pub struct Stock {
    /// Name of the event in the namespace of -n.
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(completion::events))]
    pub event: String,
    /// Goes on with every change.
    #[arg(short, long)]
    pub watch: bool,
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
    #[arg(value_name = "EVENT", add = ArgValueCompleter::new(completion::events))]
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
    use std::time::Duration;

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
