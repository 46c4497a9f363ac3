//! The admin API.

use std::net::SocketAddr;

use clap::Args;
use secrecy::SecretString;

/// Where event managers come in, and how they are known.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Admin API")]
pub struct AdminSettings {
    /// Where the admin API listens
    #[arg(long, env = "TICKET_ADMIN_LISTEN", value_name = "IP:PORT")]
    pub admin_listen: Option<SocketAddr>,
    /// Token of event managers
    #[arg(
        long,
        env = "TICKET_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub admin_token: Option<SecretString>,
    /// Token of viewers
    #[arg(
        long,
        env = "TICKET_ADMIN_VIEWER_TOKEN",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub admin_viewer_token: Option<SecretString>,
}

impl AdminSettings {
    /// What the API cannot do without.
    pub(super) fn needed(&self, lacks: &mut impl FnMut(bool, &'static str)) {
        lacks(self.admin_listen.is_some(), "TICKET_ADMIN_LISTEN");
        lacks(self.admin_token.is_some(), "TICKET_ADMIN_TOKEN");
    }
}
