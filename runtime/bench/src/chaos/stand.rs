//! Everything that a run may break, each behind a lock of its own: real servers, and our own processes, a role each. Who
//! breaks something holds its lock until it is whole again. Servers outlive runs; all ends with this process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::try_join_all;
use ticket_bus::BusConfig;
use ticket_testkit::stack::{SANDBOX, SPLIT_ROLES};
use ticket_testkit::{
    ApiServer, Binary, Citus, EtcdServer, Home, KafkaServer, PortLease, PostgresServer, Product,
    ProductOptions, StartOptions, lease_port, run_to_end, workspace_dir,
};
use tokio::sync::Mutex;
use tokio::time::sleep;
use uuid::Uuid;

use super::clock;
use super::store::Store;
use crate::kubectl::Kubectl;
use crate::stack_env::StackEnv;

/// How long a process may need to come back, tries included: what it depends on may be down itself.
pub(super) const BACK_WAIT_MAX: Duration = Duration::from_mins(1);

/// Between two tries to start a process again, and between two looks for processes that have ended by themselves.
pub(super) const TRY_EVERY: Duration = Duration::from_millis(500);

/// A platform of its own.
pub(super) struct Stand {
    /// Addresses and secrets, as the sale wants them.
    pub(super) env: StackEnv,
    pub(super) kubectl: Kubectl,
    pub(super) bus: BusConfig,
    pub(super) home: Home,
    pub(super) redis: Mutex<Store>,
    pub(super) kafka: Mutex<KafkaServer>,
    pub(super) postgres: Mutex<PostgresServer>,
    /// Our own processes by name: `runtime-api`, `operator`.
    processes: BTreeMap<String, Mutex<Product>>,
    settings: Vec<(String, String)>,
    // Ended after our own processes, which ask them until the end.
    _apiserver: ApiServer,
    _etcd: EtcdServer,
    _leases: Vec<PortLease>,
}

impl Stand {
    /// Starts everything, with its data in `home`, which must be empty.
    pub(super) async fn start(home: Home) -> anyhow::Result<Self> {
        let options = |name: &str| StartOptions::within(home.clone(), name);
        let kubernetes = async {
            let etcd = EtcdServer::start(options("etcd")).await?;
            let apiserver = ApiServer::start(options("kube-apiserver"), &etcd).await?;
            anyhow::Ok((etcd, apiserver))
        };
        let ((etcd, apiserver), kafka, postgres, redis) = tokio::try_join!(
            kubernetes,
            async { anyhow::Ok(KafkaServer::start(options("kafka")).await?) },
            async {
                let name = options("postgres");
                anyhow::Ok(PostgresServer::start_with(name, Vec::new(), Citus::IfInstalled).await?)
            },
            Store::start(&home),
        )
        .context("a server did not start")?;
        let kubectl = Kubectl::new(apiserver.kubeconfig())?;
        definitions(&kubectl).await?;
        let database_url = postgres.create_database("ticket").await?;

        let leases = [lease_port()?, lease_port()?, lease_port()?];
        let [api, admin, sandbox] = leases.each_ref().map(PortLease::port);
        let secrets = Secrets::make();
        let env = StackEnv {
            dir: home.dir().to_path_buf(),
            kubeconfig: apiserver.kubeconfig().to_path_buf(),
            api_url: format!("http://127.0.0.1:{api}"),
            admin_url: format!("http://127.0.0.1:{admin}"),
            viewer_token: secrets.viewer.clone(),
            payments_url: format!("http://127.0.0.1:{sandbox}"),
            jwt_secret: secrets.buyer.clone(),
            database_url: database_url.clone(),
            kafka_brokers: kafka.brokers().to_owned(),
            kafka_prefix: String::new(),
        };
        let servers = [
            ("KUBECONFIG", env.kubeconfig.to_string_lossy().into_owned()),
            ("TICKET_DATABASE_URL", database_url.clone()),
            ("TICKET_KAFKA_BROKERS", kafka.brokers().to_owned()),
            ("TICKET_REDIS_URL", redis.url()),
            ("TICKET_API_LISTEN", format!("127.0.0.1:{api}")),
            ("TICKET_ADMIN_LISTEN", format!("127.0.0.1:{admin}")),
            ("TICKET_PAYMENTS_URL", env.payments_url.clone()),
            (
                "TICKET_WEBHOOK_URL",
                format!("{}/v1/webhooks/stripe", env.api_url),
            ),
            ("TICKET_LOG", "info".to_owned()),
        ];
        let settings: Vec<_> = servers
            .into_iter()
            .chain(secrets.settings())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        run_to_end(Binary::Runtime, &["migrate"], &settings).await?;
        let [api_lease, admin_lease, sandbox_lease] = leases;
        // The sandbox takes its own lease when it starts.
        drop(sandbox_lease);
        let processes = processes(&home, &settings, sandbox).await?;
        Ok(Self {
            kubectl,
            bus: BusConfig::new(kafka.brokers(), "chaos"),
            redis: Mutex::new(redis),
            kafka: Mutex::new(kafka),
            postgres: Mutex::new(postgres),
            processes,
            settings,
            env,
            home,
            _apiserver: apiserver,
            _etcd: etcd,
            _leases: vec![api_lease, admin_lease],
        })
    }

    /// One of our own processes.
    pub(super) fn process(&self, name: &str) -> anyhow::Result<&Mutex<Product>> {
        let process = self.processes.get(name);
        process.with_context(|| format!("there is no process {name}"))
    }

    /// Starts a process beside the others, as `name`; it ends with what is returned.
    pub(super) async fn another(&self, role: &str, name: &str) -> anyhow::Result<Product> {
        let options = StartOptions::within(self.home.clone(), name);
        let settings = self.settings.clone();
        let started = Product::start(options, ProductOptions::runtime(role, settings)).await;
        started.with_context(|| format!("{name} did not start"))
    }

    /// The database on every node: the coordinator first.
    pub(super) fn node_urls(&self, postgres: &PostgresServer) -> Vec<String> {
        let coordinator = format!(":{}/", postgres.server().port());
        let workers = postgres.workers().iter().map(|worker| {
            let port = format!(":{}/", worker.port());
            self.env.database_url.replacen(&coordinator, &port, 1)
        });
        std::iter::once(self.env.database_url.clone())
            .chain(workers)
            .collect()
    }

    /// Starts again whatever of our own has ended by itself (a process that cannot go on ends, and whoever runs it starts it
    /// again), and answers with the names. What is broken on purpose is left alone.
    pub(super) async fn supervise(&self) -> Vec<String> {
        let mut again = Vec::new();
        for (name, process) in &self.processes {
            let Ok(mut process) = process.try_lock() else {
                continue;
            };
            if !process.is_alive() {
                // Tried again at the next look.
                drop(process.restart().await);
                again.push(name.clone());
            }
        }
        again
    }

    /// Waits until nothing is broken on purpose and everything of ours runs.
    pub(super) async fn is_whole(&self) -> anyhow::Result<()> {
        for (name, process) in &self.processes {
            let mut process = process.lock().await;
            if !process.is_alive() {
                bring_back(name, &mut process).await?;
            }
        }
        Ok(())
    }
}

/// Starts a process until it is ready.
pub(super) async fn bring_back(name: &str, process: &mut Product) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match process.restart().await {
            Ok(()) => return Ok(()),
            Err(error) if started.elapsed() + TRY_EVERY > BACK_WAIT_MAX => {
                return Err(error).with_context(|| format!("{name} did not come back"));
            }
            Err(_) => sleep(TRY_EVERY).await,
        }
    }
}

/// Looks after the stand until it is dropped; `say` hears what was started again.
pub(super) async fn watch(stand: &Stand, mut say: impl FnMut(String)) {
    loop {
        for name in stand.supervise().await {
            say(name);
        }
        sleep(TRY_EVERY).await;
    }
}

/// The sandbox first: the others want an answer from it.
async fn processes(
    home: &Home,
    settings: &[(String, String)],
    sandbox: u16,
) -> anyhow::Result<BTreeMap<String, Mutex<Product>>> {
    let start = async |name: String, options: ProductOptions, port: Option<u16>| {
        let within = StartOptions {
            port,
            ..StartOptions::within(home.clone(), &name)
        };
        let started = Product::start(within, options).await;
        let product = started.with_context(|| format!("{name} did not start"))?;
        anyhow::Ok((name, Mutex::new(product)))
    };
    let with_clock = |name: &str| {
        let mut settings = settings.to_vec();
        settings.extend(clock::settings(home, name));
        settings
    };
    let mut all = BTreeMap::new();
    let own = ProductOptions::sandbox(settings.to_vec());
    // It forgets everything when it ends, so nobody ends it.
    all.extend([start(SANDBOX.to_owned(), own, Some(sandbox)).await?]);
    let operator = ProductOptions::operator(settings.to_vec());
    all.extend([start("operator".to_owned(), operator, None).await?]);
    let roles = SPLIT_ROLES.iter().map(|role| {
        let name = format!("runtime-{role}");
        let options = ProductOptions::runtime(role, with_clock(&name));
        start(name, options, None)
    });
    all.extend(try_join_all(roles).await?);
    Ok(all)
}

/// Applies the custom resource definitions and waits until they are served.
async fn definitions(kubectl: &Kubectl) -> anyhow::Result<()> {
    let dir = workspace_dir().join("crds");
    let entries = std::fs::read_dir(&dir).context("could not read the folder of the CRDs")?;
    let files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let files: Vec<String> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .map(|path| format!("--filename={}", path.display()))
        .collect();
    let all = |words: &[&'static str]| -> Vec<&str> {
        let files = files.iter().map(String::as_str);
        words.iter().copied().chain(files).collect()
    };
    kubectl.run(&all(&["apply", "--server-side"])).await?;
    let wait = ["wait", "--for=condition=Established", "--timeout=30s"];
    kubectl.run(&all(&wait)).await?;
    Ok(())
}

/// Made anew for every stand.
struct Secrets {
    buyer: String,
    admin: String,
    viewer: String,
    webhook: String,
}

impl Secrets {
    fn make() -> Self {
        let secret = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Self {
            buyer: secret(),
            admin: secret(),
            viewer: secret(),
            webhook: format!("whsec_{}", secret()),
        }
    }

    fn settings(self) -> [(&'static str, String); 4] {
        [
            ("TICKET_BUYER_JWT_SECRET", self.buyer),
            ("TICKET_ADMIN_TOKEN", self.admin),
            ("TICKET_ADMIN_VIEWER_TOKEN", self.viewer),
            ("TICKET_WEBHOOK_SECRET", self.webhook),
        ]
    }
}
