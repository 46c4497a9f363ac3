//! A server that dies, forgets, sleeps or is replaced never sells from stale stock.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use ticket_core::{Epoch, ErrorClass, EventId};
use ticket_stock::{Released, Reserved, Seeded, StockConfig, StockStore};
use ticket_testkit::Persistence;

use crate::fixture::{Sale, category, raw, reserve, server, to_reserve, vip_seed, wish};

/// Long enough for a busy machine; nothing waits for it unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the store has found its server again.
async fn reconnected(store: &StockStore) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = store.ping().await {
        assert!(
            Instant::now() < deadline,
            "{error}: {:?}",
            std::error::Error::source(&error)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_warming_up(sale: &Sale) {
    assert_eq!(sale.reserve(&wish(77)).await, Reserved::WarmingUp);
    assert_eq!(sale.store.state(sale.event).await.unwrap(), None);
    assert!(sale.counts("vip").await.is_empty());
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 0);
    let now = ticket_core::clock::now();
    assert!(
        sale.store
            .pending_older_than(sale.event, now, 9)
            .await
            .unwrap()
            .is_empty()
    );
    let one = [wish(1).release(1, 9)];
    let outcomes = sale
        .store
        .release(sale.event, &category("vip"), Epoch(1), &one)
        .await
        .unwrap();
    assert_eq!(outcomes, [Released::NotArmed]);
    let asked = [wish(1).order];
    let known = sale.store.known(sale.event, Epoch(1), &asked).await;
    assert_eq!(known.unwrap(), None);
}

#[tokio::test]
async fn a_restart_without_persistence_is_a_warm_up() {
    let mut sale = Sale::armed("forgets", &[(1, 100)]).await;
    sale.reserve(&wish(1)).await;
    sale.server.kill().await.unwrap();
    sale.server.restart().await.unwrap();
    reconnected(&sale.store).await;
    is_warming_up(&sale).await;
    assert_eq!(
        sale.store.record(sale.event, wish(1).order).await.unwrap(),
        None
    );
    sale.arm(vip_seed(sale.event, 2, &[(1, 99)])).await;
    assert_eq!(sale.reserve(&wish(2).at(1)).await, Reserved::OtherEpoch);
    assert!(matches!(
        sale.reserve(&wish(2).at(2)).await,
        Reserved::Fresh { .. }
    ));
}

#[tokio::test]
async fn a_restart_that_finds_its_old_data_is_a_warm_up_all_the_same() {
    let mut sale = Sale::new("remembers", Persistence::EveryWrite).await;
    sale.arm(vip_seed(sale.event, 1, &[(1, 100)])).await;
    sale.reserve(&wish(1)).await;
    sale.server.kill().await.unwrap();
    sale.server.restart().await.unwrap();
    reconnected(&sale.store).await;
    let mut connection = raw(&sale.server).await;
    let keys: i64 = redis::cmd("DBSIZE")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(keys >= 3, "the old data is there: {keys}");
    is_warming_up(&sale).await;
    // Who was promised this order can still look at it.
    let record = sale
        .store
        .record(sale.event, wish(1).order)
        .await
        .unwrap()
        .unwrap();
    assert!(record.pending && !record.voided);
    // The epoch that the old data carries is used up.
    let again = sale
        .store
        .seed(&vip_seed(sale.event, 1, &[(1, 100)]))
        .await
        .unwrap();
    assert_eq!(again, Seeded::Fenced { by: Epoch(1) });
    is_warming_up(&sale).await;
    sale.arm(vip_seed(sale.event, 2, &[(1, 99)])).await;
    assert!(matches!(
        sale.reserve(&wish(2).at(2)).await,
        Reserved::Fresh { .. }
    ));
    assert_eq!(sale.counts("vip").await, [(1, 98)]);
}

#[tokio::test]
async fn data_that_vanishes_is_a_warm_up() {
    let sale = Sale::armed("flushed", &[(1, 100)]).await;
    sale.reserve(&wish(1)).await;
    let mut connection = raw(&sale.server).await;
    let flush = redis::cmd("FLUSHALL");
    flush.exec_async(&mut connection).await.unwrap();
    is_warming_up(&sale).await;
    sale.arm(vip_seed(sale.event, 2, &[(1, 99)])).await;
    assert!(matches!(
        sale.reserve(&wish(2).at(2)).await,
        Reserved::Fresh { .. }
    ));
}

#[tokio::test]
async fn a_library_that_vanishes_or_is_loaded_over_is_a_warm_up() {
    let sale = Sale::armed("library", &[(1, 100)]).await;
    let mut connection = raw(&sale.server).await;
    let mut flush = redis::cmd("FUNCTION");
    flush.arg("FLUSH");
    flush.exec_async(&mut connection).await.unwrap();
    is_warming_up(&sale).await;
    sale.arm(vip_seed(sale.event, 2, &[(1, 100)])).await;
    let mut replace = redis::cmd("FUNCTION");
    replace.arg("LOAD").arg("REPLACE").arg(ticket_stock::SOURCE);
    replace.exec_async(&mut connection).await.unwrap();
    assert_eq!(sale.reserve(&wish(2).at(2)).await, Reserved::WarmingUp);
    assert_eq!(sale.store.state(sale.event).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_meets_a_server_without_library_loads_it_once() {
    let server = server("load-once", Persistence::None).await;
    let store = StockStore::connect(&StockConfig::new(server.url()))
        .await
        .unwrap();
    let event = EventId::random();
    let crowd = (0..200).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { reserve(&store, event, &wish(number)).await })
    });
    for one in futures::future::join_all(crowd).await {
        assert_eq!(one.unwrap(), Reserved::WarmingUp);
    }
    let mut connection = raw(&server).await;
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let loads = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_function|load:"))
        .unwrap();
    assert!(loads.contains("calls=1,"), "{loads}");
}

#[tokio::test]
async fn a_promoted_replica_is_a_warm_up_although_it_has_all_the_data() {
    let sale = Sale::armed("primary", &[(1, 100)]).await;
    sale.reserve(&wish(1)).await;
    let replica = server("replica", Persistence::None).await;
    let mut connection = raw(&replica).await;
    let mut follow = redis::cmd("REPLICAOF");
    follow.arg("127.0.0.1").arg(sale.server.server().port());
    follow.exec_async(&mut connection).await.unwrap();
    in_sync(&mut connection).await;
    let mut promote = redis::cmd("REPLICAOF");
    promote.arg("NO").arg("ONE");
    promote.exec_async(&mut connection).await.unwrap();

    let store = StockStore::connect(&StockConfig::new(replica.url()))
        .await
        .unwrap();
    let promoted = Sale {
        event: sale.event,
        store,
        server: replica,
    };
    assert_eq!(promoted.reserve(&wish(1)).await, Reserved::WarmingUp);
    is_warming_up(&promoted).await;
    promoted.arm(vip_seed(sale.event, 2, &[(1, 99)])).await;
    assert!(matches!(
        promoted.reserve(&wish(2).at(2)).await,
        Reserved::Fresh { .. }
    ));
}

/// Waits until a replica has its primary's data.
async fn in_sync(connection: &mut MultiplexedConnection) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info: String = redis::cmd("INFO")
            .arg("replication")
            .query_async(connection)
            .await
            .unwrap();
        let keys: i64 = redis::cmd("DBSIZE").query_async(connection).await.unwrap();
        if info.contains("master_link_status:up") && keys >= 3 {
            return;
        }
        assert!(Instant::now() < deadline, "{info}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn connecting_does_not_wait_for_a_dead_server_and_calls_fail_soon() {
    let mut sale = Sale::armed("dead", &[(1, 100)]).await;
    sale.server.kill().await.unwrap();
    let store = StockStore::connect(&StockConfig::new(sale.server.url()))
        .await
        .unwrap();
    let started = Instant::now();
    let one = wish(1);
    for _ in 0..5 {
        let error = store
            .reserve(&to_reserve(sale.event, &one))
            .await
            .unwrap_err();
        assert_eq!(error.class(), ErrorClass::Retry, "never sent: {error}");
        assert_eq!(error.code(), "store-unreachable");
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(store.ping().await.is_err());
    sale.server.restart().await.unwrap();
    reconnected(&store).await;
    assert_eq!(reserve(&store, sale.event, &one).await, Reserved::WarmingUp);
}

#[tokio::test]
async fn a_call_that_was_perhaps_done_is_ambiguous_and_the_same_call_again_finds_out() {
    let sale = Sale::armed("stalls", &[(1, 100)]).await;
    let config = StockConfig {
        response_timeout: Duration::from_millis(200),
        ..StockConfig::new(sale.server.url())
    };
    let store = StockStore::connect(&config).await.unwrap();
    store.ping().await.unwrap();
    sale.server.pause().unwrap();
    let one = wish(1).units(2);
    let error = store
        .reserve(&to_reserve(sale.event, &one))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Ambiguous, "{error}");
    sale.server.resume().unwrap();
    reconnected(&store).await;
    let again = reserve(&store, sale.event, &one).await;
    assert!(
        matches!(again, Reserved::Known(_) | Reserved::Fresh { .. }),
        "{again:?}"
    );
    assert_eq!(sale.counts("vip").await, [(1, 98)]);
}

#[tokio::test]
async fn a_call_that_was_running_when_the_server_died_is_ambiguous() {
    let mut sale = Sale::armed("dies", &[(1, 100)]).await;
    sale.server.pause().unwrap();
    let (store, one) = (sale.store.clone(), wish(1));
    let wanted = to_reserve(sale.event, &one);
    // In this order: the call has its connection before the server goes.
    let (answer, killed) = tokio::join!(store.reserve(&wanted), sale.server.kill());
    killed.unwrap();
    let error = answer.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Ambiguous, "{error}");
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error_at_once() {
    for url in ["", "postgres://127.0.0.1/", "redis://127.0.0.1:notaport"] {
        let error = StockStore::connect(&StockConfig::new(url))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "store-address-invalid", "{url}");
        assert_eq!(error.class(), ErrorClass::Permanent, "{url}");
    }
}
