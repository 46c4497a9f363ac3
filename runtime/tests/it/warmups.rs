//! Redis may die at any moment, in any way: the sale goes on, exact to the unit.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json as value};
use ticket_bus::{BusConfig, Producer, ProducerConfig};
use ticket_core::{BuyerId, Command, Epoch, Marker, OrderId, OrderRef, Place, State, clock};
use ticket_ledger::{LockAnswer, LockWish, WarmupKind};
use ticket_stock::{Seed, SeedCategory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::sale::{MANAGER, Sale, Terms, VIEWER, json};

/// What happens to Redis.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    Killed,
    Emptied,
    Restored,
    LibraryGone,
}

async fn sale() -> Sale {
    Sale::open(Terms {
        own_redis: true,
        ..Terms::default()
    })
    .await
}

/// A command of Redis as a person would type it.
async fn redis(sale: &Sale, command: &str) {
    let url = sale.redis.as_ref().unwrap().url();
    let address = url.strip_prefix("redis://").unwrap();
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let line = format!("{command}\r\n");
    connection.write_all(line.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let read = connection.read(&mut answer).await.unwrap();
    assert_eq!(&answer[..read], b"+OK\r\n", "{command}");
}

pub(crate) async fn lose(sale: &mut Sale, loss: Loss) {
    match loss {
        Loss::Emptied => redis(sale, "FLUSHALL").await,
        Loss::LibraryGone => redis(sale, "FUNCTION FLUSH").await,
        Loss::Killed | Loss::Restored => {
            let redis = sale.redis.as_mut().unwrap();
            redis.kill().await.unwrap();
            redis.restart().await.unwrap();
        }
    }
}

async fn warmup(sale: &Sale) -> Value {
    let path = format!("/events/{}/warmup", sale.name);
    let answer = sale.ask(Method::GET, &path, VIEWER).send().await.unwrap();
    json(answer, 200).await
}

async fn act(sale: &Sale, what: &str, body: &Value) -> reqwest::Response {
    let path = format!("/events/{}/warmup/{what}", sale.name);
    let ask = sale.ask(Method::POST, &path, MANAGER).json(body);
    ask.send().await.unwrap()
}

/// Waits until the newest epoch is armed and finished; answers with it.
pub(crate) async fn warm(sale: &Sale, newer_than: i64) -> i64 {
    let mut epoch = 0;
    sale.until("the store is warm again", async || {
        let view = warmup(sale).await;
        epoch = view["epoch"].as_i64().unwrap();
        epoch > newer_than
            && view["armed_epoch"] == view["epoch"]
            && view["history"][0]["result"] == "armed"
    })
    .await;
    epoch
}

pub(crate) async fn adds_up(sale: &Sale) {
    let path = format!("/events/{}/audit", sale.name);
    sale.until("everything adds up", async || {
        let report = sale.ask(Method::POST, &path, VIEWER).send().await.unwrap();
        let report = json(report, 200).await;
        let checks = report["checks"].as_array().unwrap();
        report["ok"] == true && checks.iter().all(|check| check["skipped"] != true)
    })
    .await;
}

pub(crate) async fn id_of(sale: &Sale, buyer: &str, key: &str, quantity: i64) -> String {
    let mut order = Value::Null;
    sale.until("the order is taken", async || {
        let answer = sale.place(buyer, key, quantity).send().await.unwrap();
        let taken = answer.status() == 202;
        order = answer.json().await.unwrap();
        taken
    })
    .await;
    order["id"].as_str().unwrap().to_owned()
}

async fn goes_on_exact_to_the_unit(loss: Loss) {
    let mut sale = sale().await;
    if matches!(loss, Loss::Restored) {
        // From a time at which everything was for sale.
        redis(&sale, "SAVE").await;
    }
    let paid = sale.awaiting("ann", "paid", 3).await;
    sale.pay(&paid, "pm_card_visa").await;
    sale.order_until("ann", paid["id"].as_str().unwrap(), "paid")
        .await;
    let held = sale.awaiting("bob", "held", 2).await;
    let over = sale.awaiting("eve", "over", 4).await;
    let over = over["id"].as_str().unwrap();
    let cancel = sale.request(Method::POST, &format!("/v1/orders/{over}/cancel"));
    let cancel = cancel.bearer_auth(crate::sale::token("eve")).send().await;
    assert_eq!(cancel.unwrap().status(), 202);
    sale.order_until("eve", over, "cancelled").await;
    sale.counts_until(95, 2, 3).await;

    lose(&mut sale, loss).await;
    let epoch = warm(&sale, 1).await;
    assert_eq!(epoch, 2, "one run was enough");
    sale.counts_until(95, 2, 3).await;

    // Everybody's limit is what it was: 4.
    let refused = sale.place("ann", "two more", 2).send().await.unwrap();
    assert_eq!(json(refused, 409).await["code"], "buyer-limit");
    id_of(&sale, "ann", "one more", 1).await;
    // And every key finds its order, whatever became of it.
    assert_eq!(id_of(&sale, "bob", "held", 2).await, held["id"]);
    assert_eq!(id_of(&sale, "ann", "paid", 3).await, paid["id"]);
    assert_eq!(id_of(&sale, "eve", "over", 4).await, over);
    id_of(&sale, "eve", "again", 4).await;
    sale.counts_until(90, 7, 3).await;
    adds_up(&sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_killed_sells_again() {
    goes_on_exact_to_the_unit(Loss::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_emptied_sells_again() {
    goes_on_exact_to_the_unit(Loss::Emptied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_restored_from_an_old_file_sells_again() {
    goes_on_exact_to_the_unit(Loss::Restored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_its_functions_sells_again() {
    goes_on_exact_to_the_unit(Loss::LibraryGone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_keepers_one_warms_up() {
    let mut sale = Sale::open(Terms {
        own_redis: true,
        roles: &["all", "keeper"],
        ..Terms::default()
    })
    .await;
    lose(&mut sale, Loss::Killed).await;
    assert_eq!(warm(&sale, 1).await, 2);
    // Nobody comes after it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let view = warmup(&sale).await;
    assert_eq!(view["epoch"], 2, "{view}");
    assert_eq!(view["history"].as_array().unwrap().len(), 1, "{view}");
    assert!(view.get("lock").is_none(), "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_half_way_is_done_again_by_another() {
    let sale = sale().await;
    let wish = LockWish {
        kind: WarmupKind::Run,
        holder: "a keeper that dies",
        reason: None,
        lasts: Duration::from_millis(500),
        seen: None,
    };
    let taken = sale.ledger.lock_warmup(sale.id, &wish).await.unwrap();
    assert!(matches!(taken, LockAnswer::Taken(_)));
    // It got as far as arming the store, and had not looked a second time.
    let view = sale.ledger.seed_view(sale.id).await.unwrap().unwrap();
    let seed = Seed {
        event: sale.id,
        epoch: Epoch(2),
        max_per_buyer: 4,
        categories: view
            .categories
            .into_iter()
            .map(|one| SeedCategory {
                name: one.name,
                shards: one.shards,
            })
            .collect(),
        staged: 0,
    };
    sale.stock.seed(&seed).await.unwrap();
    assert_eq!(warm(&sale, 2).await, 3);
    let view = warmup(&sale).await;
    assert_eq!(view["history"][1]["result"], "expired", "{view}");
    adds_up(&sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_holds_the_sale_and_what_is_in_the_log_is_decided() {
    let sale = sale().await;
    let ledger = sale.hold_ledger().await;
    let order = json(sale.place("ann", "before", 2).send().await.unwrap(), 202).await;
    let order = order["id"].as_str().unwrap();
    let locked = act(&sale, "lock", &value!({"reason": "wrong prices"})).await;
    let view = json(locked, 200).await;
    assert_eq!(view["lock"]["holder"], "static:manager", "{view}");
    assert_eq!(view["lock"]["reason"], "wrong prices", "{view}");
    assert_eq!(view["epoch"], 2);
    let refused = sale.place("bob", "during", 1).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(json(refused, 503).await["code"], "warming-up");
    drop(ledger);
    sale.order_until("ann", order, "awaiting_payment").await;
    sale.until("the sale is warming up", async || {
        let path = format!("/v1/events/{}", sale.name);
        let event = sale.request(Method::GET, &path).send().await.unwrap();
        let event = json(event, 200).await;
        // What is left is the ledger's matter meanwhile.
        event["sale"] == "warming_up" && event["categories"][0]["availability"] == "available"
    })
    .await;
    for again in ["lock", "run"] {
        let refused = act(&sale, again, &value!({})).await;
        assert_eq!(json(refused, 409).await["code"], "warmup-locked", "{again}");
    }
    // Nobody warms up meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(warmup(&sale).await["epoch"], 2);
    json(act(&sale, "unlock", &value!({})).await, 200).await;
    assert_eq!(warm(&sale, 2).await, 3);
    sale.counts_until(98, 2, 0).await;
    id_of(&sale, "bob", "during", 1).await;
    adds_up(&sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_lock_is_broken_only_by_force_and_by_its_name() {
    let sale = sale().await;
    let wish = LockWish {
        kind: WarmupKind::Hold,
        holder: "somebody else",
        reason: None,
        lasts: Duration::from_mins(10),
        seen: None,
    };
    sale.ledger.lock_warmup(sale.id, &wish).await.unwrap();
    let refused = act(&sale, "unlock", &value!({})).await;
    let problem = json(refused, 409).await;
    assert_eq!(problem["code"], "warmup-locked");
    let told = problem["detail"].as_str().unwrap();
    assert!(
        told.starts_with("somebody else holds the lock until "),
        "{told}"
    );
    let wrong = value!({"force": true, "confirm": "tests.other"});
    json(act(&sale, "unlock", &wrong).await, 400).await;
    // `null` is no body, and everything else is read as everywhere.
    let refused = act(&sale, "unlock", &Value::Null).await;
    assert_eq!(json(refused, 409).await["code"], "warmup-locked");
    let refused = act(&sale, "unlock", &value!({"force": "yes"})).await;
    let problem = json(refused, 400).await;
    let told = problem["detail"].as_str().unwrap();
    assert!(told.starts_with("force: "), "{told}");
    let form = format!("/events/{}/warmup/unlock", sale.name);
    let form = sale.ask(Method::POST, &form, MANAGER);
    let refused = form.form(&[("force", "true")]).send().await.unwrap();
    assert_eq!(json(refused, 415).await["code"], "unsupported-media-type");
    let viewer = format!("/events/{}/warmup/unlock", sale.name);
    let viewer = sale
        .ask(Method::POST, &viewer, VIEWER)
        .send()
        .await
        .unwrap();
    assert_eq!(viewer.status(), 403);
    assert!(warmup(&sale).await.get("lock").is_some());
    let right = value!({"force": true, "confirm": sale.name});
    json(act(&sale, "unlock", &right).await, 200).await;
    assert_eq!(warm(&sale, 2).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_warms_up_what_is_there_and_nothing_else() {
    let sale = sale().await;
    json(sale.place("ann", "k", 2).send().await.unwrap(), 202).await;
    let view = json(act(&sale, "run", &value!({"reason": "to see"})).await, 200).await;
    assert_eq!(
        (&view["epoch"], &view["armed_epoch"]),
        (&value!(2), &value!(2))
    );
    assert_eq!(view["history"][0]["result"], "armed");
    assert_eq!(view["history"][0]["reason"], "to see");
    sale.counts_until(98, 2, 0).await;
    assert!(sale.log().contains("/warmup/run"), "the audit log names it");

    let nowhere = "/events/tests.nowhere/warmup/run";
    let unknown = sale
        .ask(Method::POST, nowhere, MANAGER)
        .send()
        .await
        .unwrap();
    json(unknown, 404).await;
    sale.change("closed", |row| row.is_closed = true).await;
    let closed = act(&sale, "run", &value!({})).await;
    assert_eq!(json(closed, 409).await["code"], "sale-closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_orders_are_decided_and_nothing_is_lost_when_it_comes_back_with_its_data() {
    let sale = sale().await;
    let order = sale.awaiting("ann", "k", 3).await;
    let id = order["id"].as_str().unwrap();
    sale.counts_until(97, 3, 0).await;
    // It hangs and keeps all that it has.
    sale.redis.as_ref().unwrap().pause().unwrap();
    let cancel = sale.request(Method::POST, &format!("/v1/orders/{id}/cancel"));
    let cancel = cancel.bearer_auth(crate::sale::token("ann")).send().await;
    assert_eq!(cancel.unwrap().status(), 202);
    sale.order_until("ann", id, "cancelled").await;
    sale.until("the need is written down", async || {
        let history = sale.ledger.warmup_history(sale.id, 1).await.unwrap();
        history
            .first()
            .is_some_and(|one| one.result.as_deref() == Some("missed"))
    })
    .await;
    sale.redis.as_ref().unwrap().resume().unwrap();
    assert_eq!(warm(&sale, 2).await, 3);
    sale.counts_until(100, 0, 0).await;
    adds_up(&sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_is_a_barrier_within_one_batch() {
    let sale = Sale::open(Terms {
        shards: 1,
        ..Terms::default()
    })
    .await;
    let shard = sale.ledger.stock(sale.id).await.unwrap()[0].id;
    let bus = BusConfig::new(&sale.brokers, "marker");
    let producer = Producer::new(&bus, &ProducerConfig::default()).unwrap();
    let place = |key: &str, epoch: i64| {
        let buyer = BuyerId::new(key).unwrap();
        Command::Place(Place {
            order: OrderId::derive(sale.id, &buyer, key),
            shard,
            epoch: Epoch(epoch),
            buyer,
            quantity: 1,
            amount_minor: 1_500,
            accepted_at: clock::now(),
        })
    };
    let marker = Command::Marker(Marker {
        shard,
        epoch: Epoch(2),
        at: clock::now(),
    });
    let all = [
        place("before", 1),
        marker,
        place("behind", 1),
        place("new", 2),
    ];
    let ledger = sale.hold_ledger().await;
    for command in &all {
        let (key, payload) = (command.key(), command.encode());
        let sent = producer
            .send(&sale.topic, 0, key.as_bytes(), &payload)
            .await;
        sent.unwrap();
    }
    drop(ledger);
    for (command, is_refused) in [(&all[0], false), (&all[2], true), (&all[3], false)] {
        let order = command.order().unwrap();
        let id = OrderRef { order, shard };
        sale.until("it is decided", async || {
            let found = sale.ledger.order(id).await.unwrap();
            found.is_some_and(|found| (found.state == State::Rejected) == is_refused)
        })
        .await;
    }
    assert_eq!(sale.ledger.stock(sale.id).await.unwrap()[0].epoch, Epoch(2));
}
