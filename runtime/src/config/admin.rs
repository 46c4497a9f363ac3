//! The admin API: where it listens, whose tokens it takes, and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Keys of people's and service accounts' tokens as a JSON Web Key Set: a URL or a file. In a cluster
    /// `https://kubernetes.default.svc/openid/v1/jwks`
    #[arg(long, env = "TICKET_ADMIN_JWKS")]
    pub admin_jwks: Option<String>,
    /// Certificates (PEM) that the server of the key set is trusted by, instead of the system's
    #[arg(long, env = "TICKET_ADMIN_JWKS_CA_FILE")]
    pub admin_jwks_ca_file: Option<PathBuf>,
    /// Our own token for the server of the key set, read again each time
    #[arg(long, env = "TICKET_ADMIN_JWKS_TOKEN_FILE")]
    pub admin_jwks_token_file: Option<PathBuf>,
    /// Issuer that these tokens must name (`iss`)
    #[arg(
        long,
        env = "TICKET_ADMIN_ISSUER",
        default_value = "https://kubernetes.default.svc"
    )]
    pub admin_issuer: String,
    /// Audience that these tokens must name (`aud`)
    #[arg(long, env = "TICKET_ADMIN_AUDIENCE", default_value = "ticket-admin")]
    pub admin_audience: String,
    /// Who is a manager, divided by commas: a user (`sub`), or a group (`groups`; a service account is in
    /// system:serviceaccounts and system:serviceaccounts:NAMESPACE)
    #[arg(long, env = "TICKET_ADMIN_MANAGERS", value_delimiter = ',')]
    pub admin_managers: Vec<String>,
    /// Who is a viewer, in the same words
    #[arg(long, env = "TICKET_ADMIN_VIEWERS", value_delimiter = ',')]
    pub admin_viewers: Vec<String>,
    /// Every event on sale is audited so often by itself, seconds, 1 to 86,400; with many or large events less often, so that
    /// audits take no more than a tenth of the time
    #[arg(long, env = "TICKET_AUDIT_EVERY_S", default_value = "60", value_name = "S",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub audit_every_s: u64,
    /// Connections to the admin API; the next ones wait until one is closed
    #[arg(long, env = "TICKET_ADMIN_CONNECTIONS_MAX", default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub admin_connections_max: u32,
    /// Stock streams that are open at the same time
    #[arg(long, env = "TICKET_ADMIN_STREAMS_MAX", default_value = "200",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub admin_streams_max: u32,
}

impl AdminSettings {
    /// How often every event is audited.
    #[must_use]
    pub fn audit_every(&self) -> Duration {
        Duration::from_secs(self.audit_every_s)
    }

    /// What the API cannot do without.
    pub(super) fn needed(&self, lacks: &mut impl FnMut(bool, &'static str)) {
        lacks(self.admin_listen.is_some(), "TICKET_ADMIN_LISTEN");
        // Either is enough to know managers by.
        let knows_managers = self.admin_token.is_some() || self.admin_jwks.is_some();
        lacks(knows_managers, "TICKET_ADMIN_TOKEN");
    }
}
