//! What all servers have in common: start, wait until it answers, kill, restart on the same port and data, pause, stop.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{Result, TestkitError};
use crate::files;
use crate::home::Home;
use crate::ports::{self, PortLease};
use crate::process::{self, Identity, LOOK_INTERVAL, Lifetime, Process, ProcessSpec};

/// How long one question to a server may take.
pub(crate) const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Pause between two questions to a server that starts.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// How long a server may take to become ready. Kafka on a busy machine is the slowest.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(90);

/// How long what an earlier run left behind may take to end by itself before it is killed.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(3);

/// How and where a server is started.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Its folder.
    pub home: Home,
    /// Its name in that folder: data, log and pid file.
    pub name: String,
    /// Whether it ends with this process.
    pub lifetime: Lifetime,
    /// The port for clients; `None` takes a free one.
    pub port: Option<u16>,
    /// A second port, where a server needs one for its peers; `None` takes a free one.
    pub peer_port: Option<u16>,
    /// The process of an earlier run: if it still lives, it is taken up instead of starting another one.
    pub running: Option<Identity>,
}

impl StartOptions {
    /// A server in a new folder of its own, which ends with this process.
    pub fn own(name: &str) -> Result<Self> {
        Ok(Self::within(Home::own(name)?, name))
    }

    /// A server in `home` on free ports, which ends with this process.
    #[must_use]
    pub fn within(home: Home, name: &str) -> Self {
        Self {
            home,
            name: name.to_owned(),
            lifetime: Lifetime::WithParent,
            port: None,
            peer_port: None,
            running: None,
        }
    }

    fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(Identity::is_alive)
    }

    pub(crate) async fn lease_port(&self) -> Result<Leased> {
        self.lease(self.port).await
    }

    pub(crate) async fn lease_peer_port(&self) -> Result<Leased> {
        self.lease(self.peer_port).await
    }

    async fn lease(&self, port: Option<u16>) -> Result<Leased> {
        let lease = match port {
            // Its owner listens on it.
            Some(port) if self.is_running() => return Ok(Leased { port, _lease: None }),
            Some(port) => ports::again(port, &self.name).await?,
            None => ports::any()?,
        };
        Ok(Leased {
            port: lease.port(),
            _lease: Some(lease),
        })
    }
}

/// A port of a server, kept from other tests also while the server is down.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) port: u16,
    _lease: Option<PortLease>,
}

impl Leased {
    /// Any free port.
    pub(crate) fn any() -> Result<Self> {
        let lease = ports::any()?;
        Ok(Self {
            port: lease.port(),
            _lease: Some(lease),
        })
    }
}

/// One question to a server; the error says in words what came instead of an answer.
pub(crate) type Answer = Pin<Box<dyn Future<Output = std::result::Result<(), String>> + Send>>;
type Probe = Box<dyn Fn(u32) -> Answer + Send + Sync>;

/// A server as a child process. The servers of each kind hold one and pass its verbs on.
pub struct Server {
    spec: ProcessSpec,
    port: Leased,
    peer_port: Option<Leased>,
    probe: Probe,
    process: Option<Process>,
    // Started here and not ready yet: nobody else knows of it, so it may not outlive this.
    is_pending: bool,
    // Last: the folder goes after the process.
    _home: Home,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.spec.name)
            .field("port", &self.port.port)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Takes up the running process or starts one, and waits until it answers. `probe` gets the process id.
    pub(crate) async fn up(
        options: &StartOptions,
        spec: ProcessSpec,
        port: Leased,
        peer_port: Option<Leased>,
        probe: impl Fn(u32) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        let process = match &options.running {
            Some(identity) => Process::attach(&spec, identity)?,
            None => None,
        };
        let mut server = Self {
            spec,
            port,
            peer_port,
            probe: Box::new(probe),
            process,
            is_pending: false,
            _home: options.home.clone(),
        };
        if server.process.is_none() {
            server.clear_leftovers().await?;
            server.process = Some(Process::start(&server.spec)?);
            server.is_pending = true;
        }
        server.wait_ready().await?;
        server.is_pending = false;
        Ok(server)
    }

    /// Ends what an earlier run left in this server's folder: a process that was started by a run which was killed
    /// before it could note it down, or the children of a killed PostgreSQL, which hold its memory until they notice.
    async fn clear_leftovers(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let leftovers = process::working_in(&self.spec.cwd);
            let Some(one) = leftovers.first() else { break };
            if started.elapsed() > 2 * LEFTOVER_LIMIT {
                let server = self.spec.name.clone();
                return Err(TestkitError::WouldNotStop {
                    server,
                    pid: one.pid,
                });
            }
            if started.elapsed() > LEFTOVER_LIMIT {
                leftovers.iter().for_each(process::kill_identified);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        // Nobody works in this folder any more, so what it says of a process is about a dead one. PostgreSQL itself
        // would take a process that nobody has waited for yet, or one with the same id, for the living owner.
        self.spec
            .stale_file
            .as_deref()
            .map_or(Ok(()), files::remove)
    }

    async fn wait_ready(&self) -> Result<()> {
        let Some(process) = &self.process else {
            return Err(self.not_ready(Duration::ZERO, "it is not running".to_owned()));
        };
        let started = Instant::now();
        loop {
            if !process.is_alive() {
                return Err(process.died());
            }
            let question = (self.probe)(process.pid());
            let answer = tokio::time::timeout(PROBE_LIMIT, question)
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_LIMIT.as_secs())));
            match answer {
                Ok(()) if process::owns_port(process.pid(), self.port.port) => return Ok(()),
                Ok(()) => {
                    // Looked at once more: the answer may have come from a stranger while ours was dying.
                    if process.is_alive() {
                        return Err(TestkitError::Stranger {
                            server: self.spec.name.clone(),
                            port: self.port.port,
                            pid: process.pid(),
                        });
                    }
                    return Err(process.died());
                }
                Err(last) if started.elapsed() > READY_LIMIT => {
                    return Err(self.not_ready(started.elapsed(), last));
                }
                Err(_) => tokio::time::sleep(PROBE_INTERVAL).await,
            }
        }
    }

    fn not_ready(&self, waited: Duration, last: String) -> TestkitError {
        TestkitError::NotReady {
            server: self.spec.name.clone(),
            waited,
            last,
            log: self.spec.log.clone(),
        }
    }

    /// The port for clients, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.port
    }

    /// The second port, if this kind of server has one.
    #[must_use]
    pub fn peer_port(&self) -> Option<u16> {
        self.peer_port.as_ref().map(|lease| lease.port)
    }

    /// The process, if the server was not stopped or killed through this handle.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.process.as_ref().map(Process::identity)
    }

    /// Whether its process lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_alive)
    }

    /// SIGKILL, and waits until it is gone. Data and port stay for [`Server::restart`].
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Ends it in order. Data and port stay for [`Server::restart`].
    pub async fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Starts it again on the same port and data and waits until it answers; one that still runs is stopped first.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.clear_leftovers().await?;
        self.process = Some(Process::start(&self.spec)?);
        self.wait_ready().await
    }

    /// Sets a variable of the environment for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.spec.env.retain(|(known, _)| known != name);
        self.spec.env.push((name.to_owned(), value.to_owned()));
    }

    /// Gives an option another value for the next start. An option that the server was not started with stays away.
    pub(crate) fn set_option(&mut self, option: &str, value: &str) {
        let at = self.spec.args.iter().position(|known| known == option);
        if let Some(known) = at.and_then(|at| self.spec.args.get_mut(at + 1)) {
            *known = value.into();
        }
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT after [`Server::pause`].
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGSTOP to the process and to all that it had started: a PostgreSQL whose sessions answer nothing either.
    pub fn pause_all(&self) -> Result<()> {
        self.signal_all(Signal::STOP)
    }

    /// SIGCONT after [`Server::pause_all`].
    pub fn resume_all(&self) -> Result<()> {
        self.signal_all(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal(signal))
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal_tree(signal))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &self.process
            && (self.is_pending || self.spec.lifetime == Lifetime::WithParent)
        {
            process.kill_blocking();
        }
    }
}

/// Gives a kind of server the verbs of the [`Server`] that it holds.
macro_rules! server_verbs {
    ($kind:ty) => {
        impl $kind {
            /// The server process itself: port, identity, log.
            #[must_use]
            pub fn server(&self) -> &$crate::Server {
                &self.server
            }

            /// SIGKILL, and waits until it is gone. Data and port stay for a restart.
            pub async fn kill(&mut self) -> $crate::error::Result<()> {
                self.server.kill().await
            }

            /// Ends it in order. Data and port stay for a restart.
            pub async fn stop(&mut self) -> $crate::error::Result<()> {
                self.server.stop().await
            }

            /// SIGSTOP: it keeps its connections and answers nothing.
            pub fn pause(&self) -> $crate::error::Result<()> {
                self.server.pause()
            }

            /// SIGCONT after a pause.
            pub fn resume(&self) -> $crate::error::Result<()> {
                self.server.resume()
            }

            /// Whether its process lives.
            #[must_use]
            pub fn is_alive(&self) -> bool {
                self.server.is_alive()
            }
        }
    };
}
pub(crate) use server_verbs;

/// Gives a kind of server that needs nothing else the verb `restart`.
macro_rules! server_restart {
    ($kind:ty) => {
        impl $kind {
            /// Starts it again on the same port and data and waits until it answers.
            pub async fn restart(&mut self) -> $crate::error::Result<()> {
                self.server.restart().await
            }
        }
    };
}
pub(crate) use server_restart;
