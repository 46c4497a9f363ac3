//! The operator as a process. Wiring only.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::SecretString;
use ticket_bus::BusConfig;
use ticket_core::names::TopicPrefix;
use ticket_operator::{Config, Faults, LeaseConfig, PROBES};
use ticket_stock::StockConfig;
use ticket_telemetry::{Health, LogFormat, Metrics, Supervisor, shutdown};
use tokio::net::TcpListener;

/// What is under way at a stop may take so long; a little more than the operator gives itself.
const STOP_DEADLINE: std::time::Duration = std::time::Duration::from_secs(25);

/// Makes what Event resources ask for, and keeps it so.
#[derive(Debug, Parser)]
#[command(name = "ticket-operator", version)]
struct Args {
    /// Kubeconfig; without it the pod's service account is used.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Only Events of this namespace.
    #[arg(long, env = "TICKET_NAMESPACE")]
    namespace: Option<String>,
    /// The ledger: postgres://user:password@host:port/database
    #[arg(long, env = "TICKET_DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// Kafka: host:port, several with commas.
    #[arg(long, env = "TICKET_KAFKA_BROKERS")]
    kafka_brokers: String,
    /// Before all names of topics.
    #[arg(long, env = "TICKET_KAFKA_PREFIX", default_value = "")]
    kafka_prefix: String,
    /// The stock store: redis://host:port
    #[arg(long, env = "TICKET_REDIS_URL", hide_env_values = true)]
    redis_url: String,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    #[arg(long, env = "TICKET_METRICS_LISTEN", default_value = "127.0.0.1:9401")]
    metrics_listen: SocketAddr,
    /// Log filter, e.g. `info,ticket_operator=debug`
    #[arg(long, env = "TICKET_LOG", default_value = "info")]
    log: String,
    /// auto, json or text.
    #[arg(long, env = "TICKET_LOG_FORMAT", default_value = "auto")]
    log_format: LogFormat,
    /// Namespace of the lease that replicas share. Without it this is the only replica.
    #[arg(long, env = "TICKET_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of the lease.
    #[arg(long, env = "TICKET_LEASE_NAME", default_value = "ticket-operator")]
    lease_name: String,
    /// Who this replica is, e.g. the pod's name.
    #[arg(long, env = "TICKET_IDENTITY")]
    identity: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Two threads are plenty for a few calls at a time, and each costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        kubeconfig,
        namespace,
        database_url,
        kafka_brokers,
        kafka_prefix,
        redis_url,
        metrics_listen,
        log,
        log_format,
        lease_namespace,
        lease_name,
        identity,
    } = args;
    ticket_telemetry::init("ticket-operator", &log, log_format)?;
    // One crypto provider for the process; whoever comes second finds it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let metrics = Metrics::install()?;
    let health = Health::new(&PROBES);
    let stop = shutdown::on_signal()?;

    let lease = lease_namespace.map(|namespace| LeaseConfig {
        namespace,
        name: lease_name,
        // Unique over restarts too: a new process must not take itself for the old one.
        identity: format!(
            "{}-{}",
            identity.unwrap_or_default(),
            uuid::Uuid::new_v4().simple()
        ),
    });
    let config = Config {
        kubernetes: kubernetes(kubeconfig).await?,
        namespace,
        database_url,
        kafka: BusConfig::new(kafka_brokers, "ticket-operator"),
        kafka_prefix: TopicPrefix(kafka_prefix),
        stock: StockConfig::new(redis_url),
        lease,
        faults: Faults::default(),
    };
    let listener = TcpListener::bind(metrics_listen)
        .await
        .with_context(|| format!("could not listen on {metrics_listen}"))?;

    let mut tasks = Supervisor::new(stop.clone());
    tasks.start(
        "health",
        ticket_telemetry::serve(listener, health.clone(), metrics, stop.clone()),
    );
    tasks.start("operator", ticket_operator::run(config, health, stop));
    tasks.finish_within(STOP_DEADLINE).await
}

async fn kubernetes(kubeconfig: Option<PathBuf>) -> anyhow::Result<kube::Config> {
    let Some(path) = kubeconfig else {
        return kube::Config::infer()
            .await
            .context("could not find out how to reach Kubernetes");
    };
    let found = Kubeconfig::read_from(&path)
        .with_context(|| format!("could not read the kubeconfig {}", path.display()))?;
    kube::Config::from_custom_kubeconfig(found, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("could not use the kubeconfig {}", path.display()))
}
