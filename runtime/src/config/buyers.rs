//! The buyer API: where it listens, whose tokens it takes, and its limits.

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
    /// Keys of the buyers' tokens as a JSON Web Key Set (RS256, ES256): a URL or a file, read again when it changes
    #[arg(long, env = "TICKET_BUYER_JWKS")]
    pub buyer_jwks: Option<String>,
    /// Issuer that the buyers' tokens must name (`iss`); any if not set
    #[arg(long, env = "TICKET_BUYER_JWT_ISSUER")]
    pub buyer_jwt_issuer: Option<String>,
    /// Audience that the buyers' tokens must name (`aud`); any if not set
    #[arg(long, env = "TICKET_BUYER_JWT_AUDIENCE")]
    pub buyer_jwt_audience: Option<String>,
    /// Connections of buyers; the next ones wait until one is closed
    #[arg(long, env = "TICKET_API_CONNECTIONS_MAX", default_value = "20000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub api_connections_max: u32,
    /// Most requests that are worked on at the same time; the next ones get 503 `overloaded` at once. At first 256; more
    /// while they are needed and the process gets its turn at the processor in time. Waiting and streaming do not count
    #[arg(long, env = "TICKET_API_IN_FLIGHT_MAX", default_value = "2048",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub api_in_flight_max: u32,
    /// Event streams that are open at the same time
    #[arg(long, env = "TICKET_API_STREAMS_MAX", default_value = "10000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub api_streams_max: u32,
    /// Event streams that one buyer may have open at the same time
    #[arg(long, env = "TICKET_API_BUYER_STREAMS_MAX", default_value = "32",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub api_buyer_streams_max: u32,
    /// Requests per second of one buyer; 0 = no limit
    #[arg(long, env = "TICKET_API_BUYER_PER_SECOND", default_value = "100")]
    pub api_buyer_per_second: u32,
    /// Requests that one buyer may send at once after a rest
    #[arg(long, env = "TICKET_API_BUYER_BURST", default_value = "500",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub api_buyer_burst: u32,
    /// Requests per second without a valid token from one address; 0 = no limit. Leave it at 0 behind a load balancer:
    /// there everybody has the same address
    #[arg(long, env = "TICKET_API_ADDRESS_PER_SECOND", default_value = "0")]
    pub api_address_per_second: u32,
    /// Requests without a valid token that one address may send at once after a rest
    #[arg(long, env = "TICKET_API_ADDRESS_BURST", default_value = "100",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub api_address_burst: u32,
    /// Origins whose pages may call the buyer API (CORS), divided by commas; `*` is all. None if not set
    #[arg(long, env = "TICKET_API_CORS_ORIGINS", value_delimiter = ',')]
    pub api_cors_origins: Vec<String>,
}

impl BuyerSettings {
    /// What the API cannot do without.
    pub(super) fn needed(&self, lacks: &mut impl FnMut(bool, &'static str)) {
        lacks(self.api_listen.is_some(), "TICKET_API_LISTEN");
        // Either is enough to know buyers by.
        let knows_buyers = self.buyer_jwt_secret.is_some() || self.buyer_jwks.is_some();
        lacks(knows_buyers, "TICKET_BUYER_JWT_SECRET");
    }
}
