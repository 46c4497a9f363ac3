//! PostgreSQL: one plain server, or where the Citus extension is installed a coordinator and two workers. Commits are
//! durable (fsync stays on): a ledger on anything less would prove nothing.
//!
//! PostgreSQL refuses to run as root; then it runs as the account `postgres` that its package made. Anybody who reaches
//! its port on loopback is let in.

mod cluster;
mod database;

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::certificates::Certificates;
use crate::error::{Result, TestkitError};
use crate::files;
use crate::process::{self, ProcessSpec, RunAs, StopSignal};
use crate::server::{Answer, Leased, Server, StartOptions, server_verbs};
use crate::tools::Tools;

pub(crate) use database::databases;
pub use database::{create_database, drop_database};

/// The superuser of the servers that are started here.
const USER: &str = "ticket";

/// The account that runs the server when this process is root.
const ACCOUNT: &str = "postgres";

/// Workers of a Citus cluster.
const WORKERS: u16 = 2;

/// Connections per node: every test of a binary may hold a pool, and Citus opens connections between nodes.
const CONNECTIONS_MAX: u16 = 300;

/// The first password of the role `by_password`.
pub const SECURE_PASSWORD: &str = "first-password";

/// Who gets in how, of a server that talks TLS.
const SECURE_RULES: &str = "hostssl all by_certificate 127.0.0.1/32 cert
hostssl all by_password 127.0.0.1/32 scram-sha-256
host all by_certificate,by_password all reject
host all all 127.0.0.1/32 trust
";

/// Whether Citus is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Citus {
    /// Where the server has the extension; plain otherwise.
    IfInstalled,
    /// Plain in any case.
    Never,
}

/// One PostgreSQL server, or a Citus cluster of three.
#[derive(Debug)]
pub struct PostgresServer {
    // Workers first: what is dropped or stopped first can no longer be asked by the coordinator.
    workers: Vec<Server>,
    server: Server,
    spec: NodeSpec,
}

server_verbs!(PostgresServer);

impl PostgresServer {
    /// Starts it, with Citus where that is installed, and waits until it answers.
    pub async fn start(options: StartOptions) -> Result<Self> {
        Self::start_with(options, Vec::new(), Citus::IfInstalled).await
    }

    /// Starts a plain server that talks TLS. The role `by_certificate` gets in with the client's certificate only, the
    /// role `by_password` with TLS and its password only; `SECURE_PASSWORD` is the first one of the latter.
    pub async fn start_secure(options: StartOptions, certificates: &Certificates) -> Result<Self> {
        let bin = Tools.postgres()?;
        let spec = NodeSpec {
            is_citus: false,
            knows_output_plugins: knows_output_plugins(&bin),
            run_as: account(&options.home.dir().join("data"))?,
            certificates: Some(certificates.clone()),
            bin,
        };
        let server = spec.up(&options).await?;
        let postgres = Self {
            workers: Vec::new(),
            server,
            spec,
        };
        let admin = database::parse(&postgres.node_url("postgres"))?;
        let mut admin = database::connect(&admin).await?;
        for statement in [
            "CREATE ROLE by_certificate LOGIN SUPERUSER".to_owned(),
            format!("CREATE ROLE by_password LOGIN SUPERUSER PASSWORD '{SECURE_PASSWORD}'"),
        ] {
            database::execute(&mut admin, &statement, "make a role").await?;
        }
        database::close(admin).await;
        Ok(postgres)
    }

    /// Starts it and waits until it answers. `workers` are the options of an earlier run; missing ones are made up.
    /// Data that was made without Citus stays without.
    pub async fn start_with(
        options: StartOptions,
        mut workers: Vec<StartOptions>,
        citus: Citus,
    ) -> Result<Self> {
        let bin = Tools.postgres()?;
        let spec = NodeSpec {
            is_citus: wants_citus(&options, citus),
            knows_output_plugins: knows_output_plugins(&bin),
            run_as: account(&options.home.dir().join("data"))?,
            certificates: None,
            bin,
        };
        if !spec.is_citus {
            workers.clear();
        }
        for number in workers.len() + 1..=usize::from(spec.workers()) {
            let name = format!("{}-worker-{number}", options.name);
            let port = None;
            let running = None;
            workers.push(StartOptions {
                name,
                port,
                running,
                ..options.clone()
            });
        }
        let (server, workers) =
            tokio::try_join!(spec.up(&options), futures_in_order(&spec, &workers))?;
        let postgres = Self {
            workers,
            server,
            spec,
        };
        if postgres.spec.is_citus {
            cluster::join(&postgres.node_url("postgres"), &postgres.worker_ports()).await?;
        }
        Ok(postgres)
    }

    /// The address of database `name` on the coordinator (or the only server): `postgres://user@127.0.0.1:port/name`.
    #[must_use]
    pub fn node_url(&self, name: &str) -> String {
        url(self.server.port(), name)
    }

    /// Makes a database, on every node, with the extension, and answers with its address.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        create_database(&self.node_url("postgres"), name).await
    }

    /// Whether this is a Citus cluster.
    #[must_use]
    pub fn is_citus(&self) -> bool {
        self.spec.is_citus
    }

    /// The workers of a Citus cluster, none on a plain server.
    #[must_use]
    pub fn workers(&self) -> &[Server] {
        &self.workers
    }

    /// A worker of a Citus cluster, to kill, pause and stop. To start it again use [`PostgresServer::restart`].
    pub fn worker_mut(&mut self, number: usize) -> Option<&mut Server> {
        self.workers.get_mut(number)
    }

    /// Starts again every node that does not run and waits until it answers; a node that runs is left alone.
    pub async fn restart(&mut self) -> Result<()> {
        for node in self.workers.iter_mut().chain([&mut self.server]) {
            if !node.is_alive() {
                node.restart().await?;
            }
        }
        Ok(())
    }

    /// Ends all nodes in order, the coordinator first.
    pub async fn stop_all(&mut self) -> Result<()> {
        self.server.stop().await?;
        for worker in &mut self.workers {
            worker.stop().await?;
        }
        Ok(())
    }

    fn worker_ports(&self) -> Vec<u16> {
        self.workers.iter().map(Server::port).collect()
    }
}

// A few nodes: one after the other would double the time of a start.
async fn futures_in_order(spec: &NodeSpec, options: &[StartOptions]) -> Result<Vec<Server>> {
    let mut nodes = Vec::with_capacity(options.len());
    match options {
        [one, two] => {
            let (one, two) = tokio::try_join!(spec.up(one), spec.up(two))?;
            nodes.extend([one, two]);
        }
        more => {
            for node in more {
                nodes.push(spec.up(node).await?);
            }
        }
    }
    Ok(nodes)
}

/// What the nodes of one cluster have in common.
#[derive(Debug, Clone)]
struct NodeSpec {
    bin: PathBuf,
    run_as: RunAs,
    is_citus: bool,
    knows_output_plugins: bool,
    /// With them it talks TLS and knows more roles.
    certificates: Option<Certificates>,
}

impl NodeSpec {
    fn workers(&self) -> u16 {
        if self.is_citus { WORKERS } else { 0 }
    }

    async fn up(&self, options: &StartOptions) -> Result<Server> {
        let port = options.lease_port().await?;
        let data = options.home.data(&options.name);
        self.initialise(&data).await?;
        if let Some(certificates) = &self.certificates {
            self.secure(&data, certificates)?;
        }
        let number = port.port;
        let spec = self.process(options, &data, &port);
        let probe = move |_| -> Answer {
            Box::pin(database::answers(url(number, "postgres"), data.clone()))
        };
        Server::up(options, spec, port, None, probe).await
    }

    fn process(&self, options: &StartOptions, data: &Path, port: &Leased) -> ProcessSpec {
        let mut args = vec!["-D".into(), data.as_os_str().to_owned()];
        for setting in self.settings(port.port) {
            args.extend(["-c".into(), setting.into()]);
        }
        ProcessSpec {
            name: options.name.clone(),
            program: self.bin.join("postgres"),
            args,
            // The caller's own is closed to the account that runs the server.
            env: vec![("HOME".to_owned(), data.to_string_lossy().into_owned())],
            cwd: data.to_path_buf(),
            log: options.home.log(&options.name),
            pid_file: options.home.pid_file(&options.name),
            stale_file: Some(data.join("postmaster.pid")),
            lifetime: options.lifetime,
            run_as: self.run_as.clone(),
            stop: StopSignal::Int,
        }
    }

    fn settings(&self, port: u16) -> Vec<String> {
        let mut settings = vec![
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            // Their path may be longer than a socket's name can be.
            "unix_socket_directories=".to_owned(),
            format!("max_connections={CONNECTIONS_MAX}"),
            "shared_buffers=128MB".to_owned(),
            "max_wal_size=2GB".to_owned(),
            "log_line_prefix=%m [%p] %d ".to_owned(),
        ];
        if self.certificates.is_some() {
            settings.extend(
                [
                    "ssl=on",
                    "ssl_cert_file=server.pem",
                    "ssl_key_file=server.key",
                    "ssl_ca_file=ca.pem",
                ]
                .map(str::to_owned),
            );
        }
        if self.is_citus {
            settings.extend(
                [
                    "shared_preload_libraries=citus",
                    // Citus commits in two phases where a transaction meets two nodes.
                    "max_prepared_transactions=300",
                    // One per database and node, beside the rebalancer's own.
                    "max_worker_processes=200",
                    // What a shard move without blocking writers needs.
                    "wal_level=logical",
                    "max_replication_slots=30",
                    "max_wal_senders=30",
                    "citus.local_hostname=127.0.0.1",
                    // Else it makes certificates, and looks for client certificates in home directories.
                    "citus.node_conninfo=sslmode=disable",
                    "citus.enable_statistics_collection=off",
                    // Up to PostgreSQL 15 a server starts one follower of changes in this time, so that at its default of 5 s
                    // every move but the first would wait for it.
                    "wal_retrieve_retry_interval=100ms",
                    // Its default of two hours would hide a move that cannot end.
                    "citus.logical_replication_timeout=90s",
                ]
                .map(str::to_owned),
            );
            if self.knows_output_plugins {
                settings.push("output_plugin_libraries=pgoutput, test_decoding, citus".to_owned());
            }
        }
        settings
    }

    /// Certificates and rules, where the server may read them and nobody else the key.
    fn secure(&self, data: &Path, certificates: &Certificates) -> Result<()> {
        let (certificate, key) = certificates.server();
        for (from, name) in [
            (certificates.ca(), "ca.pem"),
            (certificate, "server.pem"),
            (key, "server.key"),
        ] {
            let path = data.join(name);
            files::write_secret(&path, &files::read(&from)?)?;
            give_to(&self.run_as, &path)?;
        }
        files::write(&data.join("pg_hba.conf"), SECURE_RULES)
    }

    async fn initialise(&self, data: &Path) -> Result<()> {
        if data.join("initialised").is_file() {
            return Ok(());
        }
        // A start that broke off in the middle left a folder that cannot be used.
        files::remove_dir(data)?;
        files::make_dir(data)?;
        give_to(&self.run_as, data)?;
        let mut command = process::command_as(&self.run_as, &self.bin.join("initdb"));
        command
            .arg("-D")
            .arg(data)
            .args([
                "-U",
                USER,
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
            .current_dir("/");
        run("initialising PostgreSQL's data folder", command).await?;
        let note = if self.is_citus { "citus\n" } else { "plain\n" };
        files::write(&data.join("initialised"), note)
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}@127.0.0.1:{port}/{database}")
}

fn wants_citus(options: &StartOptions, citus: Citus) -> bool {
    let data = options.home.data(&options.name);
    match files::read(&data.join("initialised")) {
        Ok(note) => note.trim() == "citus",
        Err(_) => citus == Citus::IfInstalled && Tools.has_citus(),
    }
}

// Minors since August 2026 let only listed libraries decode; older ones do not know the setting and would not start.
fn knows_output_plugins(bin: &Path) -> bool {
    std::process::Command::new(bin.join("postgres"))
        .arg("--describe-config")
        .output()
        .is_ok_and(|answer| {
            String::from_utf8_lossy(&answer.stdout).contains("output_plugin_libraries")
        })
}

async fn run(what: &str, mut command: std::process::Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let answer = tokio::task::spawn_blocking(move || command.output())
        .await
        .map_err(|_| TestkitError::Cancelled)?
        .map_err(|cause| TestkitError::Spawn { program, cause })?;
    if answer.status.success() {
        return Ok(());
    }
    Err(TestkitError::Command {
        what: what.to_owned(),
        output: String::from_utf8_lossy(&answer.stderr).into_owned(),
    })
}

/// The account that runs the server, and whether it can get into the folder of all data by itself.
fn account(data: &Path) -> Result<RunAs> {
    if !rustix::process::geteuid().is_root() {
        return Ok(RunAs::Me);
    }
    let plain = RunAs::User {
        name: ACCOUNT.to_owned(),
        past_folders: false,
    };
    let mut look = process::command_as(&plain, Path::new("/usr/bin/test"));
    look.arg("-x").arg(data);
    let answer = look.output().map_err(|cause| TestkitError::Spawn {
        program: "setpriv".to_owned(),
        cause,
    })?;
    Ok(RunAs::User {
        name: ACCOUNT.to_owned(),
        past_folders: !answer.status.success(),
    })
}

fn give_to(run_as: &RunAs, data: &Path) -> Result<()> {
    let RunAs::User { name, .. } = run_as else {
        return Ok(());
    };
    let accounts = files::read(Path::new("/etc/passwd"))?;
    let ids = accounts.lines().find_map(|line| {
        let cells: Vec<_> = line.split(':').collect();
        (cells.first() == Some(&name.as_str()))
            .then(|| Some((cells.get(2)?.parse().ok()?, cells.get(3)?.parse().ok()?)))?
    });
    let (user, group) = ids.ok_or_else(|| TestkitError::ToolMissing {
        tool: "postgres",
        looked: format!("there is no account {name}"),
    })?;
    chown(data, Some(user), Some(group)).map_err(files::failed("hand over", data))
}
