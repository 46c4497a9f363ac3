//! One of our own binaries as a child process: the same verbs as a server, for the local stack and for tests that kill it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Result, TestkitError};
use crate::process::{ProcessSpec, RunAs, StopSignal};
use crate::server::{Answer, Server, StartOptions, server_restart, server_verbs};
use crate::{files, http};

/// How long a command that ends by itself (the migration) may take.
const COMMAND_LIMIT: Duration = Duration::from_mins(2);

/// A binary of this workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `ticket-runtime`
    Runtime,
    /// `ticket-operator`
    Operator,
    /// `ticketctl`
    Ctl,
    /// `ticket-bench`
    Bench,
}

impl Binary {
    /// Its file name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Runtime => "ticket-runtime",
            Self::Operator => "ticket-operator",
            Self::Ctl => "ticketctl",
            Self::Bench => "ticket-bench",
        }
    }

    /// Where it is built: beside the program that runs now, so that a release benchmark starts release binaries.
    pub fn path(self) -> Result<PathBuf> {
        let me = std::env::current_exe().unwrap_or_default();
        let dir = me.parent().map(|dir| {
            if dir.ends_with("deps") {
                dir.join("..")
            } else {
                dir.into()
            }
        });
        let path = dir.unwrap_or_default().join(self.name());
        match path.canonicalize() {
            Ok(path) => Ok(path),
            Err(_) => Err(TestkitError::NotBuilt {
                binary: self.name(),
                path,
            }),
        }
    }
}

/// When a product counts as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// `/readyz` on its port says so.
    Says,
    /// Anything answers on its port.
    Answers,
}

/// Which binary, with which settings.
#[derive(Debug, Clone)]
pub struct ProductOptions {
    binary: Binary,
    args: Vec<String>,
    env: Vec<(String, String)>,
    listen: &'static str,
    ready: Ready,
}

impl ProductOptions {
    /// A role of the runtime. Its port is the one of its metrics and of `/readyz`.
    #[must_use]
    pub fn runtime(role: &str, env: Vec<(String, String)>) -> Self {
        Self {
            binary: Binary::Runtime,
            args: vec![role.to_owned()],
            env,
            listen: "TICKET_METRICS_LISTEN",
            ready: Ready::Says,
        }
    }

    /// The sandbox of the payment provider. Its port is the one of the provider's API.
    #[must_use]
    pub fn sandbox(env: Vec<(String, String)>) -> Self {
        Self {
            binary: Binary::Runtime,
            args: vec!["sandbox".to_owned()],
            env,
            listen: "TICKET_SANDBOX_LISTEN",
            ready: Ready::Answers,
        }
    }

    /// A server among the verbs of the load generator (a baseline). Its port is where it answers requests and `/readyz`.
    #[must_use]
    pub fn bench(verb: &str, env: Vec<(String, String)>) -> Self {
        Self {
            binary: Binary::Bench,
            args: vec![verb.to_owned()],
            env,
            listen: "TICKET_BENCH_LISTEN",
            ready: Ready::Says,
        }
    }

    /// The operator. Its port is the one of its metrics and of `/readyz`.
    #[must_use]
    pub fn operator(env: Vec<(String, String)>) -> Self {
        Self {
            binary: Binary::Operator,
            args: Vec::new(),
            env,
            listen: "TICKET_METRICS_LISTEN",
            ready: Ready::Says,
        }
    }
}

/// One of our binaries, running.
#[derive(Debug)]
pub struct Product {
    server: Server,
}

server_verbs!(Product);
server_restart!(Product);

impl Product {
    /// Starts it and waits until it is ready. The port of `start` is passed to it as its listener.
    pub async fn start(start: StartOptions, options: ProductOptions) -> Result<Self> {
        let port = start.lease_port().await?;
        let url = format!("http://127.0.0.1:{}", port.port);
        let mut env = options.env;
        env.push((
            options.listen.to_owned(),
            format!("127.0.0.1:{}", port.port),
        ));
        let data = start.home.data(&start.name);
        files::make_dir(&data)?;
        let spec = ProcessSpec {
            name: start.name.clone(),
            program: options.binary.path()?,
            args: options.args.into_iter().map(Into::into).collect(),
            env,
            cwd: data,
            log: start.home.log(&start.name),
            pid_file: start.home.pid_file(&start.name),
            stale_file: None,
            lifetime: start.lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        };
        let ready = options.ready;
        let probe = move |_| -> Answer {
            let url = url.clone();
            Box::pin(async move {
                match ready {
                    Ready::Says => http::succeeds(&format!("{url}/readyz")).await,
                    Ready::Answers => http::answers(&url).await,
                }
            })
        };
        let server = Server::up(&start, spec, port, None, probe).await?;
        Ok(Self { server })
    }

    /// `http://127.0.0.1:port`, where it answers `/readyz` (the sandbox: where it answers at all).
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// Starts it again with another setting, on the same port, and waits until it is ready.
    pub async fn restart_with(&mut self, name: &str, value: &str) -> Result<()> {
        self.server.stop().await?;
        self.server.set(name, value);
        self.server.restart().await
    }

    /// Memory that it holds now, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        crate::process::resident_kib(self.server.identity()?.pid)
    }
}

/// Runs a binary that ends by itself, such as `ticket-runtime migrate`.
pub async fn run_to_end(binary: Binary, args: &[&str], env: &[(String, String)]) -> Result<()> {
    let path = binary.path()?;
    let what = format!("{} {}", binary.name(), args.join(" "));
    let spawned = |cause| TestkitError::Spawn {
        program: path.display().to_string(),
        cause,
    };
    let running = tokio::process::Command::new(&path)
        .args(args)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(answer) = tokio::time::timeout(COMMAND_LIMIT, running).await else {
        let output = format!("it took longer than {} s", COMMAND_LIMIT.as_secs());
        return Err(TestkitError::Command { what, output });
    };
    let answer = answer.map_err(spawned)?;
    if answer.status.success() {
        return Ok(());
    }
    let output = [answer.stdout, answer.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    Err(TestkitError::Command { what, output })
}
