//! The local stack as a whole: the servers, the custom resource definitions, and our own processes in front.
//!
//! `up` on a running stack starts only what is dead, on the same ports and data. Nothing here restarts by itself. One
//! folder is one stack; a lock on it keeps two runs of `up`, `down` or `clean` apart.

mod crds;
mod down;
mod env_file;
mod given;
mod products;
mod state;
mod status;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Result, TestkitError};
use crate::home::{self, Home};
use crate::process::Lifetime;
use crate::server::{Server, StartOptions};
use crate::{ApiServer, Citus, EtcdServer, KafkaServer, PostgresServer, RedisServer};
use crate::{create_database, files};

pub(crate) use crds::kubectl;
pub use given::Given;
pub use products::{Roles, SANDBOX, SPLIT_ROLES};
use state::StateFile;
pub use status::{ProcessStatus, Status};

/// The stack's database.
const DATABASE: &str = "ticket";

/// How long one command waits for another one on the same stack.
const LOCK_LIMIT: Duration = Duration::from_mins(10);
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// Gets one line of progress at a time.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Which stack, and how much of it.
#[derive(Clone)]
pub struct StackOptions {
    /// Its folder.
    pub dir: PathBuf,
    /// Our own processes; `None` starts the servers only.
    pub roles: Option<Roles>,
    /// Servers that are there already.
    pub given: Given,
    /// Gets the progress.
    pub say: Say,
}

/// The folder of the local stack.
#[must_use]
pub fn default_dir() -> PathBuf {
    home::stack_dir()
}

/// The folder of the servers that tests share.
#[must_use]
pub fn test_dir() -> PathBuf {
    home::stack_dir().join("test")
}

/// Where the servers of a stack that is up are.
#[derive(Debug, Clone)]
pub struct Servers {
    /// A kubeconfig with an administrator's rights.
    pub kubeconfig: PathBuf,
    /// `host:port`, perhaps several.
    pub kafka_brokers: String,
    /// Put before every topic and group.
    pub kafka_prefix: String,
    /// A database that belongs to the stack.
    pub database_url: String,
    /// `redis://host:port`
    pub redis_url: String,
}

/// Brings the stack up and says where everything is. What is running and answers is left alone.
pub async fn up(options: &StackOptions) -> Result<Servers> {
    let home = Home::kept(&options.dir)?;
    let dir = home.dir().to_path_buf();
    let _lock = lock(&dir, &options.say).await?;
    let state = StateFile::load(&dir)?;
    let given = options.given.clone().without_our_own(&dir, &state);
    let stack = Stack {
        home,
        state,
        given,
        say: Arc::clone(&options.say),
        started: Instant::now(),
    };
    let servers = stack.servers().await?;
    let is_for_tests = options.roles.is_none() && stack.given.kubeconfig.is_none();
    crds::apply(&servers.kubeconfig, &stack, is_for_tests).await?;
    let addresses = match options.roles {
        Some(roles) => products::up(&stack, &servers, roles).await?,
        None => products::Addresses::default(),
    };
    env_file::write(&dir, &servers, &addresses, &stack.state.secrets())?;
    Ok(servers)
}

/// Stops everything that the stack started, in an order in which nobody misses a server.
pub async fn down(dir: &Path, say: &Say) -> Result<()> {
    if !dir.join(state::FILE).is_file() {
        say("nothing is running");
        return Ok(());
    }
    let _lock = lock(dir, say).await?;
    down::all(&Home::kept(dir)?, &StateFile::load(dir)?, say).await
}

/// Stops everything and removes data, logs and settings. What was installed stays.
pub async fn clean(dir: &Path, say: &Say) -> Result<()> {
    down(dir, say).await?;
    for part in ["data", "pids"] {
        files::remove_dir(&dir.join(part))?;
    }
    for file in [state::FILE, env_file::FILE, crds::APPLIED] {
        files::remove(&dir.join(file))?;
    }
    down::remove_logs(dir)
}

/// What runs, from the notes of the stack and a look at its processes.
pub fn status(dir: &Path) -> Result<Status> {
    status::look(dir)
}

/// A stack that is being brought up.
struct Stack {
    home: Home,
    state: StateFile,
    given: Given,
    say: Say,
    started: Instant,
}

impl Stack {
    async fn servers(&self) -> Result<Servers> {
        // All of them to their end, even when one fails: what came up is noted and found again, or stopped by `down`.
        let (kubeconfig, kafka_brokers, database_url, redis_url) = tokio::join!(
            self.kubernetes(),
            self.kafka(),
            self.postgres(),
            self.redis()
        );
        Ok(Servers {
            kubeconfig: kubeconfig?,
            kafka_brokers: kafka_brokers?,
            kafka_prefix: self.given.kafka_prefix.clone().unwrap_or_default(),
            database_url: database_url?,
            redis_url: redis_url?,
        })
    }

    async fn kubernetes(&self) -> Result<PathBuf> {
        if let Some(kubeconfig) = &self.given.kubeconfig {
            self.tell("kube-apiserver: the one of KUBECONFIG");
            return Ok(kubeconfig.clone());
        }
        let etcd = EtcdServer::start(self.options("etcd")).await?;
        self.is_up("etcd", etcd.server())?;
        let apiserver = ApiServer::start(self.options("kube-apiserver"), &etcd).await?;
        self.is_up("kube-apiserver", apiserver.server())?;
        Ok(apiserver.kubeconfig().to_path_buf())
    }

    async fn kafka(&self) -> Result<String> {
        if let Some(brokers) = &self.given.kafka_brokers {
            self.tell(&format!("kafka: {brokers}, from TICKET_KAFKA_BROKERS"));
            return Ok(brokers.clone());
        }
        let kafka = KafkaServer::start(self.options("kafka")).await?;
        self.is_up("kafka", kafka.server())?;
        Ok(kafka.brokers().to_owned())
    }

    async fn postgres(&self) -> Result<String> {
        if let Some(url) = &self.given.database_url {
            self.tell("postgres: the one of TICKET_DATABASE_URL");
            return Ok(url.clone());
        }
        let workers = ["postgres-worker-1", "postgres-worker-2"].map(|name| self.options(name));
        let postgres = PostgresServer::start_with(
            self.options("postgres"),
            workers.to_vec(),
            Citus::IfInstalled,
        )
        .await?;
        self.is_up("postgres", postgres.server())?;
        for (number, worker) in postgres.workers().iter().enumerate() {
            self.is_up(&format!("postgres-worker-{}", number + 1), worker)?;
        }
        self.tell(if postgres.is_citus() {
            "postgres: with Citus, a coordinator and two workers"
        } else {
            "postgres: plain, because the Citus extension is not installed"
        });
        if !self.state.has_database() {
            // A run that broke off in the middle may have left a half-made one.
            crate::drop_database(&postgres.node_url("postgres"), DATABASE).await?;
            create_database(&postgres.node_url("postgres"), DATABASE).await?;
            self.state.change(|state| state.has_database = true)?;
        }
        Ok(postgres.node_url(DATABASE))
    }

    async fn redis(&self) -> Result<String> {
        if let Some(url) = &self.given.redis_url {
            self.tell("redis: the one of TICKET_REDIS_URL");
            return Ok(url.clone());
        }
        let redis = RedisServer::start(self.options("redis")).await?;
        self.is_up("redis", redis.server())?;
        Ok(redis.url().to_owned())
    }

    /// A process of this stack: the ports that it had, and the process if it was noted.
    fn options(&self, name: &str) -> StartOptions {
        let known = self.state.process(name);
        StartOptions {
            lifetime: Lifetime::Detached,
            port: known.port,
            peer_port: known.peer_port,
            running: known.identity,
            ..StartOptions::within(self.home.clone(), name)
        }
    }

    /// Notes a process that is up, so that the next run finds it.
    fn is_up(&self, name: &str, server: &Server) -> Result<()> {
        let known = self.state.process(name).identity;
        let verb = if known.as_ref() == server.identity() {
            "already runs"
        } else {
            "ready"
        };
        self.state.note(name, server)?;
        self.tell(&format!("{name}: {verb} on 127.0.0.1:{}", server.port()));
        Ok(())
    }

    fn tell(&self, line: &str) {
        (self.say)(&format!(
            "{:5.1} s  {line}",
            self.started.elapsed().as_secs_f64()
        ));
    }
}

/// Waits until no other command works on this stack; free again when the file is dropped.
async fn lock(dir: &Path, say: &Say) -> Result<std::fs::File> {
    let path = dir.join("lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(files::failed("lock", &path))?;
    let started = Instant::now();
    let mut is_told = false;
    while file.try_lock().is_err() {
        if started.elapsed() > LOCK_LIMIT {
            let cause = std::io::ErrorKind::TimedOut.into();
            return Err(TestkitError::File {
                action: "lock",
                path,
                cause,
            });
        }
        if !is_told {
            say("waiting for another command that works on this stack");
            is_told = true;
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
    Ok(file)
}
