//! What each role starts, top to bottom: clients, tasks, drain with a deadline.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ticket_bus::{
    BatchHandler, BusAdmin, BusConfig, ConsumerConfig, PartitionedConsumer, Producer,
    ProducerConfig, Replication, Tail, TopicPartition, TopicSpec,
};
use ticket_core::names::{ORDER_EVENTS_PARTITIONS, OUTSIDE_PARTITIONS, TopicPrefix};
use ticket_ledger::Ledger;
use ticket_payments::sandbox::{self, SandboxConfig};
use ticket_payments::{StripeClient, StripeConfig};
use ticket_stock::StockStore;
use ticket_telemetry::settings::Sources;
use ticket_telemetry::{Health, Metrics, Supervisor, chain, shutdown, trace};
use ticket_warmup::Warmer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::admin::AdminParts;
use crate::api::{self, Api, ApiParts, Positions, Waiters};
use crate::audit::Rounds;
use crate::catalog::Catalog;
use crate::config::{Config, Role, Settings, need};
use crate::gauges::Gauges;
use crate::jwks::{Ages, KeySet, KeySource};
use crate::keeper::{Reaper, Watch};
use crate::notifier::NotifierHandler;
use crate::payments::{Payments, PaymentsParts};
use crate::processor::{Expiry, PartitionProcessor, Shared, StoreHealth};
use crate::secrets::Secrets;
use crate::sync::{ChangesHandler, RelayHandler, ResellerHandler, SyncParts};

/// How often Kafka and Redis are asked whether they are there.
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// Orders have been gathered before they come to the producer: it waits for what the same batch brings, and no longer.
const ORDERS_LINGER: Duration = Duration::from_millis(2);

/// The facts of a ledger call are one record already; those of calls that end together may share a batch.
const FACTS_LINGER: Duration = Duration::from_millis(1);

/// How long a message to systems outside may be under way. Longer than a broker's restart: messages that are given up one by
/// one may leave a gap that a later message has passed.
const OUTSIDE_DELIVERY_DEADLINE: Duration = Duration::from_mins(1);

/// Runs `role` until a signal.
///
/// # Errors
/// A missing setting, a server that refuses us for good, or a task that ended early.
pub async fn run(role: Role, config: Config) -> anyhow::Result<()> {
    let Config { cli, sources } = config;
    let settings = cli.settings;
    let traces = match settings.process.traces() {
        Some(traces) => Some(trace::install(role.service(), &traces)?),
        None => None,
    };
    let ended = match role {
        Role::Migrate => migrate(&settings).await,
        Role::Sandbox => run_sandbox(settings).await,
        Role::Api
        | Role::Admin
        | Role::Processor
        | Role::Payments
        | Role::Keeper
        | Role::Notifier
        | Role::Sync
        | Role::All => serve(role, settings, &sources).await,
    };
    if let Some(traces) = traces {
        traces.close().await;
    }
    ended
}

async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let ledger = ledger(settings, Role::Migrate)?;
    let migrated = ledger.migrate().await?;
    info!(citus = migrated.citus, "the ledger's schema is up to date");
    Ok(())
}

async fn run_sandbox(settings: Settings) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let role = Role::Sandbox;
    let listen = need(
        settings.sandbox.sandbox_listen.as_ref(),
        "TICKET_SANDBOX_LISTEN",
        role,
    )?;
    let url = need(
        settings.sandbox.webhook_url.as_ref(),
        "TICKET_WEBHOOK_URL",
        role,
    )?;
    let secret = settings.payments.webhook_secret.first();
    let secret = need(secret, "TICKET_WEBHOOK_SECRET", role)?;
    let config = SandboxConfig {
        listen,
        webhook_url: url,
        webhook_secret: secret,
    };
    sandbox::serve(config, stop).await?;
    Ok(())
}

fn ledger(settings: &Settings, role: Role) -> anyhow::Result<Ledger> {
    Ok(Ledger::connect(&settings.ledger(role)?)?)
}

async fn bind(address: std::net::SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{what} cannot listen on {address}"))
}

/// The clients that every serving role has.
struct Clients {
    ledger: Ledger,
    stock: StockStore,
    bus: BusConfig,
    log: Producer,
    kafka: BusAdmin,
    prefix: TopicPrefix,
    secrets: Secrets,
    catalog: Arc<Catalog>,
    health: Health,
    stop: CancellationToken,
}

impl Clients {
    async fn connect(role: Role, settings: &Settings) -> anyhow::Result<Self> {
        let bus = settings.bus(role)?;
        let ledger = ledger(settings, role)?;
        let prefix = settings.kafka.prefix();
        Ok(Self {
            stock: StockStore::connect(&settings.stock(role)?).await?,
            log: Producer::new(&bus, &ProducerConfig::default())?,
            kafka: BusAdmin::connect(&bus)?,
            catalog: Catalog::new(ledger.clone()),
            // `roles` says that all of this process is up, its listeners too.
            health: Health::new(&["ledger", "store", "log", "roles"]),
            stop: shutdown::on_signal()?,
            secrets: Secrets::new(settings),
            ledger,
            bus,
            prefix,
        })
    }
}

impl Clients {
    fn warmer(&self) -> Warmer {
        Warmer::new(self.ledger.clone(), self.stock.clone(), self.log.clone())
    }
}

/// Who holds a lock or a turn: a name that no other process has, also on another host.
fn holder(role: &str) -> String {
    let number: u32 = rand::random();
    format!("{role}/{}/{number:08x}", std::process::id())
}

async fn serve(role: Role, settings: Settings, sources: &Sources) -> anyhow::Result<()> {
    let metrics = Metrics::install()?;
    let clients = Clients::connect(role, &settings).await?;
    let stop = clients.stop.clone();
    let mut tasks = Supervisor::new(stop.clone());
    let Clients { ledger, stock, .. } = &clients;
    let secrets = &clients.secrets;
    let rotation = secrets.follow(sources, &settings, role, ledger, stock);
    let every = settings.process.secrets_look_every();
    tasks.start("secrets", endless(rotation.run(every, stop.clone())));

    if let Some(listen) = settings.process.metrics_listen {
        let listener = bind(listen, "metrics").await?;
        let serve =
            ticket_telemetry::serve(listener, clients.health.clone(), metrics, stop.clone());
        tasks.start("metrics", serve);
    }
    tasks.start(
        "probe",
        probe(
            clients.stock.clone(),
            clients.kafka.clone(),
            clients.health.clone(),
            stop.clone(),
        ),
    );
    let catalog = clients.catalog.clone();
    tasks.start(
        "catalog",
        endless(catalog.run(clients.health.clone(), stop.clone())),
    );
    // The ledger is down: wait, readiness says so. Whoever is asked now would take every event for one that does not exist.
    tokio::select! {
        () = clients.stop.cancelled() => anyhow::bail!("stopped before the ledger was there"),
        () = clients.catalog.first_read() => {}
    }
    let order_events = clients.prefix.order_events();
    ensure_topic(&clients, &settings, order_events, ORDER_EVENTS_PARTITIONS).await?;

    if role.does(Role::Api) {
        start_api(&mut tasks, &clients, &settings, role).await?;
    }
    if role.does(Role::Admin) {
        start_admin(&mut tasks, &clients, &settings, role).await?;
    }
    if role.does(Role::Processor) {
        start_processor(&mut tasks, &clients, &settings)?;
    }
    if role.does(Role::Payments) {
        start_payments(&mut tasks, &clients, &settings, role)?;
    }
    if role.does(Role::Keeper) {
        let Clients {
            catalog,
            stock,
            ledger,
            log,
            ..
        } = &clients;
        let reaper = Reaper::new(catalog.clone(), stock.clone(), log.clone());
        tasks.start("reaper", endless(reaper.run(stop.clone())));
        let watch = Watch::new(
            ledger.clone(),
            stock.clone(),
            clients.warmer(),
            holder("keeper"),
        );
        tasks.start("keeper", endless(watch.run(stop.clone())));
        let gauges = Gauges {
            catalog: clients.catalog.clone(),
            ledger: clients.ledger.clone(),
            stock: clients.stock.clone(),
            kafka: clients.kafka.clone(),
            prefix: clients.prefix.clone(),
        };
        tasks.start("gauges", endless(gauges.run(stop.clone())));
    }
    if role.does(Role::Notifier) {
        start_notifier(&mut tasks, &clients, &settings).await?;
    }
    if role.does(Role::Sync) {
        start_sync(&mut tasks, &clients, &settings).await?;
    }
    clients.health.set("roles", Ok::<(), String>(()));
    drop(clients);
    tasks.finish_within(settings.process.drain_deadline()).await
}

/// A task that only ends with the process.
async fn endless(task: impl Future<Output = ()>) -> anyhow::Result<()> {
    task.await;
    Ok(())
}

/// Readiness follows what Redis and Kafka answer now.
async fn probe(
    stock: StockStore,
    kafka: BusAdmin,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        // With causes: whether a server is away, or does not let us in, is what a person wants to know.
        let store = stock.ping().await;
        health.set("store", store.map_err(|error| chain(&error).to_string()));
        let log = kafka.ping().await;
        health.set("log", log.map_err(|error| chain(&error).to_string()));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PROBE_EVERY) => {}
        }
    }
}

/// A topic that several processes use is made by whoever comes first. Answers with the partitions that it has. Kafka down:
/// wait, readiness says so.
async fn ensure_topic(
    clients: &Clients,
    settings: &Settings,
    name: String,
    partitions: u32,
) -> anyhow::Result<u32> {
    let copies = Replication::Copies(settings.topics.kafka_replication);
    let spec = TopicSpec::new(name, partitions, copies);
    loop {
        match clients.kafka.ensure_topic(&spec).await {
            Ok(topic) => return Ok(topic.partitions),
            Err(error) if error.class() == ticket_core::ErrorClass::Permanent => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::warn!(error = %ticket_telemetry::chain(&error), code = error.code(), topic = spec.name, "topic not there yet");
            }
        }
        tokio::select! {
            () = clients.stop.cancelled() => anyhow::bail!("stopped before Kafka was there"),
            () = tokio::time::sleep(PROBE_EVERY) => {}
        }
    }
}

/// Follows a topic that is there. A broker that does not answer, or has not heard of a topic that another has just made: wait.
async fn follow(clients: &Clients, topic: &str) -> anyhow::Result<Tail> {
    loop {
        match Tail::follow(&clients.bus, topic).await {
            Ok(tail) => return Ok(tail),
            Err(error) if error.class() == ticket_core::ErrorClass::Permanent => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::warn!(error = %ticket_telemetry::chain(&error), code = error.code(), topic, "topic cannot be followed yet");
            }
        }
        tokio::select! {
            () = clients.stop.cancelled() => anyhow::bail!("stopped before {topic} could be followed"),
            () = tokio::time::sleep(PROBE_EVERY) => {}
        }
    }
}

async fn start_api(
    tasks: &mut Supervisor,
    clients: &Clients,
    settings: &Settings,
    role: Role,
) -> anyhow::Result<()> {
    let listen = need(
        settings.buyers.api_listen.as_ref(),
        "TICKET_API_LISTEN",
        role,
    )?;
    let stop = clients.stop.clone();
    let buyers = &settings.buyers;
    let keys = buyers.buyer_jwks.clone().map(KeySource::at);
    let keys = keys.map(|source| key_set(tasks, "buyer-keys", source, &stop));
    let positions = Positions::new(clients.kafka.clone(), clients.prefix.group("processor"));
    let waiters = Arc::new(Waiters::default());
    let tail = follow(clients, &clients.prefix.order_events()).await?;
    tasks.start("positions", endless(positions.clone().run(stop.clone())));
    tasks.start("waiters", waiters.clone().run(tail, stop.clone()));
    let orders = ProducerConfig {
        linger: ORDERS_LINGER,
        ..ProducerConfig::default()
    };
    let api = Api::new(ApiParts {
        catalog: clients.catalog.clone(),
        stock: clients.stock.clone(),
        ledger: clients.ledger.clone(),
        log: Producer::new(&clients.bus, &orders)?,
        buyer_jwt_key: clients.secrets.buyer_jwt.clone(),
        buyer_keys: keys.transpose()?,
        settings: buyers.clone(),
        webhook_secrets: clients.secrets.webhooks.clone(),
        provider: match settings.payments.payments_url {
            Some(_) => Some(provider(settings, role)?),
            None => None,
        },
        waiters,
        positions,
        health: clients.health.clone(),
        stop: stop.clone(),
    });
    let listener = bind(listen, "the buyer API").await?;
    info!(%listen, "buyer API listens");
    tasks.start("api", api::serve(api, listener, stop));
    Ok(())
}

/// A set of keys that is kept fresh.
fn key_set(
    tasks: &mut Supervisor,
    name: &'static str,
    source: KeySource,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<KeySet>> {
    let keys = KeySet::new(source, Ages::default())?;
    tasks.start(name, endless(keys.clone().run(stop.clone())));
    Ok(keys)
}

async fn start_admin(
    tasks: &mut Supervisor,
    clients: &Clients,
    settings: &Settings,
    role: Role,
) -> anyhow::Result<()> {
    let listen = need(
        settings.admin.admin_listen.as_ref(),
        "TICKET_ADMIN_LISTEN",
        role,
    )?;
    let (admin, stop) = (&settings.admin, &clients.stop);
    let source = admin.admin_jwks.clone().map(|location| KeySource {
        location,
        ca_file: admin.admin_jwks_ca_file.clone(),
        token_file: admin.admin_jwks_token_file.clone(),
    });
    let keys = source.map(|source| key_set(tasks, "admin-keys", source, stop));
    let provider = provider(settings, role)?;
    let listener = bind(listen, "the admin API").await?;
    info!(%listen, "admin API listens");
    let rounds = Rounds {
        catalog: clients.catalog.clone(),
        ledger: clients.ledger.clone(),
        stock: clients.stock.clone(),
        kafka: clients.kafka.clone(),
        bus: clients.bus.clone(),
        prefix: clients.prefix.clone(),
        provider: provider.clone(),
        every: admin.audit_every(),
        holder: holder("admin"),
    };
    tasks.start("audit", endless(rounds.run(stop.clone())));
    let parts = AdminParts {
        catalog: clients.catalog.clone(),
        ledger: clients.ledger.clone(),
        stock: clients.stock.clone(),
        log: clients.log.clone(),
        warmer: clients.warmer(),
        kafka: clients.kafka.clone(),
        bus: clients.bus.clone(),
        prefix: clients.prefix.clone(),
        provider,
        manager_token: clients.secrets.manager.clone(),
        viewer_token: clients.secrets.viewer.clone(),
        keys: keys.transpose()?,
        settings: admin.clone(),
        health: clients.health.clone(),
        stop: clients.stop.clone(),
    };
    tasks.start("admin", crate::admin::serve(parts, listener));
    Ok(())
}

fn start_processor(
    tasks: &mut Supervisor,
    clients: &Clients,
    settings: &Settings,
) -> anyhow::Result<()> {
    let stop = clients.stop.clone();
    let facts = ProducerConfig {
        linger: FACTS_LINGER,
        ..ProducerConfig::default()
    };
    let expiry = Arc::new(Expiry::default());
    let shared = Arc::new(Shared {
        catalog: clients.catalog.clone(),
        ledger: clients.ledger.clone(),
        stock: clients.stock.clone(),
        log: Producer::new(&clients.bus, &facts)?,
        order_events: clients.prefix.order_events(),
        expiry: expiry.clone(),
        store: StoreHealth::default(),
    });
    let group = clients.prefix.group("processor");
    let mut config = ConsumerConfig::new(clients.bus.clone(), group, clients.catalog.topics());
    settings.processor.limit(&mut config);
    let handler = move |source| PartitionProcessor::new(shared.clone(), source);
    tasks.start(
        "processor",
        PartitionedConsumer::run(config, handler, stop.clone()),
    );
    let Clients {
        ledger,
        catalog,
        log,
        ..
    } = clients;
    let look = expiry.run(ledger.clone(), catalog.clone(), log.clone(), stop);
    tasks.start("expiry", endless(look));
    Ok(())
}

fn start_payments(
    tasks: &mut Supervisor,
    clients: &Clients,
    settings: &Settings,
    role: Role,
) -> anyhow::Result<()> {
    let (payments, reconciler) = Payments::new(PaymentsParts {
        provider: provider(settings, role)?,
        catalog: clients.catalog.clone(),
        ledger: clients.ledger.clone(),
        log: clients.log.clone(),
        policy: settings.payments.complaint_policy,
        per_second: settings.payments.payments_per_second.get(),
        stop: clients.stop.clone(),
    });
    let (_never_changes, topics) = watch::channel(vec![clients.prefix.order_events()]);
    let group = clients.prefix.group("payments");
    let config = ConsumerConfig::new(clients.bus.clone(), group, topics);
    let handler = move |source: TopicPartition| payments.handler(source);
    let stop = clients.stop.clone();
    tasks.start(
        "payments",
        PartitionedConsumer::run(config, handler, stop.clone()),
    );
    tasks.start("overdue payments", endless(reconciler.run(stop)));
    Ok(())
}

async fn start_notifier(
    tasks: &mut Supervisor,
    clients: &Clients,
    settings: &Settings,
) -> anyhow::Result<()> {
    let topic = clients.prefix.notifications();
    let partitions = ensure_topic(clients, settings, topic.clone(), OUTSIDE_PARTITIONS).await?;
    let log = outside_producer(clients)?;
    let handler = move |_| NotifierHandler::new(log.clone(), topic.clone(), partitions);
    let facts = clients.prefix.order_events();
    start_outside(tasks, clients, "notifier", facts, handler);
    Ok(())
}

async fn start_sync(
    tasks: &mut Supervisor,
    clients: &Clients,
    settings: &Settings,
) -> anyhow::Result<()> {
    let prefix = &clients.prefix;
    let ensure = |topic| ensure_topic(clients, settings, topic, OUTSIDE_PARTITIONS);
    let (changes, facts) = (prefix.stock_changes(), prefix.stock_facts());
    let changes_partitions = ensure(changes.clone()).await?;
    let facts_partitions = ensure(facts.clone()).await?;
    ensure(prefix.reseller_stock()).await?;

    let log = outside_producer(clients)?;
    let (own_log, to) = (log.clone(), facts.clone());
    let relay = move |_| RelayHandler::new(own_log.clone(), to.clone(), facts_partitions);
    start_outside(tasks, clients, "sync-relay", prefix.order_events(), relay);

    let parts = SyncParts {
        ledger: clients.ledger.clone(),
        catalog: clients.catalog.clone(),
        log,
        topic: changes,
        partitions: changes_partitions,
    };
    let own = parts.clone();
    let writer = move |source: TopicPartition| ChangesHandler::new(own.clone(), source.topic);
    start_outside(tasks, clients, "sync-changes", facts, writer);

    let reader = move |source: TopicPartition| ResellerHandler::new(parts.clone(), source.topic);
    start_outside(
        tasks,
        clients,
        "sync-reseller",
        prefix.reseller_stock(),
        reader,
    );
    Ok(())
}

fn outside_producer(clients: &Clients) -> anyhow::Result<Producer> {
    let patient = ProducerConfig {
        delivery_deadline: OUTSIDE_DELIVERY_DEADLINE,
        ..ProducerConfig::default()
    };
    Ok(Producer::new(&clients.bus, &patient)?)
}

/// A consumer of one topic that nobody waits for at a counter.
fn start_outside<H: BatchHandler>(
    tasks: &mut Supervisor,
    clients: &Clients,
    name: &'static str,
    topic: String,
    handler: impl Fn(TopicPartition) -> H + Send + Sync + 'static,
) {
    let (_never_changes, topics) = watch::channel(vec![topic]);
    let config = ConsumerConfig::new(clients.bus.clone(), clients.prefix.group(name), topics);
    let stop = clients.stop.clone();
    tasks.start(name, PartitionedConsumer::run(config, handler, stop));
}

fn provider(settings: &Settings, role: Role) -> anyhow::Result<Arc<StripeClient>> {
    let url = need(
        settings.payments.payments_url.as_ref(),
        "TICKET_PAYMENTS_URL",
        role,
    )?;
    let mut config = StripeConfig::new(url);
    config
        .secret_key
        .clone_from(&settings.payments.payments_key);
    config.payments_per_second = settings.payments.payments_per_second;
    Ok(Arc::new(StripeClient::new(config)?))
}
