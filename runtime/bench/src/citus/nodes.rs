//! A plain server and a Citus cluster of a coordinator and three workers, and calls of the ledger on either.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::try_join_all;
use jiff::{Span, Timestamp};
use serde::Serialize;
use ticket_core::{
    BuyerId, CategoryName, Currency, Epoch, EventId, EventName, Money, OrderId, Place,
    StockShardId, StockSource, clock,
};
use ticket_ledger::{
    Adopted, CategoryRow, EventClaim, EventRow, Ledger, LedgerConfig, NewStockShard, Routing,
    ShardBatch,
};
use ticket_testkit::{Citus, Home, PostgresServer, Server, StartOptions, Tools};
use uuid::Uuid;

use super::Round;
use crate::cpu;
use crate::ledger::rig::{CATEGORY, cpu_of};

/// Workers of the cluster.
const WORKERS: u16 = 3;

/// Stock shards that are sold from at the same time: spread evenly over one, two and three workers.
pub(super) const STOCK_SHARDS: usize = 6;

/// Orders of one call, as a processor with much to do sends them.
pub(super) const BATCH_ORDERS: u32 = 1_000;

/// Stock shards that are made, so that every worker has enough of them: ids fall where their hash says.
const STOCK_SHARDS_MADE: usize = 90;

/// Tickets of each: more than all rounds sell.
const UNITS: u32 = 500_000_000;

/// How orders get to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// One server without Citus.
    Plain,
    /// Over the coordinator, rows on three workers.
    Coordinator,
    /// Straight to the owners, on so many workers.
    Owners(u16),
}

impl Way {
    /// In the order of a round.
    pub(super) const ALL: [Self; 5] = [
        Self::Plain,
        Self::Coordinator,
        Self::Owners(1),
        Self::Owners(2),
        Self::Owners(3),
    ];

    /// Workers that have the stock shards.
    const fn workers(self) -> u16 {
        match self {
            Self::Plain => 1,
            Self::Coordinator => WORKERS,
            Self::Owners(workers) => workers,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain PostgreSQL"),
            Self::Coordinator => write!(f, "Citus, coordinator, {WORKERS} workers"),
            Self::Owners(1) => f.write_str("Citus, owner, 1 worker"),
            Self::Owners(workers) => write!(f, "Citus, owners, {workers} workers"),
        }
    }
}

pub(super) fn is_citus_installed() -> bool {
    Tools.has_citus()
}

/// A database with an event that has stock.
struct Sale {
    event: EventId,
    owner: Ledger,
    coordinator: Ledger,
    /// By node.
    shards: BTreeMap<String, Vec<StockShardId>>,
}

/// Everything that runs.
pub(super) struct Clusters {
    plain: PostgresServer,
    cluster: PostgresServer,
    on_plain: Sale,
    on_cluster: Sale,
}

impl Clusters {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let home = Home::own("bench-citus").context("no folder for the clusters")?;
        let options = |name: String| StartOptions::within(home.clone(), &name);
        let workers = (1..=WORKERS)
            .map(|number| options(format!("citus-worker-{number}")))
            .collect();
        let (plain, cluster) = tokio::try_join!(
            PostgresServer::start_with(options("plain".to_owned()), Vec::new(), Citus::Never),
            PostgresServer::start_with(options("citus".to_owned()), workers, Citus::IfInstalled),
        )
        .context("a cluster did not start")?;
        anyhow::ensure!(cluster.is_citus(), "the cluster is not one of Citus");
        let on_plain = Sale::open(&plain.create_database("ledger").await?).await?;
        let on_cluster = Sale::open(&cluster.create_database("ledger").await?).await?;
        Ok(Self {
            plain,
            cluster,
            on_plain,
            on_cluster,
        })
    }

    /// Sells in one way for as long as it `lasts`; afterwards the ledger must hold what was sold.
    pub(super) async fn sell(&self, way: Way, lasts: Duration) -> anyhow::Result<Round> {
        let (sale, ledger, nodes) = match way {
            Way::Plain => (&self.on_plain, &self.on_plain.owner, nodes(&self.plain)),
            Way::Coordinator => {
                let sale = &self.on_cluster;
                (sale, &sale.coordinator, nodes(&self.cluster))
            }
            Way::Owners(_) => {
                let sale = &self.on_cluster;
                (sale, &sale.owner, nodes(&self.cluster))
            }
        };
        let shards = sale.spread_over(way.workers())?;
        let used = || -> anyhow::Result<(Duration, Duration)> {
            let mut all = Duration::ZERO;
            for node in &nodes {
                all += cpu_of(node)?;
            }
            Ok((all, cpu::of_tree(std::process::id())?))
        };
        let before = sale.held().await?;
        let (servers_before, us_before) = used()?;
        let started = Instant::now();
        let until = started + lasts;
        let callers = shards.into_iter().map(|shard| {
            let (ledger, event) = (ledger.clone(), sale.event);
            tokio::spawn(sell_from(ledger, event, shard, until))
        });
        let mut orders = 0;
        for sold in try_join_all(callers).await.context("a caller ended")? {
            orders += sold?;
        }
        let took = started.elapsed().as_secs_f64();
        let (servers_after, us_after) = used()?;
        let held = u64::try_from(sale.held().await? - before)?;
        anyhow::ensure!(
            held == orders,
            "{way}: {orders} orders were sold, the ledger holds {held}"
        );
        let count = f64::from(u32::try_from(orders)?);
        // The servers are children of this process.
        let servers = servers_after.saturating_sub(servers_before);
        let all = us_after.saturating_sub(us_before);
        let caller = all.saturating_sub(servers);
        Ok(Round {
            way,
            orders_per_s: count / took,
            us_per_order: servers.as_secs_f64() * 1e6 / count,
            caller_us_per_order: caller.as_secs_f64() * 1e6 / count,
        })
    }
}

fn nodes(postgres: &PostgresServer) -> Vec<&Server> {
    let workers = postgres.workers().iter();
    workers.chain([postgres.server()]).collect()
}

impl Sale {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let config = LedgerConfig::new(&url.into());
        let owner = Ledger::connect(&config)?;
        let coordinator = Ledger::connect(&LedgerConfig {
            routing: Routing::Coordinator,
            ..config
        })?;
        owner.migrate().await?;
        let event = event_with_stock(&owner).await?;
        let mut shards: BTreeMap<String, Vec<StockShardId>> = BTreeMap::new();
        for shard in owner.stock(event).await? {
            shards.entry(shard.node).or_default().push(shard.id);
        }
        Ok(Self {
            event,
            owner,
            coordinator,
            shards,
        })
    }

    /// [`STOCK_SHARDS`] stock shards, evenly on so many nodes.
    fn spread_over(&self, nodes: u16) -> anyhow::Result<Vec<StockShardId>> {
        let nodes = usize::from(nodes);
        let each = STOCK_SHARDS / nodes;
        let chosen: Vec<StockShardId> = self
            .shards
            .values()
            .take(nodes)
            .flat_map(|shards| shards.iter().take(each).copied())
            .collect();
        anyhow::ensure!(
            chosen.len() == STOCK_SHARDS,
            "only {} stock shards lie on {nodes} nodes",
            chosen.len()
        );
        Ok(chosen)
    }

    async fn held(&self) -> anyhow::Result<i64> {
        let stock = self.owner.stock(self.event).await?;
        Ok(stock.iter().map(|shard| shard.counts.held).sum())
    }
}

async fn event_with_stock(ledger: &Ledger) -> anyhow::Result<EventId> {
    let now = clock::now();
    let claim = EventClaim {
        name: EventName::new("bench", "citus")?,
        owner_uid: "bench".to_owned(),
        owner_created_at: now,
    };
    let Adopted::Owned { event: id, .. } = ledger.adopt_event(&claim).await? else {
        anyhow::bail!("a fresh name belongs to somebody else");
    };
    let category = CategoryName::new(CATEGORY)?;
    let row = EventRow {
        id,
        name: claim.name,
        owner_uid: Some(claim.owner_uid),
        title: "benchmark".to_owned(),
        topic: "none".to_owned(),
        partitions: 1,
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
            quantity: u64::from(UNITS),
        }],
        shards: Vec::new(),
    };
    ledger.write_event(&row).await?;
    let ids = ledger.allocate_shard_ids(STOCK_SHARDS_MADE).await?;
    let shards: Vec<NewStockShard> = ids
        .into_iter()
        .map(|id| NewStockShard {
            id,
            category: category.clone(),
            partition: 0,
            capacity: UNITS,
        })
        .collect();
    ledger.create_stock_shards(id, 0, &shards).await?;
    Ok(id)
}

/// Calls until then. Answers with the orders that got a ticket.
async fn sell_from(
    ledger: Ledger,
    event: EventId,
    shard: StockShardId,
    until: Instant,
) -> anyhow::Result<u64> {
    // Buyers of this round and stock shard have ordered nowhere else.
    let round = Uuid::new_v4().simple().to_string();
    let mut calls = 0_u32;
    while Instant::now() < until {
        let now = clock::now();
        let place = |number: u32| -> anyhow::Result<Place> {
            let buyer = BuyerId::new(format!("{round}-{calls}-{number}"))?;
            Ok(Place {
                order: OrderId::derive(event, &buyer, "bench"),
                shard,
                epoch: Epoch::FIRST,
                buyer,
                quantity: 1,
                amount_minor: 100,
                accepted_at: now,
            })
        };
        let batch = ShardBatch {
            shard,
            places: (0..BATCH_ORDERS)
                .map(place)
                .collect::<anyhow::Result<_>>()?,
            commands: Vec::new(),
            hold_for_s: 600,
            processing_for_s: 86_400,
            now,
        };
        ledger.apply(&batch).await?;
        calls += 1;
    }
    Ok(u64::from(calls) * u64::from(BATCH_ORDERS))
}
