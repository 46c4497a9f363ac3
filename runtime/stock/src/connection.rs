//! The one shared connection of a process: pipelined, connects when it is first used, connects again by itself, repeats
//! nothing but a call that met a server without our library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, IntoConnectionInfo, ProtocolVersion, RedisResult, Value};
use tokio::sync::Mutex;
use tracing::info;

use crate::config::{
    CONNECT_RETRIES, CONNECT_RETRY_DELAY_MAX, PIPELINE_COMMANDS_MAX, StockConfig, TCP_USER_TIMEOUT,
};
use crate::library::{LIBRARY, SOURCE};

#[derive(Clone)]
pub(crate) struct Connection {
    manager: ConnectionManager,
    loader: Arc<Loader>,
}

/// Lets one task load the library while the others that found it missing wait for that.
#[derive(Default)]
struct Loader {
    turn: Mutex<()>,
    loads: AtomicU64,
}

impl Connection {
    pub(crate) fn open(config: &StockConfig) -> RedisResult<Self> {
        let info = config.url.as_str().into_connection_info()?;
        // RESP3 tells of a broken connection at once, so the next call finds a new one.
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let tcp = info
            .tcp_settings()
            .clone()
            .set_nodelay(true)
            .set_user_timeout(TCP_USER_TIMEOUT);
        let client = Client::open(info.set_redis_settings(settings).set_tcp_settings(tcp))?;
        let manager = ConnectionManagerConfig::new()
            .set_response_timeout(Some(config.response_timeout))
            .set_connection_timeout(Some(config.connect_timeout))
            .set_number_of_retries(CONNECT_RETRIES)
            .set_max_delay(CONNECT_RETRY_DELAY_MAX)
            .set_pipeline_buffer_size(PIPELINE_COMMANDS_MAX);
        let manager = ConnectionManager::new_lazy_with_config(client, manager)?;
        Ok(Self {
            manager,
            loader: Arc::default(),
        })
    }

    /// One command, as it is.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        self.manager
            .clone()
            .send_packed_command(command)
            .await?
            .extract_error()
    }

    /// One call of a function of the library. A server that does not have it gets it; the call then runs on a fresh
    /// library, in which no event is armed.
    pub(crate) async fn call(&self, command: &Cmd) -> RedisResult<Value> {
        let loads = self.loader.loads.load(Ordering::Acquire);
        match self.send(command).await {
            Err(error) if is_missing_function(&error) => {
                self.load(loads).await?;
                self.send(command).await
            }
            reply => reply,
        }
    }

    /// Loads the library unless somebody else did so since `loads` were counted.
    async fn load(&self, loads: u64) -> RedisResult<()> {
        let _turn = self.loader.turn.lock().await;
        if self.loader.loads.load(Ordering::Acquire) != loads {
            return Ok(());
        }
        // Plain LOAD, never REPLACE: that would disarm what another process has seeded meanwhile.
        match self
            .send(redis::cmd("FUNCTION").arg("LOAD").arg(SOURCE))
            .await
        {
            Ok(_) => info!(
                library = LIBRARY,
                "function library loaded into the stock store"
            ),
            Err(error) if is_loaded_already(&error) => {}
            Err(error) => return Err(error),
        }
        self.loader.loads.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

fn is_missing_function(error: &redis::RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("Function not found"))
}

fn is_loaded_already(error: &redis::RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("already exists"))
}
