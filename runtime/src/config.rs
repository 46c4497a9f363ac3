//! Settings: every one is a flag and an environment variable. They are checked as a whole at the start, for the role that
//! runs, so that a wrong one is named before anything is connected.

use std::net::SocketAddr;

use clap::{Args, Parser, ValueEnum};
use secrecy::SecretString;
use ticket_core::names::TopicPrefix;

/// The services behind a sale. One binary; the role says what this process does.
#[derive(Debug, Parser)]
#[command(name = "ticket-runtime", version, max_term_width = 110)]
pub struct Cli {
    /// What this process does.
    #[arg(value_enum)]
    pub role: Role,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The buyer API.
    Api,
    /// The admin API.
    Admin,
    /// Decides orders: order log -> ledger -> facts.
    Processor,
    /// Makes and refunds payments.
    Payments,
    /// Looks after the stock store.
    Keeper,
    /// Tells buyers' systems what became of orders.
    Notifier,
    /// Keeps the reseller's books and ours equal.
    Sync,
    /// All of the above in one process.
    All,
    /// A payment provider for local use that speaks Stripe's API.
    Sandbox,
    /// Brings the ledger's schema up to date and ends.
    Migrate,
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

/// Everything that can be set. What a role does not need may be left out.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// PostgreSQL or the Citus coordinator: postgres://user:password@host:port/database
    #[arg(long, env = "TICKET_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,
    /// Kafka: host:port[,host:port]
    #[arg(long, env = "TICKET_KAFKA_BROKERS")]
    pub kafka_brokers: Option<String>,
    /// Before every topic and consumer group
    #[arg(long, env = "TICKET_KAFKA_PREFIX", default_value = "")]
    pub kafka_prefix: String,
    /// Replicas of the topics that the runtime makes itself
    #[arg(long, env = "TICKET_KAFKA_REPLICATION", default_value_t = 1)]
    pub kafka_replication: u16,
    /// Redis: redis://host:port
    #[arg(long, env = "TICKET_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<SecretString>,
    /// Where the buyer API listens
    #[arg(long, env = "TICKET_API_LISTEN")]
    pub api_listen: Option<SocketAddr>,
    /// Where the admin API listens
    #[arg(long, env = "TICKET_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,
    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "TICKET_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Shared secret of the buyers' tokens (HS256)
    #[arg(long, env = "TICKET_BUYER_JWT_SECRET", hide_env_values = true)]
    pub buyer_jwt_secret: Option<SecretString>,
    /// Token of event managers for the admin API
    #[arg(long, env = "TICKET_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<SecretString>,
    /// Token of viewers for the admin API
    #[arg(long, env = "TICKET_ADMIN_VIEWER_TOKEN", hide_env_values = true)]
    pub admin_viewer_token: Option<SecretString>,
    /// The payment provider's API
    #[arg(long, env = "TICKET_PAYMENTS_URL")]
    pub payments_url: Option<String>,
    /// The payment provider's secret key; the sandbox asks for none
    #[arg(long, env = "TICKET_PAYMENTS_KEY", hide_env_values = true)]
    pub payments_key: Option<SecretString>,
    /// Payments per second that the provider allows
    #[arg(long, env = "TICKET_PAYMENTS_PER_SECOND", default_value = "2000")]
    pub payments_per_second: std::num::NonZeroU32,
    /// Secrets that sign the provider's webhooks, divided by commas while one is replaced
    #[arg(
        long,
        env = "TICKET_WEBHOOK_SECRET",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub webhook_secret: Vec<SecretString>,
    /// Messages that the processor takes at once; 1 is one message at a time
    #[arg(long, env = "TICKET_CONSUMER_MAX_BATCH", default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub consumer_max_batch: u32,
    /// How long a batch may wait to gather while orders come fast enough that it pays, milliseconds
    #[arg(long, env = "TICKET_CONSUMER_GATHER_MS", default_value = "20",
        value_parser = clap::value_parser!(u64).range(0..=100))]
    pub consumer_gather_ms: u64,
    /// Where the sandbox listens
    #[arg(long, env = "TICKET_SANDBOX_LISTEN")]
    pub sandbox_listen: Option<SocketAddr>,
    /// Where the sandbox sends its webhooks
    #[arg(long, env = "TICKET_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// What is logged: error, warn, info, debug, or a filter such as `info,ticket_bus=debug`
    #[arg(long, env = "TICKET_LOG", default_value = "info")]
    pub log: String,
}

/// A setting that the role needs is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the role {role} needs {variable}, or the flag --{}", flag(variable))]
pub struct MissingSetting {
    variable: &'static str,
    role: &'static str,
}

/// The flag of an environment variable: every setting has both.
fn flag(variable: &str) -> String {
    variable
        .trim_start_matches("TICKET_")
        .to_lowercase()
        .replace('_', "-")
}

impl Settings {
    /// The prefix of topics and groups.
    #[must_use]
    pub fn prefix(&self) -> TopicPrefix {
        TopicPrefix(self.kafka_prefix.clone())
    }
}

/// `value`, or an error that names variable and flag.
///
/// # Errors
/// [`MissingSetting`].
pub fn need<T: Clone>(
    value: Option<&T>,
    variable: &'static str,
    role: Role,
) -> Result<T, MissingSetting> {
    let role = role.service();
    value.cloned().ok_or(MissingSetting { variable, role })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_missing_setting_is_named_as_variable_and_as_flag() {
        let missing = need::<u8>(None, "TICKET_API_LISTEN", Role::Api).unwrap_err();
        let words = missing.to_string();
        assert_eq!(
            words,
            "the role runtime-api needs TICKET_API_LISTEN, or the flag --api-listen"
        );
        let command = Cli::command();
        assert!(
            command
                .get_arguments()
                .any(|flag| flag.get_long() == Some("api-listen"))
        );
    }

    #[test]
    fn all_does_everything_that_serves_a_sale() {
        for part in [
            Role::Api,
            Role::Admin,
            Role::Processor,
            Role::Payments,
            Role::Keeper,
            Role::Notifier,
            Role::Sync,
        ] {
            assert!(Role::All.does(part) && part.does(part));
            assert!(!part.does(Role::All));
        }
        assert!(!Role::All.does(Role::Sandbox) && !Role::Api.does(Role::Processor));
    }
}
