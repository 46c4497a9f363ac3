//! A Redis server: memory only unless told otherwise, because everything in it can be rebuilt.

use crate::error::Result;
use crate::files;
use crate::process::{ProcessSpec, RunAs, StopSignal};
use crate::server::{Answer, Server, StartOptions, server_restart, server_verbs};
use crate::tools::Tools;

/// What a restart finds again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    None,
    /// All that was answered: an append-only file, synced at every write.
    EveryWrite,
}

/// A Redis server on loopback.
#[derive(Debug)]
pub struct RedisServer {
    server: Server,
    url: String,
}

server_verbs!(RedisServer);
server_restart!(RedisServer);

impl RedisServer {
    /// Starts one without persistence and waits until it answers.
    pub async fn start(options: StartOptions) -> Result<Self> {
        Self::start_with(options, Persistence::None).await
    }

    /// Starts one and waits until it answers.
    pub async fn start_with(options: StartOptions, persistence: Persistence) -> Result<Self> {
        let port = options.lease_port().await?;
        let data = options.home.data(&options.name);
        files::make_dir(&data)?;
        let append = match persistence {
            Persistence::None => "no",
            Persistence::EveryWrite => "yes",
        };
        let number = port.port.to_string();
        let args = [
            ("--port", number.as_str()),
            ("--bind", "127.0.0.1"),
            ("--daemonize", "no"),
            ("--save", ""),
            ("--appendonly", append),
            ("--appendfsync", "always"),
            ("--dir", &data.to_string_lossy()),
        ];
        let spec = ProcessSpec {
            name: options.name.clone(),
            program: Tools.redis()?,
            args: args
                .iter()
                .flat_map(|(name, value)| [name.into(), value.into()])
                .collect(),
            env: vec![],
            cwd: data.clone(),
            log: options.home.log(&options.name),
            pid_file: options.home.pid_file(&options.name),
            stale_file: None,
            lifetime: options.lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        };
        let url = format!("redis://127.0.0.1:{}", port.port);
        let asked = url.clone();
        let probe = move |pid| -> Answer { Box::pin(answers(asked.clone(), pid)) };
        let server = Server::up(&options, spec, port, None, probe).await?;
        Ok(Self { server, url })
    }

    /// `redis://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn answers(url: String, pid: u32) -> std::result::Result<(), String> {
    let words = |error: redis::RedisError| error.to_string();
    let client = redis::Client::open(url).map_err(words)?;
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .map_err(words)?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await
        .map_err(words)?;
    let line = format!("process_id:{pid}");
    if info.lines().any(|said| said.trim() == line) {
        Ok(())
    } else {
        Err("another Redis answers on this port".to_owned())
    }
}
