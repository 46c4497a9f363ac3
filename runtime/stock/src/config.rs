//! Where Redis is, and how long a call may take. Every default of the client that decides about time or size is
//! written out here.

use std::fmt;
use std::time::Duration;

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

/// Where the stock store is.
#[derive(Clone)]
pub struct StockConfig {
    /// `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS.
    pub url: String,
    /// Longest wait for a reply.
    pub response_timeout: Duration,
    /// Longest wait for one attempt to connect.
    pub connect_timeout: Duration,
}

impl StockConfig {
    /// The store at `url` with [`RESPONSE_TIMEOUT`] and [`CONNECT_TIMEOUT`].
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            response_timeout: RESPONSE_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

impl fmt::Debug for StockConfig {
    /// Without what stands before the host: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self
            .url
            .rsplit_once('@')
            .map_or(self.url.as_str(), |(_, host)| host);
        f.debug_struct("StockConfig")
            .field("host", &host)
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let config = StockConfig::new("redis://ticket:s3cr@t@store:6379/1");
        let printed = format!("{config:?}");
        assert!(printed.contains("store:6379/1"), "{printed}");
        assert!(!printed.contains("s3cr"), "{printed}");
    }
}
