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
    /// Two processes each: `runtime-api`, `runtime-api-2`, ... Webhooks and the addresses in `env` are those of the first.
    Pairs,
}

/// A process of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RuntimeProcess {
    name: String,
    role: &'static str,
    /// The second one of its role.
    is_second: bool,
}

impl RuntimeProcess {
    fn first(name: &str, role: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            role,
            is_second: false,
        }
    }
}

/// The roles of the runtime, in the order in which they are started.
pub const SPLIT_ROLES: [&str; 7] = [
    "processor",
    "payments",
    "keeper",
    "notifier",
    "sync",
    "api",
    "admin",
];

/// The sandbox of the payment provider: its process, and its port.
pub const SANDBOX: &str = "sandbox";

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
    fn processes(self) -> Vec<RuntimeProcess> {
        let first = |role| RuntimeProcess::first(&format!("runtime-{role}"), role);
        let second = |role| RuntimeProcess {
            name: format!("runtime-{role}-2"),
            role,
            is_second: true,
        };
        match self {
            Self::All => vec![RuntimeProcess::first("runtime", "all")],
            Self::Split => SPLIT_ROLES.map(first).to_vec(),
            Self::Pairs => [SPLIT_ROLES.map(first), SPLIT_ROLES.map(second)].concat(),
        }
    }

    /// Names of the first process of each role: with [`Roles::Pairs`] another one of each is left when these die.
    #[must_use]
    pub fn first_of_each(self) -> Vec<String> {
        let processes = self.processes().into_iter();
        processes
            .filter(|process| !process.is_second)
            .map(|process| process.name)
            .collect()
    }
}

pub(super) async fn up(stack: &Stack, servers: &Servers, roles: Roles) -> Result<Addresses> {
    let wanted = roles.processes();
    stop_others(stack, &wanted).await?;
    let listeners = Listeners::choose(stack, roles)?;
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
        for process in &wanted {
            let mut settings = settings.clone();
            if process.is_second {
                listeners.of_the_second(&mut settings);
            }
            let options = ProductOptions::runtime(process.role, settings);
            let url = start(stack, &process.name, options).await?;
            urls.push((process.name.clone(), url));
        }
        Ok(urls)
    };
    // All to their end, so that what came up is noted.
    let (sandbox, operator, runtime) = tokio::join!(sandbox, operator, runtime);
    let (_, operator, runtime): (String, String, Vec<(String, String)>) =
        (sandbox?, operator?, runtime?);
    addresses.add("TICKET_OPERATOR_METRICS_URL", operator);
    for (name, url) in runtime {
        if roles != Roles::All {
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
async fn stop_others(stack: &Stack, wanted: &[RuntimeProcess]) -> Result<()> {
    // Every process of one per role is among those of two per role.
    for other in [Roles::All, Roles::Pairs].map(Roles::processes).concat() {
        if !wanted.contains(&other) {
            down::one(&stack.home, &stack.state, &other.name).await?;
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
    fn choose(stack: &Stack, roles: Roles) -> Result<Self> {
        let seconds: &[&'static str] = match roles {
            Roles::All | Roles::Split => &[],
            Roles::Pairs => &["api-2", "admin-2"],
        };
        let mut chosen = Self {
            ports: Vec::new(),
            leases: Vec::new(),
        };
        for &name in ["api", "admin", SANDBOX].iter().chain(seconds) {
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

    /// Where the second process of a role listens instead.
    fn of_the_second(&self, settings: &mut [(String, String)]) {
        for (name, value) in settings {
            match name.as_str() {
                "TICKET_API_LISTEN" => *value = self.address("api-2"),
                "TICKET_ADMIN_LISTEN" => *value = self.address("admin-2"),
                _ => {}
            }
        }
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
