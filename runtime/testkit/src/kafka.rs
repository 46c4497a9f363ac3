//! A Kafka broker that is its own controller (`KRaft`). Topics are never made by asking for them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use uuid::Uuid;

use crate::certificates::Certificates;
use crate::error::{Result, TestkitError};
use crate::files;
use crate::process::{ProcessSpec, RunAs, StopSignal};
use crate::server::{
    Answer, Leased, PROBE_LIMIT, Server, StartOptions, server_restart, server_verbs,
};
use crate::tools::Tools;

/// Heap of the broker in MiB: what the demo and the benchmark need, with room.
const HEAP_MAX_MIB: u32 = 640;
const HEAP_START_MIB: u32 = 256;

/// Part of [`PROBE_LIMIT`] that one blocking call to the broker may take; there are two.
const CALL_LIMIT: Duration = Duration::from_millis(1_200);
const _: () = assert!(2 * CALL_LIMIT.as_millis() < PROBE_LIMIT.as_millis());

/// A Kafka broker on loopback.
#[derive(Debug)]
pub struct KafkaServer {
    server: Server,
    brokers: String,
    secure: Option<(SecureKafka, [Leased; 2])>,
}

/// More doors of a broker, beside the open one.
#[derive(Debug, Clone)]
pub struct SecureKafka {
    /// What the broker shows, and whom it trusts.
    pub certificates: Certificates,
    /// The one user that SASL knows, by PLAIN and both kinds of SCRAM.
    pub username: String,
    /// Its password.
    pub password: String,
}

server_verbs!(KafkaServer);
server_restart!(KafkaServer);

impl KafkaServer {
    /// Starts one (formats its storage at the first start) and waits until it answers with its own cluster id.
    pub async fn start(options: StartOptions) -> Result<Self> {
        Self::start_with(options, None).await
    }

    /// Starts one that also listens with TLS and SASL ([`Self::sasl_brokers`]) and with TLS and client certificates
    /// ([`Self::tls_brokers`]).
    pub async fn start_secure(options: StartOptions, secure: SecureKafka) -> Result<Self> {
        Self::start_with(options, Some(secure)).await
    }

    async fn start_with(options: StartOptions, secure: Option<SecureKafka>) -> Result<Self> {
        let port = options.lease_port().await?;
        let peer_port = options.lease_peer_port().await?;
        let data = options.home.data(&options.name);
        files::make_dir(&data)?;
        let secure = match secure {
            Some(secure) => Some((secure, [Leased::any()?, Leased::any()?])),
            None => None,
        };
        let files = Files::write(&data, port.port, peer_port.port, secure.as_ref())?;
        let java = Tools.java()?;
        let jars = Tools.kafka_jars()?.join("*");
        let cluster_id = {
            let (java, jars, files) = (java.clone(), jars.clone(), files.clone());
            let users = secure.as_ref().map(|(secure, _)| secure.clone());
            tokio::task::spawn_blocking(move || {
                format_storage(&java, &jars, &files, users.as_ref())
            })
            .await
            .map_err(|_| TestkitError::Cancelled)??
        };
        let spec = ProcessSpec {
            name: options.name.clone(),
            program: java,
            args: vec![
                format!("-Xms{HEAP_START_MIB}m").into(),
                format!("-Xmx{HEAP_MAX_MIB}m").into(),
                "-XX:+UseG1GC".into(),
                "-XX:MaxGCPauseMillis=20".into(),
                // Brokers here live for seconds or minutes: the second compiler took half of a core for most of that
                // time, more than its code gave back (measured with `make bench`).
                "-XX:TieredStopAtLevel=1".into(),
                "-Djava.awt.headless=true".into(),
                format!("-Dlog4j2.configurationFile={}", files.logging.display()).into(),
                "-cp".into(),
                jars.into(),
                "kafka.Kafka".into(),
                files.settings.into(),
            ],
            env: vec![],
            cwd: data,
            log: options.home.log(&options.name),
            pid_file: options.home.pid_file(&options.name),
            stale_file: None,
            lifetime: options.lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        };
        let brokers = format!("127.0.0.1:{}", port.port);
        let asked = brokers.clone();
        let probe = move |_| -> Answer { Box::pin(answers(asked.clone(), cluster_id.clone())) };
        let server = Server::up(&options, spec, port, Some(peer_port), probe).await?;
        Ok(Self {
            server,
            brokers,
            secure,
        })
    }

    /// `127.0.0.1:port` of the listener that wants TLS and SASL, if there is one.
    #[must_use]
    pub fn sasl_brokers(&self) -> Option<String> {
        let (_, [sasl, _]) = self.secure.as_ref()?;
        Some(format!("127.0.0.1:{}", sasl.port))
    }

    /// `127.0.0.1:port` of the listener that wants TLS and a client certificate, if there is one.
    #[must_use]
    pub fn tls_brokers(&self) -> Option<String> {
        let (_, [_, tls]) = self.secure.as_ref()?;
        Some(format!("127.0.0.1:{}", tls.port))
    }

    /// `127.0.0.1:port`
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }
}

#[derive(Clone)]
struct Files {
    settings: PathBuf,
    logging: PathBuf,
    logs: PathBuf,
    cluster_id: PathBuf,
}

impl Files {
    fn write(
        data: &Path,
        port: u16,
        controller: u16,
        secure: Option<&(SecureKafka, [Leased; 2])>,
    ) -> Result<Self> {
        let files = Self {
            settings: data.join("server.properties"),
            logging: data.join("log4j2.properties"),
            logs: data.join("logs"),
            cluster_id: data.join("cluster-id"),
        };
        let mut text = settings(&files.logs, port, controller);
        if let Some((secure, [sasl, tls])) = secure {
            // The last line of a name wins.
            text.push_str(&secure_settings(
                secure,
                [port, controller, sasl.port, tls.port],
            ));
        }
        files::write_secret(&files.settings, &text)?;
        files::write(&files.logging, LOGGING)?;
        Ok(files)
    }
}

// Every partition of `__consumer_offsets` costs files and start-up time; one broker needs few. Flushing is left to
// Kafka's defaults, as in production.
fn settings(logs: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
delete.topic.enable=true
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
",
        logs.display()
    )
}

fn secure_settings(secure: &SecureKafka, [port, controller, sasl, tls]: [u16; 4]) -> String {
    let SecureKafka {
        certificates,
        username,
        password,
    } = secure;
    let both = certificates.file("server-both.pem");
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{username}=\"{password}\";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram}
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram}
",
        both.display(),
        certificates.ca().display()
    )
}

const LOGGING: &str = "rootLogger.level=INFO
rootLogger.appenderRef.console.ref=CONSOLE
appender.console.type=Console
appender.console.name=CONSOLE
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c)%n
";

/// Formats the storage once and answers with the cluster id.
fn format_storage(
    java: &Path,
    jars: &Path,
    files: &Files,
    users: Option<&SecureKafka>,
) -> Result<String> {
    if let Ok(id) = files::read(&files.cluster_id)
        && files.logs.join("meta.properties").is_file()
    {
        return Ok(id.trim().to_owned());
    }
    // A start that broke off between format and note left storage with an id that nobody knows.
    files::remove_dir(&files.logs)?;
    // The `c` keeps the tool from taking a leading dash for an option; the last of 22 characters carries four zero bits.
    let mut id = BASE64.encode(Uuid::new_v4().as_bytes());
    id.replace_range(..1, "c");
    let mut format = Command::new(java);
    format
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jars)
        .args(["kafka.tools.StorageTool", "format", "-t", &id, "-c"])
        .arg(&files.settings);
    if let Some(SecureKafka {
        username, password, ..
    }) = users
    {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let user = format!("{mechanism}=[name={username},password={password}]");
            format.args(["--add-scram", &user]);
        }
    }
    let answer = format.output().map_err(|cause| TestkitError::Spawn {
        program: java.display().to_string(),
        cause,
    })?;
    if !answer.status.success() {
        return Err(TestkitError::Command {
            what: "formatting Kafka's storage".to_owned(),
            output: [answer.stdout, answer.stderr]
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .concat(),
        });
    }
    files::write(&files.cluster_id, &id)?;
    Ok(id)
}

async fn answers(brokers: String, cluster_id: String) -> std::result::Result<(), String> {
    let call = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("group.id", "readiness")
            // A broker that starts refuses connections; that is no news for a log.
            .set("log.connection.close", "false")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Critical)
            .create()
            .map_err(|error| error.to_string())?;
        consumer
            .fetch_metadata(None, CALL_LIMIT)
            .map_err(|error| error.to_string())?;
        match consumer.client().fetch_cluster_id(CALL_LIMIT) {
            Some(id) if id == cluster_id => Ok(()),
            Some(id) => Err(format!("another Kafka answers on this port: {id}")),
            None => Err("no cluster id yet".to_owned()),
        }
    };
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|error| error.to_string())?
}
