//! One test's part of the shared servers: a namespace, a topic prefix, and operators that look at them only.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ticket_bus::{BusAdmin, BusConfig};
use ticket_core::names::TopicPrefix;
use ticket_core::{EventId, EventName, StockShardId};
use ticket_crds::{ConditionType, EventStatus, Phase, TicketEvent};
use ticket_ledger::{Ledger, LedgerConfig};
use ticket_operator::{Config, Faults, LeaseConfig};
use ticket_stock::{StockConfig, StockStore};
use ticket_telemetry::{Health, LogFormat};
use ticket_testkit::{Product, ProductOptions, StartOptions, shared};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything. An idle machine needs a tenth.
const DEADLINE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) kubernetes: kube::Config,
    pub(crate) namespace: String,
    pub(crate) database_url: String,
    pub(crate) prefix: TopicPrefix,
    pub(crate) ledger: Ledger,
    pub(crate) stock: StockStore,
    pub(crate) bus: BusAdmin,
    pub(crate) redis_url: String,
    pub(crate) brokers: String,
}

/// An operator in this process.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Stops it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub(crate) async fn kubernetes() -> kube::Config {
    drop(rustls::crypto::ring::default_provider().install_default());
    let found = Kubeconfig::read_from(shared().await.kubeconfig()).unwrap();
    kube::Config::from_custom_kubeconfig(found, &KubeConfigOptions::default())
        .await
        .unwrap()
}

/// A client for an API server that knows our kinds.
pub(crate) async fn client() -> Client {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let client = Client::try_from(kubernetes().await).unwrap();
    INSTALLED.get_or_init(|| install(client.clone())).await;
    client
}

async fn install(client: Client) {
    // Shown by the test runner for tests that fail.
    drop(ticket_telemetry::init(
        "operator-test",
        "info,kube=warn",
        LogFormat::Text,
    ));
    for file in ["event.yaml", "shardrebalance.yaml"] {
        define(client.clone(), file).await;
    }
}

async fn define(client: Client, file: &str) {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
    let text = std::fs::read_to_string(crds.join(file)).unwrap();
    let definition: Value = serde_saphyr::from_str(&text).unwrap();
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
    let params = PatchParams::apply("ticket-operator-test").force();
    api.patch(&name, &params, &Patch::Apply(&definition))
        .await
        .unwrap();
    until("the definition is established", async || {
        let status = api.get(&name).await.unwrap().status?;
        let conditions = status.conditions.unwrap_or_default();
        conditions
            .iter()
            .any(|c| c.type_ == "Established" && c.status == "True")
            .then_some(())
    })
    .await;
}

/// Looks until there is an answer.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(began.elapsed() < DEADLINE, "waited too long until {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One for all tests: an event's name has its namespace, and each test has its own. Making one costs seconds.
static DATABASE: OnceCell<String> = OnceCell::const_new();

async fn new_database() -> String {
    let url = shared().await.new_database().await.unwrap();
    let ledger = Ledger::connect(&LedgerConfig::new(&url.as_str().into())).unwrap();
    ledger.migrate().await.unwrap();
    url
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(DATABASE.get_or_init(new_database).await.clone()).await
    }

    /// With a ledger of its own, for tests in which more than the operator looks at it.
    pub(crate) async fn alone() -> Self {
        Self::over(new_database().await).await
    }

    /// With a ledger of its own on Citus; `None`, and a word about it, if there is no Citus.
    pub(crate) async fn on_citus() -> Option<Self> {
        let world = Self::alone().await;
        if world.ledger.is_distributed().await.unwrap() {
            return Some(world);
        }
        eprintln!("skipped: this PostgreSQL has no Citus");
        None
    }

    /// Over a ledger that the test brings.
    pub(crate) async fn over(database_url: String) -> Self {
        let shared = shared().await;
        let client = client().await;
        let ledger = Ledger::connect(&LedgerConfig::new(&database_url.as_str().into())).unwrap();
        let brokers = shared.kafka_brokers().to_owned();
        Self {
            client,
            kubernetes: kubernetes().await,
            namespace: shared.new_namespace().await.unwrap(),
            prefix: TopicPrefix(shared.topic_prefix()),
            ledger,
            stock: StockStore::connect(&StockConfig::new(shared.redis_url()))
                .await
                .unwrap(),
            bus: BusAdmin::connect(&BusConfig::new(&brokers, "operator-test")).unwrap(),
            redis_url: shared.redis_url().to_owned(),
            brokers,
            database_url,
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            kubernetes: self.kubernetes.clone(),
            namespace: Some(self.namespace.clone()),
            rebalances: None,
            ledger: LedgerConfig::new(&self.database_url.as_str().into()),
            kafka: BusConfig::new(&self.brokers, "ticket-operator"),
            kafka_prefix: self.prefix.clone(),
            stock: StockConfig::new(&self.redis_url),
            lease: None,
            faults: Faults::default(),
        }
    }

    /// Starts one role of the runtime as a process.
    pub(crate) async fn role(&self, role: &str) -> Product {
        let env = [
            ("TICKET_DATABASE_URL", &self.database_url),
            ("TICKET_KAFKA_BROKERS", &self.brokers),
            ("TICKET_KAFKA_PREFIX", &self.prefix.0),
            ("TICKET_REDIS_URL", &self.redis_url),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.clone()));
        let options = ProductOptions::runtime(role, env.to_vec());
        Product::start(StartOptions::own(role).unwrap(), options)
            .await
            .unwrap()
    }

    /// Somebody takes the row of a stock shard out of the ledger.
    pub(crate) async fn lose_stock(&self, shard: StockShardId) {
        let mut connection = PgConnection::connect(&self.database_url).await.unwrap();
        let done = sqlx::query("DELETE FROM stock_shards WHERE stock_shard_id = $1")
            .bind(shard.get())
            .execute(&mut connection)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    /// Reasons of the Kubernetes events about this Event so far.
    pub(crate) async fn told(&self, name: &str) -> Vec<String> {
        let api: Api<KubernetesEvent> = Api::namespaced(self.client.clone(), &self.namespace);
        let said = api.list(&ListParams::default()).await.unwrap().items;
        let about = |event: &KubernetesEvent| {
            let regarding = event.regarding.as_ref();
            regarding.and_then(|it| it.name.as_deref()) == Some(name)
        };
        let said = said.into_iter().filter(about);
        said.filter_map(|event| event.reason).collect()
    }

    /// Starts an operator.
    pub(crate) fn start(&self) -> Running {
        Self::run(self.config())
    }

    pub(crate) fn start_with_lease(&self, identity: &str) -> Running {
        let lease = LeaseConfig {
            namespace: self.namespace.clone(),
            name: "operator".to_owned(),
            identity: identity.to_owned(),
        };
        Self::run(Config {
            lease: Some(lease),
            ..self.config()
        })
    }

    pub(crate) fn run(config: Config) -> Running {
        let stop = CancellationToken::new();
        let task = tokio::spawn(ticket_operator::run(
            config,
            Health::default(),
            stop.clone(),
        ));
        Running { stop, task }
    }

    /// Lets an operator die after `effects` effects. `false`: it had less to do than that, and was stopped.
    pub(crate) async fn run_and_kill(
        &self,
        effects: usize,
        is_done: impl AsyncFn() -> bool,
    ) -> bool {
        let faults = Faults::kill_after(effects);
        let mut running = Self::run(Config {
            faults,
            ..self.config()
        });
        let began = Instant::now();
        loop {
            if running.task.is_finished() {
                let ended = (&mut running.task).await.unwrap();
                assert_eq!(ended.unwrap_err().to_string(), "killed by a fault");
                return true;
            }
            if is_done().await {
                // Perhaps it is killed while it stops; it is done all the same.
                running.stop.cancel();
                drop(running.task.await.unwrap());
                return false;
            }
            assert!(
                began.elapsed() < DEADLINE,
                "neither killed nor done after {effects} effects"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) fn events(&self) -> Api<TicketEvent> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// 300 tickets in 3 stock shards, on sale.
    pub(crate) fn event(&self, name: &str) -> Value {
        json!({
            "apiVersion": "ticketctl.io/v1alpha1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": {
                "title": "Coldplay, Jakarta",
                "sales": { "opensAt": "2025-01-01T00:00:00Z", "closesAt": "2099-01-01T00:00:00Z" },
                "categories": [
                    { "name": "vip", "price": { "currency": "IDR", "amountMinor": 250 }, "quantity": 200, "stockShards": 2 },
                    { "name": "standing", "price": { "currency": "IDR", "amountMinor": 75 }, "quantity": 100 },
                ],
            },
        })
    }

    pub(crate) async fn create(&self, object: Value) -> TicketEvent {
        let event: TicketEvent = serde_json::from_value(object).unwrap();
        self.events()
            .create(&PostParams::default(), &event)
            .await
            .unwrap()
    }

    pub(crate) async fn change(&self, name: &str, patch: Value) -> TicketEvent {
        let params = PatchParams::default();
        self.events()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap()
    }

    pub(crate) async fn get(&self, name: &str) -> Option<TicketEvent> {
        self.events().get_opt(name).await.unwrap()
    }

    /// Deletes the resource and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.events()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        self.gone(name).await;
    }

    /// Deletes a resource that no operator looks at any more.
    pub(crate) async fn delete_unmanaged(&self, name: &str) {
        self.change(name, json!({ "metadata": { "finalizers": null } }))
            .await;
        self.delete(name).await;
    }

    pub(crate) async fn gone(&self, name: &str) {
        until("the resource is gone", async || {
            self.get(name).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits until the status of the newest generation satisfies `is_wanted`.
    pub(crate) async fn status(
        &self,
        name: &str,
        what: &str,
        is_wanted: impl Fn(&EventStatus) -> bool,
    ) -> EventStatus {
        until(what, async || {
            let event = self.get(name).await?;
            let generation = event.metadata.generation;
            let status = event.status?;
            (status.observed_generation == generation && is_wanted(&status)).then_some(status)
        })
        .await
    }

    /// Message of a condition of this Event.
    pub(crate) fn message(status: &EventStatus, which: ConditionType) -> &str {
        let of = |c: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            c.type_ == which.as_str()
        };
        &status.conditions.iter().find(of).unwrap().message
    }

    /// Waits until the Event is Ready and in `phase`.
    pub(crate) async fn ready(&self, name: &str, phase: Phase) -> EventStatus {
        self.status(name, "it is ready", |status| {
            is(status, ConditionType::Ready) == Some("True") && status.phase == Some(phase)
        })
        .await
    }

    pub(crate) fn name(&self, name: &str) -> EventName {
        EventName::new(&self.namespace, name).unwrap()
    }

    pub(crate) fn topic(&self, name: &str, status: &EventStatus) -> String {
        self.prefix.order_log(&self.name(name), id(status))
    }

    /// All that an Event of [`World::event`] needs is there, once.
    pub(crate) async fn assert_complete(&self, name: &str, status: &EventStatus) {
        let id = id(status);
        let row = self.ledger.event(id).await.unwrap().unwrap();
        assert!(row.is_open && !row.is_closed);
        let stock = self.ledger.stock(id).await.unwrap();
        let capacities: Vec<(&str, i64, i32)> = stock
            .iter()
            .map(|shard| {
                (
                    shard.category.as_str(),
                    shard.counts.capacity,
                    shard.partition,
                )
            })
            .collect();
        assert_eq!(
            capacities,
            [("vip", 100, 0), ("vip", 100, 1), ("standing", 100, 2)]
        );
        let topic = self
            .bus
            .topic(&self.topic(name, status))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(topic.partitions, 3);
        assert_eq!(topic.config["retention.ms"], "86400000");
        assert_eq!(self.stock.state(id).await.unwrap(), Some(row.epoch));
        for category in &row.categories {
            let there: i64 = self
                .stock
                .counts(id, &category.name)
                .await
                .unwrap()
                .iter()
                .map(|(_, units)| units)
                .sum();
            assert_eq!(there, i64::try_from(category.quantity).unwrap());
        }
    }
}

pub(crate) fn id(status: &EventStatus) -> EventId {
    EventId(status.event_id.as_ref().unwrap().parse().unwrap())
}

/// Status of a condition.
pub(crate) fn is(status: &EventStatus, which: ConditionType) -> Option<&str> {
    let found = status
        .conditions
        .iter()
        .find(|c| c.type_ == which.as_str())?;
    Some(&found.status)
}

/// Reason of a condition.
pub(crate) fn reason(status: &EventStatus, which: ConditionType) -> Option<&str> {
    let found = status
        .conditions
        .iter()
        .find(|c| c.type_ == which.as_str())?;
    Some(&found.reason)
}

pub(crate) fn version(event: &TicketEvent) -> String {
    event.resource_version().unwrap()
}
