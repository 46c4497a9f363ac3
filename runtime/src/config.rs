//! Settings: every one is a flag, an environment variable and a key of the settings file; each group stands in a file of
//! its own, beside the rules that its settings must keep. They are checked as a whole at the start, for the role that
//! runs, so that what is wrong is named before anything is connected. How values are found is `ticket_telemetry::settings`.
//!
//! A new group: a struct that derives `clap::Args` with a `next_help_heading`, a `check`, one line in [`Settings`] and one
//! in [`Settings::check`]. A secret is an `Option<SecretString>` with `hide_env_values`; its `_FILE` comes by itself. A
//! setting that a role cannot do without is an `Option`, too: [`need`] names it.

mod admin;
mod buyers;
mod payments;
mod process;
mod processor;
mod role;
mod sandbox;
mod topics;

use std::ffi::OsString;

use clap::{Args, Parser};
use secrecy::SecretString;
use ticket_bus::{BusConfig, KafkaSettings};
use ticket_core::SettingProblem;
use ticket_core::setting::flag_of;
use ticket_ledger::{DatabaseSettings, LedgerConfig};
use ticket_stock::{RedisSettings, StockConfig};
use ticket_telemetry::settings::{self, LoadError, Loaded};

pub use admin::AdminSettings;
pub use buyers::BuyerSettings;
pub use payments::{ComplaintPolicy, PaymentSettings};
pub use process::ProcessSettings;
pub use processor::ProcessorSettings;
pub use role::{ConfigVerb, Role, Verb};
pub use sandbox::SandboxSettings;
pub use topics::TopicSettings;

/// What people see first.
const EXAMPLES: &str = "\
Examples:
  ticket-runtime migrate                  bring the ledger's schema up to date
  ticket-runtime all                      everything that serves a sale, in one process
  ticket-runtime api                      one role; start as many processes of it as you like
  ticket-runtime config check all         say what is wrong with the settings, connect to nothing
  ticket-runtime config print --style env show every setting and where it comes from

Every setting is a flag, an environment variable and a key of the settings file, in this order of precedence.
A secret can be named as a file: TICKET_ADMIN_TOKEN_FILE=/run/secrets/admin-token. Files of tokens, JWT and webhook
secrets and of the passwords of database and Redis are read again when they change; all else needs a restart.";

/// The services behind a sale. One binary; the role says what this process does.
#[derive(Debug, Parser)]
#[command(
    name = "ticket-runtime",
    version,
    max_term_width = 110,
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}",
    before_help = EXAMPLES,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What this process does.
    #[command(subcommand)]
    pub verb: Verb,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// Everything that can be set. What a role does not need may be left out.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// PostgreSQL.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Kafka.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// What the runtime makes in Kafka.
    #[command(flatten)]
    pub topics: TopicSettings,
    /// Redis.
    #[command(flatten)]
    pub redis: RedisSettings,
    /// The buyer API.
    #[command(flatten)]
    pub buyers: BuyerSettings,
    /// The admin API.
    #[command(flatten)]
    pub admin: AdminSettings,
    /// The payment provider.
    #[command(flatten)]
    pub payments: PaymentSettings,
    /// Who decides orders.
    #[command(flatten)]
    pub processor: ProcessorSettings,
    /// The provider of the local stack.
    #[command(flatten)]
    pub sandbox: SandboxSettings,
    /// What every process has.
    #[command(flatten)]
    pub process: ProcessSettings,
}

/// Settings of a role that runs, with where they come from.
pub type Config = Loaded<Cli>;

/// Reads the settings.
///
/// # Errors
/// [`LoadError`]: a value that cannot be used. What does not fit together is [`Settings::check`]'s matter.
pub fn load(arguments: impl IntoIterator<Item = OsString>) -> Result<Config, LoadError> {
    settings::load(arguments)
}

impl Settings {
    /// Everything that is wrong with the settings for `role`: what it lacks, and what contradicts itself.
    #[must_use]
    pub fn check(&self, role: Role) -> Vec<SettingProblem> {
        let mut problems = self.database.check();
        problems.extend(self.kafka.check());
        problems.extend(self.redis.check());
        problems.extend(self.process.check(&self.processor));
        problems.extend(self.processor.check());
        let mut lacks = |is_there: bool, variable: &'static str| {
            if !is_there {
                problems.push(MissingSetting { variable, role }.into());
            }
        };
        let serves = !matches!(role, Role::Sandbox | Role::Migrate);
        if serves || role == Role::Migrate {
            lacks(self.database.database_url.is_some(), "TICKET_DATABASE_URL");
        }
        if serves {
            lacks(self.kafka.kafka_brokers.is_some(), "TICKET_KAFKA_BROKERS");
            lacks(self.redis.redis_url.is_some(), "TICKET_REDIS_URL");
        }
        if role.does(Role::Api) {
            self.buyers.needed(&mut lacks);
            lacks(
                !self.payments.webhook_secret.is_empty(),
                "TICKET_WEBHOOK_SECRET",
            );
        }
        if role.does(Role::Admin) {
            self.admin.needed(&mut lacks);
        }
        if role.does(Role::Admin) || role.does(Role::Payments) {
            lacks(self.payments.payments_url.is_some(), "TICKET_PAYMENTS_URL");
        }
        if role == Role::Sandbox {
            self.sandbox.needed(&mut lacks);
            lacks(
                !self.payments.webhook_secret.is_empty(),
                "TICKET_WEBHOOK_SECRET",
            );
        }
        problems
    }

    /// How to reach the ledger.
    ///
    /// # Errors
    /// [`MissingSetting`].
    pub fn ledger(&self, role: Role) -> Result<LedgerConfig, MissingSetting> {
        let url = need(
            self.database.database_url.as_ref(),
            "TICKET_DATABASE_URL",
            role,
        )?;
        Ok(self.database.ledger(&url, role.service()))
    }

    /// How to reach the stock store.
    ///
    /// # Errors
    /// [`MissingSetting`].
    pub fn stock(&self, role: Role) -> Result<StockConfig, MissingSetting> {
        let url: SecretString = need(self.redis.redis_url.as_ref(), "TICKET_REDIS_URL", role)?;
        Ok(self.redis.stock(&url))
    }

    /// How to reach Kafka.
    ///
    /// # Errors
    /// [`MissingSetting`].
    pub fn bus(&self, role: Role) -> Result<BusConfig, MissingSetting> {
        let brokers = self.kafka.kafka_brokers.as_ref();
        let brokers = need(brokers, "TICKET_KAFKA_BROKERS", role)?;
        Ok(self.kafka.bus(&brokers, role.service()))
    }
}

/// A setting that the role needs is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the role {} needs {variable}, or the flag --{}", role.service(), flag_of(variable))]
pub struct MissingSetting {
    variable: &'static str,
    role: Role,
}

impl From<MissingSetting> for SettingProblem {
    fn from(missing: MissingSetting) -> Self {
        let MissingSetting { variable, role } = missing;
        let what = format!("is not set, and {} needs it", role.service());
        Self::new(variable, what, "set it; --help says what it means")
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
    value.cloned().ok_or(MissingSetting { variable, role })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    fn loaded(arguments: &[&str]) -> Config {
        let arguments = ["ticket-runtime"].iter().chain(arguments);
        load(arguments.map(OsString::from)).unwrap()
    }

    fn problems(role: Role, arguments: &[&str]) -> Vec<String> {
        let arguments = [&["all"], arguments].concat();
        let problems = loaded(&arguments).cli.settings.check(role);
        problems.into_iter().map(|one| one.variable).collect()
    }

    #[test]
    fn the_command_line_is_consistent_and_flags_follow_from_variables() {
        settings::command::<Cli>().debug_assert();
        assert_eq!(settings::misnamed::<Cli>(), Vec::<String>::new());
    }

    #[test]
    fn a_role_stands_before_or_after_its_settings() {
        for arguments in [["api", "--log=debug"], ["--log=debug", "api"]] {
            let cli = loaded(&arguments).cli;
            assert!(matches!(cli.verb, Verb::Role(Role::Api)));
            assert_eq!(cli.settings.process.log, "debug");
        }
        let cli = loaded(&["config", "check", "api"]).cli;
        assert!(matches!(
            cli.verb,
            Verb::Config(ConfigVerb::Check { role: Role::Api })
        ));
    }

    #[test]
    fn a_missing_setting_is_named_as_variable_and_as_flag() {
        let missing = need::<u8>(None, "TICKET_API_LISTEN", Role::Api).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the role runtime-api needs TICKET_API_LISTEN, or the flag --api-listen"
        );
    }

    #[test]
    fn everything_that_a_role_lacks_is_said_at_once() {
        assert_eq!(problems(Role::Migrate, &[]), ["TICKET_DATABASE_URL"]);
        let servers = [
            "--database-url=postgres://a",
            "--kafka-brokers=a:1",
            "--redis-url=redis://a",
        ];
        assert_eq!(problems(Role::Processor, &servers), NONE);
        assert_eq!(
            problems(Role::Api, &servers),
            [
                "TICKET_API_LISTEN",
                "TICKET_BUYER_JWT_SECRET",
                "TICKET_WEBHOOK_SECRET"
            ]
        );
        assert_eq!(problems(Role::Keeper, &[]).len(), 3);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let servers = [
            "--database-url=postgres://a",
            "--kafka-brokers=a:1",
            "--redis-url=redis://a",
        ];
        let with = |more: &[&str]| problems(Role::Processor, &[&servers[..], more].concat());
        let drain = ["--consumer-drain-ms=9000", "--consumer-session-ms=10000"];
        assert_eq!(with(&drain), ["TICKET_CONSUMER_DRAIN_MS"]);
        assert_eq!(with(&["--drain-s=5"]), ["TICKET_CONSUMER_DRAIN_MS"]);
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
