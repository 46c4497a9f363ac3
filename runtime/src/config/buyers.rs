//! The buyer API.

use std::net::SocketAddr;

use clap::Args;
use secrecy::SecretString;

/// Where buyers come in, and how they are known.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Buyer API")]
pub struct BuyerSettings {
    /// Where the buyer API listens
    #[arg(long, env = "TICKET_API_LISTEN", value_name = "IP:PORT")]
    pub api_listen: Option<SocketAddr>,
    /// Shared secret of the buyers' tokens (HS256)
    #[arg(
        long,
        env = "TICKET_BUYER_JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub buyer_jwt_secret: Option<SecretString>,
}

impl BuyerSettings {
    /// What the API cannot do without.
    pub(super) fn needed(&self, lacks: &mut impl FnMut(bool, &'static str)) {
        lacks(self.api_listen.is_some(), "TICKET_API_LISTEN");
        lacks(self.buyer_jwt_secret.is_some(), "TICKET_BUYER_JWT_SECRET");
    }
}
