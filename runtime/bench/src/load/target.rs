//! Where requests go.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use hyper::header::HeaderValue;

/// Longest wait for one connection; on loopback only a server that does not listen takes longer.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A server that speaks HTTP/1 without encryption.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    host: HeaderValue,
}

impl Target {
    /// The server at `address`.
    pub fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let host = HeaderValue::try_from(address.to_string()).context("an address is no host")?;
        Ok(Self { address, host })
    }

    /// For the header `Host` of every request.
    #[must_use]
    pub const fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection that any event loop may take. Blocks until it is there.
    pub(super) fn connect(&self) -> anyhow::Result<TcpStream> {
        let failed = || format!("no connection to {}", self.address);
        let stream =
            TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX).with_context(failed)?;
        // A request is one small segment: it must not wait for the acknowledgement of the one before.
        stream.set_nodelay(true).with_context(failed)?;
        stream.set_nonblocking(true).with_context(failed)?;
        Ok(stream)
    }
}
