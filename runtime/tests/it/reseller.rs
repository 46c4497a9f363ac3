//! The reseller's books and ours, with everything in the way that happens to messages and processes.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use ticket_bus::{BusConfig, Outgoing, Producer, ProducerConfig};
use ticket_core::StockSource;
use ticket_core::names::event_type::{RESELLER_STOCK_CHANGED, STOCK_ADJUSTMENT, STOCK_CHANGED};
use ticket_testkit::{Book, Reseller, shared};

use crate::dead_letters;
use crate::outside::messages;
use crate::sale::{Sale, Terms, token};

const SPLIT: &[&str] = &["processor", "payments", "keeper", "api", "sync"];

async fn reseller_of(sale: &Sale, quantity: u32) -> Reseller {
    let database = shared().await.new_database().await.unwrap();
    let reseller = Reseller::open(&database, &sale.brokers, &sale.prefix)
        .await
        .unwrap();
    reseller.list(&sale.name, "seat", quantity).await.unwrap();
    reseller
}

/// Orders of `each` tickets by so many buyers, all paid.
async fn sell(sale: &Sale, name: &str, buyers: usize, each: i64) -> Vec<(String, Value)> {
    let buy = (0..buyers).map(|number| async move {
        let buyer = format!("{name}-{number}");
        let order = sale.awaiting(&buyer, "k", each).await;
        assert_eq!(sale.pay(&order, "pm_card_visa").await.status(), 200);
        let id = order["id"].as_str().unwrap();
        (buyer.clone(), sale.order_until(&buyer, id, "paid").await)
    });
    join_all(buy).await
}

async fn refund(sale: &Sale, (buyer, order): &(String, Value)) {
    let id = order["id"].as_str().unwrap();
    let path = format!("/v1/orders/{id}/refund");
    let request = sale.request(Method::POST, &path).bearer_auth(token(buyer));
    assert_eq!(request.send().await.unwrap().status(), 202);
    sale.order_until(buyer, id, "refunded").await;
}

/// Reads until the book has this answer, and both books have the same capacity and the same sold tickets.
async fn until_equal(sale: &Sale, reseller: &Reseller, answered: Option<(i64, i64)>) -> Book {
    let mut seen = None;
    sale.until("both books are equal", async || {
        // A gap, or totals that are not the books' own, fails here.
        reseller.read().await.unwrap();
        let book = reseller.book(&sale.name, "seat").await.unwrap().unwrap();
        let (ours, store) = sale.counts().await;
        let is_equal = book.capacity == ours.capacity
            && book.sold == ours.sold
            && book.answered == answered
            && store == ours.available;
        seen = Some(book);
        is_equal
    })
    .await;
    seen.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_books_are_equal_after_changes_both_ways_repeats_reordering_and_restarts() {
    let mut sale = Sale::open(Terms {
        quantity: 40,
        shards: 4,
        max_per_buyer: 10,
        stock_source: StockSource::Reseller,
        roles: SPLIT,
        ..Terms::default()
    })
    .await;
    let reseller = reseller_of(&sale, 40).await;
    let name = sale.name.clone();
    let change = async |quantity| reseller.change(&name, "seat", quantity).await.unwrap();
    let decide = async |quantity| reseller.decide(&name, "seat", quantity).await.unwrap();
    let tell = async |message| reseller.tell(message).await.unwrap();

    // More while it sells, told twice.
    let (sold, first) = tokio::join!(sell(&sale, "early", 8, 2), change(60));
    tell(&first).await;
    let book = until_equal(&sale, &reseller, Some((1, 0))).await;
    assert_eq!((book.capacity, book.sold), (60, 16));

    // Newer before older, and the newer one again: the older one is never answered.
    let (second, third) = (decide(44).await, decide(50).await);
    for message in [&third, &second, &third] {
        tell(message).await;
    }
    let book = until_equal(&sale, &reseller, Some((3, 0))).await;
    assert_eq!((book.capacity, book.sold), (50, 16));

    // The role dies without a word between a message and its end, and misses what is sold and given back meanwhile.
    let fourth = decide(30).await;
    tell(&fourth).await;
    sale.process("sync").kill().await.unwrap();
    tokio::join!(refund(&sale, &sold[0]), refund(&sale, &sold[1]));
    sell(&sale, "meanwhile", 3, 1).await;
    sale.process("sync").restart().await.unwrap();
    let book = until_equal(&sale, &reseller, Some((4, 0))).await;
    assert_eq!((book.capacity, book.sold), (30, 15));

    // Everything that is left is sold while the role goes in order, and less is wanted than is sold.
    sale.process("sync").stop().await.unwrap();
    let fifth = decide(9).await;
    tell(&fifth).await;
    sell(&sale, "last", 2, 3).await;
    sale.process("sync").restart().await.unwrap();
    let book = until_equal(&sale, &reseller, Some((5, 21 - 9))).await;
    assert_eq!((book.capacity, book.sold), (21, 21));

    // What comes back is for sale again; taken back it is gone.
    refund(&sale, &sold[2]).await;
    let sixth = change(0).await;
    let book = until_equal(&sale, &reseller, Some((sixth.version, 19))).await;
    assert_eq!((book.capacity, book.sold), (19, 19));

    assert_eq!(told(&sale, &book).await, [1, 3, 4, 5, 6]);
}

/// Everything on `stock-changes`: a repeat has the id and the data of the first, changes are numbered up to the book's last.
/// Answers with the versions that were answered, in order.
async fn told(sale: &Sale, book: &Book) -> Vec<i64> {
    let topic = format!("{}stock-changes", sale.prefix);
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    let mut sequences = HashSet::new();
    let mut versions = Vec::new();
    for message in messages(&sale.brokers, &topic).await {
        let source = format!("/events/{}", sale.name.replace('.', "/"));
        assert_eq!(message.source, source);
        assert_eq!(message.key, format!("{}/seat", sale.name));
        assert_eq!(message.subject, "seat");
        let known = by_id
            .entry(message.id)
            .or_insert_with(|| message.data.clone());
        assert_eq!(*known, message.data);
        match message.kind.as_str() {
            STOCK_CHANGED => {
                sequences.insert(message.data["sequence"].as_i64().unwrap());
            }
            STOCK_ADJUSTMENT => versions.push(message.data["version"].as_i64().unwrap()),
            other => panic!("{other}"),
        }
    }
    assert_eq!(sequences, (1..=book.sequence).collect());
    versions.dedup();
    assert_eq!(by_id.len(), sequences.len() + versions.len());
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_dies_and_the_other_goes_on_where_it_was() {
    let mut sale = Sale::open(Terms {
        quantity: 40,
        shards: 4,
        stock_source: StockSource::Reseller,
        roles: &["processor", "payments", "keeper", "api", "sync", "sync"],
        ..Terms::default()
    })
    .await;
    let reseller = reseller_of(&sale, 40).await;
    let change = async |sale: &Sale, quantity| {
        let change = reseller.change(&sale.name, "seat", quantity);
        change.await.unwrap()
    };
    let (sold, _) = tokio::join!(sell(&sale, "early", 6, 1), change(&sale, 50));
    until_equal(&sale, &reseller, Some((1, 0))).await;
    // Whichever has the category: it dies, or the other one gets more to do.
    sale.process("sync").kill().await.unwrap();
    refund(&sale, &sold[0]).await;
    tokio::join!(sell(&sale, "late", 4, 2), change(&sale, 30));
    let book = until_equal(&sale, &reseller, Some((2, 0))).await;
    assert_eq!((book.capacity, book.sold), (30, 13));
    assert_eq!(told(&sale, &book).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_can_follow_is_a_dead_letter_and_the_next_one_is_followed() {
    let sale = Sale::open(Terms {
        stock_source: StockSource::Reseller,
        ..Terms::default()
    })
    .await;
    let reseller = reseller_of(&sale, 100).await;
    let bus = BusConfig::new(&sale.brokers, "poison");
    let producer = Producer::new(&bus, &ProducerConfig::default()).unwrap();
    let topic = format!("{}reseller-stock", sale.prefix);
    let good = json!({ "event": sale.name, "category": "seat", "quantity": 5, "version": 90 });
    let with = |field: &str, value: Value| {
        let mut data = good.clone();
        data[field] = value;
        data.to_string()
    };
    let poison = [
        (RESELLER_STOCK_CHANGED, String::new(), "data at"),
        (RESELLER_STOCK_CHANGED, "[1, 2".to_owned(), "data at"),
        (
            RESELLER_STOCK_CHANGED,
            with("quantity", json!(-5)),
            "quantity",
        ),
        (
            RESELLER_STOCK_CHANGED,
            with("event", json!("tests.nobody")),
            "unknown",
        ),
        (
            RESELLER_STOCK_CHANGED,
            with("category", json!("royal")),
            "category",
        ),
        ("io.reseller.something.else.v1", good.to_string(), "type"),
    ];
    for (number, (kind, data, _)) in poison.iter().enumerate() {
        let header =
            |name: &str, value: &str| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()));
        let record = Outgoing {
            topic: &topic,
            partition: 0,
            key: b"poison",
            payload: data.as_bytes(),
            headers: &[
                header("content-type", "application/json"),
                header("ce_specversion", "1.0"),
                header("ce_id", &number.to_string()),
                header("ce_type", kind),
                header("ce_source", "/reseller"),
            ],
        };
        producer.start_record(&record).unwrap().await.unwrap();
    }
    reseller.change(&sale.name, "seat", 120).await.unwrap();
    until_equal(&sale, &reseller, Some((1, 0))).await;

    let letters = async || dead_letters::reasons(&sale.brokers, &topic).await;
    sale.until("each has its letter", async || {
        letters().await.len() == poison.len()
    })
    .await;
    let reasons = letters().await;
    for (_, _, word) in &poison {
        assert!(
            reasons.iter().any(|reason| reason.contains(word)),
            "{word}: {reasons:?}"
        );
    }

    // The spec's own stock is nobody else's business.
    let mut row = sale.ledger.event(sale.id).await.unwrap().unwrap();
    row.stock_source = StockSource::Spec;
    sale.ledger.write_event(&row).await.unwrap();
    sale.until("the reseller is turned away", async || {
        reseller.change(&sale.name, "seat", 120).await.unwrap();
        letters()
            .await
            .iter()
            .any(|reason| reason.contains("not the reseller's"))
    })
    .await;
    let (ours, _) = sale.counts().await;
    assert_eq!(ours.capacity, 120);
}
