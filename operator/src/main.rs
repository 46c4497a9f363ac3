//! The operator as a process. Wiring only.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use ticket_bus::KafkaSettings;
use ticket_core::SettingProblem;
use ticket_ledger::DatabaseSettings;
use ticket_operator::{Config, Faults, LeaseConfig, PROBES};
use ticket_stock::RedisSettings;
use ticket_telemetry::settings::{self, Loaded, Rotation, Sources};
use ticket_telemetry::{Health, LogFormat, Metrics, Supervisor, shutdown};
use tokio::net::TcpListener;

/// What is under way at a stop may take so long; a little more than the operator gives itself.
const STOP_DEADLINE: std::time::Duration = std::time::Duration::from_secs(25);

/// How often files with secrets are looked at.
const SECRETS_LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// What servers and logs call us.
const NAME: &str = "ticket-operator";

/// Makes what Event resources ask for, and keeps it so.
#[derive(Debug, Parser)]
#[command(name = "ticket-operator", version, max_term_width = 110)]
struct Args {
    /// Kubeconfig; without it the pod's service account is used.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Only Events of this namespace.
    #[arg(long, env = "TICKET_NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    redis: RedisSettings,
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

impl Args {
    /// What is missing and what does not fit together.
    fn problems(&self) -> Vec<SettingProblem> {
        let missing = [
            ("TICKET_DATABASE_URL", self.database.database_url.is_none()),
            ("TICKET_KAFKA_BROKERS", self.kafka.kafka_brokers.is_none()),
            ("TICKET_REDIS_URL", self.redis.redis_url.is_none()),
        ];
        let missing = missing.into_iter().filter(|(_, is_missing)| *is_missing);
        let missing = missing.map(|(variable, _)| {
            let what = "is not set, and the operator needs it";
            SettingProblem::new(variable, what, "set it; --help says what it means")
        });
        let mut problems: Vec<SettingProblem> = missing.collect();
        problems.extend(self.database.check());
        problems.extend(self.kafka.check());
        problems.extend(self.redis.check());
        problems
    }
}

fn main() -> anyhow::Result<()> {
    let loaded = settings::load::<Args>(std::env::args_os());
    let Loaded { cli: args, sources } = loaded.unwrap_or_else(|error| error.exit());
    let problems = args.problems();
    if !problems.is_empty() {
        settings::exit_with(&problems);
    }
    // Two threads are plenty for a few calls at a time, and each costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(args, &sources))
}

async fn run(args: Args, sources: &Sources) -> anyhow::Result<()> {
    let Args {
        kubeconfig,
        namespace,
        database,
        kafka,
        redis,
        metrics_listen,
        log,
        log_format,
        lease_namespace,
        lease_name,
        identity,
    } = args;
    ticket_telemetry::init(NAME, &log, log_format)?;
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
        // An operator of one namespace has no right to see what belongs to the whole cluster.
        rebalances: namespace.is_none().then(String::new),
        namespace,
        ledger: database.ledger(&database.database_url.clone().unwrap_or_default(), NAME),
        kafka: kafka.bus(&kafka.kafka_brokers.clone().unwrap_or_default(), NAME),
        kafka_prefix: kafka.prefix(),
        stock: redis.stock(&redis.redis_url.clone().unwrap_or_default()),
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
    // Nothing is replaced here while it runs: a changed secret is said to need a restart.
    let (secrets, stopped) = (Rotation::new(sources), stop.clone());
    tasks.start("secrets", async move {
        secrets.run(SECRETS_LOOK_EVERY, stopped).await;
        anyhow::Ok(())
    });
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
