//! A sale of its own on the shared servers: what the operator does for an `Event`, and the runtime's processes.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use ticket_bus::{BusAdmin, BusConfig, Replication, TopicSpec};
use ticket_core::names::TopicPrefix;
use ticket_core::{
    CategoryName, Currency, Epoch, EventId, EventName, Money, StockCounts, StockSource, clock,
};
use ticket_ledger::{
    Adopted, CategoryRow, EventClaim, EventRow, Ledger, LedgerConfig, NewStockShard,
};
use ticket_stock::{Seed, SeedCategory, Seeded, StockConfig, StockError, StockStore};
use ticket_testkit::{
    Binary, PostgresServer, Product, ProductOptions, RedisCluster, RedisServer, Shared,
    StartOptions, lease_port, run_to_end, shared, unique,
};

use crate::between::Between;

pub(crate) const JWT_SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_of_the_tests";
/// While a secret is replaced there are two.
pub(crate) const SECOND_WEBHOOK_SECRET: &str = "whsec_of_tomorrow";
pub(crate) const MANAGER: &str = "manager-token";
pub(crate) const VIEWER: &str = "viewer-token";

/// Longest wait for something that happens by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the sale is made.
pub(crate) struct Terms {
    pub(crate) quantity: u32,
    pub(crate) shards: u32,
    pub(crate) hold_for_s: u32,
    pub(crate) max_per_buyer: u32,
    /// A Redis of its own, to kill.
    pub(crate) own_redis: bool,
    /// A Redis Cluster of its own: three primaries, and a replica behind each.
    pub(crate) own_cluster: bool,
    /// A ledger of its own, to kill.
    pub(crate) own_postgres: bool,
    /// Between runtime and sandbox, to make the provider fail.
    pub(crate) between: Option<Between>,
    /// More settings of the runtime; one without a value is left out.
    pub(crate) settings: Vec<(&'static str, Option<String>)>,
    pub(crate) stock_source: StockSource,
    /// A process for each, to kill.
    pub(crate) roles: &'static [&'static str],
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            quantity: 100,
            shards: 2,
            hold_for_s: 600,
            max_per_buyer: 4,
            own_redis: false,
            own_cluster: false,
            own_postgres: false,
            between: None,
            settings: Vec::new(),
            stock_source: StockSource::Spec,
            roles: &["all"],
        }
    }
}

/// A sale of one category, `seat`, with the runtime (in one process unless told otherwise) and a sandbox of its own.
pub(crate) struct Sale {
    pub(crate) name: String,
    pub(crate) id: EventId,
    pub(crate) api: String,
    pub(crate) admin: String,
    pub(crate) payments: String,
    /// Where the metrics of its first process are.
    pub(crate) metrics: String,
    /// What that logs.
    pub(crate) log: PathBuf,
    /// The process of its first role.
    pub(crate) runtime: Product,
    /// Those of the others.
    beside: Vec<(&'static str, Product)>,
    pub(crate) redis: Option<RedisServer>,
    pub(crate) cluster: Option<RedisCluster>,
    pub(crate) postgres: Option<PostgresServer>,
    pub(crate) ledger: Ledger,
    pub(crate) stock: StockStore,
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) database: String,
    /// Before every topic.
    pub(crate) prefix: String,
    http: Client,
    _sandbox: Product,
}

/// The Redis servers that the sale has for itself, if it wants any.
async fn own_stores(terms: &Terms) -> (Option<RedisServer>, Option<RedisCluster>) {
    let mut redis = None;
    if terms.own_redis {
        let options = StartOptions::own("redis").unwrap();
        redis = Some(RedisServer::start(options).await.unwrap());
    }
    let mut cluster = None;
    if terms.own_cluster {
        cluster = Some(RedisCluster::start("redis-cluster", 3, 1).await.unwrap());
    }
    (redis, cluster)
}

/// The ledger's server, if the sale has one for itself, and a new database.
async fn ledger_server(terms: &Terms, servers: &Shared) -> (Option<PostgresServer>, String) {
    if !terms.own_postgres {
        return (None, servers.new_database().await.unwrap());
    }
    let options = StartOptions::own("postgres").unwrap();
    let own = PostgresServer::start(options).await.unwrap();
    let database = own.create_database("ledger").await.unwrap();
    (Some(own), database)
}

impl Sale {
    pub(crate) async fn open(terms: Terms) -> Self {
        // Only the first test of the process installs it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let servers = shared().await;
        let (postgres, database) = ledger_server(&terms, servers).await;
        let prefix = servers.topic_prefix();
        let brokers = servers.kafka_brokers().to_owned();
        let (redis, cluster) = own_stores(&terms).await;
        let redis_url = match (&redis, &cluster) {
            (Some(redis), _) => redis.url().to_owned(),
            (None, Some(cluster)) => cluster.url(),
            (None, None) => servers.redis_url().to_owned(),
        };
        let env = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let migrate = env(&[("TICKET_DATABASE_URL", &database)]);
        run_to_end(Binary::Runtime, &["migrate"], &migrate)
            .await
            .unwrap();

        let ledger = Ledger::connect(&LedgerConfig::new(&database.clone().into())).unwrap();
        let mut config = StockConfig::new(redis_url.clone());
        config.is_cluster = cluster.is_some();
        let stock = StockStore::connect(&config).await.unwrap();
        let (name, id, topic) = make_event(&terms, &ledger, &stock, &brokers, &prefix).await;

        let api_port = lease_port().unwrap();
        let admin_port = lease_port().unwrap();
        let api = format!("127.0.0.1:{}", api_port.port());
        let webhooks = format!("http://{api}/v1/webhooks/stripe");
        let sandbox = env(&[
            ("TICKET_WEBHOOK_URL", &webhooks),
            ("TICKET_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ]);
        let own = |name: &str| StartOptions::own(name).unwrap();
        let sandbox = ProductOptions::sandbox(sandbox);
        let sandbox = Product::start(own("sandbox"), sandbox).await.unwrap();
        let payments = sandbox.url();
        let provider = match &terms.between {
            Some(between) => between.serve(&payments).await,
            None => payments.clone(),
        };
        let secrets = format!("{WEBHOOK_SECRET},{SECOND_WEBHOOK_SECRET}");
        let settings = env(&[
            ("TICKET_DATABASE_URL", &database),
            ("TICKET_KAFKA_BROKERS", &brokers),
            ("TICKET_KAFKA_PREFIX", &prefix),
            ("TICKET_REDIS_URL", &redis_url),
            ("TICKET_REDIS_CLUSTER", &cluster.is_some().to_string()),
            ("TICKET_API_LISTEN", &api),
            (
                "TICKET_ADMIN_LISTEN",
                &format!("127.0.0.1:{}", admin_port.port()),
            ),
            ("TICKET_BUYER_JWT_SECRET", JWT_SECRET),
            ("TICKET_ADMIN_TOKEN", MANAGER),
            ("TICKET_ADMIN_VIEWER_TOKEN", VIEWER),
            ("TICKET_PAYMENTS_URL", &provider),
            ("TICKET_WEBHOOK_SECRET", &secrets),
        ]);
        let admin = format!("http://127.0.0.1:{}", admin_port.port());
        let (log, runtime, beside) = start_roles(&terms, settings).await;
        // Until here, so that no other test takes them first.
        drop((api_port, admin_port));
        let api = format!("http://{api}");
        let http = Client::new();
        let sale = Self {
            name,
            id,
            api,
            admin,
            payments,
            metrics: runtime.url(),
            log,
            runtime,
            beside,
            redis,
            cluster,
            postgres,
            ledger,
            stock,
            brokers,
            topic,
            database,
            prefix,
            http,
            _sandbox: sandbox,
        };
        sale.until("the event is on sale", async || {
            sale.http
                .get(format!("{}/v1/events/{}", sale.api, sale.name))
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        sale
    }

    /// The process of a role beside the first.
    pub(crate) fn process(&mut self, role: &str) -> &mut Product {
        let found = self.beside.iter_mut().find(|(known, _)| *known == role);
        &mut found.unwrap().1
    }

    /// Waits until `holds`, and fails with `what` if it never does.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFnMut() -> bool) {
        self.within(PATIENCE, what, holds).await;
    }

    /// Waits until `holds`, at most for `limit`.
    pub(crate) async fn within(
        &self,
        limit: Duration,
        what: &str,
        mut holds: impl AsyncFnMut() -> bool,
    ) {
        let begun = std::time::Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < limit, "never: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Changes the ledger as nobody ever should.
    pub(crate) async fn meddle(&self, statement: &'static str) {
        use sqlx::Connection;
        let mut database = sqlx::PgConnection::connect(&self.database).await.unwrap();
        sqlx::raw_sql(statement)
            .execute(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
    }

    /// Makes every read of an order fail for good, as no operator ever should.
    pub(crate) async fn spoil_orders(&self) {
        self.meddle("ALTER TABLE orders RENAME COLUMN updated_at TO spoiled")
            .await;
    }

    /// Nobody decides or reads an order until the connection is closed.
    pub(crate) async fn hold_ledger(&self) -> sqlx::PgConnection {
        use sqlx::Connection;
        let mut database = sqlx::PgConnection::connect(&self.database).await.unwrap();
        let hold = "BEGIN; LOCK TABLE stock_shards, orders IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(hold).execute(&mut database).await.unwrap();
        database
    }

    /// What the runtime has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.api))
    }

    /// A call of the admin API.
    pub(crate) fn ask(&self, method: reqwest::Method, path: &str, token: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/admin/v1{path}", self.admin))
            .bearer_auth(token)
    }

    /// A place as `buyer` with `key`.
    pub(crate) fn place(&self, buyer: &str, key: &str, quantity: i64) -> RequestBuilder {
        self.request(
            reqwest::Method::POST,
            &format!("/v1/events/{}/orders", self.name),
        )
        .bearer_auth(token(buyer))
        .header("Idempotency-Key", key)
        .json(&json!({ "category": "seat", "quantity": quantity }))
    }

    pub(crate) async fn order(&self, buyer: &str, id: &str) -> Value {
        let get = self.request(reqwest::Method::GET, &format!("/v1/orders/{id}"));
        json(get.bearer_auth(token(buyer)).send().await.unwrap(), 200).await
    }

    /// Waits until the order is in `state`; answers with the order.
    pub(crate) async fn order_until(&self, buyer: &str, id: &str, state: &str) -> Value {
        self.until(&format!("{id} is {state}"), async || {
            self.order(buyer, id).await["state"] == state
        })
        .await;
        self.order(buyer, id).await
    }

    /// Places, waits until it can be paid; answers with the order.
    pub(crate) async fn awaiting(&self, buyer: &str, key: &str, quantity: i64) -> Value {
        let placed = json(self.place(buyer, key, quantity).send().await.unwrap(), 202).await;
        let id = placed["id"].as_str().unwrap();
        self.order_until(buyer, id, "awaiting_payment").await
    }

    /// Confirms the order's payment as the buyer's browser does.
    pub(crate) async fn pay(&self, order: &Value, method: &str) -> Response {
        let payment = &order["payment"];
        let id = payment["id"].as_str().unwrap();
        let secret = payment["client_secret"].as_str().unwrap();
        self.http
            .post(format!("{}/v1/payment_intents/{id}/confirm", self.payments))
            .form(&[("client_secret", secret), ("payment_method", method)])
            .send()
            .await
            .unwrap()
    }

    /// Gives money back as a person does at the provider's own dashboard: not for any order.
    pub(crate) async fn refund_at_the_dashboard(&self, payment: &str, amount: i64) {
        let url = format!("{}/v1/refunds", self.payments);
        let form = [
            ("payment_intent", payment.to_owned()),
            ("amount", amount.to_string()),
        ];
        let answer = self.http.post(url).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Makes the last change of every order older than it is, as if the runtime had been away for so long.
    pub(crate) async fn age(&self, hours: i64) {
        use sqlx::Connection;
        let mut database = sqlx::PgConnection::connect(&self.database).await.unwrap();
        // A moment and no sum with the column: Citus refuses that in an UPDATE.
        let then = clock::now() - SignedDuration::from_hours(hours);
        sqlx::query("UPDATE orders SET updated_at = $1::text::timestamptz")
            .bind(then.to_string())
            .execute(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
    }

    /// What the sandbox does to webhooks from now on.
    pub(crate) async fn faults(&self, faults: Value) {
        let url = format!("{}/sandbox/faults", self.payments);
        let answer = self.http.post(url).json(&faults).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// What the sandbox has under `path`: one page of payments or refunds.
    pub(crate) async fn at_provider(&self, path: &str) -> Vec<Value> {
        let url = format!("{}{path}?limit=100", self.payments);
        let page = json(self.http.get(url).send().await.unwrap(), 200).await;
        page["data"].as_array().unwrap().clone()
    }

    /// The sum of the ledger's counters, and the units in the store.
    pub(crate) async fn counts(&self) -> (StockCounts, i64) {
        self.counts_now().await.unwrap()
    }

    async fn counts_now(&self) -> Result<(StockCounts, i64), StockError> {
        let mut sum = StockCounts::default();
        for shard in self.ledger.stock(self.id).await.unwrap() {
            assert!(shard.counts.is_conserved(), "{shard:?}");
            sum += shard.counts;
        }
        let category = CategoryName::new("seat").unwrap();
        let store = self.stock.counts(self.id, &category).await?;
        Ok((sum, store.iter().map(|(_, units)| units).sum()))
    }

    /// Waits until ledger and store have these counts.
    pub(crate) async fn counts_until(&self, available: i64, held: i64, sold: i64) {
        let wanted = (available, held, sold, available);
        let mut seen = (0, 0, 0, 0);
        let begun = std::time::Instant::now();
        while seen != wanted {
            assert!(begun.elapsed() < PATIENCE, "{seen:?} instead of {wanted:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            // A client that has not spoken since Redis died learns of it by its first call.
            if let Ok((ledger, store)) = self.counts_now().await {
                seen = (ledger.available, ledger.held, ledger.sold, store);
            }
        }
    }

    /// Changes the event's row, as the operator would, and waits until the API knows.
    pub(crate) async fn change(&self, sale: &str, change: impl FnOnce(&mut EventRow)) {
        let mut row = self.ledger.event(self.id).await.unwrap().unwrap();
        change(&mut row);
        self.ledger.write_event(&row).await.unwrap();
        self.until(&format!("the sale is {sale}"), async || {
            let path = format!("/v1/events/{}", self.name);
            let event = self
                .request(reqwest::Method::GET, &path)
                .send()
                .await
                .unwrap();
            json(event, 200).await["sale"] == sale
        })
        .await;
    }
}

/// The log and the process of the first role, and the processes of the others.
async fn start_roles(
    terms: &Terms,
    mut settings: Vec<(String, String)>,
) -> (PathBuf, Product, Vec<(&'static str, Product)>) {
    for (name, value) in &terms.settings {
        settings.retain(|(known, _)| known != name);
        settings.extend(value.clone().map(|value| ((*name).to_owned(), value)));
    }
    let own = |role: &str| StartOptions::own(&format!("runtime-{role}")).unwrap();
    let options = |role| ProductOptions::runtime(role, settings.clone());
    let (first, others) = terms.roles.split_first().unwrap();
    let start = own(first);
    let log = start.home.log(&start.name);
    let runtime = Product::start(start, options(first)).await.unwrap();
    let mut beside = Vec::new();
    for role in others {
        let process = Product::start(own(role), options(role)).await;
        beside.push((*role, process.unwrap()));
    }
    (log, runtime, beside)
}

async fn make_event(
    terms: &Terms,
    ledger: &Ledger,
    stock: &StockStore,
    brokers: &str,
    prefix: &str,
) -> (String, EventId, String) {
    let name: EventName = format!("tests.{}", unique("sale")).parse().unwrap();
    let now = clock::now();
    let owner = "the-resource".to_owned();
    let claim = EventClaim {
        name: name.clone(),
        owner_uid: owner.clone(),
        owner_created_at: now,
    };
    let Adopted::Owned { event, .. } = ledger.adopt_event(&claim).await.unwrap() else {
        panic!("the name is new")
    };
    let topic = TopicPrefix(prefix.to_owned()).order_log(&name, event);
    let admin = BusAdmin::connect(&BusConfig::new(brokers, "tests")).unwrap();
    let spec = TopicSpec::new(topic.clone(), terms.shards, Replication::Copies(1));
    admin.create_topic(&spec).await.unwrap();

    let seat = CategoryName::new("seat").unwrap();
    let price = Money {
        currency: Currency::new("EUR").unwrap(),
        amount_minor: 1_500,
    };
    let category = CategoryRow {
        name: seat.clone(),
        price,
        quantity: u64::from(terms.quantity),
    };
    let day = SignedDuration::from_hours(24);
    let mut row = EventRow {
        id: event,
        name: name.clone(),
        owner_uid: Some(owner),
        title: "A test".to_owned(),
        topic: topic.clone(),
        partitions: terms.shards,
        opens_at: now - day,
        closes_at: now + day,
        paused: false,
        is_open: false,
        is_closed: false,
        hold_for_s: terms.hold_for_s,
        processing_for_s: 3_600,
        max_per_buyer: terms.max_per_buyer,
        admission_per_second: 0,
        stock_source: terms.stock_source,
        epoch: Epoch::FIRST,
        change: 0,
        categories: vec![category],
        shards: Vec::new(),
    };
    ledger.write_event(&row).await.unwrap();

    let ids = ledger
        .allocate_shard_ids(terms.shards as usize)
        .await
        .unwrap();
    let capacity = terms.quantity / terms.shards;
    let shards: Vec<NewStockShard> = (0_i32..)
        .zip(&ids)
        .map(|(number, id)| NewStockShard {
            id: *id,
            category: seat.clone(),
            partition: number,
            capacity,
        })
        .collect();
    ledger.create_stock_shards(event, 0, &shards).await.unwrap();
    let seed = ledger.seed_view(event).await.unwrap().unwrap();
    let categories = seed.categories.into_iter();
    let categories = categories.map(|c| SeedCategory {
        name: c.name,
        shards: c.shards,
    });
    let seed = Seed {
        event,
        epoch: seed.epoch,
        max_per_buyer: terms.max_per_buyer,
        categories: categories.collect(),
        staged: 0,
    };
    assert_eq!(stock.seed(&seed).await.unwrap(), Seeded::Armed);
    row.is_open = true;
    ledger.write_event(&row).await.unwrap();
    (name.to_string(), event, topic)
}

pub(crate) fn token(buyer: &str) -> String {
    sign(
        buyer,
        clock::now() + SignedDuration::from_hours(1),
        JWT_SECRET,
    )
}

pub(crate) fn sign(buyer: &str, expires: Timestamp, secret: &str) -> String {
    let claims = json!({ "sub": buyer, "exp": expires.as_second() });
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

/// The body as JSON, if the status is the expected one.
pub(crate) async fn json(response: Response, status: u16) -> Value {
    let got = response.status();
    let body = response.text().await.unwrap();
    assert_eq!(got, status, "{body}");
    serde_json::from_str(&body).unwrap()
}
