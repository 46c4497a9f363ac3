//! The payment provider: our calls to it, and its webhooks to us.

use std::num::NonZeroU32;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

/// Where the provider is, and what both sides know.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Payments")]
pub struct PaymentSettings {
    /// The payment provider's API
    #[arg(long, env = "TICKET_PAYMENTS_URL", value_name = "URL")]
    pub payments_url: Option<String>,
    /// The payment provider's secret key; the sandbox asks for none
    #[arg(
        long,
        env = "TICKET_PAYMENTS_KEY",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub payments_key: Option<SecretString>,
    /// Payments per second that the provider allows
    #[arg(
        long,
        env = "TICKET_PAYMENTS_PER_SECOND",
        default_value = "2000",
        value_name = "NUMBER"
    )]
    pub payments_per_second: NonZeroU32,
    /// What a fraud warning or a dispute does to a paid order
    #[arg(
        long,
        env = "TICKET_COMPLAINT_POLICY",
        value_enum,
        default_value = "flag",
        value_name = "POLICY"
    )]
    pub complaint_policy: ComplaintPolicy,
    /// Secrets that sign the provider's webhooks, divided by commas while one is replaced
    #[arg(
        long,
        env = "TICKET_WEBHOOK_SECRET",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "SECRET,.."
    )]
    pub webhook_secret: Vec<SecretString>,
}

/// What follows when the buyer's bank warns of fraud or the buyer disputes a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ComplaintPolicy {
    /// The order stays paid and is flagged: an event manager decides.
    Flag,
    /// It is flagged, and the money goes back.
    Refund,
}
