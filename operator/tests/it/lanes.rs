//! Dedicated Events: each stock shard alone in its Citus shard, on real servers. Where there is no Citus they say so.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ticket_core::share::LANES_MAX;
use ticket_crds::{ConditionType, EventStatus, Phase};
use ticket_ledger::{Ledger, LedgerConfig};
use ticket_testkit::{Citus, PostgresServer, StartOptions, unique};

use crate::world::{World, id, is, reason};

/// A Dedicated Event is isolated and Ready within this.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Steps and other effects of a Dedicated Event; the loops end before.
const EFFECTS_MAX: usize = 40;

/// An Event of `shards` stock shards in two categories, 50 tickets each.
pub(crate) fn dedicated(world: &World, name: &str, shards: u32) -> Value {
    let mut event = world.event(name);
    event["spec"]["placement"] = json!({ "isolation": "Dedicated" });
    event["spec"]["deletionPolicy"] = json!("Delete");
    for (at, shards) in [(0, shards - 1), (1, 1)] {
        let category = &mut event["spec"]["categories"][at];
        category["stockShards"] = json!(shards);
        category["quantity"] = json!(shards * 50);
    }
    event
}

/// Every stock shard is a lane, is alone by the catalogue, and no worker has two more than another.
pub(crate) async fn assert_isolated(world: &World, status: &EventStatus, shards: usize) {
    assert_eq!(status.stock_shards.len(), shards);
    assert!(
        status
            .stock_shards
            .iter()
            .all(|shard| shard.lane == Some(true))
    );
    let topology = world.ledger.topology().await.unwrap();
    let mut per_node: HashMap<&str, usize> = HashMap::new();
    for row in world.ledger.stock(id(status)).await.unwrap() {
        let mut holders = topology
            .shards
            .iter()
            .filter(|shard| shard.stock_shard_ids.contains(&row.id));
        let holder = holders.next().unwrap();
        assert!(holder.lane && holder.stock_shard_ids == [row.id]);
        assert!(row.lane && row.node == holder.node);
        *per_node.entry(holder.node.as_str()).or_default() += 1;
    }
    let (least, most) = (per_node.values().min(), per_node.values().max());
    assert!(most.unwrap() - least.unwrap() <= 1, "{per_node:?}");
    assert_eq!(per_node.len(), shards.min(2));
    let lanes = world.ledger.lanes(id(status)).await.unwrap();
    let ids: Vec<i64> = lanes.iter().map(|lane| lane.id.get()).collect();
    let shown: Vec<i64> = status.stock_shards.iter().map(|shard| shard.id).collect();
    assert_eq!(shown, ids, "the n-th stock shard is the n-th lane");
}

async fn citus_shards(world: &World) -> i64 {
    let mut sql = PgConnection::connect(&world.database_url).await.unwrap();
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'stock_shards'::regclass",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_dedicated_event_is_isolated_and_the_next_one_leases_its_lanes_again() {
    let Some(world) = World::on_citus().await else {
        return;
    };
    let operator = world.start();
    let began = Instant::now();
    world.create(dedicated(&world, "hot", 32)).await;
    let first = world.ready("hot", Phase::OnSale).await;
    let took = began.elapsed();
    eprintln!(
        "32 stock shards on 2 workers: Ready after {} ms",
        took.as_millis()
    );
    assert!(took < READY_WITHIN, "{took:?}");
    assert_isolated(&world, &first, 32).await;
    assert_eq!(
        World::message(&first, ConditionType::ShardsReady),
        "32 stock shards in lanes of their own on 2 workers"
    );
    let told = world.told("hot").await;
    for reason in ["LanesLeased", "LanesIsolated", "StockShardsCreated"] {
        assert!(
            told.iter().any(|said| said == reason),
            "{reason} of {told:?}"
        );
    }
    let shards = citus_shards(&world).await;
    world.delete("hot").await;
    assert_eq!(world.ledger.lanes(id(&first)).await.unwrap(), []);
    assert_eq!(world.ledger.lanes_left().await.unwrap(), LANES_MAX);

    let began = Instant::now();
    world.create(dedicated(&world, "hot", 32)).await;
    let second = world.ready("hot", Phase::OnSale).await;
    eprintln!("again: Ready after {} ms", began.elapsed().as_millis());
    assert_isolated(&world, &second, 32).await;
    assert_eq!(citus_shards(&world).await, shards, "nothing was split");
    let ids = |status: &EventStatus| -> HashSet<i64> {
        status.stock_shards.iter().map(|shard| shard.id).collect()
    };
    assert!(ids(&first).is_disjoint(&ids(&second)));
    operator.stop().await;
}

#[tokio::test]
async fn two_dedicated_events_at_once_get_different_lanes() {
    let Some(world) = World::on_citus().await else {
        return;
    };
    let operator = world.start();
    for name in ["one", "two"] {
        world.create(dedicated(&world, name, 8)).await;
    }
    let mut ids = HashSet::new();
    for name in ["one", "two"] {
        let status = world.ready(name, Phase::OnSale).await;
        assert_isolated(&world, &status, 8).await;
        assert!(status.stock_shards.iter().all(|shard| ids.insert(shard.id)));
    }
    operator.stop().await;
}

#[tokio::test]
async fn an_operator_that_is_killed_anywhere_ends_with_every_stock_shard_in_a_lane() {
    let Some(world) = World::on_citus().await else {
        return;
    };
    let mut kills = 0;
    for effects in 0..EFFECTS_MAX {
        let name = format!("crash-{effects}");
        world.create(dedicated(&world, &name, 4)).await;
        let is_ready = async || {
            let status = world.get(&name).await.unwrap().status.unwrap_or_default();
            is(&status, ConditionType::Ready) == Some("True")
        };
        let was_killed = world.run_and_kill(effects, is_ready).await;
        let operator = world.start();
        let status = world.ready(&name, Phase::OnSale).await;
        assert_isolated(&world, &status, 4).await;
        // Nothing was leased twice.
        assert_eq!(world.ledger.lanes(id(&status)).await.unwrap().len(), 4);
        operator.stop().await;

        // And while it deletes, at as many effects.
        let deletion = kube::api::DeleteParams::default();
        world.events().delete(&name, &deletion).await.unwrap();
        let is_gone = async || world.get(&name).await.is_none();
        world.run_and_kill(effects, is_gone).await;
        let operator = world.start();
        world.gone(&name).await;
        operator.stop().await;
        // What a dead operator did not give back counts as free.
        assert_eq!(world.ledger.lanes_left().await.unwrap(), LANES_MAX);
        if !was_killed {
            break;
        }
        kills += 1;
    }
    // Finalizer, claim, status, eight steps, status.
    assert!((11..EFFECTS_MAX).contains(&kills), "{kills}");
    // All rounds together have split for four lanes once.
    assert_eq!(citus_shards(&world).await, 32 + 8);
}

#[tokio::test]
async fn a_pool_that_is_used_up_is_said_and_nothing_is_sold_by_halves() {
    let Some(world) = World::on_citus().await else {
        return;
    };
    let operator = world.start();
    world.create(world.event("owner")).await;
    let owner = world.ready("owner", Phase::OnSale).await;
    assert!(
        owner
            .stock_shards
            .iter()
            .all(|shard| shard.lane == Some(false))
    );
    let mut sql = PgConnection::connect(&world.database_url).await.unwrap();
    sqlx::query(
        "INSERT INTO lanes (stock_shard_id, event_id, number, leased_at) \
         SELECT nextval('stock_shard_ids'), $1, number, now() FROM generate_series(1, $2) number",
    )
    .bind(id(&owner).0)
    .bind(i32::try_from(LANES_MAX - 1).unwrap())
    .execute(&mut sql)
    .await
    .unwrap();
    world.create(dedicated(&world, "late", 4)).await;
    let status = world
        .status("late", "it is degraded", |status| {
            reason(status, ConditionType::Degraded) == Some("LanesExhausted")
        })
        .await;
    assert_eq!(status.last_error.unwrap().code, "lanes-exhausted");
    assert_eq!(status.phase, Some(Phase::Pending));
    assert!(status.stock_shards.is_empty());
    // Shared is a way out.
    let shared = json!({ "spec": { "placement": { "isolation": "Shared" } } });
    world.change("late", shared).await;
    world.ready("late", Phase::OnSale).await;
    // Back again changes nothing any more, and says so.
    let dedicated = json!({ "spec": { "placement": { "isolation": "Dedicated" } } });
    world.change("late", dedicated).await;
    let status = world.ready("late", Phase::OnSale).await;
    assert_eq!(
        World::message(&status, ConditionType::ShardsReady),
        "4 stock shards, 0 of them in lanes of their own: isolation does not change once stock is made"
    );
    operator.stop().await;
}

#[tokio::test]
async fn on_plain_postgres_a_dedicated_event_is_ready_and_says_that_there_are_no_lanes() {
    let options = StartOptions::own("operator-plain").unwrap();
    let mut server = PostgresServer::start_with(options, Vec::new(), Citus::Never)
        .await
        .unwrap();
    let url = server.create_database(&unique("plain")).await.unwrap();
    let ledger = Ledger::connect(&LedgerConfig::new(&url.as_str().into())).unwrap();
    ledger.migrate().await.unwrap();
    let world = World::over(url).await;
    let operator = world.start();
    world.create(dedicated(&world, "plain", 4)).await;
    let status = world.ready("plain", Phase::OnSale).await;
    assert_eq!(
        World::message(&status, ConditionType::ShardsReady),
        "4 stock shards on one node: there are no lanes without Citus"
    );
    assert!(
        status
            .stock_shards
            .iter()
            .all(|shard| shard.lane.is_none() && shard.node.is_none())
    );
    world.delete("plain").await;
    operator.stop().await;
    drop((world, ledger));
    server.stop().await.unwrap();
}
