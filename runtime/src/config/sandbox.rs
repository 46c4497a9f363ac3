//! The payment provider for local use.

use std::net::SocketAddr;

use clap::Args;

/// Where the sandbox is, and where its webhooks go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sandbox")]
pub struct SandboxSettings {
    /// Where the sandbox listens
    #[arg(long, env = "TICKET_SANDBOX_LISTEN", value_name = "IP:PORT")]
    pub sandbox_listen: Option<SocketAddr>,
    /// Where the sandbox sends its webhooks
    #[arg(long, env = "TICKET_WEBHOOK_URL", value_name = "URL")]
    pub webhook_url: Option<String>,
}

impl SandboxSettings {
    /// What the sandbox cannot do without.
    pub(super) fn needed(&self, lacks: &mut impl FnMut(bool, &'static str)) {
        lacks(self.sandbox_listen.is_some(), "TICKET_SANDBOX_LISTEN");
        lacks(self.webhook_url.is_some(), "TICKET_WEBHOOK_URL");
    }
}
