//! Settings of the connections to the ledger. Defaults that decide about loss, time or size are written out.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use secrecy::SecretString;

/// Connections per process. The database's cores set the limit, not the number of requests: batches keep few busy.
pub(crate) const CONNECTIONS_MAX: u32 = 8;

/// Longest wait for a free connection, including making a new one.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest statement. A batch of 1,000 takes about 10 ms; a move of a Citus shard stalls writers for less than a second.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the ledger.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// `postgres://user:password@host:port/database?sslmode=..`. With Citus: the coordinator.
    pub url: SecretString,
    /// In place of the address' own password.
    pub password: Option<SecretString>,
    /// TLS that the address does not ask for itself.
    pub tls: Option<LedgerTls>,
    /// Which way batches go on Citus.
    pub routing: Routing,
    /// Connections of this process at most, to each node.
    pub connections_max: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
    /// Longest statement; the server breaks it off, so that no forgotten one keeps its connection.
    pub statement_timeout: Duration,
    /// What the server calls us in `pg_stat_activity`.
    pub application_name: String,
}

/// Which way batches go on Citus. On plain `PostgreSQL` there is only one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Routing {
    /// Straight to the worker that holds the stock shard; over the coordinator while that cannot be reached.
    #[default]
    Owner,
    /// Always over the coordinator, for networks in which only that can be reached.
    Coordinator,
}

/// TLS to the server, as `sslmode=verify-full`: its certificate must be valid and name the host. The files are read for
/// each new connection, so what is replaced in place is used from then on.
#[derive(Debug, Clone)]
pub struct LedgerTls {
    /// Authority of the server's certificate (PEM); public authorities are trusted beside it.
    pub ca: PathBuf,
    /// Our own certificate and its key (PEM), if the server asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl LedgerConfig {
    /// Defaults for everything but the address.
    #[must_use]
    pub fn new(url: &SecretString) -> Self {
        Self {
            url: url.clone(),
            password: None,
            tls: None,
            routing: Routing::default(),
            connections_max: CONNECTIONS_MAX,
            acquire_timeout: ACQUIRE_TIMEOUT,
            statement_timeout: STATEMENT_TIMEOUT,
            application_name: "ticket".to_owned(),
        }
    }
}
