//! The store itself: a cheap handle on the shared connection, and how a function is called.

use redis::Cmd;

use crate::config::StockConfig;
use crate::connection::Connection;
use crate::error::StockError;

/// The stock store. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct StockStore {
    pub(crate) connection: Connection,
}

impl std::fmt::Debug for StockStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StockStore").finish_non_exhaustive()
    }
}

impl StockStore {
    /// A handle on the store. Does not wait for Redis to be up: the first call connects. Needs a tokio runtime.
    #[expect(
        clippy::unused_async,
        reason = "all clients are connected alike, and it needs a runtime"
    )]
    pub async fn connect(config: &StockConfig) -> Result<Self, StockError> {
        Ok(Self {
            connection: Connection::open(config)?,
        })
    }

    /// Calls go through new connections, made with `config`, from now on: a secret was replaced. Calls under way end on
    /// the old ones.
    pub fn reconfigure(&self, config: &StockConfig) -> Result<(), StockError> {
        self.connection.replace(config)
    }

    /// Asks the server for a sign of life.
    pub async fn ping(&self) -> Result<(), StockError> {
        match self.connection.send(&redis::cmd("PING")).await {
            Ok(_) => Ok(()),
            Err(cause) => Err(StockError::Ping { cause }),
        }
    }
}

/// A call of a function that writes: `FCALL name numkeys key ...`; arguments follow.
pub(crate) fn fcall(function: &str, keys: &[&str]) -> Cmd {
    with_keys("FCALL", function, keys)
}

/// A call of a function that only reads.
pub(crate) fn fcall_ro(function: &str, keys: &[&str]) -> Cmd {
    with_keys("FCALL_RO", function, keys)
}

fn with_keys(command: &str, function: &str, keys: &[&str]) -> Cmd {
    let mut call = redis::cmd(command);
    call.arg(function).arg(keys.len()).arg(keys);
    call
}
