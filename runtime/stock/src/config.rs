//! Where Redis is, and how long a call may take. Every default of the client that decides about time or size is
//! written out here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// A reply may take this long, waiting in our own queue included; then the outcome is unknown. The client's default of
/// 500 ms is reached by a short stall of a busy machine.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One attempt to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Attempts to connect again before the calls that wait for it fail. Few: a dead server must be an answer, not a wait.
pub const CONNECT_RETRIES: usize = 1;

/// Longest pause before an attempt to connect again.
pub const CONNECT_RETRY_DELAY_MAX: Duration = Duration::from_millis(200);

/// Calls that may wait for being written to the one shared connection.
pub const PIPELINE_COMMANDS_MAX: usize = 2048;

/// Bytes that nobody acknowledges for this long end the connection: without it a server that vanished without a word
/// (power, firewall) would cost every call its full timeout for a quarter of an hour.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a call to a cluster is sent again (moved slots, a node that is away). The client's default of 16 tries would
/// keep a buyer for half a minute. Every function may be called again with the same arguments.
pub const CLUSTER_RETRIES: u32 = 2;

/// Shortest and longest pause before a call to a cluster is sent again. The client's defaults are 1.28 s and more.
pub const CLUSTER_RETRY_WAIT: [Duration; 2] =
    [Duration::from_millis(20), Duration::from_millis(300)];

/// Where the stock store is.
#[derive(Clone)]
pub struct StockConfig {
    /// `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS. For a cluster some of its nodes, divided by
    /// commas; the others are found.
    pub url: String,
    /// The nodes of `url` are a Redis Cluster.
    pub is_cluster: bool,
    /// In place of the address' own user.
    pub username: Option<String>,
    /// In place of the address' own password.
    pub password: Option<SecretString>,
    /// Authorities of the server's certificate (PEM); `None`: those of the operating system. Only with `rediss://`.
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate and its key (PEM), if the server asks for one. Only with `rediss://`.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// Longest wait for a reply.
    pub response_timeout: Duration,
    /// Longest wait for one attempt to connect.
    pub connect_timeout: Duration,
}

impl StockConfig {
    /// The one server at `url` with [`RESPONSE_TIMEOUT`] and [`CONNECT_TIMEOUT`].
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            is_cluster: false,
            username: None,
            password: None,
            tls_ca: None,
            tls_client: None,
            response_timeout: RESPONSE_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// The addresses of the server, or of the cluster's first nodes.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        let addresses = self.url.split(',').map(str::trim);
        addresses.filter(|address| !address.is_empty())
    }
}

impl fmt::Debug for StockConfig {
    /// Without what stands before a host: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self
            .addresses()
            .map(|url| url.rsplit_once('@').map_or(url, |(_, host)| host))
            .collect();
        f.debug_struct("StockConfig")
            .field("hosts", &hosts)
            .field("is_cluster", &self.is_cluster)
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let config = StockConfig::new("redis://ticket:s3cr@t@store:6379/1,redis://:s3cret@other:1");
        let printed = format!("{config:?}");
        assert!(printed.contains("store:6379/1"), "{printed}");
        assert!(printed.contains("other:1"), "{printed}");
        assert!(!printed.contains("s3cr"), "{printed}");
    }
}
