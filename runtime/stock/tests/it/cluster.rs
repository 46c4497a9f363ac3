//! The store on a real Redis Cluster: events spread over its nodes, a library per node, a slot that moves, nodes that go
//! away and come back.

use std::time::{Duration, Instant};

use ticket_core::EventId;
use ticket_stock::{Reserved, Seeded, StockConfig, StockStore};
use ticket_testkit::{RedisCluster, RedisServer};

use crate::fixture::{category, raw, reserve, shard, to_reserve, vip_seed, wish};

/// Longest wait for something that happens by itself.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start(name: &str) -> (RedisCluster, StockStore) {
    let cluster = RedisCluster::start(name, 3, 0).await.unwrap();
    let mut config = StockConfig::new(cluster.url());
    config.is_cluster = true;
    config.response_timeout = Duration::from_secs(3);
    let store = StockStore::connect(&config).await.unwrap();
    (cluster, store)
}

/// The slot that all keys of the event are in, as a server computes it.
async fn slot_of(node: &RedisServer, event: EventId) -> u16 {
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("KEYSLOT").arg(format!("{{st:{event}}}:o"));
    ask.query_async(&mut raw(node).await).await.unwrap()
}

/// Which of three nodes has the slot at first.
fn node_of(slot: u16) -> usize {
    (0..3)
        .find(|node| usize::from(slot) < (node + 1) * 16_384 / 3)
        .unwrap()
}

async fn has_library(node: &RedisServer) -> bool {
    let list: redis::Value = redis::cmd("FUNCTION")
        .arg("LIST")
        .query_async(&mut raw(node).await)
        .await
        .unwrap();
    format!("{list:?}").contains(ticket_stock::LIBRARY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_all_nodes_are_sold_and_each_node_gets_the_library_when_it_needs_it() {
    let (cluster, store) = start("stock-cluster").await;
    store.ping().await.unwrap();
    let mut met = [false; 3];
    for number in 0..40_u128 {
        let event = EventId::random();
        let node = node_of(slot_of(&cluster.nodes[0], event).await);
        if !met[node] {
            assert!(
                !has_library(&cluster.nodes[node]).await,
                "nobody needed it yet"
            );
        }
        let before = reserve(&store, event, &wish(number)).await;
        assert_eq!(before, Reserved::WarmingUp, "an event that nobody seeded");
        assert!(has_library(&cluster.nodes[node]).await);
        met[node] = true;
        let seed = vip_seed(event, 1, &[(1, 5), (2, 5)]);
        assert_eq!(store.seed(&seed).await.unwrap(), Seeded::Armed);
        let first = wish(number).units(2).on([1, 2]);
        let got = reserve(&store, event, &first).await;
        let Reserved::Fresh { shard: of } = got else {
            panic!("{got:?}")
        };
        assert!(matches!(
            reserve(&store, event, &first).await,
            Reserved::Known(_)
        ));
        let release = [first.release(of.get(), 9)];
        let vip = category("vip");
        store
            .release(event, &vip, first_epoch(), &release)
            .await
            .unwrap();
        let counts = store.counts(event, &vip).await.unwrap();
        assert_eq!(counts.iter().map(|(_, units)| units).sum::<i64>(), 10);
        store.close(event, &[vip]).await.unwrap();
    }
    assert_eq!(met, [true; 3], "40 events meet 3 nodes");
}

const fn first_epoch() -> ticket_core::Epoch {
    ticket_core::Epoch(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_slot_moves_warms_up_again_on_its_new_node_and_sells_nothing_meanwhile() {
    let (cluster, store) = start("stock-move").await;
    let event = EventId::random();
    store
        .seed(&vip_seed(event, 1, &[(1, 50), (2, 50)]))
        .await
        .unwrap();
    reserve(&store, event, &wish(1)).await;

    let slot = slot_of(&cluster.nodes[0], event).await;
    let from = node_of(slot);
    let to = (from + 1) % 3;
    let id = async |node: usize| -> String {
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("MYID");
        ask.query_async(&mut raw(&cluster.nodes[node]).await)
            .await
            .unwrap()
    };
    let (from_id, to_id) = (id(from).await, id(to).await);
    let set = async |node: usize, words: &[&str]| {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SETSLOT").arg(slot).arg(words);
        let mut connection = raw(&cluster.nodes[node]).await;
        let _: String = command.query_async(&mut connection).await.unwrap();
    };
    set(to, &["IMPORTING", &from_id]).await;
    set(from, &["MIGRATING", &to_id]).await;
    // Half moved: whatever a call meets, it ends in time, and nothing is sold twice.
    let mut old = raw(&cluster.nodes[from]).await;
    let keys: Vec<String> = redis::cmd("CLUSTER")
        .arg("GETKEYSINSLOT")
        .arg(slot)
        .arg(100)
        .query_async(&mut old)
        .await
        .unwrap();
    assert!(keys.len() >= 3, "{keys:?}");
    for (number, key) in keys.iter().enumerate() {
        let mut migrate = redis::cmd("MIGRATE");
        migrate
            .arg("127.0.0.1")
            .arg(cluster.nodes[to].server().port());
        migrate.arg(key).arg(0).arg(1_000);
        let _: String = migrate.query_async(&mut old).await.unwrap();
        let begun = Instant::now();
        let during = store
            .reserve(&to_reserve(event, &wish(100 + number as u128)))
            .await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{during:?}");
        assert!(!matches!(during, Ok(Reserved::Fresh { .. })), "{during:?}");
    }
    for node in [to, from, (to + 1) % 3] {
        set(node, &["NODE", &to_id]).await;
    }
    // The data came along, but this process was never seeded: law 4.
    let moved = reserve(&store, event, &wish(2)).await;
    assert_eq!(moved, Reserved::WarmingUp);
    store
        .seed(&vip_seed(event, 2, &[(1, 49), (2, 50)]))
        .await
        .unwrap();
    let sold = reserve(&store, event, &wish(3).at(2).on([1, 1])).await;
    assert_eq!(sold, Reserved::Fresh { shard: shard(1) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_away_is_an_answer_in_time_and_one_that_is_back_is_used_again() {
    let (mut cluster, store) = start("stock-away").await;
    let event = EventId::random();
    store
        .seed(&vip_seed(event, 1, &[(1, 5), (2, 5)]))
        .await
        .unwrap();
    for node in &mut cluster.nodes {
        node.kill().await.unwrap();
    }
    let begun = Instant::now();
    assert!(store.reserve(&to_reserve(event, &wish(1))).await.is_err());
    assert!(store.ping().await.is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );

    for node in &mut cluster.nodes {
        node.restart().await.unwrap();
    }
    let begun = Instant::now();
    loop {
        // Memory only: the nodes are back and know nothing.
        match store.reserve(&to_reserve(event, &wish(2))).await {
            Ok(answer) => {
                assert_eq!(answer, Reserved::WarmingUp);
                break;
            }
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
        }
    }
    store
        .seed(&vip_seed(event, 2, &[(1, 5), (2, 5)]))
        .await
        .unwrap();
    let sold = reserve(&store, event, &wish(3).at(2).on([1, 1])).await;
    assert_eq!(sold, Reserved::Fresh { shard: shard(1) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_made_before_its_cluster_finds_it_later() {
    let mut cluster = RedisCluster::start("stock-late", 3, 0).await.unwrap();
    for node in &mut cluster.nodes {
        node.kill().await.unwrap();
    }
    let mut config = StockConfig::new(cluster.url());
    config.is_cluster = true;
    let store = StockStore::connect(&config).await.unwrap();
    assert!(store.ping().await.is_err());
    for node in &mut cluster.nodes {
        node.restart().await.unwrap();
    }
    let begun = Instant::now();
    while let Err(error) = store.ping().await {
        assert!(begun.elapsed() < PATIENCE, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
