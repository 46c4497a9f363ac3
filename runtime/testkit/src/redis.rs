//! A Redis server: memory only unless told otherwise, because everything in it can be rebuilt. Also one that wants TLS and
//! a user, and a cluster.

use std::time::{Duration, Instant};

use crate::certificates::Certificates;
use crate::error::{Result, TestkitError};
use crate::files;
use crate::process::{LOOK_INTERVAL, ProcessSpec, RunAs, StopSignal};
use crate::server::{Answer, Server, StartOptions, server_restart, server_verbs};
use crate::tools::Tools;

/// How long the nodes of a cluster may take to know each other.
const CLUSTER_LIMIT: Duration = Duration::from_secs(30);

/// A node that the others do not hear of for so long is failed, milliseconds.
const CLUSTER_NODE_TIMEOUT_MS: &str = "2000";

/// Keys that are moved before the rest is looked for.
const KEYS_PER_LOOK: usize = 100;

/// How long one key may take to move, milliseconds.
const MIGRATE_LIMIT_MS: u64 = 5_000;

/// Hash slots of a cluster.
const SLOTS: usize = 16_384;

/// What a restart finds again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    None,
    /// All that was answered: an append-only file, synced at every write.
    EveryWrite,
}

impl Persistence {
    const fn append_only(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::EveryWrite => "yes",
        }
    }
}

/// Decides which of its files a starting server reads: the append-only file, or a dump if there is one.
const APPEND_ONLY: &str = "--appendonly";

/// A server that talks only TLS, wants a client certificate and knows one user.
#[derive(Debug, Clone)]
pub struct SecureRedis {
    /// What the server shows, and whom it trusts.
    pub certificates: Certificates,
    /// The only user that may do anything.
    pub username: String,
    /// Its password.
    pub password: String,
}

/// A Redis server on loopback.
#[derive(Debug)]
pub struct RedisServer {
    server: Server,
    url: String,
}

server_verbs!(RedisServer);
server_restart!(RedisServer);

/// What a server is beside a server.
enum Kind {
    Alone(Persistence),
    Secure(SecureRedis),
    Node,
}

impl RedisServer {
    /// Starts one without persistence and waits until it answers.
    pub async fn start(options: StartOptions) -> Result<Self> {
        Self::start_with(options, Persistence::None).await
    }

    /// Starts one and waits until it answers.
    pub async fn start_with(options: StartOptions, persistence: Persistence) -> Result<Self> {
        Self::start_as(options, Kind::Alone(persistence)).await
    }

    /// Starts one that talks only TLS. Its [`Self::url`] begins with `rediss://` and names nobody.
    pub async fn start_secure(options: StartOptions, secure: SecureRedis) -> Result<Self> {
        Self::start_as(options, Kind::Secure(secure)).await
    }

    async fn start_as(options: StartOptions, kind: Kind) -> Result<Self> {
        let port = options.lease_port().await?;
        let data = options.home.data(&options.name);
        files::make_dir(&data)?;
        let number = port.port.to_string();
        let mut args: Vec<String> = Vec::new();
        let mut set = |name: &str, value: &str| {
            args.extend([name.to_owned(), value.to_owned()]);
        };
        set("--bind", "127.0.0.1");
        set("--daemonize", "no");
        set("--save", "");
        set("--appendfsync", "always");
        set("--dir", &data.to_string_lossy());
        let mut peer_port = None;
        let mut probe = Probe::open(&format!("redis://127.0.0.1:{number}"));
        match &kind {
            Kind::Alone(persistence) => {
                set("--port", &number);
                set(APPEND_ONLY, persistence.append_only());
            }
            Kind::Secure(secure) => {
                let (certificate, key) = secure.certificates.server();
                set("--port", "0");
                set("--tls-port", &number);
                set("--tls-cert-file", &certificate.to_string_lossy());
                set("--tls-key-file", &key.to_string_lossy());
                set(
                    "--tls-ca-cert-file",
                    &secure.certificates.ca().to_string_lossy(),
                );
                set("--tls-auth-clients", "yes");
                let users = data.join("users.acl");
                let SecureRedis {
                    username, password, ..
                } = secure;
                let text =
                    format!("user default off\nuser {username} on >{password} ~* &* +@all\n");
                files::write_secret(&users, &text)?;
                set("--aclfile", &users.to_string_lossy());
                probe = Probe::secure(&number, secure)?;
            }
            Kind::Node => {
                let peer = options.lease_peer_port().await?;
                set("--port", &number);
                set("--cluster-enabled", "yes");
                set("--cluster-port", &peer.port.to_string());
                set("--cluster-node-timeout", CLUSTER_NODE_TIMEOUT_MS);
                // By default a primary waits 5 s for more replicas before it sends its data to the first.
                set("--repl-diskless-sync-delay", "0");
                peer_port = Some(peer);
            }
        }
        let spec = ProcessSpec {
            name: options.name.clone(),
            program: Tools.redis()?,
            args: args.into_iter().map(Into::into).collect(),
            env: vec![],
            cwd: data.clone(),
            log: options.home.log(&options.name),
            pid_file: options.home.pid_file(&options.name),
            stale_file: None,
            lifetime: options.lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        };
        let url = probe.url.clone();
        let probe = move |pid| -> Answer { Box::pin(probe.clone().answers(pid)) };
        let server = Server::up(&options, spec, port, peer_port, probe).await?;
        Ok(Self { server, url })
    }

    /// `redis://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the next starts find again, of a server that was started alone. [`Persistence::None`] still reads a dump that
    /// lies in the data folder: so a server comes back with old data.
    pub fn keep(&mut self, persistence: Persistence) {
        self.server
            .set_option(APPEND_ONLY, persistence.append_only());
    }
}

/// How a server is asked whether it is there.
#[derive(Clone)]
struct Probe {
    url: String,
    /// User and password, certificates.
    secure: Option<(String, redis::TlsCertificates)>,
}

impl Probe {
    fn open(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            secure: None,
        }
    }

    fn secure(port: &str, secure: &SecureRedis) -> Result<Self> {
        let (certificate, key) = secure.certificates.client();
        let pem = |path| files::read(path).map(String::into_bytes);
        let certificates = redis::TlsCertificates {
            client_tls: Some(redis::ClientTlsConfig {
                client_cert: pem(&certificate)?,
                client_key: pem(&key)?,
            }),
            root_cert: Some(pem(&secure.certificates.ca())?),
        };
        let SecureRedis {
            username, password, ..
        } = secure;
        let with_user = format!("rediss://{username}:{password}@127.0.0.1:{port}");
        Ok(Self {
            url: format!("rediss://127.0.0.1:{port}"),
            secure: Some((with_user, certificates)),
        })
    }

    async fn answers(self, pid: u32) -> std::result::Result<(), String> {
        let words = |error: redis::RedisError| error.to_string();
        let client = match self.secure {
            None => redis::Client::open(self.url),
            Some((url, certificates)) => {
                // One crypto provider for the process; whoever comes second finds it.
                drop(rustls::crypto::ring::default_provider().install_default());
                redis::Client::build_with_tls(url, certificates)
            }
        };
        let mut connection = client
            .map_err(words)?
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
}

/// A Redis Cluster on loopback: primaries that share the hash slots evenly, and replicas behind them.
#[derive(Debug)]
pub struct RedisCluster {
    /// Primaries first, in the order of their slots; replica n of primary p is number `primaries + n * primaries + p`.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts `primaries` nodes with `replicas` more behind each, and waits until every node says that the cluster is
    /// whole and every replica has its primary's data: one that never had any does not take over.
    pub async fn start(name: &str, primaries: usize, replicas: usize) -> Result<Self> {
        let mut nodes = Vec::new();
        for number in 0..primaries * (replicas + 1) {
            let options = StartOptions::own(&format!("{name}-{number}"))?;
            nodes.push(RedisServer::start_as(options, Kind::Node).await?);
        }
        let cluster = Self { nodes };
        cluster.join(primaries).await?;
        Ok(cluster)
    }

    /// The addresses of all nodes, divided by commas.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<&str> = self.nodes.iter().map(RedisServer::url).collect();
        urls.join(",")
    }

    /// The node (its number in `nodes`) that has the slot of `key`, as the living nodes say; `None` while nobody has it.
    pub async fn primary_of(&self, key: &str) -> Result<Option<usize>> {
        for node in self.nodes.iter().filter(|node| node.is_alive()) {
            let slot: u16 = ask(node, redis::cmd("CLUSTER").arg("KEYSLOT").arg(key)).await?;
            let nodes: String = ask(node, redis::cmd("CLUSTER").arg("NODES")).await?;
            let has = |node: &RedisServer| {
                let mut lines = nodes.lines();
                lines.any(|line| is_primary_of(line, node.server.port(), slot))
            };
            // Somebody who has not heard of a promotion yet still names the dead.
            let found = self
                .nodes
                .iter()
                .position(|node| node.is_alive() && has(node));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Moves the slot of `key` with its data from the primary that has it to `to`, key by key, as a resharding does.
    pub async fn move_slot(&self, key: &str, to: usize) -> Result<()> {
        let (Some(from), Some(target)) = (self.primary_of(key).await?, self.nodes.get(to)) else {
            return Err(cannot("moving a slot of a Redis Cluster", "nobody has it"));
        };
        let source = &self.nodes[from];
        let slot: u16 = ask(source, redis::cmd("CLUSTER").arg("KEYSLOT").arg(key)).await?;
        let set = async |node: &RedisServer, word: &str, id: &str| -> Result<String> {
            let mut command = redis::cmd("CLUSTER");
            command.arg("SETSLOT").arg(slot).arg(word).arg(id);
            ask(node, &command).await
        };
        let from_id: String = ask(source, redis::cmd("CLUSTER").arg("MYID")).await?;
        let to_id: String = ask(target, redis::cmd("CLUSTER").arg("MYID")).await?;
        set(target, "IMPORTING", &from_id).await?;
        set(source, "MIGRATING", &to_id).await?;
        loop {
            let mut list = redis::cmd("CLUSTER");
            list.arg("GETKEYSINSLOT").arg(slot).arg(KEYS_PER_LOOK);
            let keys: Vec<String> = ask(source, &list).await?;
            if keys.is_empty() {
                break;
            }
            for key in keys {
                let mut migrate = redis::cmd("MIGRATE");
                migrate.arg("127.0.0.1").arg(target.server.port());
                migrate.arg(key).arg(0).arg(MIGRATE_LIMIT_MS);
                let _moved: String = ask(source, &migrate).await?;
            }
        }
        // The new owner first: nobody is sent to a node that does not want the slot.
        set(target, "NODE", &to_id).await?;
        set(source, "NODE", &to_id).await?;
        Ok(())
    }

    async fn join(&self, primaries: usize) -> Result<()> {
        let Some(first) = self.nodes.first() else {
            return Ok(());
        };
        for node in &self.nodes {
            ask::<String>(
                node,
                redis::cmd("CLUSTER")
                    .arg("MEET")
                    .arg("127.0.0.1")
                    .arg(first.server.port())
                    .arg(first.server.peer_port()),
            )
            .await?;
        }
        for (number, node) in self.nodes.iter().take(primaries).enumerate() {
            let from = number * SLOTS / primaries;
            let to = (number + 1) * SLOTS / primaries - 1;
            let mut slots = redis::cmd("CLUSTER");
            slots.arg("ADDSLOTSRANGE").arg(from).arg(to);
            ask::<String>(node, &slots).await?;
        }
        let all = format!("cluster_known_nodes:{}", self.nodes.len());
        self.until(&[&all]).await?;
        for (number, node) in self.nodes.iter().enumerate().skip(primaries) {
            let Some(primary) = self.nodes.get(number % primaries) else {
                continue;
            };
            let id: String = ask(primary, redis::cmd("CLUSTER").arg("MYID")).await?;
            ask::<String>(node, redis::cmd("CLUSTER").arg("REPLICATE").arg(id)).await?;
        }
        let whole = [&all, "cluster_state:ok", "cluster_slots_ok:16384"];
        self.until(&whole).await?;
        let replicas = self.nodes.get(primaries..).unwrap_or_default();
        let replication = || redis::cmd("INFO").arg("replication").clone();
        until(replicas, replication, &["master_link_status:up"]).await
    }

    /// Waits until every node says all of `lines` in `CLUSTER INFO`.
    async fn until(&self, lines: &[&str]) -> Result<()> {
        let info = || redis::cmd("CLUSTER").arg("INFO").clone();
        until(&self.nodes, info, lines).await
    }
}

/// Waits until each of these nodes says all of `lines` when it is asked.
async fn until(
    nodes: &[RedisServer],
    question: impl Fn() -> redis::Cmd,
    lines: &[&str],
) -> Result<()> {
    let started = Instant::now();
    for node in nodes {
        loop {
            let info: String = ask(node, &question()).await?;
            let says = |line: &&str| info.lines().any(|said| said.trim() == *line);
            if lines.iter().all(says) {
                break;
            }
            if started.elapsed() > CLUSTER_LIMIT {
                return Err(TestkitError::Command {
                    what: "joining a Redis Cluster".to_owned(),
                    output: info,
                });
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
    Ok(())
}

/// Is this line of `CLUSTER NODES` about a primary on `port` that has `slot`?
/// `id ip:port@peer flags primary ping pong epoch state slot first-last ...`
fn is_primary_of(line: &str, port: u16, slot: u16) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let (Some(address), Some(flags)) = (words.next(), words.next()) else {
        return false;
    };
    let has = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last] = [first, last].map(str::parse::<u16>);
        matches!((first, last), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    };
    let is_on_port = address
        .split('@')
        .next()
        .is_some_and(|it| it.ends_with(&format!(":{port}")));
    let is_living = flags.split(',').any(|flag| flag == "master") && !flags.contains("fail");
    is_on_port && is_living && words.skip(5).any(has)
}

fn cannot(what: &str, why: &str) -> TestkitError {
    TestkitError::Command {
        what: what.to_owned(),
        output: why.to_owned(),
    }
}

async fn ask<T: redis::FromRedisValue>(node: &RedisServer, command: &redis::Cmd) -> Result<T> {
    let answer = async {
        let client = redis::Client::open(node.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        command.query_async::<T>(&mut connection).await
    };
    answer
        .await
        .map_err(|error: redis::RedisError| TestkitError::Command {
            what: "asking a node of a Redis Cluster".to_owned(),
            output: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::is_primary_of;

    #[test]
    fn who_has_a_slot_is_read_from_the_list_of_nodes() {
        let line =
            "07c37d 127.0.0.1:7001@17001 myself,master - 0 1426238317239 4 connected 0-5460 7000";
        for (port, slot, is_it) in [
            (7001, 0, true),
            (7001, 5_460, true),
            (7001, 7_000, true),
            (7001, 5_461, false),
            (7002, 0, false),
            (17001, 0, false),
        ] {
            assert_eq!(is_primary_of(line, port, slot), is_it, "{port} {slot}");
        }
        assert!(!is_primary_of(
            &line.replace("master", "master,fail"),
            7001,
            0
        ));
        assert!(!is_primary_of(&line.replace("master", "slave"), 7001, 0));
    }
}
