//! The handle of the ledger and its connections to the address that it was given; `routes` decides about those to workers.

use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgConnection, Postgres};
use tokio::sync::OnceCell;

use crate::config::{LedgerConfig, Routing};
use crate::error::{LedgerError, Result};
use crate::routes::{Address, Routes};

/// A connection that was idle for longer is asked whether it lives before it is used: a round trip that the busy
/// connections of the order's way do not pay, and a restarted server costs nobody an error.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(1);

/// What an address begins with; sqlx would take any scheme.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// The ledger. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    /// For connections of their own and to workers; pools keep their copies. Replaced when a secret is.
    settings: RwLock<Settings>,
    /// To the workers of a Citus cluster.
    routes: Routes,
    /// Whether the tables are distributed; asked until it is settled, because it only changes by a migration.
    distributed: OnceCell<bool>,
}

/// What connections are made from.
#[derive(Debug)]
struct Settings {
    /// What they have in common.
    options: PgConnectOptions,
    config: LedgerConfig,
}

impl Ledger {
    /// A handle. Nothing is sent: connections are made when they are needed, so this does not fail when the server is
    /// down. Must be called inside a Tokio runtime.
    pub fn connect(config: &LedgerConfig) -> Result<Self> {
        let settings = Settings {
            options: options_of(config)?,
            config: config.clone(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                pool: settings.pool(settings.limited()),
                settings: RwLock::new(settings),
                routes: Routes::default(),
                distributed: OnceCell::new(),
            }),
        })
    }

    /// Makes new connections with `config` from now on, because a secret was replaced; the ones that are there go on.
    /// Limits of the pool stay as they are.
    pub fn reconfigure(&self, config: &LedgerConfig) -> Result<()> {
        let settings = Settings {
            options: options_of(config)?,
            config: config.clone(),
        };
        self.inner.pool.set_connect_options(settings.limited());
        for (address, pool) in self.inner.routes.pools() {
            pool.set_connect_options(settings.limited_at(&address));
        }
        *self
            .inner
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }

    /// Asks the server for an answer.
    pub async fn ping(&self) -> Result<()> {
        let mut connection = self.acquire().await?;
        connection.ping().await.map_err(|cause| LedgerError::Read {
            what: "an answer",
            cause,
        })
    }

    /// Whether stock and orders are distributed over the nodes of a Citus cluster.
    pub async fn is_distributed(&self) -> Result<bool> {
        if let Some(known) = self.inner.distributed.get() {
            return Ok(*known);
        }
        let failed = |cause| LedgerError::Read {
            what: "whether tables are distributed",
            cause,
        };
        let mut connection = self.acquire().await?;
        let is_distributed = has_citus_tables(&mut connection).await.map_err(failed)?;
        // A cluster whose tables are not distributed is just being migrated: that answer is not kept.
        if is_distributed || !has_citus(&mut connection).await.map_err(failed)? {
            let keep = || async { is_distributed };
            return Ok(*self.inner.distributed.get_or_init(keep).await);
        }
        Ok(is_distributed)
    }

    /// A pooled connection. An error here means that nothing was sent.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>> {
        self.inner
            .pool
            .acquire()
            .await
            .map_err(|cause| LedgerError::Connect { cause })
    }

    /// A connection of its own without a limit for statements: migrations may rewrite tables, and their locks end with
    /// it.
    pub(crate) async fn own_connection(&self) -> Result<PgConnection> {
        let options = self.options();
        PgConnection::connect_with(&options)
            .await
            .map_err(|cause| LedgerError::Connect { cause })
    }

    /// `host:port` of the address that we were given.
    pub(crate) fn address(&self) -> String {
        let options = self.options();
        format!("{}:{}", options.get_host(), options.get_port())
    }

    /// Which way batches go on Citus.
    pub(crate) fn routing(&self) -> Routing {
        let settings = self.inner.settings.read();
        let settings = settings.unwrap_or_else(PoisonError::into_inner);
        settings.config.routing
    }

    /// The ways to the workers.
    pub(crate) fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// Connections to a worker, with the limits of the others. Nothing is sent yet.
    pub(crate) fn pool_at(&self, worker: &Address) -> PgPool {
        let settings = self.inner.settings.read();
        let settings = settings.unwrap_or_else(PoisonError::into_inner);
        settings.pool(settings.limited_at(worker))
    }

    fn options(&self) -> PgConnectOptions {
        let settings = self.inner.settings.read();
        let settings = settings.unwrap_or_else(PoisonError::into_inner);
        settings.options.clone()
    }
}

impl Settings {
    /// Connections for statements that have a limit, made when they are needed.
    fn pool(&self, options: PgConnectOptions) -> PgPool {
        PgPoolOptions::new()
            .max_connections(self.config.connections_max)
            .acquire_timeout(self.config.acquire_timeout)
            .idle_timeout(IDLE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > IDLE_BEFORE_PING {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options)
    }

    /// The same for a pool, whose statements have a limit.
    fn limited(&self) -> PgConnectOptions {
        let statement_ms = self.config.statement_timeout.as_millis().to_string();
        self.options
            .clone()
            .options([("statement_timeout", statement_ms.as_str())])
    }

    /// The same for a pool to a worker.
    fn limited_at(&self, worker: &Address) -> PgConnectOptions {
        self.limited().host(&worker.host).port(worker.port)
    }
}

/// What every connection has in common.
fn options_of(config: &LedgerConfig) -> Result<PgConnectOptions> {
    let url = config.url.expose_secret();
    if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(LedgerError::Scheme);
    }
    let mut options = PgConnectOptions::from_str(url)
        .map_err(|cause| LedgerError::Settings { cause })?
        .application_name(&config.application_name)
        // People who look into the tables see the zone that our logs and APIs use.
        .options([("timezone", "UTC")]);
    if let Some(password) = &config.password {
        options = options.password(password.expose_secret());
    }
    if let Some(tls) = &config.tls {
        options = options
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(&tls.ca);
        if let Some((certificate, key)) = &tls.client {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
    }
    Ok(options)
}

/// Is the extension there, and is `stock_shards` distributed?
pub(crate) async fn has_citus_tables(
    connection: &mut PgConnection,
) -> std::result::Result<bool, sqlx::Error> {
    if !has_citus(connection).await? {
        return Ok(false);
    }
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass('stock_shards'))",
    )
    .fetch_one(connection)
    .await
}

/// Does this database have the Citus extension?
pub(crate) async fn has_citus(
    connection: &mut PgConnection,
) -> std::result::Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")
        .fetch_one(connection)
        .await
}
