//! People buy at full speed while shards move under them: nothing is lost, decided twice or oversold, and the wait is short.

use std::time::{Duration, Instant};

use serde_json::json;
use ticket_core::{
    BuyerId, Epoch, ErrorClass, EventId, OrderId, Place, State, StockShardId, clock,
};
use ticket_crds::{RebalancePhase, RebalanceStatus};
use ticket_ledger::{Ledger, LedgerConfig, PlaceOutcome, ShardBatch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::cluster::{self, CAPACITY};
use super::stage::Stage;
use crate::world::until;

/// Stock shards that sell and move.
const SHARDS: usize = 8;

/// Orders of one call.
const BATCH_ORDERS: u128 = 50;

/// Between two tries of a batch that did not go through, as a processor waits.
const RETRY_WAIT: Duration = Duration::from_millis(10);

/// Longest wait of a stock shard's buyers.
const STALL_MAX: Duration = Duration::from_secs(1);

/// What one stock shard's seller saw.
struct Sold {
    shard: StockShardId,
    orders: u128,
    reserved: i64,
    retries: u32,
    /// When each call went through.
    at: Vec<Instant>,
}

/// Sells until `stop`, each order once, and keeps what was decided.
async fn sell(
    ledger: Ledger,
    event: EventId,
    shard: StockShardId,
    stop: CancellationToken,
) -> Sold {
    let mut sold = Sold {
        shard,
        orders: 0,
        reserved: 0,
        retries: 0,
        at: Vec::new(),
    };
    while !stop.is_cancelled() {
        let places = (sold.orders..sold.orders + BATCH_ORDERS).map(|number| {
            let seed = (u128::try_from(shard.get()).unwrap() << 64) | number;
            // An order's id begins with its event's.
            let event = event.0.as_u128() >> 96 << 96;
            Place {
                order: OrderId(Uuid::from_u128(event | (seed & (u128::MAX >> 32)))),
                shard,
                epoch: Epoch::FIRST,
                buyer: BuyerId::new(format!("buyer-{number}")).unwrap(),
                quantity: 1,
                amount_minor: 250,
                accepted_at: clock::now(),
            }
        });
        let batch = ShardBatch {
            shard,
            places: places.collect(),
            commands: Vec::new(),
            hold_for_s: 600,
            processing_for_s: 86_400,
            now: clock::now(),
        };
        let mut tries = 0;
        let applied = loop {
            match ledger.apply(&batch).await {
                Ok(applied) => break applied,
                Err(error) => {
                    // A move may only ever ask for the same again.
                    let class = error.class();
                    assert!(
                        matches!(class, ErrorClass::Retry | ErrorClass::Ambiguous),
                        "{error:?}"
                    );
                    tries += 1;
                    tokio::time::sleep(RETRY_WAIT).await;
                }
            }
        };
        sold.at.push(Instant::now());
        sold.retries += tries;
        for place in applied.places {
            let state = match place {
                PlaceOutcome::Fresh { state, .. } => state,
                // Decided by a try whose answer was lost.
                PlaceOutcome::Known(record) if tries > 0 => record.state,
                other => panic!("decided twice: {other:?}"),
            };
            sold.reserved += i64::from(state == State::Reserved);
        }
        sold.orders += BATCH_ORDERS;
    }
    sold
}

impl Sold {
    fn longest_wait(&self) -> Duration {
        let waits = self.at.windows(2).map(|pair| pair[1] - pair[0]);
        waits.max().unwrap_or_default()
    }

    fn calls_between(&self, from: Instant, to: Instant) -> usize {
        self.at
            .iter()
            .filter(|at| **at >= from && **at < to)
            .count()
    }
}

/// Both books agree, what was answered and what stands in the ledger, and all of it stands on `node`.
async fn books_agree(stage: &Stage, event: EventId, node: &str, all: &[Sold]) {
    let stock = stage.world.ledger.stock(event).await.unwrap();
    let mut sql = stage.sql().await;
    for sold in all {
        let shard = stock.iter().find(|it| it.id == sold.shard).unwrap();
        let counts = shard.counts;
        assert_eq!(counts.held, sold.reserved);
        assert_eq!(counts.capacity, i64::from(CAPACITY));
        assert!(counts.is_conserved(), "{counts:?}");
        let (orders, reserved): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE state = $2) FROM orders WHERE stock_shard_id = $1",
        )
        .bind(sold.shard.get())
        .bind(State::Reserved.number())
        .fetch_one(&mut sql)
        .await
        .unwrap();
        assert_eq!(
            (u128::try_from(orders).unwrap(), reserved),
            (sold.orders, sold.reserved)
        );
        assert_eq!(shard.node, node);
    }
}

/// Eight stock shards on the first worker, and everybody sells from them until `stop`.
async fn sellers(stage: &Stage, stop: &CancellationToken) -> (EventId, Vec<JoinHandle<Sold>>) {
    let event = stage.event("live", SHARDS, true).await;
    let workers = stage.workers().await;
    stage.skew(&workers[0]).await;
    let config = LedgerConfig {
        connections_max: u32::try_from(SHARDS).unwrap(),
        ..LedgerConfig::new(&stage.world.database_url.as_str().into())
    };
    let ledger = Ledger::connect(&config).unwrap();
    let shards = stage.shard_ids(event).await.into_iter();
    let sellers = shards
        .map(|shard| tokio::spawn(sell(ledger.clone(), event, shard, stop.clone())))
        .collect();
    (event, sellers)
}

/// What is planned so that all of it comes to `node`, although it is on sale.
async fn pinned(stage: &Stage, node: &str) -> RebalanceStatus {
    let events = [format!("{}/live", stage.world.namespace)];
    let spec = json!({
        "mode": "PinEvents", "node": node, "events": events, "force": true,
    });
    stage.create("pin", spec).await;
    stage.phase("pin", RebalancePhase::Proposed).await
}

async fn all_sold(sellers: Vec<JoinHandle<Sold>>) -> Vec<Sold> {
    let mut all = Vec::new();
    for seller in sellers {
        all.push(seller.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_sold_twice_while_eight_stock_shards_move() {
    let Some(stage) = cluster::stage().await else {
        return;
    };
    let stop = CancellationToken::new();
    let (event, sellers) = sellers(&stage, &stop).await;
    let workers = stage.workers().await;

    let operator = stage.start();
    let proposed = pinned(&stage, &workers[1]).await;
    // Every seller is well under way, and as long again is left to compare with afterwards.
    let quiet = Duration::from_secs(3);
    let began = Instant::now();
    tokio::time::sleep(quiet).await;
    let moving = Instant::now();
    stage.change("pin", json!({ "approve": true })).await;
    let done = stage.phase("pin", RebalancePhase::Completed).await;
    let moved = Instant::now();
    tokio::time::sleep(quiet).await;
    let ended = Instant::now();
    stop.cancel();
    let all = all_sold(sellers).await;
    operator.stop().await;

    books_agree(&stage, event, &workers[1], &all).await;

    let rate = |from: Instant, to: Instant| {
        let calls: usize = all.iter().map(|sold| sold.calls_between(from, to)).sum();
        f64::from(u32::try_from(calls).unwrap()) * 50.0 / (to - from).as_secs_f64()
    };
    let (before, during, after) = (rate(began, moving), rate(moving, moved), rate(moved, ended));
    let mut waits: Vec<Duration> = all.iter().map(Sold::longest_wait).collect();
    waits.sort();
    let retries: u32 = all.iter().map(|sold| sold.retries).sum();
    eprintln!(
        "{} moves in {:?}; orders/s before {before:.0}, during {during:.0}, after {after:.0}; longest wait of each \
         stock shard {waits:?}; {retries} batches came again; expected stall {:?} ms",
        done.moves.len(),
        moved - moving,
        proposed.expected_stall_ms,
    );
    let longest = waits.last().unwrap();
    assert!(*longest < STALL_MAX, "{waits:?}");
    stage.assert_clean().await;
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_nodes_die_while_shards_are_sold_from_and_move() {
    let Some((mut server, stage)) = cluster::own("rebalance-selling").await else {
        return;
    };
    let stop = CancellationToken::new();
    let (event, sellers) = sellers(&stage, &stop).await;
    let workers = stage.workers().await;
    let operator = stage.start();
    pinned(&stage, &workers[1]).await;
    stage.change("pin", json!({ "approve": true })).await;
    let is_done =
        |moves| move |status: &RebalanceStatus| status.progress.is_some_and(|it| it.done >= moves);
    stage.status("pin", "a shard has moved", is_done(1)).await;
    server.worker_mut(1).unwrap().kill().await.unwrap();
    stage
        .status("pin", "it says what it waits for", |status| {
            status.last_error.is_some()
        })
        .await;
    server.restart().await.unwrap();
    stage.status("pin", "more have moved", is_done(3)).await;
    server.kill().await.unwrap();
    until("it is said", async || {
        let error = stage.get("pin").await.status?.last_error?;
        (error.code == "ledger-unreachable" || error.code == "move-failed").then_some(())
    })
    .await;
    server.restart().await.unwrap();
    stage.phase("pin", RebalancePhase::Completed).await;
    stop.cancel();
    let all = all_sold(sellers).await;
    operator.stop().await;
    books_agree(&stage, event, &workers[1], &all).await;
    let orders: u128 = all.iter().map(|sold| sold.orders).sum();
    let retries: u32 = all.iter().map(|sold| sold.retries).sum();
    eprintln!("{orders} orders through two deaths, {retries} batches came again");
    assert!(retries > 0);
    stage.assert_clean().await;
    stage.clear().await;
}
