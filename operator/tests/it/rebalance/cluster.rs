//! A ledger on a coordinator and two workers, with stock where a test wants it.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use ticket_core::clock;
use ticket_core::{CategoryName, Currency, EventId, Money, StockShardId, StockSource};
use ticket_ledger::{
    Adopted, CategoryRow, EventClaim, EventRow, Moved, NewStockShard, Placements, ShardMove,
    Transfer,
};
use ticket_testkit::shared;

use super::stage::Stage;
use crate::world::World;

/// Longest move of a small shard, many times over.
const LIMIT: Duration = Duration::from_mins(1);

/// Units of each stock shard.
pub(super) const CAPACITY: u32 = 100_000;

/// A stage whose ledger is distributed; `None` where the server has no Citus.
pub(super) async fn stage() -> Option<Stage> {
    let world = World::alone().await;
    if world.ledger.is_distributed().await.unwrap() {
        return Some(Stage::over(world));
    }
    eprintln!("skipped: this PostgreSQL has no Citus");
    None
}

impl Stage {
    /// An event with so many stock shards, wherever their hashes put them. On sale from its window on.
    pub(super) async fn event(&self, name: &str, shards: usize, is_on_sale: bool) -> EventId {
        let ledger = &self.world.ledger;
        let claim = EventClaim {
            name: self.world.name(name),
            owner_uid: format!("uid-{name}"),
            owner_created_at: clock::now(),
        };
        let Adopted::Owned { event, .. } = ledger.adopt_event(&claim).await.unwrap() else {
            panic!("{name} is somebody else's");
        };
        let category = CategoryName::new("vip").unwrap();
        let hour = jiff::SignedDuration::from_hours(1);
        let row = EventRow {
            id: event,
            name: claim.name.clone(),
            owner_uid: Some(claim.owner_uid.clone()),
            title: "A sale".to_owned(),
            topic: format!("orders.{name}"),
            partitions: 4,
            opens_at: clock::now() - hour,
            closes_at: clock::now() + hour,
            paused: false,
            is_open: is_on_sale,
            is_closed: false,
            hold_for_s: 600,
            processing_for_s: 86_400,
            max_per_buyer: 4,
            admission_per_second: 0,
            stock_source: StockSource::Spec,
            epoch: ticket_core::Epoch::FIRST,
            change: 0,
            categories: vec![CategoryRow {
                name: category.clone(),
                price: Money {
                    currency: Currency::new("IDR").unwrap(),
                    amount_minor: 250,
                },
                quantity: u64::from(CAPACITY),
            }],
            shards: Vec::new(),
        };
        ledger.write_event(&row).await.unwrap();
        let ids = ledger.allocate_shard_ids(shards).await.unwrap();
        let shards: Vec<NewStockShard> = (0..)
            .zip(ids)
            .map(|(partition, id)| NewStockShard {
                id,
                category: category.clone(),
                partition,
                capacity: CAPACITY,
            })
            .collect();
        ledger.create_stock_shards(event, 0, &shards).await.unwrap();
        event
    }

    pub(super) async fn shard_ids(&self, event: EventId) -> Vec<StockShardId> {
        let stock = self.world.ledger.stock(event).await.unwrap();
        stock.into_iter().map(|shard| shard.id).collect()
    }

    pub(super) async fn placements(&self) -> Placements {
        let ledger = &self.world.ledger;
        ledger.placements(clock::now()).await.unwrap()
    }

    /// Names of the workers.
    pub(super) async fn workers(&self) -> Vec<String> {
        let placements = self.placements().await;
        let workers = placements.nodes.into_iter().skip(1);
        workers.map(|node| node.name).collect()
    }

    /// Citus shards with stock on each worker.
    pub(super) async fn held(&self) -> Vec<usize> {
        let placements = self.placements().await;
        let workers = placements.nodes.iter().skip(1);
        workers
            .map(|node| {
                let shards = placements.shards.iter();
                shards
                    .filter(|it| it.node == node.name && !it.stock.is_empty())
                    .count()
            })
            .collect()
    }

    /// Puts everything that holds stock on one worker, past the operator.
    pub(super) async fn skew(&self, to: &str) {
        for shard in self.placements().await.shards {
            if shard.stock.is_empty() || shard.node == to {
                continue;
            }
            let wish = ShardMove {
                low: shard.low,
                high: shard.high,
                from: shard.node,
                to: to.to_owned(),
                transfer: Transfer::BlockWrites,
                limit: LIMIT,
            };
            let moved = self.world.ledger.move_shard(&wish, std::future::pending());
            assert!(matches!(moved.await.unwrap(), Moved::Now { .. }));
        }
    }

    /// Nothing is left of any move, once Citus has tried again.
    pub(super) async fn assert_clean(&self) {
        crate::world::until("nothing is left of moves", async || {
            let left = self.world.ledger.clean_up_moves().await.ok()?;
            (left == 0).then_some(())
        })
        .await;
    }

    pub(super) async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.world.database_url)
            .await
            .unwrap()
    }
}

/// A server of one's own, for tests that kill it.
pub(super) async fn own(name: &str) -> Option<(ticket_testkit::PostgresServer, Stage)> {
    own_without(name, &[]).await
}

/// The same; the workers at these places run, and the ledger does not know of them.
pub(super) async fn own_without(
    name: &str,
    unknown: &[usize],
) -> Option<(ticket_testkit::PostgresServer, Stage)> {
    use ticket_testkit::{Citus, PostgresServer, StartOptions};
    shared().await;
    let options = StartOptions::own(name).unwrap();
    let server = PostgresServer::start_with(options, Vec::new(), Citus::IfInstalled)
        .await
        .unwrap();
    if !server.is_citus() {
        eprintln!("skipped: this PostgreSQL has no Citus");
        return None;
    }
    let url = server.create_database("ledger").await.unwrap();
    let mut sql = PgConnection::connect(&url).await.unwrap();
    for at in unknown {
        sqlx::query("SELECT citus_remove_node('127.0.0.1', $1)")
            .bind(i32::from(server.workers()[*at].port()))
            .execute(&mut sql)
            .await
            .unwrap();
    }
    let config = ticket_ledger::LedgerConfig::new(&url.as_str().into());
    ticket_ledger::Ledger::connect(&config)
        .unwrap()
        .migrate()
        .await
        .unwrap();
    Some((server, Stage::over(World::over(url).await)))
}
