//! Servers of its own, events to sell on them, and our own processes in front of them. Everything ends with this process.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{Span, Timestamp};
use sqlx::{Connection as _, PgConnection};
use ticket_bus::{BusAdmin, BusConfig, Producer, ProducerConfig, Replication, TopicSpec};
use ticket_core::names::{ORDER_EVENTS_PARTITIONS, TopicPrefix};
use ticket_core::{
    Adjustment, CategoryName, Currency, Epoch, EventId, EventName, Money, ShardStock, StockShardId,
    StockSource, clock,
};
use ticket_ledger::{
    Adopted, CategoryRow, EventClaim, EventRow, Ledger, LedgerConfig, NewStockShard,
};
use ticket_stock::{Seed, SeedCategory, Seeded, StockConfig, StockStore};
use ticket_testkit::{
    Citus, Home, KafkaServer, PortLease, PostgresServer, Product, ProductOptions, RedisServer,
    Server, StartOptions, lease_port,
};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::time::sleep;
use uuid::Uuid;

use crate::cpu;
use crate::load::Buyers;

/// Before every topic and group of the rig.
const PREFIX: &str = "bench.";

/// Name of the one category of every event.
pub(crate) const CATEGORY: &str = "standing";

/// Shared secret of the buyers' tokens (HS256).
pub(crate) const BUYER_SECRET: &str = "bench-0123456789abcdef0123456789";

/// Distinct buyers. They come again after their turn, with another order.
const BUYERS: u32 = 50_000;

/// Signs the provider's webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "bench-webhook-0123456789abcdef";

/// Events that are made or taken away at the same time: each is a few round trips to servers that like company.
const EVENTS_AT_ONCE: usize = 24;

/// How long a record of a log that is filled may be under way: a producer that meets a thousand new topics asks for each of
/// them first.
const DELIVERY_DEADLINE: Duration = Duration::from_mins(1);

/// Records of a batch of a log that is filled: nobody waits for any of them.
const FILL_BATCH_RECORDS_MAX: usize = 10_000;

/// How long a process that is ready may take to listen.
const LISTEN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Between two tries to connect to it.
const LISTEN_LOOK_EVERY: Duration = Duration::from_millis(20);

/// The servers, and clients for them.
pub struct Rig {
    home: Home,
    postgres: PostgresServer,
    brokers: String,
    redis_url: String,
    // Behind locks, because a measure may kill them.
    kafka: Mutex<KafkaServer>,
    redis: Mutex<RedisServer>,
    /// A database with the ledger's schema.
    pub(crate) database_url: String,
    pub(crate) ledger: Ledger,
    pub(crate) stock: StockStore,
    pub(crate) bus: BusConfig,
    pub(crate) topics: BusAdmin,
    pub(crate) log: Producer,
    prefix: TopicPrefix,
    buyers: OnceCell<Buyers>,
}

/// An event whose stock nobody has touched.
#[derive(Debug, Clone)]
pub(crate) struct HotEvent {
    pub(crate) id: EventId,
    pub(crate) name: EventName,
    pub(crate) topic: String,
    /// Partitions of its order log.
    pub(crate) partitions: u16,
    /// Stock shard n is on partition n modulo partitions.
    pub(crate) shards: Vec<StockShardId>,
    /// Tickets over all stock shards.
    pub(crate) units: u64,
}

impl HotEvent {
    /// The stock shards, each with its partition.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (StockShardId, i32)> + '_ {
        let partitions = (0..i32::from(self.partitions)).cycle();
        self.shards.iter().copied().zip(partitions)
    }
}

/// The buyer API, running.
pub(crate) struct Api {
    pub(crate) product: Product,
    /// Where it answers buyers, on 127.0.0.1.
    pub(crate) port: u16,
    // Until it is gone nobody else may take its port.
    _lease: PortLease,
}

/// CPU time that each server has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuUsed {
    pub(crate) postgres: Duration,
    pub(crate) kafka: Duration,
    pub(crate) redis: Duration,
}

impl Rig {
    /// Starts the database, Kafka and Redis, with their data in a folder of their own.
    pub async fn start(citus: Citus) -> anyhow::Result<Self> {
        let home = Home::own("bench").context("no folder for the servers")?;
        let options = |name: &str| StartOptions::within(home.clone(), name);
        let (postgres, kafka, redis) = tokio::try_join!(
            PostgresServer::start_with(options("postgres"), Vec::new(), citus),
            KafkaServer::start(options("kafka")),
            RedisServer::start(options("redis")),
        )
        .context("a server did not start")?;
        let database_url = postgres.create_database("ledger").await?;
        let ledger = Ledger::connect(&LedgerConfig::new(&database_url.clone().into()))?;
        ledger.migrate().await?;
        let stock = StockStore::connect(&StockConfig::new(redis.url())).await?;
        let bus = BusConfig::new(kafka.brokers(), "bench");
        let topics = BusAdmin::connect(&bus)?;
        let log = Producer::new(
            &bus,
            &ProducerConfig {
                delivery_deadline: DELIVERY_DEADLINE,
                batch_records_max: FILL_BATCH_RECORDS_MAX,
                ..ProducerConfig::default()
            },
        )?;
        let prefix = TopicPrefix(PREFIX.to_owned());
        let spec = TopicSpec::new(
            prefix.order_events(),
            ORDER_EVENTS_PARTITIONS,
            Replication::BrokerDefault,
        );
        topics.ensure_topic(&spec).await?;
        Ok(Self {
            home,
            postgres,
            brokers: kafka.brokers().to_owned(),
            redis_url: redis.url().to_owned(),
            kafka: Mutex::new(kafka),
            redis: Mutex::new(redis),
            database_url,
            ledger,
            stock,
            bus,
            topics,
            log,
            prefix,
            buyers: OnceCell::new(),
        })
    }

    /// Does the ledger run on Citus?
    #[must_use]
    pub fn is_citus(&self) -> bool {
        self.postgres.is_citus()
    }

    /// A database of the same server without any of our tables.
    pub(crate) async fn empty_database(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.postgres.create_database(name).await?)
    }

    /// Where Redis is.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Redis itself, for whoever breaks it. It must be whole again when the guard is dropped.
    pub(crate) async fn redis(&self) -> MutexGuard<'_, RedisServer> {
        self.redis.lock().await
    }

    /// Kafka itself, in the same way.
    pub(crate) async fn kafka(&self) -> MutexGuard<'_, KafkaServer> {
        self.kafka.lock().await
    }

    /// Where the ledger is.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    pub(crate) fn order_events(&self) -> String {
        self.prefix.order_events()
    }

    pub(crate) fn processors(&self) -> String {
        self.prefix.group("processor")
    }

    /// Everybody who buys, signed once for all measures.
    pub(crate) async fn buyers(&self) -> anyhow::Result<&Buyers> {
        let sign = || Buyers::sign(BUYER_SECRET, BUYERS);
        self.buyers.get_or_try_init(sign).await
    }

    /// Makes an event with `shards` stock shards of `units` tickets each, each on a partition of its own.
    pub(crate) async fn event(&self, shards: u16, units: u32) -> anyhow::Result<HotEvent> {
        self.event_on(shards, shards, units).await
    }

    /// Makes `count` events as [`Rig::event_on`] does, many at the same time.
    pub(crate) async fn events(
        &self,
        count: usize,
        shards: u16,
        partitions: u16,
        units: u32,
    ) -> anyhow::Result<Vec<HotEvent>> {
        stream::iter(0..count)
            .map(|_| self.event_on(shards, partitions, units))
            .buffer_unordered(EVENTS_AT_ONCE)
            .try_collect()
            .await
    }

    /// Makes an event with `shards` stock shards of `units` tickets each, spread over `partitions` partitions, topic and
    /// seed included, as the operator does.
    pub(crate) async fn event_on(
        &self,
        shards: u16,
        partitions: u16,
        units: u32,
    ) -> anyhow::Result<HotEvent> {
        let unique = Uuid::new_v4().simple().to_string();
        let name = EventName::new("bench", &format!("e-{}", &unique[..12]))?;
        let now = clock::now();
        let claim = EventClaim {
            name: name.clone(),
            owner_uid: unique.clone(),
            owner_created_at: now,
        };
        let Adopted::Owned { event: id, .. } = self.ledger.adopt_event(&claim).await? else {
            anyhow::bail!("a fresh name belongs to somebody else");
        };
        let topic = self.prefix.order_log(&name, id);
        self.topics
            .create_topic(&TopicSpec::new(
                &topic,
                u32::from(partitions),
                Replication::BrokerDefault,
            ))
            .await?;
        let category = CategoryName::new(CATEGORY)?;
        let ids = self.ledger.allocate_shard_ids(usize::from(shards)).await?;
        let new: Vec<_> = ids
            .iter()
            .zip((0..i32::from(partitions)).cycle())
            .map(|(&id, partition)| NewStockShard {
                id,
                category: category.clone(),
                partition,
                capacity: units,
            })
            .collect();
        let row = EventRow {
            id,
            name: name.clone(),
            owner_uid: Some(unique),
            title: "benchmark".to_owned(),
            topic: topic.clone(),
            partitions: u32::from(partitions),
            opens_at: now - Span::new().hours(1),
            closes_at: Timestamp::MAX - Span::new().hours(48),
            paused: false,
            is_open: true,
            is_closed: false,
            hold_for_s: 600,
            processing_for_s: 86_400,
            max_per_buyer: 0,
            admission_per_second: 0,
            stock_source: StockSource::Spec,
            epoch: Epoch::FIRST,
            change: 0,
            categories: vec![CategoryRow {
                name: category.clone(),
                price: Money {
                    currency: Currency::new("IDR")?,
                    amount_minor: 100,
                },
                quantity: u64::from(units) * u64::from(shards),
            }],
            shards: Vec::new(),
        };
        self.ledger.write_event(&row).await?;
        self.ledger.create_stock_shards(id, 0, &new).await?;
        let seed = Seed {
            event: id,
            epoch: Epoch::FIRST,
            max_per_buyer: 0,
            categories: vec![SeedCategory {
                name: category,
                shards: ids
                    .iter()
                    .map(|&shard| ShardStock {
                        shard,
                        available: units.into(),
                        capacity: units.into(),
                        adjustment: Adjustment::NONE,
                    })
                    .collect(),
            }],
            staged: 0,
        };
        let seeded = self.stock.seed(&seed).await?;
        anyhow::ensure!(
            seeded == Seeded::Armed,
            "the stock store was not seeded: {seeded:?}"
        );
        Ok(HotEvent {
            id,
            name,
            topic,
            partitions,
            shards: ids,
            units: u64::from(units) * u64::from(shards),
        })
    }

    /// Takes events out of the platform's sight, so that what was measured with them does not cost what is measured next:
    /// log, catalog and store. Their orders stay. No process of ours may run.
    pub(crate) async fn retire(&self, events: &[HotEvent]) -> anyhow::Result<()> {
        let failed = "could not retire an event";
        let ids: Vec<Uuid> = events.iter().map(|event| event.id.0).collect();
        let mut connection = self.connection().await?;
        sqlx::query("DELETE FROM events WHERE event_id = ANY($1)")
            .bind(&ids)
            .execute(&mut connection)
            .await
            .context(failed)?;
        connection.close().await.context(failed)?;
        let category = [CategoryName::new(CATEGORY)?];
        stream::iter(events)
            .map(|event| async {
                self.topics.delete_topic(&event.topic).await?;
                self.stock.close(event.id, &category).await?;
                anyhow::Ok(())
            })
            .buffer_unordered(EVENTS_AT_ONCE)
            .try_collect()
            .await
            .context(failed)
    }

    /// Empties the ledger's largest table, so that every size starts alike. Only for measures that run after all others.
    pub(crate) async fn forget_orders(&self) -> anyhow::Result<()> {
        let failed = "could not empty the table of orders";
        let mut connection = self.connection().await?;
        for statement in ["TRUNCATE orders", "CHECKPOINT"] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .context(failed)?;
        }
        connection.close().await.context(failed)
    }

    /// Tickets of these events that the ledger's counters hold or have sold, and whether law 1 holds on every stock shard.
    pub(crate) async fn taken_units(&self, events: &[HotEvent]) -> anyhow::Result<(i64, bool)> {
        let failed = "could not read the counters";
        let mut connection = self.connection().await?;
        let counted = sqlx::query_as(
            "SELECT coalesce(sum(held + sold), 0)::bigint, \
                 count(*) = $2 AND coalesce(bool_and(capacity = available + held + sold \
                     AND least(available, held, sold) >= 0), false) \
             FROM stock_shards WHERE stock_shard_id = ANY($1)",
        )
        .bind(shard_ids(events))
        .bind(i64::try_from(shard_ids(events).len())?)
        .fetch_one(&mut connection)
        .await
        .context(failed)?;
        connection.close().await.context(failed)?;
        Ok(counted)
    }

    /// Rows of these events that hold or have bought their tickets, and the tickets.
    pub(crate) async fn rows(&self, events: &[HotEvent]) -> anyhow::Result<(i64, i64)> {
        let failed = "could not count the rows";
        let mut connection = self.connection().await?;
        let counted = sqlx::query_as(
            "SELECT count(*), coalesce(sum(quantity), 0)::bigint FROM orders \
             WHERE stock_shard_id = ANY($1) AND state IN (1, 3)",
        )
        .bind(shard_ids(events))
        .fetch_one(&mut connection)
        .await
        .context(failed)?;
        connection.close().await.context(failed)?;
        Ok(counted)
    }

    /// Tickets of an event that were taken from the stock store.
    pub(crate) async fn taken(&self, event: &HotEvent) -> anyhow::Result<u64> {
        let counts = self
            .stock
            .counts(event.id, &CategoryName::new(CATEGORY)?)
            .await?;
        let left: i64 = counts.iter().map(|(_, left)| left).sum();
        let left = u64::try_from(left).context("the stock store has fewer than no tickets")?;
        event
            .units
            .checked_sub(left)
            .context("the stock store has more tickets than there are")
    }

    /// Records of an event's log that no processor has committed.
    pub(crate) async fn waiting(&self, event: &HotEvent) -> anyhow::Result<i64> {
        let topics = [event.topic.clone()];
        let lag = self.topics.lag(&self.processors(), &topics).await?;
        // Nothing was ever committed: everything waits.
        Ok(lag.iter().map(|at| at.lag().unwrap_or(at.end)).sum())
    }

    async fn connection(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(&self.database_url)
            .await
            .context("no connection to the ledger")
    }

    /// Starts the buyer API, with a thread for each of its cores, and waits until it is ready.
    pub(crate) async fn api(&self) -> anyhow::Result<Api> {
        self.start_api(None).await
    }

    /// As [`Self::api`], with so many threads.
    pub(crate) async fn api_with_threads(&self, threads: u32) -> anyhow::Result<Api> {
        let threads = ("TOKIO_WORKER_THREADS".to_owned(), threads.to_string());
        self.start_api(Some(threads)).await
    }

    async fn start_api(&self, more: Option<(String, String)>) -> anyhow::Result<Api> {
        let lease = lease_port().context("no port for the buyer API")?;
        let port = lease.port();
        let mut env = self.settings();
        env.extend([
            ("TICKET_API_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            (
                "TICKET_BUYER_JWT_SECRET".to_owned(),
                BUYER_SECRET.to_owned(),
            ),
            (
                "TICKET_WEBHOOK_SECRET".to_owned(),
                WEBHOOK_SECRET.to_owned(),
            ),
        ]);
        env.extend(more);
        let options = StartOptions::within(self.home.clone(), "api");
        let product = Product::start(options, ProductOptions::runtime("api", env))
            .await
            .context("the buyer API did not start")?;
        listens(port).await?;
        Ok(Api {
            product,
            port,
            _lease: lease,
        })
    }

    /// What every process of ours is told.
    fn settings(&self) -> Vec<(String, String)> {
        [
            ("TICKET_DATABASE_URL", self.database_url.clone()),
            ("TICKET_KAFKA_BROKERS", self.brokers.clone()),
            ("TICKET_KAFKA_PREFIX", PREFIX.to_owned()),
            ("TICKET_REDIS_URL", self.redis_url.clone()),
            ("TICKET_LOG", "warn".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Starts a processor; it begins at once with whatever the logs have. `batch_max` is its
    /// `TICKET_CONSUMER_MAX_BATCH`.
    pub(crate) async fn processor(&self, batch_max: u32) -> anyhow::Result<Product> {
        let batch = (
            "TICKET_CONSUMER_MAX_BATCH".to_owned(),
            batch_max.to_string(),
        );
        self.start_processor(Some(batch)).await
    }

    /// Starts a processor as a user would, with all limits left to it.
    pub(crate) async fn default_processor(&self) -> anyhow::Result<Product> {
        self.start_processor(None).await
    }

    async fn start_processor(&self, setting: Option<(String, String)>) -> anyhow::Result<Product> {
        let mut env = self.settings();
        env.extend(setting);
        let options = StartOptions::within(self.home.clone(), "processor");
        let started = Product::start(options, ProductOptions::runtime("processor", env)).await;
        started.context("the processor did not start")
    }

    /// Starts a keeper: it warms up what is cold and asks after what nobody decided.
    pub(crate) async fn keeper(&self) -> anyhow::Result<Product> {
        let options = StartOptions::within(self.home.clone(), "keeper");
        let started = Product::start(options, ProductOptions::runtime("keeper", self.settings()));
        started.await.context("the keeper did not start")
    }

    /// Starts the operator over the API server of `kubeconfig`, with a ledger and topics that nobody else has.
    pub(crate) async fn operator(&self, home: &Home, kubeconfig: &str) -> anyhow::Result<Product> {
        let url = self.postgres.create_database("operator").await?;
        Ledger::connect(&LedgerConfig::new(&url.clone().into()))?
            .migrate()
            .await?;
        let mut env = self.settings();
        env.retain(|(name, _)| name != "TICKET_DATABASE_URL" && name != "TICKET_KAFKA_PREFIX");
        let more = [
            ("TICKET_DATABASE_URL", url.as_str()),
            ("TICKET_KAFKA_PREFIX", "operator."),
            ("KUBECONFIG", kubeconfig),
        ];
        env.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let options = StartOptions::within(home.clone(), "operator");
        let started = Product::start(options, ProductOptions::operator(env)).await;
        started.context("the operator did not start")
    }

    /// Stops every process of the database where it is: connections stay open, nothing is answered.
    pub(crate) fn pause_database(&self) -> anyhow::Result<()> {
        for node in self.database_nodes() {
            node.pause_all().context("could not pause the database")?;
        }
        Ok(())
    }

    /// Lets the database go on.
    pub(crate) fn resume_database(&self) -> anyhow::Result<()> {
        for node in self.database_nodes() {
            node.resume_all().context("could not resume the database")?;
        }
        Ok(())
    }

    fn database_nodes(&self) -> impl Iterator<Item = &Server> {
        [self.postgres.server()]
            .into_iter()
            .chain(self.postgres.workers())
    }

    /// CPU time of the servers since they were started.
    pub(crate) fn cpu_used(&self) -> anyhow::Result<CpuUsed> {
        let broken = "a server is broken at the moment, so its CPU time is not known";
        let mut postgres = Duration::ZERO;
        for node in self.database_nodes() {
            postgres += cpu_of(node)?;
        }
        Ok(CpuUsed {
            postgres,
            kafka: cpu_of(self.kafka.try_lock().context(broken)?.server())?,
            redis: cpu_of(self.redis.try_lock().context(broken)?.server())?,
        })
    }
}

/// All stock shards of some events.
fn shard_ids(events: &[HotEvent]) -> Vec<i64> {
    let shards = events.iter().flat_map(|event| &event.shards);
    shards.map(|shard| shard.get()).collect()
}

/// Waits until somebody takes connections on `port`: a role may say that it is ready a moment before it listens.
async fn listens(port: u16) -> anyhow::Result<()> {
    let started = Instant::now();
    while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        let is_over = started.elapsed() > LISTEN_WAIT_MAX;
        anyhow::ensure!(!is_over, "the buyer API does not listen: {error}");
        sleep(LISTEN_LOOK_EVERY).await;
    }
    Ok(())
}

/// CPU time of a server since it was started.
pub(crate) fn cpu_of(server: &Server) -> anyhow::Result<Duration> {
    cpu::of_tree(server.identity().context("a server does not run")?.pid)
}
