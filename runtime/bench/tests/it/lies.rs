//! An API that does not keep its contract: the crowd must notice, and must stay polite.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use ticket_bench::crowd::book::{Book, Request as Asked};
use ticket_bench::crowd::counters::Counters;
use ticket_bench::crowd::{self, Invitation};
use ticket_bench::outside::Category;
use ticket_core::{CategoryName, Currency, Money, OrderId, OrderRef, StockShardId};
use uuid::Uuid;
use wiremock::matchers::{method, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const PRICE: i64 = 1_000;

/// `buyers` people come to `api` for one category.
async fn come(api: &MockServer, buyers: u32) -> Book {
    drop(rustls::crypto::ring::default_provider().install_default());
    let price = Money {
        currency: Currency::new("IDR").unwrap(),
        amount_minor: PRICE,
    };
    let name = CategoryName::new("standing").unwrap();
    let invitation = Invitation {
        event: "default.lies".parse().unwrap(),
        categories: vec![Category { name, price }],
        units: vec![100],
        quantity_max: 4,
        buyers,
        over: Duration::ZERO,
        seed: 3,
        api_url: api.uri(),
        payments_url: api.uri(),
        jwt_secret: "0123456789abcdef0123456789abcdef".to_owned(),
    };
    crowd::run(invitation, Arc::new(Counters::default()))
        .await
        .unwrap()
}

fn problem(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "status": status, "code": code }))
}

fn faults(book: &Book) -> Vec<&str> {
    book.stories
        .iter()
        .flat_map(|story| &story.faults)
        .map(String::as_str)
        .collect()
}

fn count(book: &Book, request: Asked, status: u16) -> u64 {
    let answers = book.tally.answers.iter();
    answers
        .filter(|(kind, _)| kind.request == request && kind.status == status)
        .map(|(_, count)| count)
        .sum()
}

#[tokio::test]
async fn an_internal_error_is_a_fault_for_everybody_who_gets_it() {
    let api = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(problem(500, "internal"))
        .mount(&api)
        .await;
    let book = come(&api, 50).await;
    assert_eq!(book.stories.len(), 50);
    assert_eq!(faults(&book).len(), 50);
    assert!(book.acknowledged().next().is_none());
}

/// Says "later" to the first request of each key, then "sold out"; remembers the keys.
#[derive(Default)]
struct LaterThenSoldOut {
    seen: std::sync::Mutex<std::collections::BTreeMap<String, u32>>,
}

impl Respond for LaterThenSoldOut {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let key = request.headers.get("idempotency-key");
        let key = key
            .map(|key| key.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let mut seen = self.seen.lock().unwrap();
        let times = seen.entry(key).or_default();
        *times += 1;
        match times {
            1 => problem(503, "overloaded").insert_header("Retry-After", "0"),
            _ => problem(409, "sold-out"),
        }
    }
}

#[tokio::test]
async fn later_is_honoured_with_the_same_key() {
    let api = MockServer::start().await;
    let answers = Arc::new(LaterThenSoldOut::default());
    let responder = Arc::clone(&answers);
    let respond = move |request: &Request| responder.respond(request);
    Mock::given(method("POST"))
        .respond_with(respond)
        .mount(&api)
        .await;
    let book = come(&api, 30).await;
    let later = count(&book, Asked::Order, 503);
    assert!(later > 20, "{:?}", book.tally.answers);
    assert!(count(&book, Asked::Order, 409) >= later);
    // Nobody used a key once only: whoever was told "later" asked again with it.
    let seen = answers.seen.lock().unwrap();
    assert!(
        seen.iter().all(|(key, times)| key.is_empty() || *times > 1),
        "{seen:?}"
    );
}

/// Acknowledges every request as one more order, whatever its key, and calls every order expired.
struct AlwaysNew {
    next: AtomicU32,
    /// What an order costs, times this.
    factor: i64,
}

impl Respond for AlwaysNew {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(quantity) = asked["quantity"].as_u64().filter(|quantity| *quantity > 0) else {
            return problem(400, "invalid-request");
        };
        let order = OrderId(Uuid::from_u128(u128::from(number)));
        let id = OrderRef {
            order,
            shard: StockShardId::new(1).unwrap(),
        };
        ResponseTemplate::new(202).set_body_json(self.order(&id.to_string(), quantity))
    }
}

impl AlwaysNew {
    fn order(&self, id: &str, quantity: u64) -> serde_json::Value {
        let amount = i64::try_from(quantity).unwrap() * PRICE * self.factor;
        json!({
            "id": id, "category": "standing", "quantity": quantity, "state": "expired",
            "amount": { "currency": "IDR", "amount_minor": amount },
        })
    }
}

async fn always_new(factor: i64) -> MockServer {
    let api = MockServer::start().await;
    let posts = AlwaysNew {
        next: AtomicU32::new(0),
        factor,
    };
    Mock::given(method("POST"))
        .respond_with(posts)
        .mount(&api)
        .await;
    let reads = move |request: &Request| {
        let id = request
            .url
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let order = AlwaysNew {
            next: AtomicU32::new(0),
            factor,
        }
        .order(&id, 1);
        ResponseTemplate::new(200).set_body_json(order)
    };
    let orders = Mock::given(method("GET")).and(path_regex("^/v1/orders/"));
    orders.respond_with(reads).mount(&api).await;
    api
}

#[tokio::test]
async fn a_key_that_makes_two_orders_is_a_fault() {
    let api = always_new(1).await;
    let book = come(&api, 300).await;
    let faults = faults(&book);
    let has = |what: &str| faults.iter().any(|fault| fault.contains(what));
    assert!(has("two clicks with one key"), "{faults:?}");
    assert!(has("the repeat of"), "{faults:?}");
    assert!(
        has("with another payload under its key got 202"),
        "{faults:?}"
    );
    assert!(has("NoToken: unexpected answer 202"), "{faults:?}");
}

#[tokio::test]
async fn a_wrong_price_is_a_fault() {
    let api = always_new(2).await;
    let book = come(&api, 20).await;
    assert!(
        faults(&book).iter().any(|fault| fault.contains("costs")),
        "{:?}",
        faults(&book)
    );
}
