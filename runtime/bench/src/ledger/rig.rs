//! Servers of its own, and events to sell on them. Everything ends with this process.

use anyhow::Context as _;
use jiff::{Span, Timestamp};
use ticket_bus::{BusAdmin, BusConfig, Producer, ProducerConfig, Replication, TopicSpec};
use ticket_core::names::{ORDER_EVENTS_PARTITIONS, TopicPrefix};
use ticket_core::{CategoryName, Currency, Epoch, EventId, EventName, Money, StockShardId, clock};
use ticket_ledger::{
    Adopted, CategoryRow, EventClaim, EventRow, Ledger, LedgerConfig, NewStockShard,
};
use ticket_stock::{Seed, SeedCategory, Seeded, StockConfig, StockStore};
use ticket_testkit::{
    Citus, Home, KafkaServer, PostgresServer, Product, ProductOptions, RedisServer, Server,
    StartOptions,
};
use uuid::Uuid;

use crate::cpu;

/// Before every topic and group of the rig.
const PREFIX: &str = "bench.";

/// Name of the one category.
const CATEGORY: &str = "standing";

/// The servers, and clients for them.
pub struct Rig {
    home: Home,
    postgres: PostgresServer,
    kafka: KafkaServer,
    redis: RedisServer,
    /// A database with the ledger's schema.
    pub(super) database_url: String,
    pub(super) ledger: Ledger,
    stock: StockStore,
    pub(super) bus: BusConfig,
    pub(super) topics: BusAdmin,
    pub(super) log: Producer,
    prefix: TopicPrefix,
}

/// An event whose stock nobody has touched.
#[derive(Debug, Clone)]
pub(super) struct HotEvent {
    pub(super) id: EventId,
    pub(super) topic: String,
    /// Stock shard n is on partition n.
    pub(super) shards: Vec<StockShardId>,
}

/// CPU time that each server has used.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuUsed {
    pub(super) postgres: std::time::Duration,
    pub(super) kafka: std::time::Duration,
    pub(super) redis: std::time::Duration,
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
        let log = Producer::new(&bus, &ProducerConfig::default())?;
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
            kafka,
            redis,
            database_url,
            ledger,
            stock,
            bus,
            topics,
            log,
            prefix,
        })
    }

    /// Does the ledger run on Citus?
    #[must_use]
    pub fn is_citus(&self) -> bool {
        self.postgres.is_citus()
    }

    /// A database of the same server without any of our tables.
    pub(super) async fn empty_database(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.postgres.create_database(name).await?)
    }

    /// Where Redis is.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        self.redis.url()
    }

    /// Where the ledger is.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    pub(super) fn order_events(&self) -> String {
        self.prefix.order_events()
    }

    pub(super) fn processors(&self) -> String {
        self.prefix.group("processor")
    }

    /// Makes an event with `shards` stock shards of `units` tickets each, topic and seed included, as the operator does.
    pub(super) async fn event(&self, shards: u16, units: u32) -> anyhow::Result<HotEvent> {
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
        let partitions = u32::from(shards);
        self.topics
            .create_topic(&TopicSpec::new(
                &topic,
                partitions,
                Replication::BrokerDefault,
            ))
            .await?;
        let category = CategoryName::new(CATEGORY)?;
        let ids = self.ledger.allocate_shard_ids(usize::from(shards)).await?;
        let new: Vec<_> = ids
            .iter()
            .zip(0_i32..)
            .map(|(&id, partition)| NewStockShard {
                id,
                category: category.clone(),
                partition,
                capacity: units,
            })
            .collect();
        let row = EventRow {
            id,
            name,
            owner_uid: Some(unique),
            title: "benchmark".to_owned(),
            topic: topic.clone(),
            partitions,
            opens_at: now - Span::new().hours(1),
            closes_at: Timestamp::MAX - Span::new().hours(48),
            paused: false,
            is_open: true,
            is_closed: false,
            hold_for_s: 600,
            processing_for_s: 86_400,
            max_per_buyer: 0,
            admission_per_second: 0,
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
                shards: ids.iter().map(|&id| (id, i64::from(units))).collect(),
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
            topic,
            shards: ids,
        })
    }

    /// Starts a processor; it begins at once with whatever the logs have.
    pub(super) async fn processor(&self, batch_max: u32) -> anyhow::Result<Product> {
        let env = [
            ("TICKET_DATABASE_URL", self.database_url.clone()),
            ("TICKET_KAFKA_BROKERS", self.kafka.brokers().to_owned()),
            ("TICKET_KAFKA_PREFIX", PREFIX.to_owned()),
            ("TICKET_REDIS_URL", self.redis.url().to_owned()),
            ("TICKET_CONSUMER_MAX_BATCH", batch_max.to_string()),
            ("TICKET_LOG", "warn".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let options = StartOptions::within(self.home.clone(), "processor");
        let started = Product::start(options, ProductOptions::runtime("processor", env)).await;
        started.context("the processor did not start")
    }

    /// CPU time of the servers since they were started.
    pub(super) fn cpu_used(&self) -> anyhow::Result<CpuUsed> {
        let mut postgres = cpu_of(self.postgres.server())?;
        for worker in self.postgres.workers() {
            postgres += cpu_of(worker)?;
        }
        Ok(CpuUsed {
            postgres,
            kafka: cpu_of(self.kafka.server())?,
            redis: cpu_of(self.redis.server())?,
        })
    }
}

/// CPU time of a server since it was started.
pub(super) fn cpu_of(server: &Server) -> anyhow::Result<std::time::Duration> {
    cpu::of_tree(server.identity().context("a server does not run")?.pid)
}
