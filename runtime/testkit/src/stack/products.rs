//! Our own processes of the stack: the sandbox of the payment provider, the runtime as one process or one per role, and
//! the operator.

use super::{Servers, Stack};
use crate::error::Result;
use crate::ports::{self, PortLease};
use crate::product::{Binary, Product, ProductOptions, run_to_end};
use crate::stack::down;

/// How the runtime's roles are spread over processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Roles {
    /// One process with all of them: `runtime`.
    All,
    /// A process each: `runtime-api`, `runtime-admin`, ...
    Split,
}

/// The roles of the runtime, in the order in which they are started.
const SPLIT: [&str; 7] = [
    "processor",
    "payments",
    "keeper",
    "notifier",
    "sync",
    "api",
    "admin",
];

/// The sandbox of the payment provider: its process, and its port.
const SANDBOX: &str = "sandbox";

/// Where our own processes answer.
#[derive(Default)]
pub(super) struct Addresses(Vec<(String, String)>);

impl Addresses {
    pub(super) fn lines(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().cloned()
    }

    fn add(&mut self, name: &str, url: String) {
        self.0.push((name.to_owned(), url));
    }
}

impl Roles {
    fn processes(self) -> Vec<(String, &'static str)> {
        match self {
            Self::All => vec![("runtime".to_owned(), "all")],
            Self::Split => SPLIT.map(|role| (format!("runtime-{role}"), role)).to_vec(),
        }
    }
}

pub(super) async fn up(stack: &Stack, servers: &Servers, roles: Roles) -> Result<Addresses> {
    let wanted = roles.processes();
    stop_others(stack, &wanted).await?;
    let listeners = Listeners::choose(stack)?;
    let settings = settings(stack, servers, &listeners);
    run_to_end(Binary::Runtime, &["migrate"], &settings).await?;
    stack.tell("ledger: migrated");
    let mut addresses = Addresses::default();
    addresses.add("TICKET_API_URL", listeners.url("api"));
    addresses.add("TICKET_ADMIN_URL", listeners.url("admin"));
    addresses.add("TICKET_PAYMENTS_URL", listeners.url(SANDBOX));

    let sandbox = start(stack, SANDBOX, ProductOptions::sandbox(settings.clone()));
    let operator = start(
        stack,
        "operator",
        ProductOptions::operator(settings.clone()),
    );
    let runtime = async {
        let mut urls = Vec::new();
        for (name, role) in &wanted {
            let options = ProductOptions::runtime(role, settings.clone());
            urls.push((name.clone(), start(stack, name, options).await?));
        }
        Ok(urls)
    };
    // All to their end, so that what came up is noted.
    let (sandbox, operator, runtime) = tokio::join!(sandbox, operator, runtime);
    let (_, operator, runtime): (String, String, Vec<(String, String)>) =
        (sandbox?, operator?, runtime?);
    addresses.add("TICKET_OPERATOR_METRICS_URL", operator);
    for (name, url) in runtime {
        if roles == Roles::Split {
            let variable = name.replace('-', "_").to_uppercase();
            addresses.add(&format!("TICKET_{variable}_METRICS_URL"), url.clone());
        }
        // With a process per role it is the API's: that is where buyers are counted.
        if name == "runtime" || name == "runtime-api" {
            addresses.add("TICKET_RUNTIME_METRICS_URL", url);
        }
    }
    Ok(addresses)
}

async fn start(stack: &Stack, name: &str, options: ProductOptions) -> Result<String> {
    let product = Product::start(stack.options(name), options).await?;
    stack.is_up(name, product.server())?;
    Ok(product.url())
}

/// Stops the processes of the other way to spread the roles.
async fn stop_others(stack: &Stack, wanted: &[(String, &str)]) -> Result<()> {
    for (name, _) in Roles::All
        .processes()
        .into_iter()
        .chain(Roles::Split.processes())
    {
        if !wanted.iter().any(|(known, _)| *known == name) {
            down::one(&stack.home, &stack.state, &name).await?;
        }
    }
    Ok(())
}

/// Ports that a process listens on beside the one that it is asked for readiness on.
struct Listeners {
    ports: Vec<(&'static str, u16)>,
    // Kept until the processes own their ports.
    leases: Vec<PortLease>,
}

impl Listeners {
    fn choose(stack: &Stack) -> Result<Self> {
        let mut chosen = Self {
            ports: Vec::new(),
            leases: Vec::new(),
        };
        for name in ["api", "admin", SANDBOX] {
            let port = match stack.state.process(name).port {
                Some(port) => port,
                None => chosen.lease(stack, name)?,
            };
            chosen.ports.push((name, port));
        }
        Ok(chosen)
    }

    fn lease(&mut self, stack: &Stack, name: &str) -> Result<u16> {
        let lease = ports::any()?;
        let port = lease.port();
        stack.state.set_port(name, port)?;
        // The sandbox takes its own lease when it starts.
        if name != SANDBOX {
            self.leases.push(lease);
        }
        Ok(port)
    }

    fn address(&self, wanted: &str) -> String {
        let port = self
            .ports
            .iter()
            .find(|(name, _)| *name == wanted)
            .map_or(0, |(_, port)| *port);
        format!("127.0.0.1:{port}")
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}", self.address(name))
    }
}

/// Every setting of every process; each reads what it knows.
fn settings(stack: &Stack, servers: &Servers, listeners: &Listeners) -> Vec<(String, String)> {
    let secrets = stack.state.secrets();
    [
        (
            "KUBECONFIG",
            servers.kubeconfig.to_string_lossy().into_owned(),
        ),
        ("TICKET_DATABASE_URL", servers.database_url.clone()),
        ("TICKET_KAFKA_BROKERS", servers.kafka_brokers.clone()),
        ("TICKET_KAFKA_PREFIX", servers.kafka_prefix.clone()),
        ("TICKET_REDIS_URL", servers.redis_url.clone()),
        ("TICKET_API_LISTEN", listeners.address("api")),
        ("TICKET_ADMIN_LISTEN", listeners.address("admin")),
        ("TICKET_BUYER_JWT_SECRET", secrets.buyer_jwt_secret),
        ("TICKET_ADMIN_TOKEN", secrets.admin_token),
        ("TICKET_ADMIN_VIEWER_TOKEN", secrets.admin_viewer_token),
        ("TICKET_PAYMENTS_URL", listeners.url(SANDBOX)),
        (
            "TICKET_WEBHOOK_URL",
            format!("{}/v1/webhooks/stripe", listeners.url("api")),
        ),
        ("TICKET_WEBHOOK_SECRET", secrets.webhook_secret),
        ("TICKET_LOG", "info".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
