//! The way to Redis. To one server: the one shared connection of a process, pipelined, which connects when it is first
//! used, connects again by itself, and repeats nothing but a call that met a server without our library. To a cluster:
//! one such connection per node; calls follow their event's slot and are repeated a few times while it moves.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClientBuilder, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    Client, ClientTlsConfig, Cmd, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult,
    TlsCertificates, Value,
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tracing::info;

use crate::config::{
    CLUSTER_RETRIES, CLUSTER_RETRY_WAIT, CONNECT_RETRIES, CONNECT_RETRY_DELAY_MAX,
    PIPELINE_COMMANDS_MAX, StockConfig, TCP_USER_TIMEOUT,
};
use crate::error::StockError;
use crate::library::{LIBRARY, SOURCE};

#[derive(Clone)]
pub(crate) struct Connection {
    /// Replaced when a secret is; calls under way end on the old one.
    way: Arc<ArcSwap<Way>>,
    loader: Arc<Loader>,
}

enum Way {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

/// Lets one task load the library while the others that found it missing wait for that.
#[derive(Default)]
struct Loader {
    /// The number of the last load, by the first key of the call that found the library missing: on a cluster it is
    /// missing node by node. One entry per event.
    last: Mutex<HashMap<Vec<u8>, u64>>,
    loads: AtomicU64,
}

impl Connection {
    /// Nothing is sent. Needs a tokio runtime.
    pub(crate) fn open(config: &StockConfig) -> Result<Self, StockError> {
        Ok(Self {
            way: Arc::new(ArcSwap::from_pointee(Way::open(config)?)),
            loader: Arc::default(),
        })
    }

    pub(crate) fn replace(&self, config: &StockConfig) -> Result<(), StockError> {
        self.way.store(Arc::new(Way::open(config)?));
        Ok(())
    }

    /// One command, as it is. On a cluster it goes where its key is, or to every primary if it has none.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        // Cloned, so that nothing of the swap is held while the answer is waited for.
        let manager = match &**self.way.load() {
            Way::Single(manager) => Ok(manager.clone()),
            Way::Cluster(cluster) => Err(cluster.clone()),
        };
        match manager {
            Ok(mut manager) => manager.send_packed_command(command).await?.extract_error(),
            Err(cluster) => Box::pin(to_cluster(cluster, command)).await,
        }
    }

    /// One call of a function of the library. A server that does not have it gets it; the call then runs on a fresh
    /// library, in which no event is armed.
    pub(crate) async fn call(&self, command: &Cmd) -> RedisResult<Value> {
        let loads = self.loader.loads.load(Ordering::Acquire);
        match self.send(command).await {
            Err(error) if is_missing_function(&error) => {
                Box::pin(self.load(command, loads)).await?;
                self.send(command).await
            }
            reply => reply,
        }
    }

    /// Loads the library where `command` goes, unless somebody else did so since `loads` were counted.
    async fn load(&self, command: &Cmd, loads: u64) -> RedisResult<()> {
        let key = first_key(command);
        let mut last = self.loader.last.lock().await;
        if last.get(&key).is_some_and(|last| *last > loads) {
            return Ok(());
        }
        // Plain LOAD, never REPLACE: that would disarm what another process has seeded meanwhile.
        match self.load_beside(command).await {
            Ok(_) => info!(
                library = LIBRARY,
                "function library loaded into the stock store"
            ),
            Err(error) if is_loaded_already(&error) => {}
            Err(error) => return Err(error),
        }
        let loads = self.loader.loads.fetch_add(1, Ordering::AcqRel) + 1;
        last.insert(key, loads);
        Ok(())
    }

    /// To the node that `command` goes to.
    async fn load_beside(&self, command: &Cmd) -> RedisResult<Value> {
        let load = redis::cmd("FUNCTION").arg("LOAD").arg(SOURCE).take();
        let cluster = match &**self.way.load() {
            Way::Single(_) => None,
            Way::Cluster(cluster) => Some(cluster.clone()),
        };
        match cluster {
            Some(mut cluster) => {
                let route = Route::with_key(first_key(command), SlotAddr::Master);
                let routing = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route));
                cluster.route_command(load, routing).await?.extract_error()
            }
            None => self.send(&load).await,
        }
    }
}

async fn to_cluster(mut cluster: ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    cluster.req_packed_command(command).await?.extract_error()
}

impl Way {
    fn open(config: &StockConfig) -> Result<Self, StockError> {
        let infos: RedisResult<Vec<ConnectionInfo>> = config
            .addresses()
            .map(|address| info_of(config, address))
            .collect();
        let infos = infos.map_err(|cause| StockError::Address { cause })?;
        let certificates = certificates(config)?;
        let opened = if config.is_cluster {
            cluster(config, infos, certificates)
        } else {
            single(config, infos, certificates)
        };
        opened.map_err(|cause| StockError::Address { cause })
    }
}

fn single(
    config: &StockConfig,
    infos: Vec<ConnectionInfo>,
    certificates: Option<TlsCertificates>,
) -> RedisResult<Way> {
    let mut infos = infos.into_iter();
    let (Some(info), None) = (infos.next(), infos.next()) else {
        let what = "one address is expected; several are a cluster";
        return Err((redis::ErrorKind::InvalidClientConfig, what).into());
    };
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates)?,
        None => Client::open(info)?,
    };
    let manager = ConnectionManagerConfig::new()
        .set_response_timeout(Some(config.response_timeout))
        .set_connection_timeout(Some(config.connect_timeout))
        .set_number_of_retries(CONNECT_RETRIES)
        .set_max_delay(CONNECT_RETRY_DELAY_MAX)
        .set_pipeline_buffer_size(PIPELINE_COMMANDS_MAX);
    let manager = ConnectionManager::new_lazy_with_config(client, manager)?;
    Ok(Way::Single(manager))
}

fn cluster(
    config: &StockConfig,
    infos: Vec<ConnectionInfo>,
    certificates: Option<TlsCertificates>,
) -> RedisResult<Way> {
    let tcp = infos.first().map(|info| info.tcp_settings().clone());
    let [wait_min, wait_max] = CLUSTER_RETRY_WAIT.map(millis);
    let mut builder = ClusterClientBuilder::new(infos)
        .use_protocol(ProtocolVersion::RESP3)
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(wait_min)
        .max_retry_wait(wait_max)
        .connection_timeout(config.connect_timeout)
        // For one try and for all of them together: a buyer waits.
        .response_timeout(config.response_timeout)
        .overall_response_timeout(Some(config.response_timeout));
    if let Some(tcp) = tcp {
        builder = builder.tcp_settings(tcp);
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    let client = builder.build()?;
    // Connects in the background: Redis may be down when we start.
    let cluster = client.get_pending_async_connection_with_config(ClusterConfig::new());
    Ok(Way::Cluster(cluster))
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn info_of(config: &StockConfig, address: &str) -> RedisResult<ConnectionInfo> {
    let info = address.into_connection_info()?;
    // RESP3 tells of a broken connection at once, so the next call finds a new one.
    let mut settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.expose_secret());
    }
    let tcp = info
        .tcp_settings()
        .clone()
        .set_nodelay(true)
        .set_user_timeout(TCP_USER_TIMEOUT);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp))
}

fn certificates(config: &StockConfig) -> Result<Option<TlsCertificates>, StockError> {
    if config.tls_ca.is_none() && config.tls_client.is_none() {
        return Ok(None);
    }
    let root_cert = config.tls_ca.as_deref().map(read).transpose()?;
    let client_tls = match &config.tls_client {
        Some((certificate, key)) => Some(ClientTlsConfig {
            client_cert: read(certificate)?,
            client_key: read(key)?,
        }),
        None => None,
    };
    Ok(Some(TlsCertificates {
        client_tls,
        root_cert,
    }))
}

fn read(path: &Path) -> Result<Vec<u8>, StockError> {
    std::fs::read(path).map_err(|cause| StockError::Certificate {
        path: PathBuf::from(path),
        cause,
    })
}

/// The first key of a call, `FCALL name numkeys key ...`: all keys of a call are in one slot.
fn first_key(command: &Cmd) -> Vec<u8> {
    let arguments = command.args_iter().filter_map(|argument| match argument {
        redis::Arg::Simple(bytes) => Some(bytes.to_vec()),
        redis::Arg::Cursor | _ => None,
    });
    arguments.skip(3).take(1).next().unwrap_or_default()
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
