//! What a process does: a role, or something about its settings.

use clap::{Subcommand, ValueEnum};
use ticket_telemetry::settings::Style;

/// What this process does.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Verb {
    /// A role.
    #[command(flatten)]
    Role(Role),
    /// Check or print the settings, and connect to nothing
    #[command(subcommand)]
    Config(ConfigVerb),
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Subcommand)]
pub enum Role {
    /// The buyer API
    Api,
    /// The admin API
    Admin,
    /// Decides orders: order log -> ledger -> facts
    Processor,
    /// Makes and refunds payments
    Payments,
    /// Looks after the stock store
    Keeper,
    /// Tells buyers' systems what became of orders
    Notifier,
    /// Keeps the reseller's books and ours equal
    Sync,
    /// All of the above in one process
    All,
    /// A payment provider for local use that speaks Stripe's API
    Sandbox,
    /// Brings the ledger's schema up to date and ends
    Migrate,
}

/// What is done with the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigVerb {
    /// Say everything that is wrong with them; exit code 2 if anything is
    Check {
        /// For this role
        #[arg(value_enum, default_value_t = Role::All)]
        role: Role,
    },
    /// Show every setting and where it comes from, without secrets
    Print {
        /// As a settings file (toml) or as an environment (env)
        #[arg(long, value_enum, default_value_t = Style::Toml)]
        style: Style,
    },
}

impl Role {
    /// Does a process of this role do the work of `part`?
    #[must_use]
    pub fn does(self, part: Self) -> bool {
        let in_all = !matches!(part, Self::Sandbox | Self::Migrate);
        self == part || (self == Self::All && in_all)
    }

    /// For logs.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Api => "runtime-api",
            Self::Admin => "runtime-admin",
            Self::Processor => "runtime-processor",
            Self::Payments => "runtime-payments",
            Self::Keeper => "runtime-keeper",
            Self::Notifier => "runtime-notifier",
            Self::Sync => "runtime-sync",
            Self::All => "runtime",
            Self::Sandbox => "sandbox",
            Self::Migrate => "migrate",
        }
    }
}
